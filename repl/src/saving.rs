//! A session written down as a script that does the same again.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// The successful inputs of a session.
#[derive(Debug, Default)]
pub struct Record {
    /// What the prompt loads before the first input.
    pub prelude: String,
    inputs: Vec<Input>,
    seed: u64,
    device: String,
    /// Files that this session wrote and may write again.
    written: HashSet<PathBuf>,
}

/// How many inputs were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved(pub usize);

#[derive(Debug)]
struct Input {
    /// Its number in `/history`.
    number: usize,
    /// What stands before the value; empty if the input is the value alone.
    before: String,
    /// The expression whose value was shown.
    value: Option<String>,
}

impl Record {
    /// An empty record of a session with this seed and device.
    pub fn new(seed: u64, device: &str) -> Self {
        Self { seed, device: device.to_owned(), ..Self::default() }
    }

    /// Adds an input that succeeded, its number in `/history` and whether its value was shown;
    /// `compiles` tells where the value begins.
    pub fn add(&mut self, code: &str, number: usize, shown: bool, compiles: &dyn Fn(&str) -> bool) {
        let parts = shown.then(|| split(code, compiles)).flatten();
        self.inputs.push(match parts {
            Some((before, value)) => Input { number, before, value: Some(value) },
            None => Input { number, before: code.to_owned(), value: None },
        });
    }

    /// The statement that sets the seed.
    pub fn seeding(&self) -> String {
        format!("seed({});", self.seed)
    }

    /// The script of the inputs with these numbers.
    fn script(&self, inputs: &[&Input]) -> String {
        let (version, seed, device) = (env!("CARGO_PKG_VERSION"), self.seed, &self.device);
        let mut text = format!(
            "#!/usr/bin/env -S rwkv run\n\
             //! A session of rwkv-lab {version}, seed {seed}, device {device}.\n\n"
        );
        if needs_prelude(inputs) {
            text += &format!("{}\n", self.prelude);
        }
        text += &format!("{}\n", self.seeding());
        let ans = inputs.iter().flat_map(|input| input.names()).any(|name| name == "ans");
        for input in inputs {
            text += &input.text(ans);
        }
        text
    }

    /// Writes the inputs with these numbers beside `path` and moves the script there; `replace`
    /// allows a file that this session did not write.
    ///
    /// # Errors
    /// When there is such a file, or the folder takes no new one.
    pub fn save(
        &mut self,
        path: &Path,
        replace: bool,
        numbers: &RangeInclusive<usize>,
    ) -> io::Result<Saved> {
        // What init.rhai made has the number 0 and belongs to all that follows.
        let wanted = |input: &&Input| input.number == 0 || numbers.contains(&input.number);
        let inputs: Vec<&Input> = self.inputs.iter().filter(wanted).collect();
        let (count, script) = (inputs.len(), self.script(&inputs));
        if path.exists() && !replace && !self.written.contains(path) {
            return Err(io::Error::other("it exists and is not from this session"));
        }
        let beside = path.with_added_extension(format!("{}.new", std::process::id()));
        let mut file = OpenOptions::new().write(true).create_new(true).open(&beside)?;
        let done = file.write_all(script.as_bytes()).and_then(|()| fs::rename(&beside, path));
        match done {
            Ok(()) => self.written.insert(path.to_owned()),
            Err(_) => fs::remove_file(&beside).is_ok(),
        };
        done.map(|()| Saved(count))
    }
}

/// The prelude counts unless the first input that names its variables sets them anew.
fn needs_prelude(inputs: &[&Input]) -> bool {
    let mut inputs = inputs.iter();
    let first = inputs.find(|input| input.names().any(|name| matches!(name, "model" | "chat")));
    first.is_some_and(|input| !input.before.trim_start().starts_with("let model"))
}

impl Input {
    fn names(&self) -> impl Iterator<Item = &str> {
        let texts = [Some(self.before.as_str()), self.value.as_deref()];
        texts.into_iter().flatten().flat_map(words)
    }

    /// The input as statements; `ans` keeps the value where later inputs ask for it.
    fn text(&self, ans: bool) -> String {
        let mut text = String::new();
        if !self.before.is_empty() {
            text += &format!("{}{}\n", self.before, end(&self.before));
        }
        match &self.value {
            Some(value) if ans => text += &format!("let ans = {};\nshow(ans);\n", lines(value)),
            Some(value) => text += &format!("show({});\n", lines(value)),
            None => {}
        }
        text
    }
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// What closes the last statement; after a comment it needs a line of its own.
fn end(code: &str) -> &'static str {
    match code.lines().last() {
        Some(line) if line.contains("//") => "\n;",
        Some(line) if line.ends_with(';') => "",
        _ => ";",
    }
}

/// An expression between brackets; one with a comment gets its own lines.
fn lines(value: &str) -> String {
    if value.contains("//") { format!("\n{value}\n") } else { value.to_owned() }
}

/// Splits code into the statements before its last value and that value.
fn split(code: &str, compiles: &dyn Fn(&str) -> bool) -> Option<(String, String)> {
    let ends = code.match_indices([';', '}', '\n']).map(|(at, end)| at + end.len());
    let cuts = std::iter::once(0).chain(ends);
    let mut parts = cuts.map(|cut| (code[..cut].trim(), code[cut..].trim()));
    let found = parts.find(|(before, value)| {
        !value.is_empty() && compiles(before) && compiles(&format!("show({})", lines(value)))
    });
    found.map(|(before, value)| (before.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Balanced brackets and no statement between them: enough of a compiler for these tests.
    fn compiles(code: &str) -> bool {
        let open = code.matches(['(', '{']).count();
        let inside = code.strip_prefix("show(").and_then(|rest| rest.strip_suffix(')'));
        let statement = inside.is_some_and(|value| value.contains(';') || value.contains("fn "));
        open == code.matches([')', '}']).count()
            && code.matches('"').count().is_multiple_of(2)
            && !statement
    }

    fn record(inputs: &[(&str, bool)]) -> Record {
        let mut record = Record::new(7, "cpu");
        record.prelude = "let model = load_model(\"demo:tales\");".to_owned();
        for (at, (code, shown)) in inputs.iter().enumerate() {
            record.add(code, at + 1, *shown, &compiles);
        }
        record
    }

    fn script(record: &Record) -> String {
        record.script(&record.inputs.iter().collect::<Vec<_>>())
    }

    fn body(inputs: &[(&str, bool)]) -> String {
        let script = script(&record(inputs));
        script.split_once("seed(7);\n").unwrap().1.to_owned()
    }

    #[test]
    fn shown_values_are_shown_again() {
        for (code, shown, text) in [
            ("let a = 1", false, "let a = 1;\n"),
            ("f(2);", false, "f(2);\n"),
            ("fn f(x) { x }", false, "fn f(x) { x };\n"),
            ("let m = #{ a: 1 }", false, "let m = #{ a: 1 };\n"),
            ("1 + 2", true, "show(1 + 2);\n"),
            ("1 + 2 // three", true, "show(\n1 + 2 // three\n);\n"),
            ("let a = \"x;y\"; a", true, "let a = \"x;y\";\nshow(a);\n"),
            ("fn f(x) { x } f(3)", true, "fn f(x) { x };\nshow(f(3));\n"),
            ("let b = 2 // two", false, "let b = 2 // two\n;\n"),
        ] {
            assert_eq!(body(&[(code, shown)]), text, "{code}");
        }
    }

    #[test]
    fn the_last_value_is_kept_only_if_asked_for() {
        let text = body(&[("1 + 2", true), ("ans * 2", true)]);
        assert_eq!(text, "let ans = 1 + 2;\nshow(ans);\nlet ans = ans * 2;\nshow(ans);\n");
    }

    #[test]
    fn the_prelude_comes_only_if_needed() {
        let has =
            |inputs: &[(&str, bool)]| script(&record(inputs)).contains("demo:tales\");\nseed");
        assert!(!has(&[("1 + 2", true)]));
        assert!(has(&[("1 + 2", true), ("model.name", true)]));
        assert!(has(&[("chat.say(\"hi\")", true), ("let model = 3", false)]));
        assert!(!has(&[("let model = load_model(\"x\");", false), ("chat.undo()", false)]));
    }

    #[test]
    fn only_own_files_are_replaced() {
        let folder = std::env::temp_dir().join(format!("rwkv-saving-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (own, other) = (folder.join("own.rhai"), folder.join("other.rhai"));
        fs::write(&other, "precious").unwrap();
        let mut record = record(&[("1", true), ("2", true), ("3", true)]);
        let all = 1..=usize::MAX;
        assert!(record.save(&other, false, &all).is_err());
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
        for (path, replace) in [(&own, false), (&own, false), (&other, true), (&other, false)] {
            assert_eq!(record.save(path, replace, &all).unwrap(), Saved(3));
            assert_eq!(fs::read_to_string(path).unwrap(), script(&record));
        }
        assert_eq!(record.save(&own, false, &(2..=3)).unwrap(), Saved(2));
        assert!(fs::read_to_string(&own).unwrap().ends_with(";\nshow(2);\nshow(3);\n"));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "nothing is left beside");
        fs::remove_dir_all(folder).unwrap();
    }
}
