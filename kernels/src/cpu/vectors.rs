//! Numbers laid out for vector registers: what is used together lies together.
//!
//! A row of `n` numbers is cut into columns of as many as a register holds, the last one filled up
//! with zeros. A table has for every column one register per row.
//!
//! Loops over arrays, and not their `map`: that may become a call, and code that is called is not
//! compiled for the machine's vectors.

use std::ops::{Deref, DerefMut};

use pulp::Simd;

/// A register for each of `K` rows. Starts on a line of the cache: registers that lie across two
/// cost twice.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct Column<S: Simd, const K: usize>(pub [S::f32s; K]);

impl<S: Simd, const K: usize> Deref for Column<S, K> {
    type Target = [S::f32s; K];

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<S: Simd, const K: usize> DerefMut for Column<S, K> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// Columns of a row of `n`.
pub fn columns<S: Simd>(n: usize) -> usize {
    n.div_ceil(S::F32_LANES)
}

/// Columns, on the stack where they are few: to ask for memory that starts on a line of the cache takes
/// as long as a token of a head does.
pub struct Table<S: Simd, const K: usize> {
    near: [Column<S, K>; NEAR],
    far: Vec<Column<S, K>>,
    columns: usize,
}

/// Columns on the stack: those of a head of 64 channels, where registers hold eight.
const NEAR: usize = 8;

impl<S: Simd, const K: usize> Deref for Table<S, K> {
    type Target = [Column<S, K>];

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        if self.columns <= NEAR { &self.near[..self.columns] } else { &self.far }
    }
}

impl<S: Simd, const K: usize> DerefMut for Table<S, K> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Self::Target {
        if self.columns <= NEAR { &mut self.near[..self.columns] } else { &mut self.far }
    }
}

/// A table of zeros.
#[inline(always)]
pub fn zeros<S: Simd, const K: usize>(simd: S, columns: usize) -> Table<S, K> {
    let zero = Column([simd.splat_f32s(0.0); K]);
    let far = if columns <= NEAR { vec![] } else { vec![zero; columns] };
    Table { near: [zero; NEAR], far, columns }
}

/// Reads `K` rows into a table; beyond the end of a row are zeros.
#[inline(always)]
pub fn pack<S: Simd, const K: usize>(simd: S, rows: [&[f32]; K], table: &mut [Column<S, K>]) {
    for (i, row) in rows.into_iter().enumerate() {
        let mut parts = row.chunks(S::F32_LANES);
        for column in &mut *table {
            let part = parts.next().unwrap_or_default();
            column[i] = match S::as_simd_f32s(part) {
                ([full, ..], _) => *full,
                (_, part) => simd.partial_load_f32s(part),
            };
        }
    }
}

/// Writes one row of a table.
#[inline(always)]
pub fn unpack<S: Simd, const K: usize>(simd: S, table: &[Column<S, K>], i: usize, row: &mut [f32]) {
    for (part, column) in row.chunks_mut(S::F32_LANES).zip(table) {
        match S::as_mut_simd_f32s(part) {
            ([full, ..], _) => *full = column[i],
            (_, part) => simd.partial_store_f32s(part, column[i]),
        }
    }
}

/// Reads up to `K` rows of length `n` into a table, from row `top` on; zeros below the last.
#[inline(always)]
pub fn pack_rows<S: Simd, const K: usize>(
    simd: S,
    matrix: &[f32],
    n: usize,
    top: usize,
    table: &mut [Column<S, K>],
) {
    let mut rows = matrix[top * n..].chunks_exact(n);
    let mut some: [&[f32]; K] = [&[]; K];
    for (to, row) in some.iter_mut().zip(&mut rows) {
        *to = row;
    }
    pack(simd, some, table);
}

/// Writes the rows of a table to a matrix, from row `top` on; those below its last are dropped.
#[inline(always)]
pub fn unpack_rows<S: Simd, const K: usize>(
    simd: S,
    table: &[Column<S, K>],
    matrix: &mut [f32],
    n: usize,
    top: usize,
) {
    for (i, row) in matrix[top * n..].chunks_exact_mut(n).take(K).enumerate() {
        unpack(simd, table, i, row);
    }
}

/// `K` numbers of a row, from `top` on; zeros beyond its end.
#[inline(always)]
pub fn some<const K: usize>(row: &[f32], top: usize) -> [f32; K] {
    match row[top..].first_chunk() {
        Some(numbers) => *numbers,
        None => {
            let mut numbers = [0.0; K];
            numbers[..row.len() - top].copy_from_slice(&row[top..]);
            numbers
        }
    }
}

/// Writes numbers to a row, from `top` on; those beyond its end are dropped.
#[inline(always)]
pub fn put<const K: usize>(numbers: [f32; K], row: &mut [f32], top: usize) {
    match row[top..].first_chunk_mut() {
        Some(to) => *to = numbers,
        None => row[top..].iter_mut().zip(numbers).for_each(|(to, number)| *to = number),
    }
}

/// A register full of each number.
#[inline(always)]
pub fn splat<S: Simd, const K: usize>(simd: S, numbers: [f32; K]) -> [S::f32s; K] {
    let mut registers = [simd.splat_f32s(0.0); K];
    for (register, number) in registers.iter_mut().zip(numbers) {
        *register = simd.splat_f32s(number);
    }
    registers
}

/// The sum of each register.
#[inline(always)]
pub fn sums<S: Simd, const K: usize>(simd: S, registers: [S::f32s; K]) -> [f32; K] {
    let mut sums = [0.0; K];
    for (sum, register) in sums.iter_mut().zip(registers) {
        *sum = simd.reduce_sum_f32s(register);
    }
    sums
}
