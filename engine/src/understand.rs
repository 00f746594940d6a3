//! Questions to a model that reads: what surprises it, what it looks back at, how long its heads
//! remember, and what a single head would say.

mod occlusion;
#[cfg(test)]
mod tests;

pub use occlusion::{Occlusion, occlusion};

use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};
use ndarray::Array2;

use crate::model::{Model, Reading};
use crate::recurrence::{Letters, Sums};
use crate::sample::log_softmax;
use crate::state::{State, singular};
use crate::tensor::Array;

/// How a token compares with what the model expected at its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Surprise {
    /// The token.
    pub token: u32,
    /// `−log₂` of its probability.
    pub bits: f64,
    /// Bits of surprise that the model expected.
    pub entropy: f64,
    /// How many tokens were likelier.
    pub rank: usize,
    /// The likeliest token.
    pub guess: u32,
    /// Its probability.
    pub sure: f64,
}

impl Surprise {
    /// A token beside the logits at the place before it.
    fn of(logits: &[f32], token: u32) -> Self {
        let logs = log_softmax(logits);
        let own = logs[token as usize];
        let bits = |nats: f64| nats / std::f64::consts::LN_2;
        let entropy =
            |l: &f32| if l.is_finite() { -f64::from(l.exp()) * f64::from(*l) } else { 0.0 };
        let best = |a: usize, b: usize| if logs[b] > logs[a] { b } else { a };
        let guess = (0..logs.len()).fold(0, best);
        Self {
            token,
            bits: bits(-f64::from(own)),
            entropy: bits(logs.iter().map(entropy).sum()),
            rank: logs.iter().filter(|l| **l > own).count(),
            guess: guess as u32,
            sure: f64::from(logs[guess].exp()),
        }
    }
}

impl Model {
    /// How surprising each token is but the first, which nothing leads to.
    ///
    /// # Errors
    /// As [`Model::forward`], and for less than two tokens.
    pub fn surprises(
        &self,
        tokens: &[u32],
        state: &State,
        interrupt: &AtomicBool,
    ) -> Result<Vec<Surprise>> {
        ensure!(tokens.len() > 1, "surprise needs two tokens: one to expect the other from.");
        let mut found = Vec::with_capacity(tokens.len() - 1);
        self.check(tokens)?;
        let read = &tokens[..tokens.len() - 1];
        self.watch(read, state, interrupt, Reading::default(), |hidden| {
            let logits = Array::of(self.rwkv.logits(hidden)).values();
            for row in logits.chunks(self.vocab_size()) {
                found.push(Surprise::of(row, tokens[found.len() + 1]));
            }
        })?;
        Ok(found)
    }

    /// What each token reads of the ones before, `[T, T]`: row `t`, column `j`, with its sign. The
    /// mean over the heads, or one of them. With `bonus`, RWKV-7's `r·(r_k∘k)`, which is added
    /// behind the norm and is on another scale, is added to the diagonal.
    ///
    /// # Errors
    /// As [`Model::forward`], and when there is no such layer or head.
    pub fn attention_map(
        &self,
        tokens: &[u32],
        state: &State,
        (layer, head): (usize, Option<usize>),
        bonus: bool,
        interrupt: &AtomicBool,
    ) -> Result<Array> {
        ensure!(layer < self.n_layer(), "there is no layer {layer}; there are {}.", self.n_layer());
        let needed = |l: usize, name: &str| l == layer && Letters::NAMES.contains(&name);
        let (seen, _) = self.activations(tokens, state, interrupt, needed)?;
        let letters = Letters::of(self, layer, &seen)?;
        let heads = head.map_or(0..letters.heads(), |head| head..head + 1);
        let (count, t) = (heads.len() as f64, tokens.len());
        let mut map = Array2::<f64>::zeros((t, t));
        for head in heads {
            map += &letters.attention(head, &state.layers[layer].wkv, interrupt)?.weights;
            if bonus && !letters.is_v4() {
                let head = letters.head(head)?;
                // Before RWKV-7 the bonus is part of what the recurrence reads.
                if head.removal.is_some() {
                    map.diag_mut().scaled_add(1.0, &head.bonuses());
                }
            }
        }
        Array::new(&[t, t], map.iter().map(|x| (x / count) as f32).collect())
    }

    /// Tokens after which half is left of what every channel of every layer holds, `[L, H·N]`, by
    /// the mean logarithm of its decay over a text. What RWKV-7 takes out on purpose is not counted.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn half_lives(
        &self,
        tokens: &[u32],
        state: &State,
        interrupt: &AtomicBool,
    ) -> Result<Array> {
        let needed = |_: usize, name: &str| Letters::NAMES.contains(&name);
        let (seen, _) = self.activations(tokens, state, interrupt, needed)?;
        let layer = |layer| {
            let decay = Letters::of(self, layer, &seen)?.mean_decay();
            Ok(Array::vector(decay.iter().map(|d| half_life(*d) as f32).collect()))
        };
        Array::stack(&(0..self.n_layer()).map(layer).collect::<Result<Vec<_>>>()?)
    }

    /// What a memory returns to `key` in one head, normed as for the output projection, `[N]`.
    /// Without a key: what it returns to the key that it answers most strongly, whose sign nobody
    /// knows. In RWKV-4 the mean of the values that are remembered, for no key.
    ///
    /// # Errors
    /// When there is no such layer or head, and for a key of another length.
    pub fn answer(
        &self,
        state: &State,
        (layer, head): (usize, usize),
        key: Option<&Array>,
    ) -> Result<Array> {
        state.fits(&self.state())?;
        if state.is_v4() {
            ensure!(key.is_none(), "RWKV-4 remembers means, not values under keys; give no key.");
            ensure!(layer < self.n_layer() && head == 0, "there is no layer {layer}, head {head}.");
            let mean = Sums::of(&state.layers[layer].wkv).mean();
            return Ok(Array::vector(mean.into_iter().map(|x| x as f32).collect()));
        }
        let value = match key {
            Some(key) => state.query(layer, head, key)?,
            None => singular(&state.head(layer, head)?)?[0].transpose()?.at(0)?,
        };
        let n = value.len();
        let weight = self.weights(&format!("blocks.{layer}.att.ln_x.weight"))?;
        let (mean, spread) = (value.mean() as f32, value.variance().sqrt().max(1e-12) as f32);
        value
            .map(|x| (x - mean) / spread)
            .zip(&weight.slice(head * n..(head + 1) * n)?, |x, w| x * w)
    }

    /// The part of a head in what the output projection reads after the last token, `[N]`.
    ///
    /// # Errors
    /// As [`Model::forward`], and when there is no such layer or head.
    pub fn last_part(
        &self,
        tokens: &[u32],
        (layer, head): (usize, usize),
        interrupt: &AtomicBool,
    ) -> Result<Array> {
        let needed = |l: usize, name: &str| l == layer && name == "o";
        let (seen, _) = self.activations(tokens, &self.state(), interrupt, needed)?;
        let last = seen.array(layer, "o")?.at(-1)?;
        let n = last.len() / self.n_head();
        last.slice(head * n..(head + 1) * n)
    }

    /// Logits if only this head spoke: its part `[N]` of what the output projection reads, through
    /// that projection and the output head, `[V]`.
    ///
    /// # Errors
    /// When there is no such layer or head, and for a part of another length.
    pub fn say(&self, (layer, head): (usize, usize), part: &Array) -> Result<Array> {
        let added = self.added_by(layer, head, part)?;
        self.read_out(&added.reshape(&[1, self.n_embd()])?)?.at(0)
    }

    /// What a head adds to the residual stream, `[C]`, for its part of what the output projection
    /// reads, `[N]`.
    ///
    /// # Errors
    /// As [`Model::say`].
    pub fn added_by(&self, layer: usize, head: usize, part: &Array) -> Result<Array> {
        let projection = self.weights(&format!("blocks.{layer}.att.output.weight"))?.transpose()?;
        let n = projection.shape()[0] / self.n_head();
        ensure!(head < self.n_head(), "there is no head {head}; there are {}.", self.n_head());
        ensure!(part.len() == n, "a head has {n} channels, not {}.", part.len());
        part.matmul(&projection.slice(head * n..(head + 1) * n)?)
    }
}

/// Tokens after which half is left, from the logarithm of the decay.
pub fn half_life(decay: f64) -> f64 {
    -std::f64::consts::LN_2 / decay
}
