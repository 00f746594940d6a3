//! Products of a few rows with a matrix `[in, out]`, whose rows are read one after the other: thin
//! matrices lie like that, and those of which a row is often multiplied with zero. Such rows are not
//! read.
//!
//! Every row of the matrix adds to all sums at once, so memory is read in its order. The rows are cut
//! into parts for threads, by size alone: on every machine sums are rounded the same way.

use std::marker::PhantomData;

use super::lanes::{AHEAD, LANES, Lanes, STREAMS, Unit, Work, soon};
use super::place::Place;
use super::streams::{Bf16, F16, F32, Number, Read, Streams};
use super::team::Pieces;

/// Bytes of a matrix that a thread reads at a time.
const PART: usize = 1 << 16;

/// Parts that a matrix is cut into at most: each has sums of its own, which are added up in the end.
const MOST: usize = 8;

/// How the rows of a matrix are cut: into so many parts of so many rows, the last of which may have
/// fewer.
fn cut(matrix: Streams) -> [usize; 2] {
    let Streams { bytes, out: width, .. } = matrix;
    let parts = (bytes.len() / PART).min(MOST).next_multiple_of(2).clamp(1, width);
    let per = width.div_ceil(parts);
    [width.div_ceil(per), per]
}

/// Room for so many products: sums of every part.
pub fn room(matrix: Streams, products: usize) -> Vec<f32> {
    vec![0.0; if products == 0 { 0 } else { cut(matrix)[0] * products }]
}

/// Begins the products of every row of `x` with every column of the matrix, of which `x` has as many as
/// it has rows; [`finish`] ends them.
pub fn begin<'a>(
    x: &'a [f32],
    matrix: Streams<'a>,
    unit: Unit,
    room: &'a mut [f32],
) -> Box<dyn Pieces + 'a> {
    let parts = if room.is_empty() { 0 } else { cut(matrix)[0] };
    let sums = Place::of(room);
    match matrix.number {
        Number::F32 => Box::new(Begun::<F32> { x, matrix, sums, parts, unit, number: PhantomData }),
        Number::Bf16 => {
            Box::new(Begun::<Bf16> { x, matrix, sums, parts, unit, number: PhantomData })
        }
        Number::F16 => Box::new(Begun::<F16> { x, matrix, sums, parts, unit, number: PhantomData }),
    }
}

/// Products that have begun.
struct Begun<'a, N> {
    x: &'a [f32],
    matrix: Streams<'a>,
    sums: Place<'a, f32>,
    parts: usize,
    unit: Unit,
    number: PhantomData<N>,
}

impl<N: Read + Sync> Pieces for Begun<'_, N> {
    fn pieces(&self) -> usize {
        self.parts
    }

    fn reads(&self) -> &[u8] {
        let skipped = self.x.iter().filter(|x| skips::<N>(**x)).count();
        // Which of its rows are read will be known too late to fetch them.
        &self.matrix.bytes[..if skipped > self.x.len() / 4 { 0 } else { self.matrix.bytes.len() }]
    }

    fn work(&self, piece: usize) {
        let Streams { bytes, out: width, width: out, .. } = self.matrix;
        let (size, [_, per]) = (self.x.len() / width * out, cut(self.matrix));
        let (first, count) = (piece * per, per.min(width - piece * per));
        // SAFETY: every part has sums of its own.
        #[allow(unsafe_code)]
        let sums = unsafe { self.sums.part(piece * size, size) };
        for (x, sums) in self.x.chunks_exact(width).zip(sums.chunks_exact_mut(out)) {
            let bytes = &bytes[first * out * N::SIZE..][..count * out * N::SIZE];
            self.unit.run(Sum::<N> { x: &x[first..][..count], bytes, sums, number: PhantomData });
        }
    }
}

/// The products, of the sums of parts: so many.
pub fn finish(sums: &mut Vec<f32>, products: usize) {
    let (y, others) = sums.split_at_mut(products);
    for part in others.chunks_exact(products.max(1)) {
        y.iter_mut().zip(part).for_each(|(y, more)| *y += more);
    }
    sums.truncate(products);
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
        let read: Vec<usize> = (0..x.len()).filter(|row| !skips::<N>(x[*row])).collect();
        let Some(last) = read.last() else { return };
        let size = sums.len() * N::SIZE;
        let row = |row: usize| &bytes[row * size..][..size];
        let (far, next) = (read.len() / STREAMS, (AHEAD / size.max(1)).max(1));
        for i in 0..far {
            let rows = [0, 1, 2, 3].map(|stream| {
                let at = stream * far + i;
                Row {
                    x: x[read[at]],
                    bytes: row(read[at]),
                    next: row(*read.get(at + next).unwrap_or(last)),
                }
            });
            add::<_, N, STREAMS>(lanes, rows, sums);
        }
        for at in &read[far * STREAMS..] {
            add::<_, N, 1>(lanes, [Row { x: x[*at], bytes: row(*at), next: row(*last) }], sums);
        }
    }
}

/// Whether a row that is multiplied with this number is left out. The numbers of packed matrices are
/// finite; those that are learnt may become anything, and then show it.
fn skips<N: Read>(x: f32) -> bool {
    N::SIZE < 4 && x == 0.0
}

/// A row of a matrix, what it is multiplied with, and a row that is read soon.
#[derive(Clone, Copy)]
struct Row<'a> {
    x: f32,
    bytes: &'a [u8],
    next: &'a [u8],
}

#[inline(always)]
fn add<L: Lanes, N: Read, const R: usize>(lanes: L, rows: [Row; R], sums: &mut [f32]) {
    let one = lanes.splat(1.0);
    let mut factors = [one; R];
    for r in 0..R {
        factors[r] = lanes.splat(rows[r].x);
    }
    let (whole, rest) = sums.as_chunks_mut::<LANES>();
    let end = whole.len() * LANES * N::SIZE;
    for (i, sums) in whole.iter_mut().enumerate() {
        // These by themselves first: so less is rounded away.
        let mut more = lanes.splat(0.0);
        for r in 0..R {
            let bytes = &rows[r].bytes[i * LANES * N::SIZE..][..LANES * N::SIZE];
            soon(&raw const rows[r].next[i * LANES * N::SIZE]);
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
        let bytes = &rows[r].bytes[end..];
        last[..bytes.len()].copy_from_slice(bytes);
        more = lanes.mul_add(N::some(lanes, &last), factors[r], more);
    }
    rest.iter_mut().zip(lanes.store(more)).for_each(|(sum, more)| *sum += more);
}
