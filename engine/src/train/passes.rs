//! The way there and back: loss and gradients of a batch, in parts of its rows and chunks of its
//! tokens.
//!
//! With a true gradient through the state (`carry: grad`) the way there is gone once without a
//! graph, keeping only the states between the chunks; then the chunks are read again from the last
//! to the first, each with the gradient that the one after it has for its final state. The result
//! is that of one long chunk, in the memory of a short one.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Gradients as Found, Int, Tensor, TensorData};
use rwkv_kernels::with_precision;

use super::memory::{gradient, lifted, lowered, pulled};
use super::optimizer::Gradients;
use super::pupil::Pupil;
use super::settings::{Carry, Settings};
use crate::data::Batch;
use crate::model::go_on;
use crate::state::{LayerState, State};

/// What a batch teaches.
pub struct Lesson {
    /// Cross-entropy in nats per target.
    pub loss: f64,
    /// For every parameter that learns.
    pub gradients: Gradients,
    /// For the matrices before the first token, layer by layer, where they learn: `[H, N, N]`.
    pub first: Vec<Tensor<3>>,
    /// What every row left.
    pub left: State,
}

/// How batches are passed through a model.
pub struct Passes<'a> {
    /// The model, on the device with gradients.
    pub pupil: &'a Pupil,
    /// The device with gradients.
    pub device: &'a Device,
    /// What was chosen.
    pub settings: &'a Settings,
    /// Names of the parameters that learn.
    pub names: &'a HashMap<ParamId, String>,
    /// Set when somebody wants to stop.
    pub interrupt: &'a AtomicBool,
}

/// Some rows of a batch.
struct Part<'a> {
    batch: &'a Batch,
    /// How much every target counts, over the whole batch.
    shares: &'a [f32],
    rows: Range<usize>,
    wrap: f64,
}

/// What one chunk of some rows gave.
struct Chunk {
    loss: f64,
    gradients: Gradients,
    /// The gradient for the state before it, if that was followed.
    before: Option<State>,
    after: State,
}

impl Passes<'_> {
    /// Loss and gradients of a batch whose rows start from `begin`, which came out of chance or out
    /// of the batch before where `learns_start` is false.
    ///
    /// # Errors
    /// When somebody stopped it.
    pub fn lesson(&self, batch: &Batch, begin: &State, learns_start: bool) -> Result<Lesson> {
        let shares = shares(batch);
        ensure!(
            batch.pictures().is_none() || self.settings.chunk == 0,
            "rows with pictures are read at once; leave out `chunk`."
        );
        let rows = batch.rows();
        let size = rows.div_ceil(self.settings.accumulate);
        let wrap = self.settings.l2wrap / (rows * batch.targets()) as f64;
        let mut sum = Sum::default();
        let mut left = Vec::new();
        for from in (0..rows).step_by(size) {
            let to = (from + size).min(rows);
            let part = Part { batch, shares: &shares, rows: from..to, wrap };
            let begin = begin.of_texts(from..to);
            left.push(match self.settings.carry {
                Carry::Grad | Carry::Pass => self.through(&part, begin, learns_start, &mut sum)?,
                Carry::None | Carry::Detach => self.along(&part, begin, learns_start, &mut sum)?,
            });
        }
        Ok(Lesson {
            loss: sum.loss,
            gradients: sum.gradients,
            first: sum.first,
            left: State::joined(&left),
        })
    }

    /// From the first chunk to the last; no gradient passes between them.
    fn along(&self, part: &Part, begin: State, learns: bool, sum: &mut Sum) -> Result<State> {
        let mut state = begin.clone();
        for (i, span) in self.spans(part).into_iter().enumerate() {
            go_on(self.interrupt)?;
            let fresh = i == 0 || self.settings.carry == Carry::None;
            let start = if fresh { begin.clone() } else { state };
            let chunk = self.chunk(part, span, &start, None, learns)?;
            state = chunk.after.clone();
            sum.add(chunk, learns && fresh);
        }
        Ok(state)
    }

    /// From the last chunk to the first, the gradient passes through the states between them.
    fn through(&self, part: &Part, begin: State, learns: bool, sum: &mut Sum) -> Result<State> {
        let spans = self.spans(part);
        let plain = self.pupil.valid();
        let device = self.device.clone().inner();
        let mut states = vec![begin];
        for span in &spans[..spans.len() - 1] {
            go_on(self.interrupt)?;
            let mut state = states[states.len() - 1].clone();
            let _ = part.hidden(&plain, span, &mut state, &device, self.interrupt)?;
            states.push(state);
        }
        let (mut pull, mut left) = (None, None);
        for (i, span) in spans.into_iter().enumerate().rev() {
            go_on(self.interrupt)?;
            let chunk = self.chunk(part, span, &states[i], pull.as_ref(), i > 0 || learns)?;
            pull = chunk.before.clone();
            left.get_or_insert(chunk.after.clone());
            sum.add(chunk, i == 0 && learns);
        }
        Ok(left.unwrap_or_else(|| states.swap_remove(0)))
    }

    fn spans(&self, part: &Part) -> Vec<Range<usize>> {
        let targets = part.batch.targets();
        let size = if self.settings.chunk == 0 { targets } else { self.settings.chunk };
        (0..targets).step_by(size).map(|from| from..(from + size).min(targets)).collect()
    }

    /// One chunk there and back; `pull` is the gradient for the state after it.
    fn chunk(
        &self,
        part: &Part,
        span: Range<usize>,
        start: &State,
        pull: Option<&State>,
        follow: bool,
    ) -> Result<Chunk> {
        let before = lifted(start, self.device, follow);
        let mut state = before.clone();
        let (targets, shares) = part.targets(&span, self.device);
        let loss = with_precision(self.settings.precision.into(), || {
            let hidden = part.hidden(self.pupil, &span, &mut state, self.device, self.interrupt)?;
            Ok::<_, anyhow::Error>(self.pupil.rwkv.loss(hidden, targets, shares, part.wrap))
        })?;
        let value = f64::from(loss.clone().into_scalar::<f32>());
        let sought = match pull {
            Some(pull) => loss + pulled(&state, pull, self.device),
            None => loss,
        };
        let found = sought.backward();
        Ok(Chunk {
            loss: value,
            before: follow.then(|| gradient(&before, &found)),
            gradients: self.named(found),
            after: lowered(state),
        })
    }

    fn named(&self, mut found: Found) -> Gradients {
        let mut named =
            Sorted { found: &mut found, names: self.names, gradients: Gradients::new() };
        self.pupil.visit(&mut named);
        named.gradients
    }
}

/// Sums over parts and chunks.
#[derive(Default)]
struct Sum {
    loss: f64,
    gradients: Gradients,
    first: Vec<Tensor<3>>,
}

impl Sum {
    fn add(&mut self, chunk: Chunk, first: bool) {
        self.loss += chunk.loss;
        for (name, gradient) in chunk.gradients {
            let sum = match self.gradients.remove(&name) {
                Some(sum) => sum + gradient,
                None => gradient,
            };
            self.gradients.insert(name, sum);
        }
        let Some(before) = chunk.before.filter(|_| first) else { return };
        // All rows begin with the same matrices.
        let rows = |layer: LayerState| layer.wkv.sum_dim(0).squeeze_dim(0);
        let found = before.layers.into_iter().map(rows);
        self.first = match self.first.is_empty() {
            true => found.collect(),
            false => self.first.drain(..).zip(found).map(|(sum, x)| sum + x).collect(),
        };
    }
}

impl Part<'_> {
    /// What the output head reads of the tokens of `span` and of the pictures among them.
    fn hidden(
        &self,
        pupil: &Pupil,
        span: &Range<usize>,
        state: &mut State,
        device: &Device,
        interrupt: &AtomicBool,
    ) -> Result<Tensor<3>> {
        let tokens = self.inputs(span, device);
        match self.batch.pictures() {
            None => Ok(pupil.rwkv.hidden(tokens, state)),
            Some(pictures) => pupil.seeing(tokens, pictures, &self.rows, state, interrupt),
        }
    }

    /// Tokens to be read, `[B, T]`.
    fn inputs(&self, span: &Range<usize>, device: &Device) -> Tensor<2, Int> {
        let ids = self.each(self.batch.tokens(), span, 0, |&id| id as i32);
        Tensor::from_data(TensorData::new(ids, [self.rows.len(), span.len()]), device)
    }

    /// The tokens that follow them and how much they count, `[B·T]`.
    fn targets(&self, span: &Range<usize>, device: &Device) -> (Tensor<1, Int>, Tensor<1>) {
        let count = [self.rows.len() * span.len()];
        let ids = self.each(self.batch.tokens(), span, 1, |&id| id as i32);
        let shares = self.each(self.shares, span, 1, |&share| share);
        let ids = Tensor::from_data(TensorData::new(ids, count), device);
        (ids, Tensor::from_data(TensorData::new(shares, count), device))
    }

    fn each<A, B>(
        &self,
        all: &[A],
        span: &Range<usize>,
        later: usize,
        f: impl Fn(&A) -> B,
    ) -> Vec<B> {
        let width = self.batch.targets() + 1;
        let row = |row: usize| &all[row * width + span.start + later..][..span.len()];
        self.rows.clone().flat_map(row).map(f).collect()
    }
}

/// How much each token counts as a target, `[B, T + 1]`: all together 1, or nothing at all.
fn shares(batch: &Batch) -> Vec<f32> {
    let width = batch.targets() + 1;
    if batch.weights().is_empty() {
        let share = 1.0 / (batch.rows() * batch.targets()) as f32;
        return vec![share; batch.tokens().len()];
    }
    // The first token of a row is never a target.
    let counts = |(i, weight): (usize, &f32)| if i % width == 0 { 0.0 } else { f64::from(*weight) };
    let sum: f64 = batch.weights().iter().enumerate().map(counts).sum();
    let share = if sum > 0.0 { 1.0 / sum } else { 0.0 };
    batch.weights().iter().map(|weight| (f64::from(*weight) * share) as f32).collect()
}

/// Takes the gradients of the parameters that learn out of all.
struct Sorted<'a> {
    found: &'a mut Found,
    names: &'a HashMap<ParamId, String>,
    gradients: Gradients,
}

impl ModuleVisitor for Sorted<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(name) = self.names.get(&param.id) else { return };
        if let Some(gradient) = param.base().grad_remove(self.found) {
            self.gradients.insert(name.clone(), gradient.flatten(0, D - 1));
        }
    }
}

/// The mean cross-entropy of a batch without learning from it, every row from `begin`.
///
/// # Errors
/// When somebody stopped it.
pub fn loss(
    pupil: &Pupil,
    batch: &Batch,
    begin: &State,
    device: &Device,
    interrupt: &AtomicBool,
) -> Result<f64> {
    let shares = shares(batch);
    let part = Part { batch, shares: &shares, rows: 0..batch.rows(), wrap: 0.0 };
    let span = 0..batch.targets();
    let hidden = part.hidden(pupil, &span, &mut begin.clone(), device, interrupt)?;
    let (targets, shares) = part.targets(&span, device);
    Ok(f64::from(pupil.rwkv.loss(hidden, targets, shares, 0.0).into_scalar::<f32>()))
}
