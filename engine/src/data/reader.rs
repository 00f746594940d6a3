//! Fills batches from a source, one after the other.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::batch::{Batch, Rows};
use super::indexed::Indexed;
use super::official::Official;
use super::position::{Permutation, Place, Position, mix};
use super::shelf::{Document, Shelf, Taken, Walked, stroll, walk};
use super::source::{Loaded, Made, Source, Starts};
use super::{Cut, Order};

/// A place in a source, with what is in memory of it.
#[derive(Debug)]
pub(super) struct Reader {
    source: Arc<Source>,
    cut: Cut,
    pub(super) at: Position,
    /// Set to end a long read.
    pub(super) stop: Arc<AtomicBool>,
    loaded: Option<Loaded>,
    file: Option<File>,
    official: Option<Official>,
    /// Of each row, the blocks or problems it is in, in the order in which batches continue.
    lanes: Vec<BTreeMap<u64, Document>>,
}

impl Reader {
    pub(super) fn new(source: Arc<Source>, cut: Cut, at: Position) -> Self {
        let (stop, lanes) = (Arc::default(), vec![BTreeMap::new(); at.lanes.len()]);
        Self { source, cut, at, stop, loaded: None, file: None, official: None, lanes }
    }

    /// The next rows, and whether they continue the ones before; after an error everything stands
    /// where it stood.
    ///
    /// # Errors
    /// When there is nothing to read or it cannot be read.
    pub(super) fn batch(&mut self, count: usize) -> Result<(Batch, bool)> {
        let before = self.at.clone();
        let filled = self.fill(count);
        if filled.is_err() {
            self.go_to(before);
        }
        filled
    }

    /// Goes to another position.
    pub(super) fn go_to(&mut self, at: Position) {
        let stop = self.stop.clone();
        *self = Self { stop, ..Self::new(self.source.clone(), self.cut.clone(), at) };
    }

    fn fill(&mut self, count: usize) -> Result<(Batch, bool)> {
        if let Source::Talks(talks) = &*self.source.clone() {
            return Ok((talks.batch(&mut self.at, count, &self.cut)?, false));
        }
        let mut rows = Rows::new(self.cut.ctx_len + 1);
        let continues = self.cut.order == Order::Continue && self.continued(count, &mut rows)?;
        if self.cut.order != Order::Continue {
            for number in self.at.samples..self.at.samples + count as u64 {
                self.row(number, &mut rows)?;
            }
        }
        self.at.samples += count as u64;
        Ok((rows.batch()?, continues))
    }

    /// One row, the `number`th since the beginning.
    fn row(&mut self, number: u64, rows: &mut Rows) -> Result<()> {
        let source = self.source.clone();
        match &*source {
            Source::Memory(shelf, starts) if self.cut.draws() => {
                let start = drawn(starts, self.cut.seed, number);
                shelf.window(start..start + self.cut.ctx_len + 1, rows);
                Ok(())
            }
            Source::Indexed(indexed) => self.window(indexed, number, rows),
            Source::Problems(made) => self.problems(made, rows),
            Source::Memory(..) | Source::Lines(..) => self.dealt(rows),
            Source::Talks(_) => bail!("conversations about pictures come in whole batches."),
        }
    }

    /// A row of the documents of the next part that has any.
    fn dealt(&mut self, rows: &mut Rows) -> Result<()> {
        let begun = self.at.epoch;
        loop {
            if self.at.part >= self.source.parts() {
                ensure!(
                    self.at.epoch <= begun + 1,
                    "there is nothing to learn in {}: nothing in it counts, or all of it was \
                     skipped.",
                    self.source.name()
                );
                let (epoch, samples, skipped) =
                    (self.at.epoch + 1, self.at.samples, self.at.skipped);
                self.at = Position { epoch, samples, skipped, ..Position::default() };
            }
            let alone = self.source.alone(&self.cut);
            let mut place = self.at.place;
            let loaded = self.loaded()?;
            let take = |place: Place, rows: &mut Rows| Ok(dealt(loaded, place, rows));
            let walked = walk(&mut place, alone, rows, take)?;
            self.at.place = place;
            match walked {
                Walked::Row => return Ok(()),
                Walked::Nothing => {}
                Walked::Over => {
                    self.at.part += 1;
                    self.at.place = Place::default();
                }
            }
        }
    }

    /// The part where the reader stands, in memory.
    fn loaded(&mut self) -> Result<&Loaded> {
        let Position { epoch, part, place, .. } = self.at;
        let known = |loaded: &Loaded| loaded.epoch == epoch && loaded.part == part;
        if !self.loaded.as_ref().is_some_and(known) {
            self.loaded = None; // before the next one takes as much again
            let loaded = self.source.load(epoch, part, &self.cut, &self.stop)?;
            if epoch == 0 && place == Place::default() {
                self.at.skipped += loaded.skipped;
            }
            self.loaded = Some(loaded);
        }
        Ok(self.loaded.as_ref().expect("it was put there now"))
    }

    /// A row of tokens on disk.
    fn window(&mut self, indexed: &Indexed, number: u64, rows: &mut Rows) -> Result<()> {
        let ctx_len = self.cut.ctx_len as u64;
        let start = if self.cut.order == Order::Usual {
            if self.official.is_none() {
                self.official = Some(Official::new(indexed.len(), ctx_len)?);
            }
            let order = self.official.as_ref().expect("it was put there now");
            self.at.epoch = number / order.prime;
            order.start(number + 1)
        } else {
            let count = indexed.len().saturating_sub(1) / ctx_len;
            ensure!(
                count > 0,
                "{} has {} tokens, too few for one sample of {}.",
                indexed.name(),
                indexed.len(),
                ctx_len + 1
            );
            self.at.epoch = number / count;
            let window = number % count;
            let seed = mix(self.cut.seed, self.at.epoch);
            ctx_len
                * if self.cut.mixes() { Permutation::new(count, seed).at(window) } else { window }
        };
        let tokens = self.tokens(indexed, start, ctx_len + 1)?;
        rows.push(&tokens, &[]);
        Ok(())
    }

    fn tokens(&mut self, indexed: &Indexed, start: u64, count: u64) -> Result<Vec<u32>> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(indexed.file()?),
        };
        indexed.read(file, start..start + count)
    }

    /// A row of whole problems, as many as fit.
    fn problems(&mut self, made: &Made, rows: &mut Rows) -> Result<()> {
        let start = rows.len();
        loop {
            let document = made.document(self.at.place.document)?;
            let (length, room) = (document.tokens.len(), rows.room());
            if length > room && rows.len() == start {
                // Longer than a whole row after all: that was looked for among a few only.
                self.at.place.document += 1;
                continue;
            }
            if length > room {
                break;
            }
            document.take(0, rows);
            self.at.place.document += 1;
            if length == room {
                return Ok(());
            }
        }
        rows.pad();
        Ok(())
    }

    /// Rows that go on where those before ended; `false` where they begin anew, because they were
    /// others or because one has come to its end.
    fn continued(&mut self, count: usize, rows: &mut Rows) -> Result<bool> {
        if self.at.lanes.len() == count {
            if self.go_on(rows)? {
                return Ok(true);
            }
            rows.truncate(0);
            self.at.epoch += 1;
        }
        self.at.lanes = vec![Place::default(); count];
        self.lanes = vec![BTreeMap::new(); count];
        ensure!(
            self.go_on(rows)?,
            "{} is too short for {count} rows of {} tokens that each go on through a part of \
             their own; give fewer rows or a smaller ctx_len.",
            self.source.name(),
            self.cut.ctx_len + 1
        );
        Ok(false)
    }

    /// One row more of each lane; `false` if one has come to its end.
    fn go_on(&mut self, rows: &mut Rows) -> Result<bool> {
        let source = self.source.clone();
        for lane in 0..self.at.lanes.len() {
            let mut place = self.at.lanes[lane];
            let (full, _) =
                stroll(&mut place, false, rows, |at, rows| self.lane(&source, lane, at, rows))?;
            if !full {
                return Ok(false);
            }
            self.at.lanes[lane] = place;
            self.lanes[lane].retain(|&part, _| part >= place.document);
        }
        Ok(true)
    }

    /// Tokens of a lane: those of a text are an equal share each, problems come in turn.
    fn lane(
        &mut self,
        source: &Source,
        lane: usize,
        at: Place,
        rows: &mut Rows,
    ) -> Result<Option<Taken>> {
        let count = self.at.lanes.len() as u64;
        let share = |all: u64| {
            let [from, to] = [0, 1].map(|more| (lane as u64 + more) * (all / count));
            (at.document == 0).then(|| to.min(from.saturating_add(at.token))..to)
        };
        let number = match source {
            Source::Memory(shelf, _) => {
                let range = share(shelf.tokens.len() as u64);
                return Ok(
                    range.map(|range| shelf.window(range.start as usize..range.end as usize, rows))
                );
            }
            Source::Indexed(indexed) => {
                let Some(range) = share(indexed.len()) else { return Ok(None) };
                let wanted = (range.end - range.start).min(rows.room() as u64);
                let tokens = self.tokens(indexed, range.start, wanted)?;
                let ends = range.start + wanted == range.end;
                return Ok(Some(Taken { tokens: rows.push(&tokens, &[]), ends }));
            }
            Source::Lines(lines, _) => {
                let [from, to] = [0, 1].map(|more| lines.blocks() * (lane as u64 + more) / count);
                if at.document >= to - from {
                    return Ok(None);
                }
                from + at.document
            }
            Source::Problems(_) => lane as u64 + at.document * count,
            Source::Talks(_) => return Ok(None),
        };
        if !self.lanes[lane].contains_key(&at.document) {
            let document = self.document(source, number, at)?;
            self.lanes[lane].insert(at.document, document);
        }
        Ok(Some(self.lanes[lane][&at.document].take(at.token, rows)))
    }

    /// A problem, or all documents of a block.
    fn document(&mut self, source: &Source, number: u64, at: Place) -> Result<Document> {
        match source {
            Source::Problems(made) => made.document(number),
            Source::Lines(lines, _) => {
                let stretch = lines.read(number, &self.stop)?;
                // Where somebody goes on in the midst of a block, it was counted before.
                if self.at.epoch == 0 && at.token == 0 {
                    self.at.skipped += stretch.skipped;
                }
                let mut shelf = Shelf::default();
                stretch.documents.iter().for_each(|document| shelf.add(document));
                Ok(Document { tokens: shelf.tokens, weights: shelf.weights })
            }
            Source::Memory(..) | Source::Indexed(_) | Source::Talks(_) => {
                bail!("these are not read in parts.")
            }
        }
    }
}

/// Where the sample of this number starts, by chance.
fn drawn(starts: &Starts, seed: u64, number: u64) -> usize {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_word_pos(2 * u128::from(number)); // two words each
    starts.at((random.next_u64() % starts.len() as u64) as usize)
}

/// Tokens of a document in the order of this pass.
fn dealt(loaded: &Loaded, place: Place, rows: &mut Rows) -> Option<Taken> {
    let count = loaded.shelf.documents.len() as u64;
    if place.document >= count {
        return None;
    }
    let number = loaded.order.as_ref().map_or(place.document, |order| order.at(place.document));
    loaded.shelf.take(number as usize, place.token, rows)
}
