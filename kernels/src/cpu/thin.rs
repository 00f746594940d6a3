//! A thin projection with an equation behind it. What is projected is made again on the way back,
//! from the few numbers of each token: that is quicker than to keep it.

use std::marker::PhantomData;

use super::matrix::{Matrix, Precision, product};
use super::packed;
use super::pointwise::{Equation, Pointwise};
use crate::fused::{Kept, Operation, Saved};
use crate::packed::Packed;

/// Inputs `x` `[.., D]`, a matrix `[D, C]` and a bias `[C]`, then the numbers `[.., C]` of the
/// equation but the last, which is what is projected.
#[derive(Debug)]
pub struct Thin<E, const N: usize> {
    /// Of its products, there and back.
    pub precision: Precision,
    /// What becomes of what is projected.
    pub equation: Pointwise<E, N>,
    /// The matrix, if it is not learnt; it is no input then.
    pub matrix: Option<Packed>,
}

impl<E, const N: usize> Thin<E, N> {
    /// The equation behind products of this precision.
    pub fn new(precision: Precision, matrix: Option<Packed>) -> Self {
        Self { precision, equation: Pointwise(PhantomData), matrix }
    }

    /// The bias, and behind it the other numbers of the equation.
    fn others<'a, 'b>(&self, inputs: &'b [&'a [f32]]) -> &'b [&'a [f32]] {
        &inputs[if self.matrix.is_some() { 1 } else { 2 }..]
    }

    fn projected(&self, inputs: &[&[f32]]) -> Vec<f32> {
        if let Some(matrix) = &self.matrix {
            return packed::thin_product(inputs[0], matrix);
        }
        let width = inputs[1].len() / inputs[2].len();
        let x = Matrix::new(inputs[0], inputs[0].len() / width);
        product(x, Matrix::new(inputs[1], width), self.precision)
    }

    /// What the equation reads.
    fn read<'a>(&self, inputs: &[&'a [f32]], projected: &'a [f32]) -> Vec<&'a [f32]> {
        let others = self.others(inputs);
        others[1..].iter().copied().chain([projected, others[0]]).collect()
    }
}

impl<E: Equation<N>, const N: usize> Operation for Thin<E, N> {
    fn forward(&self, inputs: &[&[f32]], _: bool) -> (Vec<f32>, Kept) {
        let projected = self.projected(inputs);
        self.equation.forward(&self.read(inputs, &projected), false)
    }

    fn backward(&self, saved: Saved, grad: &[f32], wanted: &[bool]) -> Vec<Vec<f32>> {
        let projected = self.projected(saved.inputs);
        let inputs = self.read(saved.inputs, &projected);
        let read = Saved { inputs: &inputs, kept: &[] };
        let mut others = self.equation.backward(read, grad, wanted);
        let [slope, dbias] = <[_; 2]>::try_from(others.split_off(N - 1))
            .expect("the last two are of what is projected, and of the bias");
        let rows = grad.len() / dbias.len();
        let (slope, x) = (Matrix::new(&slope, rows), Matrix::new(saved.inputs[0], rows));
        let found = match &self.matrix {
            Some(matrix) => {
                let numbers = matrix.values();
                let matrix = Matrix::new(&numbers, matrix.dims()[0]);
                vec![product(slope, matrix.turned(), self.precision)]
            }
            None => {
                let matrix = Matrix::new(saved.inputs[1], saved.inputs[1].len() / dbias.len());
                let dx = product(slope, matrix.turned(), self.precision);
                vec![dx, product(x.turned(), slope, self.precision)]
            }
        };
        found.into_iter().chain([dbias]).chain(others).collect()
    }
}
