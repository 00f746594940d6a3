//! The loss of language models, with the output head that it reads through.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

use crate::cpu::loss::HeadLoss;
use crate::fused::{available, run};
use crate::linear::linear_plain;
use crate::precision::wanted;

/// Cross-entropy of what the output head `[V, C]` says to `x` `[M, C]`, in nats, `[1]`: the sum over
/// positions of the loss for their target, `[M]`, times their share, `[M]`.
///
/// The gradient has L2Wrap in it, the loss has not: it pulls on the largest logit `z` of every
/// position as that of `½·wrap·z²` would, which keeps logits from growing.
///
/// # Panics
/// When a target is not below `V`.
pub fn head_loss(
    x: Tensor<2>,
    head: Tensor<2>,
    targets: Tensor<1, Int>,
    shares: Tensor<1>,
    wrap: f64,
) -> Tensor<1> {
    if !available(&x.device()) {
        return head_loss_plain(x, head, targets, shares, wrap);
    }
    let [vocabulary, _] = head.dims();
    let targets: Vec<_> = targets.into_data().iter::<i64>().map(|id| id as usize).collect();
    assert!(targets.iter().all(|id| *id < vocabulary), "a target is not in the vocabulary");
    let shares = shares.into_data().iter::<f32>().collect();
    let inputs = vec![x.into_dispatch(), head.into_dispatch()];
    run(HeadLoss { targets, shares, wrap: wrap as f32, precision: wanted() }, inputs, [1])
}

/// The definition of [`head_loss`] in ordinary tensor operations; runs on every device.
pub fn head_loss_plain(
    x: Tensor<2>,
    head: Tensor<2>,
    targets: Tensor<1, Int>,
    shares: Tensor<1>,
    wrap: f64,
) -> Tensor<1> {
    let logits = linear_plain(x.unsqueeze::<3>(), head).squeeze_dim::<2>(0);
    let said = log_softmax(logits.clone(), 1).gather(1, targets.unsqueeze_dim(1));
    let loss = -(said.squeeze_dim(1) * shares).sum();
    let pull = logits.max_dim(1).square().sum() * (wrap / 2.0);
    // Nothing is added to the value, but the gradient of the pull stays.
    loss + pull.clone() - pull.detach()
}
