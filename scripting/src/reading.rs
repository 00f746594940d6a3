//! Reading tokens with options: hidden vectors, hooks on activations, writes left out.

use crate::hooks::{Hook, hooks, knock_out, place_of, places};
use crate::host::{Fallible, Host, Value, engine_failure, fail};
use crate::model::Model;
use crate::options::OptionMap;
use crate::output::ModelOutput;
use crate::state::State;
use crate::tensor::Tensor;
use crate::{Table, View};
use rhai::plugin::*;
use rhai::{Map, Module};
use rwkv_engine::activations::Activations;
use rwkv_engine::model::{KnockOut, Reading};
use rwkv_engine::rwkv::{Activation, Seen};
use rwkv_engine::state::State as Memory;
use rwkv_engine::tensor::Array;
use std::cell::RefCell;

/// The options of a reading.
struct Wishes {
    state: Memory,
    hidden: bool,
    hooks: Vec<Hook>,
    knock_out: KnockOut,
    /// Whether only the last position is asked for its logits.
    last: bool,
}

impl Wishes {
    fn of(what: &'static str, model: &Model, tokens: usize, options: Map) -> Fallible<Self> {
        let mut options = OptionMap::new(what, options);
        let state = model.first_state(what, &mut options)?;
        let hidden = options.flag("hidden", false)?;
        let last = match what {
            "forward_gpt" => options.one_or_first("logits", &[("all", false), ("last", true)])?,
            _ => true,
        };
        let hooks = match options.take("hooks") {
            Some(value) => hooks(what, model, &value)?,
            None => Vec::new(),
        };
        let knock_out = match options.take("knock_out") {
            Some(value) => knock_out(model, tokens, value)?,
            None => KnockOut::default(),
        };
        options.finish()?;
        Ok(Self { state, hidden, hooks, knock_out, last })
    }
}

/// Reads tokens as the options say: logits of all positions, or of the last one.
fn read(
    context: &NativeCallContext,
    model: &Model,
    tokens: &[u32],
    wishes: &Wishes,
    all: bool,
) -> Fallible<ModelOutput> {
    let (host, engine) = (Host::of(context), model.engine());
    let failure = RefCell::new(None);
    let hidden = RefCell::new(Activations::default());
    let look = |seen: &Seen| -> anyhow::Result<Option<Array>> {
        let mut new = None;
        for hook in wishes.hooks.iter().filter(|hook| hook.is_at(seen)) {
            let now = new.clone().unwrap_or_else(|| seen.array());
            match hook.run(context, now, seen.first) {
                Ok(answer) => new = answer.or(new),
                Err(error) => {
                    failure.replace(Some(error));
                    anyhow::bail!("the hook failed")
                }
            }
        }
        if wishes.hidden && seen.name == "x" {
            hidden.borrow_mut().add(seen, new.as_ref());
        }
        Ok(new)
    };
    let watched = wishes.hidden || !wishes.hooks.is_empty();
    let reading = Reading { look: watched.then_some(&look), knock_out: Some(&wishes.knock_out) };
    let (mut logits, mut rows, mut end) = (Vec::new(), 0, None);
    let after = engine.watch(tokens, &wishes.state, &host.interrupt, reading, |part| {
        let count = part.dims()[1];
        rows += count;
        if wishes.last {
            end = Some(part.narrow(1, count - 1, 1));
        } else {
            logits.extend(Array::of(engine.rwkv.logits(part)).values());
        }
    });
    if let Some(error) = failure.take() {
        return Err(error);
    }
    let after = after.map_err(engine_failure)?;
    let rows = if end.is_some() { 1 } else { rows };
    let shape = if all { vec![rows, engine.vocab_size()] } else { vec![engine.vocab_size()] };
    let array = match end {
        Some(end) => Array::of(engine.rwkv.logits(end)).reshape(&shape),
        None => Array::new(&shape, logits),
    };
    let array = array.map_err(engine_failure)?;
    let logits = Tensor { array, pieces: Some(engine.tokenizer.clone()) };
    let output = ModelOutput::new(logits, State::of(model, after))?;
    if !wishes.hidden {
        return Ok(output);
    }
    let hidden = hidden.into_inner().stacked("x").map_err(engine_failure)?;
    let shape = [engine.n_layer(), engine.n_embd()];
    let hidden = if all { hidden } else { hidden.reshape(&shape).map_err(engine_failure)? };
    Ok(output.with_hidden(hidden.into()))
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// GPT mode with a look inside: reads all tokens in one pass.
    ///
    /// - `state` to start from; it is not changed
    /// - `logits` "all", or "last" for those after the last token only, `[1, V]`, which is quicker
    /// - `hidden` keeps the residual stream after every block, as `.hidden`, `[L, T, C]`
    /// - `hooks` functions by the names of activations, `#{ "blocks.2.k": |x| x * 0 }`: each gets
    ///   the activation, `[T, H, N]` or `[T, C]`, and what it returns takes its place, `()` nothing;
    ///   a number fills it. `blocks.*.k` is that of every block. A second argument is the place of
    ///   its first token, for a long text comes in parts of 256 tokens
    /// - `knock_out` tokens that do not write into the memory, `#{ positions: [1, 2] }`, perhaps
    ///   only in some `layers` and `heads`; the memory fades there as ever, and the next token still
    ///   sees them through the token shift
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// let out = model.forward_gpt("The cat", #{ hidden: true });
    /// assert(out.hidden.shape == [2, 7, 64]);
    /// assert(model.forward_gpt("The cat", #{ logits: "last" }).logits.shape == [1, 256]);
    /// let deaf = model.forward_gpt("The cat", #{ hooks: #{ "blocks.1.att": |x| x * 0 } });
    /// assert(deaf.last != out.last);
    /// let less = model.forward_gpt("The cat", #{ knock_out: #{ positions: [0, 1, 2] } });
    /// print(out.last.kl(less.last));
    /// ```
    #[rhai_fn(name = "forward_gpt", return_raw, pure)]
    pub fn gpt_with(
        context: NativeCallContext,
        this: &mut Model,
        tokens: Value,
        options: Map,
    ) -> Fallible<ModelOutput> {
        let ids = this.ids(&tokens)?;
        let wishes = Wishes::of("forward_gpt", this, ids.len(), options)?;
        read(&context, this, &ids, &wishes, true)
    }

    /// RNN mode with a look inside: reads one token, with the same options as GPT mode.
    ///
    /// - `state` to start from; it is not changed
    /// - `hidden` keeps the residual stream after every block, as `.hidden`, `[L, C]`
    /// - `hooks` functions by the names of activations, which are `[1, H, N]` or `[1, C]`
    /// - `knock_out` `#{ positions: [0] }` keeps the token from writing into the memory
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// let state = model.forward_gpt("The c").state;
    /// let seen = [];
    /// let look = |y| { seen.push(y.norm()); };
    /// let out = model.forward_rnn("a", #{ state: state, hooks: #{ "blocks.*.y": look } });
    /// assert(seen.len() == 2);
    /// ```
    #[rhai_fn(name = "forward_rnn", return_raw, pure)]
    pub fn rnn_with(
        context: NativeCallContext,
        this: &mut Model,
        token: Value,
        options: Map,
    ) -> Fallible<ModelOutput> {
        let ids = this.ids(&token)?;
        if ids.len() != 1 {
            let count = ids.len();
            return Err(fail(format!(
                "forward_rnn reads one token, not {count}; forward_gpt reads many"
            )));
        }
        let wishes = Wishes::of("forward_rnn", this, 1, options)?;
        read(&context, this, &ids, &wishes, false)
    }

    /// A table of what can be seen and replaced inside a block of this model, by hooks and by
    /// `activations`: name, shape, meaning.
    ///
    /// ```
    /// show(load_model("toy:rwkv7").activation_names());
    /// ```
    #[rhai_fn(pure)]
    pub fn activation_names(this: &mut Model) -> View {
        let version = this.engine().rwkv.version();
        let row = |one: Activation| {
            let shape = if one.by_head { "[T, H, N]" } else { "[T, C]" };
            vec![one.name.into(), shape.into(), one.about.into()]
        };
        let rows = Activation::of(version).into_iter().map(row).collect();
        View::Table(Table::new(&["name", "shape", "meaning"], rows))
    }

    /// All activations of a text, a map from names such as `blocks.0.k` to tensors.
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// assert(model.activations("The cat")["blocks.1.k"].shape == [7, 4, 16]);
    /// ```
    #[rhai_fn(name = "activations", return_raw, pure)]
    pub fn all_activations(
        context: NativeCallContext,
        this: &mut Model,
        tokens: Value,
    ) -> Fallible<Map> {
        activations(context, this, tokens, Map::new())
    }

    /// Activations of a text, a map from names such as `blocks.0.k` to tensors `[T, H, N]` or
    /// `[T, C]`.
    ///
    /// - `state` to start from; it is not changed
    /// - `layers` only of these blocks
    /// - `names` only these, see `activation_names`
    ///
    /// ```
    /// let model = load_model("toy:rwkv6");
    /// let seen = model.activations("The cat", #{ layers: -1, names: ["d", "ffn.k"] });
    /// print(seen["blocks.1.d"].exp().mean());
    /// assert(seen.len() == 2);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn activations(
        context: NativeCallContext,
        this: &mut Model,
        tokens: Value,
        options: Map,
    ) -> Fallible<Map> {
        let mut options = OptionMap::new("activations", options);
        let state = this.first_state("activations", &mut options)?;
        let count = this.engine().n_layer();
        let layers = match options.take("layers") {
            Some(value) => places(&value, "layers", count)?,
            None => (0..count).collect(),
        };
        let names = options.texts("names")?;
        options.finish()?;
        for name in &names {
            place_of(this, &format!("blocks.*.{name}"))?;
        }
        let wanted = |layer: usize, name: &str| {
            layers.contains(&layer) && (names.is_empty() || names.iter().any(|n| n == name))
        };
        let (ids, interrupt) = (this.ids(&tokens)?, &Host::of(&context).interrupt);
        let (seen, _) =
            this.engine().activations(&ids, &state, interrupt, wanted).map_err(engine_failure)?;
        let seen = seen.named().map_err(engine_failure)?.into_iter();
        Ok(seen.map(|(name, x)| (name.into(), Dynamic::from(Tensor::from(x)))).collect())
    }
}
