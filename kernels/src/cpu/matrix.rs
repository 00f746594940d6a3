//! Matrix products on slices, in any of the four orders of storage and in two precisions.

use super::matmul_bf16::{Factor, matmul};

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
    let mut out = Vec::with_capacity(a.rows * b.columns);
    // SAFETY: there is room for the product, and all of it is written before it gets its length.
    #[allow(unsafe_code)]
    unsafe {
        multiply(a, b, out.as_mut_ptr(), 0.0);
        out.set_len(a.rows * b.columns);
    }
    out
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
        multiply(a, b, out.as_mut_ptr(), 1.0);
    }
}

/// `out = kept·out + a·b`; with `kept` 0 what is there is not read.
///
/// # Safety
/// `out` must have room for `a.rows · b.columns` numbers.
#[allow(unsafe_code)]
unsafe fn multiply(a: Matrix, b: Matrix, out: *mut f32, kept: f32) {
    assert_eq!(a.columns, b.rows, "as many columns as rows");
    let (m, n, k) = (a.rows, b.columns, a.columns);
    let threads = if m * n * k < WORTH_THREADS {
        gemm::Parallelism::None
    } else {
        gemm::Parallelism::Rayon(0)
    };
    let ((a_column, a_row), (b_column, b_row)) = (a.steps(), b.steps());
    // SAFETY: sizes and steps are those of slices, which `Matrix::new` measured.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            n as isize,
            kept != 0.0,
            a.numbers.as_ptr(),
            a_column,
            a_row,
            b.numbers.as_ptr(),
            b_column,
            b_row,
            kept,
            1.0f32,
            false,
            false,
            false,
            threads,
        );
    }
}

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
}
