//! Failures of a script, and how they are drawn.

mod window;

use crate::Canvas;
use crate::help::hung;
use codespan_reporting::diagnostic::{Diagnostic, Label};
use codespan_reporting::term::{self, Chars, Config, StylesWriter, termcolor};
use rhai::Position;
use std::ops::Range;
use std::rc::Rc;
use window::Windows;

/// Why a line or a script ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The script did something that failed.
    Script,
    /// The text is not a script.
    Syntax,
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// The script called `exit(code)`.
    Exit(i32),
    /// A bug of ours: something panicked.
    Internal,
}

/// What went wrong, where, and what to do.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Why it ended.
    pub kind: FailureKind,
    /// One sentence.
    pub message: String,
    /// The token it happened at.
    pub place: Option<Box<Place>>,
    /// The calls that led there, innermost first: what was called, and from where.
    pub calls: Vec<(String, Option<Place>)>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A token in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of the file, or of the line of the prompt.
    pub name: String,
    /// The whole text.
    pub text: Rc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The bytes of the token.
    pub range: Range<usize>,
}

impl Place {
    /// The token at a position of the engine; `None` if the position is unknown.
    pub fn new(name: &str, text: Rc<str>, position: Position) -> Option<Self> {
        let line = position.line()?;
        let column = position.position().unwrap_or(1).max(1);
        let start = offset(&text, line, column);
        let end = start + token_length(&text[start..]);
        Some(Self { name: name.into(), text, line, column, range: start..end })
    }

    /// The text of the token.
    pub fn token(&self) -> &str {
        &self.text[self.range.clone()]
    }

    /// `name:line:column`.
    pub fn address(&self) -> String {
        format!("{}:{}:{}", self.name, self.line, self.column)
    }
}

impl Failure {
    /// A failure without a place.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), place: None, calls: Vec::new(), hint: None }
    }

    /// Message, place, source line with carets, call stack, one hint; long lines are broken, and of
    /// a long source line the part around the token is shown.
    pub fn draw(&self, canvas: &Canvas) -> String {
        let kind = match self.kind {
            FailureKind::Interrupted => Diagnostic::note(),
            FailureKind::Internal => Diagnostic::bug(),
            _ => Diagnostic::error(),
        };
        let number = self.place.as_ref().map_or(0, |place| place.line.to_string().len());
        // `internal error: ` and the border with `= ` stand before the words.
        let (message, notes) =
            (canvas.width.saturating_sub(7), canvas.width.saturating_sub(number + 5));
        let mut diagnostic = kind.with_message(flowing(&self.message, message, canvas));
        let place = self.place.as_deref();
        let windows = Windows::new(place, canvas, canvas.width.saturating_sub(number + 3));
        if let Some(range) = windows.range() {
            diagnostic = diagnostic.with_label(Label::primary((), range));
        }
        let calls = self.calls.iter().map(|(called, from)| match from {
            Some(place) => format!("in {called}, called from {}", place.address()),
            None => format!("in {called}"),
        });
        let notes: Vec<String> =
            calls.chain(self.hint.clone()).map(|note| flowing(&note, notes, canvas)).collect();
        let chars = if canvas.unicode { Chars::box_drawing() } else { Chars::ascii() };
        let config = Config { chars, ..Config::default() };
        let mut buffer = Buffer::new(canvas.colour);
        buffer.emit(&config, &windows, &diagnostic.with_notes(notes));
        let text = buffer.text();
        let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
        lines.join("\n")
    }
}

/// Words in lines of the screen; in pipes and for screen readers a sentence stays one line.
fn flowing(text: &str, width: usize, canvas: &Canvas) -> String {
    if canvas.plain { text.into() } else { hung(text, width, "", "") }
}

/// Where a drawing is collected, with or without escape codes.
struct Buffer {
    colour: bool,
    bytes: Vec<u8>,
}

impl Buffer {
    fn new(colour: bool) -> Self {
        Self { colour, bytes: Vec::new() }
    }

    fn emit(&mut self, config: &Config, files: &Windows, what: &Diagnostic<()>) {
        let drawn = if self.colour {
            let styles = term::Styles::default();
            let ansi = termcolor::Ansi::new(&mut self.bytes);
            term::emit_to_write_style(&mut StylesWriter::new(ansi, &styles), config, files, what)
        } else {
            term::emit_to_io_write(&mut self.bytes, config, files, what)
        };
        if drawn.is_err() {
            self.bytes.extend_from_slice(what.message.as_bytes());
        }
    }

    fn text(self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// The byte at a line and column, both from 1; the end of the text if it is shorter.
pub fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = &text[start..];
    start + rest.char_indices().nth(column - 1).map_or(rest.len(), |(at, _)| at)
}

/// Bytes of the token that `rest` begins with; 0 only at the end.
fn token_length(rest: &str) -> usize {
    let Some(first) = rest.chars().next() else { return 0 };
    let run = |keep: fn(char) -> bool| rest.find(|c| !keep(c)).unwrap_or(rest.len());
    match first {
        'a'..='z' | 'A'..='Z' | '_' | '0'..='9' => run(|c| c.is_ascii_alphanumeric() || c == '_'),
        '"' | '\'' | '`' => rest[1..].find(first).map_or(1, |end| end + 2),
        '=' | '!' | '<' | '>' | '+' | '-' | '*' | '/' | '&' | '|' | '.' | ':' | '%' => {
            run(|c| "=!<>+-*/&|.:%".contains(c)).min(3)
        }
        other => other.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_in_characters_and_cut_in_bytes() {
        let text: Rc<str> = "let é = 1;\nlet b = é + foo;".into();
        let place = Place::new("t", text.clone(), Position::new(2, 13)).unwrap();
        assert_eq!(&text[place.range], "foo");
        assert_eq!(offset("ab", 9, 9), 2);
    }

    #[test]
    fn a_drawing_has_carets_calls_and_a_hint() {
        let place = Place::new("demo.rhai", "let a = b;".into(), Position::new(1, 9));
        let calls = vec![("`f`".to_string(), place.clone())];
        let failure = Failure {
            place: place.map(Box::new),
            calls,
            hint: Some("did you mean `a`?".into()),
            ..Failure::new(FailureKind::Script, "there is no variable `b`")
        };
        let drawn = failure.draw(&Canvas { unicode: false, ..Canvas::default() });
        assert!(drawn.starts_with("error: there is no variable `b`\n"), "{drawn}");
        assert!(drawn.contains("--> demo.rhai:1:9"), "{drawn}");
        assert!(drawn.contains("1 | let a = b;\n  |         ^\n"), "{drawn}");
        assert!(drawn.contains("= in `f`, called from demo.rhai:1:9"), "{drawn}");
        assert!(drawn.ends_with("= did you mean `a`?"), "{drawn}");
        let coloured = failure.draw(&Canvas { colour: true, ..Canvas::default() });
        assert!(coloured.contains("\u{1b}["), "{coloured}");
    }
}
