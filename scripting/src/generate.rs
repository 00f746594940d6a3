//! Generating text, and what it gives.

use crate::charts::short;
use crate::form::form;
use crate::host::{Fallible, Host, Value, engine_failure, fail, harmless, stopped, words};
use crate::model::Model;
use crate::options::OptionMap;
use crate::sampler::{sampler_over, token_list};
use crate::state::State;
use crate::tensor::Tensor;
use crate::tokens::Tokens;
use crate::{Output, View};
use rhai::plugin::*;
use rhai::{Array, FLOAT, FnPtr, INT, Map, Module};
use rwkv_engine::generate::{Finish, Generation as Made, Options, Piece, generate};

/// A generated text.
#[derive(Clone, Debug)]
pub struct Generation {
    made: Made,
    model: Model,
    seed: u64,
    /// Whether the text has been shown while it came.
    streamed: bool,
}

impl Generation {
    /// A text that came from this seed; `streamed` says that it has been shown already.
    pub fn new(made: Made, model: &Model, seed: u64, streamed: bool) -> Self {
        Self { made, model: model.clone(), seed, streamed }
    }

    /// The text as the engine made it.
    pub fn made(&self) -> &Made {
        &self.made
    }

    /// Statistics in one line.
    fn describe(&self) -> String {
        let (count, why) = (self.made.tokens.len(), self.made.finish.name());
        let speed = short(self.made.tokens_per_second().round());
        format!("[{count} tokens, {why}, {speed} tokens/s, seed {}]", self.seed)
    }

    /// The text, unless it was seen already, and statistics.
    pub fn view(&self) -> View {
        let words = View::Words(self.describe());
        if self.streamed {
            return words;
        }
        View::Group(vec![View::Text(harmless(&self.made.text).into_owned()), words])
    }
}

/// Where the pieces of a text go while it comes.
pub struct Listener<'a> {
    context: &'a NativeCallContext<'a>,
    host: &'a Host,
    stream: bool,
    callback: Option<FnPtr>,
    /// What the callback failed with; it cannot travel through the engine.
    failure: Option<Box<EvalAltResult>>,
    /// Whether the last piece ended a line.
    ended: bool,
}

impl<'a> Listener<'a> {
    /// Reads `stream` and `on_token`.
    ///
    /// # Errors
    /// When one of them is of the wrong type.
    pub fn new(
        context: &'a NativeCallContext<'a>,
        host: &'a Host,
        options: &mut OptionMap,
    ) -> Fallible<Self> {
        let callback = match options.take("on_token") {
            None => None,
            Some(value) => Some(value.clone().try_cast::<FnPtr>().ok_or_else(|| {
                fail(format!("`on_token` must be a function |token| .., not {}", words(&value)))
            })?),
        };
        let stream = options.flag("stream", host.options.interactive && callback.is_none())?;
        Ok(Self { context, host, stream, callback, failure: None, ended: true })
    }

    /// Shows a piece and asks the callback; `false` stops.
    pub fn hear(&mut self, piece: &Piece) -> anyhow::Result<bool> {
        if self.stream && !piece.text.is_empty() {
            self.host.say(Output::Stream(piece.text));
            self.ended = piece.text.ends_with('\n');
        }
        let Some(callback) = &self.callback else { return Ok(true) };
        let token: Map = [
            ("id".into(), Dynamic::from(INT::from(piece.token))),
            ("text".into(), piece.text.to_string().into()),
            ("logprob".into(), f64::from(piece.logprob).into()),
        ]
        .into();
        match callback.call_within_context::<Dynamic>(self.context, (token,)) {
            Ok(answer) => Ok(answer.as_bool().unwrap_or(true)),
            Err(failure) => {
                self.failure = Some(failure);
                anyhow::bail!("the callback failed")
            }
        }
    }

    /// The outcome in the words of scripts; an interrupted text is kept for `ans`.
    ///
    /// # Errors
    /// When the generation failed or was interrupted.
    pub fn finish(
        self,
        made: anyhow::Result<Made>,
        model: &Model,
        seed: u64,
    ) -> Fallible<Generation> {
        if self.stream && !self.ended {
            self.host.say(Output::Stream("\n"));
        }
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let made = made.map_err(engine_failure)?;
        let interrupted = made.finish == Finish::Interrupted;
        let made = Generation::new(made, model, seed, self.stream);
        if interrupted {
            self.host.partial.replace(Some(Dynamic::from(made)));
            return Err(stopped());
        }
        Ok(made)
    }
}

/// Reads how to generate with this model: the sampler, `max_tokens`, `stop`, `seed`.
///
/// # Errors
/// When a setting is of the wrong type or out of range.
pub fn settings(
    host: &Host,
    model: &Model,
    options: &mut OptionMap,
    base: Options,
) -> Fallible<Options> {
    let seed = options.optional_integer("seed", ..)?.map_or_else(|| host.next_seed(), |s| s as u64);
    let stop = options.texts("stop")?;
    Ok(Options {
        sampler: sampler_over(options, base.sampler, Some(&model.engine().tokenizer))?,
        max_tokens: options.integer("max_tokens", base.max_tokens as i64, 0..=10_000_000)? as usize,
        stop: if stop.is_empty() { base.stop } else { stop },
        seed,
        end: token_list(options, "end", base.end, Some(&model.engine().tokenizer))?,
        unused_ids: options.flag("unused_ids", base.unused_ids)?,
        form: form(options)?.or(base.form),
    })
}

fn run(
    context: &NativeCallContext,
    model: &Model,
    prompt: &Dynamic,
    options: Map,
) -> Fallible<Generation> {
    let host = Host::of(context);
    let mut options = OptionMap::new("generate", options);
    let state = model.first_state("generate", &mut options)?;
    let mut listener = Listener::new(context, &host, &mut options)?;
    let usual = Options::of(&model.engine());
    let settings = settings(&host, model, &mut options, usual)?;
    options.finish()?;
    let ids = model.ids(prompt)?;
    let engine = model.engine();
    let made =
        generate(&engine, &ids, &state, &settings, &host.interrupt, |piece| listener.hear(piece));
    listener.finish(made, model, settings.seed)
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// A generated text with its tokens, its state and how it came about.
    pub type Generation = super::Generation;

    /// Continues a prompt with the usual settings.
    ///
    /// ```
    /// print(load_model("toy:rwkv4").generate("Once"));
    /// ```
    #[rhai_fn(name = "generate", return_raw, pure, volatile)]
    pub fn generate_default(
        context: NativeCallContext,
        this: &mut Model,
        prompt: Value,
    ) -> Fallible<Generation> {
        run(&context, this, &prompt, Map::new())
    }

    /// Continues a prompt: a string, Tokens, ids.
    ///
    /// - `max_tokens` at most, 100
    /// - `temperature` sharpens below 1, flattens above, 0 takes the likeliest; 1.0
    /// - `top_p` keeps the likeliest tokens that sum to this, 0.85; 1 keeps all
    /// - `top_k` keeps at most this many, 0 keeps all
    /// - `order` `"rwkv"`: cut, then temperature; `"hf"`: temperature, then cut
    /// - `presence_penalty` taken off the logit of a token that was chosen, 0.2; 0 for bytes
    /// - `frequency_penalty` taken off for each time it was chosen, 0.2; 0 for bytes
    /// - `penalty_decay` share of an occurrence that is left one token later, 0.996
    /// - `repetition_penalty` divides the logits of all tokens read or chosen, 1 is off
    /// - `repetition_window` how many of the last tokens that looks at, 0 is all
    /// - `ban` ids or texts of tokens never to choose
    /// - `logit_bias` added to logits: `#{ " the": -2 }`, or `[[id, -2]]`
    /// - `unused_ids` lets ids come that the tokenizer does not know
    ///
    /// More rules, off unless asked for:
    ///
    /// - `min_p` keeps tokens at least this share as likely as the likeliest
    /// - `typical_p` keeps the tokens of most expected surprise that sum to this
    /// - `tail_free` cuts the flat tail behind this share of the bend; `tail_free_llama` as llama.cpp
    /// - `top_a` keeps tokens likelier than this times the square of the likeliest
    /// - `top_p_x` saves tokens likelier than this from `top_p`
    /// - `exact_top_p` weakens the last token of `top_p` until the kept ones sum to it
    /// - `epsilon_cutoff` keeps tokens at least this likely
    /// - `eta_cutoff` keeps tokens this likely, or less where all are unlikely
    /// - `mirostat` steers the surprise in place of the cuts, by version 1 or 2
    /// - `mirostat_tau` the mean surprise it aims at, 5 bits; `mirostat_eta` how fast, 0.1
    ///
    /// A form that the whole text must have; it ends where it is whole and the model would rather
    /// write something else, and is incomplete only if `max_tokens` come first:
    ///
    /// - `choices` one of these strings
    /// - `regex` a regular expression, without `^` and `$`
    /// - `json_schema` a map, or a string, which keeps the order of its keys; the text is JSON on
    ///   one line, as `{"a": 1, "b": 2}`
    /// - `grammar` in the syntax of Lark (llguidance's, not GBNF), from the rule `start`
    ///
    /// And what is around:
    ///
    /// - `stop` a string or strings that end the text
    /// - `end` ids or texts of tokens that end it, `[0]`
    /// - `seed` the same seed gives the same text
    /// - `state` to start from; it is not changed
    /// - `stream` shows the text while it comes
    /// - `on_token` called with `#{id, text, logprob}`; `false` stops
    ///
    /// ```
    /// let out = load_model("toy:rwkv4").generate("Once", #{ max_tokens: 5, seed: 1 });
    /// assert(out.tokens.len <= 5);
    /// let digits = load_model("toy:rwkv4").generate("Once", #{ regex: "[0-9]{3}", stream: false });
    /// assert(digits.text.len() == 3);
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn generate(
        context: NativeCallContext,
        this: &mut Model,
        prompt: Value,
        options: Map,
    ) -> Fallible<Generation> {
        run(&context, this, &prompt, options)
    }

    /// The text, without the stop text that ended it.
    ///
    /// ```
    /// print(load_model("toy:rwkv4").generate("a", #{ max_tokens: 2 }).text);
    /// ```
    #[rhai_fn(get = "text", pure)]
    pub fn text(this: &mut Generation) -> String {
        this.made.text.clone()
    }

    /// The tokens chosen, those of a stop text too.
    ///
    /// ```
    /// print(load_model("toy:rwkv4").generate("a", #{ max_tokens: 2 }).tokens);
    /// ```
    #[rhai_fn(get = "tokens", pure)]
    pub fn tokens(this: &mut Generation) -> Tokens {
        Tokens::new(this.made.tokens.clone(), &this.model.engine().tokenizer)
    }

    /// The state after all tokens.
    ///
    /// ```
    /// print(load_model("toy:rwkv4").generate("a", #{ max_tokens: 2 }).state.norm());
    /// ```
    #[rhai_fn(get = "state", pure)]
    pub fn state(this: &mut Generation) -> State {
        State::of(&this.model, this.made.state.clone())
    }

    /// The logits after all tokens, `[V]`.
    ///
    /// ```
    /// show(load_model("toy:rwkv4").generate("a", #{ max_tokens: 2 }).logits.top_k(3));
    /// ```
    #[rhai_fn(get = "logits", pure)]
    pub fn logits(this: &mut Generation) -> Tensor {
        let pieces = Some(this.model.engine().tokenizer.clone());
        Tensor { array: this.made.logits.clone(), pieces }
    }

    /// Why the text ended: `stop`, `length`, `eos`, `complete`, `callback` or `interrupted`.
    ///
    /// ```
    /// let out = load_model("toy:rwkv4").generate("a", #{ on_token: |token| false });
    /// assert(out.finish_reason == "callback" || out.finish_reason == "eos");
    /// ```
    #[rhai_fn(get = "finish_reason", pure)]
    pub fn finish_reason(this: &mut Generation) -> String {
        this.made.finish.name().into()
    }

    /// The natural logarithm of each token's probability, before penalties and cuts.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").generate("a", #{ max_tokens: 2 }).logprobs.max() <= 0);
    /// ```
    #[rhai_fn(get = "logprobs", pure)]
    pub fn logprobs(this: &mut Generation) -> Array {
        this.made.logprobs.iter().map(|x| f64::from(*x).into()).collect()
    }

    /// The log-probability of all tokens together.
    ///
    /// ```
    /// let out = load_model("toy:rwkv4").generate("a", #{ max_tokens: 2 });
    /// assert((out.logprob - out.logprobs.sum()).abs() < 0.0001);
    /// ```
    #[rhai_fn(get = "logprob", pure)]
    pub fn logprob(this: &mut Generation) -> FLOAT {
        this.made.logprob()
    }

    /// The mean of the log-probabilities: how sure the model was of its words.
    ///
    /// ```
    /// print(load_model("toy:rwkv4").generate("a", #{ max_tokens: 2 }).mean_logprob);
    /// ```
    #[rhai_fn(get = "mean_logprob", pure)]
    pub fn mean_logprob(this: &mut Generation) -> FLOAT {
        this.made.mean_logprob()
    }

    /// Tokens per second, without the prompt.
    ///
    /// ```
    /// print(load_model("toy:rwkv4").generate("a", #{ max_tokens: 2 }).tokens_per_second);
    /// ```
    #[rhai_fn(get = "tokens_per_second", pure)]
    pub fn tokens_per_second(this: &mut Generation) -> FLOAT {
        this.made.tokens_per_second()
    }

    /// The seed it came from: the same seed and prompt give the same text.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").generate("a", #{ max_tokens: 2, seed: 7 }).seed == 7);
    /// ```
    #[rhai_fn(get = "seed", pure)]
    pub fn seed(this: &mut Generation) -> INT {
        this.seed as INT
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_text(this: &mut Generation) -> String {
        this.made.text.clone()
    }
}
