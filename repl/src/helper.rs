//! What the line editor asks while keys are typed: is it complete, what could follow, which colour.

use crate::commands::{COMMANDS, Command};
use crate::input::{self, Input, Mode};
use crate::looking;
use crate::output::Writer;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper, Result};
use rwkv_scripting::{Colour, Session};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Passes the editor's questions on to the session.
#[derive(Helper)]
pub struct Assistant {
    session: Rc<RefCell<Session>>,
    mode: Rc<Cell<Mode>>,
    /// Knows whether colours are welcome at the moment.
    writer: Rc<Writer>,
    files: FilenameCompleter,
    history: HistoryHinter,
}

impl Assistant {
    /// An assistant that shares the session, the mode and the screen with the prompt.
    pub fn new(session: Rc<RefCell<Session>>, mode: Rc<Cell<Mode>>, writer: Rc<Writer>) -> Self {
        let (files, history) = (FilenameCompleter::new(), HistoryHinter::new());
        Self { session, mode, writer, files, history }
    }

    fn has_colour(&self) -> bool {
        self.writer.screen().colour
    }

    fn command(&self, line: &str, position: usize) -> Result<(usize, Vec<Pair>)> {
        let Some((name, argument)) = line[1..position].split_once(' ') else {
            return Ok((1, pairs(&line[1..position], COMMANDS.iter().map(|command| command.name))));
        };
        let start = position - argument.len();
        let Some(command) = Command::named(name) else { return Ok((position, Vec::new())) };
        let named =
            |names: Vec<String>| Ok((start, pairs(argument, names.iter().map(String::as_str))));
        match command.argument.trim_matches(['[', ']']) {
            "MODEL" => named(self.session.borrow().models(argument)),
            "TOPIC" => Ok(self.topic(argument, start)),
            "NAME" => {
                let variables = self.session.borrow().variables();
                named(variables.into_iter().map(|variable| variable.0).collect())
            }
            "KEY VALUE" => named(looking::settings().map(str::to_owned).collect()),
            "EXPR" => {
                let (from, names) = self.session.borrow().complete(argument, argument.len());
                Ok((start + from, pairs("", names.iter().map(String::as_str))))
            }
            kind if kind.contains("FILE") => self.files.complete_path(line, position),
            _ => Ok((position, Vec::new())),
        }
    }

    fn topic(&self, start: &str, offset: usize) -> (usize, Vec<Pair>) {
        let topics = self.session.borrow().topics();
        (offset, pairs(start, topics.iter().map(|(name, _)| name.as_str())))
    }

    fn question(&self, line: &str, position: usize) -> (usize, Vec<Pair>) {
        let offset = position - line[..position].trim_start_matches('?').trim_start().len();
        let (start, names) = self.session.borrow().complete(&line[offset..], position - offset);
        let mut found = pairs("", names.iter().map(String::as_str));
        if start == 0 {
            found.extend(self.topic(&line[offset..position], offset).1);
        }
        (offset + start, found)
    }
}

fn pairs<'a>(start: &str, names: impl Iterator<Item = &'a str>) -> Vec<Pair> {
    let names = names.filter(|name| name.starts_with(start));
    names.map(|name| Pair { display: name.to_owned(), replacement: name.to_owned() }).collect()
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext) -> Result<ValidationResult> {
        let complete = input::is_complete(&self.session.borrow(), context.input(), self.mode.get());
        Ok(if complete { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> Result<(usize, Vec<Pair>)> {
        match input::sort(line, self.mode.get()) {
            Input::Command(..) if line.starts_with('/') => self.command(line, position),
            Input::Question(_) | Input::Source(_) if line.starts_with('?') => {
                Ok(self.question(line, position))
            }
            Input::Code(_) => {
                let (start, names) = self.session.borrow().complete(line, position);
                Ok((start, pairs("", names.iter().map(String::as_str))))
            }
            _ => Ok((position, Vec::new())),
        }
    }
}

impl Hinter for Assistant {
    type Hint = String;

    fn hint(&self, line: &str, position: usize, context: &Context<'_>) -> Option<String> {
        let hints = !self.writer.screen().plain();
        let hint = self.history.hint(line, position, context).filter(|_| hints);
        // A hint of several lines would push the screen around at each key.
        hint.filter(|hint| !hint.contains('\n'))
    }
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if !self.has_colour() {
            return Cow::Borrowed(line);
        }
        match input::sort(line, self.mode.get()) {
            Input::Code(_) => Cow::Owned(painted(line, &self.session.borrow().colours(line))),
            Input::Command(..) | Input::Question(_) | Input::Source(_) => {
                Cow::Owned(sgr("36", line))
            }
            Input::Say(_) | Input::Blank => Cow::Borrowed(line),
        }
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        if self.has_colour() { Cow::Owned(sgr("1;34", prompt)) } else { Cow::Borrowed(prompt) }
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if self.has_colour() { Cow::Owned(sgr("2", hint)) } else { Cow::Borrowed(hint) }
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        self.has_colour() && kind != CmdKind::MoveCursor
    }
}

fn sgr(code: &str, text: &str) -> String {
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// A text of code with the escape codes of its colours.
pub fn painted(line: &str, colours: &[(std::ops::Range<usize>, Colour)]) -> String {
    let (mut text, mut end) = (String::with_capacity(2 * line.len()), 0);
    for (range, colour) in colours {
        let (Some(before), Some(part)) = (line.get(end..range.start), line.get(range.clone()))
        else {
            continue;
        };
        text += before;
        text += &paint(*colour).map_or(part.to_owned(), |code| sgr(code, part));
        end = range.end;
    }
    text + &line[end..]
}

fn paint(colour: Colour) -> Option<&'static str> {
    match colour {
        Colour::Keyword => Some("35"),
        Colour::Number => Some("36"),
        Colour::Text => Some("32"),
        Colour::Comment => Some("90"),
        Colour::Function => Some("34"),
        Colour::Mistake => Some("31"),
        Colour::Variable | Colour::Symbol => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_add_codes_and_change_no_letter() {
        let colours = [(0..3, Colour::Keyword), (4..6, Colour::Variable), (9..11, Colour::Number)];
        let text = painted("let ü = 42;", &colours);
        assert_eq!(text, "\x1b[35mlet\x1b[0m ü = \x1b[36m42\x1b[0m;");
        assert_eq!(painted("let", &[(0..9, Colour::Text)]), "let");
    }
}
