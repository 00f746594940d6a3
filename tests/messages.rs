//! Failures and manual pages as they stand on screens of 40 and 80 columns, with and without colour
//! and Unicode, and the reference page.
//!
//! `RWKV_RENEW=1 cargo test --release --workspace messages` writes what is compared here anew; read
//! the difference before it is committed.

use rwkv_scripting::{Canvas, Options, Session};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::terminal::{Folder, pipe};

/// What somebody typed before, and the line that fails.
const MISTAKES: &[(&str, &str)] = &[
    ("", "let layers = 3; layrs + 1"),
    ("", "let a = [1,, 2]"),
    ("", "if true { 1 } els { 2 }"),
    ("", "let text = \"open"),
    ("let m = load_model(\"toy:rwkv7\");", "m.new_state().sumary()"),
    ("let m = load_model(\"toy:rwkv7\");", "m.n_layers"),
    ("", "load_modle(\"toy:rwkv7\")"),
    ("", "plot::lin([1, 2])"),
    ("", "bench(|| 1, #{ iter: 3 })"),
    ("", "plot::line([1, 2], #{ height: 0 })"),
    ("", "\"3\" * 2"),
    ("", "1.5.fixed(\"two\")"),
    ("let item = #{ q: 1, choices: [1, 2] };", "item.choices.map(|c| c + item.q)"),
    ("const LIMIT = 3;", "LIMIT = 4"),
    ("let list = [1];\nfn grow() { list.push(2) }", "grow()"),
    ("fn inner(x) {\n    x.nothing()\n}\nfn outer(x) { inner(x) }", "[1, 2].map(|x| outer(x))"),
    ("fn endless(n) { endless(n + 1) }", "endless(0)"),
    ("", "assert(1 > 2, \"the two modes disagree by more than one part in a thousand\")"),
    ("", "throw #{ code: 7 }"),
    ("", "import \"nowhere\" as n;"),
    (
        "",
        "let total = 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10 + 11 + misspelled + 12 + 13 + 14 + 15",
    ),
    ("", "load_model(\"nowhere.pth\")"),
];

/// Topics of the manual.
const TOPICS: &[&str] = &["bench", "State.lerp", "Layer", "plot::line", "benhc"];

fn session() -> Session {
    let options = Options {
        device: "cpu".into(),
        seed: Some(1),
        args: Vec::new(),
        folder: PathBuf::from("."),
        interactive: true,
        terminal: false,
    };
    Session::new(options, Rc::new(|_| {}))
}

fn mistakes(canvas: &Canvas) -> String {
    let mut text = String::new();
    for (before, code) in MISTAKES {
        let mut session = session();
        if !before.is_empty() {
            session.eval(before).unwrap_or_else(|f| panic!("{}", f.draw(canvas)));
        }
        let failure = session.eval(code).map(|_| ()).expect_err(code);
        text += &format!("{}\n\n", failure.draw(canvas));
    }
    text
}

/// Compares a text with the file of its name, or writes the file.
fn compare(path: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    // Escape codes as something that can be read.
    let text = text.replace('\x1b', "^[");
    if std::env::var_os("RWKV_RENEW").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let line = text.lines().zip(expected.lines()).position(|(a, b)| a != b);
    let line = line.unwrap_or(text.lines().count().min(expected.lines().count()));
    assert!(
        text == expected,
        "{} differs from line {} on; RWKV_RENEW=1 renews it. Now it is\n{}",
        path.display(),
        line + 1,
        text.lines().skip(line.saturating_sub(3)).take(12).collect::<Vec<_>>().join("\n"),
    );
}

#[test]
fn messages_of_failures() {
    for width in [40, 80] {
        for (style, colour, unicode) in
            [("colour", true, true), ("unicode", false, true), ("ascii", false, false)]
        {
            let text = mistakes(&Canvas { width, colour, unicode, ..Canvas::default() });
            compare(&format!("golden/screens/failures_{width}_{style}.txt"), &text);
            for line in text.lines().filter(|_| !colour) {
                // A name such as `line 2:2:5` cannot be broken.
                let fits = line.chars().count() <= width || !line.trim().contains(' ');
                assert!(fits, "wider than {width}: {line}");
                assert!(unicode || line.is_ascii(), "{line}");
            }
        }
    }
}

#[test]
fn messages_of_the_manual() {
    for width in [40, 80] {
        let session = session();
        let pages = TOPICS.iter().map(|topic| format!("{}\n\n\n", session.help(topic, width)));
        compare(&format!("golden/screens/manual_{width}.txt"), &pages.collect::<String>());
    }
}

#[test]
fn messages_the_reference_page_is_what_the_program_writes() {
    let folder = Folder::new();
    let (page, err, code) = pipe(&folder.0, &["reference"], "");
    assert_eq!((err.as_str(), code), ("", 0));
    compare("../scripting/REFERENCE.md", &page);
}
