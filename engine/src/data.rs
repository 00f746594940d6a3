//! Tokens to learn from, cut into batches.

pub mod problems;

use std::ops::Range;

use anyhow::{Result, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::tokenizer::Tokenizer;

/// Rows of one token more than there are positions to learn: each is the target of the one before.
#[derive(Clone, Debug)]
pub struct Batch {
    tokens: Vec<u32>,
    /// How much each token counts as a target; empty where all count the same.
    weights: Vec<f32>,
    width: usize,
    /// Whether each row goes on where the same row of the batch before ended.
    continues: bool,
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
        Ok(Self { tokens, weights, width, continues: false })
    }

    /// The same batch, said to go on where the batch before ended, row by row.
    pub fn continuing(self) -> Self {
        Self { continues: true, ..self }
    }

    /// Whether each row goes on where the same row of the batch before ended.
    pub fn continues(&self) -> bool {
        self.continues
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
}

/// What of a document is to be learnt: all from after `start` to the end of `end`, each time; the
/// rest counts only `elsewhere`.
#[derive(Clone, Debug)]
pub struct Emphasis {
    /// Text that goes before what counts, such as `Assistant:`.
    pub start: String,
    /// Text that ends it and still counts, such as a blank line.
    pub end: String,
    /// Weight of everything else, from 0 to 1.
    pub elsewhere: f32,
}

impl Emphasis {
    /// The weight of each of `tokens`, which `text` was cut into.
    fn weights(&self, text: &str, tokens: &[u32], tokenizer: &Tokenizer) -> Vec<f32> {
        let spans = self.spans(text);
        let mut at = 0;
        let weight = |&id: &u32| {
            let inside = spans.iter().any(|span| span.contains(&at));
            at += tokenizer.piece(id).len();
            if inside { 1.0 } else { self.elsewhere }
        };
        tokens.iter().map(weight).collect()
    }

    fn spans(&self, text: &str) -> Vec<Range<usize>> {
        let mut spans = Vec::new();
        let mut at = 0;
        while let Some(found) = text[at..].find(&self.start) {
            let from = at + found + self.start.len();
            let to = text[from..].find(&self.end).map_or(text.len(), |n| from + n + self.end.len());
            spans.push(from..to);
            at = to;
        }
        spans
    }
}

/// A long row of tokens and the places where a sample may start.
#[derive(Clone, Debug)]
pub struct Dataset {
    tokens: Vec<u32>,
    weights: Vec<f32>,
    starts: Vec<usize>,
    ctx_len: usize,
    random: ChaCha8Rng,
}

impl Dataset {
    /// One long text; a sample starts anywhere in it.
    ///
    /// # Errors
    /// When it is shorter than one sample of `ctx_len + 1` tokens.
    pub fn text(tokens: Vec<u32>, ctx_len: usize, seed: u64) -> Result<Self> {
        let starts = (0..tokens.len().saturating_sub(ctx_len)).collect();
        Self::new(tokens, Vec::new(), starts, ctx_len, seed)
    }

    /// Documents, joined by token 0; a sample starts at the beginning of one and runs on into the
    /// next ones.
    ///
    /// # Errors
    /// When all together are shorter than one sample of `ctx_len + 1` tokens, or cannot be encoded.
    pub fn documents(
        documents: &[String],
        tokenizer: &Tokenizer,
        emphasis: Option<&Emphasis>,
        ctx_len: usize,
        seed: u64,
    ) -> Result<Self> {
        let (mut tokens, mut weights, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        for text in documents {
            starts.push(tokens.len());
            let document = tokenizer.encode(text)?;
            if let Some(emphasis) = emphasis {
                weights.extend(emphasis.weights(text, &document, tokenizer));
                weights.push(emphasis.elsewhere);
            }
            tokens.extend(document);
            tokens.push(0);
        }
        starts.retain(|start| start + ctx_len < tokens.len());
        Self::new(tokens, weights, starts, ctx_len, seed)
    }

    fn new(
        tokens: Vec<u32>,
        weights: Vec<f32>,
        starts: Vec<usize>,
        ctx_len: usize,
        seed: u64,
    ) -> Result<Self> {
        ensure!(ctx_len > 0, "ctx_len must be at least 1.");
        ensure!(
            !starts.is_empty(),
            "{} tokens are too few for one sample of {}; give more text or a smaller ctx_len.",
            tokens.len(),
            ctx_len + 1
        );
        Ok(Self { tokens, weights, starts, ctx_len, random: ChaCha8Rng::seed_from_u64(seed) })
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none; a dataset always has some.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Two datasets: the first `share` of the places to start from, and the rest.
    ///
    /// # Errors
    /// When one of the two would be empty.
    pub fn split(&self, share: f64) -> Result<(Self, Self)> {
        let at = (self.starts.len() as f64 * share).round() as usize;
        ensure!(
            (1..self.starts.len()).contains(&at),
            "a split at {share} leaves nothing on one side of {} samples.",
            self.starts.len()
        );
        let cut = self.starts[at];
        // A sample of the first part may not look into the second.
        let first = self.starts[..at].iter().copied().filter(|s| s + self.ctx_len < cut).collect();
        let second = self.starts[at..].iter().map(|start| start - cut).collect();
        Ok((self.part(0..cut, first)?, self.part(cut..self.tokens.len(), second)?))
    }

    fn part(&self, range: Range<usize>, starts: Vec<usize>) -> Result<Self> {
        let weights = self.weights.get(range.clone()).unwrap_or_default().to_vec();
        let seed = u64::from(self.random.get_seed()[0]);
        Self::new(self.tokens[range].to_vec(), weights, starts, self.ctx_len, seed)
    }

    /// `rows` samples from places drawn at random.
    ///
    /// # Errors
    /// When `rows` is 0.
    pub fn next_batch(&mut self, rows: usize) -> Result<Batch> {
        let (mut tokens, mut weights) = (Vec::new(), Vec::new());
        for _ in 0..rows {
            let place = self.random.next_u64() % self.starts.len() as u64;
            let start = self.starts[place as usize];
            let sample = start..start + self.ctx_len + 1;
            tokens.extend_from_slice(&self.tokens[sample.clone()]);
            weights.extend_from_slice(self.weights.get(sample).unwrap_or_default());
        }
        Batch::weighted(tokens, weights, self.ctx_len + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_start_where_documents_do() {
        let documents = ["abc", "defg", "hi"].map(str::to_string);
        let mut data = Dataset::documents(&documents, &Tokenizer::bytes(), None, 4, 7).unwrap();
        for row in data.next_batch(50).unwrap().tokens().chunks(5) {
            let row: Vec<u8> = row.iter().map(|&id| id as u8).collect();
            assert!(row == *b"abc\0d" || row == *b"defg\0", "{row:?}");
        }
    }

    #[test]
    fn only_what_is_said_in_answer_counts() {
        let emphasis = Emphasis { start: "A:".into(), end: ".".into(), elsewhere: 0.5 };
        let text = ["Q A: x. B A: y".to_string()];
        let bytes = Tokenizer::bytes();
        let mut data = Dataset::documents(&text, &bytes, Some(&emphasis), 14, 0).unwrap();
        let counted: Vec<_> =
            data.next_batch(1).unwrap().weights().iter().map(|&w| w == 1.0).collect();
        let expected = "....***.....**.".bytes().map(|b| b == b'*');
        assert_eq!(counted, expected.collect::<Vec<_>>());
    }

    #[test]
    fn the_parts_of_a_split_share_nothing() {
        let data = Dataset::text((0..100).collect(), 9, 1).unwrap();
        let (mut train, mut valid) = data.split(0.8).unwrap();
        let largest = *train.next_batch(200).unwrap().tokens().iter().max().unwrap();
        let smallest = *valid.next_batch(200).unwrap().tokens().iter().min().unwrap();
        assert!(largest < smallest, "{largest} {smallest}");
    }

    #[test]
    fn too_little_text_is_refused() {
        let error = Dataset::text(vec![1, 2], 2, 0).unwrap_err().to_string();
        assert!(error.contains("2 tokens are too few"), "{error}");
        assert!(Dataset::text(vec![1, 2, 3], 2, 0).unwrap().split(0.99).is_err());
    }

    #[test]
    fn the_same_seed_gives_the_same_batches() {
        let of = |seed| {
            let mut data = Dataset::text((0..1000).collect(), 4, seed).unwrap();
            data.next_batch(8).unwrap().tokens().to_vec()
        };
        assert_eq!(of(3), of(3));
        assert_ne!(of(3), of(4));
    }
}
