//! Going through the tree of a conversation: back and forth, other answers, longer ones, branches.

use super::{Chat, Wish};
use crate::generate::Generation;
use crate::host::{Fallible, Host, engine_failure, fail};
use crate::options::OptionMap;
use rhai::plugin::*;
use rhai::{INT, Map, Module};

/// The number of a turn; what is negative is none.
fn turn(number: INT) -> Fallible<usize> {
    let none = || fail(format!("there is no turn {number}; chat.tree() shows which there are"));
    usize::try_from(number).map_err(|_| none())
}

fn again(context: &NativeCallContext, chat: &Chat, options: Map) -> Fallible<Generation> {
    chat.answer(context, OptionMap::new("regenerate", options), &Wish::Again)
}

fn more(context: &NativeCallContext, chat: &Chat, mut options: Map) -> Fallible<Generation> {
    // The random numbers of the answer go on unless others are asked for.
    if let Some(last) = chat.look()?.turns().last() {
        options.entry("seed".into()).or_insert((last.seed() as INT).into());
    }
    chat.answer(context, OptionMap::new("continue_reply", options), &Wish::More)
}

fn edit(
    context: &NativeCallContext,
    chat: &Chat,
    number: INT,
    text: &str,
    options: Map,
) -> Fallible<Generation> {
    let number = turn(number)?;
    let depth = chat.look()?.depth(number).map_err(engine_failure)?;
    let mut options = OptionMap::new("edit", chat.seeded(options, depth.saturating_sub(1))?);
    let question = chat.question(text, &mut options)?;
    chat.answer(context, options, &Wish::Edit(number, &question))
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// Takes the last turn back; the state is again what it was before. `false` if there is none.
    /// The turn stays in the tree: `redo` and `jump` go back to it.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ max_tokens: 3 });
    /// chat.say("Hello");
    /// assert(chat.undo() && chat.turns.len() == 0);
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn undo(context: NativeCallContext, this: &mut Chat) -> Fallible<bool> {
        let (host, model) = (Host::of(&context), this.model.engine());
        this.talk()?.undo(&model, &host.interrupt).map_err(engine_failure)
    }

    /// Goes to the turn that `undo` took back last; `false` if there is none.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ max_tokens: 3 });
    /// chat.say("Hello");
    /// let state = chat.state;
    /// assert(chat.undo() && chat.redo() && chat.state == state);
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn redo(context: NativeCallContext, this: &mut Chat) -> Fallible<bool> {
        let (host, model) = (Host::of(&context), this.model.engine());
        this.talk()?.redo(&model, &host.interrupt).map_err(engine_failure)
    }

    /// Goes to the turn of this number, as `tree` shows it; 0 is the start.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ max_tokens: 3 });
    /// chat.say("Hello");
    /// chat.regenerate();
    /// chat.jump(1);
    /// assert(chat.turn == 1);
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn jump(context: NativeCallContext, this: &mut Chat, number: INT) -> Fallible<()> {
        let (host, model) = (Host::of(&context), this.model.engine());
        this.talk()?.jump(&model, turn(number)?, &host.interrupt).map_err(engine_failure)
    }

    /// The number of the turn where the chat stands; 0 is the start.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").new_chat().turn == 0);
    /// ```
    #[rhai_fn(get = "turn", return_raw, pure)]
    pub fn present_turn(this: &mut Chat) -> Fallible<INT> {
        Ok(this.look()?.number() as INT)
    }

    /// Asks the last question again; the other answer stays in the tree.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ max_tokens: 3 });
    /// chat.say("Hello");
    /// chat.regenerate();
    /// ```
    #[rhai_fn(name = "regenerate", return_raw, pure, volatile)]
    pub fn regenerate_default(context: NativeCallContext, this: &mut Chat) -> Fallible<Generation> {
        again(&context, this, Map::new())
    }

    /// Asks the last question again, with settings for this turn only.
    ///
    /// - `temperature` sharpens below 1, flattens above
    /// - `seed` another seed gives another answer
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ max_tokens: 3 });
    /// chat.say("Hello");
    /// chat.regenerate(#{ seed: 2 });
    /// assert(chat.turns.len() == 1);
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn regenerate(
        context: NativeCallContext,
        this: &mut Chat,
        options: Map,
    ) -> Fallible<Generation> {
        again(&context, this, options)
    }

    /// Goes on with the last answer where it was cut, by `max_tokens`, a callback or Ctrl-C.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv7").new_chat(#{ max_tokens: 3 });
    /// chat.say("Hello");
    /// if chat.turns[0].finish_reason == "length" { chat.continue_reply(); }
    /// ```
    #[rhai_fn(name = "continue_reply", return_raw, pure, volatile)]
    pub fn continue_default(context: NativeCallContext, this: &mut Chat) -> Fallible<Generation> {
        more(&context, this, Map::new())
    }

    /// Goes on with the last answer where it was cut, with settings for this time only; nothing is
    /// read again, and the whole is what it would have been without the cut. Returns the whole.
    ///
    /// - `max_tokens` more, at most
    /// - `seed` begins other random numbers; without it those of the answer go on
    ///
    /// ```
    /// let model = load_model("demo:tales");
    /// let cut = model.new_chat(#{ max_tokens: 3, seed: 1 });
    /// let whole = model.new_chat(#{ max_tokens: 8, seed: 1 });
    /// cut.say("Hello");
    /// assert(cut.continue_reply(#{ max_tokens: 5 }).text == whole.say("Hello").text);
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn continue_reply(
        context: NativeCallContext,
        this: &mut Chat,
        options: Map,
    ) -> Fallible<Generation> {
        more(&context, this, options)
    }

    /// Asks something else where the turn of this number was asked, which makes a branch there.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ max_tokens: 3 });
    /// chat.say("Hello");
    /// chat.say("How are you?");
    /// chat.edit(1, "Good morning");
    /// assert(chat.turns.len() == 1 && chat.turns[0].user == "Good morning");
    /// ```
    #[rhai_fn(name = "edit", return_raw, pure, volatile)]
    pub fn edit_default(
        context: NativeCallContext,
        this: &mut Chat,
        number: INT,
        content: &str,
    ) -> Fallible<Generation> {
        edit(&context, this, number, content, Map::new())
    }

    /// The same with settings for this turn only, those of `say`.
    ///
    /// - `temperature` sharpens below 1, flattens above
    /// - `max_tokens` of the answer
    /// - `seed` the same seed gives the same answer
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ max_tokens: 3 });
    /// chat.say("Hello");
    /// chat.edit(1, "Good morning", #{ temperature: 0.5 });
    /// ```
    #[rhai_fn(name = "edit", return_raw, pure, volatile)]
    pub fn edit_with(
        context: NativeCallContext,
        this: &mut Chat,
        number: INT,
        content: &str,
        options: Map,
    ) -> Fallible<Generation> {
        edit(&context, this, number, content, options)
    }

    /// Lets this be the answer to the last question: one of the answers that were given to it, or
    /// one that was generated elsewhere from the same state. Nothing is read again.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ max_tokens: 3 });
    /// let first = chat.say("Hello");
    /// chat.regenerate(#{ seed: 2 });
    /// chat.accept(first);
    /// assert(chat.turn == 1);
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn accept(context: NativeCallContext, this: &mut Chat, answer: Generation) -> Fallible<()> {
        let (host, model) = (Host::of(&context), this.model.engine());
        this.talk()?.accept(&model, answer.made(), &host.interrupt).map_err(engine_failure)
    }

    /// Another conversation with the same past; neither sees what the other says from now on.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ max_tokens: 3 });
    /// let other = chat.branch();
    /// other.say("Hello");
    /// assert(chat.turns.len() == 0);
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn branch(this: &mut Chat) -> Fallible<Chat> {
        Ok(Chat::of(&this.model, this.look()?.clone()))
    }

    /// Forgets all turns, the tree too, back to the state the chat began with.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ max_tokens: 3 });
    /// chat.say("Hello");
    /// chat.reset();
    /// ```
    #[rhai_fn(name = "reset", return_raw, pure, volatile)]
    pub fn reset_chat(this: &mut Chat) -> Fallible<()> {
        this.talk()?.reset();
        Ok(())
    }
}
