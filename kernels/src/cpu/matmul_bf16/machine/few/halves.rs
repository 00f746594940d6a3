//! Products with weights in bf16: sixteen rows of the weight are a tile as they lie. What they are
//! multiplied with is the sum of three bf16, which have all the digits of an f32.

use std::arch::x86_64::_mm512_setzero_si512;

use super::super::amx::Tiles;
use super::super::pack::{load, round, tile, turn};
use super::super::pack_parts::left;
use super::super::tiles::{DEPTH, SIDE, Strip};
use super::TOGETHER;
use crate::cpu::lanes::soon;
use crate::cpu::place::Place;
use crate::cpu::streams::Streams;
use crate::cpu::team::{Pieces, Ranges};

/// Bytes of a row of a tile.
const LINE: usize = 2 * DEPTH;

/// Products that have begun.
struct Begun<'a> {
    weight: Streams<'a>,
    /// Rows of `x`, across: the first and second parts of up to eight and then their third ones, or
    /// those of all.
    x: Vec<Strip>,
    rows: usize,
    place: Place<'a, f32>,
    ranges: Ranges,
}

/// Begins them; rows of the weight are whole tiles wide. Only for machines with tiles.
pub fn begin<'a>(x: &[f32], weight: Streams<'a>, y: &'a mut [f32]) -> Box<dyn Pieces + 'a> {
    let Streams { bytes, out, width, .. } = weight;
    let rows = x.len() / width;
    assert!(rows <= SIDE && y.len() == rows * out, "there is room for all products");
    let ranges = Ranges::new(out.div_ceil(SIDE), bytes.len(), 1);
    // SAFETY: the machine has these instructions.
    let x = unsafe { across(x, width) };
    Box::new(Begun { weight, x, rows, place: Place::of(y), ranges })
}

/// The parts of up to sixteen rows in strips.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn across(x: &[f32], width: usize) -> Vec<Strip> {
    let together = x.len() / width <= TOGETHER;
    let mut strips = vec![Strip::with_capacity(width / DEPTH); if together { 2 } else { 3 }];
    for at in (0..width).step_by(DEPTH) {
        let mut words = [[_mm512_setzero_si512(); SIDE]; 3];
        for (i, row) in x.chunks_exact(width).enumerate() {
            let (low, high) = row[at..][..DEPTH].split_at(SIDE);
            let mut rest = [load(low), load(high)];
            for part in 0..3 {
                let rounded = round(rest[0], rest[1]);
                rest = left(rest, rounded);
                match together {
                    true => words[part / 2][part % 2 * TOGETHER + i] = rounded,
                    false => words[part][i] = rounded,
                }
            }
        }
        for (strip, words) in strips.iter_mut().zip(words) {
            strip.push(tile(turn(words)));
        }
    }
    strips
}

impl Pieces for Begun<'_> {
    fn pieces(&self) -> usize {
        self.ranges.pieces()
    }

    fn reads(&self) -> &[u8] {
        self.weight.bytes
    }

    fn work(&self, piece: usize) {
        let (bytes, size) = (self.weight.bytes, SIDE * 2 * self.weight.width);
        let mut tiles = Tiles::begin();
        for block in self.ranges.get(piece) {
            let bytes = &bytes[block * size..];
            match bytes.get(..size) {
                Some(bytes) => self.block(&mut tiles, block, bytes),
                None => {
                    let mut whole = bytes.to_vec();
                    whole.resize(size, 0);
                    self.block(&mut tiles, block, &whole);
                }
            }
        }
    }
}

impl Begun<'_> {
    /// The products with a block of sixteen rows of the weight.
    fn block(&self, tiles: &mut Tiles, block: usize, bytes: &[u8]) {
        let (apart, x) = (2 * self.weight.width, &self.x[..]);
        tiles.zero::<0>();
        tiles.zero::<1>();
        for i in 0..x[0].len() {
            let line = &raw const bytes[i * LINE];
            for row in 0..SIDE {
                // What the next block has there.
                soon(line.wrapping_add((SIDE + row) * apart));
            }
            // SAFETY: a strip has tiles, and a block sixteen rows of as many lines. Sums wait for those
            // before them, so there are two of them.
            unsafe {
                tiles.load::<4>(line, apart);
                tiles.load::<5>((&raw const x[0][i]).cast(), LINE);
                tiles.dot::<0, 4, 5>();
                tiles.load::<6>((&raw const x[1][i]).cast(), LINE);
                tiles.dot::<1, 4, 6>();
                if let Some(third) = x.get(2) {
                    tiles.load::<7>((&raw const third[i]).cast(), LINE);
                    tiles.dot::<1, 4, 7>();
                }
            }
        }
        let mut sums = [[[0.0; SIDE]; SIDE]; 2];
        tiles.store::<0, f32>(&mut sums[0]);
        tiles.store::<1, f32>(&mut sums[1]);
        self.put(&sums, block);
    }

    /// Writes the products with a block, of those of its rows that are there.
    fn put(&self, sums: &[[[f32; SIDE]; SIDE]; 2], block: usize) {
        let (first, out) = (block * SIDE, self.weight.out);
        for k in 0..self.rows {
            let count = SIDE.min(out - first);
            // SAFETY: nobody else writes the products with this block, and there is room for them.
            let y = unsafe { self.place.part(k * out + first, count) };
            for (y, (a, b)) in y.iter_mut().zip(sums[0].iter().zip(&sums[1])) {
                let small = if self.x.len() > 2 { 0.0 } else { a[TOGETHER + k] };
                *y = a[k] + (small + b[k]);
            }
        }
    }
}
