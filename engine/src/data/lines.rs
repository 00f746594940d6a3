//! Files of lines, read in blocks: each line belongs to the block that it begins in, so that blocks
//! can be read in any order, and no more than a few of them are in memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, anyhow, ensure};

use super::jsonl::Jsonl;
use super::shelf::Document;
use crate::hash::hash;
use crate::model::go_on;
use crate::tokenizer::Tokenizer;

/// Bytes of a block.
const BLOCK: u64 = 512 << 10;

/// Bytes of the longest line of JSON that is read; at least as many as a block has.
const LONGEST: u64 = 16 << 20;

/// How far a line break is looked for where a text is cut.
const LOOK: u64 = 4 << 10;

/// What becomes of lines that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bad {
    /// The first one is an error that says where it is and what is wrong.
    #[default]
    Refuse,
    /// They are left out and counted.
    Skip,
}

/// What the lines are.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// One long text.
    Text,
    /// A document each, in JSON.
    Json(Jsonl),
}

/// A part of a file of lines.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    path: PathBuf,
    pub(super) form: Form,
    tokenizer: Tokenizer,
    bad: Bad,
    /// The lines that begin between these bytes.
    pub(super) range: Range<u64>,
    /// Bytes of the whole file.
    size: u64,
    pub(super) block: u64,
}

/// What is read at once.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    pub(super) documents: Vec<Document>,
    /// What could not be used.
    pub(super) skipped: u64,
}

impl Lines {
    /// A whole file.
    ///
    /// # Errors
    /// When it cannot be read or is empty.
    pub(super) fn open(path: &Path, form: Form, tokenizer: &Tokenizer, bad: Bad) -> Result<Self> {
        let size = File::open(path).and_then(|file| file.metadata()).map(|about| about.len());
        let size = size.with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(size > 0, "{} is empty; there is nothing to learn from.", path.display());
        let (path, tokenizer) = (path.to_path_buf(), tokenizer.clone());
        Ok(Self { path, form, tokenizer, bad, range: 0..size, size, block: BLOCK })
    }

    /// How many blocks there are.
    pub(super) fn blocks(&self) -> u64 {
        (self.range.end - self.range.start).div_ceil(self.block)
    }

    /// The lines that begin between these bytes.
    pub(super) fn part(&self, range: Range<u64>) -> Self {
        Self { range, block: BLOCK, ..self.clone() }
    }

    /// What error messages and lists call it.
    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// A number that tells this part of this file, read this way, from others.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn identity(&self) -> Result<u64> {
        let mut ends = Vec::new();
        let mut file = self.file()?;
        (&mut file).take(BLOCK).read_to_end(&mut ends)?;
        file.seek(SeekFrom::Start(self.size.saturating_sub(BLOCK)))?;
        file.take(BLOCK).read_to_end(&mut ends)?;
        let about = format!("{} {:?} {:?} {:?}", self.size, self.range, self.form, self.bad);
        ends.extend(format!("{about} {} {}", self.tokenizer.name(), self.tokenizer.size()).bytes());
        Ok(hash(ends))
    }

    /// Everything in a block.
    ///
    /// # Errors
    /// When the file cannot be read or has changed, when `stop` is set, and for a line that cannot
    /// be used unless those are skipped.
    pub(super) fn read(&self, block: u64, stop: &AtomicBool) -> Result<Stretch> {
        let from = self.range.start + block * self.block;
        let range = from..self.range.end.min(from + self.block);
        let read = match &self.form {
            Form::Text => self.text(range),
            Form::Json(json) => self.lines(range, json, stop),
        };
        read.with_context(|| format!("cannot read {}", self.name()))
    }

    fn file(&self) -> Result<File> {
        let file = File::open(&self.path)?;
        let size = file.metadata()?.len();
        ensure!(size == self.size, "it had {} bytes and now has {size}; open it again.", self.size);
        Ok(file)
    }

    fn text(&self, range: Range<u64>) -> Result<Stretch> {
        let mut file = self.file()?;
        let (from, to) = (self.border(&mut file, range.start)?, self.border(&mut file, range.end)?);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.take(to - from).read_to_end(&mut bytes)?;
        let (text, skipped) = match String::from_utf8(bytes) {
            Ok(text) => (text, 0),
            Err(error) if self.bad == Bad::Skip => valid(error.as_bytes()),
            Err(error) => {
                let at = from + error.utf8_error().valid_up_to() as u64;
                let line = self.line_number(at)?;
                return Err(anyhow!(
                    "line {line} has a byte that is not UTF-8, byte {at} of the file; convert the \
                     file, or skip such bytes with bad: \"skip\"."
                ));
            }
        };
        let text = if from == 0 { text.trim_start_matches('\u{FEFF}') } else { &text };
        let document = Document { tokens: self.tokenizer.encode(text)?, weights: Vec::new() };
        Ok(Stretch { documents: vec![document], skipped })
    }

    /// Where a text may be cut at `at` or soon after: after a line break, else between characters.
    fn border(&self, file: &mut File, at: u64) -> Result<u64> {
        if at == 0 || at >= self.size {
            return Ok(at);
        }
        let mut near = Vec::new();
        file.seek(SeekFrom::Start(at - 1))?;
        file.take(LOOK).read_to_end(&mut near)?;
        let after_break = near.iter().position(|&byte| byte == b'\n').map(|found| found + 1);
        let starts = |byte: &u8| byte & 0xC0 != 0x80;
        let character = || 1 + near[1..].iter().take(4).position(starts).unwrap_or(0);
        Ok(at - 1 + after_break.unwrap_or_else(character) as u64)
    }

    fn lines(&self, range: Range<u64>, json: &Jsonl, stop: &AtomicBool) -> Result<Stretch> {
        let mut file = self.file()?;
        file.seek(SeekFrom::Start(range.start.saturating_sub(1)))?;
        let mut reader = BufReader::with_capacity(64 << 10, file);
        let (mut stretch, mut line, mut at) = (Stretch::default(), Vec::new(), range.start);
        if range.start > 0 {
            // The rest of a line that began before; it may fill the whole block.
            at -= 1;
            at += (&mut reader).take(range.end - at).read_until(b'\n', &mut line)? as u64;
            if !line.ends_with(b"\n") {
                return Ok(stretch);
            }
        }
        while at < range.end {
            go_on(stop)?;
            line.clear();
            let read = (&mut reader).take(LONGEST).read_until(b'\n', &mut line)? as u64;
            let whole = read < LONGEST || line.ends_with(b"\n");
            let document = match whole {
                true => self.document(&line, at == 0, json),
                false => Err(anyhow!("it has more than {} MB", LONGEST >> 20)),
            };
            match document {
                Ok(document) => stretch.documents.extend(document),
                Err(_) if self.bad == Bad::Skip => stretch.skipped += 1,
                Err(error) => {
                    let hint = "; mend it, or skip such lines with bad: \"skip\".";
                    return Err(anyhow!("line {}: {error:#}{hint}", self.line_number(at)?));
                }
            }
            if read == 0 || !whole {
                break; // the end of the file, or a line that ends after this block
            }
            at += read;
        }
        Ok(stretch)
    }

    /// The document of a line, if it is not blank.
    fn document(&self, line: &[u8], first: bool, json: &Jsonl) -> Result<Option<Document>> {
        let text = std::str::from_utf8(line)
            .map_err(|error| anyhow!("its byte {} is not UTF-8", error.valid_up_to() + 1))?;
        let text = if first { text.trim_start_matches('\u{FEFF}') } else { text }.trim();
        if text.is_empty() {
            return Ok(None);
        }
        json.document(text, &self.tokenizer).map(Some)
    }

    /// The number of the line that has this byte, found by counting those before.
    fn line_number(&self, at: u64) -> Result<usize> {
        let mut reader = BufReader::with_capacity(64 << 10, self.file()?.take(at));
        let mut breaks = 0;
        loop {
            let bytes = reader.fill_buf()?;
            if bytes.is_empty() {
                return Ok(breaks + 1);
            }
            breaks += bytes.iter().filter(|&&byte| byte == b'\n').count();
            let count = bytes.len();
            reader.consume(count);
        }
    }
}

/// What of these bytes is text, and how often something else was in between.
fn valid(bytes: &[u8]) -> (String, u64) {
    let chunks = bytes.utf8_chunks();
    let others = chunks.clone().filter(|chunk| !chunk.invalid().is_empty()).count();
    (chunks.map(|chunk| chunk.valid()).collect(), others as u64)
}
