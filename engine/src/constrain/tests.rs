use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::*;
use crate::device;
use crate::generate::{Finish, Generation, Options, generate};
use crate::model::{Loading, Model};
use crate::sample::Sampler;

fn toy() -> Model {
    Model::load("toy:rwkv7", &Loading::default(), &device::choose("cpu").unwrap()).unwrap()
}

fn run(model: &Model, form: &Form, seed: u64, max_tokens: usize) -> Generation {
    let sampler = Sampler { temperature: 2.0, ..Sampler::plain() };
    let form = Some(form.clone());
    let options = Options { sampler, seed, max_tokens, form, ..Options::default() };
    let go = AtomicBool::new(false);
    generate(model, &[72, 105], &model.state(), &options, &go, |_| Ok(true)).unwrap()
}

/// Whether a text has the form from its first byte to its last.
fn fits(form: &Form, text: &str) -> bool {
    let mut constraint =
        Constraint::new(form, &Vocabulary::of(&Tokenizer::Bytes).unwrap()).unwrap();
    let mut all = text.bytes().map(u32::from);
    all.all(|byte| constraint.allows(byte) && constraint.push(byte).is_ok()) && constraint.may_end()
}

fn regex(text: &str) -> Form {
    Form::Regex(text.into())
}

#[test]
fn forms_are_what_they_say() {
    let date = regex(r"\d{4}-(0[1-9]|1[0-2])-[0-3]\d");
    assert!(fits(&date, "2026-11-21") && !fits(&date, "2026-13-21") && !fits(&date, "2026-11-2"));
    let choices = Form::Choices(vec!["no".into(), "nope".into(), "\"ä\\\n\"".into()]);
    assert!(fits(&choices, "no") && fits(&choices, "nope") && fits(&choices, "\"ä\\\n\""));
    assert!(!fits(&choices, "nop") && !fits(&choices, "yes"));
    let schema = Form::json_schema(&r#"{"type": "array", "items": {"enum": [1, true]}}"#).unwrap();
    assert!(
        fits(&schema, "[1, true, 1]")
            && !fits(&schema, "[1,1]")
            && !fits(&schema, "[2]")
            && !fits(&schema, "[1")
    );
    let sums = "start: sum\nsum: NUMBER | sum \"+\" sum | \"(\" sum \")\"\nNUMBER: /[0-9]+/";
    let sums = Form::Grammar(sums.into());
    assert!(fits(&sums, "1+(2+3)") && !fits(&sums, "1+(2+3") && !fits(&sums, "+1"));
}

#[test]
fn random_models_write_what_is_asked_for() {
    let model = toy();
    let email = regex(r"[a-z]{1,8}@[a-zäöü]{2,9}\.(org|net)");
    let choices = vec!["yes".to_string(), "no".into(), "nobody".into()];
    for seed in 0..20 {
        let out = run(&model, &email, seed, 200);
        assert!(fits(&email, &out.text), "{:?}", out.text);
        assert_eq!(out.finish, Finish::Complete);
        let out = run(&model, &Form::Choices(choices.clone()), seed, 20);
        assert!(choices.contains(&out.text), "{:?}", out.text);
        assert!([Finish::Complete, Finish::End].contains(&out.finish), "{:?}", out.text);
    }
}

#[test]
fn random_models_write_json_that_parses() {
    let model = toy();
    let schema = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "maxLength": 6 },
            "age": { "type": "integer", "minimum": 0, "maximum": 120 },
            "tags": { "type": "array", "items": { "enum": ["a", "b\"c"] }, "maxItems": 3 },
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": false,
    });
    for seed in 0..20 {
        let out = run(&model, &Form::JsonSchema(schema.clone()), seed, 1000);
        let value: Value = serde_json::from_str(&out.text).expect(&out.text);
        assert!(!out.text.contains("\n\n"), "{:?}", out.text);
        assert!((0..=120).contains(&value["age"].as_i64().unwrap()), "{value}");
        assert!(value["name"].as_str().unwrap().chars().count() <= 6, "{value}");
        assert!(
            value["tags"].as_array().unwrap().len() <= 3 && value.as_object().unwrap().len() == 3
        );
        assert!([Finish::Complete, Finish::End].contains(&out.finish), "{:?}", out.finish);
    }
}

fn open(json: &str) -> Tokenizer {
    let name = format!("rwkv-forms-{}-{}.json", std::process::id(), json.len());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, json).unwrap();
    let tokenizer = Tokenizer::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    tokenizer
}

#[test]
fn a_tokenizer_of_whole_words_is_refused() {
    let words = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null,
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"<unk>": 0, "on": 1}, "unk_token": "<unk>"}}"#;
    let error = Vocabulary::of(&open(words)).unwrap_err().to_string();
    assert!(error.contains("byte-level"), "{error}");
}

#[test]
fn every_tokenizer_can_be_held_to_a_form() {
    let words = r#"{"version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [], "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false,
        "trim_offsets": true}, "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false,
        "continuing_subword_prefix": null, "end_of_word_suffix": null, "merges": ["Ĺ ¥"],
        "vocab": {"æ": 0, "Ĺ": 1, "¥": 2, "Ĺ¥": 3, "a": 4, "ÿ": 5}}}"#;
    let json = Vocabulary::of(&open(words)).unwrap();
    let allowed = |constraint: &Constraint| -> Vec<u32> {
        (0..7).filter(|&id| constraint.allows(id)).collect()
    };
    let mut constraint = Constraint::new(&regex("日a?"), &json).unwrap();
    assert_eq!(allowed(&constraint), [0], "the first byte of 日");
    constraint.push(0).unwrap();
    assert_eq!(allowed(&constraint), [1, 3], "its rest, at once or in two");
    constraint.push(1).unwrap();
    assert!(!constraint.may_end(), "half a character");
    constraint.push(2).unwrap();
    assert!(constraint.may_end() && !constraint.is_complete());
    assert_eq!(allowed(&constraint), [4]);
    constraint.push(4).unwrap();
    assert!(constraint.is_complete() && allowed(&constraint).is_empty());

    let world = Tokenizer::world();
    let vocabulary = Vocabulary::of(&world).unwrap();
    let text = "{\"日本\": [\"tokens of many letters\"]}";
    let mut constraint = Constraint::new(&Form::JsonSchema(json!({})), &vocabulary).unwrap();
    for token in world.encode(text).unwrap() {
        assert!(constraint.allows(token), "{token}");
        constraint.push(token).unwrap();
    }
    assert!(constraint.may_end());
    assert!(constraint.push(world.encode("!").unwrap()[0]).is_err());
}

#[test]
fn what_cannot_be_is_said() {
    let bytes = Vocabulary::of(&Tokenizer::Bytes).unwrap();
    for (form, said) in [
        (Form::Choices(vec![]), "`choices` is empty"),
        (Form::Choices(vec!["a".into(), String::new()]), "holds an empty text"),
        (regex("(a"), "`regex` cannot be used"),
        (regex(r"[^\s\S]"), "`regex`"),
        (Form::JsonSchema(json!({ "type": "text" })), "`json_schema` cannot be used"),
        (
            Form::JsonSchema(json!({ "type": "integer", "minimum": 3, "maximum": 2 })),
            "`json_schema`",
        ),
        (Form::Grammar("begin: \"a\"".into()), "`grammar` cannot be used"),
    ] {
        let error = Constraint::new(&form, &bytes).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(said), "{form:?}: {error}");
    }
    assert!(Form::json_schema(&"{").unwrap_err().to_string().contains("is not JSON"));
    let empty = run(&toy(), &regex(""), 0, 5);
    assert_eq!((empty.text.as_str(), empty.finish), ("", Finish::Complete));
}

#[test]
fn bans_and_lengths_hold_as_well() {
    let model = toy();
    let sampler = Sampler { ban: (0..128).collect(), ..Sampler::plain() };
    let options = Options { sampler, form: Some(regex("[a-z]+")), ..Options::default() };
    let go = AtomicBool::new(false);
    let error = generate(&model, &[1], &model.state(), &options, &go, |_| Ok(true)).unwrap_err();
    assert!(error.to_string().contains("no token is left"), "{error}");
    let out = run(&model, &regex("[a-z]{50}"), 1, 7);
    assert_eq!((out.finish, out.tokens.len()), (Finish::Length, 7));
}

#[test]
#[allow(clippy::print_stdout, reason = "the times are worth a look")]
fn masks_of_a_large_vocabulary_are_quick() {
    let start = Instant::now();
    let world = Tokenizer::world();
    let vocabulary = Vocabulary::of(&world).unwrap();
    println!("vocabulary: {:?}", start.elapsed());
    world.vocabulary().unwrap();
    let start = Instant::now();
    world.vocabulary().unwrap();
    assert!(start.elapsed().as_millis() < 10, "it is made once");
    let schema = json!({ "type": "object", "properties": { "text": { "type": "string" } },
        "required": ["text"] });
    for form in [Form::JsonSchema(schema), regex(r"\{[^}]*\}"), regex(r#".*"#)] {
        let start = Instant::now();
        let mut constraint = Constraint::new(&form, &vocabulary).unwrap();
        println!("{}: {:?}", form.name(), start.elapsed());
        let tokens =
            world.encode("{\"text\": \"a few words, and some more of them 日本\"}").unwrap();
        let (mut worst, start) = (std::time::Duration::ZERO, Instant::now());
        for &token in &tokens {
            assert!(constraint.allows(token));
            let start = Instant::now();
            constraint.push(token).unwrap();
            worst = worst.max(start.elapsed());
        }
        let mean = start.elapsed() / tokens.len() as u32;
        println!("{} tokens: {mean:?} each, {worst:?} at worst", tokens.len());
        assert!(mean.as_millis() < 100, "{mean:?}");
    }
}

#[test]
fn a_text_ends_where_the_model_would_leave_its_form() {
    let model = toy();
    let options =
        Options { form: Some(Form::Regex("a+".into())), end: vec![], ..Options::default() };
    for seed in 0..5 {
        let options = Options { seed, max_tokens: 500, ..options.clone() };
        let go = AtomicBool::new(false);
        let out = generate(&model, &[72], &model.state(), &options, &go, |_| Ok(true)).unwrap();
        assert!(out.text.len() < 100 && out.text.bytes().all(|byte| byte == b'a'), "{}", out.text);
        assert_eq!(out.finish, Finish::Complete);
        assert_eq!(out.tokens.len(), out.text.len());
    }
}
