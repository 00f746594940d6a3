//! Talking in turns. Every turn keeps the state it started from, so that going back costs nothing
//! and nothing is read twice, except answers that later turns shall see otherwise than they came:
//! thoughts are forgotten by reading the answer once more without them.

mod fill;
mod format;
mod reading;
mod template;
#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

pub use fill::{FLOWER, fill_prompt};
pub use format::{FORMATS, Format};
pub use reading::encode;
pub use template::{Answer, Effort, Question, Template, Think, clean};

use crate::generate::{Finish, Generation, Options, Piece, generate};
use crate::model::Model;
use crate::state::State;
use reading::{Half, prefixed};

/// One question and its answer.
#[derive(Clone, Debug)]
pub struct Turn {
    /// What was asked.
    pub question: Question,
    /// What was answered.
    pub answer: Answer,
    /// The memory before the question.
    pub before: State,
    /// The memory after the answer.
    pub state: State,
    /// Whether the gap before the question had still to be read.
    open: bool,
}

/// A conversation and the memory it has led to.
#[derive(Clone, Debug)]
pub struct Chat {
    /// How turns are written.
    pub template: Template,
    /// How answers are generated; without `stop` texts those of the template end a turn.
    pub options: Options,
    /// What is remembered now; may be replaced, by an edited state for example.
    pub state: State,
    turns: Vec<Turn>,
    start: State,
    /// Whether the gap that ends an answer has still to be read.
    open: bool,
}

impl Chat {
    /// A conversation that starts from `state`.
    ///
    /// # Errors
    /// When the format cannot do what the template asks of it.
    pub fn new(state: State, template: Template, options: Options) -> Result<Self> {
        template.check()?;
        Ok(Self { template, options, start: state.clone(), state, turns: vec![], open: false })
    }

    /// All turns so far.
    pub fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// Asks and waits for the answer; `each` sees it as it comes.
    ///
    /// The text of the generation begins with the words that were put into the model's mouth, such
    /// as `<think`; its state has read the thoughts, that of the conversation has not.
    ///
    /// # Errors
    /// As [`generate`], and for a question the format has no place for; the conversation is then as
    /// it was before.
    pub fn say(
        &mut self,
        model: &Model,
        question: &Question,
        interrupt: &AtomicBool,
        each: impl FnMut(&Piece) -> Result<bool>,
    ) -> Result<Generation> {
        let question = self.template.clean(question)?;
        let (text, lead) = (self.text(&question), self.template.lead(&question));
        let half = Half::read(model, &self.state, &text, lead, self.begins(), interrupt)?;
        let options = self.options(&question);
        let each = prefixed(lead.trim_start(), each);
        let mut out = generate(model, &half.rest, &half.state, &options, interrupt, each)?;
        let answer = self.template.split(&question, &format!("{lead}{}", out.text));
        let (state, open) = match self.left(model, &out, lead, &answer) {
            Some(open) => (out.state.clone(), open),
            None => {
                let kept = self.template.kept(&question, &answer.reply);
                (half.once_more(model, &self.state, &(text + &kept), self.begins())?, true)
            }
        };
        out.text.insert_str(0, lead.trim_start());
        let before = std::mem::replace(&mut self.state, state.clone());
        self.turns.push(Turn { question, answer, before, state, open: self.open });
        self.open = open;
        Ok(out)
    }

    /// Asks the last question again; the other answer takes the place of the last one.
    ///
    /// # Errors
    /// When there is no answer yet, and as [`Chat::say`]; the old answer then stays.
    pub fn regenerate(
        &mut self,
        model: &Model,
        interrupt: &AtomicBool,
        each: impl FnMut(&Piece) -> Result<bool>,
    ) -> Result<Generation> {
        let (state, open) = (self.state.clone(), self.open);
        let last = self.undo().context("there is no answer yet; say something first.")?;
        let made = self.say(model, &last.question, interrupt, each);
        if made.is_err() {
            self.turns.push(last);
            (self.state, self.open) = (state, open);
        }
        made
    }

    /// Takes the last turn back and returns it.
    pub fn undo(&mut self) -> Option<Turn> {
        let turn = self.turns.pop()?;
        self.state = turn.before.clone();
        self.open = turn.open;
        Some(turn)
    }

    /// Forgets everything back to the start.
    pub fn reset(&mut self) {
        self.turns.clear();
        self.state = self.start.clone();
        self.open = false;
    }

    /// The text that would be read if this were asked now, without token 0.
    ///
    /// # Errors
    /// For a question the format has no place for.
    pub fn prompt(&self, question: &Question) -> Result<String> {
        let question = self.template.clean(question)?;
        Ok(self.text(&question) + self.template.lead(&question))
    }

    /// The same as tokens, with token 0 where it is read.
    ///
    /// # Errors
    /// As [`Chat::prompt`], and when the vocabulary has no token for some of it.
    pub fn prompt_tokens(&self, model: &Model, question: &Question) -> Result<Vec<u32>> {
        encode(model, &self.prompt(question)?, self.begins())
    }

    /// A clean question as it is written here and now, up to the name of who answers.
    fn text(&self, question: &Question) -> String {
        let opening = if self.turns.is_empty() { self.template.opening() } else { String::new() };
        let gap = if self.open { self.template.format.gap } else { "" };
        format!("{gap}{opening}{}", self.template.asked(question))
    }

    /// Whether token 0 comes next.
    fn begins(&self) -> bool {
        self.template.bos && self.turns.is_empty()
    }

    /// How the next answer is generated.
    fn options(&self, question: &Question) -> Options {
        let mut options = self.options.clone();
        if options.stop.is_empty() {
            options.stop = self.template.stops(question);
        }
        options
    }

    /// How a generation left the memory, if later turns may see it so: whether a gap is still to be
    /// read. `None` after thoughts, the end of a document, and stops other than the gap.
    fn left(&self, model: &Model, out: &Generation, lead: &str, answer: &Answer) -> Option<bool> {
        if !lead.is_empty() || !answer.thoughts.is_empty() {
            return None;
        }
        match out.finish {
            Finish::End => None,
            Finish::Stop => {
                let text = model.tokenizer.decode(&out.tokens);
                let gap = self.template.format.gap;
                let exact = !gap.is_empty() && text.strip_prefix(&out.text) == Some(gap);
                exact.then_some(false)
            }
            Finish::Length | Finish::Callback | Finish::Complete | Finish::Interrupted => {
                Some(true)
            }
        }
    }
}
