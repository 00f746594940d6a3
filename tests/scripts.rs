//! Every script in `scripts/` runs and says what its `//>` lines promise, in their order.
//!
//! `*` in such a line stands for anything: figures that depend on the machine are not promised.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rwkv_scripting::{Canvas, Options, Output, Session};

/// What a script is given, where it is not nothing: small enough for a test.
const ARGUMENTS: [(&str, &[&str]); 6] = [
    ("10_memory_surgery.rhai", &["2"]),
    ("13_tune_a_style.rhai", &["4", "2"]),
    ("demo/reverse.rhai", &["2", "$TMP/reverse-test.safetensors", "2"]),
    ("demo/shapes.rhai", &["2", "$TMP/shapes-test.safetensors", "4"]),
    ("demo/tales.rhai", &["2", "$TMP/tales-test.safetensors", "40", "2"]),
    ("lessons/9_training_with_a_carried_state.rhai", &["4", "8"]),
];

/// Scripts that take any model as their first argument.
const OPEN: [&str; 4] = [
    "01_gpt_vs_rnn.rhai",
    "02_state_surgery.rhai",
    "03_chat_branches.rhai",
    "07_head_ablation.rhai",
];

/// A model of each kind of memory.
const MODELS: [&str; 5] = ["toy:rwkv4", "toy:rwkv5.2", "toy:rwkv6", "toy:rwkv7", "demo:tales"];

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
        let given =
            ARGUMENTS.iter().find(|(script, _)| *script == name).map_or(&[][..], |(_, a)| a);
        let said = run(&script, &name, &code, given);
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
fn open_scripts_run_on_every_kind_of_model() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    for name in OPEN {
        let path = folder.join(name);
        let code = std::fs::read_to_string(&path).unwrap();
        for model in MODELS {
            let said = run(&path, name, &code, &[model]);
            // What a version does not have is said in one line.
            let sums = said.lines().any(|line| line.ends_with("of RWKV-4: that part is left out"));
            let heads = !said.contains("there is no head to zero");
            let is_v4 = model == "toy:rwkv4";
            assert_eq!(sums, name.starts_with("02") && !is_v4, "{name} {model}\n{said}");
            assert_eq!(heads, !(name.starts_with("07") && is_v4), "{name} {model}\n{said}");
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
fn run(path: &Path, name: &str, code: &str, given: &[&str]) -> String {
    let temporary = std::env::temp_dir().to_string_lossy().into_owned();
    let options = Options {
        device: "cpu".into(),
        seed: Some(1),
        args: given.iter().map(|arg| arg.replace("$TMP", &temporary)).collect(),
        folder: path.parent().unwrap().to_path_buf(),
        interactive: false,
        terminal: false,
    };
    let canvas = Canvas { width: 100, ..Canvas::default() };
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
