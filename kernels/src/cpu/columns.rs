//! Products of a few rows with a matrix `[in, out]`, whose rows are read one after the other: thin
//! matrices lie like that.
//!
//! Every row of the matrix adds to all sums at once, so memory is read in its order. The rows are cut
//! into parts for threads, by size alone: on every machine sums are rounded the same way.

use std::marker::PhantomData;

use super::lanes::{LANES, Lanes, STREAMS, Unit, Work, ahead};
use super::place::Place;
use super::streams::{Bf16, F16, F32, Number, Read, Streams};
use super::team::share;

/// Bytes of a matrix that a thread reads at a time.
const PART: usize = 1 << 15;

/// The products of every row of `x` with every column of the matrix, of which `x` has as many as it has
/// rows.
pub fn product(x: &[f32], matrix: Streams, unit: Unit) -> Vec<f32> {
    match matrix.number {
        Number::F32 => of::<F32>(x, matrix, unit),
        Number::Bf16 => of::<Bf16>(x, matrix, unit),
        Number::F16 => of::<F16>(x, matrix, unit),
    }
}

fn of<N: Read>(x: &[f32], matrix: Streams, unit: Unit) -> Vec<f32> {
    let Streams { bytes, out: width, width: out, .. } = matrix;
    let rows = x.len().checked_div(width).unwrap_or(0);
    if rows * out == 0 {
        return vec![];
    }
    let parts = (bytes.len() / PART).clamp(1, width);
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
            let bytes = &bytes[first * out * N::SIZE..][..count * out * N::SIZE];
            unit.run(Sum::<N> { x: &x[first..][..count], bytes, sums, number: PhantomData });
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
struct Sum<'a, N> {
    x: &'a [f32],
    bytes: &'a [u8],
    sums: &'a mut [f32],
    number: PhantomData<N>,
}

impl<N: Read> Work for Sum<'_, N> {
    #[inline(always)]
    fn run(self, lanes: impl Lanes) {
        let Self { x, bytes, sums, .. } = self;
        let (size, far) = (sums.len() * N::SIZE, x.len() / STREAMS);
        for i in 0..far {
            let rows = [0, 1, 2, 3].map(|stream| stream * far + i);
            let factors = rows.map(|row| x[row]);
            add::<_, N, STREAMS>(
                lanes,
                factors,
                rows.map(|row| &bytes[row * size..][..size]),
                sums,
            );
        }
        for row in far * STREAMS..x.len() {
            add::<_, N, 1>(lanes, [x[row]], [&bytes[row * size..][..size]], sums);
        }
    }
}

#[inline(always)]
fn add<L: Lanes, N: Read, const R: usize>(
    lanes: L,
    x: [f32; R],
    rows: [&[u8]; R],
    sums: &mut [f32],
) {
    let one = lanes.splat(1.0);
    let mut factors = [one; R];
    for r in 0..R {
        factors[r] = lanes.splat(x[r]);
    }
    let (whole, rest) = sums.as_chunks_mut::<LANES>();
    let end = whole.len() * LANES * N::SIZE;
    for (i, sums) in whole.iter_mut().enumerate() {
        // These by themselves first: so less is rounded away.
        let mut more = lanes.splat(0.0);
        for r in 0..R {
            let bytes = &rows[r][i * LANES * N::SIZE..][..LANES * N::SIZE];
            ahead(bytes.as_ptr());
            more = lanes.mul_add(N::some(lanes, bytes), factors[r], more);
        }
        *sums = lanes.store(lanes.mul_add(lanes.load(sums), one, more));
    }
    if rest.is_empty() {
        return;
    }
    let mut more = lanes.splat(0.0);
    for r in 0..R {
        let mut last = [0; 4 * LANES];
        let bytes = &rows[r][end..];
        last[..bytes.len()].copy_from_slice(bytes);
        more = lanes.mul_add(N::some(lanes, &last), factors[r], more);
    }
    rest.iter_mut().zip(lanes.store(more)).for_each(|(sum, more)| *sum += more);
}
