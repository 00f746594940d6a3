//! Fused operations as operations of Burn: which devices have them, and how gradients pass.
//!
//! The one place that speaks of backends. An [`Operation`] works on plain slices and knows nothing
//! of tensors; [`run`] carries it through Burn. It gives one packed row of numbers, so that one
//! node of the gradient graph carries the gradients of all its outputs.

use std::fmt::Debug;
use std::sync::Arc;

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Backend, BackendTensor, Dispatch, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind,
    ExtensionType, Flex, TensorMetadata, backend_extension,
};
use burn::tensor::{Device, Shape, Tensor, TensorData};

mod adamw;
mod wkv4;
mod wkv6;
mod wkv7;

pub use adamw::adamw;
pub use wkv4::wkv4;
pub use wkv6::wkv6;
pub use wkv7::wkv7;

/// Whether the device has fused operations; the others run the plain ones.
pub fn available(device: &Device) -> bool {
    *device == Device::flex()
}

/// A calculation on contiguous numbers that knows its own derivative; it holds the sizes of one
/// call.
pub trait Operation: Debug + Send + Sync {
    /// All outputs in one row and, with `keep`, what the way back needs besides the inputs.
    fn forward(&self, inputs: &[&[f32]], keep: bool) -> (Vec<f32>, Kept);

    /// Gradients of all inputs from that of the outputs. Those not in `wanted` may stay empty.
    fn backward(&self, saved: Saved, grad: &[f32], wanted: &[bool]) -> Vec<Vec<f32>>;
}

/// Rows of numbers kept for the way back.
pub type Kept = Vec<Vec<f32>>;

/// What an [`Operation`] finds again on the way back.
#[derive(Clone, Copy)]
pub struct Saved<'a> {
    pub inputs: &'a [&'a [f32]],
    pub kept: &'a [Vec<f32>],
}

/// The outputs of `operation` in this shape; at most eight inputs, in the order it expects.
pub fn run<const D: usize>(
    operation: impl Operation + 'static,
    inputs: Vec<DispatchTensor>,
    shape: impl Into<Shape>,
) -> Tensor<D> {
    let shape = shape.into();
    match plainly(&operation, &inputs, &shape) {
        Some(output) => Tensor::from_dispatch(output),
        None => {
            let output = Dispatch::fused(Inputs(inputs), Arc::new(operation));
            Tensor::<1>::from_dispatch(output).reshape(shape)
        }
    }
}

/// The outputs where nothing is tracked and nothing has to be moved: reading a token runs hundreds of
/// small operations, for which the way through backends costs more than they do.
fn plainly(
    operation: &impl Operation,
    inputs: &[DispatchTensor],
    shape: &Shape,
) -> Option<DispatchTensor> {
    let mut slices: [&[f32]; MOST] = [&[]; MOST];
    for (slice, input) in slices.iter_mut().zip(inputs) {
        *slice = untracked(input)?;
    }
    let (output, _) = operation.forward(&slices[..inputs.len()], false);
    Some(made(output, shape.clone()))
}

/// The numbers of a tensor where nothing is tracked and nothing has to be moved.
pub fn untracked(x: &DispatchTensor) -> Option<&[f32]> {
    match &x.kind {
        DispatchTensorKind::Flex(BackendTensor::Float(x)) if x.is_contiguous() => Some(numbers(x)),
        _ => None,
    }
}

/// A tensor that nothing tracks.
pub fn made(numbers: Vec<f32>, shape: impl Into<Shape>) -> DispatchTensor {
    let output = BackendTensor::Float(tensor(numbers, shape.into()));
    let autodiff = DispatchAutodiffContext::Disabled;
    DispatchTensor { kind: DispatchTensorKind::Flex(output), autodiff }
}

/// Inputs of an operation.
const MOST: usize = 8;

/// [`run`] for outputs of these two shapes.
pub fn run_both<const D: usize, const E: usize>(
    operation: impl Operation + 'static,
    inputs: Vec<DispatchTensor>,
    first: [usize; D],
    second: [usize; E],
) -> (Tensor<D>, Tensor<E>) {
    let (size, rest) = (first.iter().product(), second.iter().product::<usize>());
    let packed: Tensor<1> = run(operation, inputs, [size + rest]);
    let head = packed.clone().narrow(0, 0, size).reshape(first);
    (head, packed.narrow(0, size, rest).reshape(second))
}

/// Float tensors of any number and ranks, on their way through the choice of a backend.
pub struct Inputs<B: Backend>(Vec<FloatTensor<B>>);

impl<B: Backend> ExtensionType<B> for Inputs<B> {
    type Target = Inputs<Dispatch>;

    fn map_to_dispatch<F>(self, map_kind: F, autodiff: DispatchAutodiffContext) -> Self::Target
    where
        F: Fn(BackendTensor<B>) -> DispatchTensorKind,
    {
        let wrap = |x| DispatchTensor { kind: map_kind(BackendTensor::Float(x)), autodiff };
        Inputs(self.0.into_iter().map(wrap).collect())
    }

    fn map_from_dispatch<F>(target: Self::Target, unwrap_kind: F) -> Self
    where
        F: Fn(DispatchTensor) -> BackendTensor<B>,
    {
        Self(target.0.into_iter().map(|x| unwrap_kind(x).float()).collect())
    }

    fn routing_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn routing_float_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn autodiff_context(target: &Self::Target) -> DispatchAutodiffContext {
        let none = DispatchAutodiffContext::Disabled;
        target.0.iter().fold(none, |context, x| context.merge(x.autodiff))
    }
}

/// Backends that run an [`Operation`].
#[backend_extension(Flex, Autodiff)]
pub trait Fused: Backend {
    /// The outputs of `operation` in one row.
    fn fused(
        #[extension_type] inputs: Inputs<Self>,
        operation: Arc<dyn Operation>,
    ) -> FloatTensor<Self>;
}

impl Fused for Flex {
    fn fused(inputs: Inputs<Self>, operation: Arc<dyn Operation>) -> FloatTensor<Self> {
        forward(&contiguous(inputs.0), &*operation, false).0
    }
}

impl<C: CheckpointStrategy> Fused for Autodiff<Flex, C> {
    fn fused(inputs: Inputs<Self>, operation: Arc<dyn Operation>) -> FloatTensor<Self> {
        match inputs.0.len() {
            1 => tracked::<C, 1>(inputs, operation),
            2 => tracked::<C, 2>(inputs, operation),
            3 => tracked::<C, 3>(inputs, operation),
            4 => tracked::<C, 4>(inputs, operation),
            5 => tracked::<C, 5>(inputs, operation),
            6 => tracked::<C, 6>(inputs, operation),
            7 => tracked::<C, 7>(inputs, operation),
            8 => tracked::<C, 8>(inputs, operation),
            count => panic!("a fused operation has one to eight inputs, not {count}"),
        }
    }
}

/// The operation as a node of the gradient graph, where one of its inputs is.
fn tracked<C: CheckpointStrategy, const N: usize>(
    inputs: Inputs<Autodiff<Flex, C>>,
    operation: Arc<dyn Operation>,
) -> FloatTensor<Autodiff<Flex, C>> {
    let nodes: [_; N] = std::array::from_fn(|i| inputs.0[i].node());
    let inputs = contiguous(inputs.0.iter().map(|x| x.primitive().clone()).collect());
    match Step.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let (output, kept) = forward(&inputs, &*operation, true);
            prep.finish(Memory { inputs, kept: Arc::new(kept), operation }, output)
        }
        OpsKind::UnTracked(prep) => prep.finish(forward(&inputs, &*operation, false).0),
    }
}

/// What a node of the gradient graph holds until gradients pass.
#[derive(Clone, Debug)]
struct Memory {
    inputs: Vec<FlexTensor>,
    kept: Arc<Kept>,
    operation: Arc<dyn Operation>,
}

#[derive(Debug)]
struct Step;

impl<const N: usize> Backward<Flex, N> for Step {
    type State = Memory;

    fn backward(self, ops: Ops<Memory, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let Memory { inputs, kept, operation } = ops.state;
        let wanted: Vec<_> = ops.parents.iter().map(Option::is_some).collect();
        let slices: Vec<_> = inputs.iter().map(numbers).collect();
        let saved = Saved { inputs: &slices, kept: &kept };
        let found = operation.backward(saved, numbers(&grad), &wanted);
        for ((parent, input), found) in ops.parents.into_iter().zip(&inputs).zip(found) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, tensor(found, TensorMetadata::shape(input)));
            }
        }
    }
}

fn forward(inputs: &[FlexTensor], operation: &dyn Operation, keep: bool) -> (FlexTensor, Kept) {
    let slices: Vec<_> = inputs.iter().map(numbers).collect();
    let (output, kept) = operation.forward(&slices, keep);
    let shape = Shape::from([output.len()]);
    (tensor(output, shape), kept)
}

fn contiguous(inputs: Vec<FlexTensor>) -> Vec<FlexTensor> {
    // A part of a longer row is read where it lies.
    let whole = |x: &FlexTensor| if x.is_contiguous() { x.clone() } else { x.to_contiguous() };
    inputs.iter().map(whole).collect()
}

fn numbers(x: &FlexTensor) -> &[f32] {
    x.as_slice::<f32>().expect("fused operations run on contiguous f32")
}

fn tensor(numbers: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(numbers, shape))
}
