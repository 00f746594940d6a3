//! Pictures in a conversation: looked at when they are shown, read when something is asked.

use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::reading::encode;
use super::{Asked, Chat, Question};
use crate::image::Image;
use crate::model::Model;
use crate::rank::{Measure, rank};
use crate::state::State;
use crate::visual::Seen;
use crate::visual::prompt::Placement;

/// A picture that a question is about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Picture {
    /// What it is called.
    pub name: String,
    /// Where the model was taught to expect it.
    placement: Placement,
    /// What the model saw; not in files, where the memory after it is.
    #[serde(skip)]
    seen: Option<Rc<Seen>>,
}

/// A question with its pictures, as it is written: texts with a picture after each but the last.
pub(super) struct Illustrated {
    pub(super) texts: Vec<String>,
    /// What is read behind the last picture.
    pub(super) rest: String,
}

impl Picture {
    /// Whether it can be read again.
    pub(super) fn is_here(&self) -> bool {
        self.seen.is_some()
    }
}

impl Asked {
    /// What the question was put with: the memory in place of the one after its parent, before any
    /// picture was read, and the pictures.
    pub(super) fn put(&self) -> (Option<Rc<State>>, Vec<Picture>) {
        let base = if self.pictures.is_empty() { &self.base } else { &self.unread };
        (base.clone(), self.pictures.clone())
    }
}

impl Chat {
    /// Shows the model a picture, which it looks at now and reads with the next question.
    ///
    /// # Errors
    /// When the model sees nothing, when it was taught one picture at a time and one is waiting,
    /// and as [`Model::look`].
    pub fn show(&mut self, model: &Model, image: &Image, interrupt: &AtomicBool) -> Result<()> {
        let placement = model.eyes()?.layout().placement;
        if let Some(waiting) = self.tree.shown.first() {
            ensure!(
                placement == Placement::Lines,
                "{} was taught one picture at a time, and {} is waiting; ask about it first.",
                model.name,
                waiting.name
            );
        }
        let seen = Some(Rc::new(model.look(image, interrupt)?));
        self.tree.shown.push(Picture { name: image.name.clone(), placement, seen });
        if self.number() == 0 {
            self.tree.given.clone_from(&self.tree.shown);
        }
        Ok(())
    }

    /// Names of the pictures that the next question will be about.
    pub fn shown(&self) -> impl Iterator<Item = &str> {
        self.tree.shown.iter().map(|picture| picture.name.as_str())
    }

    /// A question as it is written where the conversation stands, its pictures read.
    pub(super) fn asked_here(
        &mut self,
        model: &Model,
        question: &Question,
        interrupt: &AtomicBool,
    ) -> Result<Asked> {
        let (base, pictures) = (self.tree.edited.clone(), self.tree.shown.clone());
        self.asked_about(model, self.number(), base, question, pictures, interrupt)
    }

    /// A question about pictures, which are read here, from the memory `base` or the one after the
    /// turn `parent`.
    pub(super) fn asked_about(
        &mut self,
        model: &Model,
        parent: usize,
        base: Option<Rc<State>>,
        question: &Question,
        pictures: Vec<Picture>,
        interrupt: &AtomicBool,
    ) -> Result<Asked> {
        let asked = self.asked(parent, base, question)?;
        if pictures.is_empty() {
            return Ok(asked);
        }
        let Illustrated { texts, rest } = self.illustrated(&asked, &pictures);
        let mut state = self.tree.before(model, &asked, interrupt)?;
        let mut begins = asked.begins;
        for (text, picture) in texts.iter().zip(&pictures) {
            let seen = picture.seen.as_ref().with_context(|| {
                format!("the picture {} is not in the chat's file; show it again.", picture.name)
            })?;
            let tokens = encode(model, text, begins)?;
            let read = model.read(&tokens, &state, interrupt)?.1;
            state = Rc::new(model.show(seen, &read, interrupt)?);
            begins = false;
        }
        let (unread, base) = (asked.base, Some(state));
        Ok(Asked { base, unread, pictures, text: rest, begins, ..asked })
    }

    /// How likely these tokens are as the answer to a question that is put where the conversation
    /// stands: the logarithm of the probability of all of them together.
    ///
    /// # Errors
    /// As [`Chat::say`].
    pub fn expects(
        &mut self,
        model: &Model,
        question: &Question,
        answer: &[u32],
        interrupt: &AtomicBool,
    ) -> Result<f64> {
        let asked = self.asked_here(model, question, interrupt)?;
        let before = self.tree.before(model, &asked, interrupt)?;
        let prompt = encode(model, &(asked.text + &asked.lead), asked.begins)?;
        let answer = [answer.to_vec()];
        let ranked = rank(model, &prompt, &answer, Measure::Sum, &before, interrupt)?;
        Ok(ranked[0].logprob)
    }

    /// The question with its pictures where the model was taught to expect them.
    pub(super) fn illustrated(&self, asked: &Asked, pictures: &[Picture]) -> Illustrated {
        let Some(Picture { placement, .. }) = pictures.first() else {
            return Illustrated { texts: Vec::new(), rest: asked.text.clone() };
        };
        let whole = self.template.asked(&asked.question);
        let before = asked.text.strip_suffix(&whole).unwrap_or_default();
        let name = match self.template.user.as_str() {
            "" => String::new(),
            name => format!("{name}: "),
        };
        let rest = whole.strip_prefix(&name).unwrap_or(&whole);
        let words = &asked.question.text;
        let (first, rest) = match placement {
            Placement::First | Placement::Lines => (String::new(), format!("\n{rest}")),
            Placement::Middle | Placement::MiddleOfTurn => {
                (format!("{words}\n"), format!("\n{rest}"))
            }
            Placement::Last => (
                format!("{words}\n"),
                rest.strip_prefix(words.as_str()).unwrap_or(rest).to_string(),
            ),
        };
        let mut texts = vec![format!("{before}{name}{first}")];
        texts.resize(pictures.len(), "\n".to_string());
        Illustrated { texts, rest }
    }
}
