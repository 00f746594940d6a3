//! Matrix products on slices, in any of the four orders of storage and in two precisions.

use std::ops::Range;

use pulp::bytemuck::cast_slice;
use rayon::prelude::*;

use super::few::{self, Laid, MANY};
use super::lanes::Unit;
use super::matmul_bf16::{Factor, matmul};
use super::place::Place;
use super::streams::{Number, Streams};

/// A matrix as it lies in memory, or that matrix turned.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    numbers: &'a [f32],
    rows: usize,
    columns: usize,
    turned: bool,
}

impl<'a> Matrix<'a> {
    /// `rows` rows, one behind the other.
    pub fn new(numbers: &'a [f32], rows: usize) -> Self {
        let columns = numbers.len() / rows.max(1);
        assert_eq!(rows * columns, numbers.len(), "a matrix has whole rows");
        Self { numbers, rows, columns, turned: false }
    }

    /// Rows for columns.
    pub fn turned(self) -> Self {
        Self { rows: self.columns, columns: self.rows, turned: !self.turned, ..self }
    }

    /// Its rows as vectors.
    fn by_rows(self) -> Factor<'a> {
        match self.turned {
            true => Factor::columns(self.numbers, self.rows),
            false => Factor::rows(self.numbers, self.columns),
        }
    }

    /// From one column to the next and from one row to the next.
    fn steps(self) -> (isize, isize) {
        if self.turned { (self.rows as isize, 1) } else { (1, self.columns as isize) }
    }
}

/// How exactly the factors of a product are taken; sums are single precision in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// As they are.
    F32,
    /// Each rounded to bfloat16.
    Bf16,
}

/// `a·b`, row after row.
pub fn product(a: Matrix, b: Matrix, precision: Precision) -> Vec<f32> {
    if precision == Precision::Bf16 {
        return matmul(a.by_rows(), b.turned().by_rows());
    }
    if a.rows < MANY && !a.turned {
        return few(a.numbers, b);
    }
    let mut out = Vec::with_capacity(a.rows * b.columns);
    // SAFETY: there is room for the product, and all of it is written before it gets its length.
    #[allow(unsafe_code)]
    unsafe {
        multiply(a, b, out.as_mut_ptr(), b.columns, 0.0, threads(a, b));
        out.set_len(a.rows * b.columns);
    }
    out
}

/// `x·b` of a few rows `x`.
fn few(x: &[f32], b: Matrix) -> Vec<f32> {
    let (bytes, number) = (cast_slice(b.numbers), Number::F32);
    let weight = match b.turned {
        true => Laid::Rows(Streams { bytes, number, out: b.columns, width: b.rows }),
        false => Laid::Columns(Streams { bytes, number, out: b.rows, width: b.columns }),
    };
    few::product(x, weight, Unit::best())
}

/// Adds `a·b` to `out`.
pub fn add_product(a: Matrix, b: Matrix, precision: Precision, out: &mut [f32]) {
    assert_eq!(out.len(), a.rows * b.columns, "a sum has the shape of the product");
    if precision == Precision::Bf16 {
        let more = product(a, b, precision);
        out.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        return;
    }
    // SAFETY: as many numbers as the product has, checked above.
    #[allow(unsafe_code)]
    unsafe {
        multiply(a, b, out.as_mut_ptr(), b.columns, 1.0, threads(a, b));
    }
}

/// `a·bᵀ` where `rows` rows of `b` are made strip by strip, when they are needed.
pub fn product_by_strips(
    a: Matrix,
    rows: usize,
    strip: usize,
    make: impl Fn(Range<usize>) -> Vec<f32> + Sync,
) -> Vec<f32> {
    let mut out = Vec::with_capacity(a.rows * rows);
    let place = Place::spare(&mut out);
    let strips: Vec<_> = (0..rows).step_by(strip).collect();
    strips.into_par_iter().for_each(|first| {
        let some = first..rows.min(first + strip);
        let made = make(some.clone());
        let b = Matrix::new(&made, some.len()).turned();
        // SAFETY: there is room for `a.rows` rows of `rows` columns, and nobody else writes to these
        // columns of them.
        #[allow(unsafe_code)]
        unsafe {
            multiply(a, b, place.at(first), rows, 0.0, 1);
        }
    });
    // SAFETY: the strips have all columns, and every number of them has been written.
    #[allow(unsafe_code)]
    unsafe {
        out.set_len(a.rows * rows);
    }
    out
}

/// `out = kept·out + a·b`, where rows of `out` begin `step` numbers apart; with `kept` 0 what is there
/// is not read. So many threads work on it.
///
/// # Safety
/// `out` must have room for `a.rows` rows of `b.columns` numbers, and nobody else may use them.
#[allow(unsafe_code)]
unsafe fn multiply(a: Matrix, b: Matrix, out: *mut f32, step: usize, kept: f32, threads: usize) {
    assert_eq!(a.columns, b.rows, "as many columns as rows");
    let (m, n, k) = (a.rows, b.columns, a.columns);
    let ((a_column, a_row), (b_column, b_row)) = (a.steps(), b.steps());
    let place = Place::from(out);
    let part = |rows: Range<usize>, columns: Range<usize>| {
        // SAFETY: sizes and steps are those of slices, which `Matrix::new` measured; every part writes
        // to rows or columns of its own.
        unsafe {
            gemm::gemm(
                rows.len(),
                columns.len(),
                k,
                place.at(rows.start * step + columns.start),
                1,
                step as isize,
                kept != 0.0,
                a.numbers.as_ptr().offset(rows.start as isize * a_row),
                a_column,
                a_row,
                b.numbers.as_ptr().offset(columns.start as isize * b_column),
                b_column,
                b_row,
                kept,
                1.0f32,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    };
    if threads == 1 {
        return part(0..m, 0..n);
    }
    // Threads that never wait for each other inside of a product; a few parts more than there are
    // of them, for one may be slower.
    let cut = |count: usize| {
        let wide = count.div_ceil(threads * PARTS).next_multiple_of(WIDE);
        let parts: Vec<_> = (0..count).step_by(wide).map(|at| at..count.min(at + wide)).collect();
        parts.into_par_iter()
    };
    match m > n {
        true => cut(m).for_each(|rows| part(rows, 0..n)),
        false => cut(n).for_each(|columns| part(0..m, columns)),
    }
}

/// How many threads a product is worth.
fn threads(a: Matrix, b: Matrix) -> usize {
    let work = a.rows * a.columns * b.columns;
    if work < WORTH_THREADS { 1 } else { rayon::current_num_threads() }
}

/// Parts of a product for each thread.
const PARTS: usize = 4;

/// Rows or columns that a product is cut at: whole registers of every machine.
const WIDE: usize = 64;

/// Below this many multiplications a second thread costs more than it brings.
const WORTH_THREADS: usize = 192 * 192 * 192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_four_orders_give_the_same() {
        let a: Vec<f32> = (0..6).map(|i| i as f32).collect(); // 2 × 3
        let b: Vec<f32> = (0..12).map(|i| (i * i) as f32).collect(); // 3 × 4
        let turned = |x: &[f32], rows: usize| {
            let columns = x.len() / rows;
            (0..x.len()).map(|i| x[i % rows * columns + i / rows]).collect::<Vec<_>>()
        };
        let (at, bt) = (turned(&a, 2), turned(&b, 3));
        let by_hand = [144.0, 187.0, 236.0, 291.0, 384.0, 508.0, 656.0, 828.0];
        for a in [Matrix::new(&a, 2), Matrix::new(&at, 3).turned()] {
            for b in [Matrix::new(&b, 3), Matrix::new(&bt, 4).turned()] {
                // Such small whole numbers are what they are in both precisions.
                for precision in [Precision::F32, Precision::Bf16] {
                    let mut twice = product(a, b, precision);
                    assert_eq!(twice, by_hand);
                    add_product(a, b, precision, &mut twice);
                    assert_eq!(twice, by_hand.map(|x| 2.0 * x));
                }
            }
        }
    }

    /// Large enough for several threads: cut into rows where there are more of them, else into columns.
    #[test]
    fn products_in_parts_are_whole() {
        for [m, n, k] in [[300, 70, 400], [70, 300, 400], [65, 1000, 130]] {
            assert!(m * n * k >= WORTH_THREADS);
            let numbers = |count: usize, step: usize| {
                (0..count).map(|i| ((i * step) % 17) as f32 - 8.0).collect::<Vec<_>>()
            };
            let (a, b) = (numbers(m * k, 7), numbers(n * k, 5));
            let (left, right) = (Matrix::new(&a, m), Matrix::new(&b, n).turned());
            let mut twice = product(left, right, Precision::F32);
            let sum = |i: usize| {
                let (a, b) = (&a[i / n * k..][..k], &b[i % n * k..][..k]);
                a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>()
            };
            // Whole numbers: no order of summation rounds them.
            assert!((0..m * n).all(|i| twice[i] == sum(i)), "{m} {n} {k}");
            add_product(left, right, Precision::F32, &mut twice);
            assert!((0..m * n).all(|i| twice[i] == 2.0 * sum(i)), "{m} {n} {k}");
        }
    }
}
