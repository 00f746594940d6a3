//! Problems as a data set.

use super::*;

fn reversals(digits: std::ops::RangeInclusive<usize>, ctx_len: usize) -> Result<Dataset> {
    let cut = Cut::new(ctx_len, 3);
    Dataset::problems(Task::Reverse { digits }, &Tokenizer::bytes(), 0.25, &cut)
}

#[test]
fn rows_have_whole_problems_whose_answers_count() {
    let mut set = reversals(1..=9, 40).unwrap();
    assert_eq!((set.len(), set.epoch()), (None, 0));
    let mut seen = 0;
    for (tokens, weights) in rows(&mut set, 50) {
        let problems = text(&tokens);
        for problem in problems.lines() {
            let (digits, reversed) = problem.split_once(',').unwrap();
            assert!(digits.bytes().rev().eq(reversed.bytes()), "{problem}");
            seen += 1;
        }
        // A problem more would hardly have fitted.
        let used = problems.len() + problems.lines().count();
        assert!((20..=41).contains(&used), "{used}");
        let mut answering = false;
        for (at, (&token, &weight)) in tokens.iter().zip(&weights).enumerate() {
            let expected = match (at < used, answering) {
                (true, true) => 1.0,
                (true, false) => 0.25,
                (false, _) => 0.0,
            };
            assert_eq!(weight, expected, "{at} of {problems}");
            answering = token == u32::from(b',') || answering && token != u32::from(b'\n');
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn problems_that_do_not_fit_are_refused() {
    let error = reversals(1..=30, 40).unwrap_err().to_string();
    assert!(
        error.contains("a problem of reverse has 63 tokens, more than a sample of 41"),
        "{error}"
    );
    let error = reversals(0..=30, 40).unwrap_err().to_string();
    assert!(error.contains("`digits` must go up from 1"), "{error}");
    let going_on = Cut { order: Order::Continue, ..Cut::new(40, 3) };
    let task = Task::Reverse { digits: 30..=30 };
    let mut long = Dataset::problems(task, &Tokenizer::bytes(), 0.0, &going_on).unwrap();
    let both = [rows(&mut long, 1), rows(&mut long, 1)].concat();
    let problem = text(&[&both[0].0[..], &both[1].0[1..]].concat());
    let (digits, reversed) = problem.lines().next().unwrap().split_once(',').unwrap();
    assert!(digits.len() == 30 && digits.bytes().rev().eq(reversed.bytes()), "{problem}");
}

#[test]
fn both_parts_of_a_split_and_other_seeds_have_other_problems() {
    let set = reversals(9..=9, 20).unwrap();
    let (mut train, mut valid) = set.split(0.5).unwrap();
    let mut other = set.shuffle(4).unwrap();
    let problems = |set: &mut Dataset| -> Vec<String> {
        rows(set, 200).iter().map(|row| text(&row.0)).collect()
    };
    let (train, others) = (problems(&mut train), [problems(&mut valid), problems(&mut other)]);
    assert!(others.iter().flatten().all(|problem| !train.contains(problem)));
    assert_ne!(others[0], others[1]);
}
