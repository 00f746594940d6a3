//! House rules that neither the compiler nor clippy knows, checked on the files of the repository.

use std::fs;
use std::path::Path;

const LONGEST_FILE: usize = 400;
const LONGEST_FUNCTION: usize = 60;
/// Tables may be longer than a person can read at once.
const TABLES: &[&str] = &[];

/// What may stand in the code of few places only, and those places.
const HOMES: &[(&str, &[&str])] = &[
    ("Backend", &["kernels/src/fused", "kernels/src/cpu", "kernels/src/cuda"]),
    ("burn::", &["kernels/", "engine/", "tests/"]),
    ("tokenizers::", &["engine/"]),
    ("rhai::", &["scripting/"]),
    ("rustyline::", &["repl/"]),
    ("crossterm::", &["repl/"]),
    ("icy_sixel::", &["repl/"]),
    ("indicatif::", &["repl/"]),
    ("plotters::", &["scripting/"]),
    ("#[cfg(feature", &["kernels/", "engine/src/device.rs"]),
    ("println!", &["repl/", "tests/", "kernels/benches/"]),
    ("eprintln!", &["repl/", "tests/", "kernels/benches/"]),
    (".unwrap()", &["tests/", "kernels/benches/"]),
];

/// Everything that is wrong with one file, each as `path:line: what`.
fn complaints(path: &str, text: &str) -> Vec<String> {
    let found = match path.rsplit_once('.') {
        Some((_, "rs")) => [strays(path, text), long(path, text)].concat(),
        Some((_, "toml")) => dependencies(path, text),
        Some((_, "rhai")) => nameless(text),
        _ => vec![],
    };
    found.into_iter().map(|(line, what)| format!("{path}:{}: {what}", line + 1)).collect()
}

/// Words away from home. Comments may say anything; so may the tests at the end of a file.
fn strays(path: &str, text: &str) -> Vec<(usize, String)> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    let strays = lines.flat_map(|(at, line)| {
        let words = HOMES.iter().filter(move |(word, _)| mentions(line, word));
        words.map(move |(word, homes)| (at, *word, *homes))
    });
    strays
        .filter(|(_, _, homes)| !is_test(path) && !at_home(path, homes))
        .map(|(at, word, homes)| (at, format!("`{word}` belongs in {}.", homes.join(", "))))
        .collect()
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/src/") && path.contains("/tests/")
}

fn at_home(path: &str, homes: &[&str]) -> bool {
    path == "tests/tidy.rs" || homes.iter().any(|home| path.starts_with(home))
}

/// Whether `line` has `word`, and not as a part of a longer one.
fn mentions(line: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let starts = !word.starts_with(char::is_alphabetic) || !part(line[..at].chars().last());
        let ends =
            !word.ends_with(char::is_alphabetic) || !part(line[at + word.len()..].chars().next());
        starts && ends
    })
}

/// An outside package among the dependencies of a crate that is not its home.
fn dependencies(path: &str, text: &str) -> Vec<(usize, String)> {
    let packages = HOMES.iter().filter_map(|(word, homes)| Some((word.strip_suffix("::")?, homes)));
    let packages: Vec<_> = packages.filter(|(_, homes)| !at_home(path, homes)).collect();
    text.lines()
        .enumerate()
        .filter_map(|(at, line)| {
            let name = line.split(['.', ' ', '=']).next()?;
            let (_, homes) = packages.iter().find(|(package, _)| *package == name)?;
            Some((at, format!("`{name}` belongs in {}.", homes.join(", "))))
        })
        .collect()
}

/// A file or functions that are longer than a reader's breath.
fn long(path: &str, text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = vec![];
    if lines.len() > LONGEST_FILE && !TABLES.contains(&path) {
        found.push((0, format!("{} lines; cut it into files by what they do.", lines.len())));
    }
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| opens_function(line)) {
        // rustfmt puts the closing brace under the first word.
        let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
        let length = lines[at..].iter().position(|line| *line == end).unwrap_or(0) + 1;
        if !line.ends_with(['}', ';']) && length > LONGEST_FUNCTION {
            found.push((at, format!("a function of {length} lines; cut it by its steps.")));
        }
    }
    found
}

fn opens_function(line: &str) -> bool {
    let words = line.trim_start().split(' ').take_while(|word| {
        ["pub", "pub(crate)", "pub(super)", "const", "unsafe", "fn"].contains(word)
    });
    words.last() == Some("fn")
}

/// A script whose first line, after a `#!` line, does not say what it is for.
fn nameless(text: &str) -> Vec<(usize, String)> {
    let first = text.lines().find(|line| !line.starts_with("#!")).unwrap_or_default();
    let said = first.strip_prefix("//! ").is_some_and(|said| said.contains(' '));
    if said {
        vec![]
    } else {
        vec![(0, "begin with `//! ` and a sentence on what it shows.".into())]
    }
}

/// Complaints about all files of a folder, and of the folders in it.
fn walk(root: &Path, folder: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root.join(folder)) else { return vec![] };
    let mut found = vec![];
    for entry in entries.flatten() {
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        match fs::read_to_string(entry.path()) {
            Ok(text) => found.extend(complaints(&path, &text)),
            Err(_) => found.extend(walk(root, &path)),
        }
    }
    found.sort();
    found
}

#[test]
fn the_house_rules_are_kept() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = ["kernels", "engine", "scripting", "repl", "tests", "scripts"];
    let found: Vec<String> = folders.iter().flat_map(|folder| walk(&root, folder)).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_rule_catches_its_breach() {
    let body = "    step();\n".repeat(60);
    let function = format!("impl A {{\n    pub fn long(\n    ) {{\n{body}    }}\n}}\n");
    let cases = [
        (
            "engine/src/a.rs",
            "use rhai::Engine;",
            "engine/src/a.rs:1: `rhai::` belongs in scripting/.",
        ),
        ("repl/src/a.rs", "x();\nlet t: burn::Tensor;", ":2: `burn::` belongs"),
        ("engine/src/a.rs", "fn f<B: Backend>() {}", "`Backend` belongs"),
        ("scripting/src/a.rs", "use tokenizers::Model;", "`tokenizers::` belongs in engine/."),
        ("scripting/src/a.rs", "rustyline::x();", "belongs in repl/."),
        ("engine/src/a.rs", "#[cfg(feature = \"cuda\")]", "engine/src/device.rs"),
        ("engine/src/a.rs", "    eprintln!(\"x\");", "`eprintln!` belongs"),
        ("repl/src/a.rs", "a.unwrap();", "`.unwrap()` belongs in tests/"),
        ("repl/Cargo.toml", "rhai = \"1\"", "`rhai` belongs in scripting/."),
        ("scripting/Cargo.toml", "burn.workspace = true", "`burn` belongs"),
        ("engine/src/a.rs", &"x();\n".repeat(401), "401 lines"),
        ("engine/src/a.rs", &function, ":2: a function of 63 lines"),
        ("scripts/a.rhai", "let a = 1;", "begin with `//! `"),
        ("scripts/a.rhai", "#!/usr/bin/env rwkv\n//!", "begin with `//! `"),
    ];
    for (path, text, expected) in cases {
        let found = complaints(path, text).join("\n");
        assert!(found.contains(expected), "{path} should get `{expected}`, got `{found}`");
    }
}

#[test]
fn what_is_allowed_is_left_alone() {
    let short = "fn short() {\n    step();\n}\n".repeat(50);
    let cases = [
        ("scripting/src/a.rs", "use rhai::Engine;"),
        ("repl/src/a.rs", "open(\"scripts/a.rhai\"); println!();"),
        ("engine/src/a.rs", "// x.unwrap() and burnt::Backends\nfn a() -> BackendKind {}"),
        ("engine/src/a.rs", "fn a();\n#[cfg(test)]\nmod tests {\n    x.unwrap();\n}"),
        ("engine/src/a/tests.rs", "x.unwrap();"),
        ("engine/src/tests/a.rs", "x.unwrap();"),
        ("kernels/src/fused.rs", "pub trait Fused: Backend {}"),
        ("engine/src/a.rs", &short),
        ("engine/Cargo.toml", "burn.workspace = true\ntokenizers = \"1\""),
        ("scripts/a.rhai", "#!/usr/bin/env rwkv\n//! What a state remembers.\nlet a = 1;"),
    ];
    for (path, text) in cases {
        assert_eq!(complaints(path, text), Vec::<String>::new(), "{path}");
    }
}
