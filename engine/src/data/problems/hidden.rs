//! Something said once, in the midst of much that is about something else.

use anyhow::{Result, ensure};

use super::Problem;
use super::sequences::digits;
use super::stories::name;
use crate::random::Random;

/// What is said around it: whole sentences, drawn by chance.
const FILLER: [&str; 16] = [
    "A cart rolls down to the mill. ",
    "Somebody has left a window open. ",
    "The bread is still warm. ",
    "Two dogs sleep in the shade of the wall. ",
    "In the evening the wind turns. ",
    "The ferry comes back with apples and wool. ",
    "Nobody remembers when the bridge was built. ",
    "Rain runs along the edge of the roof. ",
    "A boy counts the boats in the harbour. ",
    "The baker lights the oven before the sun is up. ",
    "There are more stars than words for them. ",
    "The old clock is late again. ",
    "Grass grows between the stones of the yard. ",
    "A letter lies under the door. ",
    "They talk about the price of salt. ",
    "The path to the hill is steep. ",
];

/// Most characters of a sentence with a number in it, and of a question, besides the digits.
const AROUND: usize = 60;

/// Checks that `needles` numbers fit into `length` characters.
///
/// # Errors
/// Says which setting is out of range.
pub(super) fn check(
    length: usize,
    depth: Option<f64>,
    needles: usize,
    digits: usize,
) -> Result<()> {
    ensure!((1..=1000).contains(&needles), "`needles` must be 1 to 1000, not {needles}.");
    ensure!((1..=100).contains(&digits), "`digits` must be 1 to 100, not {digits}.");
    let inside = depth.is_none_or(|depth| (0.0..=1.0).contains(&depth));
    ensure!(inside, "`depth` must be 0 to 1, not {}.", depth.unwrap_or_default());
    let least = (needles + 1) * (AROUND + digits);
    ensure!(
        length >= least,
        "`length` must be at least {least} characters for {needles} numbers of {digits} digits \
         and a question, not {length}."
    );
    Ok(())
}

pub(super) fn passkey(
    length: usize,
    depth: Option<f64>,
    count: usize,
    random: &mut Random,
) -> Problem {
    let key = digits(count, random);
    let said = vec![format!("The pass key is {key}. ")];
    let question = "What is the pass key?\nThe pass key is";
    let prompt = surround(said, depth, length, question, random);
    Problem { prompt, target: format!(" {key}\n") }
}

pub(super) fn needle(
    length: usize,
    depth: Option<f64>,
    needles: usize,
    count: usize,
    random: &mut Random,
) -> Problem {
    let mut people: Vec<(String, String)> = Vec::with_capacity(needles);
    while people.len() < needles {
        let name = name(random);
        if people.iter().all(|(known, _)| *known != name) {
            people.push((name, digits(count, random)));
        }
    }
    let said = people.iter().map(|(name, number)| format!("The number of {name} is {number}. "));
    let (name, number) = &people[0];
    let question = format!("What is the number of {name}?\nThe number of {name} is");
    let prompt = surround(said.collect(), depth, length, &question, random);
    Problem { prompt, target: format!(" {number}\n") }
}

/// Puts what is `said` among other sentences, the first of it at `depth`, with a question at the
/// end: at most `length` characters, and hardly fewer.
fn surround(
    said: Vec<String>,
    depth: Option<f64>,
    length: usize,
    question: &str,
    random: &mut Random,
) -> String {
    let mut room = length - question.len() - 1 - said.iter().map(String::len).sum::<usize>();
    let mut sentences = Vec::new();
    loop {
        let sentence = *random.pick(&FILLER);
        let Some(left) = room.checked_sub(sentence.len()) else { break };
        room = left;
        sentences.push(sentence.to_string());
    }
    let depth = depth.unwrap_or_else(|| f64::from(random.unit()));
    // The first one goes in last, so that the others do not push it away from its depth.
    for (number, sentence) in said.into_iter().enumerate().rev() {
        let at = match number {
            0 => (depth * sentences.len() as f64).round() as usize,
            _ => random.below(sentences.len() + 1),
        };
        sentences.insert(at, sentence);
    }
    sentences.concat().trim_end().to_string() + "\n" + question
}
