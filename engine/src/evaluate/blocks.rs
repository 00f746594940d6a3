//! A text of any length as tokens, block by block, with no more than a block in memory.

use std::collections::VecDeque;
use std::io::Read;

use anyhow::{Context, Result};

use crate::tokenizer::Tokenizer;

/// A part of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// How long it is as text.
    pub bytes: u64,
}

/// Bytes of a block at most; a text that fits is cut into tokens as a whole.
const BLOCK: usize = 1 << 20;

/// The blocks of a text; each ends with a line, or with a word where a line is longer.
pub struct Blocks<'a, R> {
    source: R,
    tokenizer: &'a Tokenizer,
    /// What failures call the text: a path.
    place: String,
    /// Read, not yet handed out.
    rest: Vec<u8>,
    /// Bytes handed out.
    done: u64,
    size: usize,
}

impl<'a, R: Read> Blocks<'a, R> {
    /// The blocks of what `source` gives; `place` is what failures call it.
    pub fn new(source: R, tokenizer: &'a Tokenizer, place: &str) -> Self {
        Self::of(source, tokenizer, place, BLOCK)
    }

    pub(super) fn of(source: R, tokenizer: &'a Tokenizer, place: &str, size: usize) -> Self {
        Self { source, tokenizer, place: place.into(), rest: Vec::new(), done: 0, size }
    }

    fn fill(&mut self) -> Result<()> {
        let missing = self.size.saturating_sub(self.rest.len()) as u64;
        let read = self.source.by_ref().take(missing).read_to_end(&mut self.rest);
        read.with_context(|| format!("cannot read {}", self.place)).map(drop)
    }

    fn encode(&self, bytes: &[u8]) -> Result<Vec<u32>> {
        let Tokenizer::Json(_) = self.tokenizer else { return self.tokenizer.encode_bytes(bytes) };
        let text = std::str::from_utf8(bytes).with_context(|| {
            format!("{} is not text in UTF-8, which a tokenizer.json needs", self.place)
        })?;
        self.tokenizer.encode(text)
    }
}

impl<R: Read> Iterator for Blocks<'_, R> {
    type Item = Result<Block>;

    fn next(&mut self) -> Option<Result<Block>> {
        if let Err(error) = self.fill() {
            return Some(Err(error));
        }
        if self.rest.is_empty() {
            return None;
        }
        let end = if self.rest.len() < self.size { self.rest.len() } else { cut(&self.rest) };
        let bytes: Vec<u8> = self.rest.drain(..end).collect();
        let tokens = self
            .encode(&bytes)
            .with_context(|| format!("{} cannot be read from byte {} on", self.place, self.done));
        self.done += end as u64;
        Some(tokens.map(|tokens| Block { tokens, bytes: end as u64 }))
    }
}

/// Where a full block ends: after its last line, before its last word, or between two characters.
fn cut(block: &[u8]) -> usize {
    let line = block.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
    let word = || block.iter().rposition(|byte| *byte == b' ').filter(|at| *at > 0);
    let starts = |byte: &u8| byte & 0b1100_0000 != 0b1000_0000;
    let character = || block.iter().rposition(starts).filter(|at| *at > 0);
    line.or_else(word).or_else(character).unwrap_or(block.len())
}

/// The tokens of blocks in rows of `length`; the last one may be shorter.
pub fn rows_of(
    mut blocks: impl Iterator<Item = Result<Block>>,
    length: usize,
) -> impl Iterator<Item = Result<Vec<u32>>> {
    let mut waiting: VecDeque<u32> = VecDeque::new();
    std::iter::from_fn(move || {
        while waiting.len() < length {
            match blocks.next() {
                Some(Ok(block)) => waiting.extend(block.tokens),
                Some(Err(error)) => return Some(Err(error)),
                None => break,
            }
        }
        let row: Vec<u32> = waiting.drain(..length.min(waiting.len())).collect();
        if row.is_empty() { None } else { Some(Ok(row)) }
    })
}
