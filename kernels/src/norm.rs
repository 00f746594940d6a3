//! Normalisation of the residual stream and of heads.

use burn::tensor::Tensor;

use crate::cpu::norm::Norm;
use crate::fused::{available, run};

/// Each of `groups` groups of channels with mean 0 and deviation 1, then times `weight` plus
/// `bias`: `[.., C] → [.., C]`, both `[C]`. One group is a layer norm, a group for each head a
/// head norm. `epsilon` is added to the variance.
pub fn norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    groups: usize,
    epsilon: f64,
) -> Tensor<D> {
    if !available(&x.device()) {
        return norm_plain(x, weight, bias, groups, epsilon);
    }
    let shape = x.dims();
    let inputs = vec![x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    run(Norm { groups, epsilon: epsilon as f32 }, inputs, shape)
}

/// The definition of [`norm`] in ordinary tensor operations; runs on every device.
pub fn norm_plain<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    groups: usize,
    epsilon: f64,
) -> Tensor<D> {
    let (shape, [c]) = (x.dims(), weight.dims());
    let rows = x.shape().num_elements() / c;
    let x = x.reshape([rows, groups, c / groups]);
    let x = x.clone() - x.mean_dim(2);
    let variance = x.clone().square().mean_dim(2);
    let hat = (x / (variance + epsilon).sqrt()).reshape([rows, c]);
    (hat * weight.unsqueeze() + bias.unsqueeze()).reshape(shape)
}
