//! Facts to remember, and the search for the size where that ends.

use std::cell::RefCell;

use super::super::*;
use crate::random::Random;

fn facts() -> Facts {
    let list = |items: &[&str]| items.iter().map(|item| item.to_string()).collect();
    Facts {
        fact: "The {key} is in the {value}.".into(),
        question: "\nWhere is the {key}?".into(),
        answer: " In the {value}.".into(),
        keys: list(&["ball", "lamp", "key"]),
        values: list(&["mill", "tower"]),
    }
}

#[test]
fn one_of_the_facts_is_asked_for() {
    let mut random = Random::new(3);
    for count in 1..=3 {
        for _ in 0..20 {
            let problem = facts().several(count, &mut random).unwrap();
            let (said, question) = problem.prompt.split_once('\n').unwrap();
            assert_eq!(said.matches(" is in the ").count(), count, "{said}");
            let key = question.trim_start_matches("Where is the ").trim_end_matches('?');
            let place = problem.target.trim_start_matches(" In the ").trim_end_matches('.');
            assert!(said.contains(&format!("The {key} is in the {place}.")), "{problem:?}");
            assert_eq!(said.matches(key).count(), 1, "no key twice: {said}");
        }
    }
    assert!(facts().several(4, &mut random).unwrap_err().to_string().contains("4 facts about 3"));
    assert!(facts().several(0, &mut random).is_err());
}

#[test]
fn a_fact_is_hidden_where_it_is_wanted() {
    let filler = sentences("It rains. The sun shines!\nWind? ");
    assert_eq!(filler, ["It rains.", "The sun shines!", "Wind?"]);
    let mut random = Random::new(3);
    for depth in [0.0, 0.5, 1.0] {
        let problem = facts().hidden(300, depth, &filler, &mut random).unwrap();
        let length = problem.prompt.len();
        assert!((280..=300).contains(&length), "{length} {}", problem.prompt);
        let said = problem.prompt.split('\n').next().unwrap();
        let at = said.find(" is in the ").unwrap() as f64 / said.len() as f64;
        assert!((at - depth).abs() < 0.15, "{at} {depth}");
    }
    let least = facts().hidden(20, 0.5, &filler, &mut random).unwrap_err().to_string();
    assert!(least.contains("20 characters are too few"), "{least}");
    assert!(facts().hidden(200, 0.5, &[], &mut random).is_err());
}

#[test]
fn facts_that_ask_nothing_are_refused() {
    let refused = |change: fn(&mut Facts)| {
        let mut facts = facts();
        change(&mut facts);
        facts.check().unwrap_err().to_string()
    };
    facts().check().unwrap();
    assert!(refused(|facts| facts.keys.clear()).contains("need keys"));
    assert!(refused(|facts| facts.values.truncate(1)).contains("two values"));
    assert!(
        refused(|facts| facts.answer = "yes".into()).contains("the answer must contain {value}")
    );
    assert!(refused(|facts| facts.question = "Where?".into()).contains("must contain {key}"));
}

/// A model that solves problems up to a size, and the sizes that were tried.
fn search(holds: usize, most: usize) -> (Cliff, Vec<usize>) {
    let tried = RefCell::new(Vec::new());
    let found = cliff((1, most), 0.5, |size| {
        tried.borrow_mut().push(size);
        Ok(Some([size <= holds, size <= holds].into_iter().collect()))
    });
    (found.unwrap(), tried.into_inner())
}

#[test]
fn the_cliff_is_found_in_few_tries() {
    let (found, tried) = search(21, 256);
    assert_eq!(tried, [1, 2, 4, 8, 16, 32, 24, 20, 22, 21]);
    assert_eq!((found.last, found.found, found.complete), (Some(21), true, true));
    assert!(found.measured.windows(2).all(|pair| pair[0].0 < pair[1].0));
    // It holds all that is tried, or nothing.
    let (all, tried) = search(1000, 100);
    assert_eq!((all.last, all.found, tried.last()), (Some(100), false, Some(&100)));
    let (none, tried) = search(0, 100);
    assert_eq!((none.last, none.found, tried.len()), (None, true, 1));
    for holds in 1..40 {
        assert_eq!(search(holds, 64).0.last, Some(holds));
    }
}

#[test]
fn a_search_that_is_interrupted_knows_what_it_has_seen() {
    let found = cliff((1, 64), 0.5, |size| {
        Ok(if size > 4 { None } else { Some([true].into_iter().collect()) })
    });
    let found = found.unwrap();
    assert_eq!((found.last, found.found, found.complete), (Some(4), false, false));
    assert!(cliff((0, 4), 0.5, |_| Ok(None)).is_err());
    assert!(cliff((1, 2), 0.5, |_| anyhow::bail!("no")).is_err());
}
