//! Texts, prompts, targets and choices read by models.

use std::cell::Cell;
use std::io::Cursor;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;

use super::super::*;
use super::{GO, TOYS, alphabetic, load, nll_of_the_next_letter, reader, undecided};
use crate::model::Model;
use crate::tokenizer::Tokenizer;

const TEXT: &str = "The ball is in the garden. Nela goes to the mill, and the sun shines.";

fn stretches(model: &Model, chunk: usize) -> Stretches {
    Stretches { chunk, carry: true, bos: true, state: model.state(), size: 0 }
}

fn blocks(text: &str) -> impl Iterator<Item = Result<Block>> + '_ {
    let tokens = text.bytes().map(u32::from).collect();
    std::iter::once(Ok(Block { tokens, bytes: text.len() as u64 }))
}

fn line(tokens: Vec<u32>) -> Line {
    Line { tokens, counts: Vec::new() }
}

fn far(a: f64, b: f64, most: f64) -> bool {
    (a - b).abs() > most || a.is_nan() || b.is_nan()
}

#[test]
fn a_model_that_knows_nothing_needs_eight_bits_for_a_byte() {
    let model = undecided();
    let found = perplexity(reader(&model), blocks(TEXT), &stretches(&model, 16)).unwrap();
    assert!(!far(found.value(), 256.0, 1e-3) && !far(found.bits_per_byte(), 8.0, 1e-6));
    assert_eq!((found.nll.count(), found.bytes), (TEXT.len() as u64, TEXT.len() as u64));
    assert!(found.nll.standard_error() < 1e-9 && found.complete);
}

#[test]
fn a_model_that_knows_the_alphabet_has_the_perplexity_of_the_formula() {
    let model = alphabetic();
    let no_bos = Stretches { bos: false, ..stretches(&model, 4) };
    let found = perplexity(reader(&model), blocks("abcdefghij"), &no_bos).unwrap();
    assert_eq!((found.nll.count(), found.bytes), (9, 9));
    assert!(!far(found.nll.value(), nll_of_the_next_letter(), 1e-4), "{found:?}");
    // The chunks: three letters that can be scored, four, two.
    let counts: Vec<u64> = found.chunks.iter().map(Mean::count).collect();
    assert_eq!(counts, [3, 4, 2]);
}

#[test]
fn chunks_with_memory_are_one_text() {
    for name in TOYS {
        let model = load(name);
        let of = |stretches: &Stretches| {
            perplexity(reader(&model), blocks(TEXT), stretches).unwrap().nll.value()
        };
        let whole = of(&stretches(&model, 1000));
        let by_hand = {
            let ids: Vec<u32> = [0].into_iter().chain(TEXT.bytes().map(u32::from)).collect();
            let found = model.surprises(&ids, &model.state(), &GO).unwrap();
            let bits: f64 = found.iter().map(|one| one.bits).sum();
            bits / found.len() as f64 * std::f64::consts::LN_2
        };
        assert!(!far(whole, by_hand, 1e-4), "{name} {whole} {by_hand}");
        for chunk in [1, 7, 69] {
            assert!(!far(of(&stretches(&model, chunk)), whole, 1e-4), "{name} {chunk}");
        }
        // Without memory every chunk is a text of its own.
        let forgetful = Stretches { carry: false, ..stretches(&model, 23) };
        let apart = [0, 23, 46].map(|at| {
            let part = &TEXT[at..(at + 23).min(TEXT.len())];
            perplexity(reader(&model), blocks(part), &stretches(&model, 99)).unwrap().nll
        });
        let apart = apart.into_iter().fold(Mean::default(), Mean::joined).value();
        assert!(!far(of(&forgetful), apart, 1e-4) && far(apart, whole, 1e-3), "{name}");
    }
}

#[test]
fn blocks_end_with_lines_and_change_nothing() {
    let bytes = Tokenizer::bytes();
    let text = "one line\nand another one\n\nlong-word-without-a-blank äöü".to_string();
    for size in [6, 12, 30, 1000] {
        let parts = Blocks::of(Cursor::new(text.as_bytes()), &bytes, "text", size);
        let parts: Vec<Block> = parts.collect::<Result<_>>().unwrap();
        let joined: Vec<u32> = parts.iter().flat_map(|part| part.tokens.clone()).collect();
        assert_eq!(bytes.decode(&joined), text);
        assert!(parts.iter().all(|part| part.bytes <= size as u64 && part.bytes > 0));
    }
    let first = Blocks::of(Cursor::new(text.as_bytes()), &bytes, "text", 12).next();
    assert_eq!(first.unwrap().unwrap().bytes, 9, "up to the end of the first line");
    assert!(Blocks::new(Cursor::new(b""), &bytes, "text").next().is_none());
    // Whole characters, where there is neither line nor word.
    let parts = Blocks::of(Cursor::new("äöü".as_bytes()), &bytes, "text", 3);
    assert!(parts.map(Result::unwrap).all(|part| part.bytes == 2));
}

#[test]
fn nothing_to_measure_is_said() {
    let model = load("toy:rwkv7");
    let of = |text: &str, bos: bool| {
        let stretches = Stretches { bos, ..stretches(&model, 8) };
        perplexity(reader(&model), blocks(text), &stretches).map(|found| found.nll.count())
    };
    assert_eq!(of("a", true).unwrap(), 1);
    assert!(of("", true).unwrap_err().to_string().contains("at least one token"));
    assert!(of("a", false).unwrap_err().to_string().contains("two tokens, or token 0"));
}

#[test]
fn an_interrupt_keeps_what_is_there() {
    let model = load("toy:rwkv7");
    let stop = AtomicBool::new(false);
    let reader = Reader { model: &model, interrupt: &stop };
    let parts = (0..4).map(|at| {
        stop.store(at == 2, Ordering::Relaxed);
        Ok(Block { tokens: vec![65; 8], bytes: 8 })
    });
    let found = perplexity(reader, parts, &stretches(&model, 8)).unwrap();
    assert!(!found.complete && found.nll.count() == 16 && found.bytes == 16, "{found:?}");
    let asked = [Target { context: "a".into(), target: "b".into() }];
    let found = guess(reader, &asked, &model.state(), true).unwrap();
    assert!(!found.complete && found.guesses.is_empty());
}

#[test]
fn rows_in_a_batch_are_read_as_alone() {
    for name in TOYS {
        let model = load(name);
        let rows = [&TEXT.as_bytes()[..40], &TEXT.as_bytes()[3..9], &TEXT.as_bytes()[20..]];
        let rows = rows.map(|row| row.iter().map(|b| u32::from(*b)).collect::<Vec<u32>>());
        let found = |rows: &[Vec<u32>], batch| {
            let rows = rows.iter().cloned().map(|row| Ok(line(row)));
            loss_by_position(reader(&model), rows, &model.state(), true, batch).unwrap()
        };
        let (alone, together) = (found(&rows, 1), found(&rows, 3));
        assert_eq!((together.places.len(), together.rows), (49, 3));
        for (a, b) in alone.places.iter().zip(&together.places) {
            assert!(a.count() == b.count() && !far(a.value(), b.value(), 1e-4), "{name}");
        }
        let counts: Vec<u64> = together.buckets(20).iter().map(|b| b.nll.count()).collect();
        assert_eq!(counts, [20 + 6 + 20, 20 + 20, 9]);
        assert_eq!(together.total().count(), 40 + 6 + 49);
    }
}

#[test]
fn rows_without_a_target_are_counted() {
    let model = load("toy:rwkv7");
    let of = |bos| {
        let rows = [vec![], vec![7], vec![1, 2, 3]].map(|row| Ok(line(row))).into_iter();
        loss_by_position(reader(&model), rows, &model.state(), bos, 2).unwrap()
    };
    assert_eq!((of(true).rows, of(true).empty), (2, 1));
    assert_eq!((of(false).rows, of(false).empty), (1, 2));
    // Nothing is said of the first token where nothing came before it.
    assert_eq!(of(false).places.iter().map(Mean::count).collect::<Vec<_>>(), [0, 1, 1]);
    let none = std::iter::empty();
    let refused = loss_by_position(reader(&model), none, &model.state(), true, 2).unwrap_err();
    assert!(refused.to_string().contains("no row has a token"), "{refused}");
}

#[test]
fn only_what_counts_is_measured() {
    let model = load("toy:rwkv7");
    let of = |counts: &[bool]| {
        let line = Line { tokens: vec![5, 6, 7, 8], counts: counts.to_vec() };
        loss_by_position(reader(&model), [Ok(line)].into_iter(), &model.state(), true, 1).unwrap()
    };
    let (all, some) = (of(&[]), of(&[false, true, false, true]));
    assert_eq!(some.places.iter().map(Mean::count).collect::<Vec<_>>(), [0, 1, 0, 1]);
    assert_eq!((some.places[3], some.total().count()), (all.places[3], 2));
}

#[test]
fn shared_beginnings_are_read_once_and_change_nothing() {
    let (header, facts) = ("Answer in a word. ".repeat(3), ["Nela is in the mill. ", "It rains. "]);
    let mut prompts = Vec::new();
    for fact in facts {
        for question in ["Where is Nela? In the", "Where is she? In the", "Where is it? In the"] {
            let context = format!("{header}{fact}{question}").bytes().map(u32::from).collect();
            prompts.push(Prompt::before(context, vec![32, 109, 105]));
        }
    }
    prompts.push(prompts[5].clone());
    prompts.push(Prompt { tokens: vec![65], targets: vec![] });
    let all: usize = prompts.iter().map(|prompt| prompt.tokens.len()).sum();
    for name in TOYS {
        let model = load(name);
        let seen = Cell::new(0);
        let mut read = 0;
        let start = model.state();
        let outcome =
            read_prompts(reader(&model), &start, &prompts, &mut read, |at, found, state| {
                assert_eq!(at, seen.replace(at + 1));
                let row = Row { tokens: &prompts[at].tokens, targets: &prompts[at].targets };
                let mut own = model.state();
                let alone = reader(&model).read(&[row], &mut own)?.remove(0);
                assert!(!far(found.logprob(), alone.logprob(), 1e-4), "{name} {at}");
                assert!(own.distance(state)?.max_abs < 1e-3, "{name} {at}");
                Ok(())
            });
        outcome.unwrap();
        assert_eq!(seen.get(), prompts.len());
        assert!(read < all as u64 / 2, "{read} of {all}");
    }
}

#[test]
fn the_last_word_is_right_if_all_of_it_is_likeliest() {
    let model = alphabetic();
    let of = |context: &str, target: &str| {
        let (context, target) = (context.to_string(), target.to_string());
        let found = guess(reader(&model), &[Target { context, target }], &model.state(), true);
        found.unwrap().guesses[0]
    };
    let right = of("abc", "defg");
    assert!(right.right && right.tokens == 4, "{right:?}");
    assert!(!far(-right.logprob, 4.0 * nll_of_the_next_letter(), 1e-3), "{right:?}");
    assert!(!of("abc", "defh").right);
    // A blank at the end of the context belongs to the target.
    assert_eq!(of("ab ", "c").tokens, 2);
    // Where all are alike only the first one is the likeliest.
    let undecided = undecided();
    let targets = ["\0", "a"].map(|target| Target { context: "x".into(), target: target.into() });
    let found = guess(reader(&undecided), &targets, &undecided.state(), true).unwrap();
    assert_eq!(found.guesses.iter().map(|one| one.right).collect::<Vec<_>>(), [true, false]);
    assert!(!far(found.nll().value(), 256f64.ln(), 1e-5));
}

fn questions() -> Vec<Question> {
    let question = |prompt: &str, choices: &[&str], answer| Question {
        prompt: prompt.into(),
        choices: choices.iter().map(|choice| choice.to_string()).collect(),
        answer,
        subject: None,
    };
    vec![
        question("Where is the ball? ", &["In the mill.", "In the garden, I think."], 0),
        question("Where is the ball? ", &["a", "In the mill.", "Here"], 1),
        question("Where is the cup?", &[" In the tower.", " b"], 0),
    ]
}

#[test]
fn choices_from_a_state_are_scored_as_whole_texts() {
    for name in TOYS {
        let model = load(name);
        let asked = questions();
        let found = choose(reader(&model), &asked, Normalise::Bytes, &model.state(), true).unwrap();
        assert!(found.complete && found.answers.len() == 3 && found.read < found.asked);
        for answer in &found.answers {
            let question = &asked[answer.item];
            for (choice, logprob) in question.choices.iter().zip(&answer.logprobs) {
                let text = format!("\0{}{choice}", question.prompt);
                let ids: Vec<u32> = text.bytes().map(u32::from).collect();
                let found = model.surprises(&ids, &model.state(), &GO).unwrap();
                // The blank at the end of the prompt counts with the choice.
                let prompt = question.prompt.trim_end().len();
                let bits: f64 = found[prompt..].iter().map(|one| one.bits).sum();
                let expected = -bits * std::f64::consts::LN_2;
                assert!(!far(*logprob, expected, 1e-4), "{name} {logprob} {expected}");
            }
        }
    }
}

#[test]
fn lengths_are_taken_into_account_as_asked() {
    let model = alphabetic();
    let question = Question {
        prompt: "c".into(),
        choices: vec!["d".into(), "defg".into(), "äx".into()],
        answer: 1,
        subject: None,
    };
    let normal = |normalise| {
        let asked = std::slice::from_ref(&question);
        let found = choose(reader(&model), asked, normalise, &model.state(), true).unwrap();
        found.answers[0].clone()
    };
    let answer = normal(Normalise::Bytes);
    let step = -nll_of_the_next_letter();
    assert!(!far(answer.logprobs[0], step, 1e-3) && !far(answer.logprobs[1], 4.0 * step, 1e-3));
    assert_eq!((answer.guess, normal(Normalise::Tokens).normal), (0, answer.normal));
    // After token 0 alone the first letter is a surprise, the three after it are not.
    let calibrated = normal(Normalise::Calibrated);
    assert_eq!(calibrated.normal, 0, "{calibrated:?}");
}

#[test]
fn logits_that_are_no_numbers_are_one_error() {
    let model = load("toy:rwkv7");
    let mut state = model.state();
    state.set_part(1, "att_x", &crate::tensor::Array::full(&[64], f32::NAN)).unwrap();
    let refused = |error: anyhow::Error| {
        let said = error.to_string();
        assert!(said.contains("the logits of toy:rwkv7 are not numbers"), "{said}");
    };
    let reader = reader(&model);
    let stretches = Stretches { state: state.clone(), ..stretches(&model, 8) };
    refused(perplexity(reader, blocks("ab"), &stretches).unwrap_err());
    let targets = [Target { context: "a".into(), target: "b".into() }];
    refused(guess(reader, &targets, &state, true).unwrap_err());
    refused(choose(reader, &questions(), Normalise::Bytes, &state, true).unwrap_err());
    refused(
        loss_by_position(reader, [Ok(line(vec![1, 2]))].into_iter(), &state, true, 1).unwrap_err(),
    );
}

#[test]
fn what_cannot_be_measured_is_counted() {
    let model = load("toy:rwkv7");
    let target =
        |context: &str, target: &str| Target { context: context.into(), target: target.into() };
    let targets = [target("", "b"), target("a", "b"), target("a", "")];
    let of = |bos| guess(reader(&model), &targets, &model.state(), bos).unwrap();
    assert_eq!((of(true).guesses.len(), of(true).skips.count()), (2, 1));
    assert_eq!((of(false).guesses.len(), of(false).skips.count()), (1, 2));
    assert_eq!(of(false).guesses[0].item, 1);
    let refused = guess(reader(&model), &targets[..1], &model.state(), false).unwrap_err();
    assert!(refused.to_string().contains("1 without tokens"), "{refused}");
    let none = choose(reader(&model), &[], Normalise::Bytes, &model.state(), true).unwrap_err();
    assert!(none.to_string().contains("no items"), "{none}");
}
