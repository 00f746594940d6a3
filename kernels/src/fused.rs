//! Fused recurrences as operations of Burn: which devices have them, and how gradients pass.
//!
//! The one place that speaks of backends. An operation gives one packed tensor, so that one node
//! of the gradient graph carries the gradients of the output and of the last state.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    AutodiffBackend, Backend, Dispatch, ExtensionType, Flex, TensorMetadata, backend_extension,
};
use burn::tensor::{Device, Shape, Tensor, TensorData};

use crate::cpu::wkv7::{self as cpu, Inputs, Sizes};

/// Whether the device has fused recurrences; the others run the plain ones.
pub fn available(device: &Device) -> bool {
    *device == Device::flex()
}

/// [`crate::wkv7()`] for `r w k v a b`; the state moves on.
pub fn wkv7(x: [Tensor<4>; 6], state: &mut Tensor<4>) -> Tensor<4> {
    let shapes = (x[0].dims(), state.dims());
    let (read, kept) = (shapes.0.iter().product(), shapes.1.iter().product::<usize>());
    let learning = x.iter().chain([&*state]).any(|x| x.device().is_autodiff());
    let [r, w, k, v, a, b] = x.map(Tensor::into_dispatch);
    let out = Dispatch::wkv7(r, w, k, v, a, b, state.clone().into_dispatch(), learning);
    let packed = Tensor::<1>::from_dispatch(out.packed);
    *state = packed.clone().narrow(0, read, kept).reshape(shapes.1);
    packed.narrow(0, 0, read).reshape(shapes.0)
}

/// What the forward operation leaves; see [`cpu::Forward`].
#[derive(ExtensionType)]
pub struct Wkv7Out<B: Backend> {
    packed: FloatTensor<B>,
    removed: FloatTensor<B>,
    states: FloatTensor<B>,
}

/// Gradients of the inputs of the forward operation, in its order.
#[derive(ExtensionType)]
pub struct Wkv7Gradients<B: Backend> {
    r: FloatTensor<B>,
    w: FloatTensor<B>,
    k: FloatTensor<B>,
    v: FloatTensor<B>,
    a: FloatTensor<B>,
    b: FloatTensor<B>,
    state: FloatTensor<B>,
}

/// The fused operations of a backend; argument lists are as long as the equations.
#[backend_extension(Flex, Autodiff)]
#[allow(clippy::too_many_arguments)]
pub trait Recurrences: Backend {
    /// All tokens; with `keep` also what the way back needs.
    fn wkv7(
        r: FloatTensor<Self>,
        w: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        state: FloatTensor<Self>,
        keep: bool,
    ) -> Wkv7Out<Self>;

    /// Gradients from the gradient of `packed`.
    fn wkv7_backward(
        r: FloatTensor<Self>,
        w: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        removed: FloatTensor<Self>,
        states: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> Wkv7Gradients<Self>;
}

#[derive(Debug)]
struct Wkv7Backward;

impl<B: Recurrences> Backward<B, 7> for Wkv7Backward {
    type State = ([FloatTensor<B>; 6], FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 7>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let ([r, w, k, v, a, b], removed, states) = ops.state;
        let g = B::wkv7_backward(r, w, k, v, a, b, removed, states, grad);
        for (parent, grad) in ops.parents.into_iter().zip([g.r, g.w, g.k, g.v, g.a, g.b, g.state]) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, grad);
            }
        }
    }
}

impl<B: Recurrences, C: CheckpointStrategy> Recurrences for Autodiff<B, C> {
    fn wkv7(
        r: FloatTensor<Self>,
        w: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        state: FloatTensor<Self>,
        keep: bool,
    ) -> Wkv7Out<Self> {
        let all = [&r, &w, &k, &v, &a, &b, &state];
        let nodes = all.map(|x| x.node());
        let inner = [&r, &w, &k, &v, &a, &b].map(|x| x.primitive().clone());
        let [r, w, k, v, a, b] = inner.clone();
        let out = B::wkv7(r, w, k, v, a, b, state.primitive().clone(), keep);
        let packed = match Wkv7Backward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish((inner, out.removed.clone(), out.states.clone()), out.packed)
            }
            OpsKind::UnTracked(prep) => prep.finish(out.packed),
        };
        let [removed, states] =
            [out.removed, out.states].map(<Self as AutodiffBackend>::from_inner);
        Wkv7Out { packed, removed, states }
    }

    fn wkv7_backward(
        r: FloatTensor<Self>,
        w: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        removed: FloatTensor<Self>,
        states: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> Wkv7Gradients<Self> {
        let inner = |x: FloatTensor<Self>| x.primitive().clone();
        let g = B::wkv7_backward(
            inner(r),
            inner(w),
            inner(k),
            inner(v),
            inner(a),
            inner(b),
            inner(removed),
            inner(states),
            inner(grad),
        );
        // Constants of the outer graph: gradients of gradients are not followed.
        let [r, w, k, v, a, b, state] =
            [g.r, g.w, g.k, g.v, g.a, g.b, g.state].map(<Self as AutodiffBackend>::from_inner);
        Wkv7Gradients { r, w, k, v, a, b, state }
    }
}

impl Recurrences for Flex {
    fn wkv7(
        r: FloatTensor<Self>,
        w: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        state: FloatTensor<Self>,
        keep: bool,
    ) -> Wkv7Out<Self> {
        let sizes = sizes(&r);
        let all = [r, w, k, v, a, b, state].map(|x| x.to_contiguous());
        let [r, w, k, v, a, b, state] = all.each_ref().map(numbers);
        let out = cpu::forward(sizes, Inputs { r, w, k, v, a, b }, state, keep);
        Wkv7Out { packed: flat(out.packed), removed: flat(out.removed), states: flat(out.states) }
    }

    fn wkv7_backward(
        r: FloatTensor<Self>,
        w: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        removed: FloatTensor<Self>,
        states: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> Wkv7Gradients<Self> {
        let sizes = sizes(&r);
        let all = [r, w, k, v, a, b, removed, states, grad].map(|x| x.to_contiguous());
        let [r, w, k, v, a, b, removed, states, grad] = all.each_ref().map(numbers);
        let g = cpu::backward(sizes, Inputs { r, w, k, v, a, b }, removed, states, grad);
        let Sizes { batch, tokens, heads, n } = sizes;
        let like = |x| FlexTensor::from_data(TensorData::new(x, [batch, tokens, heads, n]));
        Wkv7Gradients {
            r: like(g.r),
            w: like(g.w),
            k: like(g.k),
            v: like(g.v),
            a: like(g.a),
            b: like(g.b),
            state: FlexTensor::from_data(TensorData::new(g.state, [batch, heads, n, n])),
        }
    }
}

fn sizes(r: &FlexTensor) -> Sizes {
    let [batch, tokens, heads, n] = TensorMetadata::shape(r).dims::<4>();
    Sizes { batch, tokens, heads, n }
}

fn numbers(x: &FlexTensor) -> &[f32] {
    x.as_slice::<f32>().expect("the recurrence runs on contiguous f32")
}

fn flat(x: Vec<f32>) -> FlexTensor {
    let shape = Shape::from([x.len()]);
    FlexTensor::from_data(TensorData::new(x, shape))
}
