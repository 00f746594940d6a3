//! The part of a source line that fits the screen.

use super::Place;
use crate::Canvas;
use codespan_reporting::files::{Error, Files, SimpleFile};
use std::ops::Range;

/// Characters kept to the left of a token in a line that is cut.
const BEFORE: usize = 12;

/// The text of a failure, its long line cut to the part around the token; lines and columns are
/// still those of the whole text.
pub struct Windows {
    file: SimpleFile<String, String>,
    range: Option<Range<usize>>,
    line: usize,
    /// Characters that are missing on the left.
    missing: isize,
}

impl Windows {
    /// The window on a place for lines of `width` characters.
    pub fn new(place: Option<&Place>, canvas: &Canvas, width: usize) -> Self {
        let Some(place) = place else {
            let file = SimpleFile::new(String::new(), String::new());
            return Self { file, range: None, line: 0, missing: 0 };
        };
        let start = place.text[..place.range.start].rfind('\n').map_or(0, |at| at + 1);
        let end = place.text[start..].find('\n').map_or(place.text.len(), |at| start + at);
        let line = &place.text[start..end];
        let whole = |range| Self {
            file: SimpleFile::new(place.name.clone(), place.text.to_string()),
            range: Some(range),
            line: place.line - 1,
            missing: 0,
        };
        if canvas.plain || line.chars().count() <= width {
            return whole(place.range.clone());
        }
        let dots = if canvas.unicode { "…" } else { "..." };
        let column = place.column - 1;
        let (first, left) = match column.saturating_sub(BEFORE) {
            0 => (0, ""),
            first => (first, dots),
        };
        let room = width.saturating_sub(2 * dots.chars().count()).max(BEFORE + 1);
        let seen: String = line.chars().skip(first).take(room).collect();
        let right = if line.chars().count() > first + room { dots } else { "" };
        let before: usize = line.chars().skip(first).take(column - first).map(char::len_utf8).sum();
        let from = start + left.len() + before;
        let token = place.range.len().min(seen.len().saturating_sub(before));
        let text = format!("{}{left}{seen}{right}{}", &place.text[..start], &place.text[end..]);
        Self {
            file: SimpleFile::new(place.name.clone(), text),
            range: Some(from..from + token),
            missing: first as isize - left.chars().count() as isize,
            ..whole(0..0)
        }
    }

    /// The bytes of the token in the text that is shown.
    pub fn range(&self) -> Option<Range<usize>> {
        self.range.clone()
    }
}

impl<'a> Files<'a> for Windows {
    type FileId = ();
    type Name = &'a str;
    type Source = &'a str;

    fn name(&'a self, (): ()) -> Result<&'a str, Error> {
        Ok(self.file.name())
    }

    fn source(&'a self, (): ()) -> Result<&'a str, Error> {
        Ok(self.file.source())
    }

    fn line_index(&'a self, (): (), byte: usize) -> Result<usize, Error> {
        self.file.line_index((), byte)
    }

    fn line_range(&'a self, (): (), line: usize) -> Result<Range<usize>, Error> {
        self.file.line_range((), line)
    }

    fn column_number(&'a self, (): (), line: usize, byte: usize) -> Result<usize, Error> {
        let shown = self.file.column_number((), line, byte)?;
        let missing = if line == self.line { self.missing } else { 0 };
        Ok(shown.saturating_add_signed(missing))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Canvas, Failure, FailureKind, Place};
    use rhai::Position;

    fn drawn(text: &str, column: u16, width: usize) -> String {
        let place = Place::new("t", text.into(), Position::new(1, column)).unwrap();
        let failure = Failure::new(FailureKind::Script, "wrong");
        let failure = Failure { place: Some(Box::new(place)), ..failure };
        failure.draw(&Canvas { width, unicode: false, ..Canvas::default() })
    }

    #[test]
    fn a_long_line_is_cut_around_the_token() {
        let text = format!("let total = {} + wrong + {};", "1 + ".repeat(30), "2 + ".repeat(30));
        let column = text.find("wrong").unwrap() + 1;
        for width in [40, 60, 300] {
            let picture = drawn(&text, column as u16, width);
            assert!(picture.contains(&format!("t:1:{column}\n")), "{picture}");
            let lines: Vec<&str> = picture.lines().collect();
            let source = lines.iter().position(|line| line.starts_with("1 |")).unwrap();
            let caret = lines[source + 1].find('^').unwrap();
            assert_eq!(&lines[source][caret..caret + 5], "wrong", "{picture}");
            assert!(lines.iter().all(|line| line.len() <= width), "{picture}");
        }
    }

    #[test]
    fn a_token_longer_than_the_screen_is_marked_as_far_as_it_is_seen() {
        let picture = drawn(&format!("print({})", "x".repeat(90)), 7, 40);
        assert!(picture.contains("^^^^") && picture.lines().all(|l| l.len() <= 40), "{picture}");
    }
}
