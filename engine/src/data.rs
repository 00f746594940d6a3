//! Tokens to learn from, cut into batches.
//!
//! A [`Dataset`] hands out batches of rows, wherever its tokens come from: a text or documents in
//! memory, files that are larger than memory, tokens that other programs have prepared, problems
//! without end. It knows its [`Position`] and goes back to one bit for bit. What has to be read or
//! made is prepared on a thread of its own while the batch before is learnt from; what is in memory
//! already is only copied, which costs less than to ask another thread for it.

mod ahead;
mod batch;
mod emphasis;
mod indexed;
mod jsonl;
mod lines;
mod official;
mod pictures;
mod position;
pub mod problems;
mod reader;
pub mod shapes;
mod shelf;
mod source;
mod talks;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

pub use batch::Batch;
pub use emphasis::Emphasis;
pub use indexed::write_binidx;
pub use jsonl::Jsonl;
pub use lines::Bad;
pub use pictures::{Pictures, Shown};
pub use position::{Place, Position};

use crate::hash::hash;
use crate::tokenizer::Tokenizer;
use crate::visual::Reads;
use ahead::Ahead;
use indexed::Indexed;
use lines::{Form, Lines};
use problems::Task;
use reader::Reader;
use shapes::Shapes;
use shelf::Shelf;
use source::{Made, Source};
use talks::{Samples, Talks};

/// Bytes of the largest text that is kept in memory unless somebody says otherwise.
const LARGEST: u64 = 64 << 20;

/// In what order samples come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As is usual for the source: from places drawn at random, again and again, if it is in
    /// memory; shuffled if it is a file of lines; RWKV-LM's own order for tokens on disk.
    #[default]
    Usual,
    /// One after the other.
    Straight,
    /// All of them once in every pass, in an order that the seed decides anew for each. Of a file
    /// that is read in blocks eight at a time come into memory, from all over the file, and their
    /// documents are shuffled together.
    Shuffled,
    /// Each row goes on where the same row of the batch before ended.
    Continue,
}

/// How a source is cut into samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Positions of a sample that have a target; a row has one token more.
    pub ctx_len: usize,
    /// What everything random begins with.
    pub seed: u64,
    /// In what order samples come.
    pub order: Order,
    /// Whether documents follow each other in a row, with token 0 between them; else each has rows
    /// of its own, the last of which is filled up with tokens that do not count, and comes once in
    /// every pass in the usual order too.
    pub pack: bool,
}

impl Cut {
    /// Samples of `ctx_len` targets in the usual order.
    pub fn new(ctx_len: usize, seed: u64) -> Self {
        Self { ctx_len, seed, order: Order::Usual, pack: true }
    }

    /// Whether what is in memory is drawn from places at random.
    fn draws(&self) -> bool {
        self.order == Order::Usual && self.pack
    }

    /// Whether documents come in another order than their own.
    fn mixes(&self) -> bool {
        matches!(self.order, Order::Usual | Order::Shuffled)
    }

    /// # Errors
    /// When there is no such sample.
    fn check(&self) -> Result<()> {
        ensure!(self.ctx_len > 0, "ctx_len must be at least 1.");
        Ok(())
    }
}

/// Where batches come from.
#[derive(Debug)]
pub struct Dataset {
    source: Arc<Source>,
    cut: Cut,
    fingerprint: String,
    /// Where it stands for whoever takes batches from it; the reader may be further.
    now: Position,
    ahead: Ahead,
}

impl Clone for Dataset {
    /// A data set that stands at the same place and goes on by itself.
    fn clone(&self) -> Self {
        self.at(self.now.clone())
    }
}

impl Dataset {
    /// One long text in memory; in the usual order a sample starts anywhere in it.
    ///
    /// # Errors
    /// When it is shorter than one sample of `ctx_len + 1` tokens.
    pub fn text(tokens: Vec<u32>, cut: &Cut) -> Result<Self> {
        cut.check()?;
        Self::new(Source::text(tokens, cut)?, cut)
    }

    /// Documents in memory, each with token 0 at its end; in the usual order a sample starts at the
    /// beginning of one and runs on into the next ones.
    ///
    /// # Errors
    /// When all together are shorter than one sample of `ctx_len + 1` tokens, or cannot be encoded.
    pub fn documents(
        documents: &[String],
        tokenizer: &Tokenizer,
        emphasis: Option<&Emphasis>,
        cut: &Cut,
    ) -> Result<Self> {
        cut.check()?;
        let mut shelf = Shelf::default();
        for text in documents {
            shelf.add(&emphasis::document(text, tokenizer, emphasis)?);
        }
        Self::new(Source::documents(shelf, cut)?, cut)
    }

    /// The text of a file: in memory, or with `stream` read in blocks while it is used, each cut
    /// into samples by itself. Without `stream` files above 64 MB are.
    ///
    /// # Errors
    /// When the file cannot be read, has fewer tokens than a sample, or bytes that are not UTF-8
    /// and are not to be skipped.
    pub fn text_file(
        path: &Path,
        tokenizer: &Tokenizer,
        bad: Bad,
        stream: bool,
        cut: &Cut,
    ) -> Result<Self> {
        cut.check()?;
        let mut lines = Lines::open(path, Form::Text, tokenizer, bad)?;
        if stream || lines.range.end > LARGEST {
            return Self::new(Source::lines(lines, cut)?, cut);
        }
        lines.block = lines.range.end;
        let read = lines.read(0, &Default::default())?;
        let tokens = read.documents.into_iter().flat_map(|document| document.tokens).collect();
        let mut set = Self::text(tokens, cut).with_context(|| lines.name())?;
        set.now.skipped = read.skipped;
        Ok(set.at(set.now.clone()))
    }

    /// A file with a document in JSON on each line, which is read in blocks while it is used.
    ///
    /// # Errors
    /// When the file cannot be read, and for lines that cannot be used and are not to be skipped:
    /// those of the first block here, those of others when they come.
    pub fn jsonl(
        path: &Path,
        tokenizer: &Tokenizer,
        form: Jsonl,
        bad: Bad,
        cut: &Cut,
    ) -> Result<Self> {
        cut.check()?;
        let lines = Lines::open(path, Form::Json(form), tokenizer, bad)?;
        Self::new(Source::lines(lines, cut)?, cut)
    }

    /// The tokens of `NAME.bin` and `NAME.idx`, in the usual order that of RWKV-LM; `path` names
    /// one of the two or what both begin with.
    ///
    /// # Errors
    /// When a file cannot be read or has fewer tokens than a sample, and when the two do not fit.
    pub fn binidx(path: &Path, cut: &Cut) -> Result<Self> {
        cut.check()?;
        ensure!(cut.pack, "tokens on disk are one long row; `pack: false` is not for them.");
        Self::new(Source::Indexed(Indexed::open(path)?), cut)
    }

    /// Problems without end, as many whole ones in a row as fit; everything but the answers counts
    /// `elsewhere`. Where batches continue each other, a row is one problem after the other, cut
    /// wherever it ends.
    ///
    /// # Errors
    /// When the task allows no problem, or some that are longer than a sample.
    pub fn problems(task: Task, tokenizer: &Tokenizer, elsewhere: f32, cut: &Cut) -> Result<Self> {
        cut.check()?;
        task.check()?;
        let made = Made { task, tokenizer: tokenizer.clone(), elsewhere, seed: cut.seed };
        if cut.order != Order::Continue {
            made.fits(cut.ctx_len + 1)?;
        }
        Self::new(Source::Problems(made), cut)
    }

    /// Conversations about pictures in LLaVA's layout, a list in JSON or one on each line, whose
    /// pictures lie below `folder`, for a model that reads them so. A row is one conversation.
    ///
    /// # Errors
    /// When the file cannot be read or is no such list.
    pub fn talks(
        path: &Path,
        folder: &Path,
        tokenizer: &Tokenizer,
        reads: Reads,
        bad: Bad,
        cut: &Cut,
    ) -> Result<Self> {
        let samples = Samples::open(path, folder)?;
        Self::pictures(Talks { samples, tokenizer: tokenizer.clone(), reads, bad }, cut)
    }

    /// Pictures of shapes and questions about them, without end, for a model that reads them so.
    ///
    /// # Errors
    /// When the settings allow no picture.
    pub fn shapes(shapes: Shapes, tokenizer: &Tokenizer, reads: Reads, cut: &Cut) -> Result<Self> {
        shapes.check()?;
        let samples = Samples::Shapes(shapes, cut.seed);
        Self::pictures(
            Talks { samples, tokenizer: tokenizer.clone(), reads, bad: Bad::Refuse },
            cut,
        )
    }

    fn pictures(talks: Talks, cut: &Cut) -> Result<Self> {
        cut.check()?;
        ensure!(cut.order != Order::Continue, "conversations about pictures do not continue.");
        Self::new(Source::Talks(talks), cut)
    }

    fn new(source: Source, cut: &Cut) -> Result<Self> {
        let (kind, identity) = source.identity()?;
        let identity = hash(format!("{identity} {cut:?}").bytes());
        let fingerprint = format!("{kind} {identity:016x}");
        let (source, now) = (Arc::new(source), Position::default());
        let reader = Reader::new(source.clone(), cut.clone(), now.clone());
        let mut set =
            Self { ahead: Ahead::new(reader), source, cut: cut.clone(), fingerprint, now };
        // What cannot give a single batch should say so here; where that takes no long reading.
        if matches!(*set.source, Source::Indexed(_) | Source::Problems(_)) {
            set.clone().next_batch(1)?;
        }
        set.now = Position::default();
        Ok(set)
    }

    /// The same data at another position.
    fn at(&self, position: Position) -> Self {
        let reader = Reader::new(self.source.clone(), self.cut.clone(), position.clone());
        Self {
            source: self.source.clone(),
            cut: self.cut.clone(),
            fingerprint: self.fingerprint.clone(),
            now: position,
            ahead: Ahead::new(reader),
        }
    }

    /// The next `rows` samples.
    ///
    /// # Errors
    /// When `rows` is 0, and when something cannot be read or used; the position is then what it
    /// was.
    pub fn next_batch(&mut self, rows: usize) -> Result<Batch> {
        ensure!(rows > 0, "a batch has at least one row.");
        let prepares = !matches!(*self.source, Source::Memory(..));
        let (batch, continues, after) = self.ahead.take(rows, &self.now, prepares)?;
        self.now = after;
        Ok(batch.handed_out(continues, &self.fingerprint, &self.now))
    }

    /// Where it stands: after the last batch that was handed out, whatever is prepared already.
    pub fn position(&self) -> &Position {
        &self.now
    }

    /// Goes to a position that this or an equal data set had; the same batches follow.
    ///
    /// # Errors
    /// When the position is not one of this data.
    pub fn go_to(&mut self, position: &Position) -> Result<()> {
        ensure!(
            position.part <= self.source.parts() && position.lanes.len() <= 1 << 20,
            "{} has no such position; is it one of other data?",
            self.source.name()
        );
        *self = self.at(position.clone());
        Ok(())
    }

    /// What tells this data, cut this way, from other data; the same when it is opened again, also
    /// from another folder.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The same data from the beginning.
    pub fn fresh(&self) -> Self {
        self.at(Position { skipped: self.skipped_at_once(), ..Position::default() })
    }

    /// What was skipped when a text was read as a whole.
    fn skipped_at_once(&self) -> u64 {
        if matches!(*self.source, Source::Memory(..)) { self.now.skipped } else { 0 }
    }

    /// The same data from the beginning, all of it once in every pass, in an order that the seed
    /// decides. Problems are other ones with another seed.
    ///
    /// # Errors
    /// When there is not one sample.
    pub fn shuffle(&self, seed: u64) -> Result<Self> {
        let cut = Cut { seed, order: Order::Shuffled, ..self.cut.clone() };
        let source = match &*self.source {
            Source::Problems(made) => Source::Problems(Made { seed, ..made.clone() }),
            Source::Talks(talks) => Source::Talks(talks.seeded(seed)),
            Source::Lines(lines, _) => Source::lines(lines.part(lines.range.clone()), &cut)?,
            source => source.clone(),
        };
        let set = Self::new(source, &cut)?;
        Ok(set.at(Position { skipped: self.skipped_at_once(), ..Position::default() }))
    }

    /// Two data sets: the first `share` of the text, of the documents or of the bytes of a file,
    /// and the rest. Problems are never the same in both; those of the second part have held-out
    /// names, if any.
    ///
    /// # Errors
    /// When one of the two would be empty.
    pub fn split(&self, share: f64) -> Result<(Self, Self)> {
        let (first, second) = self.source.split(share, &self.cut)?;
        Ok((Self::new(first, &self.cut)?, Self::new(second, &self.cut)?))
    }

    /// How many tokens there are, for a file that is read in blocks about as many; none for
    /// problems, which never end.
    pub fn len(&self) -> Option<u64> {
        self.source.len()
    }

    /// Whether there are none; a data set always has some.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// How many times everything has been handed out; 0 where samples are drawn at random.
    pub fn epoch(&self) -> u64 {
        self.now.epoch
    }

    /// Lines, or stretches of a text, that could not be used so far, each counted once.
    pub fn skipped(&self) -> u64 {
        self.now.skipped
    }
}
