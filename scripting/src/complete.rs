//! Completion: names, members of a value, functions of a module, option keys, files.

use crate::help::{Kind, Registry};
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
        if let Some(quote) = open_quote(before) {
            return self.files(before, quote + 1);
        }
        let start = word_start(before);
        let (left, word) = before.split_at(start);
        let found: BTreeSet<String> = if let Some(path) = left.strip_suffix("::") {
            let module = &path[word_start(path)..];
            self.registry.of_module(module).map(|entry| call(&entry.name)).collect()
        } else if let Some(path) = left.strip_suffix('.').filter(|path| !path.ends_with('.')) {
            self.members(&path[path_start(path)..])
        } else if let Some(keys) = self.option_keys(left) {
            keys
        } else {
            self.globals()
        };
        (start, found.into_iter().filter(|name| name.starts_with(word) && name != word).collect())
    }

    fn members(&self, path: &str) -> BTreeSet<String> {
        let Some((value, of)) = (self.value_of)(path) else {
            return self.registry.members(None).map(member).collect();
        };
        let keys =
            value.read_lock::<rhai::Map>().map(|map| map.keys().map(ToString::to_string).collect());
        let keys: Vec<String> = keys.unwrap_or_default();
        self.registry.members(Some(&of)).map(member).chain(keys).collect()
    }

    fn globals(&self) -> BTreeSet<String> {
        let functions = self.registry.functions().map(|entry| call(&entry.name));
        let modules = self.registry.modules().into_iter().map(|name| format!("{name}::"));
        let keywords = KEYWORDS.iter().map(ToString::to_string);
        functions.chain(modules).chain(keywords).chain(self.names.clone()).collect()
    }

    /// Keys of the option map that the cursor is in.
    fn option_keys(&self, left: &str) -> Option<BTreeSet<String>> {
        let map = left.rfind("#{")?;
        let inside = &left[map + 2..];
        let at_key = inside.trim_end().is_empty() || inside.trim_end().ends_with(',');
        if inside.contains('}') || !at_key {
            return None;
        }
        let open = enclosing_call(&left[..map])?;
        let name = &left[word_start(&left[..open])..open];
        let keys: BTreeSet<String> = self
            .registry
            .named(name)
            .flat_map(|entry| {
                entry.option_keys().into_iter().map(|key| format!("{key}: ")).collect::<Vec<_>>()
            })
            .collect();
        (!keys.is_empty()).then_some(keys)
    }

    fn files(&self, before: &str, start: usize) -> (usize, Vec<String>) {
        let typed = &before[start..];
        let cut = typed.rfind('/').map_or(0, |slash| slash + 1);
        let (folder, stem) = typed.split_at(cut);
        let entries = std::fs::read_dir(self.folder.join(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                Some(if folder { name + "/" } else { name })
            })
            .filter(|name| {
                name.starts_with(stem) && (!name.starts_with('.') || stem.starts_with('.'))
            })
            .collect();
        names.sort();
        (start + cut, names)
    }
}

fn member(entry: &crate::help::Entry) -> String {
    if entry.kind == Kind::Method { call(&entry.name) } else { entry.name.clone() }
}

fn call(name: &str) -> String {
    format!("{name}(")
}

/// Where the word at the end of `text` begins.
fn word_start(text: &str) -> usize {
    text.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len()
}

/// Where the path of names, properties and whole-number indexes at the end of `text` begins.
fn path_start(text: &str) -> usize {
    text.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || "_.[]-".contains(c)).len()
}

/// The bracket of the call that the end of `text` is an argument of.
fn enclosing_call(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, letter) in text.char_indices().rev() {
        match letter {
            ')' | ']' | '}' => depth += 1,
            '(' | '[' | '{' if depth > 0 => depth -= 1,
            '(' => return Some(at),
            '[' | '{' => return None,
            _ => {}
        }
    }
    None
}

/// Where the quoted string begins that is still open at the end of the line.
fn open_quote(before: &str) -> Option<usize> {
    let line = before.rfind('\n').map_or(0, |at| at + 1);
    let mut open = None;
    let mut escaped = false;
    for (at, letter) in before[line..].char_indices() {
        match letter {
            '"' if !escaped => open = if open.is_some() { None } else { Some(line + at) },
            _ => {}
        }
        escaped = letter == '\\' && !escaped;
    }
    open
}
