//! A thin projection with an equation behind it. What is projected is made again on the way back,
//! from the few numbers of each token: that is quicker than to keep it.

use std::marker::PhantomData;

use super::matrix::{Matrix, Precision, product};
use super::pointwise::{Equation, Pointwise};
use crate::fused::{Kept, Operation, Saved};

/// Inputs `x` `[.., D]`, a matrix `[D, C]` and a bias `[C]`, then the numbers `[.., C]` of the
/// equation but the last, which is what is projected.
#[derive(Debug)]
pub struct Thin<E, const N: usize> {
    /// Of its products, there and back.
    pub precision: Precision,
    /// What becomes of what is projected.
    pub equation: Pointwise<E, N>,
}

impl<E, const N: usize> Thin<E, N> {
    /// The equation behind products of this precision.
    pub fn new(precision: Precision) -> Self {
        Self { precision, equation: Pointwise(PhantomData) }
    }

    /// What is projected, and the matrix.
    fn factors<'a>(inputs: &[&'a [f32]]) -> [Matrix<'a>; 2] {
        let (x, matrix, c) = (inputs[0], inputs[1], inputs[2].len());
        let width = matrix.len() / c;
        [Matrix::new(x, x.len() / width), Matrix::new(matrix, width)]
    }

    fn projected(&self, inputs: &[&[f32]]) -> Vec<f32> {
        let [x, matrix] = Self::factors(inputs);
        product(x, matrix, self.precision)
    }
}

/// What the equation reads.
fn read<'a>(inputs: &[&'a [f32]], projected: &'a [f32]) -> Vec<&'a [f32]> {
    inputs[3..].iter().copied().chain([projected, inputs[2]]).collect()
}

impl<E: Equation<N>, const N: usize> Operation for Thin<E, N> {
    fn forward(&self, inputs: &[&[f32]], _: bool) -> (Vec<f32>, Kept) {
        let projected = self.projected(inputs);
        self.equation.forward(&read(inputs, &projected), false)
    }

    fn backward(&self, saved: Saved, grad: &[f32], wanted: &[bool]) -> Vec<Vec<f32>> {
        let projected = self.projected(saved.inputs);
        let inputs = read(saved.inputs, &projected);
        let read = Saved { inputs: &inputs, kept: &[] };
        let mut others = self.equation.backward(read, grad, wanted);
        let [slope, dbias] = <[_; 2]>::try_from(others.split_off(N - 1))
            .expect("the last two are of what is projected, and of the bias");
        let [x, matrix] = Self::factors(saved.inputs);
        let slope = Matrix::new(&slope, grad.len() / dbias.len());
        let dx = product(slope, matrix.turned(), self.precision);
        let dmatrix = product(x.turned(), slope, self.precision);
        [dx, dmatrix, dbias].into_iter().chain(others).collect()
    }
}
