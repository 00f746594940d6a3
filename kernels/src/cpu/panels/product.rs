//! Products with panels.

use super::{BLOCK, Panels, ROWS, SIDE, WORDS, offset};
use crate::cpu::lanes::{LARGEST, Lanes, STREAMS, Unit, Word, Work, ahead};
use crate::cpu::place::Place;
use crate::cpu::team::share_ranges;

/// Rows that are multiplied at a time.
const TOGETHER: usize = 8;

/// Bytes of what weights are multiplied with that stay in a near cache while a weight passes.
const NEAR: usize = 1 << 18;

/// A block of what weights are multiplied with: words, what one of them stands for, and the sum of
/// their numbers.
#[derive(Clone, Copy)]
struct Inputs {
    words: [Word; WORDS],
    scale: f32,
    sum: i32,
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
            *whole = (number * step).round_ties_even() as i32;
            sum += *whole;
        }
        let whole = whole.map(|whole| whole as i16);
        let mut words = [Word::default(); WORDS];
        for (word, whole) in words.iter_mut().zip(whole.as_chunks().0) {
            *word = lanes.word(*whole);
        }
        Self { words, scale, sum }
    }
}

/// The products of every row of `x` with every row of the weight, row after row of `x`.
pub fn product(x: &[f32], weight: Panels, unit: Unit) -> Vec<f32> {
    let Panels { out, width, .. } = weight;
    let rows = x.len().checked_div(width).unwrap_or(0);
    let mut y = vec![0.0; rows * out];
    if y.is_empty() {
        return y;
    }
    let x = inputs(x, unit);
    let place = Place::of(&mut y);
    share_ranges(out.div_ceil(ROWS), weight.bytes.len(), |range| {
        let part = Part { weight, x: &x, first: range.start, count: range.len(), place: &place };
        match weight.bits {
            8 => unit.run(Products::<8>(part)),
            _ => unit.run(Products::<4>(part)),
        }
    });
    y
}

/// All blocks of `x`.
fn inputs(x: &[f32], unit: Unit) -> Vec<Inputs> {
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

struct Products<'a, const BITS: usize>(Part<'a>);

impl<const BITS: usize> Work for Products<'_, BITS> {
    #[inline(always)]
    fn run(self, lanes: impl Lanes) {
        let Part { weight, x, first, count, .. } = self.0;
        let blocks = weight.width / BLOCK;
        let rows = x.len() / blocks;
        if rows == 1 {
            let far = count / STREAMS;
            for i in first..first + far {
                self.one::<STREAMS>(lanes, [0, 1, 2, 3].map(|stream| i + stream * far));
            }
            for i in first + far * STREAMS..first + count {
                self.one::<1>(lanes, [i]);
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

impl<const BITS: usize> Products<'_, BITS> {
    /// The products of some panels with a single row.
    #[inline(always)]
    fn one<const R: usize>(&self, lanes: impl Lanes, panels: [usize; R]) {
        let Part { weight, x, .. } = self.0;
        let size = weight.block();
        let mut found = [lanes.splat(0.0); R];
        let parts = panels.map(|panel| weight.part(panel));
        for (b, x) in x.iter().enumerate() {
            let scale = lanes.splat(x.scale);
            for r in 0..R {
                let (numbers, scales) = parts[r];
                let bytes = &numbers[b * size..][..size];
                bytes.chunks_exact(SIDE).for_each(|line| ahead(line.as_ptr()));
                let [sums] = block::<_, BITS, 1>(lanes, bytes, [x]);
                let scales = lanes.f16(&scales.as_chunks().0[b]);
                found[r] = lanes.mul_add(lanes.finish(sums), lanes.mul(scales, scale), found[r]);
            }
        }
        for r in 0..R {
            self.put(panels[r], 0, lanes.store(found[r]));
        }
    }

    /// The products of a panel with `K` rows.
    #[inline(always)]
    fn many<const K: usize>(&self, lanes: impl Lanes, panel: usize, row: usize) -> usize {
        let Part { weight, x, .. } = self.0;
        let (size, blocks) = (weight.block(), weight.width / BLOCK);
        let (bytes, scales) = weight.part(panel);
        let x = &x[row * blocks..][..K * blocks];
        let mut found = [lanes.splat(0.0); K];
        let scales = scales.as_chunks().0;
        for (b, (bytes, scales)) in bytes.chunks_exact(size).zip(scales).enumerate() {
            let mut inputs = [&x[b]; K];
            for k in 0..K {
                inputs[k] = &x[k * blocks + b];
            }
            let sums = block::<_, BITS, K>(lanes, bytes, inputs);
            let scales = lanes.f16(scales);
            for k in 0..K {
                let scale = lanes.mul(scales, lanes.splat(inputs[k].scale));
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

/// Sums of a block of all rows of a panel with `K` others.
#[inline(always)]
fn block<L: Lanes, const BITS: usize, const K: usize>(
    lanes: L,
    bytes: &[u8],
    x: [&Inputs; K],
) -> [L::Sums; K] {
    let mut sums = [lanes.begin(0); K];
    for k in 0..K {
        sums[k] = lanes.begin(-offset(BITS) * x[k].sum);
    }
    for (i, bytes) in bytes.as_chunks().0.iter().enumerate() {
        if BITS == 8 {
            let bytes = lanes.bytes(bytes);
            for k in 0..K {
                sums[k] = lanes.dot(sums[k], bytes, &x[k].words[i]);
            }
        } else {
            let [low, high] = lanes.nibbles(bytes);
            for k in 0..K {
                sums[k] = lanes.dot(sums[k], low, &x[k].words[2 * i]);
                sums[k] = lanes.dot(sums[k], high, &x[k].words[2 * i + 1]);
            }
        }
    }
    sums
}
