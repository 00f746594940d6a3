//! From the channels of the towers to those of the language model.

use anyhow::{Result, bail, ensure};
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::{relu, sigmoid};

use super::Beside;
use crate::layers::{Linear, Norm};
use crate::rwkv::{Parameter, parameters_of};
use crate::weights::Weights;

/// One matrix, or channels that decide themselves how much of them is seen.
#[derive(Module, Debug)]
pub(super) struct Projector {
    /// First to the channels of the language model, in the HD models of RWKV-6.
    proj: Option<Linear>,
    gate: Option<Linear>,
    /// Whether the gate is in the file, but what is negative is not seen instead: UHD.
    rectified: bool,
    o_proj: Linear,
    ln_v: Option<Norm>, // RWKV-7
}

/// What stands beside the `d` channels of the towers, by the width of a first matrix with `c` rows.
///
/// # Errors
/// When it reads neither these channels nor twice as many.
pub(super) fn beside(w: &Weights, d: usize, c: usize, towers: usize) -> Result<Beside> {
    let first = ["weight", "proj.weight"].into_iter().find(|name| w.has(name));
    let Some(first) = first else { return Ok(Beside::Nothing) };
    let [_, wide] = w.dims(first)?;
    match wide {
        _ if wide == d => Ok(Beside::Nothing),
        _ if wide == 2 * d && towers > 1 => Ok(Beside::Quarters),
        _ if wide == 2 * d => Ok(Beside::Reversed),
        _ => bail!(
            "the projector of {} reads {wide} channels for the {c} of the language model, but the \
             towers give {d}.",
            w.origin()
        ),
    }
}

impl Projector {
    /// `[B, T, D] → [B, T, C]`.
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = match &self.proj {
            Some(proj) => proj.forward(x),
            None => x,
        };
        let x = match &self.gate {
            Some(_) if self.rectified => relu(x),
            Some(gate) => x.clone() * sigmoid(gate.forward(x)),
            None => x,
        };
        let x = self.o_proj.forward(x);
        match &self.ln_v {
            Some(norm) => norm.forward(x),
            None => x,
        }
    }

    /// The projector whose names stand here, for `d` channels of the towers, with what stands beside
    /// them, and `c` of the language model.
    pub(super) fn load(w: &Weights, d: usize, c: usize, beside: Beside) -> Result<Self> {
        let rectified = beside == Beside::Quarters;
        if w.has("weight") {
            let o_proj = Linear::new(w.matrix("weight", [c, d])?);
            return Ok(Self { proj: None, gate: None, rectified, o_proj, ln_v: None });
        }
        ensure!(
            w.has("gate.weight"),
            "{} has no projector known here: a matrix or a gated one.",
            w.origin()
        );
        let first = w.has("proj.weight");
        let inner = if first { c } else { d };
        Ok(Self {
            proj: first.then(|| w.linear("proj", [c, d])).transpose()?,
            gate: Some(w.linear("gate", [inner, inner])?),
            rectified,
            o_proj: w.linear("o_proj", [c, inner])?,
            ln_v: w.has("ln_v.weight").then(|| w.layer_norm("ln_v", c)).transpose()?,
        })
    }

    /// Every parameter, under the name that checkpoints use.
    pub(super) fn parameters(&self) -> Vec<Parameter> {
        let mut found = parameters_of(self);
        for p in &mut found {
            let name = if self.gate.is_none() { "weight" } else { p.name.as_str() };
            p.name = format!("proj.{name}");
        }
        found
    }
}
