//! Products of a few rows with a matrix `[in, out]`, whose rows are read one after the other: thin
//! matrices lie like that.

use std::ops::Range;

use super::lanes::{LANES, Lanes, Unit, Work};
use super::place::Place;
use super::team::{pieces, share};

/// Columns that are summed up at a time fill so many registers.
const WIDE: usize = 4;

/// The products of every row of `x`, as wide as `matrix` is high, with every one of its `out` columns.
pub fn product(x: &[f32], matrix: &[f32], out: usize, unit: Unit) -> Vec<f32> {
    let Some(width) = matrix.len().checked_div(out).filter(|width| *width > 0) else {
        return vec![];
    };
    let rows = x.len() / width;
    let mut y = vec![0.0; rows * out];
    let place = Place::of(&mut y);
    let groups = out.div_ceil(2 * LANES);
    let pieces = pieces(4 * matrix.len(), groups);
    let per = groups.div_ceil(pieces) * 2 * LANES;
    share(pieces, |piece| {
        let (first, end) = ((piece * per).min(out), ((piece + 1) * per).min(out));
        let part = Part { x, matrix, width, out, place: &place };
        let mut row = 0;
        while row < rows {
            row += match rows - row {
                4.. => few::<4>(part, row, first..end, unit),
                2.. => few::<2>(part, row, first..end, unit),
                _ => few::<1>(part, row, first..end, unit),
            };
        }
    });
    y
}

#[derive(Clone, Copy)]
struct Part<'a> {
    x: &'a [f32],
    matrix: &'a [f32],
    width: usize,
    out: usize,
    place: &'a Place<'a, f32>,
}

/// The products of `K` rows of `x` with some columns.
fn few<const K: usize>(part: Part, row: usize, columns: Range<usize>, unit: Unit) -> usize {
    unit.run(Products::<K> { part, row, columns });
    K
}

struct Products<'a, const K: usize> {
    part: Part<'a>,
    row: usize,
    columns: Range<usize>,
}

impl<const K: usize> Work for Products<'_, K> {
    #[inline(always)]
    fn run(self, lanes: impl Lanes) {
        let Range { start: mut first, end } = self.columns;
        while end - first >= WIDE * LANES {
            self.columns_from::<WIDE>(lanes, first, LANES);
            first += WIDE * LANES;
        }
        while first < end {
            self.columns_from::<1>(lanes, first, LANES.min(end - first));
            first += LANES;
        }
    }
}

impl<const K: usize> Products<'_, K> {
    /// `R` registers of columns; `count` columns of the last one.
    #[inline(always)]
    fn columns_from<const R: usize>(&self, lanes: impl Lanes, first: usize, count: usize) {
        let Part { x, matrix, width, out, place } = self.part;
        let mut sums = [[lanes.splat(0.0); R]; K];
        for (i, numbers) in matrix.chunks_exact(out).enumerate() {
            let mut w = [lanes.splat(0.0); R];
            for r in 0..R {
                w[r] = match numbers[first + r * LANES..].first_chunk() {
                    Some(numbers) => lanes.load(numbers),
                    None => {
                        let mut some = [0.0; LANES];
                        some[..count].copy_from_slice(&numbers[first..first + count]);
                        lanes.load(&some)
                    }
                };
            }
            for k in 0..K {
                let x = lanes.splat(x[(self.row + k) * width + i]);
                for r in 0..R {
                    sums[k][r] = lanes.mul_add(w[r], x, sums[k][r]);
                }
            }
        }
        for (k, sums) in sums.into_iter().enumerate() {
            for (r, sums) in sums.into_iter().enumerate() {
                // SAFETY: nobody else writes these columns, and there is room for them.
                #[allow(unsafe_code)]
                let to = unsafe { place.part((self.row + k) * out + first + r * LANES, count) };
                to.copy_from_slice(&lanes.store(sums)[..count]);
            }
        }
    }
}
