//! Where documents come from, in parts that fit into memory.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};

use super::indexed::Indexed;
use super::lines::{Form, Lines};
use super::position::{Permutation, mix};
use super::problems::Task;
use super::shelf::{Document, Shelf};
use super::talks::Talks;
use super::{Cut, Order};
use crate::hash::hash;
use crate::random::Random;
use crate::tokenizer::Tokenizer;

/// Blocks of a file that are mixed with each other.
const MIXED: u64 = 8;

/// What a data set is made of.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// Documents in memory, with the places where samples that run on may begin.
    Memory(Arc<Shelf>, Starts),
    /// A file that is read in blocks, and about how many tokens it has.
    Lines(Lines, u64),
    /// Tokens on disk.
    Indexed(Indexed),
    /// Problems without end.
    Problems(Made),
    /// Conversations about pictures.
    Talks(Talks),
}

/// Where a sample that runs on into the next documents may begin.
#[derive(Clone, Debug)]
pub(super) enum Starts {
    /// At any of so many tokens.
    Anywhere(usize),
    /// At these.
    At(Vec<usize>),
}

impl Starts {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Anywhere(count) => *count,
            Self::At(starts) => starts.len(),
        }
    }

    pub(super) fn at(&self, number: usize) -> usize {
        match self {
            Self::Anywhere(_) => number,
            Self::At(starts) => starts[number],
        }
    }
}

/// Problems as documents.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) task: Task,
    pub(super) tokenizer: Tokenizer,
    /// How much everything but the answers counts.
    pub(super) elsewhere: f32,
    pub(super) seed: u64,
}

impl Made {
    /// Checks that rows of `width` tokens have room for the longest problems.
    ///
    /// # Errors
    /// When one is longer.
    pub(super) fn fits(&self, width: usize) -> Result<()> {
        let longest = Self { task: self.task.longest(), ..self.clone() };
        // Words and names have different lengths.
        for number in 0..16 {
            let length = longest.document(number)?.tokens.len();
            ensure!(
                length <= width,
                "a problem of {} has {length} tokens, more than a sample of {width}; give a larger \
                 ctx_len or smaller problems.",
                self.task.name()
            );
        }
        Ok(())
    }

    /// The problem of this number; there is one for every number.
    ///
    /// # Errors
    /// When the vocabulary has no token for some of it.
    pub(super) fn document(&self, number: u64) -> Result<Document> {
        let problem = self.task.problem(&mut Random::new(mix(self.seed, number)));
        let mut document = Document::default();
        document.extend(&self.tokenizer.encode(&problem.prompt)?, self.elsewhere);
        document.extend(&self.tokenizer.encode(&problem.target)?, 1.0);
        document.extend(&[0], self.elsewhere);
        Ok(document)
    }
}

/// A part of a source in memory.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) epoch: u64,
    pub(super) part: u64,
    pub(super) shelf: Arc<Shelf>,
    /// The order of its documents, where that is not their own.
    pub(super) order: Option<Permutation>,
    pub(super) skipped: u64,
}

impl Source {
    /// How many parts there are; those of a file are some blocks together.
    pub(super) fn parts(&self) -> u64 {
        match self {
            Self::Lines(lines, _) => lines.blocks().div_ceil(MIXED),
            _ => 1,
        }
    }

    /// Whether each document is a sample of its own.
    pub(super) fn alone(&self, cut: &Cut) -> bool {
        match self {
            Self::Memory(_, Starts::Anywhere(_)) => true, // windows of one text
            Self::Lines(Lines { form: Form::Text, .. }, _) => true,
            _ => !cut.pack,
        }
    }

    /// Reads a part of a pass over everything.
    ///
    /// # Errors
    /// As [`Lines::read`].
    pub(super) fn load(
        &self,
        epoch: u64,
        part: u64,
        cut: &Cut,
        stop: &AtomicBool,
    ) -> Result<Loaded> {
        let seed = mix(cut.seed, epoch);
        let (shelf, skipped) = match self {
            Self::Memory(shelf, _) => (shelf.clone(), 0),
            Self::Lines(lines, _) => {
                let order = cut.mixes().then(|| Permutation::new(lines.blocks(), seed));
                let blocks = part * MIXED..lines.blocks().min((part + 1) * MIXED);
                let (mut shelf, mut skipped) = (Shelf::default(), 0);
                for block in blocks {
                    let block = order.as_ref().map_or(block, |order| order.at(block));
                    let stretch = lines.read(block, stop)?;
                    skipped += stretch.skipped;
                    stretch.documents.iter().for_each(|document| match lines.form {
                        Form::Text => shelf.add_text(document, cut.ctx_len),
                        Form::Json(_) => shelf.add(document),
                    });
                }
                (Arc::new(shelf), skipped)
            }
            _ => (Arc::default(), 0),
        };
        let count = shelf.documents.len() as u64;
        let order = cut.mixes().then(|| Permutation::new(count, mix(seed, part + 1)));
        Ok(Loaded { epoch, part, shelf, order, skipped })
    }

    /// A number that tells this data from other data.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn identity(&self) -> Result<(&'static str, u64)> {
        Ok(match self {
            Self::Memory(shelf, _) => {
                let tokens = shelf.tokens.iter().flat_map(|id| id.to_le_bytes());
                let weights = shelf.weights.iter().flat_map(|weight| weight.to_le_bytes());
                ("memory", hash(tokens.chain(weights)))
            }
            Self::Lines(lines, _) => ("lines", lines.identity()?),
            Self::Indexed(indexed) => ("binidx", indexed.identity()?),
            Self::Problems(made) => {
                let Made { task, tokenizer, elsewhere, seed } = made;
                let (name, size) = (tokenizer.name(), tokenizer.size());
                let about = format!("{task:?} {name} {size} {elsewhere} {seed}");
                ("problems", hash(about.bytes()))
            }
            Self::Talks(talks) => ("pictures", talks.identity()),
        })
    }

    /// How many tokens there are; none where they never end.
    pub(super) fn len(&self) -> Option<u64> {
        match self {
            Self::Memory(shelf, _) => Some(shelf.tokens.len() as u64),
            Self::Lines(_, tokens) => Some(*tokens),
            Self::Indexed(indexed) => Some(indexed.len()),
            Self::Problems(_) => None,
            Self::Talks(talks) => talks.samples.len(),
        }
    }

    /// What error messages call it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Memory(shelf, _) => format!("a data set of {} tokens", shelf.tokens.len()),
            Self::Lines(lines, _) => lines.name(),
            Self::Indexed(indexed) => indexed.name(),
            Self::Problems(made) => format!("the problems of {}", made.task.name()),
            Self::Talks(talks) => talks.name(),
        }
    }

    /// Two sources: the first `share` of this one, and the rest.
    ///
    /// # Errors
    /// When one of the two would be empty.
    pub(super) fn split(&self, share: f64, cut: &Cut) -> Result<(Self, Self)> {
        match self {
            Self::Memory(shelf, starts) => split_memory(shelf, starts, share, cut),
            Self::Lines(lines, _) => {
                let Range { start, end } = lines.range;
                let at = start + ((end - start) as f64 * share).round() as u64;
                ensure!(start < at && at < end, "a split at {share} leaves nothing on one side.");
                let part = |range| Self::lines(lines.part(range), cut);
                let both = part(start..at).and_then(|first| Ok((first, part(at..end)?)));
                both.with_context(|| format!("cannot split {} at {share}", lines.name()))
            }
            Self::Indexed(indexed) => {
                let at = (indexed.len() as f64 * share).round() as u64;
                let least = cut.ctx_len as u64 + 1;
                ensure!(
                    at >= least && at + least <= indexed.len(),
                    "a split at {share} leaves nothing on one side of {} tokens.",
                    indexed.len()
                );
                let part = |range| Self::Indexed(indexed.part(range));
                Ok((part(0..at), part(at..indexed.len())))
            }
            Self::Talks(talks) => {
                let (first, rest) = talks.split(share)?;
                Ok((Self::Talks(first), Self::Talks(rest)))
            }
            // Both go on without end; the seed keeps them apart, and held-out names if there are any.
            Self::Problems(made) => {
                let held_out = Made {
                    task: made.task.held_out(),
                    seed: mix(made.seed, u64::MAX / 2),
                    ..made.clone()
                };
                Ok((self.clone(), Self::Problems(held_out)))
            }
        }
    }

    /// A file of lines, looked into as far as its first tokens.
    ///
    /// # Errors
    /// When it has none, and as [`Lines::read`].
    pub(super) fn lines(mut lines: Lines, cut: &Cut) -> Result<Self> {
        if cut.order == Order::Continue {
            // Every row of a batch reads blocks of its own.
            lines.block = ((lines.range.end - lines.range.start) / 4096).clamp(64, 64 << 10);
        }
        let never = AtomicBool::new(false);
        let count = |documents: &[Document]| documents.iter().map(|d| d.tokens.len() as u64).sum();
        for block in 0..lines.blocks() {
            let found: u64 = count(&lines.read(block, &never)?.documents);
            if found > 1 {
                let read = (block + 1) as f64 / lines.blocks() as f64;
                return Ok(Self::Lines(lines, (found as f64 / read).round() as u64));
            }
        }
        let range = &lines.range;
        anyhow::bail!(
            "there is nothing to learn from in bytes {} to {} of {}.",
            range.start,
            range.end,
            lines.name()
        )
    }

    /// Documents in memory.
    ///
    /// # Errors
    /// When they are too few for one sample.
    pub(super) fn memory(shelf: Shelf, starts: Starts, cut: &Cut) -> Result<Self> {
        let enough = match cut.draws() {
            true => starts.len() > 0,
            false => shelf.tokens.len() > 1 && !shelf.documents.is_empty(),
        };
        ensure!(
            enough,
            "{} tokens are too few for one sample of {}; give more text or a smaller ctx_len.",
            shelf.tokens.len(),
            cut.ctx_len + 1
        );
        Ok(Self::Memory(Arc::new(shelf), starts))
    }

    /// One text in memory.
    ///
    /// # Errors
    /// As [`Source::memory`].
    pub(super) fn text(tokens: Vec<u32>, cut: &Cut) -> Result<Self> {
        let starts = Starts::Anywhere(tokens.len().saturating_sub(cut.ctx_len));
        let mut shelf = Shelf::default();
        shelf.add_text(&Document { tokens, weights: Vec::new() }, cut.ctx_len);
        Self::memory(shelf, starts, cut)
    }

    /// Documents in memory, each with token 0 at its end.
    ///
    /// # Errors
    /// As [`Source::memory`].
    pub(super) fn documents(shelf: Shelf, cut: &Cut) -> Result<Self> {
        let starts = shelf.documents.iter().map(|document| document.start);
        let starts = starts.filter(|start| start + cut.ctx_len < shelf.tokens.len()).collect();
        Self::memory(shelf, Starts::At(starts), cut)
    }
}

/// Parts of documents in memory: cut where a document begins, or anywhere in a text.
fn split_memory(shelf: &Shelf, starts: &Starts, share: f64, cut: &Cut) -> Result<(Source, Source)> {
    let is_text = matches!(starts, Starts::Anywhere(_));
    let count = if is_text || cut.draws() { starts.len() } else { shelf.documents.len() };
    let at = (count as f64 * share).round() as usize;
    ensure!(
        (1..count).contains(&at),
        "a split at {share} leaves nothing on one side of {count} samples."
    );
    let border = match is_text || cut.draws() {
        true => starts.at(at),
        false => shelf.documents[at].start,
    };
    let part = |range: Range<usize>| match is_text {
        true => Source::text(shelf.tokens[range].to_vec(), cut),
        false => Source::documents(shelf.part(range), cut),
    };
    Ok((part(0..border)?, part(border..shelf.tokens.len())?))
}
