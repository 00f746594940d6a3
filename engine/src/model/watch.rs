//! Reading with open eyes: what happens inside is shown and may be replaced, and tokens may be kept
//! from writing into the memory.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};
use burn::tensor::Tensor;

use super::{Model, STRETCH, go_on};
use crate::activations::Activations;
use crate::recurrence::Letters;
use crate::rwkv::{Seen, Tap};
use crate::state::State;
use crate::tensor::Array;

/// Shown an activation of the first text; what it returns takes its place.
pub type Observer<'a> = dyn Fn(&Seen) -> Result<Option<Array>> + 'a;

/// What is done while a model reads; by default nothing.
#[derive(Clone, Copy, Default)]
pub struct Reading<'a> {
    /// Shown every activation of every block, for at most 256 tokens at once.
    pub look: Option<&'a Observer<'a>>,
    /// What is not written.
    pub knock_out: Option<&'a KnockOut>,
}

/// Tokens that leave nothing behind in the memory of the recurrences: what is there fades, and in
/// RWKV-7 is taken out, as ever, but no value is written. The token itself is read as ever, and the
/// token after it still sees it through the token shift.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnockOut {
    /// Places in the text, from 0.
    pub positions: BTreeSet<usize>,
    /// Only in these blocks; in all where none are named.
    pub layers: BTreeSet<usize>,
    /// Only in these heads; in all where none are named.
    pub heads: BTreeSet<usize>,
}

/// What was seen of one stretch.
#[derive(Default)]
struct Watched {
    /// What the recurrence is made of, where it was asked for.
    kept: Activations,
    /// Names of what was replaced, in whatever block.
    replaced: BTreeSet<&'static str>,
}

impl KnockOut {
    fn check(&self, model: &Model, tokens: usize) -> Result<()> {
        for (what, places, count) in [
            ("position", &self.positions, tokens),
            ("layer", &self.layers, model.n_layer()),
            ("head", &self.heads, model.n_head()),
        ] {
            if let Some(last) = places.last() {
                ensure!(*last < count, "knock_out: there is no {what} {last}; there are {count}.");
            }
        }
        Ok(())
    }

    /// Takes out of `after` what the one token whose activations are given has written since
    /// `before`.
    fn erase(
        &self,
        model: &Model,
        before: &State,
        after: &mut State,
        seen: &Activations,
    ) -> Result<()> {
        let all = |places: &BTreeSet<usize>, count| {
            if places.is_empty() { (0..count).collect() } else { places.clone() }
        };
        let heads = all(&self.heads, model.n_head());
        for layer in all(&self.layers, model.n_layer()) {
            let letters = Letters::of(model, layer, seen)?;
            let (old, new) = (&before.layers[layer], &mut after.layers[layer]);
            new.wkv = letters.without_writing(&old.wkv, &new.wkv, &heads);
            if self.heads.is_empty() {
                new.tiny = old.tiny.clone();
            }
        }
        Ok(())
    }
}

impl Model {
    /// Reads as [`Model::forward`] does, while the activations are shown and writes are left out;
    /// `each` gets what the output head reads, `[1, T, C]`, stretch after stretch.
    ///
    /// # Errors
    /// As [`Model::forward`], for a replacement of another shape, for what the observer fails
    /// with, and for a knock-out of something that is not there.
    pub fn watch(
        &self,
        tokens: &[u32],
        state: &State,
        interrupt: &AtomicBool,
        reading: Reading,
        mut each: impl FnMut(Tensor<3>),
    ) -> Result<State> {
        self.check(tokens)?;
        let nothing = KnockOut::default();
        let knock_out = reading.knock_out.unwrap_or(&nothing);
        knock_out.check(self, tokens.len())?;
        let mut state = self.own(state)?;
        let (mut first, mut replaced) = (0, BTreeSet::new());
        for stretch in stretches(tokens, &knock_out.positions) {
            go_on(interrupt)?;
            let before = knock_out.positions.contains(&first).then(|| state.clone());
            let (hidden, watched) =
                self.step_watched(stretch, &mut state, reading, first, before.is_some())?;
            if let Some(before) = before {
                knock_out.erase(self, &before, &mut state, &watched.kept)?;
            }
            replaced.extend(watched.replaced);
            each(hidden);
            first += stretch.len();
        }
        state.past.tokens += tokens.len() as u64;
        for name in replaced {
            state.past.edit(&format!("replaced {name} while reading"));
        }
        let left_out = knock_out.positions.len();
        if left_out > 0 {
            let tokens = if left_out == 1 { "token" } else { "tokens" };
            state.past.edit(&format!("left out the writes of {left_out} {tokens}"));
        }
        Ok(state)
    }

    /// One stretch; `keep` asks for the activations that the recurrence is made of.
    fn step_watched(
        &self,
        tokens: &[u32],
        state: &mut State,
        reading: Reading,
        first: usize,
        keep: bool,
    ) -> Result<(Tensor<3>, Watched)> {
        if reading.look.is_none() && !keep {
            return Ok((self.step(tokens, state, Tap::none()), Watched::default()));
        }
        let watched = RefCell::new(Watched::default());
        let failure = RefCell::new(None);
        let show = |seen: &Seen| -> Result<Option<Tensor<4>>> {
            let new = reading.look.map_or(Ok(None), |look| look(seen))?;
            let replaced = new.as_ref().map(|new| seen.replacement(new)).transpose()?;
            let mut watched = watched.borrow_mut();
            if keep && Letters::NAMES.contains(&seen.name) {
                watched.kept.add(seen, new.as_ref());
            }
            if new.is_some() {
                watched.replaced.insert(seen.name);
            }
            Ok(replaced)
        };
        let look = |seen: &Seen| {
            // After a failure nothing is shown any more; it ends the reading below.
            if failure.borrow().is_some() {
                return None;
            }
            show(seen).unwrap_or_else(|error| {
                failure.replace(Some(error));
                None
            })
        };
        let hidden = self.step(tokens, state, Tap::new(&look, first));
        match failure.take() {
            Some(error) => Err(error),
            None => Ok((hidden, watched.take())),
        }
    }

    /// Activations of every token of a text, those that `wanted` says yes to for a block and a
    /// name, and the state after.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn activations(
        &self,
        tokens: &[u32],
        state: &State,
        interrupt: &AtomicBool,
        wanted: impl Fn(usize, &str) -> bool,
    ) -> Result<(Activations, State)> {
        let found = RefCell::new(Activations::default());
        let look = |seen: &Seen| {
            if wanted(seen.layer, seen.name) {
                found.borrow_mut().add(seen, None);
            }
            Ok(None)
        };
        let reading = Reading { look: Some(&look), knock_out: None };
        let state = self.watch(tokens, state, interrupt, reading, |_| ())?;
        Ok((found.into_inner(), state))
    }

    /// Logits of what may stand in the residual stream, `[T, C]` → `[T, V]`.
    ///
    /// # Errors
    /// For another shape.
    pub fn read_out(&self, hidden: &Array) -> Result<Array> {
        let [tokens, channels] = *hidden.shape() else {
            anyhow::bail!("the residual stream has two axes, not the shape {:?}.", hidden.shape());
        };
        ensure!(
            channels == self.n_embd(),
            "{channels} channels, but the model has {}.",
            self.n_embd()
        );
        let data = burn::tensor::TensorData::new(hidden.values(), [1, tokens, channels]);
        let logits = self.rwkv.logits(Tensor::from_data(data, &self.place.device));
        Ok(Array::of(logits.squeeze_dim::<2>(0)))
    }
}

/// The tokens in stretches of at most [`STRETCH`]; those at `alone` stand alone.
fn stretches<'a>(tokens: &'a [u32], alone: &BTreeSet<usize>) -> Vec<&'a [u32]> {
    let mut cuts: BTreeSet<usize> = (0..tokens.len()).step_by(STRETCH).collect();
    cuts.extend(alone.iter().flat_map(|&at| [at, at + 1]));
    cuts.insert(tokens.len());
    let cuts: Vec<usize> = cuts.into_iter().collect();
    cuts.windows(2).map(|pair| &tokens[pair[0]..pair[1]]).collect()
}
