//! Products with panels: a block of a panel is a tile of bytes as it lies, or as soon as its halves of
//! bytes are bytes. What they are multiplied with is in high and in low bytes.

use std::arch::x86_64::{
    __m512, _mm256_loadu_si256, _mm512_add_epi32, _mm512_and_si512, _mm512_cvtepi32_ps,
    _mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_loadu_si512, _mm512_mul_ps, _mm512_set1_epi8,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_slli_epi32, _mm512_srli_epi16,
    _mm512_storeu_si512,
};
use std::mem::transmute;
use std::ops::Range;

use super::super::amx::Tiles;
use super::TOGETHER;
use crate::cpu::lanes::{Unit, ahead, soon};
use crate::cpu::panels::{BLOCK, Inputs, Panels, ROWS, SIDE, WORDS, inputs, offset};
use crate::cpu::place::Place;
use crate::cpu::team::{Pieces, Ranges};

/// High bytes of eight rows of `x`, then their low ones.
type Left = [[u8; BLOCK]; 2 * TOGETHER];

/// A block in whole bytes.
type Right = [[u8; SIDE]; WORDS];

/// A block of up to eight rows of `x`.
struct Rows {
    tile: Left,
    scales: [f32; TOGETHER],
    /// What sums begin with, for numbers are stored above [`offset`].
    starts: [i32; TOGETHER],
}

/// Products that have begun.
struct Begun<'a> {
    weight: Panels<'a>,
    /// Eight rows after the other, block after block.
    x: Vec<Rows>,
    rows: usize,
    place: Place<'a, f32>,
    ranges: Ranges,
}

/// Begins them. Only for machines with tiles.
pub fn begin<'a>(
    x: &[f32],
    weight: Panels<'a>,
    unit: Unit,
    y: &'a mut [f32],
) -> Box<dyn Pieces + 'a> {
    let Panels { bytes, out, width, bits } = weight;
    let (rows, blocks) = (x.len() / width, width / BLOCK);
    assert!(rows <= 2 * TOGETHER && y.len() == rows * out, "there is room for all products");
    let x = inputs(x, unit);
    let groups = x.chunks(TOGETHER * blocks);
    let x =
        groups.flat_map(|group| (0..blocks).map(|b| together(group, blocks, b, bits))).collect();
    let ranges = Ranges::new(out.div_ceil(ROWS), bytes.len(), 1);
    Box::new(Begun { weight, x, rows, place: Place::of(y), ranges })
}

/// A block of some rows.
fn together(group: &[Inputs], blocks: usize, b: usize, bits: usize) -> Rows {
    let mut rows =
        Rows { tile: [[0; BLOCK]; 2 * TOGETHER], scales: [0.0; TOGETHER], starts: [0; TOGETHER] };
    for (k, row) in group.chunks_exact(blocks).enumerate() {
        let x = &row[b];
        for (i, [a, b, c, d, low @ ..]) in x.words.into_iter().enumerate() {
            rows.tile[k][4 * i..][..4].copy_from_slice(&[a, b, c, d]);
            rows.tile[TOGETHER + k][4 * i..][..4].copy_from_slice(&low);
        }
        (rows.scales[k], rows.starts[k]) = (x.scale, -offset(bits) * x.sum);
    }
    rows
}

impl Pieces for Begun<'_> {
    fn pieces(&self) -> usize {
        self.ranges.pieces()
    }

    fn reads(&self) -> &[u8] {
        self.weight.bytes
    }

    fn work(&self, piece: usize) {
        match self.rows > TOGETHER {
            true => self.panels::<2>(self.ranges.get(piece)),
            false => self.panels::<1>(self.ranges.get(piece)),
        }
    }
}

/// Blocks that are on their way between two stages: what one writes takes a while to be there for the
/// next.
const APART: usize = 2;

/// Blocks for which there is room.
const RING: usize = 4;

/// Room for what goes from stage to stage.
struct Ring<const G: usize> {
    /// Bytes that were unpacked.
    whole: [Right; RING],
    /// Sums of high bytes and of low ones, of each group.
    sums: [[Sums; G]; RING],
}

/// Those of high bytes with eight rows, then those of low ones.
type Sums = [[i32; ROWS]; 2 * TOGETHER];

impl Begun<'_> {
    /// The products with a panel of `G` groups of rows.
    #[target_feature(enable = "avx512f,avx512bw")]
    fn panel<const G: usize>(&self, tiles: &mut Tiles, ring: &mut Ring<G>, panel: usize) {
        let (weight, blocks) = (self.weight, self.weight.width / BLOCK);
        let (numbers, scales) = weight.part(panel);
        let scales = scales.as_chunks::<{ 2 * ROWS }>().0;
        let size = weight.block();
        let mut found = [[_mm512_setzero_ps(); TOGETHER]; G];
        for step in 0..blocks + 2 * APART {
            if step < blocks {
                let block = &numbers[step * size..][..size];
                block.as_chunks::<SIDE>().0.iter().for_each(|line| ahead(line.as_ptr()));
                soon(scales[step].as_ptr().wrapping_add(numbers.len()));
                if weight.bits == 4 {
                    unpack(block, &mut ring.whole[step % RING]);
                }
            }
            if let Some(b) = step.checked_sub(APART).filter(|b| *b < blocks) {
                let block = match weight.bits {
                    8 => numbers[b * size..].as_ptr(),
                    _ => ring.whole[b % RING].as_ptr().cast(),
                };
                // SAFETY: a block is as large as the tile.
                unsafe { tiles.load::<2>(block, SIDE) };
                for (g, sums) in ring.sums[b % RING].iter_mut().enumerate() {
                    // SAFETY: it is a tile.
                    unsafe { tiles.load::<3>(self.x[g * blocks + b].tile.as_ptr().cast(), BLOCK) };
                    tiles.zero::<0>();
                    tiles.dot_bytes::<0, 3, 2>();
                    tiles.store::<0, i32>(sums);
                }
            }
            if let Some(b) = step.checked_sub(2 * APART) {
                // SAFETY: 32 bytes.
                let scales = unsafe { _mm256_loadu_si256(scales[b].as_ptr().cast()) };
                let scales = _mm512_cvtph_ps(scales);
                for (g, found) in found.iter_mut().enumerate() {
                    let rows = &self.x[g * blocks + b];
                    let count = TOGETHER.min(self.rows - g * TOGETHER);
                    for (k, found) in found.iter_mut().enumerate().take(count) {
                        *found = added(&ring.sums[b % RING][g], k, rows, scales, *found);
                    }
                }
            }
        }
        for (k, found) in found.as_flattened().iter().enumerate().take(self.rows) {
            self.put(panel, k, *found);
        }
    }

    /// The products of `G` groups of rows with some panels.
    fn panels<const G: usize>(&self, panels: Range<usize>) {
        // Sums, then what is multiplied with the fourth.
        let sizes = [[16, 64], [0, 0], [8, 64], [16, 32], [0, 0], [0, 0], [0, 0], [0, 0]];
        let mut tiles = Tiles::shaped(sizes);
        let mut ring = Ring::<G> {
            whole: [[[0; SIDE]; WORDS]; RING],
            sums: [[[[0; ROWS]; 2 * TOGETHER]; G]; RING],
        };
        for panel in panels {
            // SAFETY: the machine has these instructions.
            unsafe { self.panel::<G>(&mut tiles, &mut ring, panel) };
        }
    }

    /// Writes the products of a row with those rows of a panel that are there.
    fn put(&self, panel: usize, row: usize, found: __m512) {
        let (out, first) = (self.weight.out, panel * ROWS);
        // SAFETY: sixteen numbers, whichever way they are named.
        let found = unsafe { transmute::<__m512, [f32; ROWS]>(found) };
        // SAFETY: nobody else writes the products with this panel, and there is room for them.
        let to = unsafe { self.place.part(row * out + first, ROWS.min(out - first)) };
        to.copy_from_slice(&found[..to.len()]);
    }
}

/// Adds the sums of a row, high and low, to what was found before.
#[inline]
#[target_feature(enable = "avx512f")]
fn added(
    sums: &[[i32; ROWS]; 2 * TOGETHER],
    k: usize,
    x: &Rows,
    scales: __m512,
    found: __m512,
) -> __m512 {
    // SAFETY: sixteen sums each.
    let [high, low] =
        unsafe { [k, TOGETHER + k].map(|row| _mm512_loadu_si512(sums[row].as_ptr().cast())) };
    let low = _mm512_add_epi32(low, _mm512_set1_epi32(x.starts[k]));
    let sum = _mm512_add_epi32(_mm512_slli_epi32::<8>(high), low);
    let scale = _mm512_mul_ps(scales, _mm512_set1_ps(x.scales[k]));
    _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, found)
}

/// The halves of the bytes of a block as bytes: low ones are a word, high ones the next.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn unpack(block: &[u8], to: &mut Right) {
    for (both, words) in block.as_chunks::<SIDE>().0.iter().zip(to.as_chunks_mut::<2>().0) {
        // SAFETY: 64 bytes each.
        unsafe {
            let both = _mm512_loadu_si512(both.as_ptr().cast());
            let low = _mm512_set1_epi8(15);
            let high = _mm512_and_si512(_mm512_srli_epi16::<4>(both), low);
            _mm512_storeu_si512(words[0].as_mut_ptr().cast(), _mm512_and_si512(both, low));
            _mm512_storeu_si512(words[1].as_mut_ptr().cast(), high);
        }
    }
}
