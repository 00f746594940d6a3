//! A text with all that it did to the memory, so that it can be taken back.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};
use burn::tensor::{Tensor, TensorData};

use super::{Segment, error};
use crate::activations::Activations;
use crate::model::Model;
use crate::recurrence::{Letters, Sums, matrices, tensor};
use crate::state::{LayerState, State};

/// Tokens between two snapshots, and how many can be taken back one by one: the rounding of the
/// state grows with each of them.
pub const STRIDE: usize = 32;

/// A text that was read, with the letters of its recurrences and a snapshot every [`STRIDE`] tokens.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The text.
    pub tokens: Vec<u32>,
    /// The state after it.
    pub state: State,
    /// One for each block.
    pub letters: Vec<Letters>,
    seen: Activations,
    snapshots: Vec<State>,
}

/// A state from which tokens were taken back.
#[derive(Clone, Debug)]
pub struct Rewound {
    /// The state without them: by undoing where that is good enough, else `truth`.
    pub state: State,
    /// The same state from a snapshot and the few tokens after it.
    pub truth: State,
    /// What undoing one by one gave and how far it is from the truth, as [`Segment::error`]; none
    /// where it was not tried or led nowhere.
    pub tried: Option<(State, f64)>,
    /// Whether `state` comes from undoing.
    pub undone: bool,
}

/// What is needed of a block to take its tokens back.
fn is_needed(name: &str) -> bool {
    Letters::NAMES.contains(&name) || ["att.x", "ffn.x", "tiny.k", "tiny.v"].contains(&name)
}

impl Model {
    /// Reads a text and keeps what it did to the memory.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn record(
        &self,
        tokens: &[u32],
        state: &State,
        interrupt: &AtomicBool,
    ) -> Result<Recording> {
        self.check(tokens)?;
        let (mut seen, mut snapshots) = (Activations::default(), Vec::new());
        let mut state = state.to_device(&self.place.device);
        for stretch in tokens.chunks(STRIDE) {
            snapshots.push(state.clone());
            let (more, after) =
                self.activations(stretch, &state, interrupt, |_, name| is_needed(name))?;
            seen.append(more);
            state = after;
        }
        let letters = (0..self.n_layer()).map(|layer| Letters::of(self, layer, &seen));
        let letters = letters.collect::<Result<_>>()?;
        Ok(Recording { tokens: tokens.to_vec(), state, letters, seen, snapshots })
    }
}

impl Recording {
    /// The state after the first `count` tokens, from the nearest snapshot before.
    ///
    /// # Errors
    /// When there are not as many, and as [`Model::forward`].
    pub fn state_at(&self, model: &Model, count: usize, interrupt: &AtomicBool) -> Result<State> {
        let tokens = self.tokens.len();
        ensure!(count <= tokens, "{count} tokens are more than the {tokens} of the recording.");
        if count == tokens {
            return Ok(self.state.clone());
        }
        let snapshot = &self.snapshots[count / STRIDE];
        match &self.tokens[count / STRIDE * STRIDE..count] {
            [] => Ok(snapshot.clone()),
            rest => Ok(model.read(rest, snapshot, interrupt)?.1),
        }
    }

    /// A part of the text as a map of states.
    ///
    /// # Errors
    /// When the part reaches beyond the text, and as [`Model::forward`].
    pub fn segment(
        &self,
        model: &Model,
        part: Range<usize>,
        interrupt: &AtomicBool,
    ) -> Result<Segment> {
        let tokens = self.tokens.len();
        ensure!(
            part.start < part.end && part.end <= tokens,
            "{}..{} is no part of a text of {tokens} tokens.",
            part.start,
            part.end
        );
        let before = self.state_at(model, part.start, interrupt)?;
        let after = self.state_at(model, part.end, interrupt)?;
        let tokens = self.tokens[part.clone()].to_vec();
        Segment::new(&self.letters, part, tokens, [before, after], interrupt)
    }

    /// The state without the last `count` tokens. Up to [`STRIDE`] of them are taken back one by
    /// one, which multiplies the rounding of the state by all that has faded and was taken out.
    /// Where the error passes `tolerance`, and for more tokens, the state comes from a snapshot.
    ///
    /// # Errors
    /// When there are not as many, and as [`Model::forward`].
    pub fn rewind(
        &self,
        model: &Model,
        count: usize,
        tolerance: f64,
        interrupt: &AtomicBool,
    ) -> Result<Rewound> {
        let tokens = self.tokens.len();
        ensure!(count <= tokens, "{count} tokens are more than the {tokens} of the recording.");
        let truth = self.state_at(model, tokens - count, interrupt)?;
        let undone = if count <= STRIDE { self.undo(count)? } else { None };
        let far = undone.as_ref().map(|state| error(state, &truth)).transpose()?;
        // What has overflowed on the way is no state.
        let tried = undone.zip(far.filter(|far| far.is_finite()));
        let good = tried.as_ref().filter(|(_, far)| *far <= tolerance);
        let state = good.map_or(&truth, |(state, _)| state).clone();
        Ok(Rewound { state, truth, undone: good.is_some(), tried })
    }

    /// Takes back the last tokens one by one; nothing where that is impossible.
    fn undo(&self, count: usize) -> Result<Option<State>> {
        let left = self.tokens.len() - count;
        let mut state = self.state.clone();
        for (layer, (memory, letters)) in state.layers.iter_mut().zip(&self.letters).enumerate() {
            let Some(wkv) = undone(letters, &memory.wkv, left)? else { return Ok(None) };
            memory.wkv = wkv;
            self.undo_rest(layer, memory, left)?;
        }
        state.past.tokens = state.past.tokens.saturating_sub(count as u64);
        Ok(Some(state))
    }

    /// The parts of a block besides its recurrence, after the first `left` tokens.
    fn undo_rest(&self, layer: usize, memory: &mut LayerState, left: usize) -> Result<()> {
        if left == 0 {
            let first = &self.snapshots[0].layers[layer];
            (memory.att_x, memory.ffn_x) = (first.att_x.clone(), first.ffn_x.clone());
            memory.tiny = first.tiny.clone();
            return Ok(());
        }
        let device = memory.wkv.device();
        let rows = |name: &str, from: usize, to: usize| -> Result<Tensor<2>> {
            let part = self.seen.array(layer, name)?.slice(from..to)?;
            let shape = [to - from, part.len() / (to - from)];
            Ok(Tensor::from_data(TensorData::new(part.values(), shape), &device))
        };
        memory.att_x = rows("att.x", left - 1, left)?;
        memory.ffn_x = rows("ffn.x", left - 1, left)?;
        let tokens = self.tokens.len();
        if let Some(tiny) = memory.tiny.as_mut().filter(|_| left < tokens) {
            let (k, v) = (rows("tiny.k", left, tokens)?, rows("tiny.v", left, tokens)?);
            *tiny = tiny.clone() - v.transpose().matmul(k).unsqueeze();
        }
        Ok(())
    }
}

/// The memory of one recurrence before all tokens from `left` on.
fn undone(letters: &Letters, wkv: &Tensor<4>, left: usize) -> Result<Option<Tensor<4>>> {
    let back = (left..letters.tokens()).rev();
    if letters.is_v4() {
        let ((d, _), mut sums) = (letters.channels(), Sums::of(wkv));
        for t in back {
            let (k, v) = letters.written(t);
            sums.undo(&d, &k, &v);
        }
        return Ok(Some(sums.tensor(wkv)));
    }
    let mut all = matrices(wkv);
    for (index, matrix) in all.iter_mut().enumerate() {
        let head = letters.head(index)?;
        if !back.clone().all(|t| head.undo(t, matrix)) {
            return Ok(None);
        }
    }
    Ok(Some(tensor(&all, wkv)))
}
