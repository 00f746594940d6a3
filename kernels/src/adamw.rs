//! The rule by which weights follow their gradients.

use burn::tensor::Tensor;

use crate::fused;

/// AdamW (arXiv 1711.05101), one step of it.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// The learning rate of this step.
    pub rate: f64,
    /// How long the averages of the gradient and of its square remember.
    pub betas: [f64; 2],
    /// Added to the root of the second average.
    pub eps: f64,
    /// Share of a weight that is taken away per step and unit of rate.
    pub weight_decay: f64,
    /// Which step this is, from 1: young averages lean to zero and are stretched.
    pub step: usize,
    /// What the gradient is multiplied by before all else, as when it is cut to a norm.
    pub scale: f64,
}

/// The weights `x` and the averages `m` and `v` after a step along `grad`; in place where nobody
/// else holds them. Tensors off the gradient graph.
///
/// ```text
/// m ← β₁·m + (1−β₁)·g      v ← β₂·v + (1−β₂)·g²
/// x ← x·(1 − rate·decay) − rate · m/(1−β₁ᵗ) / (√(v/(1−β₂ᵗ)) + ε)
/// ```
pub fn adamw<const D: usize>(
    x: Tensor<D>,
    grad: Tensor<D>,
    m: Tensor<D>,
    v: Tensor<D>,
    rule: &AdamW,
) -> [Tensor<D>; 3] {
    let device = x.device();
    if fused::available(&device) && !device.is_autodiff() {
        fused::adamw([x, grad, m, v], rule)
    } else {
        adamw_plain(x, grad, m, v, rule)
    }
}

/// The definition of [`adamw`] in ordinary tensor operations; runs on every device.
pub fn adamw_plain<const D: usize>(
    x: Tensor<D>,
    grad: Tensor<D>,
    m: Tensor<D>,
    v: Tensor<D>,
    rule: &AdamW,
) -> [Tensor<D>; 3] {
    let [first, second] = rule.betas;
    let grad = grad * rule.scale;
    let m = m * first + grad.clone() * (1.0 - first);
    let v = v * second + grad.square() * (1.0 - second);
    let whole = |beta: f64| 1.0 - beta.powf(rule.step as f64);
    let along = m.clone() / whole(first) / ((v.clone() / whole(second)).sqrt() + rule.eps);
    let x = x * (1.0 - rule.rate * rule.weight_decay) - along * rule.rate;
    [x, m, v]
}
