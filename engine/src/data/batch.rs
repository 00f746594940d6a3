//! What a model learns from at once.

use std::sync::Arc;

use anyhow::{Result, ensure};

use super::{Pictures, Position, Shown};

/// Rows of one token more than there are positions to learn: each is the target of the one before.
#[derive(Clone, Debug)]
pub struct Batch {
    tokens: Vec<u32>,
    /// How much each token counts as a target; empty where all count the same.
    weights: Vec<f32>,
    width: usize,
    continues: bool,
    origin: Option<(String, Position)>,
    pictures: Option<Arc<Pictures>>,
}

impl Batch {
    /// Rows of `width` tokens, one after the other, all of them counted.
    ///
    /// # Errors
    /// When the tokens do not fill whole rows of at least two.
    pub fn new(tokens: Vec<u32>, width: usize) -> Result<Self> {
        Self::weighted(tokens, Vec::new(), width)
    }

    /// As [`Batch::new`], with a weight for each token; none at all count all the same.
    ///
    /// # Errors
    /// As [`Batch::new`], and when there are not as many weights as tokens.
    pub fn weighted(tokens: Vec<u32>, weights: Vec<f32>, width: usize) -> Result<Self> {
        ensure!(
            width >= 2 && !tokens.is_empty() && tokens.len().is_multiple_of(width),
            "{} tokens do not make rows of {width}; a row has at least two.",
            tokens.len()
        );
        ensure!(
            weights.is_empty() || weights.len() == tokens.len(),
            "{} weights do not fit {} tokens.",
            weights.len(),
            tokens.len()
        );
        Ok(Self { tokens, weights, width, continues: false, origin: None, pictures: None })
    }

    /// The same rows with pictures among their tokens.
    ///
    /// # Errors
    /// When they stand outside of the rows.
    pub fn illustrated(self, pictures: Pictures) -> Result<Self> {
        let last = |row: &Vec<Shown>| row.iter().map(|shown| shown.at + shown.rows.len()).max();
        let within = pictures.rows.iter().filter_map(last).all(|last| last < self.width);
        ensure!(
            pictures.rows.len() == self.rows() && within,
            "pictures stand outside of rows of {} tokens; give a larger ctx_len.",
            self.width
        );
        Ok(Self { pictures: Some(Arc::new(pictures)), ..self })
    }

    /// The pictures among the tokens, if there are any.
    pub fn pictures(&self) -> Option<&Pictures> {
        self.pictures.as_deref()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.tokens.len() / self.width
    }

    /// Positions of a row that have a target.
    pub fn targets(&self) -> usize {
        self.width - 1
    }

    /// All tokens, row after row.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// How much each token counts, row after row; empty where all count the same.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Whether each row goes on where the same row of the batch before ended: its first token is
    /// the last one there.
    pub fn continues(&self) -> bool {
        self.continues
    }

    /// The fingerprint of the data set that this came from, and where that set stood after it; none
    /// for a batch that was put together by hand.
    pub fn origin(&self) -> Option<&(String, Position)> {
        self.origin.as_ref()
    }

    /// The same batch, said to go on where the batch before ended, row by row.
    pub fn continuing(self) -> Self {
        Self { continues: true, ..self }
    }

    /// The batch as a data set hands it out.
    pub(super) fn handed_out(self, continues: bool, fingerprint: &str, after: &Position) -> Self {
        Self { continues, origin: Some((fingerprint.to_string(), after.clone())), ..self }
    }
}

/// A batch that is being filled.
#[derive(Debug)]
pub(super) struct Rows {
    tokens: Vec<u32>,
    /// Empty as long as all count the same.
    weights: Vec<f32>,
    width: usize,
}

impl Rows {
    pub(super) fn new(width: usize) -> Self {
        Self { tokens: Vec::new(), weights: Vec::new(), width }
    }

    /// Tokens in the row that is being filled.
    fn filled(&self) -> usize {
        self.tokens.len() % self.width
    }

    /// Tokens that the row still takes; a full row is followed by an empty one.
    pub(super) fn room(&self) -> usize {
        self.width - self.filled()
    }

    /// As many of these as the row takes, and how many that were; no weights at all count all the
    /// same.
    pub(super) fn push(&mut self, tokens: &[u32], weights: &[f32]) -> usize {
        let count = tokens.len().min(self.room());
        if !weights.is_empty() && self.weights.is_empty() {
            self.weights = vec![1.0; self.tokens.len()];
        }
        self.tokens.extend_from_slice(&tokens[..count]);
        if !weights.is_empty() {
            self.weights.extend_from_slice(&weights[..count]);
        } else if !self.weights.is_empty() {
            self.weights.resize(self.tokens.len(), 1.0);
        }
        count
    }

    /// Fills the row up with tokens that do not count.
    pub(super) fn pad(&mut self) {
        let missing = (self.width - self.filled()) % self.width;
        if missing > 0 {
            self.push(&vec![0; missing], &vec![0.0; missing]);
        }
    }

    /// Takes back all after `length` tokens.
    pub(super) fn truncate(&mut self, length: usize) {
        self.tokens.truncate(length);
        self.weights.truncate(length);
    }

    /// Whether one of the tokens from `start` on, the first apart, counts.
    pub(super) fn counts(&self, start: usize) -> bool {
        let counted = self.weights.get(start + 1..).is_some_and(|w| w.iter().any(|&w| w > 0.0));
        self.tokens.len() > start + 1 && (self.weights.is_empty() || counted)
    }

    /// Tokens so far, those of all rows.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn batch(self) -> Result<Batch> {
        Batch::weighted(self.tokens, self.weights, self.width)
    }
}
