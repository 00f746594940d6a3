//! The layers that all versions have in common.
//!
//! They are types of our own so that what they store can change (packed, quantised, mapped from a
//! file) while no model file does.

mod held;

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};
use rwkv_kernels::{
    Gelu, Stream, Weight, affine, gelu, head_loss, linear, norm, read_out, relu_squared_linear,
};

pub use held::Held;

/// A projection without bias: `y = x·Wᵀ`.
#[derive(Module, Debug)]
pub struct Linear {
    weight: Held, // [out, in], as in checkpoints
}

impl Linear {
    /// Wraps a weight of shape `[out, in]`.
    pub fn new(weight: impl Into<Held>) -> Self {
        Self { weight: weight.into() }
    }

    /// `[B, T, in] → [B, T, out]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.adapted(|weight| linear(x.clone(), weight))
    }

    /// [`Linear::forward`] of the blend of every token with the one before by `mu` `[1, 1, in]`.
    pub fn of_blend(&self, x: &Stream, mu: Tensor<3>) -> Tensor<3> {
        self.adapted(|weight| {
            let [y] = x.project([(mu.clone(), weight)]);
            y
        })
    }

    /// [`Linear::of_blend`] of several layers, which is quicker than one after the other.
    pub fn of_blends<const N: usize>(x: &Stream, all: [(&Self, Tensor<3>); N]) -> [Tensor<3>; N] {
        if all.iter().any(|(layer, _)| layer.is_adapted()) {
            return all.map(|(layer, mu)| layer.of_blend(x, mu));
        }
        x.project(all.map(|(layer, mu)| (mu, layer.weight.weight())))
    }

    /// [`Linear::forward`] of `max(x, 0)²`.
    pub fn of_relu_squared(&self, x: Tensor<3>) -> Tensor<3> {
        self.adapted(|weight| relu_squared_linear(x.clone(), weight))
    }

    fn is_adapted(&self) -> bool {
        matches!(&self.weight, Held::Plain(weight) if weight.adapter().is_some())
    }

    /// A projection by the weight and by the thin matrices that hang on it, if any do.
    fn adapted(&self, project: impl Fn(Weight) -> Tensor<3>) -> Tensor<3> {
        if let Held::Plain(weight) = &self.weight
            && let Some(lora) = weight.adapter()
        {
            // Two thin products: the sum of the matrices is never made.
            let thin = linear(project(lora.b.val().into()), lora.a.val());
            return project(weight.base().into()) + thin * lora.scale;
        }
        project(self.weight.weight())
    }

    /// What this layer, as an output head, loses with `x` `[M, in]`, `[1]`; see
    /// [`rwkv_kernels::head_loss`].
    pub fn loss(
        &self,
        x: Tensor<2>,
        targets: Tensor<1, Int>,
        shares: Tensor<1>,
        wrap: f64,
    ) -> Tensor<1> {
        head_loss(x, self.weight.val(), targets, shares, wrap)
    }

    /// Rows and columns of the weight: `[out, in]`.
    pub fn dims(&self) -> [usize; 2] {
        self.weight.dims()
    }
}

/// A projection with bias: `y = x·Wᵀ + b`.
#[derive(Module, Debug)]
pub struct Affine {
    weight: Param<Tensor<2>>, // [out, in]
    bias: Param<Tensor<1>>,   // [out]
}

impl Affine {
    /// Wraps a weight `[out, in]` and a bias `[out]`.
    pub fn new(weight: Param<Tensor<2>>, bias: Param<Tensor<1>>) -> Self {
        Self { weight, bias }
    }

    /// `[B, T, in] → [B, T, out]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        affine(x, self.weight.val(), self.bias.val())
    }

    /// [`Affine::forward`], then `y·Φ(y)`.
    pub fn gelu(&self, x: Tensor<3>, form: Gelu) -> Tensor<3> {
        gelu(linear(x, self.weight.val()), self.bias.val(), form)
    }

    /// Rows and columns of the weight: `[out, in]`.
    pub fn dims(&self) -> [usize; 2] {
        self.weight.dims()
    }
}

/// One vector per token of the vocabulary.
#[derive(Module, Debug)]
pub struct Embedding {
    weight: Held, // [V, C]
}

impl Embedding {
    /// Wraps a table of shape `[V, C]`.
    pub fn new(weight: impl Into<Held>) -> Self {
        Self { weight: weight.into() }
    }

    /// `[B, T] → [B, T, C]`; every token must be below `V`.
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let [b, t] = tokens.dims();
        let [_, c] = self.weight.dims();
        self.weight.rows(tokens.reshape([b * t])).reshape([b, t, c])
    }

    /// Whether the row of a token has neither infinities nor NaN.
    pub fn has_numbers(&self, token: usize) -> bool {
        match &self.weight {
            Held::Plain(_) => true, // was seen when it was made
            Held::Packed(fixed) => fixed.row(token).iter().all(|x| x.is_finite()),
        }
    }

    /// Size of the vocabulary and channels: `[V, C]`.
    pub fn dims(&self) -> [usize; 2] {
        self.weight.dims()
    }
}

/// Brings channels to mean 0 and deviation 1, all together or head by head, then scales and moves
/// each.
#[derive(Module, Debug)]
pub struct Norm {
    weight: Param<Tensor<1>>, // [C]
    bias: Param<Tensor<1>>,   // [C]
    groups: usize,
    epsilon: f64,
}

impl Norm {
    /// Wraps a weight and a bias `[C]`, for `C` channels in `groups`; `epsilon` is added to the
    /// variance.
    pub fn new(
        weight: Param<Tensor<1>>,
        bias: Param<Tensor<1>>,
        groups: usize,
        epsilon: f64,
    ) -> Self {
        Self { weight, bias, groups, epsilon }
    }

    /// `[.., C] → [.., C]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        norm(x, self.weight.val(), self.bias.val(), self.groups, self.epsilon)
    }

    /// What time-mix of RWKV-7 tells its output projection, `[B, T, C]`; see
    /// [`rwkv_kernels::read_out`].
    pub fn read_out(&self, yrkv: [Tensor<4>; 4], g: Tensor<3>, r_k: Tensor<2>) -> Tensor<3> {
        read_out(yrkv, g, r_k, self.weight.val(), self.bias.val(), self.epsilon)
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.weight.dims()[0]
    }
}
