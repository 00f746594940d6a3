//! [`crate::adamw()`] on the numbers of tensors, in place.

use burn::backend::flex::FlexTensor;
use burn::backend::{BackendTensor, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind};
use burn::tensor::Tensor;

use crate::adamw::AdamW;
use crate::cpu::adamw::update;

/// [`crate::adamw()`] for `x grad m v` on the Flex device; a tensor that is shared is copied first.
pub fn adamw<const D: usize>(numbers: [Tensor<D>; 4], rule: &AdamW) -> [Tensor<D>; 3] {
    let [mut x, grad, mut m, mut v] = numbers.map(inner);
    let numbers = grad.as_slice::<f32>().expect("made contiguous");
    update(rule, x.storage_mut(), numbers, m.storage_mut(), v.storage_mut());
    [x, m, v].map(outer)
}

/// The tensor of the backend; contiguous from its first number to its last.
fn inner<const D: usize>(x: Tensor<D>) -> FlexTensor {
    match x.into_dispatch().kind {
        DispatchTensorKind::Flex(x) => {
            let x = x.float();
            let whole = x.is_contiguous() && x.layout().num_elements() * 4 == x.bytes().len();
            if whole { x } else { x.to_contiguous() }
        }
        other => panic!("weights on {other:?} are not updated in place"),
    }
}

fn outer<const D: usize>(x: FlexTensor) -> Tensor<D> {
    let kind = DispatchTensorKind::Flex(BackendTensor::Float(x));
    Tensor::from_dispatch(DispatchTensor { kind, autodiff: DispatchAutodiffContext::Disabled })
}
