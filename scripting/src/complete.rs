//! Completion: names, members of a value, functions of a module, option keys, files, models.

mod cursor;
mod strings;

pub use strings::models;

use crate::help::{Entry, Kind, Registry};
use cursor::{Bracket, Cursor, path_start, word_start};
use rhai::Dynamic;
use std::collections::BTreeSet;
use std::path::Path;

/// Words of the language that start or continue a line.
const KEYWORDS: [&str; 20] = [
    "let", "const", "if", "else", "for", "in", "while", "loop", "do", "until", "fn", "return",
    "break", "continue", "switch", "try", "catch", "throw", "import", "true",
];

/// What completion can look at; never calls anything but property getters.
pub struct Completer<'a> {
    /// The manual.
    pub registry: &'a Registry,
    /// Names of the variables and functions of the session.
    pub names: Vec<String>,
    /// Folder of relative files.
    pub folder: &'a Path,
    /// The value of a path without side effects, such as `a.state[0]`, and its type in words.
    pub value_of: &'a dyn Fn(&str) -> Option<(Dynamic, String)>,
}

impl Completer<'_> {
    /// Start of the word that ends at `position`, and what it could become.
    pub fn complete(&self, text: &str, position: usize) -> (usize, Vec<String>) {
        let before = text.get(..position).unwrap_or(text);
        let cursor = Cursor::new(before);
        if let Some(quote) = cursor.quote {
            return self.inside_string(&cursor, quote + 1);
        }
        if cursor.in_words {
            return (before.len(), Vec::new());
        }
        let start = word_start(before);
        let (left, word) = before.split_at(start);
        let found: BTreeSet<String> = if let Some(path) = left.strip_suffix("::") {
            let module = &path[word_start(path)..];
            self.registry.of_module(module).map(|entry| call(&entry.name)).collect()
        } else if let Some(path) = left.strip_suffix('.').filter(|path| !path.ends_with('.')) {
            self.members(path)
        } else {
            self.keys(&cursor, left).unwrap_or_else(|| self.globals())
        };
        (start, found.into_iter().filter(|name| name.starts_with(word) && name != word).collect())
    }

    /// Methods and properties of what stands before the dot.
    fn members(&self, left: &str) -> BTreeSet<String> {
        let path = &left[path_start(left)..];
        if let Some((value, of)) = (self.value_of)(path) {
            let map = value.read_lock::<rhai::Map>();
            let keys = map.map(|map| map.keys().map(ToString::to_string).collect::<Vec<_>>());
            let members = self.registry.members(Some(&of)).map(member);
            return members.chain(keys.unwrap_or_default()).collect();
        }
        self.registry.members(self.made_type(left).as_deref()).map(member).collect()
    }

    /// The type of a literal, or of what the call at the end returns if all of its name agree.
    fn made_type(&self, left: &str) -> Option<String> {
        if left.ends_with(['"', '`']) {
            return Some("String".into());
        }
        let open = Cursor::new(left.strip_suffix(')')?).called()?;
        let name = &left[word_start(&left[..open])..open];
        let returns = self.registry.named(name).map(|entry| entry.returns.as_str());
        let returns: BTreeSet<&str> = returns.collect();
        let one = returns.len() == 1;
        returns.first().filter(|of| one && !of.is_empty() && **of != "Value").map(|&of| of.into())
    }

    fn globals(&self) -> BTreeSet<String> {
        let functions = self.registry.functions().map(|entry| call(&entry.name));
        let modules = self.registry.modules().into_iter().map(|name| format!("{name}::"));
        let keywords = KEYWORDS.iter().map(ToString::to_string);
        functions.chain(modules).chain(keywords).chain(self.names.clone()).collect()
    }

    /// Keys of the option map that the cursor is in, at a place where a key may stand.
    fn keys(&self, cursor: &Cursor, left: &str) -> Option<BTreeSet<String>> {
        let (map, outer) = cursor.brackets.split_last()?;
        if map.kind != '#' || !left[map.since..].trim().is_empty() {
            return None;
        }
        let used = |key: &str| {
            let inside = &cursor.before[map.at..];
            inside.contains(&format!("{key}:"))
        };
        let keys = self.options(cursor, outer).into_iter().map(|(key, _)| key);
        let keys: BTreeSet<String> =
            keys.filter(|key| !used(key)).map(|key| format!("{key}: ")).collect();
        (!keys.is_empty()).then_some(keys)
    }

    /// The options of the map that stands inside these brackets, and what is said about each.
    fn options(&self, cursor: &Cursor, outer: &[Bracket]) -> Vec<(String, String)> {
        let Some((open, further)) = outer.split_last() else { return Vec::new() };
        if open.kind == '(' {
            return self.options_of(cursor.name_before(open));
        }
        let Some(key) = cursor.key(open) else { return Vec::new() };
        // A map in a map: its keys are those of the functions that the manual names for this key.
        let told = self.options(cursor, further).into_iter().find(|(name, _)| name == key);
        let about = told.map(|(_, about)| about).unwrap_or_default();
        strings::quoted(&about).into_iter().flat_map(|name| self.options_of(name)).collect()
    }

    fn options_of(&self, name: &str) -> Vec<(String, String)> {
        let entries = self.registry.named(name).flat_map(Entry::options);
        entries.map(|(key, about)| (key.to_string(), about)).collect()
    }
}

fn member(entry: &Entry) -> String {
    if entry.kind == Kind::Method { call(&entry.name) } else { entry.name.clone() }
}

fn call(name: &str) -> String {
    format!("{name}(")
}
