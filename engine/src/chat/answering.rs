//! From a question to a turn: answers that begin, go on, and come from elsewhere.

use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};

use super::reading::{End, Half, Reading, prefixed};
use super::turn::Outcome;
use super::{Answer, Asked, Chat, Question, Turn};
use crate::generate::{Finish, Generation, Options, Piece, generate, resume};
use crate::model::Model;
use crate::state::State;

impl Chat {
    /// Goes on with the last answer where it was cut, as if it had not been; nothing is read again.
    /// `options.max_tokens` is what may be added, and a `seed` begins other random numbers. An
    /// answer that was followed by others stays as it is, and the longer one stands beside it.
    ///
    /// # Errors
    /// When there is no answer, one that came to its end, or one whose memory was changed since,
    /// and as [`Chat::say`].
    pub fn continue_reply(
        &mut self,
        model: &Model,
        seed: Option<u64>,
        interrupt: &AtomicBool,
        each: impl FnMut(&Piece) -> Result<bool>,
    ) -> Result<Generation> {
        let turn = self.present()?.clone();
        ensure!(
            turn.finish.is_cut(),
            "the last answer came to its end ({}); regenerate gives another one.",
            turn.finish.name()
        );
        ensure!(
            self.tree.edited.is_none(),
            "the state was changed after the answer, which cannot go on from there; say something, \
             or go back to the answer as it was with jump({}).",
            self.number()
        );
        let before = self.tree.before(model, &turn.asked, interrupt)?;
        let end = match &turn.end {
            Some(end) => end.clone(),
            None => turn.reading.end(model, &before, interrupt)?,
        };
        let mut options = self.options_for(&turn.asked.question);
        options.seed = seed.unwrap_or(turn.seed());
        let (made, prompt) = (turn.generation(&end), &turn.reading.rest);
        let out = resume(model, prompt, &made, &options, interrupt, each)?;
        let Reading { first, rest, .. } = turn.reading;
        let half = Half { first, rest, state: end.half };
        let mut longer = self.close(model, turn.asked, &before, half, &out)?;
        longer.foreign = turn.foreign;
        let lead = longer.asked.lead.clone();
        let followed = self.tree.children(self.number()).next().is_some();
        if followed {
            self.tree.add(longer);
        } else {
            self.tree.replace(longer);
        }
        Ok(spoken(out, &lead))
    }

    /// Lets this be the answer to the last question: one that was given to it goes back to its
    /// place in the tree, one that was generated elsewhere, from the same memory, becomes a turn
    /// beside the present one. Its state is used as it is.
    ///
    /// # Errors
    /// When there is no answer yet, and when the state is that of another model.
    pub fn accept(
        &mut self,
        model: &Model,
        made: &Generation,
        interrupt: &AtomicBool,
    ) -> Result<()> {
        let turn = self.present()?;
        let (parent, question) = (turn.asked.parent, &turn.asked.question);
        let same = |number: &usize| {
            let turn = &self.tree.turns[number - 1];
            turn.asked.question == *question && turn.is(made)
        };
        let known = self.tree.children(parent).find(same);
        if let Some(number) = known {
            return self.jump(model, number, interrupt);
        }
        made.state.fits(&model.state())?;
        let turn = turn.clone();
        let before = self.tree.before(model, &turn.asked, interrupt)?;
        let lead = turn.asked.lead.trim_start();
        let text = made.text.strip_prefix(lead).unwrap_or(&made.text).to_string();
        let made = Generation { text, ..made.clone() };
        let half = turn.end.and_then(|end| end.half);
        let Reading { first, rest, .. } = turn.reading;
        let half = Half { first, rest, state: half };
        let mut accepted = self.close(model, turn.asked, &before, half, &made)?;
        accepted.foreign = true;
        self.tree.add(accepted);
        Ok(())
    }

    /// Puts a question and adds the turn that it becomes.
    pub(super) fn ask(
        &mut self,
        model: &Model,
        asked: Asked,
        interrupt: &AtomicBool,
        each: impl FnMut(&Piece) -> Result<bool>,
    ) -> Result<Generation> {
        let before = self.tree.before(model, &asked, interrupt)?;
        let Asked { text, lead, begins, .. } = &asked;
        let half = Half::read(model, &before, text, lead, *begins, interrupt)?;
        let options = self.options_for(&asked.question);
        let each = prefixed(lead.trim_start(), each);
        let state = half.state.as_ref().unwrap_or(&before);
        let out = generate(model, &half.rest, state, &options, interrupt, each)?;
        let lead = lead.clone();
        let turn = self.close(model, asked, &before, half, &out)?;
        self.tree.add(turn);
        Ok(spoken(out, &lead))
    }

    /// The turn that a question and its answer make.
    fn close(
        &self,
        model: &Model,
        asked: Asked,
        before: &Rc<State>,
        half: Half,
        out: &Generation,
    ) -> Result<Turn> {
        let Asked { question, text, lead, begins, .. } = &asked;
        let answer = self.template.split(question, &format!("{lead}{}", out.text));
        let raw = Rc::new(out.state.clone());
        let (state, open, instead) = match self.left(model, out, lead, &answer) {
            Some(open) => (raw.clone(), open, None),
            None => {
                let text = format!("{text}{}", self.template.kept(question, &answer.reply));
                let (state, instead) = half.once_more(model, before, &text, *begins)?;
                (state, true, Some(instead))
            }
        };
        let Half { first, rest, state: half } = half;
        let end = out.finish.is_cut().then(|| End { raw, logits: out.logits.clone(), half });
        let reading = Reading { first, rest, tokens: out.tokens.clone(), instead };
        Ok(Turn::new(asked, answer, out, Outcome { reading, state, end, open }))
    }

    /// How an answer is generated.
    fn options_for(&self, question: &Question) -> Options {
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

/// A generation with the words that were put into the model's mouth.
fn spoken(mut out: Generation, lead: &str) -> Generation {
    out.text.insert_str(0, lead.trim_start());
    out
}
