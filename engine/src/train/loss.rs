//! What training makes small.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

/// Cross-entropy of logits `[M, V]` for targets `[M]` in nats: the sum over positions times their
/// `shares` `[M]`. Its gradient also pulls on the largest logit `z` of each position, as that of
/// `½·wrap·z²` would (RWKV-LM's L2Wrap); the value does not tell.
pub fn cross_entropy(
    logits: Tensor<2>,
    targets: Tensor<1, Int>,
    shares: Tensor<1>,
    wrap: f64,
) -> Tensor<1> {
    let log_p = log_softmax(logits.clone(), 1);
    let said = log_p.gather(1, targets.unsqueeze_dim(1)).squeeze_dim(1);
    let loss = -(said * shares).sum();
    if wrap == 0.0 {
        return loss;
    }
    let pull = logits.max_dim(1).square().sum() * (wrap / 2.0);
    // Nothing is added to the value, but the gradient of the pull stays.
    loss + pull.clone() - pull.detach()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn value_and_pull_checked_by_hand() {
        let device = Device::flex().autodiff();
        let logits = Tensor::<2>::from_floats([[0.0, 0.0], [3.0, 3.0f32.ln()]], &device);
        let logits = logits.require_grad();
        let targets = Tensor::<1, Int>::from_ints([1, 0], &device);
        let shares = Tensor::from_floats([0.5, 0.0], &device);
        let loss = cross_entropy(logits.clone(), targets, shares, 0.1);
        assert!((loss.clone().into_scalar::<f32>() - 0.5 * 2f32.ln()).abs() < 1e-6);
        let gradient = logits.grad(&loss.backward()).unwrap().into_data();
        let gradient = gradient.try_into_vec::<f32>().unwrap();
        let expected = [0.25, -0.25, 0.3, 0.0];
        for (found, expected) in gradient.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{gradient:?}");
        }
    }
}
