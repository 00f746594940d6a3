//! How well tokens are expected by their place in a text, also where no text of training was long
//! enough.

use anyhow::{Result, ensure};

use super::means::Mean;
use super::rows::{Reader, Row};
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

    fn add(&mut self, first: usize, nlls: impl Iterator<Item = f64>) {
        for (place, nll) in (first..).zip(nlls) {
            if place >= self.places.len() {
                self.places.resize(place + 1, Mean::default());
            }
            self.places[place].add(nll);
        }
    }
}

/// Reads rows, `batch` of them at once, each from `state` on and, with `bos`, after token 0; without
/// it nothing is said of the first token of a row.
///
/// # Errors
/// As [`Reader::read`], for what a row fails with, and when no row has anything to score.
pub fn loss_by_position(
    reader: Reader,
    rows: impl Iterator<Item = Result<Vec<u32>>>,
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
    rows: impl Iterator<Item = Result<Vec<u32>>>,
    (state, bos, batch): (&State, bool, usize),
    found: &mut Positions,
) -> Result<()> {
    let counter = reader.model.progress.begin("reading".into(), "rows", 0);
    let mut waiting = Vec::with_capacity(batch);
    for row in rows {
        let row = row?;
        let beginning = bos.then_some(BEGINNING);
        let row: Vec<u32> = beginning.into_iter().chain(row).collect();
        if row.len() < 2 {
            found.empty += 1;
            continue;
        }
        waiting.push(row);
        if waiting.len() == batch {
            read_batch(reader, &std::mem::take(&mut waiting), state, bos, found)?;
            counter.add(batch as u64);
        }
    }
    if waiting.is_empty() { Ok(()) } else { read_batch(reader, &waiting, state, bos, found) }
}

fn read_batch(
    reader: Reader,
    rows: &[Vec<u32>],
    state: &State,
    bos: bool,
    found: &mut Positions,
) -> Result<()> {
    let ends = rows.iter().map(|ids| (ids, ids.len() - 1));
    let views = ends.map(|(ids, end)| Row { tokens: &ids[..end], targets: &ids[1..] });
    let views: Vec<Row> = views.collect();
    for one in reader.read(&views, &mut state.repeated(rows.len()))? {
        found.add(usize::from(!bos), one.scored.iter().map(|scored| -scored.logprob));
        found.rows += 1;
    }
    Ok(())
}
