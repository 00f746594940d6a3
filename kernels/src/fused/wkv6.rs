//! [`crate::wkv6()`] as a fused operation.

use burn::tensor::Tensor;

use super::{Kept, Operation, Saved, run_both};
use crate::cpu::Sizes;
use crate::cpu::wkv6::{Inputs, backward, forward};

/// [`crate::wkv6()`] for `r d k v`; the state moves on.
pub fn wkv6([r, d, k, v]: [Tensor<4>; 4], u: Tensor<2>, state: &mut Tensor<4>) -> Tensor<4> {
    let shape @ [batch, tokens, heads, n] = r.dims();
    let kept = state.dims();
    let steady = d.dims() == [1, 1, heads, n];
    let d = if steady { d } else { d.expand(shape) };
    let inputs = [r, d, k, v].map(Tensor::into_dispatch).into_iter();
    let inputs = inputs.chain([u.into_dispatch(), state.clone().into_dispatch()]);
    let y;
    let sizes = Sizes { batch, tokens, heads, n };
    (y, *state) = run_both(Wkv6(sizes), inputs.collect(), shape, kept);
    y
}

#[derive(Debug)]
struct Wkv6(Sizes);

impl Operation for Wkv6 {
    fn forward(&self, inputs: &[&[f32]], keep: bool) -> (Vec<f32>, Kept) {
        let out = forward(self.0, named(inputs), inputs[5], keep);
        (out.packed, vec![out.states])
    }

    fn backward(&self, saved: Saved, grad: &[f32], _: &[bool]) -> Vec<Vec<f32>> {
        backward(self.0, named(saved.inputs), &saved.kept[0], grad)
    }
}

fn named<'a>(x: &[&'a [f32]]) -> Inputs<'a> {
    Inputs { r: x[0], d: x[1], k: x[2], v: x[3], u: x[4] }
}
