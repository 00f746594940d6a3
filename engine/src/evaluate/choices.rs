//! Questions with several answers: the prompt is read once, each choice goes on from its state.

use std::collections::HashMap;

use anyhow::{Result, bail};

use super::items::Skips;
use super::layouts::Question;
use super::prompts::{Prompt, read_prompts};
use super::rows::{Reader, Row, Scored, Seen};
use super::{BEGINNING, ended};
use crate::state::State;

/// What makes choices of different length comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalise {
    /// The log-probability divided by the bytes of the text.
    Bytes,
    /// By its characters.
    Characters,
    /// By its tokens.
    Tokens,
    /// Less the log-probability without the prompt: how much the prompt speaks for it.
    Calibrated,
}

impl Normalise {
    /// What scripts call them.
    pub const NAMES: &[(&str, Self)] = &[
        ("bytes", Self::Bytes),
        ("characters", Self::Characters),
        ("tokens", Self::Tokens),
        ("calibrated", Self::Calibrated),
    ];
}

/// What became of one question.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Which of the questions it is.
    pub item: usize,
    /// Natural logarithm of the probability of each choice after the prompt.
    pub logprobs: Vec<f64>,
    /// The likeliest choice.
    pub guess: usize,
    /// The likeliest when their lengths are taken into account.
    pub normal: usize,
}

/// What became of many questions.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// Those that were measured, in their order.
    pub answers: Vec<Answer>,
    /// Those that were not.
    pub skips: Skips,
    /// Tokens of all prompts and choices, as if each choice was read with its prompt.
    pub asked: u64,
    /// Tokens that were read.
    pub read: u64,
    /// Whether all of them were measured.
    pub complete: bool,
}

/// A question as tokens.
struct Cut {
    item: usize,
    choices: Vec<Vec<u32>>,
    /// What the log-probability of each choice is divided by.
    sizes: Vec<f64>,
}

/// Reads every prompt from `state` on, with `bos` after token 0, and every choice after it.
///
/// # Errors
/// As [`Reader::read`], when a text cannot be cut into tokens, and when nothing can be measured.
pub fn choose(
    reader: Reader,
    questions: &[Question],
    normalise: Normalise,
    state: &State,
    bos: bool,
) -> Result<Choices> {
    let mut found = Choices::default();
    let (mut prompts, mut cuts) = (Vec::new(), Vec::new());
    for (item, question) in questions.iter().enumerate() {
        let (prompt, cut) = cut(reader, item, question, normalise, bos)?;
        if prompt.tokens.is_empty() || cut.choices.iter().any(Vec::is_empty) {
            found.skips.add("without tokens in the prompt or in a choice");
            continue;
        }
        let tokens: usize = cut.choices.iter().map(|ids| prompt.tokens.len() + ids.len()).sum();
        found.asked += tokens as u64;
        prompts.push(prompt);
        cuts.push(cut);
    }
    if cuts.is_empty() {
        let why = found.skips.words();
        bail!("there is nothing to measure: {}.", if why.is_empty() { "no items" } else { &why });
    }
    let mut usual = Usual::new(reader, normalise, state)?;
    let counter = reader.model.progress.begin("asking".into(), "questions", cuts.len() as u64);
    let (answers, read) = (&mut found.answers, &mut found.read);
    let mut of_choices = 0;
    let outcome = read_prompts(reader, state, &prompts, read, |at, seen, state| {
        let cut = &cuts[at];
        let logprobs = follow(reader, &seen, state, &cut.choices)?;
        let scores = usual.scores(&logprobs, cut)?;
        let (guess, normal) = (best(&logprobs), best(&scores));
        of_choices += cut.choices.iter().map(|ids| ids.len() as u64 - 1).sum::<u64>();
        answers.push(Answer { item: cut.item, logprobs, guess, normal });
        counter.add(1);
        Ok(())
    });
    found.complete = ended(outcome)?;
    found.read += of_choices;
    Ok(found)
}

/// Blanks at the end of a prompt belong to the choices, as tokenizers see them.
fn cut(
    reader: Reader,
    item: usize,
    question: &Question,
    normalise: Normalise,
    bos: bool,
) -> Result<(Prompt, Cut)> {
    let tokenizer = &reader.model.tokenizer;
    let text = question.prompt.trim_end_matches(' ');
    let blanks = &question.prompt[text.len()..];
    let beginning = bos.then_some(BEGINNING);
    let tokens = beginning.into_iter().chain(tokenizer.encode(text)?).collect();
    let ids = |choice: &String| tokenizer.encode(&format!("{blanks}{choice}"));
    let choices = question.choices.iter().map(ids).collect::<Result<Vec<_>>>()?;
    let size = |(text, ids): (&String, &Vec<u32>)| match normalise {
        Normalise::Bytes => text.trim().len(),
        Normalise::Characters => text.trim().chars().count(),
        Normalise::Tokens => ids.len(),
        Normalise::Calibrated => 1,
    };
    let sizes = question.choices.iter().zip(&choices);
    let sizes = sizes.map(|pair| size(pair).max(1) as f64).collect();
    Ok((Prompt { tokens, targets: Vec::new() }, Cut { item, choices, sizes }))
}

/// The log-probability of each choice after a prompt.
fn follow(reader: Reader, seen: &Seen, state: &State, choices: &[Vec<u32>]) -> Result<Vec<f64>> {
    for ids in choices {
        reader.model.check(ids)?;
    }
    let first = choices.iter().map(|ids| Scored::of(&seen.logits, ids[0]));
    let first = first.collect::<Vec<_>>();
    first.iter().try_for_each(|scored| reader.check_number(*scored, 0))?;
    let mut total: Vec<f64> = first.iter().map(|scored| scored.logprob).collect();
    let longer = (0..choices.len()).filter(|&at| choices[at].len() > 1).collect::<Vec<_>>();
    let row = |&at: &usize| {
        let ids = &choices[at];
        Row { tokens: &ids[..ids.len() - 1], targets: &ids[1..] }
    };
    let rows: Vec<Row> = longer.iter().map(row).collect();
    if !rows.is_empty() {
        let seen = reader.read(&rows, &mut state.repeated(rows.len()))?;
        longer.iter().zip(seen).for_each(|(&at, seen)| total[at] += seen.logprob());
    }
    Ok(total)
}

/// How likely choices are without a prompt; each is read once.
struct Usual<'a> {
    reader: Reader<'a>,
    /// Where a text begins; nothing where nobody asks.
    start: Option<(Seen, State)>,
    known: HashMap<Vec<u32>, f64>,
}

impl<'a> Usual<'a> {
    fn new(reader: Reader<'a>, normalise: Normalise, state: &State) -> Result<Self> {
        let known = HashMap::new();
        if normalise != Normalise::Calibrated {
            return Ok(Self { reader, start: None, known });
        }
        let mut state = state.clone();
        let row = Row { tokens: &[BEGINNING], targets: &[] };
        let seen = reader.read(&[row], &mut state)?.pop();
        Ok(Self { reader, start: seen.map(|seen| (seen, state)), known })
    }

    /// What choices are compared by when their lengths are taken into account.
    fn scores(&mut self, logprobs: &[f64], cut: &Cut) -> Result<Vec<f64>> {
        let sizes = logprobs.iter().zip(&cut.sizes);
        let Some((seen, state)) = &self.start else {
            return Ok(sizes.map(|(logprob, size)| logprob / size).collect());
        };
        let mut new: Vec<Vec<u32>> = cut.choices.clone();
        new.retain(|ids| !self.known.contains_key(ids));
        let found = follow(self.reader, seen, state, &new)?;
        self.known.extend(new.into_iter().zip(found));
        let pairs = logprobs.iter().zip(&cut.choices);
        Ok(pairs.map(|(logprob, ids)| logprob - self.known[ids]).collect())
    }
}

/// The place of the largest number; of equals the first.
fn best(scores: &[f64]) -> usize {
    (0..scores.len()).fold(0, |best, at| if scores[at] > scores[best] { at } else { best })
}
