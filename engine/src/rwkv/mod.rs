//! RWKV language models: one version, one file; here is what they have in common.

mod detect;
mod fresh;
pub mod v4;
pub mod v7;

pub use detect::{Version, detect};
pub use fresh::{Fresh, Sizes};

use anyhow::Result;
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Int, Tensor};

use crate::state::State;
use crate::weights::Weights;

/// A language model of any version.
#[derive(Module, Debug)]
pub enum Rwkv {
    /// RWKV-4 "Dove".
    V4(v4::Rwkv4),
    /// RWKV-7 "Goose".
    V7(v7::Rwkv7),
}

impl Rwkv {
    /// Builds the version that the tensor names speak of.
    ///
    /// # Errors
    /// When the names speak of no version known here, and when a tensor is missing or misshapen.
    pub fn load(weights: &Weights) -> Result<Self> {
        Ok(match detect(&weights.names())? {
            Version::V4 => Self::V4(v4::Rwkv4::load(weights)?),
            Version::V7 => Self::V7(v7::Rwkv7::load(weights)?),
        })
    }

    /// Logits of every position, `[B, T]` → `[B, T, V]`; `state` moves on by `T` tokens.
    pub fn forward(&self, tokens: Tensor<2, Int>, state: &mut State) -> Tensor<3> {
        self.logits(self.hidden(tokens, state))
    }

    /// What the output head reads, `[B, T]` → `[B, T, C]`; `state` moves on by `T` tokens.
    pub fn hidden(&self, tokens: Tensor<2, Int>, state: &mut State) -> Tensor<3> {
        match self {
            Self::V4(m) => m.hidden(tokens, state),
            Self::V7(m) => m.hidden(tokens, state),
        }
    }

    /// The output head alone, `[B, T, C]` → `[B, T, V]`: only as many positions as are asked for.
    pub fn logits(&self, hidden: Tensor<3>) -> Tensor<3> {
        match self {
            Self::V4(m) => m.logits(hidden),
            Self::V7(m) => m.logits(hidden),
        }
    }

    /// The state before the first token.
    pub fn state(&self, batch: usize, device: &Device) -> State {
        match self {
            Self::V4(m) => m.state(batch, device),
            Self::V7(m) => m.state(batch, device),
        }
    }

    /// Which version this is.
    pub fn version(&self) -> Version {
        match self {
            Self::V4(_) => Version::V4,
            Self::V7(_) => Version::V7,
        }
    }

    /// Sizes of the vocabulary and of the residual stream, `[V, C]`.
    pub fn dims(&self) -> [usize; 2] {
        match self {
            Self::V4(m) => m.dims(),
            Self::V7(m) => m.dims(),
        }
    }

    /// Every parameter, under the name and with the shape that checkpoints use.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut names = Names { path: Vec::new(), found: Vec::new() };
        match self {
            Self::V4(m) => m.visit(&mut names),
            Self::V7(m) => m.visit(&mut names),
        }
        names.found
    }
}

/// One parameter of a model.
pub struct Parameter {
    /// Its name in checkpoints, such as `blocks.0.att.key.weight`.
    pub name: String,
    /// What the optimiser calls it.
    pub id: ParamId,
    /// Its sizes in checkpoints.
    pub shape: Vec<usize>,
    /// Its numbers, row after row.
    pub values: Tensor<1>,
}

struct Names {
    path: Vec<String>,
    found: Vec<Parameter>,
}

impl ModuleVisitor for Names {
    fn enter_module(&mut self, name: &str, _: &str) {
        // Burn's norms have names of their own for what checkpoints call weight and bias.
        let name = match name {
            "gamma" => "weight",
            "beta" => "bias",
            name => name,
        };
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = param.val();
        self.found.push(Parameter {
            name: self.path.join("."),
            id: param.id,
            shape: values.dims().to_vec(),
            values: values.flatten(0, D - 1),
        });
    }
}

/// The sequence one step late: token `t` sees `x` of token `t-1`, the first one sees `last`.
///
/// `[B, T, C] → [B, T, C]`; `last` `[B, C]` becomes the final token.
fn shift(x: &Tensor<3>, last: &mut Tensor<2>) -> Tensor<3> {
    let [_, tokens, _] = x.dims();
    let next = x.clone().narrow(1, tokens - 1, 1).squeeze_dim(1);
    let first = std::mem::replace(last, next).unsqueeze_dim(1);
    if tokens == 1 {
        return first;
    }
    Tensor::cat(vec![first, x.clone().narrow(1, 0, tokens - 1)], 1)
}

/// Two thin matrices with something in between: `f(x·down)·up`, `[B, T, C] → [B, T, C]`.
fn low_rank(
    x: Tensor<3>,
    down: &Param<Tensor<2>>,
    f: fn(Tensor<2>) -> Tensor<2>,
    up: &Param<Tensor<2>>,
) -> Tensor<3> {
    let [b, t, c] = x.dims();
    // One tall matrix: the thin ones are read once, and their gradients are one product each.
    f(x.reshape([b * t, c]).matmul(down.val())).matmul(up.val()).reshape([b, t, c])
}
