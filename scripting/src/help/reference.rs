//! The manual as a whole: definitions for editors, and the reference page.

use super::{Entry, Kind, Registry};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

impl Registry {
    /// The definitions file that editors read.
    pub fn definitions(&self) -> String {
        let mut text = String::from("module static;\n");
        let (mut seen, mut module) = (BTreeSet::new(), "");
        let called = |e: &&Entry| matches!(e.kind, Kind::Function | Kind::Method) && !e.standard;
        for entry in self.entries.iter().filter(called) {
            if entry.module != module {
                module = &entry.module;
                let _ = write!(text, "\n// module {module}\n");
            }
            let line = definition(entry);
            if seen.insert(format!("{module}{line}")) {
                let doc = entry
                    .doc
                    .lines()
                    .map(|line| format!("/// {line}").trim_end().to_string() + "\n");
                let _ = write!(text, "\n{}{line}\n", doc.collect::<String>());
            }
        }
        text
    }

    /// All of it as one page in Markdown: functions, then modules, then types.
    pub fn markdown(&self) -> String {
        let ours = self.entries.iter().filter(|e| !e.standard && e.kind != Kind::Operator);
        let mut chapters: BTreeMap<(usize, &str), Vec<&Entry>> = BTreeMap::new();
        for entry in ours {
            chapters.entry(chapter(entry)).or_default().push(entry);
        }
        let mut text = String::new();
        for ((_, name), mut entries) in chapters {
            entries.sort_by_key(|entry| (entry.kind, &entry.name));
            let heading = if name.is_empty() { "Functions" } else { name };
            let _ = write!(text, "\n## {heading}\n");
            text += &sections(&entries);
        }
        text
    }
}

/// Where an entry stands in the reference page: plain functions first, then modules, then types.
fn chapter(entry: &Entry) -> (usize, &str) {
    match (&entry.receiver, entry.module.as_str()) {
        (None, "") => (0, ""),
        (None, module) => (1, module),
        (Some(of), _) => (2, of),
    }
}

/// A section for each name: every way to call it, then the docs, each once.
fn sections(entries: &[&Entry]) -> String {
    let mut text = String::new();
    for same in entries.chunk_by(|a, b| a.name == b.name) {
        let _ = write!(text, "\n### {}\n", same[0].name);
        for entry in same {
            let _ = write!(text, "\n`{}`\n", entry.signature());
            if !entry.doc.is_empty() {
                let doc = entry.doc.trim().replacen("```\n", "```rust\n", 1);
                let _ = write!(text, "\n{doc}\n");
            }
        }
    }
    text
}

/// One `fn` line of the definitions file.
fn definition(entry: &Entry) -> String {
    let this = entry.receiver.iter().map(|of| format!("this: {of}"));
    let others = entry.arguments.iter().map(|(name, of)| format!("{name}: {of}"));
    let arguments = this.chain(others).collect::<Vec<_>>().join(", ");
    let returns = if entry.returns.is_empty() { "()" } else { &entry.returns };
    format!("fn {}({arguments}) -> {returns};", entry.name)
}
