//! Projections whose factors are rounded to bf16.

use burn::tensor::{DType, Tensor};

use crate::fused;

/// `x·Wᵀ` with both factors rounded to bf16 and sums in f32: `[M, K]` and `[N, K]` give `[M, N]`.
///
/// The gradients `dy·W` and `dyᵀ·x` are products of the same kind; all numbers outside stay f32.
/// Processors with AMX or the bf16 instructions of AMD use them; the others multiply rounded f32,
/// to the same result but for the order of summation. Devices without fused operations use their
/// own bf16, and may round the result too.
pub fn linear_bf16(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    if fused::available(&x.device()) {
        fused::linear_bf16(x, weight)
    } else {
        linear_bf16_plain(x, weight)
    }
}

/// The definition of [`linear_bf16`] in ordinary tensor operations; runs on every device that has
/// bf16.
pub fn linear_bf16_plain(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    let [x, weight] = [x, weight].map(|x| x.cast(DType::BF16));
    x.matmul(weight.transpose()).cast(DType::F32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};

    fn far(a: Tensor<2>, b: Tensor<2>) -> f32 {
        (a - b).abs().max().into_scalar::<f32>()
    }

    /// What rounding leaves of the numbers.
    fn rounded(x: Tensor<2>) -> Tensor<2> {
        x.cast(DType::BF16).cast(DType::F32)
    }

    #[test]
    fn only_the_factors_are_rounded() {
        let device = Device::flex();
        let random = |shape| Tensor::<2>::random(shape, Distribution::Uniform(-1.0, 1.0), &device);
        for [m, k, n] in [[1, 1, 1], [3, 5, 7], [64, 96, 33], [130, 200, 300]] {
            let (x, w) = (random([m, k]), random([n, k]));
            let y = linear_bf16(x.clone(), w.clone());
            let exact = rounded(x.clone()).matmul(rounded(w.clone()).transpose());
            assert!(far(y.clone(), exact) < 1e-6 * k as f32, "{m} {k} {n}");
            // The plain one rounds the result, by a part in 256 at most.
            let plain = linear_bf16_plain(x, w);
            assert!(far(y.clone(), plain) <= y.abs().max().into_scalar::<f32>() / 256.0 + 1e-6);
        }
    }

    #[test]
    fn gradients_are_products_of_rounded_numbers() {
        let device = Device::flex().autodiff();
        let random = |shape| Tensor::<2>::random(shape, Distribution::Uniform(-1.0, 1.0), &device);
        let [m, k, n] = [70, 40, 50];
        let (x, w, dy) = (random([m, k]), random([n, k]), random([m, n]).inner());
        for (x_learns, w_learns) in [(true, true), (true, false), (false, true)] {
            let learning = |x: &Tensor<2>, yes| x.clone().detach().set_require_grad(yes);
            let (x, w) = (learning(&x, x_learns), learning(&w, w_learns));
            let y = linear_bf16(x.clone(), w.clone());
            let grads = (y * Tensor::from_inner(dy.clone())).sum().backward();
            let dy = rounded(dy.clone());
            let dx = dy.clone().matmul(rounded(w.clone().inner()));
            let dw = dy.transpose().matmul(rounded(x.clone().inner()));
            for (learns, x, expected) in [(x_learns, x, dx), (w_learns, w, dw)] {
                assert_eq!(x.grad(&grads).is_some(), learns);
                if let Some(found) = x.grad(&grads) {
                    assert!(far(found, expected) < 1e-4);
                }
            }
        }
    }
}
