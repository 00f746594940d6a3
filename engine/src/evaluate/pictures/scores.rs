//! What an answer is in the text of a model, and the tables of scores, in percent.

use std::collections::BTreeMap;

use serde::Serialize;

use super::normal::{agreement, handed_in, in_one_line, plain};
use super::yes_no::CATEGORIES;
use super::{PictureQuestion, Said};

/// A table of scores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// What the figures are.
    pub columns: &'static [&'static str],
    /// The whole and its parts.
    pub rows: Vec<ScoreRow>,
}

/// One row of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoreRow {
    /// The category; `all` or what else the row is of.
    pub name: String,
    /// How many questions it is of.
    pub count: usize,
    /// Under each column a percentage, or the sum of percentages; NaN where it would be of nothing.
    pub figures: Vec<f64>,
}

/// Accuracy for all and for each type of answer. The text becomes what LLaVA and VisualRWKV hand in
/// to the server of VQA; there it is brought into one form with the answers, but where all ten
/// people agree, it is compared as it is.
pub fn vqav2(said: &[Said]) -> Scores {
    by_category(&["accuracy"], said, |question, text| {
        let (text, answers) = (handed_in(text), &question.answers);
        let answers: Vec<String> = answers.iter().map(|answer| in_one_line(answer)).collect();
        if answers.iter().all(|answer| *answer == answers[0]) {
            return vec![agreement(&text, &answers)];
        }
        let answers: Vec<String> = answers.iter().map(|answer| plain(answer)).collect();
        vec![agreement(&plain(&text), &answers)]
    })
}

/// Accuracy, with all answers brought into one form.
pub fn textvqa(said: &[Said]) -> Scores {
    by_category(&["accuracy"], said, |question, text| {
        let answers: Vec<String> = question.answers.iter().map(|one| handed_in(one)).collect();
        vec![agreement(&handed_in(text), &answers)]
    })
}

/// The very word, in small letters and without a period behind it.
pub fn gqa(said: &[Said]) -> Scores {
    by_category(&["accuracy"], said, |question, text| {
        let text = text.trim().trim_end_matches('.').to_lowercase();
        vec![share(question.answers.contains(&text))]
    })
}

/// Accuracy, and how many texts have no letter to be read; these count as wrong, never as guessed.
pub fn scienceqa(said: &[Said]) -> Scores {
    by_category(&["accuracy", "unread"], said, |question, text| {
        let letter = letter(text.trim()).map(String::from);
        let right = letter.as_ref().is_some_and(|letter| question.answers.contains(letter));
        vec![share(right), share(letter.is_none())]
    })
}

/// A letter alone, before a period and a blank, or once after `The answer is`.
fn letter(text: &str) -> Option<char> {
    let is_choice = |letter: &char| ('A'..='E').contains(letter);
    let mut letters = text.chars();
    if let Some(first) = letters.next().filter(is_choice)
        && (letters.as_str().is_empty() || letters.as_str().starts_with(". "))
    {
        return Some(first);
    }
    const BEFORE: &str = "The answer is ";
    let after = text.match_indices(BEFORE).filter_map(|(at, _)| {
        let mut letters = text[at + BEFORE.len()..].chars();
        let letter = letters.next().filter(char::is_ascii_uppercase)?;
        letters.next().filter(|next| *next != '\n').map(|_| letter)
    });
    match after.collect::<Vec<_>>()[..] {
        [one] => Some(one).filter(is_choice),
        _ => None,
    }
}

fn share(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

/// The mean of what each question gives, over all and over each category.
fn by_category(
    columns: &'static [&'static str],
    said: &[Said],
    figures: impl Fn(&PictureQuestion, &str) -> Vec<f64>,
) -> Scores {
    let (mut all, mut parts) = (Vec::new(), BTreeMap::<&str, Vec<_>>::new());
    for (question, text) in said {
        let figures = figures(question, text);
        if !question.category.is_empty() {
            parts.entry(&question.category).or_default().push(figures.clone());
        }
        all.push(figures);
    }
    let row = |(name, list): (&str, Vec<Vec<f64>>)| {
        let mean =
            |at| percent(list.iter().map(|figures: &Vec<f64>| figures[at]).sum(), list.len());
        let figures = (0..columns.len()).map(mean).collect();
        ScoreRow { name: name.into(), count: list.len(), figures }
    };
    Scores { columns, rows: [("all", all)].into_iter().chain(parts).map(row).collect() }
}

fn percent(part: f64, of: usize) -> f64 {
    100.0 * part / of as f64
}

/// One row for each file, and the mean of these rows, which papers call the score of POPE.
pub fn pope(said: &[Said]) -> Scores {
    let columns = &["accuracy", "precision", "recall", "F1", "yes"];
    let mut parts = BTreeMap::<&str, Vec<(bool, bool)>>::new();
    for (question, text) in said {
        let label = question.answers.iter().any(|answer| answer == "yes");
        parts.entry(&question.category).or_default().push((says_yes(text), label));
    }
    let row = |(name, pairs): (&str, Vec<(bool, bool)>)| ScoreRow {
        name: name.into(),
        count: pairs.len(),
        figures: detection(&pairs),
    };
    let mut rows: Vec<ScoreRow> = parts.into_iter().map(row).collect();
    let mean = |at| rows.iter().map(|row| row.figures[at]).sum::<f64>() / rows.len() as f64;
    let figures = (0..columns.len()).map(mean).collect();
    rows.push(ScoreRow { name: "mean".into(), count: said.len(), figures });
    Scores { columns, rows }
}

/// Whatever does not deny in its first sentence says yes.
fn says_yes(text: &str) -> bool {
    let sentence = text.trim().split('.').next().unwrap_or_default().replace(',', "");
    !sentence.split(' ').any(|word| ["No", "no", "not"].contains(&word))
}

/// Of pairs of what was said and what is so.
fn detection(pairs: &[(bool, bool)]) -> Vec<f64> {
    let count = |wanted: (bool, bool)| pairs.iter().filter(|pair| **pair == wanted).count();
    let (hits, false_alarms) = (count((true, true)), count((true, false)));
    let (misses, rejected) = (count((false, true)), count((false, false)));
    let precision = percent(hits as f64, hits + false_alarms);
    let recall = percent(hits as f64, hits + misses);
    let f1 = 2.0 * precision * recall / (precision + recall);
    let accuracy = percent((hits + rejected) as f64, pairs.len());
    vec![accuracy, precision, recall, f1, percent((hits + false_alarms) as f64, pairs.len())]
}

/// Accuracy over questions, `accuracy+` over the pictures both of whose questions were asked, and
/// the sum of the two, 200 at most. Perception and cognition add up their categories.
pub fn mme(said: &[Said]) -> Scores {
    let mut parts = BTreeMap::<&str, BTreeMap<&str, Vec<bool>>>::new();
    for (question, text) in said {
        let right = question.answers.iter().any(|answer| Some(&**answer) == yes_or_no(text));
        let pictures = parts.entry(&question.category).or_default();
        pictures.entry(&question.image).or_default().push(right);
    }
    let sum = |name: &str| ScoreRow { name: name.into(), count: 0, figures: vec![0.0; 3] };
    let (mut rows, mut sums) = (Vec::new(), [sum("perception"), sum("cognition")]);
    for (name, perception) in CATEGORIES {
        let Some(pictures) = parts.get(name) else { continue };
        let row = of_pictures(name, pictures.values());
        let sum = &mut sums[usize::from(!perception)];
        sum.count += row.count;
        sum.figures.iter_mut().zip(&row.figures).for_each(|(sum, figure)| *sum += figure);
        rows.push(row);
    }
    rows.extend(sums.into_iter().filter(|sum| sum.count > 0));
    Scores { columns: &["accuracy", "accuracy+", "score"], rows }
}

fn of_pictures<'a>(name: &str, pictures: impl Iterator<Item = &'a Vec<bool>>) -> ScoreRow {
    let (mut count, mut right, mut pairs, mut both) = (0, 0, 0, 0);
    for answers in pictures {
        count += answers.len();
        right += answers.iter().filter(|right| **right).count();
        pairs += usize::from(answers.len() == 2);
        both += usize::from(answers[..] == [true, true]);
    }
    let (accuracy, plus) = (percent(right as f64, count), percent(both as f64, pairs));
    ScoreRow { name: name.into(), count, figures: vec![accuracy, plus, accuracy + plus] }
}

/// What the first four letters say; nothing when it is neither.
fn yes_or_no(text: &str) -> Option<&'static str> {
    let start: String = text.trim().to_lowercase().chars().take(4).collect();
    ["yes", "no"].into_iter().find(|word| start.contains(word))
}
