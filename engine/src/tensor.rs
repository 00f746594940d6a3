//! A tensor whose number of axes is known only at run time, for files, scripts and printing.
//!
//! It lies in ordinary memory, holds `f32`, and a clone shares its numbers until one side changes.

use std::ops::Range;

use anyhow::{Result, bail, ensure};
use burn::tensor::Tensor;
use ndarray::{ArcArray, Axis, Ix2, IxDyn, Slice, Zip};

/// Numbers in rows, rows in matrices, and so on; `shape` tells how.
#[derive(Clone, Debug, PartialEq)]
pub struct Array(ArcArray<f32, IxDyn>);

impl Array {
    /// Numbers row after row, cut up by `shape`.
    ///
    /// # Errors
    /// When there are more or fewer numbers than the shape has places.
    pub fn new(shape: &[usize], values: Vec<f32>) -> Result<Self> {
        let places = shape.iter().try_fold(1usize, |n, &axis| n.checked_mul(axis));
        ensure!(
            places == Some(values.len()),
            "{} numbers do not fill the shape {shape:?}.",
            values.len()
        );
        Ok(Self(ArcArray::from_shape_vec(IxDyn(shape), values)?))
    }

    /// One axis.
    pub fn vector(values: Vec<f32>) -> Self {
        Self(ArcArray::from_vec(values).into_dyn())
    }

    /// A shape filled with one number.
    pub fn full(shape: &[usize], value: f32) -> Self {
        Self(ArcArray::from_elem(IxDyn(shape), value))
    }

    /// The numbers of a tensor of any device.
    pub fn of<const D: usize>(tensor: Tensor<D>) -> Self {
        let shape = tensor.dims();
        let values = tensor.into_data().convert::<f32>().try_into_vec::<f32>();
        let values = values.expect("converted to f32 just now");
        Self(ArcArray::from_shape_vec(IxDyn(&shape), values).expect("a tensor fills its shape"))
    }

    /// Several of the same shape along a new first axis.
    ///
    /// # Errors
    /// When there are none or their shapes differ.
    pub fn stack(parts: &[Self]) -> Result<Self> {
        let views: Vec<_> = parts.iter().map(|part| part.0.view()).collect();
        match ndarray::stack(Axis(0), &views) {
            Ok(all) => Ok(Self(all.into_shared())),
            Err(_) => bail!("only tensors of one shape can be stacked, and at least one of them."),
        }
    }

    /// Sizes of the axes, outermost first; `[]` for a single number.
    pub fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    /// How many numbers.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no numbers.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All numbers, row after row.
    pub fn values(&self) -> Vec<f32> {
        match self.0.as_slice() {
            Some(values) => values.to_vec(),
            None => self.0.iter().copied().collect(),
        }
    }

    /// The number itself where there are no axes.
    pub fn item(&self) -> Option<f32> {
        self.0.ndim().eq(&0).then(|| self.0.sum())
    }

    /// What lies at `index` of the first axis; negative counts from the end.
    ///
    /// # Errors
    /// When there is no such place.
    pub fn at(&self, index: i64) -> Result<Self> {
        let index = self.place(index)?;
        Ok(Self(self.0.index_axis(Axis(0), index).to_shared()))
    }

    /// A part of the first axis.
    ///
    /// # Errors
    /// When the range reaches beyond it.
    pub fn slice(&self, range: Range<usize>) -> Result<Self> {
        let size = self.first_axis()?;
        ensure!(
            range.start <= range.end && range.end <= size,
            "{}..{} reaches beyond the first axis, which has {size}.",
            range.start,
            range.end
        );
        Ok(Self(self.0.slice_axis(Axis(0), Slice::from(range)).to_shared()))
    }

    /// Replaces what lies at `index` of the first axis; a single number fills it.
    ///
    /// # Errors
    /// When there is no such place or the shape differs.
    pub fn set(&mut self, index: i64, value: &Self) -> Result<()> {
        let index = self.place(index)?;
        let mut place = self.0.index_axis_mut(Axis(0), index);
        ensure!(
            value.shape() == place.shape() || value.shape().is_empty(),
            "the place has shape {:?}, the value {:?}.",
            place.shape(),
            value.shape()
        );
        place.assign(&value.0);
        Ok(())
    }

    /// Another shape for the same numbers.
    ///
    /// # Errors
    /// When the new shape has another number of places.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self> {
        Self::new(shape, self.values())
    }

    /// The last two axes swapped.
    ///
    /// # Errors
    /// When there are fewer than two.
    pub fn transpose(&self) -> Result<Self> {
        let rank = self.0.ndim();
        ensure!(rank >= 2, "only a tensor of two or more axes can be transposed.");
        let mut swapped = self.0.view();
        swapped.swap_axes(rank - 2, rank - 1);
        Ok(Self(swapped.as_standard_layout().into_owned().into_shared()))
    }

    /// The matrix product of `[n, m]` and `[m, k]`; a vector counts as one row or one column.
    ///
    /// # Errors
    /// When the inner sizes differ or there are more than two axes.
    pub fn matmul(&self, other: &Self) -> Result<Self> {
        let (row, column) = (self.0.ndim() == 1, other.0.ndim() == 1);
        let a = if row { self.reshape(&[1, self.len()])? } else { self.clone() };
        let b = if column { other.reshape(&[other.len(), 1])? } else { other.clone() };
        let (a, b) = (a.0.into_dimensionality::<Ix2>(), b.0.into_dimensionality::<Ix2>());
        match (a, b) {
            (Ok(a), Ok(b)) if a.ncols() == b.nrows() => {
                let product = Self(a.dot(&b).into_dyn().into_shared());
                let mut shape = product.shape().to_vec();
                if column {
                    shape.pop();
                }
                if row {
                    shape.remove(0);
                }
                product.reshape(&shape)
            }
            _ => bail!("{:?} and {:?} cannot be multiplied.", self.shape(), other.shape()),
        }
    }

    /// Each number through `f`.
    pub fn map(&self, f: impl Fn(f32) -> f32) -> Self {
        Self(self.0.mapv(f).into_shared())
    }

    /// Pairs of numbers through `f`; axes of size 1, and missing ones in front, are repeated.
    ///
    /// # Errors
    /// When the shapes cannot be brought together.
    pub fn zip(&self, other: &Self, f: impl Fn(f32, f32) -> f32) -> Result<Self> {
        let rank = self.0.ndim().max(other.0.ndim());
        let axis =
            |x: &Self, i: usize| (i + x.0.ndim()).checked_sub(rank).map_or(1, |i| x.shape()[i]);
        let shape: Vec<_> = (0..rank).map(|i| axis(self, i).max(axis(other, i))).collect();
        let (Some(a), Some(b)) =
            (self.0.broadcast(IxDyn(&shape)), other.0.broadcast(IxDyn(&shape)))
        else {
            bail!("the shapes {:?} and {:?} do not fit together.", self.shape(), other.shape());
        };
        Ok(Self(Zip::from(a).and(b).map_collect(|&a, &b| f(a, b)).into_shared()))
    }

    /// The sum of all numbers, in double precision.
    pub fn sum(&self) -> f64 {
        self.0.iter().map(|&x| f64::from(x)).sum()
    }

    /// The mean of all numbers; NaN where there are none.
    pub fn mean(&self) -> f64 {
        self.sum() / self.len() as f64
    }

    /// The mean square distance from the mean.
    pub fn variance(&self) -> f64 {
        let mean = self.mean();
        self.0.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / self.len() as f64
    }

    /// The root of the sum of squares.
    pub fn norm(&self) -> f64 {
        self.0.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()
    }

    /// The smallest number; infinity where there are none, NaN where one is.
    pub fn min(&self) -> f32 {
        self.0
            .iter()
            .fold(f32::INFINITY, |a, &b| if a.is_nan() || b.is_nan() { f32::NAN } else { a.min(b) })
    }

    /// The largest number; minus infinity where there are none, NaN where one is.
    pub fn max(&self) -> f32 {
        -self.map(|x| -x).min()
    }

    /// The place of the first largest number, counted row after row.
    pub fn argmax(&self) -> usize {
        let mut best = (0, f32::NEG_INFINITY);
        for (i, &x) in self.0.iter().enumerate() {
            if x > best.1 {
                best = (i, x);
            }
        }
        best.0
    }

    /// `ln softmax` along the last axis.
    pub fn log_softmax(&self) -> Self {
        let mut all = self.0.to_owned();
        for mut row in all.rows_mut() {
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row.iter().map(|&x| f64::from(x - max).exp()).sum();
            let log = max + sum.ln() as f32;
            row.mapv_inplace(|x| x - log);
        }
        Self(all.into_shared())
    }

    /// `e^x / Σ e^x` along the last axis.
    pub fn softmax(&self) -> Self {
        self.log_softmax().map(f32::exp)
    }

    /// The cosine of the angle between two tensors seen as long vectors.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn cosine(&self, other: &Self) -> Result<f64> {
        let dot = self.same_shape(other)?.zip(other, |a, b| a * b)?.sum();
        Ok(dot / (self.norm() * other.norm()))
    }

    /// The largest distance between two numbers of the same place; NaN where one is.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn max_abs_diff(&self, other: &Self) -> Result<f64> {
        let far = self.same_shape(other)?.zip(other, |a, b| (a - b).abs())?;
        Ok(if far.is_empty() { 0.0 } else { f64::from(far.max()) })
    }

    fn same_shape(&self, other: &Self) -> Result<&Self> {
        let (own, others) = (self.shape(), other.shape());
        ensure!(own == others, "the shapes {own:?} and {others:?} differ.");
        Ok(self)
    }

    fn first_axis(&self) -> Result<usize> {
        match self.shape().first() {
            Some(&size) => Ok(size),
            None => bail!("a single number has no axes to index."),
        }
    }

    fn place(&self, index: i64) -> Result<usize> {
        let size = self.first_axis()?;
        let from_start = if index < 0 { index + size as i64 } else { index };
        match usize::try_from(from_start) {
            Ok(place) if place < size => Ok(place),
            _ => bail!("there is no place {index}; the first axis has {size}."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> Array {
        Array::new(&[2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap()
    }

    #[test]
    fn indexing_counts_from_both_ends() {
        assert_eq!(matrix().at(-1).unwrap().values(), [4.0, 5.0, 6.0]);
        assert_eq!(matrix().at(0).unwrap().at(2).unwrap().item(), Some(3.0));
        assert!(matrix().at(2).unwrap_err().to_string().contains("has 2"));
        assert_eq!(matrix().slice(1..2).unwrap().shape(), [1, 3]);
        assert!(matrix().slice(1..3).is_err());
    }

    #[test]
    fn a_snapshot_does_not_follow() {
        let mut a = matrix();
        let b = a.clone();
        a.set(0, &Array::full(&[], 0.0)).unwrap();
        assert_eq!(a.values()[..3], [0.0; 3]);
        assert_eq!(b, matrix());
        assert!(a.set(0, &Array::vector(vec![1.0])).is_err());
    }

    #[test]
    fn shapes_are_brought_together() {
        let column = Array::new(&[2, 1], vec![10.0, 20.0]).unwrap();
        let sum = matrix().zip(&column, |a, b| a + b).unwrap();
        assert_eq!(sum.values(), [11.0, 12.0, 13.0, 24.0, 25.0, 26.0]);
        assert!(matrix().zip(&Array::vector(vec![1.0, 2.0]), |a, _| a).is_err());
    }

    #[test]
    fn products_of_matrices_and_vectors() {
        let square = matrix().matmul(&matrix().transpose().unwrap()).unwrap();
        assert_eq!(square.values(), [14.0, 32.0, 32.0, 77.0]);
        let ones = Array::vector(vec![1.0; 3]);
        assert_eq!(matrix().matmul(&ones).unwrap().values(), [6.0, 15.0]);
        assert_eq!(ones.matmul(&ones).unwrap().item(), Some(3.0));
        assert!(matrix().matmul(&matrix()).is_err());
    }

    #[test]
    fn reductions_checked_by_hand() {
        assert_eq!((matrix().sum(), matrix().mean()), (21.0, 3.5));
        assert_eq!((matrix().min(), matrix().max(), matrix().argmax()), (1.0, 6.0, 5));
        assert!((matrix().variance() - 35.0 / 12.0).abs() < 1e-12);
        assert!((Array::vector(vec![3.0, 4.0]).norm() - 5.0).abs() < 1e-12);
        assert!(Array::vector(vec![1.0, f32::NAN]).max().is_nan());
        let p = Array::vector(vec![0.0, 3f32.ln()]).softmax().values();
        assert!((p[0] - 0.25).abs() < 1e-6 && (p[1] - 0.75).abs() < 1e-6);
    }

    #[test]
    fn too_many_or_too_few_numbers_are_refused() {
        assert!(Array::new(&[2, 2], vec![1.0]).is_err());
        assert!(Array::new(&[usize::MAX, 2], vec![]).is_err());
    }
}
