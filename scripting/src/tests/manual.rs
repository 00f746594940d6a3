//! Every function of ours has a sentence and an example, and every example runs.

use super::Desk;
use crate::help::{Kind, Registry};
use std::collections::BTreeMap;

fn registry() -> Registry {
    let options = crate::Options {
        device: "cpu".into(),
        seed: Some(1),
        args: Vec::new(),
        folder: std::env::temp_dir(),
        interactive: false,
        terminal: false,
    };
    let host = std::rc::Rc::new(crate::host::Host::new(options, std::rc::Rc::new(|_| {})));
    Registry::new(&crate::engine::build(&host))
}

#[test]
fn every_function_has_a_sentence_and_an_example() {
    let registry = registry();
    let mut complete: BTreeMap<String, bool> = BTreeMap::new();
    for entry in registry.entries.iter().filter(|e| !e.standard && e.kind != Kind::Operator) {
        let whole = !entry.sentence().is_empty() && !entry.examples().is_empty();
        *complete.entry(entry.title()).or_default() |= whole;
    }
    let bare: Vec<_> =
        complete.iter().filter(|(name, whole)| !**whole && *name != "panic_for_tests").collect();
    assert!(bare.is_empty(), "without doc or example: {bare:?}");
    assert!(complete.len() > 30, "{}", complete.len());
}

/// Arguments that a name and a type say all about, whatever the function.
const PLAIN: [&str; 10] =
    ["path", "other", "index", "seed", "n", "range", "layer", "head", "dtype", "weight"];

/// Plainer words that a doc may use for an argument.
const SAID_AS: [(&str, &[&str]); 11] = [
    ("content", &["text", "ask", "question", "returned", "read"]),
    ("tokens", &["text", "run over"]),
    ("choices", &["texts"]),
    ("factor", &["times", "multiplies"]),
    ("name", &["part", "path"]),
    ("work", &["function"]),
    ("from", &["checkpoint"]),
    ("values", &["array"]),
    ("list", &["array"]),
    ("toward", &["that show"]),
    ("away", &["that do not"]),
];

#[test]
fn every_argument_is_told() {
    let registry = registry();
    let mut told: BTreeMap<String, bool> = BTreeMap::new();
    let ours = registry.entries.iter().filter(|e| !e.standard && e.kind != Kind::Operator);
    for entry in ours.filter(|entry| entry.name != "panic_for_tests") {
        for (name, of) in &entry.arguments {
            let doc = entry.doc.to_lowercase();
            // `tokens` is told by "tokens", `weight` by "weights", `value` by "values".
            let word = name.trim_end_matches('s').replace('_', " ");
            let plainer = SAID_AS.iter().filter(|(argument, _)| argument == name);
            let named = doc.contains(&word)
                || PLAIN.contains(&name.as_str())
                || plainer.flat_map(|(_, words)| *words).any(|word| doc.contains(word));
            let options = of == "Map" && !entry.options().is_empty();
            *told.entry(format!("{} {name}", entry.title())).or_default() |= named || options;
        }
    }
    let silent: Vec<_> = told.iter().filter(|(_, told)| !**told).map(|(name, _)| name).collect();
    assert!(silent.is_empty(), "arguments that no doc speaks of: {silent:#?}");
}

#[test]
fn every_example_runs() {
    for entry in registry().entries.iter().filter(|entry| !entry.standard) {
        for code in entry.examples() {
            let mut desk = Desk::new();
            if let Err(failure) = desk.session.run(&entry.title(), &code) {
                panic!("{}\n{code}\n{}", entry.title(), failure.draw(&crate::Canvas::default()));
            }
        }
    }
}

#[test]
fn help_knows_functions_types_modules_and_variables() {
    let mut desk = Desk::new();
    let page = desk.session.help("bench", 80);
    assert!(page.contains("bench(work: Function, options: Map) -> Map"), "{page}");
    assert!(page.contains("    let t = bench(|| 1 + 1, #{ warmup: 0, iters: 5 });"), "{page}");
    assert!(desk.session.help("plot::line", 80).contains("plot::line(ys: Value) -> View"));
    let array = desk.session.help("Array", 80);
    assert!(array.contains(".sorted() -> Array") && array.contains("A sorted copy"), "{array}");
    assert!(desk.session.help("plot", 80).contains("plot::heatmap"));
    let unknown = desk.session.help("benhc", 80);
    assert!(unknown.contains("Did you mean `bench`?"), "{unknown}");
    desk.line("/// Doubles.\nfn twice(x) { x * 2 }");
    assert_eq!(desk.session.help("twice", 80), "twice(x)\n\nDoubles.");
    desk.line("let list = [1];");
    assert!(desk.session.help("list", 80).contains("variable of type Array"));
    let topics = desk.session.topics();
    assert!(
        topics.iter().any(|(name, about)| name == "args" && about.contains("command line")),
        "{topics:?}"
    );
}

#[test]
fn help_leads_on() {
    let mut desk = Desk::new();
    let page = desk.session.help("load_model", 80);
    assert!(page.contains("\n\nSee also: "), "{page}");
    let more = desk.session.source("Model.new_state", 80);
    assert!(more.contains("Used in the examples of: "), "{more}");
    desk.line("/// Doubles.\nfn twice(x) {\n    x * 2 // so\n}");
    let source = desk.session.source("twice", 80);
    assert_eq!(source, "/// Doubles.\nfn twice(x) {\n    x * 2 // so\n}");
    desk.line("let list = [1];");
    assert!(desk.session.source("list", 80).contains("variable of type Array"));
}

#[test]
fn help_keeps_to_the_screen() {
    let desk = Desk::new();
    let topics = desk.session.topics();
    for width in [40, 80] {
        for (topic, _) in &topics {
            for line in desk.session.help(topic, width).lines() {
                // Code keeps its lines, and a name cannot be broken.
                let fixed = line.starts_with("    ") || !line.trim().contains(' ');
                assert!(fixed || line.chars().count() <= width, "{topic} at {width}: {line}");
            }
        }
    }
}

#[test]
fn the_reference_has_every_function_once() {
    let desk = Desk::new();
    let page = desk.session.reference();
    for part in ["\n## Functions\n", "\n## plot\n", "\n## State\n", "`seed(n: Integer)`"] {
        assert!(page.contains(part), "{part}");
    }
    let headings = page.lines().filter(|line| line.starts_with("### ")).count();
    assert!(headings > 100, "{headings}");
    assert!(page.matches("```").count().is_multiple_of(2), "every fence is closed");
}

#[test]
fn definitions_are_well_formed() {
    let text = Desk::new().session.definitions();
    assert!(text.starts_with("module static;"), "{text}");
    assert!(text.contains("\nfn bench(work: Function, options: Map) -> Map;"), "{text}");
    assert!(text.contains("fn seed(n: Integer) -> ();"), "{text}");
    assert!(
        text.lines().filter(|line| line.starts_with("fn ")).all(|line| line.ends_with(';')),
        "{text}"
    );
}
