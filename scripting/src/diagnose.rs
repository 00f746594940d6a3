//! From an error of the engine to a failure in our words.

mod syntax;

use crate::error::{Failure, FailureKind, Place};
use crate::help::{Entry, Kind, Registry, readable};
use crate::host::Host;
use crate::suggest::nearest;
use rhai::{Dynamic, EvalAltResult, Position};
use std::rc::Rc;

/// What a diagnosis can look at.
pub struct Diagnosis<'a> {
    /// For suggestions.
    pub registry: &'a Registry,
    /// For the texts.
    pub host: &'a Host,
    /// Names of variables and script functions.
    pub names: Vec<String>,
}

/// One sentence and one hint.
type Words = (String, Option<String>);

impl Diagnosis<'_> {
    /// The failure that an error of the engine is, in the text called `source`.
    pub fn failure(&self, error: Box<EvalAltResult>, source: &str) -> Failure {
        let (mut error, mut name, mut calls) = (error, source.to_string(), Vec::new());
        loop {
            let (called, inner_name, inner, position) = match *error {
                EvalAltResult::ErrorInFunctionCall(called, source, inner, at) => {
                    let closure = called.starts_with("anon$");
                    let called = if closure { "a closure".into() } else { format!("`{called}`") };
                    (called, source, inner, at)
                }
                EvalAltResult::ErrorInModule(path, inner, at) => {
                    (format!("\"{path}\""), path, inner, at)
                }
                other => return self.innermost(other, &name, calls),
            };
            calls.insert(0, (called, self.place(&name, position)));
            if !inner_name.is_empty() {
                name = inner_name;
            }
            error = inner;
        }
    }

    fn innermost(
        &self,
        mut error: EvalAltResult,
        name: &str,
        calls: Vec<(String, Option<Place>)>,
    ) -> Failure {
        let place = self.place(name, error.position());
        // An error that does not know its place happened in the innermost call.
        let place =
            place.or_else(|| calls.first().and_then(|(_, from)| from.clone())).map(Box::new);
        error.clear_position();
        let kind = match &error {
            EvalAltResult::ErrorParsing(..) => FailureKind::Syntax,
            EvalAltResult::ErrorTerminated(..) => FailureKind::Interrupted,
            EvalAltResult::Exit(value, _) => FailureKind::Exit(exit_code(value)),
            _ => FailureKind::Script,
        };
        let (message, hint) = self.words(error, place.as_deref());
        Failure { kind, message, place, calls, hint }
    }

    fn place(&self, name: &str, position: Position) -> Option<Place> {
        let text = self.host.sources.borrow().get(name).cloned().unwrap_or_else(|| Rc::from(""));
        Place::new(name, text, position)
    }

    fn words(&self, error: EvalAltResult, place: Option<&Place>) -> Words {
        use EvalAltResult as E;
        match error {
            E::ErrorVariableNotFound(name, _) => self.no_variable(&name),
            E::ErrorFunctionNotFound(call, _) => self.no_function(&call, place),
            E::ErrorDotExpr(text, _) => self.no_property(&text),
            E::ErrorIndexingType(text, _) => {
                (format!("{} cannot be indexed like this", types(&text)), None)
            }
            E::ErrorRuntime(value, _) => (thrown(value), None),
            E::ErrorParsing(rhai::ParseErrorType::AssignmentToConstant(name), _)
            | E::ErrorAssignmentToConstant(name, _) => (
                format!("`{name}` is a constant"),
                Some(format!("declare it with `let {name} = ..` if it should change")),
            ),
            E::ErrorParsing(what, _) => (sentence(&what.to_string()), syntax::hint(&what, place)),
            E::ErrorTerminated(..) => ("interrupted".into(), None),
            E::ErrorDataRace(what, _) => data_race(&what),
            E::ErrorNonPureMethodCallOnConstant(name, _) => (
                format!("`{}` would change a value that can only be read here", property(&name)),
                Some("pass the value into the function and return the changed one".into()),
            ),
            E::ErrorStackOverflow(_) => (
                "the functions call each other more than 256 levels deep".into(),
                Some("is there a recursion without an end?".into()),
            ),
            E::ErrorArrayBounds(len, index, _) => {
                (format!("there is no item {index} in an array of {len}"), None)
            }
            E::ErrorStringBounds(len, index, _) => {
                (format!("there is no character {index} in a string of {len}"), None)
            }
            E::ErrorMismatchDataType(wanted, got, _) if !wanted.is_empty() => {
                (format!("this needs {}, not {}", readable(&wanted), readable(&got)), None)
            }
            E::ErrorFor(_) => ("`for` needs an array, a range, a string or Tokens".into(), None),
            other => (sentence(&other.to_string()), None),
        }
    }

    fn no_variable(&self, name: &str) -> Words {
        if self.registry.functions().any(|entry| entry.name == name) {
            return (
                format!("`{name}` is a function"),
                Some(format!("call it: `{name}(..)`, or see ?{name}")),
            );
        }
        let functions = self.registry.functions().map(|entry| entry.name.as_str());
        let known = self.names.iter().map(String::as_str).chain(functions);
        (format!("there is no variable `{name}`"), nearest(name, known).map(did_you_mean))
    }

    /// `call` is the engine's text, `name (Type, Type)` or `module::name (..)`.
    fn no_function(&self, call: &str, place: Option<&Place>) -> Words {
        let (name, arguments) = call.split_once(" (").unwrap_or((call, ""));
        let arguments: Vec<String> = split(arguments.trim_end_matches(')'));
        let dotted = place.is_some_and(|p| p.text[..p.range.start].trim_end().ends_with('.'));
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let message = format!("`{name}` does not work between {}", arguments.join(" and "));
            return (message, numbers_of_texts(&arguments));
        }
        match arguments.first().filter(|_| dotted) {
            Some(of) => self.no_method(name, of, &arguments[1..]),
            None => self.no_free_function(name, &arguments),
        }
    }

    fn no_method(&self, name: &str, of: &str, arguments: &[String]) -> Words {
        let named: Vec<_> =
            self.registry.members(Some(of)).filter(|entry| entry.name == name).collect();
        if named.iter().any(|entry| entry.kind == Kind::Property) {
            return (
                format!("`{name}` is a property of {of}"),
                Some(format!("write it without brackets: `.{name}`")),
            );
        }
        if let Some(entry) = named.first() {
            let got = arguments.join(", ");
            return (
                format!("`{name}` of {of} cannot take ({got})"),
                Some(format!("it is {}", entry.signature())),
            );
        }
        let members: Vec<_> = self.registry.members(Some(of)).collect();
        let near = nearest(name, members.iter().map(|entry| entry.name.as_str()));
        let hint = near.map_or(format!("?{of} lists what it has"), |near| {
            format!("did you mean `{near}`? ?{of} lists what it has")
        });
        (format!("{of} has no method `{name}`"), Some(hint))
    }

    fn no_free_function(&self, name: &str, arguments: &[String]) -> Words {
        let got = arguments.join(", ");
        if let Some(entry) = self.registry.named(name).next() {
            return (
                format!("`{name}` cannot take ({got})"),
                Some(format!("it is {}", entry.signature())),
            );
        }
        let titles: Vec<String> = self.registry.entries.iter().map(Entry::title).collect();
        let plain = self.registry.functions().map(|entry| entry.name.as_str());
        let known = self
            .names
            .iter()
            .map(String::as_str)
            .chain(plain)
            .chain(titles.iter().map(String::as_str));
        (format!("there is no function `{name}`"), nearest(name, known).map(did_you_mean))
    }

    /// `text` is the engine's "Unknown property 'x' - a getter is not registered for type 'T'".
    fn no_property(&self, text: &str) -> Words {
        let quoted: Vec<&str> = text.split('\'').skip(1).step_by(2).collect();
        let [name, of] = quoted[..] else { return (sentence(text), None) };
        let of = readable(of);
        let setter = text.contains("setter");
        let named = self.registry.members(Some(&of)).find(|entry| entry.name == name);
        match named.map(|entry| entry.kind) {
            Some(Kind::Method) => {
                (format!("`{name}` is a method of {of}"), Some(format!("call it: `.{name}()`")))
            }
            Some(_) if setter => (format!("`{name}` of {of} cannot be set"), None),
            _ => {
                let near = nearest(
                    name,
                    self.registry.members(Some(&of)).map(|entry| entry.name.as_str()),
                );
                (format!("{of} has no property `{name}`"), near.map(did_you_mean))
            }
        }
    }
}

/// What to do about an operator between a text and a number.
fn numbers_of_texts(types: &[String]) -> Option<String> {
    let has = |wanted: &[&str]| types.iter().any(|of| wanted.contains(&of.as_str()));
    let hint = "a text becomes a number by `.to_int()` or `.to_float()`";
    (has(&["String"]) && has(&["Integer", "Float"])).then(|| hint.to_string())
}

/// What an exit value means to the shell.
pub fn exit_code(value: &Dynamic) -> i32 {
    match value.as_int() {
        Ok(code) => code.clamp(0, 255) as i32,
        Err(_) => i32::from(value.as_bool() == Ok(false)),
    }
}

fn thrown(value: Dynamic) -> String {
    value.clone().into_string().unwrap_or_else(|_| format!("thrown: {value}"))
}

fn data_race(what: &str) -> Words {
    let method = what.split('\'').nth(1).unwrap_or("the method");
    (
        format!("a closure reads the variable that `{method}` is working on (Rhai: a data race)"),
        Some("copy what the closure needs first: `let q = item.q;`, then use `q` in it".into()),
    )
}

fn did_you_mean(near: &str) -> String {
    format!("did you mean `{near}`?")
}

/// The property behind the engine's name of a setter.
fn property(name: &str) -> &str {
    name.strip_prefix("set$").unwrap_or(name)
}

/// Type names of a call in the words of scripts.
fn split(arguments: &str) -> Vec<String> {
    // "&str | ImmutableString | String" is one type to the engine.
    let parts = arguments.split(", ").filter(|part| !part.is_empty());
    parts.map(|part| readable(part.split(" | ").last().unwrap_or(part))).collect()
}

/// `State [i64]` in the words of scripts.
fn types(text: &str) -> String {
    match text.split_once(" [") {
        Some((of, index)) => {
            let (index, rest) = index.split_once(']').unwrap_or((index, ""));
            let rest = rest.trim_start_matches(" = ");
            let tail =
                if rest.is_empty() { String::new() } else { format!(" = {}", readable(rest)) };
            format!("{}[{}]{tail}", readable(of), readable(index))
        }
        None => text.into(),
    }
}

/// Lower-case start, no full stop: it becomes the sentence after `error:`.
fn sentence(text: &str) -> String {
    let mut letters = text.trim_end_matches('.').chars();
    let acronym = text.chars().nth(1).is_some_and(char::is_uppercase);
    match letters.next() {
        Some(first) if !acronym => first.to_lowercase().chain(letters).collect(),
        _ => text.into(),
    }
}
