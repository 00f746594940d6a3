//! What RWKV-7 does to single channels and heads, between its projections and its recurrence.
//!
//! Each function is one equation, and one pass over memory where the device has it fused.

use std::marker::PhantomData;

use burn::tensor::{Tensor, activation};

use crate::cpu::goose::{ReadOut, UnitKey};
use crate::cpu::pointwise::{Decay, EditKey, Equation, Lend, Pointwise, Sigmoid};
use crate::cpu::thin::Thin;
use crate::fused::{available, run};
use crate::linear::linear_plain;
use crate::norm::norm_plain;
use crate::packed::Weight;
use crate::precision::wanted;

/// `sigmoid(x·up + bias)`: `[B, T, D] → [B, T, C]`, with a thin matrix `[D, C]` and `[1, 1, C]`.
pub fn thin_sigmoid(x: Tensor<3>, up: impl Into<Weight>, bias: Tensor<3>) -> Tensor<3> {
    let device = x.device();
    if available(&device) {
        return thin::<Sigmoid, 1>(x, up, bias, []);
    }
    thin_sigmoid_plain(x, up.into().plain(&device), bias)
}

/// The definition of [`thin_sigmoid`] in ordinary tensor operations.
pub fn thin_sigmoid_plain(x: Tensor<3>, up: Tensor<2>, bias: Tensor<3>) -> Tensor<3> {
    activation::sigmoid(linear_plain(x, up.transpose()) + bias)
}

/// The share of the state that survives a token, `exp(−e^−½·sigmoid(x·up + bias))`, in (0.545, 1):
/// `[B, T, D] → [B, T, C]`, with a thin matrix `[D, C]` and `[1, 1, C]`.
pub fn decay(x: Tensor<3>, up: impl Into<Weight>, bias: Tensor<3>) -> Tensor<3> {
    let device = x.device();
    if available(&device) {
        return thin::<Decay, 1>(x, up, bias, []);
    }
    decay_plain(x, up.into().plain(&device), bias)
}

/// The definition of [`decay()`] in ordinary tensor operations.
pub fn decay_plain(x: Tensor<3>, up: Tensor<2>, bias: Tensor<3>) -> Tensor<3> {
    (thin_sigmoid_plain(x, up, bias) * -(-0.5f64).exp()).exp()
}

/// Values `[B, T, C]` that borrow from those of the first block,
/// `v + (first − v)·sigmoid(x·up + bias)`, with `x` `[B, T, D]`, a thin matrix `[D, C]` and
/// `[1, 1, C]`.
pub fn lend(
    [v, first]: [Tensor<3>; 2],
    x: Tensor<3>,
    up: impl Into<Weight>,
    bias: Tensor<3>,
) -> Tensor<3> {
    let device = x.device();
    if available(&device) {
        return thin::<Lend, 3>(x, up, bias, [v, first]);
    }
    lend_plain([v, first], x, up.into().plain(&device), bias)
}

/// The definition of [`lend`] in ordinary tensor operations.
pub fn lend_plain(
    [v, first]: [Tensor<3>; 2],
    x: Tensor<3>,
    up: Tensor<2>,
    bias: Tensor<3>,
) -> Tensor<3> {
    v.clone() + (first - v) * thin_sigmoid_plain(x, up, bias)
}

fn thin<E: Equation<N> + 'static, const N: usize>(
    x: Tensor<3>,
    up: impl Into<Weight>,
    bias: Tensor<3>,
    others: impl IntoIterator<Item = Tensor<3>>,
) -> Tensor<3> {
    let up = up.into();
    let ([b, t, _], [_, c]) = (x.dims(), up.dims());
    let mut inputs = vec![x.into_dispatch()];
    let matrix = match up {
        Weight::Packed(matrix) => Some(matrix),
        Weight::Plain(matrix) => {
            inputs.push(matrix.into_dispatch());
            None
        }
    };
    inputs.push(bias.into_dispatch());
    inputs.extend(others.into_iter().map(Tensor::into_dispatch));
    run(Thin::<E, N>::new(wanted(), matrix), inputs, [b, t, c])
}

/// The key under which new content goes in, `k·(1 + (a − 1)·k_a)`: `[B, T, C]`, `k_a` `[1, 1, C]`.
pub fn edit_key(k: Tensor<3>, a: Tensor<3>, k_a: Tensor<3>) -> Tensor<3> {
    if available(&k.device()) {
        let shape = k.dims();
        let inputs = vec![k.into_dispatch(), a.into_dispatch(), k_a.into_dispatch()];
        return run(Pointwise::<EditKey, 2>(PhantomData), inputs, shape);
    }
    edit_key_plain(k, a, k_a)
}

/// The definition of [`edit_key`] in ordinary tensor operations.
pub fn edit_key_plain(k: Tensor<3>, a: Tensor<3>, k_a: Tensor<3>) -> Tensor<3> {
    k * ((a - 1) * k_a + 1)
}

/// The key under which old content is taken out: `k·k_k`, of length 1 in each of `heads` heads:
/// `[B, T, C] → [B, T, H, N]`, `k_k` `[1, 1, C]`.
pub fn unit_key(k: Tensor<3>, k_k: Tensor<3>, heads: usize) -> Tensor<4> {
    if !available(&k.device()) {
        return unit_key_plain(k, k_k, heads);
    }
    let [b, t, c] = k.dims();
    let n = c / heads;
    run(UnitKey { n }, vec![k.into_dispatch(), k_k.into_dispatch()], [b, t, heads, n])
}

/// The definition of [`unit_key`] in ordinary tensor operations.
pub fn unit_key_plain(k: Tensor<3>, k_k: Tensor<3>, heads: usize) -> Tensor<4> {
    let [b, t, c] = k.dims();
    let k = (k * k_k).reshape([b, t, heads, c / heads]);
    let length = k.clone().square().sum_dim(3).sqrt();
    k / length.clamp_min(1e-12)
}

/// What time-mix tells its output projection: `y`, normed head by head with `weight` and `bias`
/// `[C]`, and the bonus of the current token, through the gate: `(norm(y) + (Σ r·k·r_k)·v)·g`.
///
/// `[y r k v]` `[B, T, H, N]`, `g` `[B, T, C]`, `r_k` `[H, N]`; returns `[B, T, C]`.
pub fn read_out(
    [y, r, k, v]: [Tensor<4>; 4],
    g: Tensor<3>,
    r_k: Tensor<2>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
) -> Tensor<3> {
    if !available(&g.device()) {
        return read_out_plain([y, r, k, v], g, r_k, weight, bias, epsilon);
    }
    let (shape, [_, n]) = (g.dims(), r_k.dims());
    let [y, r, k, v] = [y, r, k, v].map(Tensor::into_dispatch);
    let (g, r_k) = (g.into_dispatch(), r_k.into_dispatch());
    let inputs = vec![y, r, k, v, g, r_k, weight.into_dispatch(), bias.into_dispatch()];
    run(ReadOut { n, epsilon: epsilon as f32 }, inputs, shape)
}

/// The definition of [`read_out`] in ordinary tensor operations.
pub fn read_out_plain(
    [y, r, k, v]: [Tensor<4>; 4],
    g: Tensor<3>,
    r_k: Tensor<2>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
) -> Tensor<3> {
    let (shape, [heads, _]) = (g.dims(), r_k.dims());
    let normed = norm_plain(y.reshape(shape), weight, bias, heads, epsilon);
    let bonus = (r * k * r_k.unsqueeze()).sum_dim(3) * v;
    (normed + bonus.reshape(shape)) * g
}
