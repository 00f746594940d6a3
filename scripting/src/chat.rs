//! Talking in turns; every turn keeps the state it started from.

use crate::generate::{Generation, Listener, settings};
use crate::host::{Fallible, Host, engine_failure, fail, words};
use crate::model::Model;
use crate::options::OptionMap;
use crate::state::State;
use rhai::plugin::*;
use rhai::{Array, Map, Module};
use rwkv_engine::chat::{Chat as Talk, Template, Turn};
use rwkv_engine::generate::Options;
use std::cell::RefCell;
use std::rc::Rc;

/// A conversation; all copies are the same one, `branch` makes another.
#[derive(Clone, Debug)]
pub struct Chat {
    model: Model,
    talk: Rc<RefCell<Talk>>,
}

impl Chat {
    fn say(&self, context: &NativeCallContext, text: &str, options: Map) -> Fallible<Generation> {
        let host = Host::of(context);
        let mut options = OptionMap::new("say", options);
        let mut listener = Listener::new(context, &host, &mut options)?;
        let mut talk = self.talk.try_borrow_mut().map_err(|_| busy())?;
        let usual = talk.options.clone();
        let once = settings(&host, &mut options, usual.clone())?;
        options.finish()?;
        talk.options = once;
        let seed = talk.options.seed;
        let made =
            talk.say(&self.model.engine(), text, &host.interrupt, |piece| listener.hear(piece));
        // Settings of one turn are not those of the next.
        talk.options = usual;
        drop(talk);
        listener.finish(made, &self.model, seed)
    }

    fn turn(&self, turn: &Turn) -> Map {
        let state = |state: &rwkv_engine::state::State| {
            Dynamic::from(State::of(&self.model, state.clone()))
        };
        [
            ("user".into(), turn.user.clone().into()),
            ("reply".into(), turn.reply.clone().into()),
            ("before".into(), state(&turn.before)),
            ("state".into(), state(&turn.state)),
        ]
        .into()
    }
}

fn busy() -> Box<EvalAltResult> {
    fail("the chat is in the middle of an answer; its callback cannot change it")
}

fn start(host: &Host, model: &Model, options: Map) -> Fallible<Chat> {
    let mut options = OptionMap::new("new_chat", options);
    let usual = Template::default();
    let system = options.text("system", "")?;
    let template = Template {
        user: options.text("user", &usual.user)?,
        assistant: options.text("assistant", &usual.assistant)?,
        system: Some(system).filter(|text| !text.is_empty()),
    };
    let state = model.first_state("new_chat", &mut options)?;
    let mut usual = Options::chat(&model.engine());
    if let Some(sampler) = options.take("sampler") {
        let map = sampler.clone().try_cast::<Map>();
        let map = map.ok_or_else(|| {
            fail(format!("new_chat: `sampler` must be a map, not {}", words(&sampler)))
        })?;
        let mut inner = OptionMap::new("sampler", map);
        usual.sampler = crate::sampler::sampler_over(&mut inner, usual.sampler)?;
        inner.finish()?;
    }
    let settings = settings(host, &mut options, usual)?;
    options.finish()?;
    let talk = Rc::new(RefCell::new(Talk::new(state, template, settings)));
    Ok(Chat { model: model.clone(), talk })
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// A conversation with a model.
    pub type Chat = super::Chat;

    /// A conversation with the usual settings.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat();
    /// ```
    #[rhai_fn(name = "new_chat", return_raw, pure, volatile)]
    pub fn new_chat_default(context: NativeCallContext, this: &mut Model) -> Fallible<Chat> {
        start(&Host::of(&context), this, Map::new())
    }

    /// A conversation.
    ///
    /// - `user` name before what is asked, `User`
    /// - `assistant` name before what is answered, `Assistant`
    /// - `system` said once before the first turn
    /// - `sampler` a map of `temperature`, `top_p` and the other settings of `generate`; `top_p` is
    ///   0.3 here and both penalties 0.5, or 0 for a model that reads bytes
    /// - `max_tokens` of an answer, 100
    /// - `stop` what ends an answer, a blank line
    /// - `seed` of the answers
    /// - `state` to start from
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ max_tokens: 5, seed: 1 });
    /// print(chat.say("Hello"));
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn new_chat(context: NativeCallContext, this: &mut Model, options: Map) -> Fallible<Chat> {
        start(&Host::of(&context), this, options)
    }

    /// Asks and waits for the answer.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ max_tokens: 5 });
    /// print(chat.say("Hello").text);
    /// ```
    #[rhai_fn(name = "say", return_raw, pure, volatile)]
    pub fn say_default(
        context: NativeCallContext,
        this: &mut Chat,
        content: &str,
    ) -> Fallible<Generation> {
        this.say(&context, content, Map::new())
    }

    /// Asks with settings for this turn only, those of `generate`.
    ///
    /// - `max_tokens` at most
    /// - `temperature` sharpens below 1, flattens above
    /// - `seed` the same seed gives the same answer
    /// - `stream` shows the answer while it comes
    /// - `on_token` called with `#{id, text, logprob}`; `false` stops
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat();
    /// chat.say("Hello", #{ max_tokens: 3, temperature: 0.5 });
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn say(
        context: NativeCallContext,
        this: &mut Chat,
        content: &str,
        options: Map,
    ) -> Fallible<Generation> {
        this.say(&context, content, options)
    }

    /// Takes the last turn back; the state is again what it was before. `false` if there is none.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ max_tokens: 3 });
    /// chat.say("Hello");
    /// assert(chat.undo() && chat.turns.len() == 0);
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn undo(this: &mut Chat) -> Fallible<bool> {
        Ok(this.talk.try_borrow_mut().map_err(|_| busy())?.undo().is_some())
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
        let last = this.talk.try_borrow_mut().map_err(|_| busy())?.undo();
        let turn = last.ok_or_else(|| fail("there is no answer yet; say something first"))?;
        this.say(&context, &turn.user, options)
    }

    /// Forgets all turns, back to the state the chat began with.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ max_tokens: 3 });
    /// chat.say("Hello");
    /// chat.reset();
    /// ```
    #[rhai_fn(name = "reset", return_raw, pure, volatile)]
    pub fn reset_chat(this: &mut Chat) -> Fallible<()> {
        this.talk.try_borrow_mut().map_err(|_| busy())?.reset();
        Ok(())
    }

    /// Another conversation with the same past; neither sees what the other says from now on.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ max_tokens: 3 });
    /// let other = chat.branch();
    /// other.say("Hello");
    /// assert(chat.turns.len() == 0);
    /// ```
    #[rhai_fn(pure, volatile)]
    pub fn branch(this: &mut Chat) -> Chat {
        let talk = Rc::new(RefCell::new(this.talk.borrow().clone()));
        Chat { model: this.model.clone(), talk }
    }

    /// The turns so far, maps of `user`, `reply`, and the states `before` and after (`state`).
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").new_chat().turns.len() == 0);
    /// ```
    #[rhai_fn(get = "turns", pure)]
    pub fn turns(this: &mut Chat) -> Array {
        let talk = this.talk.borrow();
        talk.turns().iter().map(|turn| this.turn(turn).into()).collect()
    }

    /// What is remembered now; may be replaced by an edited state.
    ///
    /// ```
    /// print(load_model("toy:rwkv4").new_chat().state.norm());
    /// ```
    #[rhai_fn(get = "state", pure)]
    pub fn chat_state(this: &mut Chat) -> State {
        State::of(&this.model, this.talk.borrow().state.clone())
    }

    #[rhai_fn(set = "state", return_raw, pure)]
    pub fn set_state(this: &mut Chat, state: State) -> Fallible<()> {
        let empty = this.model.engine().state();
        state.state.fits(&empty).map_err(engine_failure)?;
        this.talk.try_borrow_mut().map_err(|_| busy())?.state = state.state;
        Ok(())
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn chat_text(this: &mut Chat) -> String {
        format!(
            "Chat with {}  {} turns",
            this.model.engine().name,
            this.talk.borrow().turns().len()
        )
    }
}
