//! Projections, with what comes right before them: it is made again on the way back, which is
//! quicker than to keep it.

use burn::backend::DispatchTensor;
use burn::tensor::activation::relu;
use burn::tensor::{DType, Tensor};

use crate::cpu::blend::Blend;
use crate::cpu::few::{Few, MANY, products};
use crate::cpu::lanes::Unit;
use crate::cpu::linear::{Affine, Before, Fixed, Linear};
use crate::fused::{available, made, run, untracked};
use crate::packed::Weight;
use crate::precision::{Precision, wanted};

/// `x·Wᵀ`: `[B, T, in] → [B, T, out]` with a weight `[out, in]`.
pub fn linear(x: Tensor<3>, weight: impl Into<Weight>) -> Tensor<3> {
    let device = x.device();
    if !available(&device) {
        return linear_plain(x, weight.into().plain(&device));
    }
    fused(x, weight, Before::Nothing, false, vec![])
}

/// `x·Wᵀ + b`: [`linear`] with a bias `[out]`.
pub fn affine(x: Tensor<3>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<3> {
    if !available(&x.device()) {
        return affine_plain(x, weight, bias);
    }
    let ([b, t, width], [out]) = (x.dims(), bias.dims());
    let inputs = vec![x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    run(Affine { width, precision: wanted() }, inputs, [b, t, out])
}

/// The definition of [`affine`] in ordinary tensor operations; runs on every device.
pub fn affine_plain(x: Tensor<3>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<3> {
    linear_plain(x, weight) + bias.unsqueeze()
}

/// `x·W`: [`linear`] with a thin matrix, which is stored the other way round, `[in, out]`.
pub fn thin_linear(x: Tensor<3>, weight: impl Into<Weight>) -> Tensor<3> {
    let device = x.device();
    if !available(&device) {
        return linear_plain(x, weight.into().plain(&device).transpose());
    }
    fused(x, weight, Before::Nothing, true, vec![])
}

/// The definition of [`linear`] in ordinary tensor operations; runs on every device. Where factors
/// are rounded, so is the result.
pub fn linear_plain(x: Tensor<3>, weight: Tensor<2>) -> Tensor<3> {
    let ([b, t, width], [out, _]) = (x.dims(), weight.dims());
    // One tall matrix instead of a batch of them: the weight is read once.
    let (x, weight) = (x.reshape([b * t, width]), weight.transpose());
    let y = match wanted() {
        Precision::F32 => x.matmul(weight),
        Precision::Bf16 => x.cast(DType::BF16).matmul(weight.cast(DType::BF16)).cast(DType::F32),
    };
    y.reshape([b, t, out])
}

/// `max(x, 0)²·Wᵀ`: [`linear`] of squared positive numbers.
pub fn relu_squared_linear(x: Tensor<3>, weight: impl Into<Weight>) -> Tensor<3> {
    let device = x.device();
    if !available(&device) {
        return linear_plain(relu(x).square(), weight.into().plain(&device));
    }
    fused(x, weight, Before::SquaredRelu, false, vec![])
}

/// A projection with what comes `before` it, which may need `others` besides `x`.
fn fused(
    x: Tensor<3>,
    weight: impl Into<Weight>,
    before: Before,
    turned: bool,
    others: Vec<DispatchTensor>,
) -> Tensor<3> {
    let (weight, [b, t, width]) = (weight.into(), x.dims());
    let [rows, columns] = weight.dims();
    let out = if turned { columns } else { rows };
    let mut inputs = Vec::with_capacity(2 + others.len());
    inputs.push(x.into_dispatch());
    match weight {
        Weight::Plain(weight) => {
            inputs.push(weight.into_dispatch());
            inputs.extend(others);
            run(Linear { before, width, turned, precision: wanted() }, inputs, [b, t, out])
        }
        Weight::Packed(weight) => {
            inputs.extend(others);
            run(Fixed { before, weight, turned }, inputs, [b, t, out])
        }
    }
}

/// A sequence and what came before it, of which projections read blends.
#[derive(Clone)]
pub struct Stream {
    /// `[B, T, C]`.
    pub x: Tensor<3>,
    /// The token before the first, `[B, C]`.
    pub last: Tensor<2>,
}

impl Stream {
    /// Takes `x` `[B, T, C]` and the token before it; that becomes the last of `x`.
    pub fn new(x: Tensor<3>, last: &mut Tensor<2>) -> Self {
        let [b, tokens, c] = x.dims();
        let next = x.clone().narrow(1, tokens - 1, 1).reshape([b, c]);
        Self { x, last: std::mem::replace(last, next) }
    }

    /// The sequence one step late, `[B, T, C]`.
    pub fn before(&self) -> Tensor<3> {
        let ([b, tokens, c], x) = (self.x.dims(), self.x.clone());
        let first = self.last.clone().reshape([b, 1, c]);
        if tokens == 1 { first } else { Tensor::cat(vec![first, x.narrow(1, 0, tokens - 1)], 1) }
    }

    /// `x + (before − x)·mu`: how much of the token before every channel reads, `[1, 1, C]`.
    pub fn blend(&self, mu: Tensor<3>) -> Tensor<3> {
        self.x.clone() + (self.before() - self.x.clone()) * mu
    }

    /// The blends by each `mu`, projected by a weight `[out, in]`: `[B, T, out]`.
    pub fn project<const N: usize>(&self, all: [(Tensor<3>, Weight); N]) -> [Tensor<3>; N] {
        self.several(all, false)
    }

    /// The blends by each `mu`, projected by a thin matrix `[in, out]`: `[B, T, out]`.
    pub fn narrow<const N: usize>(&self, all: [(Tensor<3>, Weight); N]) -> [Tensor<3>; N] {
        self.several(all, true)
    }

    fn several<const N: usize>(
        &self,
        all: [(Tensor<3>, Weight); N],
        turned: bool,
    ) -> [Tensor<3>; N] {
        if let Some(found) = self.together(&all, turned) {
            return found.try_into().expect("as many as were asked for");
        }
        let device = self.x.device();
        all.map(|(mu, weight)| match available(&device) {
            true => self.fused(mu, weight, turned),
            false => {
                let weight = weight.plain(&device);
                let weight = if turned { weight.transpose() } else { weight };
                linear_plain(self.blend(mu), weight)
            }
        })
    }

    /// The projections of a few tokens by weights that are not learnt: they cost what it costs to read
    /// those, and so threads meet only once.
    fn together(&self, all: &[(Tensor<3>, Weight)], turned: bool) -> Option<Vec<Tensor<3>>> {
        let [b, tokens, _] = self.x.dims();
        if b * tokens >= MANY {
            return None;
        }
        let (x, last) = (self.x.clone().into_dispatch(), self.last.clone().into_dispatch());
        let (x, last) = (untracked(&x)?, untracked(&last)?);
        let (mut blends, mut weights) = (vec![], vec![]);
        for (mu, weight) in all {
            let Weight::Packed(weight) = weight else { return None };
            let mu = mu.clone().into_dispatch();
            blends.push(Blend { x, last, mu: untracked(&mu)?, tokens }.forward());
            weights.push(weight.stored().laid(turned)?);
        }
        let few: Vec<_> = blends.iter().zip(weights).map(|(x, weight)| Few { x, weight }).collect();
        let found = products(&few, Unit::best()).into_iter().map(|y| {
            let out = y.len() / (b * tokens);
            Tensor::from_dispatch(made(y, [b, tokens, out]))
        });
        Some(found.collect())
    }

    fn fused(&self, mu: Tensor<3>, weight: impl Into<Weight>, turned: bool) -> Tensor<3> {
        let [_, tokens, _] = self.x.dims();
        let others = vec![self.last.clone().into_dispatch(), mu.into_dispatch()];
        fused(self.x.clone(), weight, Before::Blend { tokens }, turned, others)
    }
}
