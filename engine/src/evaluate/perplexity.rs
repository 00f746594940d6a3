//! Perplexity of a text of any length, with or without the memory of what came before a chunk.

use anyhow::{Result, ensure};

use super::blocks::Block;
use super::means::Mean;
use super::rows::{Reader, Row};
use super::{BEGINNING, ended};
use crate::progress::Counter;
use crate::state::State;
use crate::tokenizer::Tokenizer;

/// How a text is read.
#[derive(Clone, Debug)]
pub struct Stretches {
    /// Tokens that are read in one pass.
    pub chunk: usize,
    /// Whether a chunk begins with the memory of those before it, or as a text of its own.
    pub carry: bool,
    /// Whether token 0 is read before the text, and before every chunk that is a text of its own;
    /// without it nothing is said of the first token.
    pub bos: bool,
    /// The memory before the first token.
    pub state: State,
    /// How long the text is, for whoever watches the progress; 0 where nobody knows.
    pub size: u64,
}

/// What a model thought of a text.
#[derive(Clone, Debug)]
pub struct Perplexity {
    /// `−ln` of the probability of the tokens.
    pub nll: Mean,
    /// Of every chunk in its order, the same.
    pub chunks: Vec<Mean>,
    /// How long the scored tokens are as text.
    pub bytes: u64,
    /// The memory after all but the last token.
    pub state: State,
    /// Whether the text was read to its end.
    pub complete: bool,
}

impl Perplexity {
    /// `e` to the power of the mean of `−ln p`.
    pub fn value(&self) -> f64 {
        self.nll.value().exp()
    }

    /// Bits that a byte of the text takes when it is packed with what the model expects.
    pub fn bits_per_byte(&self) -> f64 {
        self.nll.value() * self.nll.count() as f64 / self.bytes as f64 / std::f64::consts::LN_2
    }
}

/// A text as it is being read.
struct Walk<'a> {
    reader: Reader<'a>,
    stretches: &'a Stretches,
    counter: Counter,
    state: State,
    /// The last token, which the memory has not seen yet.
    last: Option<u32>,
    /// Tokens that do not make a chunk yet.
    waiting: Vec<u32>,
    found: Perplexity,
}

/// Reads a text that comes in blocks; the chunks do not depend on where a block ends.
///
/// # Errors
/// As [`Reader::read`], for what a block fails with, for a chunk without tokens, and for a text of
/// which nothing can be scored.
pub fn perplexity(
    reader: Reader,
    blocks: impl Iterator<Item = Result<Block>>,
    stretches: &Stretches,
) -> Result<Perplexity> {
    ensure!(stretches.chunk > 0, "a chunk has at least one token.");
    let state = stretches.state.clone();
    let found = Perplexity {
        nll: Mean::default(),
        chunks: Vec::new(),
        bytes: 0,
        state: state.clone(),
        complete: false,
    };
    let last = stretches.bos.then_some(BEGINNING);
    let counter = reader.model.progress.begin("reading".into(), "bytes", stretches.size);
    let mut walk = Walk { reader, stretches, counter, state, last, waiting: Vec::new(), found };
    let complete = ended(walk.read_all(blocks))?;
    ensure!(
        walk.found.nll.count() > 0 || !complete,
        "there is nothing to measure: the text needs {}.",
        if stretches.bos { "at least one token" } else { "two tokens, or token 0 before it" }
    );
    Ok(Perplexity { state: walk.state, complete, ..walk.found })
}

impl Walk<'_> {
    fn read_all(&mut self, blocks: impl Iterator<Item = Result<Block>>) -> Result<()> {
        let chunk = self.stretches.chunk;
        for block in blocks {
            self.waiting.extend(block?.tokens);
            let whole = self.waiting.len() / chunk * chunk;
            let chunks: Vec<u32> = self.waiting.drain(..whole).collect();
            for tokens in chunks.chunks(chunk) {
                self.read_chunk(tokens)?;
            }
        }
        let rest = std::mem::take(&mut self.waiting);
        if rest.is_empty() { Ok(()) } else { self.read_chunk(&rest) }
    }

    fn read_chunk(&mut self, tokens: &[u32]) -> Result<()> {
        if !self.stretches.carry && !self.found.chunks.is_empty() {
            self.state = self.stretches.state.clone();
            self.last = self.stretches.bos.then_some(BEGINNING);
        }
        // Without a token before it nothing is expected of the first one.
        let targets = if self.last.is_none() { &tokens[1..] } else { tokens };
        let read: Vec<u32> =
            self.last.into_iter().chain(tokens[..tokens.len() - 1].iter().copied()).collect();
        let mut nll = Mean::default();
        if !targets.is_empty() {
            let row = Row { tokens: &read, targets };
            let seen = self.reader.read(&[row], &mut self.state)?;
            seen.iter().flat_map(|seen| &seen.scored).for_each(|one| nll.add(-one.logprob));
        }
        self.last = tokens.last().copied();
        let bytes = bytes(&self.reader.model.tokenizer, targets);
        self.counter.add(bytes);
        self.found.bytes += bytes;
        self.found.nll = self.found.nll.joined(nll);
        self.found.chunks.push(nll);
        Ok(())
    }
}

/// How long tokens are as text.
fn bytes(tokenizer: &Tokenizer, tokens: &[u32]) -> u64 {
    if !tokenizer.joins_bytes() {
        return tokenizer.decode(tokens).len() as u64;
    }
    tokens.iter().map(|&id| tokenizer.piece(id).len() as u64).sum()
}
