//! One question, its answer, and what is kept of both.

use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reading::{End, Reading};
use super::showing::Picture;
use super::template::{Answer, Question};
use crate::generate::{Finish, Generation};
use crate::sample::Luck;
use crate::state::State;

/// A question at its place in the conversation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// What was asked.
    pub question: Question,
    /// Number of the turn that it follows; 0 is the start.
    pub parent: usize,
    /// The memory it was asked from, where that was not the one after its parent.
    #[serde(skip)]
    pub(super) base: Option<Rc<State>>,
    /// What `base` was before the pictures were read.
    #[serde(skip)]
    pub(super) unread: Option<Rc<State>>,
    /// What it is about; `base` has read them.
    #[serde(default)]
    pub pictures: Vec<Picture>,
    /// How it was written, with all that stood before it.
    pub(super) text: String,
    /// The first words of the answer, which were not left to the model.
    pub(super) lead: String,
    /// Whether token 0 came first.
    pub(super) begins: bool,
}

/// One question and its answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Turn {
    /// The question and its place.
    pub asked: Asked,
    /// What was answered.
    pub answer: Answer,
    /// Why the answer ended.
    pub finish: Finish,
    /// Whether the answer was made elsewhere, so that its memory cannot be read again.
    pub(super) foreign: bool,
    /// Whether the gap that ends the answer has still to be read.
    pub(super) open: bool,
    pub(super) reading: Reading,
    /// Of each token of the answer, as bits: JSON has no infinities.
    pub(super) logprobs: Vec<u32>,
    seed: u64,
    /// What mirostat allows next, as bits: to go on takes the very number.
    mu: u64,
    time: Duration,
    /// The memory after the answer, where the budget allows to keep it.
    #[serde(skip)]
    pub(super) state: Option<Rc<State>>,
    /// Where an answer that was cut can go on.
    #[serde(skip)]
    pub(super) end: Option<End>,
}

/// What comes of a generation besides its text.
pub(super) struct Outcome {
    pub(super) reading: Reading,
    pub(super) state: Rc<State>,
    pub(super) end: Option<End>,
    pub(super) open: bool,
}

/// Log-probabilities as bits.
pub(super) fn bits(logprobs: &[f32]) -> Vec<u32> {
    logprobs.iter().map(|logprob| logprob.to_bits()).collect()
}

impl Turn {
    pub(super) fn new(asked: Asked, answer: Answer, made: &Generation, outcome: Outcome) -> Self {
        let Outcome { reading, state, end, open } = outcome;
        Self {
            asked,
            answer,
            finish: made.finish,
            foreign: false,
            open,
            reading,
            logprobs: bits(&made.logprobs),
            seed: made.luck.seed,
            mu: made.luck.mu.to_bits(),
            time: made.time,
            state: Some(state),
            end,
        }
    }

    /// The memory after the answer; none where it has been dropped for the budget.
    pub fn state(&self) -> Option<&State> {
        self.state.as_deref()
    }

    /// The tokens of the answer, those of a stop text too.
    pub fn tokens(&self) -> &[u32] {
        &self.reading.tokens
    }

    /// What the random numbers of the answer began with.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Tokens per second of the answer, without the question.
    pub fn tokens_per_second(&self) -> f64 {
        self.reading.tokens.len() as f64 / self.time.as_secs_f64()
    }

    /// The answer as it was generated, ready to go on.
    pub(super) fn generation(&self, end: &End) -> Generation {
        Generation {
            text: self.answer.reply.clone(),
            tokens: self.reading.tokens.clone(),
            logprobs: self.logprobs.iter().map(|&bits| f32::from_bits(bits)).collect(),
            state: (*end.raw).clone(),
            logits: end.logits.clone(),
            finish: self.finish,
            time: self.time,
            luck: Luck { seed: self.seed, mu: f64::from_bits(self.mu) },
        }
    }

    /// Whether this generation is the answer: the same words as likely.
    pub(super) fn is(&self, made: &Generation) -> bool {
        self.reading.tokens == made.tokens && self.logprobs == bits(&made.logprobs)
    }
}
