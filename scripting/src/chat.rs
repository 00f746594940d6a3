//! Talking in turns, which form a tree; every turn keeps the state it led to.

mod file;
mod fill;
mod options;
mod pictures;
mod settings;
mod standing;
mod tree;
mod walking;
mod writing;

pub use standing::Standing;
pub use tree::Tree;

use crate::generate::{Generation, Listener, settings};
use crate::host::{Fallible, Host, engine_failure, fail};
use crate::model::Model;
use crate::options::OptionMap;
use crate::state::State;
use options::start;
use rhai::plugin::*;
use rhai::{Array, INT, Map, Module};
use rwkv_engine::chat::{Chat as Talk, Question, Template, Think};
use rwkv_engine::generate::Piece;
use std::cell::{Ref, RefCell, RefMut};
use std::rc::Rc;

/// A conversation; all copies are the same one, `branch` makes another.
#[derive(Clone, Debug)]
pub struct Chat {
    model: Model,
    talk: Rc<RefCell<Talk>>,
}

/// What an answer is wanted for.
enum Wish<'a> {
    Say(&'a Question),
    /// Something else in place of what was asked in a turn.
    Edit(usize, &'a Question),
    /// The last question once more.
    Again,
    /// More of the last answer.
    More,
}

impl Chat {
    fn of(model: &Model, talk: Talk) -> Self {
        Self { model: model.clone(), talk: Rc::new(RefCell::new(talk)) }
    }

    /// A conversation as `new_chat` starts it, shown its pictures.
    pub fn new(context: &NativeCallContext, model: &Model, mut options: Map) -> Fallible<Self> {
        let image = options.remove("image").filter(|image| !image.is_unit());
        let chat = Self::of(model, start(&Host::of(context), model, options)?);
        image.iter().try_for_each(|image| chat.show(context, image))?;
        Ok(chat)
    }

    /// The conversation, to change it.
    fn talk(&self) -> Fallible<RefMut<'_, Talk>> {
        self.talk.try_borrow_mut().map_err(|_| {
            fail("the chat is in the middle of an answer; its callback cannot change it")
        })
    }

    /// The conversation, to look at it.
    fn look(&self) -> Fallible<Ref<'_, Talk>> {
        self.talk.try_borrow().map_err(|_| {
            fail("the chat is in the middle of an answer; its callback cannot look at it")
        })
    }

    /// The options of a turn with its seed, where the chat has one: another one for each turn.
    fn seeded(&self, mut options: Map, turns: usize) -> Fallible<Map> {
        if let Some(seed) = self.look()?.seed {
            let seed = seed.wrapping_add(turns as u64);
            options.entry("seed".into()).or_insert((seed as INT).into());
        }
        Ok(options)
    }

    /// A question as the options of `say` have it; a tool has to be called where there are any.
    fn question(&self, text: &str, options: &mut OptionMap) -> Fallible<Question> {
        Ok(Question {
            text: text.to_string(),
            input: Some(options.text("input", "")?).filter(|text| !text.is_empty()),
            call: options.flag("tool", !self.look()?.template.tools.is_empty())?,
        })
    }

    /// Puts a question with the options of one turn.
    fn say(&self, context: &NativeCallContext, text: &str, options: Map) -> Fallible<Generation> {
        let turns = self.look()?.turns().len();
        let mut options = OptionMap::new("say", self.seeded(options, turns)?);
        let question = self.question(text, &mut options)?;
        self.answer(context, options, &Wish::Say(&question))
    }

    /// Gives the model what a tool returned.
    fn result(
        &self,
        context: &NativeCallContext,
        text: &str,
        options: Map,
    ) -> Fallible<Generation> {
        let turns = self.look()?.turns().len();
        let mut options = OptionMap::new("tool_result", self.seeded(options, turns)?);
        if self.look()?.template.tools.is_empty() {
            return Err(fail("this chat has no tools; give them to new_chat(#{ tools: [..] })"));
        }
        let call = options.flag("tool", false)?;
        let question = Question { call, ..Question::from(&*format!("Function output:\n{text}")) };
        self.answer(context, options, &Wish::Say(&question))
    }

    /// An answer with the options of one turn.
    fn answer(
        &self,
        context: &NativeCallContext,
        mut options: OptionMap,
        wish: &Wish,
    ) -> Fallible<Generation> {
        let host = Host::of(context);
        let drawn = host.seed();
        let mut listener = Listener::new(context, &host, &mut options)?;
        let mut talk = self.talk()?;
        let usual = talk.options.clone();
        let once = settings(&host, &self.model, &mut options, usual.clone())?;
        options.finish()?;
        let seed = once.seed;
        talk.options = once;
        let model = self.model.engine();
        let (stop, each) = (&*host.interrupt, |piece: &Piece| listener.hear(piece));
        let made = match wish {
            Wish::Say(question) => talk.say(&model, question, stop, each),
            Wish::Edit(turn, question) => talk.edit(&model, *turn, question, stop, each),
            Wish::Again => talk.regenerate(&model, stop, each),
            Wish::More => talk.continue_reply(&model, Some(seed), stop, each),
        };
        // Settings of one turn are not those of the next.
        talk.options = usual;
        drop(talk);
        if made.is_err() {
            // What was not said does not change what is drawn next.
            host.set_seed(drawn);
        }
        listener.finish(made, &self.model, seed)
    }

    /// The turns so far.
    fn turns(&self) -> Fallible<Array> {
        let talk = self.look()?;
        // What was dropped for the budget is not read again only to be shown.
        let state = |state: Option<&rwkv_engine::state::State>| {
            state
                .map_or(Dynamic::UNIT, |state| Dynamic::from(State::of(&self.model, state.clone())))
        };
        let turns = talk.path().into_iter().zip(talk.turns()).map(|(number, turn)| {
            let question = &turn.asked.question;
            let map: Map = [
                ("number".into(), (number as INT).into()),
                ("user".into(), question.text.clone().into()),
                ("images".into(), pictures::names(&turn.asked.pictures)),
                ("input".into(), question.input.clone().unwrap_or_default().into()),
                ("tool".into(), question.call.into()),
                ("thoughts".into(), turn.answer.thoughts.clone().into()),
                ("reply".into(), turn.answer.reply.clone().into()),
                ("finish_reason".into(), turn.finish.name().into()),
                ("before".into(), state(talk.before(turn))),
                ("state".into(), state(turn.state())),
            ]
            .into();
            map.into()
        });
        Ok(turns.collect())
    }

    /// `Chat with NAME  2 turns, at 4 of 5  format g1, think fast, token 0 first`
    fn describe(&self) -> String {
        let Ok(talk) = self.look() else { return "Chat, answering".to_string() };
        let Template { format, think, bos, .. } = &talk.template;
        let think = match think {
            Think::Off => String::new(),
            think => format!(", think {}", think.name()),
        };
        let bos = if *bos { ", token 0 first" } else { "" };
        let (name, turns) = (&self.model.engine().name, talk.turns().len());
        let plural = if turns == 1 { "" } else { "s" };
        let place = match talk.all_turns().len() {
            all if all == turns => String::new(),
            all => format!(", at {} of {all}", talk.number()),
        };
        format!("Chat with {name}  {turns} turn{plural}{place}  format {}{think}{bos}", format.name)
    }
}

/// The module of this file.
pub fn module() -> Module {
    let mut module = exported_module!(functions);
    let parts = [
        file::module(),
        fill::module(),
        pictures::module(),
        settings::module(),
        tree::module(),
        walking::module(),
        writing::module(),
    ];
    for part in parts {
        module.combine(part);
    }
    module
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
        Chat::new(&context, this, Map::new())
    }

    /// A conversation, written the way the model learnt it; `chat_formats()` lists the ways.
    ///
    /// - `format` how turns are written; told by the name of the model and its vocabulary
    /// - `think` `off`; `on` lets a G1 model think before it answers, and forgets the thoughts
    ///   after; `fast` puts an empty thought into its mouth
    /// - `effort` of thinking: `low`, `medium`, `high`
    /// - `tools` what a G1 model may call, an array of `"name(argument: type)"` or a JSON text:
    ///   answers to `say` are then JSON, see `tool_result`
    /// - `user` name before what is asked, `assistant` before what is answered
    /// - `system` said once before the first turn
    /// - `bos` whether token 0, the end of the text before, is read first: so for World models
    ///   that start from an empty state
    /// - `image` a picture to be asked about, or an array of them, for a model that sees
    /// - `sampler` a map of `temperature`, `top_p` and the other settings of `generate`; `top_p` is
    ///   0.3 here and both penalties 0.5, or 0 for a model that reads bytes; a model that sees says
    ///   what is likeliest
    /// - `max_tokens` of an answer, 100; 2000 with thoughts, 500 with empty ones
    /// - `stop` what ends an answer, in place of what ends it in this format
    /// - `seed` of the answers
    /// - `state` to start from
    /// - `budget` bytes that the states of the turns may take, 1 GiB: beyond it older ones are
    ///   dropped, and read again when somebody goes back there
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ max_tokens: 5, seed: 1 });
    /// print(chat.say("Hello"));
    /// let thinker = load_model("toy:rwkv7").new_chat(#{ format: "g1", think: "fast" });
    /// assert(thinker.prompt("Hi") == "User: Hi\n\nAssistant: <think>\n</think");
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn new_chat(context: NativeCallContext, this: &mut Model, options: Map) -> Fallible<Chat> {
        Chat::new(&context, this, options)
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
    /// - `input` what an `instruct` question is about
    /// - `tool` whether a tool has to be called, `true` where there are tools
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

    /// Gives the model what the tool it called has returned, and waits for its answer.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv7").new_chat(#{
    ///     format: "g1", tools: ["time(city: string)"], max_tokens: 3,
    /// });
    /// let wanted = chat.say("What time is it in Rome?");
    /// print(chat.tool_result("{\"time\": \"12:00\"}").text);
    /// assert(chat.turns[1].user.starts_with("Function output:\n"));
    /// ```
    #[rhai_fn(name = "tool_result", return_raw, pure, volatile)]
    pub fn tool_result_default(
        context: NativeCallContext,
        this: &mut Chat,
        content: &str,
    ) -> Fallible<Generation> {
        this.result(&context, content, Map::new())
    }

    /// The same with settings for this turn only, those of `say`.
    ///
    /// - `tool` whether another tool has to be called, `false`
    ///
    /// ```
    /// let chat = load_model("toy:rwkv7").new_chat(#{ format: "g1", tools: ["dice()"] });
    /// chat.say("Roll it.", #{ max_tokens: 3 });
    /// chat.tool_result("4", #{ max_tokens: 3, tool: true });
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn tool_result(
        context: NativeCallContext,
        this: &mut Chat,
        content: &str,
        options: Map,
    ) -> Fallible<Generation> {
        this.result(&context, content, options)
    }

    /// The turns from the start to here, maps: its `number` in the tree, what was asked (`user`,
    /// `images`, `input`, whether a `tool` had to be called), what was answered (`thoughts`, `reply`,
    /// `finish_reason`), the states `before` and after (`state`), `()` where they were dropped for
    /// the `budget`.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv7").new_chat(#{ max_tokens: 3, format: "world" });
    /// chat.say("Hello");
    /// assert(chat.turns[0].user == "Hello" && chat.turns[0].state == chat.state);
    /// ```
    #[rhai_fn(get = "turns", return_raw, pure)]
    pub fn turns(this: &mut Chat) -> Fallible<Array> {
        this.turns()
    }

    /// What is remembered now; may be replaced by an edited state.
    ///
    /// ```
    /// print(load_model("toy:rwkv4").new_chat().state.norm());
    /// ```
    #[rhai_fn(get = "state", return_raw, pure)]
    pub fn chat_state(this: &mut Chat) -> Fallible<State> {
        Ok(State::of(&this.model, this.look()?.state().clone()))
    }

    #[rhai_fn(set = "state", return_raw, pure)]
    pub fn set_state(this: &mut Chat, state: State) -> Fallible<()> {
        let empty = this.model.engine().state();
        state.state.fits(&empty).map_err(engine_failure)?;
        this.talk()?.set_state(state.state);
        Ok(())
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn chat_text(this: &mut Chat) -> String {
        this.describe()
    }
}
