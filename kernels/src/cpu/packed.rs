//! Products with weights as they are stored.
//!
//! A few rows are multiplied with every number of the weight as it comes out of memory, so that a
//! product costs no more than reading it; for many rows, strips of the weight are unpacked once and
//! multiplied as matrices. In both cases the numbers are multiplied as f32: what is stored is exact,
//! and what it is multiplied with is not rounded.

use std::marker::PhantomData;

use pulp::NullaryFnOnce;
use rayon::prelude::*;

use super::matrix::{Matrix, product_by_strips};
use super::rows::widely;
use crate::packed::{Packed, Storage};

/// Numbers of a block; of those that stand alone as many are read at once.
pub const BLOCK: usize = 32;

/// Running sums of a product: they fill the widest vector registers.
pub const LANES: usize = 16;

/// Rows of the weight that are read side by side: more streams than this the memory does not follow.
const SIDE_BY_SIDE: usize = 4;

/// Rows to multiply with that are worth unpacking strips for.
const MANY: usize = 16;

/// Rows of a strip: with the widest rows they stay in the second cache.
const STRIP: usize = 128;

/// Below this many numbers of a weight a second thread costs more than it brings.
const WORTH_A_THREAD: usize = 1 << 15;

/// `x·Wᵀ`, `[M, out]`, of rows `x` `[M, in]`.
pub fn product(x: &[f32], weight: &Packed) -> Vec<f32> {
    let [out, width] = weight.dims();
    let rows = x.len() / width.max(1);
    if rows >= MANY {
        return by_strips(x, rows, weight);
    }
    let mut found = Vec::with_capacity(rows * out);
    let mut x = x;
    for (some, few) in PIECES {
        while !x.is_empty() && x.len() >= some * width {
            let (piece, rest) = x.split_at(some * width);
            found.extend(few(piece, weight));
            x = rest;
        }
    }
    found
}

/// [`product`] of so many rows at once.
type Few = fn(&[f32], &Packed) -> Vec<f32>;

const PIECES: [(usize, Few); 4] = [(8, few::<8>), (4, few::<4>), (2, few::<2>), (1, few::<1>)];

/// The numbers in whole blocks of bytes, one after the other.
pub fn unpack(bytes: &[u8], storage: Storage) -> Vec<f32> {
    let [numbers, size] = storage.block();
    let mut values = vec![0.0; bytes.len() / size * numbers];
    let to = &mut values;
    match storage {
        Storage::Bf16 => widely(Unpack(Bf16, bytes.as_chunks().0, to)),
        Storage::F16 => widely(Unpack(F16, bytes.as_chunks().0, to)),
        Storage::Q8 => widely(Unpack(Q8, bytes.as_chunks().0, to)),
        Storage::Q4 => widely(Unpack(Q4, bytes.as_chunks().0, to)),
    }
    values
}

/// Whether no number, or no scale of a block, is infinite or none at all.
pub fn is_finite(bytes: &[u8], storage: Storage) -> bool {
    // All bits of the exponent.
    let most = if storage == Storage::Bf16 { 0x7F80 } else { 0x7C00 };
    let finite = |[low, high]: [u8; 2]| u16::from_le_bytes([low, high]) & most != most;
    let [numbers, size] = storage.block();
    if numbers > 1 {
        return bytes.par_chunks(size).all(|block| finite([block[0], block[1]]));
    }
    let all = |halves: &[[u8; 2]]| halves.iter().fold(true, |all, half| all & finite(*half));
    bytes.as_chunks().0.par_chunks(1 << 16).all(all)
}

/// How 32 numbers are stored, in units of `N` bytes.
trait Stored<const N: usize>: Sync {
    /// How many units hold 32 numbers.
    const UNITS: usize;

    /// The 32 numbers of as many units.
    fn load(units: &[[u8; N]]) -> [f32; BLOCK];
}

struct Bf16;

impl Stored<2> for Bf16 {
    const UNITS: usize = BLOCK;

    #[inline(always)]
    fn load(units: &[[u8; 2]]) -> [f32; BLOCK] {
        let mut numbers = [0.0; BLOCK];
        for i in 0..BLOCK {
            numbers[i] = f32::from_bits(u32::from(u16::from_le_bytes(units[i])) << 16);
        }
        numbers
    }
}

struct F16;

impl Stored<2> for F16 {
    const UNITS: usize = BLOCK;

    #[inline(always)]
    fn load(units: &[[u8; 2]]) -> [f32; BLOCK] {
        let mut numbers = [0.0; BLOCK];
        for i in 0..BLOCK {
            numbers[i] = widened(u16::from_le_bytes(units[i]));
        }
        numbers
    }
}

/// A number in half precision as a number in single precision, without a call: infinities and what
/// is not a number become large numbers, which no weight has.
#[inline(always)]
fn widened(half: u16) -> f32 {
    const HIDDEN: u32 = 113 << 23; // 2⁻¹⁴, the smallest with all its digits
    let bits = u32::from(half);
    let magnitude = (bits & 0x7FFF) << 13;
    // The smallest numbers have no hidden bit: it is put there, and taken off again.
    let small = f32::from_bits(magnitude + HIDDEN) - f32::from_bits(HIDDEN);
    let large = f32::from_bits(magnitude + (112 << 23));
    let number = if magnitude < 1 << 23 { small } else { large };
    f32::from_bits(number.to_bits() | (bits & 0x8000) << 16)
}

struct Q8;

impl Stored<34> for Q8 {
    const UNITS: usize = 1;

    #[inline(always)]
    fn load(units: &[[u8; 34]]) -> [f32; BLOCK] {
        let [low, high, q @ ..] = &units[0];
        let scale = widened(u16::from_le_bytes([*low, *high]));
        let mut numbers = [0.0; BLOCK];
        for i in 0..BLOCK {
            numbers[i] = scale * f32::from(q[i] as i8);
        }
        numbers
    }
}

struct Q4;

impl Stored<18> for Q4 {
    const UNITS: usize = 1;

    #[inline(always)]
    fn load(units: &[[u8; 18]]) -> [f32; BLOCK] {
        let [low, high, q @ ..] = &units[0];
        let scale = widened(u16::from_le_bytes([*low, *high]));
        let mut numbers = [0.0; BLOCK];
        for i in 0..LANES {
            numbers[i] = scale * (i32::from(q[i] & 15) - 8) as f32;
        }
        for i in 0..LANES {
            numbers[LANES + i] = scale * (i32::from(q[i] >> 4) - 8) as f32;
        }
        numbers
    }
}

/// [`product`] of `K` rows.
fn few<const K: usize>(x: &[f32], weight: &Packed) -> Vec<f32> {
    let (bytes, dims) = (weight.bytes(), weight.dims());
    match weight.storage() {
        Storage::Bf16 => each_row::<2, Bf16, K>(x, bytes.as_chunks().0, dims),
        Storage::F16 => each_row::<2, F16, K>(x, bytes.as_chunks().0, dims),
        Storage::Q8 => each_row::<34, Q8, K>(x, bytes.as_chunks().0, dims),
        Storage::Q4 => each_row::<18, Q4, K>(x, bytes.as_chunks().0, dims),
    }
}

fn each_row<const N: usize, B: Stored<N>, const K: usize>(
    x: &[f32],
    units: &[[u8; N]],
    [out, width]: [usize; 2],
) -> Vec<f32> {
    let mut rows = [&x[..0]; K];
    for (row, x) in rows.iter_mut().zip(x.chunks_exact(width)) {
        *row = x;
    }
    // A row of the weight after the other, with all of x.
    let mut found = vec![[0.0; K]; out];
    let threads = if out * width < WORTH_A_THREAD { 1 } else { rayon::current_num_threads() };
    let part = out.div_ceil(threads).next_multiple_of(SIDE_BY_SIDE).max(1);
    let row = units.len() / out.max(1);
    let work = |(found, units): (&mut [[f32; K]], &[[u8; N]])| {
        widely(Dots::<N, B, K> { x: rows, units, row, found, stored: PhantomData });
    };
    if threads == 1 {
        work((&mut found, units));
    } else {
        let units = units.par_chunks((part * row).max(1));
        found.par_chunks_mut(part).zip(units).for_each(work);
    }
    match K {
        1 => found.into_flattened(),
        _ => (0..K * out).map(|i| found[i % out][i / out]).collect(),
    }
}

/// Every row of a weight with every row of `x`.
struct Dots<'a, const N: usize, B: Stored<N>, const K: usize> {
    x: [&'a [f32]; K],
    units: &'a [[u8; N]],
    /// Units of a row.
    row: usize,
    found: &'a mut [[f32; K]],
    stored: PhantomData<B>,
}

impl<const N: usize, B: Stored<N>, const K: usize> NullaryFnOnce for Dots<'_, N, B, K> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { x, units, row, found, .. } = self;
        let (groups, rest) = found.as_chunks_mut::<SIDE_BY_SIDE>();
        let mut units = units;
        for group in groups {
            let (some, more) = units.split_at(SIDE_BY_SIDE * row);
            let mut rows = [some; SIDE_BY_SIDE];
            for (i, part) in rows.iter_mut().enumerate() {
                *part = &some[i * row..][..row];
            }
            dots::<N, B, SIDE_BY_SIDE, K>(rows, x, group);
            units = more;
        }
        for (i, found) in rest.iter_mut().enumerate() {
            dots::<N, B, 1, K>([&units[i * row..][..row]], x, std::array::from_mut(found));
        }
    }
}

/// `R` rows of a weight with `K` rows of `x`.
#[inline(always)]
fn dots<const N: usize, B: Stored<N>, const R: usize, const K: usize>(
    rows: [&[[u8; N]]; R],
    x: [&[f32]; K],
    found: &mut [[f32; K]; R],
) {
    let mut sums = [[[0.0f32; LANES]; K]; R];
    let blocks = x[0].len() / BLOCK;
    for block in 0..blocks {
        let (from, first) = (block * BLOCK, block * B::UNITS);
        for r in 0..R {
            let w = B::load(&rows[r][first..first + B::UNITS]);
            for k in 0..K {
                add(&w, &x[k][from..from + BLOCK], &mut sums[r][k]);
            }
        }
    }
    // Numbers that stand alone may end between blocks.
    let (from, first) = (blocks * BLOCK, blocks * B::UNITS);
    let rest = x[0].len() - from;
    if rest > 0 {
        for r in 0..R {
            let mut units = [[0; N]; BLOCK];
            units[..rest].copy_from_slice(&rows[r][first..first + rest]);
            let w = B::load(&units);
            for k in 0..K {
                let mut some = [0.0; BLOCK];
                some[..rest].copy_from_slice(&x[k][from..]);
                add(&w, &some, &mut sums[r][k]);
            }
        }
    }
    for r in 0..R {
        for k in 0..K {
            found[r][k] = sums[r][k].iter().sum();
        }
    }
}

#[inline(always)]
fn add(w: &[f32; BLOCK], x: &[f32], sums: &mut [f32; LANES]) {
    let x: &[f32; BLOCK] = x.first_chunk().expect("a block is whole");
    for i in 0..LANES {
        sums[i] = w[i].mul_add(x[i], sums[i]);
    }
    for i in 0..LANES {
        sums[i] = w[LANES + i].mul_add(x[LANES + i], sums[i]);
    }
}

/// Unpacks whole units.
struct Unpack<'a, const N: usize, B: Stored<N>>(B, &'a [[u8; N]], &'a mut [f32]);

impl<const N: usize, B: Stored<N>> NullaryFnOnce for Unpack<'_, N, B> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self(_, units, values) = self;
        let blocks = units.chunks_exact(B::UNITS);
        let rest = blocks.remainder();
        let (whole, last) = values.as_chunks_mut::<BLOCK>();
        for (values, units) in whole.iter_mut().zip(blocks) {
            *values = B::load(units);
        }
        if !last.is_empty() {
            let mut some = [[0; N]; BLOCK];
            some[..rest.len()].copy_from_slice(rest);
            last.copy_from_slice(&B::load(&some)[..last.len()]);
        }
    }
}

/// [`product`] of many rows.
fn by_strips(x: &[f32], rows: usize, weight: &Packed) -> Vec<f32> {
    let ([out, _], bytes) = (weight.dims(), weight.bytes());
    let row = bytes.len() / out.max(1);
    product_by_strips(Matrix::new(x, rows), out, STRIP, |some| {
        unpack(&bytes[some.start * row..some.end * row], weight.storage())
    })
}
