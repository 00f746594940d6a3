use std::collections::{BTreeSet, HashMap};

use super::*;

fn many(task: &Task, count: usize) -> Vec<Problem> {
    task.check().unwrap();
    let mut random = Random::new(5);
    (0..count).map(|_| task.problem(&mut random)).collect()
}

fn usual(name: &str) -> Vec<Problem> {
    many(&Task::usual(name).unwrap(), 300)
}

/// Prompt and answer, without the mark after the one and the line break after the other.
fn parts<'a>(problem: &'a Problem, mark: &str) -> (&'a str, &'a str) {
    let prompt = problem.prompt.strip_suffix(mark).unwrap();
    (prompt, problem.target.strip_suffix('\n').unwrap())
}

#[test]
fn every_task_has_its_name_and_keeps_to_its_seed() {
    for name in Task::NAMES {
        let task = Task::usual(name).unwrap();
        task.check().unwrap();
        assert_eq!(task.name(), name);
        assert_eq!(many(&task, 20), many(&task, 20));
        let prompts: BTreeSet<_> = many(&task, 20).into_iter().map(|p| p.prompt).collect();
        assert!(prompts.len() > 15, "{name}: {prompts:?}");
    }
    assert_eq!(Task::usual("revers"), None);
}

#[test]
fn digits_come_back_in_reverse() {
    let mut lengths = BTreeSet::new();
    for problem in usual("reverse") {
        let (digits, target) = parts(&problem, ",");
        assert!(digits.bytes().rev().eq(target.bytes()));
        assert!(digits.bytes().all(|digit| digit.is_ascii_digit()));
        lengths.insert(digits.len());
    }
    assert_eq!((lengths.first(), lengths.last(), lengths.len()), (Some(&1), Some(&40), 40));
}

#[test]
fn the_value_of_the_key_is_asked() {
    let wide = Task::Recall { pairs: 30..=36, alphabet: "abcdef".into() };
    for problem in [usual("recall"), many(&wide, 100)].concat() {
        let (prompt, value) = parts(&problem, ":");
        let (pairs, asked) = prompt.split_once(" ?").unwrap();
        let count = pairs.split(' ').count();
        let known: HashMap<_, _> =
            pairs.split(' ').map(|pair| pair.split_once(':').unwrap()).collect();
        assert_eq!(known.len(), count, "a key occurs twice in {pairs}");
        assert_eq!(known[asked], value);
    }
}

#[test]
fn ones_are_counted() {
    for problem in usual("parity") {
        let (bits, answer) = parts(&problem, "=");
        assert_eq!(answer, (bits.matches('1').count() % 2).to_string());
    }
}

#[test]
fn moves_are_made_one_after_the_other() {
    for problem in usual("permutations") {
        let (moves, answer) = parts(&problem, "=");
        let mut row = "12345".to_string();
        for places in moves.split(' ') {
            row = places
                .bytes()
                .map(|place| row.as_bytes()[(place - b'1') as usize] as char)
                .collect();
        }
        assert_eq!(row, answer);
    }
    let doc = Task::Permutations { of: 3, steps: 2..=2 };
    let expected = Problem { prompt: "231 213=".into(), target: "321\n".into() };
    assert!(many(&doc, 300).contains(&expected), "the example of the doc is one of 36 problems");
}

#[test]
fn hidden_numbers_are_said_once_at_their_depth() {
    for depth in [0.0, 0.5, 1.0] {
        let length = 2000..=2000;
        let tasks = [
            Task::Passkey { length: length.clone(), depth: Some(depth), digits: 6 },
            Task::Needle { length, depth: Some(depth), needles: 5, digits: 6 },
        ];
        for problem in tasks.iter().flat_map(|task| many(task, 20)) {
            let prompt = &problem.prompt;
            assert!((1900..=2000).contains(&prompt.len()), "{}", prompt.len());
            let number = problem.target.trim();
            let found: Vec<_> = prompt.match_indices(number).collect();
            assert_eq!(found.len(), 1, "{number} in {prompt}");
            let at = found[0].0 as f64 / prompt.len() as f64;
            // A sentence with a number is up to 60 characters, a question too.
            assert!((at - depth).abs() < 0.1, "{at} {depth} {prompt}");
        }
    }
}

#[test]
fn the_number_of_the_right_person_is_asked() {
    for problem in usual("needle") {
        let (text, question) = problem.prompt.split_once("\nWhat is the number of ").unwrap();
        let name = question.split('?').next().unwrap();
        assert!(text.contains(&format!("The number of {name} is{}.", problem.target.trim_end())));
        assert_eq!(text.matches("The number of ").count(), 4);
    }
}

/// Follows a story sentence by sentence, in another way than it was made: who is where, and what
/// is with whom.
fn answer(prompt: &str) -> String {
    let (told, question) = prompt.split_once('\n').unwrap();
    let mut places: HashMap<String, String> = HashMap::new();
    let mut holders: HashMap<String, String> = HashMap::new();
    for sentence in told.split_inclusive('.') {
        let words: Vec<&str> = sentence.trim().trim_end_matches('.').split(' ').collect();
        match words[..] {
            ["The", thing, "is", "in", "the", place]
            | [thing, "is" | "goes", "in" | "to", "the", place] => {
                places.insert(thing.into(), place.into());
            }
            [who, "takes", "the", thing] => {
                holders.insert(thing.into(), who.into());
            }
            [who, "puts", "the", thing, "down"] => {
                assert_eq!(holders.remove(thing).unwrap(), who, "{prompt}");
                places.insert(thing.into(), places[who].clone());
            }
            _ => {}
        }
    }
    let words: Vec<&str> = question.split([' ', '?']).collect();
    match words[..] {
        ["Who", "has", "the", thing, ..] => holders[thing].clone(),
        ["Where", "is", "the", thing, ..] | ["Where", "is", thing, ..] => {
            places[holders.get(thing).map_or(thing, String::as_str)].clone()
        }
        _ => panic!("{question}"),
    }
}

#[test]
fn stories_are_told_as_they_happen() {
    let problems = usual("stories");
    for problem in &problems {
        assert_eq!(answer(&problem.prompt), problem.target.trim(), "{}", problem.prompt);
    }
    let with = |text: &str| problems.iter().filter(|p| p.prompt.contains(text)).count();
    for kind in ["takes", "down.", "Who has", "Where is the", "goes to"] {
        assert!(with(kind) > 10, "{kind}: {}", with(kind));
    }
}

#[test]
fn names_are_held_out() {
    let task = Task::usual("stories").unwrap();
    let names = |task: &Task| -> BTreeSet<String> {
        let told: String = many(task, 500).into_iter().map(|p| p.prompt + " ").collect();
        let is_name = |word: &&str| word.starts_with(char::is_uppercase) && word.len() >= 4;
        let usual = ["Where", "Somewhere"];
        let words = told.split(|c: char| !c.is_alphabetic()).filter(is_name);
        words.filter(|word| !usual.contains(word)).map(String::from).collect()
    };
    let (learnt, kept) = (names(&task), names(&task.held_out()));
    assert!(learnt.len() > 300 && kept.len() > 100, "{} {}", learnt.len(), kept.len());
    assert_eq!(learnt.intersection(&kept).next(), None);
}

#[test]
fn impossible_settings_are_refused() {
    let letters = |alphabet: &str| Task::Recall { pairs: 1..=4, alphabet: alphabet.into() };
    let passkey = |length, depth, digits| Task::Passkey { length, depth, digits };
    let cases = [
        (Task::Reverse { digits: 0..=3 }, "`digits` must go up from 1"),
        #[expect(clippy::reversed_empty_ranges)]
        (Task::Parity { bits: 5..=3 }, "`bits` must go up"),
        (letters("a"), "`alphabet` must be two or more"),
        (letters("aab"), "`alphabet` must be two or more"),
        (letters("ab:"), "without blanks"),
        (Task::Permutations { of: 10, steps: 1..=2 }, "2 to 9 digits"),
        (passkey(20..=2000, None, 5), "at least 130 characters"),
        (passkey(200..=2000, Some(1.5), 5), "`depth` must be 0 to 1, not 1.5"),
    ];
    for (task, part) in cases {
        let error = task.check().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
