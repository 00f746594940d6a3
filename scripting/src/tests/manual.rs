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
    let page = desk.session.help("bench");
    assert!(page.contains("bench(work: Function, options: Map) -> Map"), "{page}");
    assert!(page.contains("    let t = bench(|| 1 + 1, #{ warmup: 0, iters: 5 });"), "{page}");
    assert!(desk.session.help("plot::line").contains("plot::line(ys: Value) -> View"));
    let array = desk.session.help("Array");
    assert!(array.contains(".sorted() -> Array") && array.contains("A sorted copy"), "{array}");
    assert!(desk.session.help("plot").contains("plot::heatmap"));
    let unknown = desk.session.help("benhc");
    assert!(unknown.contains("Did you mean `bench`?"), "{unknown}");
    desk.line("/// Doubles.\nfn twice(x) { x * 2 }");
    assert_eq!(desk.session.help("twice"), "twice(x)\n\nDoubles.");
    desk.line("let list = [1];");
    assert!(desk.session.help("list").contains("variable of type Array"));
    let topics = desk.session.topics();
    assert!(
        topics.iter().any(|(name, about)| name == "args" && about.contains("command line")),
        "{topics:?}"
    );
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
