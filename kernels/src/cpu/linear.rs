//! Projections with what comes right before them, which is made again on the way back and not kept.

use std::borrow::Cow;

use super::blend::Blend;
use super::matrix::{Matrix, Precision, add_product, product};
use super::packed;
use super::rows::{Block, Rows, change_each_row, each_row};
use crate::fused::{Kept, Operation, Saved};
use crate::packed::Packed;

/// Inputs `x` `[.., in]` and a weight; behind them what comes before the projection needs.
#[derive(Debug)]
pub struct Linear {
    /// Applied to `x` before it is projected.
    pub before: Before,
    /// Channels of `x`.
    pub width: usize,
    /// Whether the weight is `[in, out]`, not `[out, in]`.
    pub turned: bool,
    /// Of its products, there and back.
    pub precision: Precision,
}

/// What is done to the numbers that a projection reads.
#[derive(Clone, Copy, Debug)]
pub enum Before {
    /// They are read as they are.
    Nothing,
    /// Inputs `last` and `mu` more: read blended, in sequences of so many tokens.
    Blend { tokens: usize },
    /// Negative ones count as 0, the others are squared.
    SquaredRelu,
}

impl Before {
    /// What the projection reads of `x`, rows of this width, and of the other inputs.
    fn read<'a>(self, x: &'a [f32], others: &[&[f32]], width: usize) -> Cow<'a, [f32]> {
        match self {
            Self::Nothing => Cow::Borrowed(x),
            Self::Blend { tokens } => Cow::Owned(blend(x, others, tokens).forward()),
            Self::SquaredRelu => {
                let ([y], _) = each_row(x.len() / width, [width], 0, &Relu(x, width));
                Cow::Owned(y)
            }
        }
    }

    /// Gradients of `x` and of the other inputs from that of what the projection reads.
    fn back(
        self,
        x: &[f32],
        others: &[&[f32]],
        width: usize,
        mut slope: Vec<f32>,
    ) -> Vec<Vec<f32>> {
        match self {
            Self::Nothing => vec![slope],
            Self::Blend { tokens } => blend(x, others, tokens).backward(&slope).into(),
            Self::SquaredRelu => {
                let rows = slope.len() / width;
                change_each_row(rows, [width], [&mut slope], &ReluBack(x, width));
                vec![slope]
            }
        }
    }
}

impl Operation for Linear {
    fn forward(&self, inputs: &[&[f32]], _: bool) -> (Vec<f32>, Kept) {
        let read = self.before.read(inputs[0], &inputs[2..], self.width);
        (product(self.rows(&read), self.weight(inputs[1]).turned(), self.precision), vec![])
    }

    fn backward(&self, saved: Saved, grad: &[f32], wanted: &[bool]) -> Vec<Vec<f32>> {
        let inputs = saved.inputs;
        let grad = Matrix::new(grad, inputs[0].len() / self.width);
        let mut found = vec![vec![]; inputs.len()];
        if wanted[1] {
            let read = self.before.read(inputs[0], &inputs[2..], self.width);
            let read = self.rows(&read);
            found[1] = match self.turned {
                true => product(read.turned(), grad, self.precision),
                false => product(grad.turned(), read, self.precision),
            };
        }
        if wanted.iter().enumerate().any(|(i, wanted)| i != 1 && *wanted) {
            let slope = product(grad, self.weight(inputs[1]), self.precision);
            let mut slopes =
                self.before.back(inputs[0], &inputs[2..], self.width, slope).into_iter();
            found[0] = slopes.next().unwrap_or_default();
            found.truncate(2);
            found.extend(slopes);
        }
        found
    }
}

impl Linear {
    fn rows<'a>(&self, x: &'a [f32]) -> Matrix<'a> {
        Matrix::new(x, x.len() / self.width)
    }

    /// `[out, in]`.
    fn weight<'a>(&self, weight: &'a [f32]) -> Matrix<'a> {
        match self.turned {
            true => Matrix::new(weight, self.width).turned(),
            false => Matrix::new(weight, weight.len() / self.width),
        }
    }
}

/// Inputs `x` `[.., in]`, a weight `[out, in]` and a bias `[out]`.
#[derive(Debug)]
pub struct Affine {
    /// Channels of `x`.
    pub width: usize,
    /// Of its products, there and back.
    pub precision: Precision,
}

impl Affine {
    fn linear(&self) -> Linear {
        let Self { width, precision } = *self;
        Linear { before: Before::Nothing, width, turned: false, precision }
    }
}

impl Operation for Affine {
    fn forward(&self, inputs: &[&[f32]], _: bool) -> (Vec<f32>, Kept) {
        let (linear, rows) = (self.linear(), inputs[0].len() / self.width);
        let mut y = inputs[2].repeat(rows);
        let weight = linear.weight(inputs[1]).turned();
        add_product(linear.rows(inputs[0]), weight, self.precision, &mut y);
        (y, vec![])
    }

    fn backward(&self, saved: Saved, grad: &[f32], wanted: &[bool]) -> Vec<Vec<f32>> {
        let mut dbias = vec![0.0; saved.inputs[2].len()];
        for grad in grad.chunks_exact(dbias.len()) {
            dbias.iter_mut().zip(grad).for_each(|(sum, grad)| *sum += grad);
        }
        let mut found = self.linear().backward(
            Saved { inputs: &saved.inputs[..2], ..saved },
            grad,
            &wanted[..2],
        );
        found.push(dbias);
        found
    }
}

fn blend<'a>(x: &'a [f32], others: &[&'a [f32]], tokens: usize) -> Blend<'a> {
    Blend { x, last: others[0], mu: others[1], tokens }
}

/// [`Linear`] with a weight that is not learnt: inputs `x` `[.., in]`, and behind it what comes before
/// the projection needs.
#[derive(Debug)]
pub struct Fixed {
    /// Applied to `x` before it is projected.
    pub before: Before,
    /// `[out, in]`, or `[in, out]` where that is `turned`.
    pub weight: Packed,
    pub turned: bool,
}

impl Fixed {
    /// Channels of `x`.
    fn width(&self) -> usize {
        self.weight.dims()[usize::from(!self.turned)]
    }
}

impl Operation for Fixed {
    fn forward(&self, inputs: &[&[f32]], _: bool) -> (Vec<f32>, Kept) {
        let read = self.before.read(inputs[0], &inputs[1..], self.width());
        let y = match self.turned {
            true => packed::thin_product(&read, &self.weight),
            false => packed::product(&read, &self.weight),
        };
        (y, vec![])
    }

    fn backward(&self, saved: Saved, grad: &[f32], _: &[bool]) -> Vec<Vec<f32>> {
        let (width, inputs) = (self.width(), saved.inputs);
        let weight = self.weight.values();
        let weight = Matrix::new(&weight, self.weight.dims()[0]);
        let weight = if self.turned { weight.turned() } else { weight };
        let grad = Matrix::new(grad, inputs[0].len() / width);
        let slope = product(grad, weight, Precision::F32);
        self.before.back(inputs[0], &inputs[1..], width, slope)
    }
}

/// `max(x, 0)²`, and how wide rows are.
struct Relu<'a>(&'a [f32], usize);

impl Rows<1> for Relu<'_> {
    #[inline(always)]
    fn block(&self, block: Block<1>, _: &mut [f32]) {
        let [out] = block.out;
        let x = &self.0[block.first * self.1..][..out.len()];
        for (y, x) in out.iter_mut().zip(x) {
            let x = x.max(0.0);
            *y = x * x;
        }
    }
}

/// The gradient of `max(x, 0)²` in place of that of `x`.
struct ReluBack<'a>(&'a [f32], usize);

impl Rows<1> for ReluBack<'_> {
    #[inline(always)]
    fn block(&self, block: Block<1>, _: &mut [f32]) {
        let [out] = block.out;
        let x = &self.0[block.first * self.1..][..out.len()];
        for (slope, x) in out.iter_mut().zip(x) {
            *slope *= 2.0 * x.max(0.0);
        }
    }
}
