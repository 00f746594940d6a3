//! Every script in `scripts/` runs and says what its `//>` lines promise, in their order.
//!
//! `*` in such a line stands for anything: figures that depend on the machine are not promised.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rwkv_scripting::{Canvas, Options, Output, Session};

/// What a script is given, where it is not nothing: small enough for a test.
const ARGUMENTS: [(&str, &[&str]); 1] =
    [("demo/tales.rhai", &["2", "$TMP/tales-test.safetensors", "40", "2"])];

#[test]
fn scripts_say_what_they_promise() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    let scripts = scripts_below(&folder);
    assert!(scripts.len() >= 4, "{scripts:?}");
    for script in scripts {
        let name = script.strip_prefix(&folder).unwrap().to_string_lossy().replace('\\', "/");
        let code = std::fs::read_to_string(&script).unwrap();
        let promised: Vec<_> =
            code.lines().filter_map(|line| line.trim_start().strip_prefix("//> ")).collect();
        assert!(!promised.is_empty(), "{name} promises nothing");
        let said = run(&script, &name, &code);
        let mut lines = said.lines();
        for line in promised {
            assert!(
                lines.any(|l| is_like(l.trim(), line.trim())),
                "{name}: no `{line}` in\n{said}"
            );
        }
    }
}

#[test]
fn a_star_stands_for_anything() {
    assert!(is_like("loss 0.25 at 3", "loss * at 3") && is_like("abc", "*c") && is_like("", "*"));
    assert!(!is_like("loss 0.25 at 3", "loss * at 4") && !is_like("abc", "*b"));
    assert!(is_like("same", "same") && !is_like("same!", "same"));
}

fn scripts_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.extension() {
            Some(end) if end == "rhai" => found.push(path),
            _ if path.is_dir() => found.extend(scripts_below(&path)),
            _ => {}
        }
    }
    found.sort();
    found
}

/// Everything a script prints and shows, drawn without colours.
fn run(path: &Path, name: &str, code: &str) -> String {
    let temporary = std::env::temp_dir().to_string_lossy().into_owned();
    let given = ARGUMENTS.iter().find(|(script, _)| *script == name).map_or(&[][..], |(_, a)| a);
    let options = Options {
        device: "cpu".into(),
        seed: Some(1),
        args: given.iter().map(|arg| arg.replace("$TMP", &temporary)).collect(),
        folder: path.parent().unwrap().to_path_buf(),
        interactive: false,
        terminal: false,
    };
    let canvas = Canvas { width: 100, colour: false, unicode: true, plain: false };
    let said = Rc::new(RefCell::new(String::new()));
    let heard = Rc::clone(&said);
    let out = move |output: Output| {
        let text = match output {
            Output::Print(line) => line.to_string(),
            Output::View(view) => view.draw(&canvas),
            _ => return,
        };
        heard.borrow_mut().push_str(&(text + "\n"));
    };
    let mut session = Session::new(options, Rc::new(out));
    if let Err(failure) = session.run(name, code) {
        panic!("{name} failed:\n{}\nafter\n{}", failure.draw(&canvas), said.borrow());
    }
    said.take()
}

/// Whether a line fits a pattern in which `*` stands for anything.
fn is_like(line: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}
