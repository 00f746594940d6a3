//! How well tokens are expected by their place in a text, also where no text of training was long
//! enough.

use anyhow::{Result, ensure};

use super::means::Mean;
use super::rows::{Reader, Row, Scored};
use super::{BEGINNING, ended};
use crate::state::State;

/// Loss by position, over many rows.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    /// `−ln` of the probability of the token at each place of its row, from 0 on.
    pub places: Vec<Mean>,
    /// Rows that were read.
    pub rows: u64,
    /// Rows with nothing that could be scored.
    pub empty: u64,
    /// Whether all rows were read.
    pub complete: bool,
}

/// A row to read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Which of them count; empty where all do.
    pub counts: Vec<bool>,
}

impl From<Vec<u32>> for Line {
    /// Tokens that all count.
    fn from(tokens: Vec<u32>) -> Self {
        Self { tokens, counts: Vec::new() }
    }
}

/// A few places side by side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The first of them.
    pub from: usize,
    /// The first after them.
    pub to: usize,
    /// `−ln` of the probability of the tokens there.
    pub nll: Mean,
}

impl Positions {
    /// The places in buckets of `width`.
    pub fn buckets(&self, width: usize) -> Vec<Bucket> {
        let bucket = |(index, places): (usize, &[Mean])| Bucket {
            from: index * width,
            to: index * width + places.len(),
            nll: places.iter().fold(Mean::default(), |all, place| all.joined(*place)),
        };
        self.places.chunks(width.max(1)).enumerate().map(bucket).collect()
    }

    /// All places together.
    pub fn total(&self) -> Mean {
        self.places.iter().fold(Mean::default(), |all, place| all.joined(*place))
    }

    /// What was seen of a row from its place `first` on.
    fn add(&mut self, line: &Line, first: usize, scored: &[Scored]) {
        let most = self.places.len().max(first + scored.len());
        self.places.resize(most, Mean::default());
        for (place, one) in (first..).zip(scored) {
            if line.counts.get(place).copied().unwrap_or(true) {
                self.places[place].add(-one.logprob);
            }
        }
        self.rows += 1;
    }
}

/// Reads rows, `batch` of them at once, each from `state` on and, with `bos`, after token 0; without
/// it nothing is said of the first token of a row.
///
/// # Errors
/// As [`Reader::read`], for what a row fails with, and when no row has anything to score.
pub fn loss_by_position(
    reader: Reader,
    rows: impl Iterator<Item = Result<Line>>,
    state: &State,
    bos: bool,
    batch: usize,
) -> Result<Positions> {
    let mut found = Positions::default();
    let outcome = read_all(reader, rows, (state, bos, batch.max(1)), &mut found);
    found.complete = ended(outcome)?;
    ensure!(
        found.rows > 0 || !found.complete,
        "there is nothing to measure: no row has {}.",
        if bos { "a token" } else { "two tokens" }
    );
    Ok(found)
}

fn read_all(
    reader: Reader,
    rows: impl Iterator<Item = Result<Line>>,
    (state, bos, batch): (&State, bool, usize),
    found: &mut Positions,
) -> Result<()> {
    let counter = reader.model.progress.begin("reading".into(), "rows", 0);
    let mut waiting: Vec<Line> = Vec::with_capacity(batch);
    let least = if bos { 1 } else { 2 };
    for line in rows {
        let line = line?;
        if line.tokens.len() < least {
            found.empty += 1;
            continue;
        }
        waiting.push(line);
        if waiting.len() == batch {
            read_batch(reader, &std::mem::take(&mut waiting), state, bos, found)?;
            counter.add(batch as u64);
        }
    }
    if waiting.is_empty() { Ok(()) } else { read_batch(reader, &waiting, state, bos, found) }
}

fn read_batch(
    reader: Reader,
    lines: &[Line],
    state: &State,
    bos: bool,
    found: &mut Positions,
) -> Result<()> {
    let beginning = bos.then_some(BEGINNING);
    let ids = lines.iter().map(|line| beginning.into_iter().chain(line.tokens.iter().copied()));
    let ids: Vec<Vec<u32>> = ids.map(Iterator::collect).collect();
    let ends = ids.iter().map(|ids| (ids, ids.len() - 1));
    let rows = ends.map(|(ids, end)| Row { tokens: &ids[..end], targets: &ids[1..] });
    let rows: Vec<Row> = rows.collect();
    let seen = reader.read(&rows, &mut state.repeated(rows.len()))?;
    for (line, seen) in lines.iter().zip(seen) {
        found.add(line, usize::from(!bos), &seen.scored);
    }
    Ok(())
}
