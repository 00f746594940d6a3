//! One pass and token by token, measured against each other: how far apart, how fast, how large.

use std::cell::RefCell;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::activations::Activations;
use crate::model::{Model, Reading};
use crate::rwkv::Seen;
use crate::state::{Distance, State};
use crate::tensor::Array;

/// How a text is cut up for the comparison.
#[derive(Clone, Copy, Debug)]
pub struct Cuts {
    /// Tokens of a chunk.
    pub chunk: usize,
    /// Tokens read in one pass before the rest is read token by token.
    pub hand_over: usize,
}

/// One way of reading beside one pass over all tokens.
#[derive(Clone, Debug)]
pub struct Way {
    /// What it is called.
    pub name: String,
    /// The largest difference in the residual stream, `[L, T]`.
    pub residual: Array,
    /// The largest difference of the logits, `[T]`.
    pub logits: Array,
    /// The distance of the states at the end, layer by layer.
    pub states: Vec<Distance>,
    /// Seconds that it takes.
    pub seconds: f64,
}

/// A text read in every way.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The text.
    pub tokens: Vec<u32>,
    /// Seconds that one pass takes.
    pub seconds: f64,
    /// Token by token; in chunks; in one pass up to a point and token by token from there.
    pub ways: Vec<Way>,
    /// The state after one pass.
    pub state: State,
    /// The largest number of the residual stream, for comparison, `[L, T]`.
    pub size: Array,
    /// Bytes per token that a transformer with as many layers and channels adds to its memory:
    /// a key and a value of `C` numbers of 4 bytes in each of `L` layers.
    pub cache_per_token: usize,
}

/// What one way of reading leaves.
struct Read {
    residual: Array, // [L, T, C]
    state: State,
}

/// Positions whose logits are held at once.
const AT_ONCE: usize = 64;
/// Runs of a measurement, of which the fastest counts; a slow one is not repeated.
const RUNS: usize = 3;
/// Seconds from which a run is slow.
const SLOW: f64 = 0.3;

impl Comparison {
    /// Tokens after which the memory of such a transformer is larger than the state.
    pub fn break_even(&self) -> usize {
        self.state.bytes().div_ceil(self.cache_per_token)
    }
}

impl Model {
    /// Reads a text in one pass, token by token, in chunks, and handed over in the middle.
    ///
    /// # Errors
    /// As [`Model::forward`], and when a cut lies outside the text.
    pub fn compare_modes(
        &self,
        tokens: &[u32],
        state: &State,
        cuts: Cuts,
        interrupt: &AtomicBool,
    ) -> Result<Comparison> {
        self.check(tokens)?;
        let count = tokens.len();
        ensure!(cuts.chunk > 0, "a chunk has at least one token.");
        ensure!(cuts.hand_over <= count, "there are {count} tokens before the hand-over, no more.");
        let (first, rest) = tokens.split_at(cuts.hand_over);
        let handed = std::iter::once(first).chain(rest.chunks(1)).filter(|part| !part.is_empty());
        let ways: [(String, Vec<&[u32]>); 3] = [
            ("token by token".into(), tokens.chunks(1).collect()),
            (format!("chunks of {}", cuts.chunk), tokens.chunks(cuts.chunk).collect()),
            (format!("handed over at {}", cuts.hand_over), handed.collect()),
        ];
        let whole = self.read_in(&[tokens], state, interrupt)?;
        let way = |(name, parts): (String, Vec<&[u32]>)| {
            let found = self.read_in(&parts, state, interrupt)?;
            let seconds = self.time(&parts, state, interrupt)?;
            self.compared(name, &whole, &found, seconds)
        };
        Ok(Comparison {
            tokens: tokens.to_vec(),
            seconds: self.time(&[tokens], state, interrupt)?,
            ways: ways.into_iter().map(way).collect::<Result<_>>()?,
            size: largest(&whole.residual)?,
            state: whole.state,
            cache_per_token: 2 * 4 * self.n_layer() * self.n_embd(),
        })
    }

    fn read_in(&self, parts: &[&[u32]], state: &State, interrupt: &AtomicBool) -> Result<Read> {
        let found = RefCell::new(Activations::default());
        let look = |seen: &Seen| {
            if seen.name == "x" {
                found.borrow_mut().add(seen, None);
            }
            Ok(None)
        };
        let reading = Reading { look: Some(&look), knock_out: None };
        let mut state = state.clone();
        for part in parts {
            state = self.watch(part, &state, interrupt, reading, |_| ())?;
        }
        Ok(Read { residual: found.into_inner().stacked("x")?, state })
    }

    fn compared(&self, name: String, whole: &Read, found: &Read, seconds: f64) -> Result<Way> {
        let [last, other] = [whole.residual.at(-1)?, found.residual.at(-1)?];
        let tokens = last.shape()[0];
        let mut logits = Vec::with_capacity(tokens);
        for start in (0..tokens).step_by(AT_ONCE) {
            let part = start..(start + AT_ONCE).min(tokens);
            let [a, b] =
                [self.read_out(&last.slice(part.clone())?)?, self.read_out(&other.slice(part)?)?];
            logits.extend(largest(&a.zip(&b, |a, b| a - b)?)?.values());
        }
        Ok(Way {
            name,
            residual: largest(&whole.residual.zip(&found.residual, |a, b| a - b)?)?,
            logits: Array::vector(logits),
            states: found.state.distances(&whole.state)?,
            seconds,
        })
    }

    /// Seconds until the logits after the parts are there, without looking on.
    fn time(&self, parts: &[&[u32]], state: &State, interrupt: &AtomicBool) -> Result<f64> {
        let mut fastest = f64::INFINITY;
        for _ in 0..RUNS {
            let (start, mut state) = (Instant::now(), state.clone());
            for part in parts {
                (_, state) = self.read(part, &state, interrupt)?;
            }
            fastest = fastest.min(start.elapsed().as_secs_f64());
            if fastest > SLOW {
                break;
            }
        }
        Ok(fastest)
    }
}

/// The largest size of a number along the last axis.
fn largest(x: &Array) -> Result<Array> {
    let (last, rest) = x.shape().split_last().map_or((1, &[][..]), |(last, rest)| (*last, rest));
    // Not `max`: it would pass over a NaN.
    let wider = |a: f32, b: &f32| if b.is_nan() || b.abs() > a { b.abs() } else { a };
    let row = |row: &[f32]| row.iter().fold(0.0, wider);
    Array::new(rest, x.values().chunks(last.max(1)).map(row).collect())
}
