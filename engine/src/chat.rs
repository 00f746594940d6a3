//! Talking in turns, which form a tree: an answer that is taken back, given anew or edited stays
//! beside the other ones. Every turn keeps the memory it led to, so that going anywhere costs
//! nothing and nothing is read twice, except answers that later turns shall see otherwise than they
//! came (thoughts are forgotten by reading the answer once more without them), and turns whose
//! memory was dropped for a budget of bytes.

mod answering;
mod file;
mod fill;
mod format;
mod reading;
mod showing;
mod template;
#[cfg(test)]
mod tests;
mod transcript;
mod tree;
mod turn;
mod written;

use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};

pub use fill::{FLOWER, fill_prompt};
pub use format::{FORMATS, Format};
pub use reading::encode;
use showing::Illustrated;
pub use showing::Picture;
pub use template::{Answer, Effort, Question, Template, Think, clean};
pub use transcript::{Part, Role};
pub use tree::BUDGET;
pub use turn::{Asked, Turn};

use crate::generate::{Generation, Options, Piece};
use crate::model::Model;
use crate::state::State;
use crate::visual::prompt::PICTURE;
use tree::Tree;

/// A conversation and the memories it has led to.
#[derive(Clone, Debug)]
pub struct Chat {
    /// How turns are written.
    pub template: Template,
    /// How answers are generated; without `stop` texts those of the template end a turn.
    pub options: Options,
    /// What the seeds of the answers are counted from, where the conversation has a seed.
    pub seed: Option<u64>,
    tree: Tree,
}

impl Chat {
    /// A conversation that starts from `state`.
    ///
    /// # Errors
    /// When the format cannot do what the template asks of it.
    pub fn new(state: State, template: Template, options: Options) -> Result<Self> {
        template.check()?;
        Ok(Self { template, options, seed: None, tree: Tree::new(state) })
    }

    /// The turns from the start to where the conversation stands.
    pub fn turns(&self) -> Vec<&Turn> {
        self.tree
            .path(self.number())
            .into_iter()
            .map(|number| &self.tree.turns[number - 1])
            .collect()
    }

    /// Their numbers.
    pub fn path(&self) -> Vec<usize> {
        self.tree.path(self.number())
    }

    /// Every turn there is, also those that were taken back; the first one has the number 1.
    pub fn all_turns(&self) -> &[Turn] {
        &self.tree.turns
    }

    /// The number of the turn where the conversation stands; 0 is the start.
    pub fn number(&self) -> usize {
        self.tree.now
    }

    /// How many turns lead to this one, itself counted.
    ///
    /// # Errors
    /// When there is no such turn.
    pub fn depth(&self, number: usize) -> Result<usize> {
        self.tree.check(number)?;
        Ok(self.tree.path(number).len())
    }

    /// What is remembered now.
    pub fn state(&self) -> &State {
        self.tree.state()
    }

    /// Puts an edited state, for example, in place of what is remembered now. The turns that are
    /// said next keep it as what they began with.
    pub fn set_state(&mut self, state: State) {
        self.tree.edited = Some(Rc::new(state));
    }

    /// The memory a turn began with; none where it has been dropped for the budget.
    pub fn before<'a>(&'a self, turn: &'a Turn) -> Option<&'a State> {
        let Asked { base, parent, .. } = &turn.asked;
        let known = || match self.tree.turn(*parent) {
            None => Some(&*self.tree.start),
            Some(parent) => parent.state(),
        };
        base.as_deref().or_else(known)
    }

    /// Bytes of all memories that are kept, each counted once.
    pub fn bytes(&self) -> usize {
        self.tree.bytes()
    }

    /// Bytes that the memories may take, if the start and the present fit in there.
    pub fn budget(&self) -> usize {
        self.tree.budget
    }

    /// Changes the budget, and drops memories if it has become too small. What is dropped is read
    /// again when somebody goes back to it.
    pub fn set_budget(&mut self, bytes: usize) {
        self.tree.budget = bytes;
        self.tree.thin_out();
    }

    /// How many tokens have been read on the way to here, those before the start not counted.
    pub fn tokens(&self) -> usize {
        self.turns().iter().map(|turn| turn.reading.len()).sum()
    }

    /// Asks and waits for the answer; `each` sees it as it comes.
    ///
    /// The text of the generation begins with the words that were put into the model's mouth, such
    /// as `<think`; its state has read the thoughts, that of the conversation has not.
    ///
    /// # Errors
    /// As [`crate::generate::generate`], and for a question the format has no place for; the conversation is then as
    /// it was before.
    pub fn say(
        &mut self,
        model: &Model,
        question: &Question,
        interrupt: &AtomicBool,
        each: impl FnMut(&Piece) -> Result<bool>,
    ) -> Result<Generation> {
        let asked = self.asked_here(model, question, interrupt)?;
        self.ask(model, asked, interrupt, each)
    }

    /// Asks the last question again; the other answer stays in the tree beside the new one.
    ///
    /// # Errors
    /// When there is no answer yet, and as [`Chat::say`].
    pub fn regenerate(
        &mut self,
        model: &Model,
        interrupt: &AtomicBool,
        each: impl FnMut(&Piece) -> Result<bool>,
    ) -> Result<Generation> {
        let asked = self.present()?.asked.clone();
        self.ask(model, asked, interrupt, each)
    }

    /// Asks something else where the turn of this number was asked; that turn and all that follows
    /// it stay in the tree.
    ///
    /// # Errors
    /// When there is no such turn, and as [`Chat::say`].
    pub fn edit(
        &mut self,
        model: &Model,
        number: usize,
        question: &Question,
        interrupt: &AtomicBool,
        each: impl FnMut(&Piece) -> Result<bool>,
    ) -> Result<Generation> {
        self.tree.check(number)?;
        let old =
            self.tree.turn(number).context("turn 0 is the start; nothing was asked there.")?;
        let (parent, (base, pictures)) = (old.asked.parent, old.asked.put());
        let asked = self.asked_about(model, parent, base, question, pictures, interrupt)?;
        self.ask(model, asked, interrupt, each)
    }

    /// Takes the last turn back; `false` if there is none. It stays in the tree.
    ///
    /// # Errors
    /// When a memory that was dropped is read again and that is interrupted.
    pub fn undo(&mut self, model: &Model, interrupt: &AtomicBool) -> Result<bool> {
        let Some(turn) = self.tree.present() else { return Ok(false) };
        let (now, parent, (base, pictures)) = (self.number(), turn.asked.parent, turn.asked.put());
        self.tree.memory(model, parent, interrupt)?;
        self.tree.stand_at(parent, base);
        self.tree.shown = pictures.into_iter().filter(Picture::is_here).collect();
        self.tree.visited.insert(parent, now);
        Ok(true)
    }

    /// Goes to the turn that was taken back last, or said last, after the present one; `false` if
    /// there is none.
    ///
    /// # Errors
    /// As [`Chat::undo`].
    pub fn redo(&mut self, model: &Model, interrupt: &AtomicBool) -> Result<bool> {
        let Some(&next) = self.tree.visited.get(&self.number()) else { return Ok(false) };
        self.jump(model, next, interrupt)?;
        Ok(true)
    }

    /// Goes to the turn of this number; 0 is the start.
    ///
    /// # Errors
    /// When there is no such turn, and as [`Chat::undo`].
    pub fn jump(&mut self, model: &Model, number: usize, interrupt: &AtomicBool) -> Result<()> {
        self.tree.check(number)?;
        self.tree.memory(model, number, interrupt)?;
        self.tree.stand_at(number, None);
        Ok(())
    }

    /// Forgets everything back to the start, the tree too.
    pub fn reset(&mut self) {
        let start = (*self.tree.start).clone();
        let (budget, given) = (self.tree.budget, self.tree.given.clone());
        self.tree = Tree { budget, shown: given.clone(), given, ..Tree::new(start) };
    }

    /// The text that would be read if this were asked now, without token 0, with `<image>` for each
    /// picture.
    ///
    /// # Errors
    /// For a question the format has no place for.
    pub fn prompt(&self, question: &Question) -> Result<String> {
        let asked = self.asked(self.number(), None, question)?;
        let Illustrated { texts, rest } = self.illustrated(&asked, &self.tree.shown);
        let texts = texts.into_iter().map(|text| text + PICTURE);
        Ok(texts.collect::<String>() + &rest + &asked.lead)
    }

    /// The same as tokens, with token 0 where it is read.
    ///
    /// # Errors
    /// As [`Chat::prompt`], and when the vocabulary has no token for some of it.
    pub fn prompt_tokens(&self, model: &Model, question: &Question) -> Result<Vec<u32>> {
        ensure!(self.tree.shown.is_empty(), "a picture is read as rows, not as tokens.");
        let Asked { text, lead, begins, .. } = self.asked(self.number(), None, question)?;
        encode(model, &(text + &lead), begins)
    }

    /// The turn where the conversation stands.
    fn present(&self) -> Result<&Turn> {
        self.tree.present().context("there is no answer yet; say something first.")
    }

    /// A question as it is written after the turn `parent`.
    fn asked(&self, parent: usize, base: Option<Rc<State>>, question: &Question) -> Result<Asked> {
        let question = self.template.clean(question)?;
        let opening = if parent == 0 { self.template.opening() } else { String::new() };
        let open = self.tree.turn(parent).is_some_and(|turn| turn.open);
        let gap = if open { self.template.format.gap } else { "" };
        let text = format!("{gap}{opening}{}", self.template.asked(&question));
        let lead = self.template.lead(&question).to_string();
        let begins = self.template.bos && parent == 0;
        let (unread, pictures) = (None, Vec::new());
        Ok(Asked { question, parent, base, unread, pictures, text, lead, begins })
    }
}
