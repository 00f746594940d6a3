//! One token after the other: read the prompt, choose, read the choice, choose again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::constrain::{Constraint, Form};
use crate::model::{Interrupted, Model};
use crate::sample::{Choice, Luck, Sampler, Sampling, exempt_from_frequency};
use crate::state::State;
use crate::stop::Stop;
use crate::tensor::Array;
use crate::tokenizer::{Decoder, Tokenizer};

/// How to generate.
#[derive(Clone, Debug)]
pub struct Options {
    /// Tokens at most.
    pub max_tokens: usize,
    /// How a token is chosen.
    pub sampler: Sampler,
    /// The same seed gives the same text.
    pub seed: u64,
    /// Texts that end the generation; they are not part of the text.
    pub stop: Vec<String>,
    /// Tokens that end it: 0, the end of a document, for RWKV.
    pub end: Vec<u32>,
    /// Whether ids may be chosen that the tokenizer has no text for and that end nothing: models
    /// have logits for a few more ids than their vocabulary has.
    pub unused_ids: bool,
    /// What the text has to look like; it ends where it can only be complete.
    pub form: Option<Form>,
}

impl Options {
    /// The usual way to continue a text with this model.
    pub fn of(model: &Model) -> Self {
        Self::with_penalty(model, Sampler::default().presence_penalty)
    }

    /// The usual way to answer in a chat (ChatRWKV, API_DEMO_CHAT): closer to the likeliest answer,
    /// and ended by a blank line. Who sees says what is likeliest, as VisualRWKV is evaluated.
    pub fn chat(model: &Model) -> Self {
        if model.visual.is_some() {
            let sampler = Sampler { temperature: 0.0, ..Sampler::plain() };
            return Self { sampler, stop: vec!["\n\n".into()], ..Self::default() };
        }
        let mut options = Self::with_penalty(model, 0.5);
        options.sampler.top_p = 0.3;
        options.stop = vec!["\n\n".into()];
        options
    }

    /// Letters have to come again and again, so a model that reads bytes is not punished for it.
    fn with_penalty(model: &Model, penalty: f32) -> Self {
        let penalty = if matches!(model.tokenizer, Tokenizer::Bytes) { 0.0 } else { penalty };
        let (presence_penalty, frequency_penalty) = (penalty, penalty);
        let sampler = Sampler { presence_penalty, frequency_penalty, ..Sampler::default() };
        Self { sampler, ..Self::default() }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_tokens: 100,
            sampler: Sampler::default(),
            seed: 0,
            stop: Vec::new(),
            end: vec![0],
            unused_ids: false,
            form: None,
        }
    }
}

/// One token as it comes.
pub struct Piece<'a> {
    /// Its number.
    pub token: u32,
    /// What it makes safe to show; empty while half a character or half a stop text is held back.
    pub text: &'a str,
    /// Natural logarithm of its probability before penalties and cuts.
    pub logprob: f32,
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finish {
    /// A stop text came.
    Stop,
    /// As many tokens as were asked for.
    Length,
    /// An end token came.
    End,
    /// The callback said so.
    Callback,
    /// The text has the form that was asked for, and nothing can follow, or nothing that fits.
    Complete,
    /// Somebody pressed Ctrl-C.
    Interrupted,
}

impl Finish {
    /// Whether the text could have gone on: it was cut, by a limit, a callback or a person.
    pub fn is_cut(self) -> bool {
        matches!(self, Self::Length | Self::Callback | Self::Interrupted)
    }

    /// What scripts call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::End => "eos",
            Self::Callback => "callback",
            Self::Complete => "complete",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A generated text and where it leaves the model.
#[derive(Clone, Debug)]
pub struct Generation {
    /// The text, without the stop text that ended it.
    pub text: String,
    /// All tokens chosen, those of a stop text too.
    pub tokens: Vec<u32>,
    /// One for each token.
    pub logprobs: Vec<f32>,
    /// The state after all of `tokens`.
    pub state: State,
    /// Logits after all of `tokens`, `[V]`.
    pub logits: Array,
    /// Why it ended.
    pub finish: Finish,
    /// Time spent choosing and reading tokens, without the prompt.
    pub time: Duration,
    /// Where the random numbers stand.
    pub luck: Luck,
}

impl Generation {
    /// Mean of the log-probabilities; NaN where there are no tokens.
    pub fn mean_logprob(&self) -> f64 {
        self.logprob() / self.logprobs.len() as f64
    }

    /// Natural logarithm of the probability of all tokens together.
    pub fn logprob(&self) -> f64 {
        self.logprobs.iter().map(|&x| f64::from(x)).sum()
    }

    /// Tokens per second, without the prompt.
    pub fn tokens_per_second(&self) -> f64 {
        self.tokens.len() as f64 / self.time.as_secs_f64()
    }
}

/// Reads `prompt` from `state` on and continues it; `each` sees every token as it comes and may
/// say `false` to stop. The state given is not changed.
///
/// # Errors
/// For an empty prompt, a state of another model, options out of range, a form that no text can
/// have, and what `each` returns.
/// An interrupt while the prompt is read is [`Interrupted`]; later it ends the text.
pub fn generate(
    model: &Model,
    prompt: &[u32],
    state: &State,
    options: &Options,
    interrupt: &AtomicBool,
    mut each: impl FnMut(&Piece) -> Result<bool>,
) -> Result<Generation> {
    options.sampler.check()?;
    let draft = Draft::new(model, prompt, options)?;
    let begun = model.read(prompt, state, interrupt)?;
    draft.run(begun, options.max_tokens, interrupt, &mut each)
}

/// Goes on with a text after its last token, as if it had not ended: nothing of it is read again.
/// `prompt` is what it followed and `max_tokens` what may be added; with the seed it was made with,
/// the whole is what one run would have given.
///
/// # Errors
/// As [`generate`], and when the text does not have the beginning of the form that is asked for.
pub fn resume(
    model: &Model,
    prompt: &[u32],
    made: &Generation,
    options: &Options,
    interrupt: &AtomicBool,
    mut each: impl FnMut(&Piece) -> Result<bool>,
) -> Result<Generation> {
    options.sampler.check()?;
    let mut draft = Draft::new(model, prompt, options)?;
    draft.go_on(made)?;
    let begun = (made.logits.clone(), made.state.clone());
    let limit = made.tokens.len().saturating_add(options.max_tokens);
    let whole = draft.run(begun, limit, interrupt, &mut each)?;
    Ok(Generation { time: whole.time + made.time, ..whole })
}

/// Tokens on their way, with all that chooses them.
struct Draft<'a> {
    model: &'a Model,
    options: &'a Options,
    sampling: Sampling,
    usable: Vec<bool>,
    constraint: Option<Constraint>,
    writer: Writer,
    tokens: Vec<u32>,
    logprobs: Vec<f32>,
}

impl<'a> Draft<'a> {
    fn new(model: &'a Model, prompt: &[u32], options: &'a Options) -> Result<Self> {
        let begin = |form| Constraint::new(form, &model.tokenizer.vocabulary()?);
        let mut sampling = Sampling::new(options.sampler.clone(), options.seed);
        sampling.read(prompt);
        Ok(Self {
            model,
            options,
            sampling,
            usable: usable(model, &options.end, options.unused_ids),
            constraint: options.form.as_ref().map(begin).transpose()?,
            writer: Writer::new(model, options.stop.clone()),
            tokens: Vec::new(),
            logprobs: Vec::new(),
        })
    }

    /// Takes in what an earlier draft has chosen.
    fn go_on(&mut self, made: &Generation) -> Result<()> {
        let exempt = |id| exempt_from_frequency(&self.model.tokenizer.piece(id));
        self.sampling.go_on(&made.tokens, made.luck, exempt);
        if let Some(constraint) = &mut self.constraint {
            made.tokens.iter().try_for_each(|&token| constraint.push(token))?;
        }
        self.writer = Writer::after(self.model, self.options.stop.clone(), &made.tokens);
        self.tokens.clone_from(&made.tokens);
        self.logprobs.clone_from(&made.logprobs);
        Ok(())
    }

    /// Chooses and reads tokens until something ends the text, at the latest when it has `limit`.
    fn run(
        mut self,
        (mut logits, mut state): (Array, State),
        limit: usize,
        interrupt: &AtomicBool,
        each: &mut impl FnMut(&Piece) -> Result<bool>,
    ) -> Result<Generation> {
        let start = Instant::now();
        let mut luck = self.sampling.luck();
        let left = limit.saturating_sub(self.tokens.len()) as u64;
        let counter = self.model.progress.begin("generating".into(), "tokens", left);
        let finish = loop {
            if self.constraint.as_ref().is_some_and(Constraint::is_complete) {
                break Finish::Complete;
            }
            if self.tokens.len() >= limit {
                break Finish::Length;
            }
            if interrupt.load(Ordering::Relaxed) {
                break Finish::Interrupted;
            }
            let Some(choice) = self.choose(&logits)? else { break Finish::Complete };
            // A token chosen is a token read, so that the state stands after all of them.
            match self.model.read(&[choice.token], &state, interrupt) {
                Ok(next) => (logits, state) = next,
                Err(error) if error.is::<Interrupted>() => break Finish::Interrupted,
                Err(error) => return Err(error),
            }
            counter.add(1);
            // Not before: a choice that is not read has not been made.
            luck = self.sampling.luck();
            let (safe, finish) = self.write(choice)?;
            let piece = Piece { token: choice.token, text: &safe, logprob: choice.logprob };
            let more = each(&piece)?;
            if let Some(finish) = finish.or((!more).then_some(Finish::Callback)) {
                break finish;
            }
        };
        let text = self.writer.close(finish);
        let Draft { tokens, logprobs, .. } = self;
        let time = start.elapsed();
        Ok(Generation { text, tokens, logprobs, state, logits, finish, time, luck })
    }

    /// The next token; none where the text has its form and the model would rather write what does
    /// not fit than go on.
    fn choose(&mut self, logits: &Array) -> Result<Option<Choice>> {
        let exempt = |id| exempt_from_frequency(&self.model.tokenizer.piece(id));
        let constraint = self.constraint.as_ref();
        let fits = |id| constraint.is_none_or(|form| form.allows(id));
        let may_end = constraint.is_none_or(Constraint::may_end);
        let allowed = |id: u32| self.usable[id as usize] && (may_end || fits(id));
        let choice = self.sampling.next(&logits.values(), allowed, exempt)?;
        let ends = self.options.end.contains(&choice.token);
        Ok((fits(choice.token) || ends).then_some(choice))
    }

    /// Takes a token in; what of its text is safe to show, and whether it ends the whole.
    fn write(&mut self, choice: Choice) -> Result<(String, Option<Finish>)> {
        self.tokens.push(choice.token);
        self.logprobs.push(choice.logprob);
        if self.options.end.contains(&choice.token) {
            return Ok((String::new(), Some(Finish::End)));
        }
        if let Some(constraint) = &mut self.constraint {
            constraint.push(choice.token)?;
        }
        let (safe, stopped) = self.writer.write(choice.token);
        Ok((safe, stopped.then_some(Finish::Stop)))
    }
}

/// Whether each id may be chosen at all: the tokenizer knows it, or it ends the text.
pub(crate) fn usable(model: &Model, end: &[u32], unused_ids: bool) -> Vec<bool> {
    let usable = |id| unused_ids || model.tokenizer.knows(id) || end.contains(&id);
    (0..model.vocab_size() as u32).map(usable).collect()
}

/// Makes text of tokens, and watches for what stops it.
#[derive(Clone)]
pub(crate) struct Writer {
    decoder: Decoder,
    stop: Stop,
    text: String,
}

impl Writer {
    pub(crate) fn new(model: &Model, stop: Vec<String>) -> Self {
        Self { decoder: model.tokenizer.decoder(), stop: Stop::new(stop), text: String::new() }
    }

    /// One that has written these tokens already.
    fn after(model: &Model, stop: Vec<String>, tokens: &[u32]) -> Self {
        let write = |stop| {
            let mut writer = Self::new(model, stop);
            let stopped = tokens.iter().any(|&token| writer.write(token).1);
            (writer, stopped)
        };
        match write(stop.clone()) {
            (writer, false) => writer,
            // It was written when this did not stop it; only what comes now can.
            (_, true) => Self { stop: Stop::new(stop), ..write(vec![]).0 },
        }
    }

    /// Takes a token; what is safe to show now, and whether a stop text is complete.
    pub(crate) fn write(&mut self, token: u32) -> (String, bool) {
        let (safe, stopped) = self.stop.push(&self.decoder.push(token));
        self.text.push_str(&safe);
        (safe, stopped)
    }

    /// The whole text, with what was held back for the start of a stop text or of a character.
    pub(crate) fn close(&mut self, finish: Finish) -> String {
        if finish != Finish::Stop {
            let (rest, stopped) = self.stop.push(&self.decoder.finish());
            self.text.push_str(&rest);
            self.text.push_str(&if stopped { String::new() } else { self.stop.finish() });
        }
        std::mem::take(&mut self.text)
    }
}

#[cfg(test)]
mod tests;
