//! Products with panels.

use std::marker::PhantomData;

use super::{BLOCK, Panels, ROWS, SIDE, WHOLE, WORDS, offset};
use crate::cpu::lanes::{LARGEST, Lanes, STREAMS, Unit, Word, Work, ahead, soon};
use crate::cpu::place::Place;
use crate::cpu::team::{Pieces, Ranges, share_ranges};

/// Rows that are multiplied at a time.
const TOGETHER: usize = 8;

/// Bytes of what weights are multiplied with that stay in a near cache while a weight passes.
const NEAR: usize = 1 << 18;

/// A block of what weights are multiplied with: words, what one of them stands for, and the sum of
/// their numbers.
#[derive(Clone, Copy)]
pub struct Inputs {
    pub words: [Word; WORDS],
    pub scale: f32,
    pub sum: i32,
}

impl Inputs {
    #[inline(always)]
    fn of(lanes: impl Lanes, numbers: &[f32; BLOCK]) -> Self {
        // The bits of positive numbers have their order, and what is not a number is above all.
        let mut most = 0;
        for number in numbers {
            most = most.max(number.abs().to_bits());
        }
        let most = f32::from_bits(most);
        let largest = f32::from(LARGEST);
        let (scale, step) = match most / largest {
            scale if !scale.is_finite() => (f32::NAN, 0.0),
            scale if scale < f32::MIN_POSITIVE => (0.0, 0.0),
            scale => (scale, largest / most),
        };
        let mut whole = [0; BLOCK];
        let mut sum = 0;
        for (whole, number) in whole.iter_mut().zip(numbers) {
            *whole = (number * step + WHOLE).to_bits() as i16;
            sum += i32::from(*whole);
        }
        Self { words: lanes.words(&whole), scale, sum }
    }
}

/// Begins the products of every row of `x` with every row of the weight; they go to `y`, row after row
/// of `x`.
pub fn begin<'a>(
    x: &[f32],
    weight: Panels<'a>,
    unit: Unit,
    y: &'a mut [f32],
) -> Box<dyn Pieces + 'a> {
    let Panels { out, width, .. } = weight;
    let rows = x.len().checked_div(width).unwrap_or(0);
    assert_eq!(y.len(), rows * out, "there is room for all products");
    let panels = if rows == 0 { 0 } else { out.div_ceil(ROWS) };
    let ranges = Ranges::new(panels, weight.bytes.len(), STREAMS);
    Box::new(Begun { weight, x: inputs(x, unit), place: Place::of(y), ranges, unit })
}

/// Products that have begun.
struct Begun<'a> {
    weight: Panels<'a>,
    x: Vec<Inputs>,
    place: Place<'a, f32>,
    ranges: Ranges,
    unit: Unit,
}

impl Pieces for Begun<'_> {
    fn pieces(&self) -> usize {
        self.ranges.pieces()
    }

    fn reads(&self) -> &[u8] {
        self.weight.bytes
    }

    fn work(&self, piece: usize) {
        let Self { weight, x, place, ranges, unit } = self;
        let range = ranges.get(piece);
        let part = Part { weight: *weight, x, first: range.start, count: range.len(), place };
        match weight.bits {
            8 => unit.run(Products::<Eight>(part, PhantomData)),
            _ => unit.run(Products::<Four>(part, PhantomData)),
        }
    }
}

/// All blocks of `x`, row after row.
pub fn inputs(x: &[f32], unit: Unit) -> Vec<Inputs> {
    let x = x.as_chunks().0;
    let mut found: Vec<Inputs> = Vec::with_capacity(x.len());
    let place = Place::spare(&mut found);
    share_ranges(x.len(), 4 * BLOCK * x.len(), |range| {
        unit.run(Round { x: &x[range.clone()], first: range.start, place: &place });
    });
    // SAFETY: all blocks have been written.
    #[allow(unsafe_code)]
    unsafe {
        found.set_len(x.len());
    }
    found
}

/// Some blocks, and where they go.
struct Round<'a> {
    x: &'a [[f32; BLOCK]],
    first: usize,
    place: &'a Place<'a, Inputs>,
}

impl Work for Round<'_> {
    #[inline(always)]
    fn run(self, lanes: impl Lanes) {
        for (i, x) in self.x.iter().enumerate() {
            // SAFETY: there is room for all blocks, and nobody else writes this one.
            #[allow(unsafe_code)]
            unsafe {
                self.place.at(self.first + i).write(Inputs::of(lanes, x));
            }
        }
    }
}

/// Some panels of a weight, and all of `x`.
#[derive(Clone, Copy)]
struct Part<'a> {
    weight: Panels<'a>,
    x: &'a [Inputs],
    first: usize,
    count: usize,
    place: &'a Place<'a, f32>,
}

/// How many bits numbers have, as a type.
trait Bits {
    const OFFSET: i32;

    /// Of all rows of a panel.
    type Block: AsRef<[u8]>;

    /// Words that share their bytes.
    type Words<L: Lanes>: AsRef<[L::Bytes]>;

    fn blocks(bytes: &[u8]) -> &[Self::Block];

    fn words<L: Lanes>(lanes: L, bytes: &[u8; SIDE]) -> Self::Words<L>;
}

struct Eight;

impl Bits for Eight {
    const OFFSET: i32 = offset(8);
    type Block = [u8; WORDS * SIDE];
    type Words<L: Lanes> = [L::Bytes; 1];

    #[inline(always)]
    fn blocks(bytes: &[u8]) -> &[Self::Block] {
        bytes.as_chunks().0
    }

    #[inline(always)]
    fn words<L: Lanes>(lanes: L, bytes: &[u8; SIDE]) -> Self::Words<L> {
        [lanes.bytes(bytes)]
    }
}

struct Four;

impl Bits for Four {
    const OFFSET: i32 = offset(4);
    type Block = [u8; WORDS / 2 * SIDE];
    type Words<L: Lanes> = [L::Bytes; 2];

    #[inline(always)]
    fn blocks(bytes: &[u8]) -> &[Self::Block] {
        bytes.as_chunks().0
    }

    #[inline(always)]
    fn words<L: Lanes>(lanes: L, bytes: &[u8; SIDE]) -> Self::Words<L> {
        lanes.nibbles(bytes)
    }
}

/// Sums of a block with `K` others. They begin with what [`offset`] adds to them too much.
#[inline(always)]
fn sums<L: Lanes, B: Bits, const K: usize>(
    lanes: L,
    block: &B::Block,
    x: [&Inputs; K],
) -> [L::Sums; K] {
    let mut sums = [lanes.begin(0); K];
    for k in 0..K {
        sums[k] = lanes.begin(-B::OFFSET * x[k].sum);
    }
    for (i, bytes) in block.as_ref().as_chunks().0.iter().enumerate() {
        let words = B::words(lanes, bytes);
        let words = words.as_ref();
        for (j, word) in words.iter().enumerate() {
            for k in 0..K {
                sums[k] = lanes.dot(sums[k], *word, &x[k].words[i * words.len() + j]);
            }
        }
    }
    sums
}

struct Products<'a, B>(Part<'a>, PhantomData<B>);

impl<B: Bits> Work for Products<'_, B> {
    #[inline(always)]
    fn run(self, lanes: impl Lanes) {
        let Part { weight, x, first, count, .. } = self.0;
        let blocks = weight.width / BLOCK;
        let rows = x.len() / blocks;
        if rows == 1 {
            let far = count / STREAMS;
            for i in first..first + far {
                self.four(lanes, [0, 1, 2, 3].map(|stream| i + stream * far));
            }
            for i in first + far * STREAMS..first + count {
                self.many::<1>(lanes, i, 0);
            }
            return;
        }
        let near = NEAR / (blocks * size_of::<Inputs>()) / TOGETHER * TOGETHER;
        let near = near.max(TOGETHER);
        for top in (0..rows).step_by(near) {
            let end = rows.min(top + near);
            for panel in first..first + count {
                let mut row = top;
                while row < end {
                    row += match end - row {
                        TOGETHER.. => self.many::<TOGETHER>(lanes, panel, row),
                        4.. => self.many::<4>(lanes, panel, row),
                        2.. => self.many::<2>(lanes, panel, row),
                        _ => self.many::<1>(lanes, panel, row),
                    };
                }
            }
        }
    }
}

impl<B: Bits> Products<'_, B> {
    /// The blocks of a panel and their scales, so many of each.
    #[inline(always)]
    fn part(&self, panel: usize, count: usize) -> (&[B::Block], &[[u8; 2 * ROWS]]) {
        let (numbers, scales) = self.0.weight.part(panel);
        (&B::blocks(numbers)[..count], &scales.as_chunks().0[..count])
    }

    /// The products of four panels with a single row.
    #[inline(always)]
    fn four(&self, lanes: impl Lanes, panels: [usize; STREAMS]) {
        let (x, size) = (self.0.x, self.0.weight.panel());
        let a = self.part(panels[0], x.len());
        let b = self.part(panels[1], x.len());
        let c = self.part(panels[2], x.len());
        let d = self.part(panels[3], x.len());
        let mut found = [lanes.splat(0.0); STREAMS];
        for (i, x) in x.iter().enumerate() {
            found[0] = add::<_, B>(lanes, &a.0[i], &a.1[i], x, size, found[0]);
            found[1] = add::<_, B>(lanes, &b.0[i], &b.1[i], x, size, found[1]);
            found[2] = add::<_, B>(lanes, &c.0[i], &c.1[i], x, size, found[2]);
            found[3] = add::<_, B>(lanes, &d.0[i], &d.1[i], x, size, found[3]);
        }
        for (panel, found) in panels.into_iter().zip(found) {
            self.put(panel, 0, lanes.store(found));
        }
    }

    /// The products of a panel with `K` rows.
    #[inline(always)]
    fn many<const K: usize>(&self, lanes: impl Lanes, panel: usize, row: usize) -> usize {
        let Part { weight, x, .. } = self.0;
        let blocks = weight.width / BLOCK;
        let (numbers, scales) = self.part(panel, blocks);
        let mut inputs = [x; K];
        for k in 0..K {
            inputs[k] = &x[(row + k) * blocks..][..blocks];
        }
        let mut found = [lanes.splat(0.0); K];
        for b in 0..blocks {
            let mut x = [&inputs[0][b]; K];
            for k in 0..K {
                x[k] = &inputs[k][b];
            }
            let sums = sums::<_, B, K>(lanes, &numbers[b], x);
            let scales = lanes.f16(&scales[b]);
            for k in 0..K {
                let scale = lanes.mul(scales, lanes.splat(x[k].scale));
                found[k] = lanes.mul_add(lanes.finish(sums[k]), scale, found[k]);
            }
        }
        for (k, found) in found.into_iter().enumerate() {
            self.put(panel, row + k, lanes.store(found));
        }
        K
    }

    /// Writes the products of a row with those rows of a panel that are there.
    #[inline(always)]
    fn put(&self, panel: usize, row: usize, found: [f32; ROWS]) {
        let Part { weight: Panels { out, .. }, place, .. } = self.0;
        let first = panel * ROWS;
        // SAFETY: nobody else writes the products with this panel, and there is room for them.
        #[allow(unsafe_code)]
        let to = unsafe { place.part(row * out + first, ROWS.min(out - first)) };
        to.copy_from_slice(&found[..to.len()]);
    }
}

/// Adds the products of a block with another, and asks for what comes behind it; panels follow each
/// other after so many bytes.
#[inline(always)]
fn add<L: Lanes, B: Bits>(
    lanes: L,
    block: &B::Block,
    scales: &[u8; 2 * ROWS],
    x: &Inputs,
    panel: usize,
    found: L::Numbers,
) -> L::Numbers {
    let bytes = block.as_ref();
    for at in (0..bytes.len()).step_by(SIDE) {
        ahead(&raw const bytes[at]);
    }
    soon(scales.as_ptr().wrapping_add(panel));
    let [sums] = sums::<_, B, 1>(lanes, block, [x]);
    let scales = lanes.mul(lanes.f16(scales), lanes.splat(x.scale));
    lanes.mul_add(lanes.finish(sums), scales, found)
}
