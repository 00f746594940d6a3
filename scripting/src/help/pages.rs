//! Manual pages: of a function, a type, a module.

use super::wrapping::{hung, wrapped};
use super::{Entry, Kind, Registry};
use crate::suggest::nearest;
use std::collections::BTreeMap;

/// Most names after `See also`.
const RELATED: usize = 6;
/// Most names after `Used in the examples of`.
const USERS: usize = 8;

impl Registry {
    /// The manual entry of a function, a type or a module, for a screen of `width` columns; a
    /// suggestion if there is none.
    pub fn help(&self, topic: &str, width: usize) -> String {
        let topic = topic.trim().trim_end_matches("()");
        let found: Vec<&Entry> = self.named(topic).collect();
        if !found.is_empty() {
            return format!("{}{}", page(&found, width), self.see_also(&found, width));
        }
        let members = self.members_of(topic);
        if !members.is_empty() {
            return overview(topic, &members, width);
        }
        let titles: Vec<String> = self.entries.iter().map(Entry::title).collect();
        let names = self.entries.iter().map(|entry| entry.name.as_str());
        let known = names.chain(titles.iter().map(String::as_str));
        let hint =
            nearest(topic, known).map_or(String::new(), |near| format!(" Did you mean `{near}`?"));
        wrapped(&format!("There is no help on `{topic}`.{hint} /help lists the topics."), width)
    }

    /// The manual entry and where else its function is used.
    pub fn more(&self, topic: &str, width: usize) -> String {
        let topic = topic.trim().trim_end_matches("()");
        let found: Vec<&Entry> = self.named(topic).filter(|entry| !entry.standard).collect();
        let users = self.entries.iter().filter(|other| {
            !other.standard
                && found.iter().all(|entry| entry.title() != other.title())
                && other.examples().iter().any(|code| found.iter().any(|e| e.is_used_in(code)))
        });
        let users = users.map(Entry::title).collect();
        let users = listed("Used in the examples of", users, USERS, width);
        format!("{}{users}", self.help(topic, width))
    }

    /// Members of the type or module that a topic names.
    fn members_of<'a>(&'a self, topic: &'a str) -> Vec<&'a Entry> {
        let is_type = self.entries.iter().any(|entry| entry.receiver.as_deref() == Some(topic));
        self.members(Some(topic)).filter(|_| is_type).chain(self.of_module(topic)).collect()
    }

    fn see_also(&self, found: &[&Entry], width: usize) -> String {
        listed("See also", self.related(found), RELATED, width)
    }

    /// What the docs name, what names it in its doc, what makes the same, and what has the same
    /// name elsewhere.
    fn related(&self, found: &[&Entry]) -> Vec<String> {
        let own: Vec<String> = found.iter().map(|entry| entry.title()).collect();
        let named = found.iter().flat_map(|entry| {
            entry.mentions().into_iter().filter_map(|name| self.meant(name, entry))
        });
        let ours = || self.entries.iter().filter(|e| !e.standard && e.kind != Kind::Operator);
        let naming = ours().filter(|other| {
            let mentions = other.mentions();
            let meant = |name: &str| self.meant(name, other).map(Entry::title);
            mentions.into_iter().filter_map(meant).any(|title| own.contains(&title))
        });
        let namesakes = ours().filter(|other| found.iter().any(|entry| entry.name == other.name));
        let makers = ours().filter(|other| {
            let made = |entry: &&&Entry| entry.returns == other.returns && entry.makes_ours();
            other.makes_ours() && found.iter().any(|entry| made(&entry))
        });
        let all = named.chain(naming).chain(makers).chain(namesakes).map(Entry::title);
        all.filter(|title| !own.contains(title)).collect()
    }

    /// The entry that a name in the doc of `by` stands for, unless several could be meant.
    fn meant<'a>(&'a self, name: &str, by: &Entry) -> Option<&'a Entry> {
        let ours = self.entries.iter().filter(|e| !e.standard && e.kind != Kind::Operator);
        let fitting: Vec<&Entry> = ours.filter(|e| e.name == name || e.title() == name).collect();
        let title = fitting.first()?.title();
        let near = fitting.iter().find(|e| e.receiver.is_some() && e.receiver == by.receiver);
        let only = fitting.iter().all(|e| e.title() == title).then(|| fitting[0]);
        near.copied().or(only)
    }
}

impl Entry {
    /// Whether it is a plain function that returns a value of one of our types.
    fn makes_ours(&self) -> bool {
        let common = ["", "Value", "Array", "Map", "String", "Bool", "Integer", "Float", "View"];
        self.kind == Kind::Function && !common.contains(&self.returns.as_str())
    }

    /// Words in the doc's back-quotes that are no options and not in the example.
    fn mentions(&self) -> Vec<&str> {
        let lines = self.doc.split("```").step_by(2).flat_map(str::lines);
        let told = lines.map(|line| match line.strip_prefix("- `") {
            Some(option) => option.split_once('`').map_or("", |(_, about)| about),
            None => line,
        });
        let quoted = told.flat_map(|line| line.split('`').skip(1).step_by(2));
        quoted.map(|word| word.split('(').next().unwrap_or_default()).collect()
    }

    /// Whether a piece of code calls this function or reads this property.
    fn is_used_in(&self, code: &str) -> bool {
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let call = match (&self.receiver, self.module.as_str()) {
            (Some(_), _) => format!(".{}", self.name),
            (None, "") => self.name.clone(),
            (None, module) => format!("{module}::{}", self.name),
        };
        code.match_indices(&call).any(|(at, _)| {
            let rest = &code[at + call.len()..];
            let before = code[..at].chars().next_back();
            let method = call.starts_with('.');
            let called = rest.starts_with('(');
            let starts = method || !word(before) && before != Some('.') && before != Some(':');
            starts && !word(rest.chars().next()) && called == (self.kind != Kind::Property)
        })
    }
}

/// A line of titles, each once; nothing if there are none.
fn listed(what: &str, titles: Vec<String>, most: usize, width: usize) -> String {
    let mut names: Vec<String> = Vec::new();
    for title in titles {
        if !names.contains(&title) && names.len() < most {
            names.push(title);
        }
    }
    if names.is_empty() {
        return String::new();
    }
    format!("\n\n{}", hung(&format!("{what}: {}", names.join(", ")), width, "", "  "))
}

/// All overloads of a name, one below the other; a doc that several share appears once.
fn page(found: &[&Entry], width: usize) -> String {
    let mut parts = String::new();
    for (index, entry) in found.iter().enumerate() {
        parts += &format!("{}\n", hung(&entry.signature(), width, "", "    "));
        let repeated =
            found.get(index + 1).is_some_and(|next| next.doc.is_empty() || next.doc == entry.doc);
        if !repeated {
            let docs = found[..=index].iter().rev().find(|entry| !entry.doc.is_empty());
            parts += &format!("\n{}\n\n", wrapped(docs.map_or("", |entry| &entry.doc), width));
        }
    }
    parts.trim_end().to_string()
}

/// A type or a module: the call and one sentence for each member.
fn overview(topic: &str, members: &[&Entry], width: usize) -> String {
    let mut lines = BTreeMap::new();
    for entry in members {
        let line: &mut String = lines.entry((entry.kind, entry.name.clone())).or_default();
        if line.is_empty() {
            let of = entry.receiver.as_deref().unwrap_or(topic);
            let call = entry.signature().replacen(&format!("{of}."), ".", 1);
            let call = hung(&call, width, "  ", "      ");
            let sentence = hung(&entry.sentence(), width, "      ", "      ");
            *line = format!("{call}\n{sentence}").trim_end().to_string();
        }
    }
    format!("{topic}\n{}", lines.into_values().collect::<Vec<_>>().join("\n"))
}
