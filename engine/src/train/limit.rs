//! What the speed of training is measured against.

use std::hint::black_box;

use burn::tensor::{Device, Distribution, Tensor};
use rwkv_kernels::{linear, with_precision};

use super::settings::Precision;

/// A matrix product and nothing else, `[2048, 256]·[256, 1024]` on the processor: no training of a
/// model of such sizes can be quicker than its products.
pub struct Product {
    x: Tensor<3>,
    weight: Tensor<2>,
    precision: Precision,
}

impl Product {
    /// Multiplications and additions of one of them.
    pub const WORK: f64 = 2.0 * 2048.0 * 256.0 * 1024.0;

    /// The factors, numbers between −1 and 1.
    pub fn new(precision: Precision) -> Self {
        let (device, range) = (Device::flex(), Distribution::Uniform(-1.0, 1.0));
        let x = Tensor::random([1, 2048, 256], range, &device);
        Self { x, weight: Tensor::random([1024, 256], range, &device), precision }
    }

    /// Multiplies them, for the time that it takes.
    pub fn multiply(&self) {
        black_box(self.product());
    }

    fn product(&self) -> Tensor<3> {
        with_precision(self.precision.into(), || linear(self.x.clone(), self.weight.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_precisions_give_about_the_same() {
        let mut product = Product::new(Precision::F32);
        let exact = product.product();
        product.precision = Precision::Bf16;
        let far = (product.product() - exact).abs().max().into_scalar::<f32>();
        assert!(0.0 < far && far < 0.3, "{far}"); // of sums of 256 numbers up to 1
    }
}
