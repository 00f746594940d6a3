use super::*;
use crate::tokenizer::Tokenizer;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn asked(shapes: &Shapes, seed: u64) -> Vec<Asked> {
    shapes.sample(&mut Random::new(seed)).1
}

#[test]
fn the_seed_decides_everything() {
    let shapes = Shapes::default();
    let of = |seed| shapes.sample(&mut Random::new(seed));
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn things_are_drawn_where_they_are_said_to_be() {
    let thing = |shape, field: usize| Thing {
        shape,
        colour: 2,
        large: true,
        field,
        at: [(field % 3) as f32 / 3.0 + 1.0 / 6.0, (field / 3) as f32 / 3.0 + 1.0 / 6.0],
        radius: 0.15,
    };
    for (shape, share) in [(0, std::f32::consts::PI), (1, 4.0), (2, 1.62)] {
        let image = picture(&[thing(shape, 5)], &mut Random::new(3));
        let grey = i32::from(image.pixels[0]);
        let blue = |i: usize| (i32::from(image.pixels[3 * i]) - grey).abs() > 30;
        let painted: Vec<usize> = (0..SIDE * SIDE).filter(|i| blue(*i)).collect();
        let area = painted.len() as f32 / (0.15 * SIDE as f32).powi(2);
        assert!((area - share).abs() < 0.35, "{shape}: {area}");
        let third = SIDE / 3;
        assert!(painted.iter().all(|i| i % SIDE / third == 2 && i / SIDE / third == 1));
    }
}

#[test]
fn answers_are_right() {
    let thing = |shape, colour, large, field| Thing {
        shape,
        colour,
        large,
        field,
        at: [0.0; 2],
        radius: 0.1,
    };
    // A large red circle at the top left, a small blue square at the right, a small red square below.
    let things = [thing(0, 0, true, 0), thing(1, 2, false, 5), thing(1, 0, false, 7)];
    let known: BTreeMap<&str, &str> = [
        ("What colour is the circle?", "red"),
        ("What shape is the blue object?", "square"),
        ("What size is the circle?", "large"),
        ("How many squares are there?", "two"),
        ("How many large triangles are there?", "zero"),
        ("How many objects are there?", "three"),
        ("Where is the blue square?", "right"),
        ("What is at the bottom?", "a small red square"),
        ("What is at the middle?", "nothing"),
        ("Is there a blue object?", "yes"),
        ("Is there a blue circle?", "no"),
        ("Are there more squares than circles?", "yes"),
        ("Are there more circles than red objects?", "no"),
        ("Is the circle above the blue object?", "yes"),
        ("Is the blue object left of the circle?", "no"),
        ("Which is larger, the circle or the blue object?", "the circle"),
        ("Which is larger, the blue object or the circle?", "the circle"),
        (
            "What is in every field?",
            "a large red circle, nothing, nothing, nothing, nothing, a small blue square, nothing, \
             a small red square, nothing",
        ),
        ("Describe the picture.", "a large red circle, a small blue square and a small red square"),
    ]
    .into();
    let mut met = BTreeSet::new();
    let mut random = Random::new(5);
    for kind in KINDS {
        for _ in 0..100_000 {
            let held_out = random.happens(0.5);
            let Some(asked) = questions::ask(kind, &things, held_out, &mut random) else {
                continue;
            };
            assert_eq!(asked.kind, kind);
            if let Some((question, answer)) = known.get_key_value(asked.question.as_str()) {
                assert_eq!(asked.answer, *answer, "{question}");
                met.insert(*question);
            }
        }
    }
    let missing: Vec<_> = known.keys().filter(|question| !met.contains(*question)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn held_out_wordings_are_no_others() {
    let all = |held_out| {
        let shapes = Shapes { held_out, ..Shapes::default() };
        let asked = (0..400).flat_map(|seed| asked(&shapes, seed));
        asked.map(|asked| asked.question).collect::<BTreeSet<_>>()
    };
    let (known, held_out) = (all(false), all(true));
    assert!(known.is_disjoint(&held_out));
}

#[test]
fn every_kind_is_asked_and_yes_is_as_likely_as_no() {
    let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for seed in 0..1000 {
        for asked in asked(&Shapes::default(), seed) {
            *counts.entry((asked.kind, asked.answer)).or_default() += 1;
        }
    }
    for kind in KINDS {
        let all: usize = counts.iter().filter(|((of, _), _)| *of == kind).map(|(_, n)| n).sum();
        assert!(all > 150, "{kind}: {all}");
        if let Some(yes) = counts.get(&(kind, "yes".to_string())) {
            assert!((0.4..0.6).contains(&(*yes as f64 / all as f64)), "{kind}: {yes} of {all}");
        }
    }
}

#[test]
fn settings_that_allow_no_picture_are_refused() {
    for (shapes, said) in [
        (Shapes { things: 0..=3, ..Shapes::default() }, "`things`"),
        (Shapes { things: 2..=10, ..Shapes::default() }, "`things`"),
        (Shapes { questions: 0, ..Shapes::default() }, "`questions`"),
        (Shapes { kinds: vec![], ..Shapes::default() }, "`kinds`"),
    ] {
        let error = shapes.check().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

/// The vocabulary of models of shapes: every byte, and every word of the questions.
#[test]
fn every_word_is_a_token() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/shapes_vocab.txt");
    if std::env::var_os("RWKV_RENEW").is_some() {
        std::fs::write(&path, vocabulary()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), vocabulary());
    let tokenizer = Tokenizer::open(&path).unwrap();
    for seed in 0..200 {
        for Asked { question, answer, .. } in asked(&Shapes::default(), seed) {
            let words = question.split(' ').count() + answer.split(' ').count();
            let text = format!("User: {question}\n\nAssistant: {answer}\n\n");
            let tokens = tokenizer.encode(&text).unwrap();
            assert_eq!(tokenizer.decode(&tokens), text);
            // The two of the speakers apart.
            let marks = text.matches(['?', '.', ',', ':']).count() - 2;
            assert_eq!(tokens.len(), words + marks + 6, "{text}");
        }
    }
}

fn vocabulary() -> String {
    let mut lines = String::new();
    let mut line = |literal: &str, length: usize| {
        lines += &format!("{} {literal} {length}\n", lines.lines().count() + 1);
    };
    for byte in 0..=255u8 {
        match byte {
            b'\'' | b'\\' => line(&format!("'\\{}'", char::from(byte)), 1),
            0x20..0x7F => line(&format!("'{}'", char::from(byte)), 1),
            0x00..0x80 => line(&format!("'\\x{byte:02x}'"), 1),
            _ => line(&format!("b'\\x{byte:02x}'"), 1),
        }
    }
    line("'\\n\\n'", 2);
    for word in ["User", "Assistant"] {
        line(&format!("'{word}'"), word.len());
    }
    let (mut words, mut later) = (BTreeSet::new(), BTreeSet::new());
    for word in questions::words() {
        later.insert(format!(" {}", word.to_lowercase()));
        if word.len() > 1 {
            words.extend([word.to_lowercase(), word.clone()]);
        }
        if word.starts_with(char::is_uppercase) {
            later.insert(format!(" {word}"));
        }
    }
    for word in words.iter().chain(&later) {
        line(&format!("'{word}'"), word.len());
    }
    lines
}
