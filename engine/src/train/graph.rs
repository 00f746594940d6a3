//! On and off the graph that gradients are found with.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{Device, Tensor};

use super::pupil::Pupil;

/// The tensor on the graph of `device`; nobody asks for its own gradient yet.
pub fn lift<const D: usize>(x: Tensor<D>, device: &Device) -> Tensor<D> {
    let x = Tensor::from_inner(x);
    match device.gradient_checkpointing_strategy() {
        Some(strategy) => x.with_gradient_checkpointing_strategy(strategy),
        None => x,
    }
}

/// The model on the graph of `device`, where the parameters named in `learning` ask for gradients;
/// the numbers of the others are shared.
pub fn lift_model(pupil: &Pupil, learning: &HashMap<ParamId, String>, device: &Device) -> Pupil {
    pupil.valid().map(&mut Lifting { learning, device })
}

struct Lifting<'a> {
    learning: &'a HashMap<ParamId, String>,
    device: &'a Device,
}

impl ModuleMapper for Lifting<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, x, mapper) = param.consume();
        let x = lift(x, self.device);
        let x = if self.learning.contains_key(&id) { x.require_grad() } else { x };
        Param::from_mapped_value(id, x, mapper)
    }
}
