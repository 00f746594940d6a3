//! Products of a few rows with weights in f32, bf16 and half precision, which are read where they lie.
//!
//! Memory is the limit here: a thread reads rows of four far places at a time.

use std::marker::PhantomData;

use super::lanes::{LANES, Lanes, STREAMS, Unit, Work, ahead};
use super::place::Place;
use super::team::{Pieces, Ranges};

/// A weight `[out, width]` whose numbers stand alone, little-endian.
#[derive(Clone, Copy)]
pub struct Streams<'a> {
    pub bytes: &'a [u8],
    pub number: Number,
    pub out: usize,
    pub width: usize,
}

/// What a number is stored as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    F32,
    Bf16,
    F16,
}

/// [`Number`] as a type.
pub trait Read {
    /// Bytes of a number.
    const SIZE: usize;

    /// [`LINE`] numbers.
    type Line: AsRef<[u8]>;

    /// The whole lines of a row.
    fn lines(row: &[u8]) -> &[Self::Line];

    /// Sixteen numbers from the first bytes, in their order.
    fn some<L: Lanes>(lanes: L, bytes: &[u8]) -> L::Numbers;

    /// A line.
    #[inline(always)]
    fn line<L: Lanes>(lanes: L, line: &Self::Line) -> [L::Numbers; 2] {
        let (low, high) = line.as_ref().split_at(LANES * Self::SIZE);
        [Self::some(lanes, low), Self::some(lanes, high)]
    }

    /// What a line is multiplied with, in the order in which [`Read::line`] gives its numbers.
    fn arrange(x: [f32; LINE]) -> [f32; LINE] {
        x
    }
}

pub struct F32;

impl Read for F32 {
    const SIZE: usize = 4;
    type Line = [u8; 4 * LINE];

    #[inline(always)]
    fn lines(row: &[u8]) -> &[Self::Line] {
        row.as_chunks().0
    }

    #[inline(always)]
    fn some<L: Lanes>(lanes: L, bytes: &[u8]) -> L::Numbers {
        lanes.f32(bytes.first_chunk().expect("sixteen numbers"))
    }
}

pub struct Bf16;

impl Read for Bf16 {
    const SIZE: usize = 2;
    type Line = [u8; 2 * LINE];

    #[inline(always)]
    fn lines(row: &[u8]) -> &[Self::Line] {
        row.as_chunks().0
    }

    #[inline(always)]
    fn some<L: Lanes>(lanes: L, bytes: &[u8]) -> L::Numbers {
        lanes.bf16(bytes.first_chunk().expect("sixteen numbers"))
    }

    #[inline(always)]
    fn line<L: Lanes>(lanes: L, line: &Self::Line) -> [L::Numbers; 2] {
        lanes.bf16_pairs(line)
    }

    /// The first of all pairs before the second.
    fn arrange(x: [f32; LINE]) -> [f32; LINE] {
        std::array::from_fn(|i| x[i % LANES * 2 + i / LANES])
    }
}

pub struct F16;

impl Read for F16 {
    const SIZE: usize = 2;
    type Line = [u8; 2 * LINE];

    #[inline(always)]
    fn lines(row: &[u8]) -> &[Self::Line] {
        row.as_chunks().0
    }

    #[inline(always)]
    fn some<L: Lanes>(lanes: L, bytes: &[u8]) -> L::Numbers {
        lanes.f16(bytes.first_chunk().expect("sixteen numbers"))
    }
}

/// Numbers that are read at once.
pub const LINE: usize = 2 * LANES;

/// Begins the products of every row of `x` with every row of the weight; they go to `y`, row after row
/// of `x`.
pub fn begin<'a>(
    x: &[f32],
    weight: Streams<'a>,
    unit: Unit,
    y: &'a mut [f32],
) -> Box<dyn Pieces + 'a> {
    match weight.number {
        Number::F32 => Box::new(Begun::<F32>::new(x, weight, unit, y)),
        Number::Bf16 => Box::new(Begun::<Bf16>::new(x, weight, unit, y)),
        Number::F16 => Box::new(Begun::<F16>::new(x, weight, unit, y)),
    }
}

/// Products that have begun.
struct Begun<'a, N> {
    weight: Streams<'a>,
    x: Vec<[f32; LINE]>,
    place: Place<'a, f32>,
    rows: usize,
    ranges: Ranges,
    unit: Unit,
    number: PhantomData<N>,
}

impl<'a, N: Read> Begun<'a, N> {
    fn new(x: &[f32], weight: Streams<'a>, unit: Unit, y: &'a mut [f32]) -> Self {
        let Streams { out, width, .. } = weight;
        let rows = x.len().checked_div(width).unwrap_or(0);
        assert_eq!(y.len(), rows * out, "there is room for all products");
        let (x, number) = (arranged::<N>(x, width), PhantomData);
        let ranges = Ranges::new(out, weight.bytes.len(), STREAMS);
        Self { weight, x, place: Place::of(y), rows, ranges, unit, number }
    }
}

impl<N: Read + Sync> Pieces for Begun<'_, N> {
    fn pieces(&self) -> usize {
        self.ranges.pieces()
    }

    fn reads(&self) -> &[u8] {
        self.weight.bytes
    }

    fn work(&self, piece: usize) {
        let Self { weight, unit, rows, place, .. } = self;
        let (range, lines) = (self.ranges.get(piece), weight.width.div_ceil(LINE));
        let (first, count) = (range.start, range.len());
        let mut done = 0;
        while done < *rows {
            let (x, y) = (&self.x[done * lines..], done * weight.out + first);
            let part = Part { weight: *weight, x, first, count, place, y };
            done += match rows - done {
                8.. => few::<N, 8>(part, *unit),
                4.. => few::<N, 4>(part, *unit),
                2.. => few::<N, 2>(part, *unit),
                _ => few::<N, 1>(part, *unit),
            };
        }
    }
}

/// Rows in lines; the last one of each is filled up with zeros.
fn arranged<N: Read>(x: &[f32], width: usize) -> Vec<[f32; LINE]> {
    let line = |part: &[f32]| {
        let mut line = [0.0; LINE];
        line[..part.len()].copy_from_slice(part);
        N::arrange(line)
    };
    let rows = x.chunks_exact(width.max(1));
    rows.flat_map(|row| row.chunks(LINE)).map(line).collect()
}

/// Some rows of a weight, and the first rows of `x`.
#[derive(Clone, Copy)]
struct Part<'a> {
    weight: Streams<'a>,
    x: &'a [[f32; LINE]],
    first: usize,
    count: usize,
    place: &'a Place<'a, f32>,
    /// Where the first product goes.
    y: usize,
}

/// Multiplies `K` rows of `x`.
fn few<N: Read, const K: usize>(part: Part, unit: Unit) -> usize {
    unit.run(Products::<N, K>(part, PhantomData));
    K
}

struct Products<'a, N, const K: usize>(Part<'a>, PhantomData<N>);

impl<N: Read, const K: usize> Work for Products<'_, N, K> {
    #[inline(always)]
    fn run(self, lanes: impl Lanes) {
        let Part { first, count, .. } = self.0;
        let far = count / STREAMS;
        // Sums of many rows at a time have no room in registers.
        if K <= 4 {
            for i in first..first + far {
                self.rows::<STREAMS>(lanes, [0, 1, 2, 3].map(|stream| i + stream * far));
            }
        } else {
            for i in first..first + far {
                self.rows::<2>(lanes, [i, i + far]);
                self.rows::<2>(lanes, [i + 2 * far, i + 3 * far]);
            }
        }
        for i in first + far * STREAMS..first + count {
            self.rows::<1>(lanes, [i]);
        }
    }
}

impl<N: Read, const K: usize> Products<'_, N, K> {
    /// The products with these rows of the weight.
    #[inline(always)]
    fn rows<const R: usize>(&self, lanes: impl Lanes, rows: [usize; R]) {
        let Part { weight: Streams { bytes, width, out, .. }, x, first, place, y, .. } = self.0;
        let (size, lines) = (bytes.len() / out, width.div_ceil(LINE));
        let mut streams = [bytes; R];
        for r in 0..R {
            streams[r] = &bytes[rows[r] * size..][..size];
        }
        let mut inputs = [x; K];
        for k in 0..K {
            inputs[k] = &x[k * lines..][..lines];
        }
        let sums = dots::<N, R, K>(lanes, streams, inputs);
        for (row, sums) in rows.into_iter().zip(sums) {
            for (k, sum) in sums.into_iter().enumerate() {
                // SAFETY: nobody else writes the products with this row, and there is room for them.
                #[allow(unsafe_code)]
                unsafe {
                    *place.at(y + k * out + row - first) = sum;
                }
            }
        }
    }
}

#[inline(always)]
fn dots<N: Read, const R: usize, const K: usize>(
    lanes: impl Lanes,
    rows: [&[u8]; R],
    x: [&[[f32; LINE]]; K],
) -> [[f32; K]; R] {
    let mut sums = [[lanes.splat(0.0); K]; R];
    // All equally long, in a way that the compiler sees.
    let whole = N::lines(rows[0]).len();
    let (mut lines, mut inputs) = ([N::lines(rows[0]); R], x);
    for r in 0..R {
        lines[r] = &N::lines(rows[r])[..whole];
    }
    for k in 0..K {
        inputs[k] = &x[k][..whole];
    }
    for i in 0..whole {
        let mut w = [[lanes.splat(0.0); 2]; R];
        for r in 0..R {
            let line = lines[r][i].as_ref();
            (0..line.len()).step_by(64).for_each(|at| ahead(&raw const line[at]));
            w[r] = N::line(lanes, &lines[r][i]);
        }
        for (k, x) in inputs.iter().enumerate() {
            add(lanes, &w, &x[i], k, &mut sums);
        }
    }
    if x[0].len() > whole {
        let mut w = [[lanes.splat(0.0); 2]; R];
        for r in 0..R {
            let mut last = [0; 4 * LINE];
            let rest = &rows[r][size_of_val(lines[r])..];
            last[..rest.len()].copy_from_slice(rest);
            w[r] = N::line(lanes, &N::lines(&last)[0]);
        }
        for (k, x) in x.iter().enumerate() {
            add(lanes, &w, &x[whole], k, &mut sums);
        }
    }
    let mut found = [[0.0; K]; R];
    for r in 0..R {
        for k in 0..K {
            found[r][k] = lanes.total(sums[r][k]);
        }
    }
    found
}

/// Adds the products of lines of `R` rows with one of the row `k` of `x`.
#[inline(always)]
fn add<L: Lanes, const R: usize, const K: usize>(
    lanes: L,
    w: &[[L::Numbers; 2]; R],
    x: &[f32; LINE],
    k: usize,
    sums: &mut [[L::Numbers; K]; R],
) {
    for half in 0..2 {
        let x = lanes.load(x[half * LANES..].first_chunk().expect("half of a line"));
        for r in 0..R {
            sums[r][k] = lanes.mul_add(w[r][half], x, sums[r][k]);
        }
    }
}
