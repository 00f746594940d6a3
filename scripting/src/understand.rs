//! Questions to a model: what it expects layer by layer, what surprises it, what it looks back at,
//! how long it remembers, what one head says, and whether its two modes agree.

mod lens;
mod modes;

use crate::charts::short;
use crate::hooks::places;
use crate::host::{Fallible, Host, Value, engine_failure, fail};
use crate::model::Model;
use crate::options::OptionMap;
use crate::report::Report;
use crate::state::State;
use crate::tensor::{Tensor, tensor_of};
use crate::{Table, View};
use rhai::plugin::*;
use rhai::{INT, Map, Module};
use rwkv_engine::tensor::Array;
use rwkv_engine::understand::Surprise;

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

/// A layer or a head by its place; negative counts from the end.
fn place(index: INT, what: &str, count: usize) -> Fallible<usize> {
    let found = places(&index.into(), what, count)?;
    found.first().copied().ok_or_else(|| fail(format!("there is no {what} {index}")))
}

/// A tensor `[T]` of one number per token.
fn column(found: &[Surprise], number: impl Fn(&Surprise) -> f64) -> Dynamic {
    let values = found.iter().map(|one| number(one) as f32).collect();
    Dynamic::from(Tensor::from(Array::vector(values)))
}

/// The text of a token in quotes.
fn quoted(model: &Model, id: u32) -> String {
    format!("{:?}", String::from_utf8_lossy(&model.engine().tokenizer.piece(id)))
}

fn surprise_report(model: &Model, found: &[Surprise]) -> Fallible<Report> {
    let quoted = |id: u32| quoted(model, id);
    let row = |(at, one): (usize, &Surprise)| {
        vec![
            (at + 1).to_string(),
            quoted(one.token),
            format!("{:.2}", one.bits),
            format!("{:.2}", one.entropy),
            one.rank.to_string(),
            format!("{} {}", quoted(one.guess), short(one.sure)),
        ]
    };
    let columns = ["place", "token", "bits", "expected bits", "rank", "guess"];
    let table = Table::new(&columns, found.iter().enumerate().map(row).collect());
    let mean = found.iter().map(|one| one.bits).sum::<f64>() / found.len() as f64;
    let title = format!("Surprise of {} tokens   mean {} bits a token", found.len(), short(mean));
    let fields = vec![
        ("bits", column(found, |one| one.bits)),
        ("entropy", column(found, |one| one.entropy)),
        ("rank", column(found, |one| one.rank as f64)),
        ("guess", column(found, |one| f64::from(one.guess))),
        ("mean", mean.into()),
    ];
    Ok(Report::new(title, View::Table(table), fields))
}

/// The middle one of some numbers, of an even count the mean of the two in the middle.
fn median(values: &[f32]) -> f32 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let n = sorted.len();
    if n == 0 { f32::NAN } else { (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0 }
}

#[export_module]
mod functions {
    /// What the model would say after each layer, with the usual settings: see the form with
    /// options.
    ///
    /// ```
    /// show(load_model("toy:rwkv7").logit_lens("The cat"));
    /// ```
    #[rhai_fn(name = "logit_lens", return_raw, pure)]
    pub fn plain_lens(
        context: NativeCallContext,
        this: &mut Model,
        tokens: Value,
    ) -> Fallible<Report> {
        logit_lens(context, this, tokens, Map::new())
    }

    /// What the model would say after each layer: the final norm and the output head on the
    /// residual stream (the logit lens). Shows the likeliest next token of every layer at every
    /// position. Fields: `top` and `prob` of that token and `rank` of the token that the last
    /// layer finds likeliest, `[L, T]`; `hidden`, `[L, T, C]`; `logits`, `[L, T, V]`, where that
    /// is at most 16 million numbers or asked for.
    ///
    /// - `state` to start from; it is not changed
    /// - `layers` only these, in the table at most 8
    /// - `logits` whether to keep them
    ///
    /// ```
    /// let lens = load_model("toy:rwkv7").logit_lens("The cat", #{ layers: [0, 1] });
    /// assert(lens.rank.shape == [2, 7] && lens.rank[1].max() == 0);
    /// print(lens.logits[0][-1].top_k(3));
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn logit_lens(
        context: NativeCallContext,
        this: &mut Model,
        tokens: Value,
        options: Map,
    ) -> Fallible<Report> {
        lens::report(&Host::of(&context), this, &tokens, options)
    }

    /// What each token reads of the ones before it, `[T, T]`, as the mean over the heads: see the
    /// form with options.
    ///
    /// ```
    /// show(load_model("toy:rwkv7").attention_map("The cat", 1));
    /// ```
    #[rhai_fn(name = "attention_map", return_raw, pure)]
    pub fn plain_attention_map(
        context: NativeCallContext,
        this: &mut Model,
        tokens: Value,
        layer: INT,
    ) -> Fallible<Tensor> {
        attention_map(context, this, tokens, layer, Map::new())
    }

    /// The attention that the recurrence of a layer implies, `[T, T]`: row `t`, column `j` is the
    /// weight, with its sign, with which token `t` reads the value of token `j`. The weights times
    /// the values, plus what comes from the state before, are the activation `y`. In RWKV-7 they
    /// may be below zero; in RWKV-5 and 6 the bonus is on the diagonal; RWKV-4 has weights per
    /// channel that sum to 1, and this is their mean.
    ///
    /// - `head` only of this one; else the mean over all heads
    /// - `state` to start from; it is not changed
    /// - `bonus` adds RWKV-7's bonus `r·(r_k∘k)` to the diagonal, which the model adds behind a
    ///   norm and is on another scale
    ///
    /// ```
    /// let map = load_model("toy:rwkv6").attention_map("The cat", 0, #{ head: 1 });
    /// assert(map.shape == [7, 7] && map[2][3] == 0);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn attention_map(
        context: NativeCallContext,
        this: &mut Model,
        tokens: Value,
        layer: INT,
        options: Map,
    ) -> Fallible<Tensor> {
        let mut options = OptionMap::new("attention_map", options);
        let state = this.first_state("attention_map", &mut options)?;
        let head = options.optional_integer("head", ..)?;
        let bonus = options.flag("bonus", false)?;
        options.finish()?;
        let ids = this.ids(&tokens)?;
        let model = this.engine();
        let layer = place(layer, "layer", model.n_layer())?;
        let head = head.map(|head| place(head, "head", model.n_head())).transpose()?;
        let interrupt = &Host::of(&context).interrupt;
        let map = model.attention_map(&ids, &state, (layer, head), bonus, interrupt);
        Ok(map.map_err(engine_failure)?.into())
    }

    /// How surprising each token of a text is to the model, from an empty state: see the form with
    /// options.
    ///
    /// ```
    /// show(load_model("toy:rwkv7").surprise("The cat"));
    /// ```
    #[rhai_fn(name = "surprise", return_raw, pure)]
    pub fn plain_surprise(
        context: NativeCallContext,
        this: &mut Model,
        tokens: Value,
    ) -> Fallible<Report> {
        surprise(context, this, tokens, Map::new())
    }

    /// How surprising each token of a text is to the model, all but the first: `bits`, the
    /// negative logarithm of its probability to base 2; `entropy`, the bits that the model
    /// expected; its `rank`, 0 for the likeliest; the model's `guess`; all `[T - 1]`, and the
    /// `mean` of the bits.
    ///
    /// - `state` to start from; it is not changed
    ///
    /// ```
    /// let found = load_model("toy:rwkv7").surprise("The cat");
    /// assert(found.bits.shape == [6] && found.bits.min() > 0);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn surprise(
        context: NativeCallContext,
        this: &mut Model,
        tokens: Value,
        options: Map,
    ) -> Fallible<Report> {
        let mut options = OptionMap::new("surprise", options);
        let state = this.first_state("surprise", &mut options)?;
        options.finish()?;
        let (ids, host) = (this.ids(&tokens)?, Host::of(&context));
        let found = this.engine().surprises(&ids, &state, &host.interrupt);
        surprise_report(this, &found.map_err(engine_failure)?)
    }

    /// How many tokens the heads remember, `[L, H]`: see the form with options.
    ///
    /// ```
    /// print(load_model("toy:rwkv7").half_lives("The cat").max());
    /// ```
    #[rhai_fn(name = "half_lives", return_raw, pure)]
    pub fn plain_half_lives(
        context: NativeCallContext,
        this: &mut Model,
        tokens: Value,
    ) -> Fallible<Tensor> {
        half_lives(context, this, tokens, Map::new())
    }

    /// How many tokens it takes until half is left of what a head holds, `[L, H]`: the median over
    /// its channels of `ln 2 / -mean(ln decay)`. In RWKV-4 and 5 the decay is the same for every
    /// text, in 6 and 7 the mean is over this one. What RWKV-7 takes out on purpose is not counted.
    ///
    /// - `channels` gives every channel its own, `[L, C]`
    /// - `state` to start from; it is not changed
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// assert(model.half_lives("The cat", #{ channels: true }).shape == [2, 64]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn half_lives(
        context: NativeCallContext,
        this: &mut Model,
        tokens: Value,
        options: Map,
    ) -> Fallible<Tensor> {
        let mut options = OptionMap::new("half_lives", options);
        let state = this.first_state("half_lives", &mut options)?;
        let channels = options.flag("channels", false)?;
        options.finish()?;
        let (ids, host) = (this.ids(&tokens)?, Host::of(&context));
        let model = this.engine();
        let all = model.half_lives(&ids, &state, &host.interrupt).map_err(engine_failure)?;
        if channels {
            return Ok(all.into());
        }
        let heads = all.values();
        let heads = heads.chunks((all.len() / (model.n_layer() * model.n_head())).max(1));
        let lives = Array::new(&[model.n_layer(), model.n_head()], heads.map(median).collect());
        Ok(lives.map_err(engine_failure)?.into())
    }

    /// What a head would say on its own, as logits `[V]`: its part through the output projection,
    /// the final norm and the output head. Of tokens: what it says after the last of them. Of a
    /// State: the answer to the key that its memory answers most strongly, whose sign nobody
    /// knows, so look at `-x` too; in RWKV-4 the mean of the values it holds.
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// show(model.head_says("The cat", 1, 2).top_k(3));
    /// show(model.head_says(model.forward_gpt("The cat").state, 1, 2).top_k(3));
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn head_says(
        context: NativeCallContext,
        this: &mut Model,
        what: Value,
        layer: INT,
        head: INT,
    ) -> Fallible<Tensor> {
        let model = this.engine();
        let at = (place(layer, "layer", model.n_layer())?, place(head, "head", model.n_head())?);
        let part = if let Some(state) = what.read_lock::<State>() {
            model.answer(&state.state, at, None)
        } else {
            let (ids, interrupt) = (this.ids(&what)?, &Host::of(&context).interrupt);
            model.last_part(&ids, at, interrupt)
        };
        let logits = model.say(at, &part.map_err(engine_failure)?).map_err(engine_failure)?;
        Ok(Tensor { array: logits, pieces: Some(model.tokenizer.clone()) })
    }

    /// What the memory of a head would say if it was asked for `key`, `[N]`, as logits `[V]`; not
    /// in RWKV-4, which has no keys.
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// let key = model.activations("The cat")["blocks.1.k"][2][0];
    /// show(model.head_says(model.forward_gpt("The cat").state, 1, 0, key).top_k(3));
    /// ```
    #[rhai_fn(name = "head_says", return_raw, pure)]
    pub fn head_answers(
        this: &mut Model,
        state: State,
        layer: INT,
        head: INT,
        key: Value,
    ) -> Fallible<Tensor> {
        let model = this.engine();
        let at = (place(layer, "layer", model.n_layer())?, place(head, "head", model.n_head())?);
        let key = tensor_of(&key)?.array;
        let part = model.answer(&state.state, at, Some(&key)).map_err(engine_failure)?;
        let logits = model.say(at, &part).map_err(engine_failure)?;
        Ok(Tensor { array: logits, pieces: Some(model.tokenizer.clone()) })
    }

    /// GPT mode against RNN mode on a text, with the usual settings: see the form with options.
    ///
    /// ```
    /// show(load_model("toy:rwkv7").compare_modes("The cat sat on the mat."));
    /// ```
    #[rhai_fn(name = "compare_modes", return_raw, pure, volatile)]
    pub fn plain_compare_modes(
        context: NativeCallContext,
        this: &mut Model,
        tokens: Value,
    ) -> Fallible<Report> {
        compare_modes(context, this, tokens, Map::new())
    }

    /// Reads a text in one pass (GPT mode), token by token (RNN mode), in chunks, and in one pass
    /// up to a point and token by token from there. Shows how far apart they are, what each costs,
    /// and what the memory is beside that of a transformer with as many layers and channels.
    /// Fields: `rnn`, `chunks`, `handed_over`: the largest difference in the residual stream to
    /// one pass, `[L, T]`; `logits`, that of the logits token by token, `[T]`; `seconds` of all
    /// four; `state_bytes`, `cache_bytes` and `break_even`, the length of text from which the
    /// transformer needs more; the `state`.
    ///
    /// - `hand_over` tokens read in one pass before the rest, half of them
    /// - `chunk` tokens of a chunk, 16
    /// - `state` to start from; it is not changed
    ///
    /// ```
    /// let found = load_model("toy:rwkv7").compare_modes("The cat sat.", #{ hand_over: 3 });
    /// assert(found.rnn.max() < 1e-3 && found.handed_over.max() < 1e-3);
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn compare_modes(
        context: NativeCallContext,
        this: &mut Model,
        tokens: Value,
        options: Map,
    ) -> Fallible<Report> {
        modes::report(&Host::of(&context), this, &tokens, options)
    }
}
