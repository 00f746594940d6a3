//! [`crate::linear_bf16()`] as a fused operation.

use burn::tensor::Tensor;

use super::{Kept, Operation, Saved, run};
use crate::cpu::matmul_bf16::{Factor, matmul};

/// [`crate::linear_bf16()`].
pub fn linear_bf16(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    let ([m, input], [output, _]) = (x.dims(), weight.dims());
    let inputs = vec![x.into_dispatch(), weight.into_dispatch()];
    run(LinearBf16 { input, output }, inputs).reshape([m, output])
}

#[derive(Debug)]
struct LinearBf16 {
    input: usize,
    output: usize,
}

impl Operation for LinearBf16 {
    fn forward(&self, inputs: &[&[f32]], _: bool) -> (Vec<f32>, Kept) {
        let rows = |i: usize| Factor::rows(inputs[i], self.input);
        (matmul(rows(0), rows(1)), vec![])
    }

    fn backward(&self, saved: Saved, dy: &[f32], wanted: &[bool]) -> Vec<Vec<f32>> {
        let columns = |i: usize| Factor::columns(saved.inputs[i], self.input);
        let unless = |wanted: bool, left: Factor, i| {
            if wanted { matmul(left, columns(i)) } else { vec![] }
        };
        vec![
            unless(wanted[0], Factor::rows(dy, self.output), 1),
            unless(wanted[1], Factor::columns(dy, self.output), 0),
        ]
    }
}
