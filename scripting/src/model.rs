//! Models: loading, making, asking what they are, reading tokens in one pass or one by one.

use crate::host::{Fallible, Host, Value, engine_failure, fail, words};
use crate::options::OptionMap;
use crate::output::ModelOutput;
use crate::state::State;
use crate::tensor::Tensor;
use crate::tokens::{Tokens, ids_of};
use crate::{Output, Table, View};
use rhai::plugin::*;
use rhai::{Map, Module};
use rwkv_engine::chat::Format;
use rwkv_engine::device::{self, Place};
use rwkv_engine::info::amount;
use rwkv_engine::measure::bytes_held;
use rwkv_engine::model::{Model as Engine, Standing};
use rwkv_engine::rwkv::{Sizes, Version};
use rwkv_engine::state::State as Memory;
use rwkv_engine::tokenizer::Tokenizer;
use std::cell::{Ref, RefCell};
use std::rc::Rc;

/// A model; all copies are the same one, so that training is seen everywhere.
#[derive(Clone, Debug)]
pub struct Model(pub Rc<RefCell<Engine>>);

impl Model {
    /// A model for scripts; its notes are said.
    pub fn new(host: &Host, mut model: Engine) -> Self {
        model.progress = host.progress.clone();
        model.notes.iter().for_each(|note| host.say(Output::Note(note)));
        Self(Rc::new(RefCell::new(model)))
    }

    /// The model itself, to look at.
    pub fn engine(&self) -> Ref<'_, Engine> {
        self.0.borrow()
    }

    /// The ids of whatever may stand for tokens.
    ///
    /// # Errors
    /// When it is nothing that can.
    pub fn ids(&self, value: &Dynamic) -> Fallible<Vec<u32>> {
        ids_of(value, &self.engine().tokenizer)
    }

    /// One pass over tokens: logits of all positions, or of the last one.
    fn read(
        &self,
        host: &Host,
        tokens: &Dynamic,
        state: &State,
        all: bool,
    ) -> Fallible<ModelOutput> {
        let ids = self.ids(tokens)?;
        let model = self.engine();
        let (logits, after) = if all {
            model.forward(&ids, &state.state, &host.interrupt)
        } else {
            model.read(&ids, &state.state, &host.interrupt)
        }
        .map_err(engine_failure)?;
        let logits = Tensor { array: logits, pieces: Some(model.tokenizer.clone()) };
        ModelOutput::new(logits, State::of(self, after))
    }

    /// The state to start from: the option `state` of the call `what`, or the empty one.
    ///
    /// # Errors
    /// When the option is something else.
    pub fn first_state(&self, what: &str, options: &mut OptionMap) -> Fallible<Memory> {
        let Some(value) = options.take("state") else { return Ok(self.engine().state()) };
        match value.read_lock::<State>() {
            Some(state) => Ok(state.state.clone()),
            None => Err(fail(format!("{what}: `state` must be a State, not {}", words(&value)))),
        }
    }

    fn describe(&self) -> String {
        let model = self.engine();
        let (version, layers, channels) = (model.rwkv.version(), model.n_layer(), model.n_embd());
        let size = format!("{layers} layers x {channels}");
        let millions = crate::charts::short(model.n_params() as f64 / 1e6);
        let (name, place, dtype) = (&model.name, &model.place.name, model.dtype);
        format!("Model {name}   {version}, {size}, {millions} M parameters, {place} {dtype}")
    }
}

/// The device of this name; says why if it is another one.
pub fn place(host: &Host, name: &str) -> Fallible<Place> {
    let place = device::choose(name).map_err(engine_failure)?;
    place.note.iter().for_each(|note| host.say(Output::Note(note)));
    Ok(place)
}

/// Widths of the thin matrices, see [`Sizes`]; zeros ask for the official rule.
fn ranks(options: &mut OptionMap) -> Fallible<[usize; 4]> {
    let wrong = || fail("init_model: `ranks` must be four whole numbers from 1, for w, a, v and g");
    let Some(value) = options.take("ranks") else { return Ok([0; 4]) };
    let list = value.into_typed_array::<rhai::INT>().map_err(|_| wrong())?;
    let rank = |n| usize::try_from(n).ok().filter(|&n| n > 0).ok_or_else(wrong);
    list.into_iter().map(rank).collect::<Fallible<Vec<_>>>()?.try_into().map_err(|_| wrong())
}

/// A tokenizer, or the file of one.
fn tokenizer_of(host: &Host, value: &Dynamic) -> Fallible<Tokenizer> {
    match (value.read_lock::<Tokenizer>(), value.clone().into_string()) {
        (Some(tokenizer), _) => Ok(tokenizer.clone()),
        (None, Ok(path)) => Tokenizer::open(&host.readable(&path)).map_err(engine_failure),
        _ => Err(fail(format!("`tokenizer` must be a Tokenizer or a path, not {}", words(value)))),
    }
}

fn init(host: &Host, version: &str, options: Map) -> Fallible<Model> {
    let known = Version::ALL.map(Version::name).join(", ");
    let version = Version::named(version)
        .ok_or_else(|| fail(format!("there is no version `{version}`; there are {known}")))?;
    let mut options = OptionMap::new("init_model", options);
    let mut size = |key, default| options.integer(key, default, 1..=1 << 20).map(|x| x as usize);
    let n_embd = size("n_embd", 64)?;
    let sizes = Sizes {
        n_layer: size("n_layer", 2)?,
        n_embd,
        head_size: size("head_size", if n_embd % 64 == 0 { 64 } else { n_embd as i64 })?,
        vocab_size: size("vocab_size", 256)?,
        dim_ffn: size("dim_ffn", version.dim_ffn(n_embd) as i64)?,
        ranks: ranks(&mut options)?,
    };
    let ctx_len = options.optional_integer("ctx_len", 1..=1 << 40)?;
    let tokenizer = options.take("tokenizer");
    let seed = options.optional_integer("seed", ..)?.map_or_else(|| host.next_seed(), |s| s as u64);
    let device = options.text("device", &host.options.device)?;
    options.finish()?;
    let model = Engine::fresh(version, &sizes, seed, &place(host, &device)?);
    let mut model = model.map_err(engine_failure)?;
    model.ctx_len = ctx_len.map(|tokens| tokens as usize);
    if let Some(tokenizer) = tokenizer {
        model.tokenizer = tokenizer_of(host, &tokenizer)?;
        model.notes.clear();
    }
    Ok(Model::new(host, model))
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// A language model with its tokenizer.
    pub type Model = super::Model;

    /// A new model of a version, `rwkv4` to `rwkv7`, with the official starting values, to be trained.
    ///
    /// - `n_layer` blocks, 2
    /// - `n_embd` channels, 64
    /// - `head_size` channels of a head, 64 where that divides `n_embd`
    /// - `vocab_size` number of tokens, 256
    /// - `dim_ffn` channels inside channel-mix, 4 · `n_embd`
    /// - `ranks` widths of the thin matrices of RWKV-7, `[w, a, v, g]`; the official rule
    /// - `ctx_len` tokens that it will be trained to read at once; any number can be read
    /// - `tokenizer` one of another model, or the path of its file; else the usual one of a
    ///   vocabulary of this size
    /// - `seed` of the random values
    /// - `device` where it runs
    ///
    /// ```
    /// let model = init_model("rwkv7", #{ n_layer: 1, n_embd: 64 });
    /// assert(model.n_layer == 1);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn init_model(context: NativeCallContext, version: &str, options: Map) -> Fallible<Model> {
        init(&Host::of(&context), version, options)
    }

    /// The tokens of a text.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").encode("ab").len == 2);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn encode(this: &mut Model, content: &str) -> Fallible<Tokens> {
        let _counter = this.engine().progress.begin("encoding".into(), "bytes", 0);
        let tokenizer = &this.engine().tokenizer;
        Ok(Tokens::new(tokenizer.encode(content).map_err(engine_failure)?, tokenizer))
    }

    /// The text of tokens: Tokens, an array of ids, a one-axis tensor or a single id.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").decode([97, 98]) == "ab");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn decode(this: &mut Model, tokens: Value) -> Fallible<String> {
        let ids = this.ids(&tokens)?;
        Ok(this.engine().tokenizer.decode(&ids))
    }

    /// The state before the first token.
    ///
    /// ```
    /// let state = load_model("toy:rwkv4").new_state();
    /// ```
    #[rhai_fn(pure)]
    pub fn new_state(this: &mut Model) -> State {
        let empty = this.engine().state();
        State::of(this, empty)
    }

    /// GPT mode: reads all tokens in one pass, from an empty state; `.logits` is `[T, V]`.
    ///
    /// ```
    /// let out = load_model("toy:rwkv4").forward_gpt("The cat");
    /// assert(out.logits.shape == [7, 256]);
    /// ```
    #[rhai_fn(name = "forward_gpt", return_raw, pure)]
    pub fn gpt_fresh(
        context: NativeCallContext,
        this: &mut Model,
        tokens: Value,
    ) -> Fallible<ModelOutput> {
        let state = new_state(this);
        this.read(&Host::of(&context), &tokens, &state, true)
    }

    /// GPT mode from a state on; the state given is not changed.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// let a = model.forward_gpt("The");
    /// let b = model.forward_gpt(" cat", a.state);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn forward_gpt(
        context: NativeCallContext,
        this: &mut Model,
        tokens: Value,
        state: State,
    ) -> Fallible<ModelOutput> {
        this.read(&Host::of(&context), &tokens, &state, true)
    }

    /// RNN mode: reads one token; `.logits` is `[V]`, `.state` the state after it.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// let out = model.forward_rnn(97, model.new_state());
    /// out = model.forward_rnn(out.logits.argmax(), out.state);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn forward_rnn(
        context: NativeCallContext,
        this: &mut Model,
        token: Value,
        state: State,
    ) -> Fallible<ModelOutput> {
        let count = this.ids(&token)?.len();
        if count != 1 {
            return Err(fail(format!(
                "forward_rnn reads one token, not {count}; forward_gpt reads many"
            )));
        }
        this.read(&Host::of(&context), &token, &state, false)
    }

    /// Reads tokens from a state on and gives the logits after the last one only, `[V]`: the way
    /// to read a long text.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// assert(model.forward("a long text", model.new_state()).logits.shape == [256]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn forward(
        context: NativeCallContext,
        this: &mut Model,
        tokens: Value,
        state: State,
    ) -> Fallible<ModelOutput> {
        this.read(&Host::of(&context), &tokens, &state, false)
    }

    /// The numbers of one tensor of the model, by its name in checkpoints.
    ///
    /// ```
    /// print(load_model("toy:rwkv4").weights("blocks.0.att.time_decay"));
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn weights(this: &mut Model, name: &str) -> Fallible<Tensor> {
        Ok(this.engine().weights(name).map_err(engine_failure)?.into())
    }

    /// A table of the model's tensors, names and shapes.
    ///
    /// ```
    /// show(load_model("toy:rwkv4").tensors());
    /// ```
    #[rhai_fn(pure)]
    pub fn tensors(this: &mut Model) -> View {
        let row = |(name, shape): (String, Vec<usize>)| vec![name, format!("{shape:?}")];
        let rows = this.engine().tensors().into_iter().map(row).collect();
        View::Table(Table::new(&["name", "shape"], rows))
    }

    /// A table of what the model is.
    ///
    /// ```
    /// show(load_model("toy:rwkv4").summary());
    /// ```
    #[rhai_fn(pure)]
    pub fn summary(this: &mut Model) -> View {
        let model = this.engine();
        let context = model.ctx_len.map(|n| format!("{n} tokens"));
        let rows = [
            ("name", model.name.clone()),
            ("version", model.rwkv.version().to_string()),
            ("layers", model.n_layer().to_string()),
            ("channels", model.n_embd().to_string()),
            ("heads", format!("{} x {}", model.n_head(), model.head_size())),
            ("vocabulary", model.vocab_size().to_string()),
            ("tokenizer", model.tokenizer.name().to_string()),
            ("chat format", Format::of(&model).name.to_string()),
            ("trained context", context.unwrap_or_else(|| "unknown".to_string())),
            ("parameters", model.n_params().to_string()),
            ("type on disk", model.dtype.to_string()),
            ("device", model.place.name.clone()),
            ("state", amount(model.state().bytes())),
            ("memory", amount(bytes_held(&model) + model.state().bytes())),
        ];
        let rows = rows.into_iter().map(|(key, value)| vec![key.to_string(), value]).collect();
        View::Table(Table::new(&["property", "value"], rows))
    }

    /// What cuts text into this model's tokens.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").tokenizer.encode("ab").len == 2);
    /// ```
    #[rhai_fn(get = "tokenizer", pure)]
    pub fn tokenizer(this: &mut Model) -> Tokenizer {
        this.engine().tokenizer.clone()
    }

    /// What is known after the beginnings of texts that were read from the first state on, as far as
    /// `generate`, `rank`, chats and their like read them: they go on from there. It changes no digit.
    /// A map: `texts`, their `bytes`, the `budget`, how many readings found something (`hits`), and
    /// how many tokens were not read again (`saved`).
    ///
    /// ```
    /// let model = load_model("toy:rwkv7", #{ cache: 16 });
    /// let ids = [];
    /// for i in 0..300 { ids.push(i % 250); }
    /// model.generate(ids, #{ max_tokens: 2 });
    /// model.generate(ids + [7], #{ max_tokens: 2 });
    /// assert(model.cache.saved == 256);
    /// ```
    #[rhai_fn(get = "cache", pure)]
    pub fn cache(this: &mut Model) -> Map {
        let Standing { texts, bytes, budget, hits, saved } = this.engine().prefixes.standing();
        let rows = [
            ("texts", texts),
            ("bytes", bytes),
            ("budget", budget),
            ("hits", hits),
            ("saved", saved),
        ];
        rows.into_iter().map(|(key, count)| (key.into(), Dynamic::from(count as i64))).collect()
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_text(this: &mut Model) -> String {
        this.describe()
    }
}
