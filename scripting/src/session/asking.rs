//! What the prompt asks a session without running anything: help, completion, colours, variables.

use super::Session;
use crate::complete::{Completer, models};
use crate::editing::{self, Colour};
use crate::panics::guarded;
use crate::show::{type_of, view_of};
use rhai::Dynamic;
use std::collections::BTreeSet;
use std::ops::Range;

impl Session {
    /// Whether Enter should run this text or open another line.
    pub fn is_complete(&self, text: &str) -> bool {
        editing::is_complete(&self.engine, text)
    }

    /// Start of the word at `position` and what it could become.
    pub fn complete(&self, text: &str, position: usize) -> (usize, Vec<String>) {
        let folder = &self.host.options.folder;
        let calls = self.functions.names().map(|name| format!("{name}("));
        let names = self.scope.iter_raw().map(|(name, ..)| name.to_string()).chain(calls).collect();
        let registry = self.registry();
        Completer { registry, names, folder, value_of: &|path| self.peek(path) }
            .complete(text, position)
    }

    /// What `load_model` takes and begins with `typed`: models of the program, files, folders.
    pub fn models(&self, typed: &str) -> Vec<String> {
        models(&self.host.options.folder, typed)
    }

    /// Byte ranges of `text` and their classes.
    pub fn colours(&self, text: &str) -> Vec<(Range<usize>, Colour)> {
        editing::colours(&self.engine, text)
    }

    /// The manual entry of a function, type, module or variable, for a screen of `width` columns;
    /// a suggestion if there is none.
    pub fn help(&self, topic: &str, width: usize) -> String {
        if let Some(page) = self.functions.page(topic) {
            return page;
        }
        match self.scope.get(topic) {
            Some(value) => {
                let of = type_of(&self.engine, value);
                let about = self.registry().help(&of, width);
                format!("`{topic}` is a variable of type {of}.\n\n{about}")
            }
            None => self.registry().help(topic, width),
        }
    }

    /// All there is to know: the source of a script function; of ours the manual entry and where
    /// else it is used.
    pub fn source(&self, topic: &str, width: usize) -> String {
        match self.functions.source(topic) {
            Some(source) => source,
            None if self.scope.contains(topic) => self.help(topic, width),
            None => self.registry().more(topic, width),
        }
    }

    /// Whether a script of this session defined a function of that name.
    pub fn is_defined(&self, name: &str) -> bool {
        self.functions.names().any(|defined| defined == name)
    }

    /// Every topic with its first sentence.
    pub fn topics(&self) -> Vec<(String, String)> {
        self.registry().topics()
    }

    /// Name, type and a one-line view of every variable.
    pub fn variables(&self) -> Vec<(String, String, String)> {
        let names: BTreeSet<&str> = self.scope.iter_raw().map(|(name, ..)| name).collect();
        let values = names.into_iter().filter_map(|name| Some((name, self.scope.get(name)?)));
        let line = |(name, value): (&str, &Dynamic)| {
            let value = value.flatten_clone();
            let view = view_of(&self.engine, &value).one_line(60);
            (name.to_string(), type_of(&self.engine, &value), view)
        };
        values.map(line).collect()
    }

    /// The definitions file for editors (`rwkv.d.rhai`).
    pub fn definitions(&self) -> String {
        self.registry().definitions()
    }

    /// Everything that a script can say, as one page in Markdown.
    pub fn reference(&self) -> String {
        self.registry().markdown()
    }

    /// Names of the variables and of the script functions.
    pub(super) fn names(&self) -> Vec<String> {
        let variables = self.scope.iter_raw().map(|(name, ..)| name.to_string());
        variables.chain(self.functions.names().map(ToString::to_string)).collect()
    }

    /// The value of a path of names, properties and indexes, and its type; runs nothing else.
    fn peek(&self, path: &str) -> Option<(Dynamic, String)> {
        let mut scope = self.scope.clone();
        let value = guarded(|| self.engine.eval_expression_with_scope::<Dynamic>(&mut scope, path));
        let value = value.ok()?.ok()?.flatten();
        let of = type_of(&self.engine, &value);
        Some((value, of))
    }
}
