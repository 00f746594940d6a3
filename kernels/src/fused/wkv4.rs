//! [`crate::wkv4()`] as a fused operation.

use burn::tensor::Tensor;

use super::{Kept, Operation, Saved, run_both};
use crate::cpu::wkv4::{Inputs, Sizes, backward, forward};

/// [`crate::wkv4()`] for `w u` and `k v`; the state moves on.
pub fn wkv4([w, u]: [Tensor<1>; 2], [k, v]: [Tensor<3>; 2], state: &mut Tensor<4>) -> Tensor<3> {
    let shape @ [batch, tokens, channels] = k.dims();
    let kept = state.dims();
    let [w, u] = [w, u].map(Tensor::into_dispatch);
    let [k, v] = [k, v].map(Tensor::into_dispatch);
    let inputs = vec![w, u, k, v, state.clone().into_dispatch()];
    let y;
    (y, *state) = run_both(Wkv4(Sizes { batch, tokens, channels }), inputs, shape, kept);
    y
}

#[derive(Debug)]
struct Wkv4(Sizes);

impl Operation for Wkv4 {
    fn forward(&self, inputs: &[&[f32]], keep: bool) -> (Vec<f32>, Kept) {
        let out = forward(self.0, named(inputs), inputs[4], keep);
        (out.packed, vec![out.states])
    }

    fn backward(&self, saved: Saved, grad: &[f32], _: &[bool]) -> Vec<Vec<f32>> {
        backward(self.0, named(saved.inputs), &saved.kept[0], grad)
    }
}

fn named<'a>(x: &[&'a [f32]]) -> Inputs<'a> {
    Inputs { w: x[0], u: x[1], k: x[2], v: x[3] }
}
