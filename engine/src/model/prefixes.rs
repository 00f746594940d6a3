//! What is known after the beginnings of texts that were read before: whoever asks ten questions
//! about one text reads it once.
//!
//! States are kept where a reading pauses anyway, every [`STRETCH`] tokens, and at its end. What is
//! found so is to the last digit what reading everything anew would give.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::STRETCH;
use crate::state::State;
use crate::tensor::Array;

/// Fewer tokens are read anew.
pub(super) const SHORTEST: usize = 32;

/// Bytes that are kept if nobody says otherwise.
pub const BUDGET: usize = 64 << 20;

/// Texts that a model has read from its first state on. Clones are one and the same.
#[derive(Clone, Debug)]
pub struct Prefixes(Arc<Mutex<Shelf>>);

#[derive(Debug)]
struct Shelf {
    /// The one used last stands last.
    known: VecDeque<Known>,
    standing: Standing,
}

/// How much is kept, and what that was good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Beginnings of texts.
    pub texts: usize,
    /// Bytes of their states.
    pub bytes: usize,
    /// Bytes that may be kept; with 0 everything is read anew.
    pub budget: usize,
    /// Readings that began with something known.
    pub hits: usize,
    /// Tokens that did not have to be read.
    pub saved: usize,
}

/// What is known after some tokens.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub tokens: Vec<u32>,
    pub state: State,
    /// At the end of a text, after its last token.
    pub logits: Option<Array>,
}

impl Known {
    fn bytes(&self) -> usize {
        let logits = self.logits.as_ref().map_or(0, |logits| logits.shape().iter().product());
        self.state.bytes() + 4 * (self.tokens.len() + logits)
    }

    /// Whether a reading of `tokens` can go on from here without a digit of difference.
    fn begins(&self, tokens: &[u32]) -> bool {
        let whole = self.logits.is_some() && self.tokens.len() == tokens.len();
        let pauses = self.tokens.len().is_multiple_of(STRETCH) && self.tokens.len() < tokens.len();
        (whole || pauses) && tokens.starts_with(&self.tokens)
    }
}

impl Prefixes {
    /// Nothing is known yet; at most `budget` bytes will be kept.
    pub fn new(budget: usize) -> Self {
        let standing = Standing { budget, ..Standing::default() };
        Self(Arc::new(Mutex::new(Shelf { known: VecDeque::new(), standing })))
    }

    /// How much is kept now.
    pub fn standing(&self) -> Standing {
        self.shelf().standing
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known after the longest beginning of `tokens`.
    pub(super) fn longest(&self, tokens: &[u32]) -> Option<Known> {
        let mut shelf = self.shelf();
        let begins = shelf.known.iter().enumerate().filter(|(_, known)| known.begins(tokens));
        let (place, _) = begins.max_by_key(|(_, known)| known.tokens.len())?;
        let known = shelf.known.remove(place)?;
        shelf.known.push_back(known.clone());
        shelf.standing.hits += 1;
        shelf.standing.saved += known.tokens.len();
        Some(known)
    }

    /// Keeps what is known after some tokens; what was not used for longest makes room.
    pub(super) fn keep(&self, known: Known) {
        let mut shelf = self.shelf();
        let same = |other: &Known| other.tokens == known.tokens;
        if let Some(place) = shelf.known.iter().position(same) {
            shelf.known.remove(place);
        }
        shelf.known.push_back(known);
        let bytes = |shelf: &Shelf| shelf.known.iter().map(Known::bytes).sum::<usize>();
        while bytes(&shelf) > shelf.standing.budget {
            shelf.known.pop_front();
        }
        shelf.standing.bytes = bytes(&shelf);
        shelf.standing.texts = shelf.known.len();
    }
}
