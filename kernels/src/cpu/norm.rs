//! Normalising groups of channels, forwards and backwards; see [`crate::norm`].

use super::rows::{Block, Rows, dot, each_row, sum};
use crate::fused::{Kept, Operation, Saved};

/// Inputs `x` `[.., C]`, `weight` and `bias` `[C]`.
#[derive(Debug)]
pub struct Norm {
    /// Groups that `C` is cut into.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f32,
}

impl Operation for Norm {
    fn forward(&self, inputs: &[&[f32]], _: bool) -> (Vec<f32>, Kept) {
        let (x, c) = (inputs[0], inputs[1].len());
        let work = Forward { norm: self, x, weight: inputs[1], bias: inputs[2] };
        let ([y], _) = each_row(x.len() / c, [c], 0, &work);
        (y, vec![])
    }

    fn backward(&self, saved: Saved, grad: &[f32], _: &[bool]) -> Vec<Vec<f32>> {
        let (x, weight) = (saved.inputs[0], saved.inputs[1]);
        let c = weight.len();
        let work = Backward { norm: self, x, weight, grad };
        let ([dx], mut dweight) = each_row(x.len() / c, [c], 2 * c, &work);
        let dbias = dweight.split_off(c);
        vec![dx, dweight, dbias]
    }
}

/// Mean of a group, and one over its deviation.
#[inline(always)]
pub fn moments(x: &[f32], epsilon: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = sum(x) / n;
    let mut squares = [0.0f32; 16];
    let parts = x.chunks_exact(16);
    let rest: f32 = parts.remainder().iter().map(|x| (x - mean) * (x - mean)).sum();
    for part in parts {
        for i in 0..16 {
            let far = part[i] - mean;
            squares[i] = far.mul_add(far, squares[i]);
        }
    }
    let variance = (squares.iter().sum::<f32>() + rest) / n;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

/// Turns `hat`, a normalised group, and `slope`, the gradient of it, into the gradient of the group.
#[inline(always)]
pub fn back(hat: &[f32], slope: &[f32], scale: f32, dx: &mut [f32]) {
    let n = hat.len();
    let (mean, along) = (sum(slope) / n as f32, dot(hat, slope) / n as f32);
    let (slope, dx) = (&slope[..n], &mut dx[..n]);
    for j in 0..n {
        dx[j] = scale * (slope[j] - mean - hat[j] * along);
    }
}

struct Forward<'a> {
    norm: &'a Norm,
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
}

impl Rows<1> for Forward<'_> {
    #[inline(always)]
    fn block(&self, block: Block<1>, _: &mut [f32]) {
        let c = self.weight.len();
        let n = c / self.norm.groups;
        let x = &self.x[block.first * c..][..block.rows * c];
        let [out] = block.out;
        for (group, (x, y)) in x.chunks_exact(n).zip(out.chunks_exact_mut(n)).enumerate() {
            let at = group % self.norm.groups * n;
            let (weight, bias) = (&self.weight[at..][..n], &self.bias[at..][..n]);
            let (mean, scale) = moments(x, self.norm.epsilon);
            for j in 0..n {
                y[j] = ((x[j] - mean) * scale).mul_add(weight[j], bias[j]);
            }
        }
    }
}

struct Backward<'a> {
    norm: &'a Norm,
    x: &'a [f32],
    weight: &'a [f32],
    grad: &'a [f32],
}

impl Rows<1> for Backward<'_> {
    #[inline(always)]
    fn block(&self, block: Block<1>, sums: &mut [f32]) {
        let c = self.weight.len();
        let n = c / self.norm.groups;
        let (mut hat, mut slope) = (vec![0.0; n], vec![0.0; n]);
        let (dweight, dbias) = sums.split_at_mut(c);
        let [out] = block.out;
        for (group, dx) in out.chunks_exact_mut(n).enumerate() {
            let at = group % self.norm.groups * n;
            let here = block.first * c + group * n;
            let (x, grad) = (&self.x[here..][..n], &self.grad[here..][..n]);
            let weight = &self.weight[at..][..n];
            let (dweight, dbias) = (&mut dweight[at..][..n], &mut dbias[at..][..n]);
            let (hat, slope) = (&mut hat[..n], &mut slope[..n]);
            let (mean, scale) = moments(x, self.norm.epsilon);
            for j in 0..n {
                hat[j] = (x[j] - mean) * scale;
                slope[j] = grad[j] * weight[j];
                dweight[j] = grad[j].mul_add(hat[j], dweight[j]);
                dbias[j] += grad[j];
            }
            back(hat, slope, scale, dx);
        }
    }
}
