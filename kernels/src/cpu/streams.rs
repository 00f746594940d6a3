//! Products of a few rows with weights in f32, bf16 and half precision, which are read where they lie.
//!
//! Memory is the limit here: a thread reads rows of four far places at a time.

use std::marker::PhantomData;

use super::lanes::{LANES, Lanes, STREAMS, Unit, Work, ahead};
use super::place::Place;
use super::team::share_ranges;

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
trait Read {
    const SIZE: usize;

    /// Sixteen numbers from the first bytes.
    fn read<L: Lanes>(lanes: L, bytes: &[u8]) -> L::Numbers;
}

struct F32;

impl Read for F32 {
    const SIZE: usize = 4;

    #[inline(always)]
    fn read<L: Lanes>(lanes: L, bytes: &[u8]) -> L::Numbers {
        lanes.f32(bytes.first_chunk().expect("sixteen numbers"))
    }
}

struct Bf16;

impl Read for Bf16 {
    const SIZE: usize = 2;

    #[inline(always)]
    fn read<L: Lanes>(lanes: L, bytes: &[u8]) -> L::Numbers {
        lanes.bf16(bytes.first_chunk().expect("sixteen numbers"))
    }
}

struct F16;

impl Read for F16 {
    const SIZE: usize = 2;

    #[inline(always)]
    fn read<L: Lanes>(lanes: L, bytes: &[u8]) -> L::Numbers {
        lanes.f16(bytes.first_chunk().expect("sixteen numbers"))
    }
}

/// Numbers that are read at once.
const LINE: usize = 2 * LANES;

/// The products of every row of `x` with every row of the weight, row after row of `x`.
pub fn product(x: &[f32], weight: Streams, unit: Unit) -> Vec<f32> {
    let Streams { out, width, .. } = weight;
    let rows = x.len().checked_div(width).unwrap_or(0);
    let mut y = vec![0.0; rows * out];
    let place = Place::of(&mut y);
    share_ranges(out, weight.bytes.len(), |range| {
        let (first, count) = (range.start, range.len());
        let mut done = 0;
        while done < rows {
            let (x, y) = (&x[done * width..], done * out + first);
            let part = Part { weight, x, first, count, place: &place, y };
            done += match rows - done {
                8.. => few::<8>(part, unit),
                4.. => few::<4>(part, unit),
                2.. => few::<2>(part, unit),
                _ => few::<1>(part, unit),
            };
        }
    });
    y
}

/// Some rows of a weight, and the first rows of `x`.
#[derive(Clone, Copy)]
struct Part<'a> {
    weight: Streams<'a>,
    x: &'a [f32],
    first: usize,
    count: usize,
    place: &'a Place<'a, f32>,
    /// Where the first product goes.
    y: usize,
}

/// Multiplies `K` rows of `x`.
fn few<const K: usize>(part: Part, unit: Unit) -> usize {
    match part.weight.number {
        Number::F32 => unit.run(Products::<F32, K>(part, PhantomData)),
        Number::Bf16 => unit.run(Products::<Bf16, K>(part, PhantomData)),
        Number::F16 => unit.run(Products::<F16, K>(part, PhantomData)),
    }
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
        let mut streams = [bytes; R];
        for r in 0..R {
            streams[r] = &bytes[N::SIZE * rows[r] * width..][..N::SIZE * width];
        }
        let mut inputs = [x; K];
        for k in 0..K {
            inputs[k] = &x[k * width..][..width];
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
    x: [&[f32]; K],
) -> [[f32; K]; R] {
    let mut sums = [[lanes.splat(0.0); K]; R];
    let whole = x[0].len() / LINE;
    for line in 0..whole {
        for half in 0..2 {
            let at = line * LINE + half * LANES;
            let mut w = [lanes.splat(0.0); R];
            for r in 0..R {
                w[r] = N::read(lanes, &rows[r][N::SIZE * at..]);
                if half == 0 || N::SIZE == 4 {
                    ahead(&raw const rows[r][N::SIZE * at]);
                }
            }
            for k in 0..K {
                let x = lanes.load(x[k][at..].first_chunk().expect("a line is whole"));
                for r in 0..R {
                    sums[r][k] = lanes.mul_add(w[r], x, sums[r][k]);
                }
            }
        }
    }
    for at in (whole * LINE..x[0].len()).step_by(LANES) {
        let count = LANES.min(x[0].len() - at);
        for r in 0..R {
            let mut bytes = [0; 4 * LANES];
            bytes[..N::SIZE * count].copy_from_slice(&rows[r][N::SIZE * at..][..N::SIZE * count]);
            let w = N::read(lanes, &bytes);
            for k in 0..K {
                let mut some = [0.0; LANES];
                some[..count].copy_from_slice(&x[k][at..][..count]);
                sums[r][k] = lanes.mul_add(w, lanes.load(&some), sums[r][k]);
            }
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
