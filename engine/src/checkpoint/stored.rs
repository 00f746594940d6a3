//! One tensor as it lies in a file.

use super::Dtype;
use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;

/// More axes than any model has; bounds what a hostile shape costs.
pub(super) const MAX_RANK: usize = 8;
/// Numbers that one thread converts at a time.
const BLOCK: usize = 1 << 16;

/// Where the numbers of a tensor are; checked on construction, so that reading cannot fail.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    /// Numbers to skip per step along each axis; `None` when they lie row after row.
    strides: Option<Vec<usize>>,
    elements: usize,
    /// First byte of the first number in the file.
    start: usize,
}

impl Stored {
    /// A tensor whose numbers lie row after row from the start of `bytes`, a range of the file.
    pub(super) fn contiguous(
        dtype: Dtype,
        shape: Vec<usize>,
        bytes: Range<usize>,
        file: usize,
    ) -> Result<Self> {
        ensure!(shape.len() <= MAX_RANK, "it has {} axes", shape.len());
        ensure!(
            bytes.start <= bytes.end && bytes.end <= file,
            "it lies beyond the end of the file"
        );
        Self::strided(dtype, &shape, &row_major(&shape)?, 0, bytes)
    }

    /// A tensor that steps through the numbers of `storage`, a range of the file, from `offset` on.
    pub(super) fn strided(
        dtype: Dtype,
        shape: &[usize],
        strides: &[usize],
        offset: usize,
        storage: Range<usize>,
    ) -> Result<Self> {
        ensure!(shape.len() == strides.len(), "its shape and strides differ in length");
        let elements = product(shape)?;
        if elements > 0 {
            let beyond = "its shape and strides lead beyond its storage";
            let end = end(shape, strides, offset).context(beyond)?;
            ensure!(end <= storage.len() / dtype.size(), beyond);
        }
        let in_rows = elements == 0 || is_row_major(shape, strides);
        // The offset of an empty tensor is never looked at, and may be anything.
        let start = if elements == 0 { 0 } else { storage.start + offset * dtype.size() };
        let strides = (!in_rows).then(|| strides.to_vec());
        Ok(Self { dtype, shape: shape.to_vec(), strides, elements, start })
    }

    pub(super) fn dtype(&self) -> Dtype {
        self.dtype
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(super) fn elements(&self) -> usize {
        self.elements
    }

    /// All numbers, row after row; `file` is the file this was made for.
    pub(super) fn values(&self, file: &[u8]) -> Vec<f32> {
        let bytes = self.in_rows(file);
        let mut values = vec![0.0; self.elements];
        if self.elements <= BLOCK {
            self.dtype.decode(&bytes, &mut values);
            return values;
        }
        values
            .par_chunks_mut(BLOCK)
            .zip(bytes.par_chunks(BLOCK * self.dtype.size()))
            .for_each(|(values, bytes)| self.dtype.decode(bytes, values));
        values
    }

    /// The bytes of all numbers, row after row: borrowed if they lie so, else gathered.
    fn in_rows<'a>(&self, file: &'a [u8]) -> Cow<'a, [u8]> {
        let size = self.dtype.size();
        let Some(strides) = &self.strides else {
            return Cow::Borrowed(&file[self.start..self.start + self.elements * size]);
        };
        let mut gathered = Vec::with_capacity(self.elements * size);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..self.elements {
            let skipped: usize = index.iter().zip(strides).map(|(i, stride)| i * stride).sum();
            let at = self.start + skipped * size;
            gathered.extend_from_slice(&file[at..at + size]);
            self.advance(&mut index);
        }
        Cow::Owned(gathered)
    }

    /// Moves on to the next number of the row, or to the next row, as an odometer does.
    fn advance(&self, index: &mut [usize]) {
        for (i, size) in index.iter_mut().zip(&self.shape).rev() {
            *i += 1;
            if *i < *size {
                return;
            }
            *i = 0;
        }
    }
}

fn product(shape: &[usize]) -> Result<usize> {
    let product = shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
    product.with_context(|| format!("its shape {shape:?} is too large"))
}

fn row_major(shape: &[usize]) -> Result<Vec<usize>> {
    (1..=shape.len()).map(|axis| product(&shape[axis..])).collect()
}

/// Whether the numbers lie row after row; the stride of an axis of size one does not matter.
fn is_row_major(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(size, stride)| {
        let fits = *size == 1 || *stride == expected;
        expected *= size; // cannot overflow: the product of all sizes was checked
        fits
    })
}

/// One past the number furthest from the start of the storage; `None` on overflow.
fn end(shape: &[usize], strides: &[usize], offset: usize) -> Option<usize> {
    let last = shape.iter().zip(strides).try_fold(offset, |last, (size, stride)| {
        last.checked_add(size.checked_sub(1)?.checked_mul(*stride)?)
    });
    last?.checked_add(1)
}
