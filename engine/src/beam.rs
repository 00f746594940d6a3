//! Beam search: the continuations that are likeliest as a whole, not token by token.
//!
//! Every beam owns its memory. A model that remembers in a state gives wrong beams when the state
//! does not follow the tokens; here it cannot but follow.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::generate::{Finish, Generation, Writer, usable};
use crate::model::Model;
use crate::sample::{Luck, log_softmax};
use crate::state::State;
use crate::tensor::Array;

/// How to search.
#[derive(Clone, Debug)]
pub struct Options {
    /// Continuations kept in view, and given in the end.
    pub beams: usize,
    /// Tokens at most.
    pub max_tokens: usize,
    /// A text's score is its log-probability divided by its length to this power: above 0 favours
    /// long texts, below 0 short ones.
    pub length_penalty: f64,
    /// Texts that end a beam; they are not part of its text.
    pub stop: Vec<String>,
    /// Tokens that end a beam, and count in its score.
    pub end: Vec<u32>,
    /// Whether ids may be chosen that the tokenizer does not know and that end nothing.
    pub unused_ids: bool,
}

impl Options {
    fn score(&self, logprob: f64, length: usize) -> f64 {
        logprob / (length.max(1) as f64).powf(self.length_penalty)
    }
}

/// Reads `prompt` from `state` on and gives its best continuations, best first.
///
/// # Errors
/// For no beams, an empty prompt, a state of another model, and an interrupt.
pub fn beam_search(
    model: &Model,
    prompt: &[u32],
    state: &State,
    options: &Options,
    interrupt: &AtomicBool,
) -> Result<Vec<Generation>> {
    ensure!(options.beams > 0, "there are no beams to search with; give at least one");
    let (logits, state) = model.read(prompt, state, interrupt)?;
    let start = Instant::now();
    let usable = usable(model, &options.end, options.unused_ids);
    let step = |logits: &Array| {
        let mut logprobs = log_softmax(&logits.values());
        let unused = logprobs.iter_mut().zip(&usable).filter(|(_, usable)| !**usable);
        unused.for_each(|(logprob, _)| *logprob = f32::NEG_INFINITY);
        logprobs
    };
    let writer = Writer::new(model, options.stop.clone());
    let first = Step { logprobs: step(&logits), memory: (logits, state, writer), ended: false };
    let found = search(first, options, |(_, state, writer), token| {
        let (logits, state) = model.read(&[token], state, interrupt)?;
        let mut writer = writer.clone();
        let ended = !options.end.contains(&token) && writer.write(token).1;
        Ok(Step { logprobs: step(&logits), memory: (logits, state, writer), ended })
    })?;
    let generation = |beam: Beam<(Array, State, Writer)>| {
        let finish = match beam.tokens.last() {
            Some(last) if options.end.contains(last) => Finish::End,
            _ if beam.step.ended => Finish::Stop,
            _ => Finish::Length,
        };
        let (logits, state, mut writer) = beam.step.memory;
        let text = writer.close(finish);
        let (tokens, logprobs, time) = (beam.tokens, beam.logprobs, start.elapsed());
        let luck = Luck::default();
        Generation { text, tokens, logprobs, state, logits, finish, time, luck }
    };
    Ok(found.into_iter().map(generation).collect())
}

/// What has been reached by reading a token.
struct Step<M> {
    /// All that is remembered.
    memory: M,
    /// Log-probabilities of the next token, `[V]`; −∞ for what must not come.
    logprobs: Vec<f32>,
    /// Whether the text ends here.
    ended: bool,
}

/// Tokens and where they have led.
struct Beam<M> {
    tokens: Vec<u32>,
    logprobs: Vec<f32>,
    logprob: f64,
    step: Step<M>,
}

/// The best beams that `read` can reach from `first`, best first.
fn search<M>(
    first: Step<M>,
    options: &Options,
    mut read: impl FnMut(&M, u32) -> Result<Step<M>>,
) -> Result<Vec<Beam<M>>> {
    let mut live = vec![Beam { tokens: vec![], logprobs: vec![], logprob: 0.0, step: first }];
    let mut ended: Vec<Beam<M>> = vec![];
    let score = |beam: &Beam<M>| options.score(beam.logprob, beam.tokens.len());
    for _ in 0..options.max_tokens {
        let mut next = vec![];
        for (rank, (logprob, from, token)) in extensions(&live, options).into_iter().enumerate() {
            let ends = options.end.contains(&token);
            if next.len() == options.beams {
                break;
            }
            // An end that is not among the best extensions is none of the best texts either.
            if ends && rank >= options.beams {
                continue;
            }
            let before: &Beam<M> = &live[from];
            let beam = Beam {
                tokens: [&before.tokens[..], &[token]].concat(),
                logprobs: [&before.logprobs[..], &[before.step.logprobs[token as usize]]].concat(),
                logprob,
                step: read(&before.step.memory, token)?,
            };
            if ends || beam.step.ended { ended.push(beam) } else { next.push(beam) }
        }
        live = next;
        ended.sort_by(|a, b| score(b).total_cmp(&score(a)));
        ended.truncate(options.beams);
        if ended.len() == options.beams
            && hopeless(&live, score(&ended[options.beams - 1]), options)
        {
            live.clear();
            break;
        }
    }
    ended.extend(live);
    ended.sort_by(|a, b| score(b).total_cmp(&score(a)));
    ended.truncate(options.beams);
    Ok(ended)
}

/// The likeliest ways to go on, likeliest first: log-probability, beam, token. Enough to fill all
/// beams even if every end comes before them.
fn extensions<M>(live: &[Beam<M>], options: &Options) -> Vec<(f64, usize, u32)> {
    let enough = options.beams + options.end.len() * live.len().max(1);
    let mut all = vec![];
    for (from, beam) in live.iter().enumerate() {
        let tokens = (0..).zip(&beam.step.logprobs).filter(|(_, logprob)| logprob.is_finite());
        let mut tokens: Vec<(u32, f32)> =
            tokens.map(|(token, &logprob)| (token, logprob)).collect();
        if tokens.len() > enough {
            tokens.select_nth_unstable_by(enough, |a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            tokens.truncate(enough);
        }
        let extended =
            |(token, logprob): (u32, f32)| (beam.logprob + f64::from(logprob), from, token);
        all.extend(tokens.into_iter().map(extended));
    }
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    all
}

/// Whether no beam can become better than `score`: its log-probability only falls, and the length
/// that flatters it most is the present one or the longest.
fn hopeless<M>(live: &[Beam<M>], score: f64, options: &Options) -> bool {
    let best = |beam: &Beam<M>| {
        let lengths = [beam.tokens.len() + 1, options.max_tokens];
        lengths
            .map(|length| options.score(beam.logprob, length))
            .into_iter()
            .fold(f64::MIN, f64::max)
    };
    live.iter().all(|beam| best(beam) <= score)
}

#[cfg(test)]
mod tests;
