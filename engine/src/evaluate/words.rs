//! Targets that have one right answer: the last word of a text (LAMBADA), what a problem asks for.

use anyhow::{Context, Result, bail};

use super::items::{Item, Skips};
use super::means::Mean;
use super::prompts::{Prompt, read_prompts};
use super::rows::Reader;
use super::{BEGINNING, ended};
use crate::state::State;

/// A text and what has to come after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// What is read.
    pub context: String,
    /// What has to come.
    pub target: String,
}

/// What became of one target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess {
    /// Which of the targets it is.
    pub item: usize,
    /// Whether each of its tokens was the likeliest: with temperature 0 the model says just this.
    pub right: bool,
    /// Natural logarithm of the probability of all its tokens together.
    pub logprob: f64,
    /// How many tokens it has.
    pub tokens: usize,
    /// How many tokens are read before it.
    pub prompt: usize,
}

/// What became of many targets.
#[derive(Clone, Debug, Default)]
pub struct Guesses {
    /// Those that were measured, in their order.
    pub guesses: Vec<Guess>,
    /// Those that were not.
    pub skips: Skips,
    /// Tokens of all prompts together.
    pub asked: u64,
    /// Tokens that were read; less where prompts share their beginning.
    pub read: u64,
    /// Whether all of them were measured.
    pub complete: bool,
}

impl Guesses {
    /// The share that is right.
    pub fn accuracy(&self) -> Mean {
        self.guesses.iter().map(|guess| guess.right).collect()
    }

    /// `−ln` of the probability of a whole target.
    pub fn nll(&self) -> Mean {
        self.guesses.iter().map(|guess| -guess.logprob).collect()
    }
}

/// What the items ask for: `context` and `target`, `prompt` and `target`, or a `text` whose last
/// word is the target. Of others that have such a text the reason is counted.
///
/// # Errors
/// When an item has none of these keys.
pub fn targets(items: &[Item]) -> Result<(Vec<Target>, Skips)> {
    let (mut found, mut skips) = (Vec::new(), Skips::default());
    for item in items {
        match target_of(item)? {
            Ok(target) => found.push(target),
            Err(why) => skips.add(why),
        }
    }
    Ok((found, skips))
}

/// The target of an item, or why it has none.
fn target_of(item: &Item) -> Result<Result<Target, &'static str>> {
    let layout = "an item has `context` and `target`, or a `text` whose last word is the target";
    if let Some(text) = item.under(&["text"]) {
        let text = text.as_str().with_context(|| format!("{}: {layout}", item.place))?;
        let text = text.trim_end();
        let Some(at) = text.rfind(char::is_whitespace) else { return Ok(Err("of one word only")) };
        let (context, target) = text.split_at(at);
        let (context, target) = (context.to_string(), target.to_string());
        return Ok(Ok(Target { context, target }));
    }
    let key = if item.under(&["prompt"]).is_some() { "prompt" } else { "context" };
    let context = item.text(key, layout)?.to_string();
    let target = item.text("target", layout)?.to_string();
    Ok(if target.is_empty() { Err("with an empty target") } else { Ok(Target { context, target }) })
}

/// Reads every context from `state` on, with `bos` after token 0, and scores its target.
///
/// # Errors
/// As [`Reader::read`], when a text cannot be cut into tokens, and when nothing can be measured.
pub fn guess(reader: Reader, targets: &[Target], state: &State, bos: bool) -> Result<Guesses> {
    let mut found = Guesses::default();
    let (mut prompts, mut items) = (Vec::new(), Vec::new());
    for (item, target) in targets.iter().enumerate() {
        let prompt = prompt_of(reader, target, bos)?;
        if prompt.targets.is_empty() || prompt.tokens.len() < prompt.targets.len() {
            found.skips.add("without tokens before or in the target");
            continue;
        }
        found.asked += prompt.tokens.len() as u64;
        prompts.push(prompt);
        items.push(item);
    }
    if prompts.is_empty() {
        bail!("there is nothing to measure: {}.", nothing(&found.skips));
    }
    let counter = reader.model.progress.begin("asking".into(), "items", prompts.len() as u64);
    let (guesses, read) = (&mut found.guesses, &mut found.read);
    let outcome = read_prompts(reader, state, &prompts, read, |at, seen, _| {
        let right = seen.scored.iter().all(|one| one.likeliest);
        let (logprob, tokens) = (seen.logprob(), seen.scored.len());
        let prompt = prompts[at].tokens.len() + 1 - tokens;
        guesses.push(Guess { item: items[at], right, logprob, tokens, prompt });
        counter.add(1);
        Ok(())
    });
    found.complete = ended(outcome)?;
    Ok(found)
}

/// Why there is nothing left.
fn nothing(skips: &Skips) -> String {
    if skips.count() == 0 { "there are no items".into() } else { skips.words() }
}

/// Blanks at the end of a context belong to the word after it, as tokenizers see it.
fn prompt_of(reader: Reader, target: &Target, bos: bool) -> Result<Prompt> {
    let tokenizer = &reader.model.tokenizer;
    let context = target.context.trim_end_matches(' ');
    let blanks = &target.context[context.len()..];
    let beginning = bos.then_some(BEGINNING);
    let context = beginning.into_iter().chain(tokenizer.encode(context)?).collect();
    let target = tokenizer.encode(&format!("{blanks}{}", target.target))?;
    Ok(Prompt::before(context, target))
}
