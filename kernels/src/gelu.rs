//! `x·Φ(x)`, a number times the share of the normal distribution below it (arXiv 1606.08415), in the
//! three forms that vision transformers were trained with.

use std::marker::PhantomData;

use burn::tensor::activation::{gelu_approximate, sigmoid};
use burn::tensor::{Tensor, activation};

use crate::cpu::gelu::{Erf, Quick, Tanh};
use crate::cpu::pointwise::{Equation, Pointwise};
use crate::fused::{available, run};

/// The forms of `x·Φ(x)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gelu {
    /// With the error function, exact.
    Erf,
    /// With tanh.
    Tanh,
    /// `x·σ(1.702 x)`.
    Quick,
}

/// `z·Φ(z)` of `z = x + bias`: `[B, T, C]` and `[C]` → `[B, T, C]`.
pub fn gelu(x: Tensor<3>, bias: Tensor<1>, form: Gelu) -> Tensor<3> {
    if !available(&x.device()) {
        return gelu_plain(x, bias, form);
    }
    match form {
        Gelu::Erf => fused::<Erf>(x, bias),
        Gelu::Tanh => fused::<Tanh>(x, bias),
        Gelu::Quick => fused::<Quick>(x, bias),
    }
}

/// The definition of [`gelu`] in ordinary tensor operations; runs on every device.
pub fn gelu_plain(x: Tensor<3>, bias: Tensor<1>, form: Gelu) -> Tensor<3> {
    let z = x + bias.unsqueeze();
    match form {
        Gelu::Erf => activation::gelu(z),
        Gelu::Tanh => gelu_approximate(z),
        Gelu::Quick => z.clone() * sigmoid(z * 1.702),
    }
}

fn fused<E: Equation<1> + 'static>(x: Tensor<3>, bias: Tensor<1>) -> Tensor<3> {
    let shape = x.dims();
    let inputs = vec![x.into_dispatch(), bias.into_dispatch()];
    run(Pointwise::<E, 1>(PhantomData), inputs, shape)
}
