//! Products of a few rows with a matrix `[in, out]`, whose rows are read one after the other: thin
//! matrices lie like that.
//!
//! Every row of the matrix adds to all sums at once, so memory is read in its order. The rows are cut
//! into parts for threads, by size alone: on every machine sums are rounded the same way.

use super::lanes::{LANES, Lanes, STREAMS, Unit, Work, ahead};
use super::place::Place;
use super::team::share;

/// Bytes of a matrix that a thread reads at a time.
const PART: usize = 1 << 16;

/// The products of every row of `x`, as wide as `matrix` is high, with every one of its `out` columns.
pub fn product(x: &[f32], matrix: &[f32], out: usize, unit: Unit) -> Vec<f32> {
    let Some(width) = matrix.len().checked_div(out).filter(|width| *width > 0) else {
        return vec![];
    };
    let rows = x.len() / width;
    if rows == 0 {
        return vec![];
    }
    let parts = (4 * matrix.len() / PART).clamp(1, width);
    let per = width.div_ceil(parts);
    let parts = width.div_ceil(per);
    let mut sums = vec![0.0; parts * rows * out];
    let place = Place::of(&mut sums);
    share(parts, |part| {
        let (first, count) = (part * per, per.min(width - part * per));
        // SAFETY: every part has sums of its own.
        #[allow(unsafe_code)]
        let sums = unsafe { place.part(part * rows * out, rows * out) };
        for (x, sums) in x.chunks_exact(width).zip(sums.chunks_exact_mut(out)) {
            let (x, matrix) = (&x[first..][..count], &matrix[first * out..][..count * out]);
            unit.run(Sum { x, matrix, sums });
        }
    });
    let (y, others) = sums.split_at_mut(rows * out);
    for part in others.chunks_exact(rows * out) {
        y.iter_mut().zip(part).for_each(|(y, more)| *y += more);
    }
    sums.truncate(rows * out);
    sums
}

/// Adds some rows of a matrix, each times a number of `x`.
struct Sum<'a> {
    x: &'a [f32],
    matrix: &'a [f32],
    sums: &'a mut [f32],
}

impl Work for Sum<'_> {
    #[inline(always)]
    fn run(self, lanes: impl Lanes) {
        let Self { x, matrix, sums } = self;
        let (out, far) = (sums.len(), x.len() / STREAMS);
        for i in 0..far {
            let rows = [0, 1, 2, 3].map(|stream| stream * far + i);
            add(lanes, rows.map(|row| (x[row], &matrix[row * out..][..out])), sums);
        }
        for row in far * STREAMS..x.len() {
            add(lanes, [(x[row], &matrix[row * out..][..out])], sums);
        }
    }
}

#[inline(always)]
fn add<const R: usize>(lanes: impl Lanes, rows: [(f32, &[f32]); R], sums: &mut [f32]) {
    let (factors, one) = (rows.map(|(x, _)| lanes.splat(x)), lanes.splat(1.0));
    let (whole, rest) = sums.as_chunks_mut::<LANES>();
    let first = whole.len() * LANES;
    for (i, sums) in whole.iter_mut().enumerate() {
        // These by themselves first: so less is rounded away.
        let mut more = lanes.splat(0.0);
        for r in 0..R {
            let row = &rows[r].1[i * LANES..];
            ahead(row.as_ptr());
            more = lanes.mul_add(lanes.load(row.first_chunk().expect("whole")), factors[r], more);
        }
        *sums = lanes.store(lanes.mul_add(lanes.load(sums), one, more));
    }
    for (i, sum) in rest.iter_mut().enumerate() {
        *sum += rows.iter().map(|(x, row)| x * row[first + i]).sum::<f32>();
    }
}
