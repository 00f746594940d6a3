//! Talking in turns. Every turn keeps the state it started from, so that going back costs nothing
//! and nothing is read twice.

use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};

use crate::generate::{Finish, Generation, Options, Piece, generate};
use crate::model::Model;
use crate::state::State;

/// How the two speakers are written (RWKV World and G1: `User: …\n\nAssistant:`).
#[derive(Clone, Debug)]
pub struct Template {
    /// Name before what is asked.
    pub user: String,
    /// Name before what is answered.
    pub assistant: String,
    /// Said once before the first turn.
    pub system: Option<String>,
}

impl Default for Template {
    fn default() -> Self {
        Self { user: "User".into(), assistant: "Assistant".into(), system: None }
    }
}

/// One question and its answer.
#[derive(Clone, Debug)]
pub struct Turn {
    /// What was asked.
    pub user: String,
    /// What was answered.
    pub reply: String,
    /// The memory before the question.
    pub before: State,
    /// The memory after the answer.
    pub state: State,
    /// Whether the blank line that ends an answer has still to be read.
    open: bool,
}

/// A conversation and the memory it has led to.
#[derive(Clone, Debug)]
pub struct Chat {
    /// How turns are written.
    pub template: Template,
    /// How answers are generated; `stop` ends a turn.
    pub options: Options,
    /// What is remembered now; may be replaced, by an edited state for example.
    pub state: State,
    turns: Vec<Turn>,
    start: State,
    open: bool,
}

/// What stands between turns.
const GAP: &str = "\n\n";

impl Chat {
    /// A conversation that starts from `state`.
    pub fn new(state: State, template: Template, options: Options) -> Self {
        Self { template, options, start: state.clone(), state, turns: Vec::new(), open: false }
    }

    /// All turns so far.
    pub fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// Asks and waits for the answer; `each` sees it as it comes.
    ///
    /// # Errors
    /// As [`generate`]; the conversation is then as it was before.
    pub fn say(
        &mut self,
        model: &Model,
        text: &str,
        interrupt: &AtomicBool,
        each: impl FnMut(&Piece) -> Result<bool>,
    ) -> Result<Generation> {
        let text = tidy(text);
        ensure!(!text.is_empty(), "there is nothing to say; write something first.");
        let prompt = model.tokenizer.encode(&self.prompt(&text))?;
        let seed = self.options.seed.wrapping_add(self.turns.len() as u64);
        let options = Options { seed, ..self.options.clone() };
        let out = generate(model, &prompt, &self.state, &options, interrupt, each)?;
        let before = std::mem::replace(&mut self.state, out.state.clone());
        let turn = Turn {
            user: text,
            reply: out.text.trim().to_string(),
            before,
            state: out.state.clone(),
            open: self.open,
        };
        self.turns.push(turn);
        self.open = out.finish != Finish::Stop;
        Ok(out)
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

    fn prompt(&self, text: &str) -> String {
        let Template { user, assistant, system } = &self.template;
        let opening = match system {
            Some(system) if self.turns.is_empty() => format!("System: {}{GAP}", tidy(system)),
            _ => String::new(),
        };
        let gap = if self.open { GAP } else { "" };
        format!("{gap}{opening}{user}: {text}{GAP}{assistant}:")
    }
}

/// One kind of line end, no blank lines (they end a turn), nothing around it.
fn tidy(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n").trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device;
    use crate::model::Loading;

    static GO: AtomicBool = AtomicBool::new(false);

    fn toy() -> (Model, Chat) {
        let model =
            Model::load("toy:rwkv7", &Loading::default(), &device::choose("cpu").unwrap()).unwrap();
        let options = Options { max_tokens: 4, stop: vec![GAP.into()], ..Options::default() };
        let chat = Chat::new(model.state(), Template::default(), options);
        (model, chat)
    }

    #[test]
    fn undo_goes_back_to_the_same_memory() {
        let (model, mut chat) = toy();
        chat.say(&model, "one", &GO, |_| Ok(true)).unwrap();
        let (state, open) = (chat.state.clone(), chat.open);
        let first = chat.say(&model, "two", &GO, |_| Ok(true)).unwrap();
        assert!(!chat.state.equals(&state));
        assert_eq!(chat.undo().unwrap().user, "two");
        assert!(chat.state.equals(&state) && chat.open == open);
        let again = chat.say(&model, "two", &GO, |_| Ok(true)).unwrap();
        assert_eq!(first.tokens, again.tokens);
        chat.reset();
        assert!(chat.state.equals(&model.state()) && chat.turns().is_empty());
        assert!(chat.undo().is_none());
    }

    #[test]
    fn a_turn_is_written_as_the_models_learnt_it() {
        let (_, mut chat) = toy();
        chat.template.system = Some("Be kind.\n\n".into());
        let expected = "System: Be kind.\n\nUser: hi\nthere\n\nAssistant:";
        assert_eq!(chat.prompt(&tidy(" hi\r\n\r\n\r\nthere\n")), expected);
        chat.open = true;
        assert!(chat.prompt("hi").starts_with("\n\n"));
    }

    #[test]
    fn a_failed_turn_changes_nothing() {
        let (model, mut chat) = toy();
        assert!(chat.say(&model, " \n ", &GO, |_| Ok(true)).is_err());
        let failed = chat.say(&model, "x", &GO, |_| anyhow::bail!("no"));
        assert!(failed.is_err() && chat.turns().is_empty());
        assert!(chat.state.equals(&model.state()));
    }
}
