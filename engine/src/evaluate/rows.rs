//! Rows of tokens read at once, and what the model thought of the tokens that came.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};
use burn::tensor::{Int, Tensor, TensorData};
use rayon::prelude::*;

use crate::model::{Model, go_on};
use crate::sample::log_sum_exp;
use crate::state::State;

/// A model that reads, and what stops it.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// Who reads.
    pub model: &'a Model,
    /// Set by somebody who wants it to stop.
    pub interrupt: &'a AtomicBool,
}

/// Tokens to read and what came after them.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// What is read, at least one token.
    pub tokens: &'a [u32],
    /// What came after each of the last of them, no more than there are.
    pub targets: &'a [u32],
}

/// What a model thought of a token before it came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Natural logarithm of its probability.
    pub logprob: f64,
    /// Whether it was the likeliest; of equals that is the first.
    pub likeliest: bool,
}

/// What there is after a row.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// One for each target.
    pub scored: Vec<Scored>,
    /// Logits after the last token, `[V]`.
    pub logits: Vec<f32>,
}

/// Tokens of all rows together that are read between two looks at the interrupt.
const STRETCH: usize = 512;
/// Logits that are held at once, so that a large vocabulary takes no more memory than a small one.
const LOGITS: usize = 1 << 24;

impl Scored {
    /// The token beside the logits at the place before it.
    pub fn of(logits: &[f32], token: u32) -> Self {
        let own = logits[token as usize];
        let (before, after) = logits.split_at(token as usize);
        let likeliest = before.iter().all(|x| *x < own) && after.iter().all(|x| *x <= own);
        Self { logprob: f64::from(own) - log_sum_exp(logits), likeliest }
    }
}

impl Seen {
    /// Natural logarithm of the probability of all targets together.
    pub fn logprob(&self) -> f64 {
        self.scored.iter().map(|one| one.logprob).sum()
    }
}

impl Reader<'_> {
    /// Reads every row from its memory in `state`, which moves on. Shorter rows are filled up
    /// behind their end: what is seen of them is right, their memory is then of no use.
    ///
    /// # Errors
    /// For a row without tokens, a token beyond the vocabulary, logits that are not numbers, and
    /// when the work is interrupted.
    pub fn read(&self, rows: &[Row], state: &mut State) -> Result<Vec<Seen>> {
        for row in rows {
            self.model.check(row.tokens)?;
            if !row.targets.is_empty() {
                self.model.check(row.targets)?;
            }
            ensure!(row.targets.len() <= row.tokens.len(), "more targets than tokens.");
        }
        let mut seen = vec![Seen::default(); rows.len()];
        let longest = rows.iter().map(|row| row.tokens.len()).max().unwrap_or(0);
        let stretch = (STRETCH / rows.len().max(1)).clamp(16, 256);
        for start in (0..longest).step_by(stretch) {
            go_on(self.interrupt)?;
            let places = start..(start + stretch).min(longest);
            let hidden = self.step(rows, places.clone(), state);
            self.look(rows, hidden, places, &mut seen)?;
        }
        Ok(seen)
    }

    /// What the output head reads at these places, `[B, T, C]`.
    fn step(&self, rows: &[Row], places: Range<usize>, state: &mut State) -> Tensor<3> {
        let id = |row: &Row, at: usize| row.tokens.get(at).map_or(0, |&id| id as i32);
        let ids = rows.iter().flat_map(|row| places.clone().map(|at| id(row, at)));
        let data = TensorData::new(ids.collect::<Vec<i32>>(), [rows.len(), places.len()]);
        let tokens = Tensor::<2, Int>::from_data(data, &self.model.place.device);
        self.model.rwkv.hidden(tokens, state)
    }

    /// Scores the targets at these places and keeps the last logits of rows that end there.
    fn look(
        &self,
        rows: &[Row],
        hidden: Tensor<3>,
        places: Range<usize>,
        seen: &mut [Seen],
    ) -> Result<()> {
        let [b, t, c] = hidden.dims();
        let hidden = hidden.reshape([b * t, c]);
        let vocabulary = self.model.vocab_size();
        for part in wanted(rows, places.clone()).chunks((LOGITS / vocabulary).max(1)) {
            let index = part.iter().map(|&(row, at)| (row * t + at - places.start) as i32);
            let data = TensorData::new(index.collect::<Vec<i32>>(), [part.len()]);
            let index = Tensor::<1, Int>::from_data(data, &self.model.place.device);
            let logits = self.model.rwkv.logits(hidden.clone().select(0, index).unsqueeze());
            let logits = logits.into_data().convert::<f32>().try_into_vec::<f32>();
            let logits = logits.expect("converted to f32 just now");
            let score = |(&(row, at), logits): (&(usize, usize), &[f32])| {
                rows[row].target(at).map(|target| Scored::of(logits, target))
            };
            let scored: Vec<_> =
                part.par_iter().zip(logits.par_chunks(vocabulary)).map(score).collect();
            for ((&(row, at), logits), scored) in
                part.iter().zip(logits.chunks(vocabulary)).zip(scored)
            {
                if at + 1 == rows[row].tokens.len() {
                    seen[row].logits = logits.to_vec();
                }
                let Some(scored) = scored else { continue };
                self.check_number(scored, at)?;
                seen[row].scored.push(scored);
            }
        }
        Ok(())
    }

    /// Weights or a state that hold no numbers are found here, not as a strange result.
    pub(super) fn check_number(&self, scored: Scored, at: usize) -> Result<()> {
        ensure!(
            !scored.logprob.is_nan(),
            "the logits of {} are not numbers after token {} of a row; its weights or the state it \
             started from hold NaN or infinity.",
            self.model.name,
            at + 1
        );
        Ok(())
    }
}

impl Row<'_> {
    /// What came after the token at `at`, where that is asked.
    fn target(&self, at: usize) -> Option<u32> {
        let first = self.tokens.len() - self.targets.len();
        at.checked_sub(first).map(|place| self.targets[place])
    }
}

/// Places of rows whose logits are needed: where a target is, and the last one.
fn wanted(rows: &[Row], places: Range<usize>) -> Vec<(usize, usize)> {
    let of_row = |(at, row): (usize, &Row)| {
        let end = row.tokens.len();
        let first = end - row.targets.len().max(1);
        let range = first.max(places.start)..end.min(places.end);
        range.map(move |place| (at, place)).collect::<Vec<_>>()
    };
    rows.iter().enumerate().flat_map(of_row).collect()
}
