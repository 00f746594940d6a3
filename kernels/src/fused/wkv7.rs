//! [`crate::wkv7()`] as a fused operation.

use burn::tensor::Tensor;

use super::{Kept, Operation, Saved, run_both};
use crate::cpu::Sizes;
use crate::cpu::wkv7::{Inputs, backward, forward};

/// [`crate::wkv7()`] for `r w k v κ a`; the state moves on.
pub fn wkv7(x: [Tensor<4>; 6], state: &mut Tensor<4>) -> Tensor<4> {
    let shape @ [batch, tokens, heads, n] = x[0].dims();
    let kept = state.dims();
    let inputs = x.into_iter().chain([state.clone()]).map(Tensor::into_dispatch).collect();
    let y;
    (y, *state) = run_both(Wkv7(Sizes { batch, tokens, heads, n }), inputs, shape, kept);
    y
}

#[derive(Debug)]
struct Wkv7(Sizes);

impl Operation for Wkv7 {
    fn forward(&self, inputs: &[&[f32]], keep: bool) -> (Vec<f32>, Kept) {
        let out = forward(self.0, named(inputs), inputs[6], keep);
        (out.packed, vec![out.removed, out.states])
    }

    fn backward(&self, saved: Saved, grad: &[f32], _: &[bool]) -> Vec<Vec<f32>> {
        backward(self.0, named(saved.inputs), &saved.kept[0], &saved.kept[1], grad)
    }
}

fn named<'a>(x: &[&'a [f32]]) -> Inputs<'a> {
    Inputs { r: x[0], w: x[1], k: x[2], v: x[3], kappa: x[4], a: x[5] }
}
