//! Documents in memory, and the walk over documents that fills rows.

use std::ops::Range;

use anyhow::Result;

use super::batch::Rows;
use super::position::Place;

/// A text in tokens, with what each counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Document {
    pub(super) tokens: Vec<u32>,
    /// Empty where all count the same.
    pub(super) weights: Vec<f32>,
}

impl Document {
    /// More tokens at the end, each of which counts `weight`.
    pub(super) fn extend(&mut self, tokens: &[u32], weight: f32) {
        self.tokens.extend_from_slice(tokens);
        self.weights.resize(self.tokens.len(), weight);
    }

    /// As many of the tokens from `token` on as the row takes.
    pub(super) fn take(&self, token: u64, rows: &mut Rows) -> Taken {
        take(&self.tokens, &self.weights, token, rows)
    }
}

/// What was taken of a document.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) tokens: usize,
    /// Whether that was the last of it.
    pub(super) ends: bool,
}

fn take(tokens: &[u32], weights: &[f32], token: u64, rows: &mut Rows) -> Taken {
    let from = (token as usize).min(tokens.len());
    let count = rows.push(&tokens[from..], weights.get(from..).unwrap_or_default());
    Taken { tokens: count, ends: from + count == tokens.len() }
}

/// Documents one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf {
    pub(super) tokens: Vec<u32>,
    /// How much each token counts; empty where all count the same.
    pub(super) weights: Vec<f32>,
    /// Where each document lies; they may overlap.
    pub(super) documents: Vec<Range<usize>>,
}

impl Shelf {
    /// Puts a document at the end.
    pub(super) fn add(&mut self, document: &Document) {
        let start = self.append(document);
        self.documents.push(start..self.tokens.len());
    }

    /// Puts a long text at the end, in windows of `ctx_len` targets.
    pub(super) fn add_text(&mut self, text: &Document, ctx_len: usize) {
        let start = self.append(text);
        let end = self.tokens.len();
        let windows = (start..end.saturating_sub(1).max(start)).step_by(ctx_len);
        self.documents.extend(windows.map(|at| at..end.min(at + ctx_len + 1)));
    }

    fn append(&mut self, document: &Document) -> usize {
        let start = self.tokens.len();
        if !document.weights.is_empty() && self.weights.is_empty() {
            self.weights = vec![1.0; start];
        }
        self.tokens.extend_from_slice(&document.tokens);
        self.weights.extend_from_slice(&document.weights);
        if !self.weights.is_empty() {
            self.weights.resize(self.tokens.len(), 1.0);
        }
        start
    }

    /// As many tokens of a document, from `token` on, as the row takes; none if there is no such
    /// document.
    pub(super) fn take(&self, document: usize, token: u64, rows: &mut Rows) -> Option<Taken> {
        let range = self.documents.get(document)?.clone();
        let weights = self.weights.get(range.clone()).unwrap_or_default();
        Some(take(&self.tokens[range], weights, token, rows))
    }

    /// As many tokens from `start` on as the row takes, whatever documents they belong to.
    pub(super) fn window(&self, range: Range<usize>, rows: &mut Rows) -> Taken {
        let weights = self.weights.get(range.clone()).unwrap_or_default();
        take(&self.tokens[range], weights, 0, rows)
    }

    /// The tokens of a range with the documents that begin in it.
    pub(super) fn part(&self, range: Range<usize>) -> Self {
        let inside = self.documents.iter().filter(|document| range.contains(&document.start));
        let moved = inside.map(|d| d.start - range.start..d.end.min(range.end) - range.start);
        Self {
            documents: moved.collect(),
            weights: self.weights.get(range.clone()).unwrap_or_default().to_vec(),
            tokens: self.tokens[range].to_vec(),
        }
    }
}

/// What became of the walk for a row.
#[derive(Debug, PartialEq)]
pub(super) enum Walked {
    /// There is a row more.
    Row,
    /// Nothing of what was walked over can be learnt; there may be something after it.
    Nothing,
    /// There is nothing left.
    Over,
}

/// Fills one row from `place` on, and moves the place to where the next row begins: at the last
/// token of this one, which is the first input there. What a row lacks at the end is padded with
/// tokens that do not count.
///
/// With `alone` a row has nothing but one document; what is longer goes on in the next row.
pub(super) fn walk(
    place: &mut Place,
    alone: bool,
    rows: &mut Rows,
    take: impl FnMut(Place, &mut Rows) -> Result<Option<Taken>>,
) -> Result<Walked> {
    let start = rows.len();
    let (full, ended) = stroll(place, alone, rows, take)?;
    if !full {
        rows.pad();
    }
    if rows.counts(start) {
        return Ok(Walked::Row);
    }
    rows.truncate(start);
    Ok(if ended { Walked::Over } else { Walked::Nothing })
}

/// As [`walk`], but the row is left as it is where documents run out: whether it is full, and
/// whether they did.
pub(super) fn stroll(
    place: &mut Place,
    alone: bool,
    rows: &mut Rows,
    mut take: impl FnMut(Place, &mut Rows) -> Result<Option<Taken>>,
) -> Result<(bool, bool)> {
    let mut last = *place;
    loop {
        let room = rows.room();
        let Some(taken) = take(*place, rows)? else { return Ok((false, true)) };
        if taken.tokens > 0 {
            last = Place { token: place.token + taken.tokens as u64 - 1, ..*place };
        }
        *place = match taken.ends {
            true => Place { document: place.document + 1, token: 0 },
            false => Place { token: place.token + taken.tokens as u64, ..*place },
        };
        let full = taken.tokens == room;
        if alone && taken.ends {
            return Ok((full, false));
        }
        if full {
            *place = last;
            return Ok((true, false));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf(documents: &[&str]) -> Shelf {
        let mut shelf = Shelf::default();
        for text in documents {
            shelf.add(&Document { tokens: text.bytes().map(u32::from).collect(), weights: vec![] });
        }
        shelf
    }

    /// All rows of a walk, with `_` for what does not count.
    fn rows(shelf: &Shelf, width: usize, alone: bool) -> Vec<String> {
        let (mut place, mut found) = (Place::default(), vec![]);
        loop {
            let mut rows = Rows::new(width);
            let take =
                |at: Place, rows: &mut Rows| Ok(shelf.take(at.document as usize, at.token, rows));
            match walk(&mut place, alone, &mut rows, take).unwrap() {
                Walked::Row => {}
                Walked::Nothing => continue,
                Walked::Over => return found,
            }
            let batch = rows.batch().unwrap();
            let counted = |at: usize| batch.weights().get(at).is_none_or(|&weight| weight > 0.0);
            let letter =
                |(at, &id): (usize, &u32)| if counted(at) { id as u8 as char } else { '_' };
            found.push(batch.tokens().iter().enumerate().map(letter).collect());
        }
    }

    #[test]
    fn every_token_but_the_first_is_a_target_once() {
        assert_eq!(rows(&shelf(&["abc", "", "de", "f"]), 3, false), ["abc", "cde", "ef_"]);
        assert_eq!(rows(&shelf(&["abc", "de"]), 3, false), ["abc", "cde"], "and none is left");
    }

    #[test]
    fn documents_alone_are_padded_or_go_on() {
        assert_eq!(rows(&shelf(&["abcde", "f", "", "gh"]), 3, true), ["abc", "cde", "gh_"]);
        assert_eq!(rows(&shelf(&["abcdef"]), 3, true), ["abc", "cde", "ef_"]);
    }

    #[test]
    fn rows_without_anything_to_learn_are_left_out() {
        let mut shelf = shelf(&["abcdef", "gh"]);
        shelf.weights = vec![1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0];
        assert_eq!(rows(&shelf, 3, true), ["__e", "ef_"]);
    }

    #[test]
    fn a_text_is_cut_into_windows() {
        let mut shelf = Shelf::default();
        let text = |tokens: Vec<u32>| Document { tokens, weights: vec![] };
        shelf.add_text(&text((0..8).collect()), 3);
        assert_eq!(shelf.documents, [0..4, 3..7, 6..8]);
        shelf.add_text(&text(vec![1]), 3);
        shelf.add_text(&text(vec![]), 3);
        assert_eq!(shelf.documents.len(), 3, "one token has nothing to learn");
    }
}
