//! Looking for the likeliest text as a whole: beams, and choices that are given.

use crate::generate::Generation;
use crate::host::{Fallible, Host, Value, engine_failure, fail, words};
use crate::model::Model;
use crate::options::OptionMap;
use crate::sampler::token_list;
use rhai::plugin::*;
use rhai::{Array, INT, Map, Module};
use rwkv_engine::beam::{self, beam_search};
use rwkv_engine::generate::Options;
use rwkv_engine::rank::{Measure, rank};

fn search(
    context: &NativeCallContext,
    model: &Model,
    prompt: &Dynamic,
    options: Map,
) -> Fallible<Array> {
    let (host, usual) = (Host::of(context), Options::of(&model.engine()));
    let mut options = OptionMap::new("beam_search", options);
    let state = model.first_state("beam_search", &mut options)?;
    let settings = beam::Options {
        beams: options.integer("beams", 4, 1..=1000)? as usize,
        max_tokens: options.integer("max_tokens", 20, 0..=10_000_000)? as usize,
        length_penalty: options.number("length_penalty", 1.0, -10.0..=10.0)?,
        stop: options.texts("stop")?,
        end: token_list(&mut options, "end", usual.end, Some(&model.engine().tokenizer))?,
        unused_ids: options.flag("unused_ids", false)?,
    };
    options.finish()?;
    let (ids, engine) = (model.ids(prompt)?, model.engine());
    let found = beam_search(&engine, &ids, &state, &settings, &host.interrupt);
    let found = found.map_err(engine_failure)?.into_iter();
    Ok(found.map(|made| Dynamic::from(Generation::new(made, model, 0, false))).collect())
}

fn compare(
    context: &NativeCallContext,
    model: &Model,
    prompt: &Dynamic,
    choices: &Array,
    options: Map,
) -> Fallible<Array> {
    let host = Host::of(context);
    let mut options = OptionMap::new("rank", options);
    let state = model.first_state("rank", &mut options)?;
    let measure = options.one_or_first("normalise", Measure::NAMES)?;
    options.finish()?;
    if let Some(wrong) = choices.iter().find(|choice| !choice.is_string()) {
        return Err(fail(format!("rank: a choice is a string, not {}", words(wrong))));
    }
    // No prompt at all is one here: how likely is a text to begin with?
    let empty = prompt.is_string() && prompt.to_string().is_empty();
    let prompt = if empty { Vec::new() } else { model.ids(prompt)? };
    let ids = choices.iter().map(|choice| model.ids(choice)).collect::<Fallible<Vec<_>>>()?;
    let ranked = rank(&model.engine(), &prompt, &ids, measure, &state, &host.interrupt);
    let row = |one: rwkv_engine::rank::Ranked| {
        let row: Map = [
            ("text".into(), choices[one.index].clone()),
            ("logprob".into(), one.logprob.into()),
            ("mean".into(), one.mean.into()),
            ("score".into(), one.score.into()),
            ("probability".into(), one.probability.into()),
            ("tokens".into(), Dynamic::from(ids[one.index].len() as INT)),
        ]
        .into();
        Dynamic::from(row)
    };
    Ok(ranked.map_err(engine_failure)?.into_iter().map(row).collect())
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// The likeliest continuations of a prompt as a whole, best first, found with 4 beams.
    ///
    /// ```
    /// let best = load_model("toy:rwkv4").beam_search("Once");
    /// assert(best.len() == 4);
    /// ```
    #[rhai_fn(name = "beam_search", return_raw, pure, volatile)]
    pub fn beam_search_default(
        context: NativeCallContext,
        this: &mut Model,
        prompt: Value,
    ) -> Fallible<Array> {
        search(&context, this, &prompt, Map::new())
    }

    /// The likeliest continuations of a prompt as a whole: an array of Generations, best first.
    ///
    /// Unlike `generate` with temperature 0 it goes several ways at once, and every beam owns its
    /// state.
    ///
    /// - `beams` ways kept in view and given in the end, 4
    /// - `max_tokens` at most, 20
    /// - `length_penalty` the score is the log-probability divided by the length to this power: 1;
    ///   more favours long texts, less short ones
    /// - `stop` a string or strings that end a beam
    /// - `end` ids or texts of tokens that end a beam, `[0]`
    /// - `unused_ids` lets ids come that the tokenizer does not know
    /// - `state` to start from; it is not changed
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// let best = model.beam_search("Once", #{ beams: 3, max_tokens: 5 });
    /// let greedy = model.generate("Once", #{ temperature: 0, max_tokens: 5 });
    /// assert(best[0].logprob >= greedy.logprob - 0.0001);
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn beam_search(
        context: NativeCallContext,
        this: &mut Model,
        prompt: Value,
        options: Map,
    ) -> Fallible<Array> {
        search(&context, this, &prompt, options)
    }

    /// How likely each of several texts is after a prompt, best first.
    ///
    /// ```
    /// print(load_model("toy:rwkv4").rank("Is it?", [" yes", " no"])[0].text);
    /// ```
    #[rhai_fn(name = "rank", return_raw, pure, volatile)]
    pub fn rank_default(
        context: NativeCallContext,
        this: &mut Model,
        prompt: Value,
        choices: Array,
    ) -> Fallible<Array> {
        compare(&context, this, &prompt, &choices, Map::new())
    }

    /// How likely each of several texts is after a prompt, best first: an array of
    /// `#{text, logprob, mean, score, probability, tokens}`. The prompt is read once; an empty one
    /// asks for the beginning of a text.
    ///
    /// - `normalise` what `score` is: `"sum"`, the log-probability of the whole text; `"mean"`, per
    ///   token; `"calibrated"`, less what it is after an empty prompt
    /// - `state` to start from; it is not changed
    ///
    /// ```
    /// let ranked = load_model("toy:rwkv4").rank("Is it?", [" yes", " no"], #{ normalise: "mean" });
    /// assert((ranked[0].probability + ranked[1].probability - 1).abs() < 0.0001);
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn rank(
        context: NativeCallContext,
        this: &mut Model,
        prompt: Value,
        choices: Array,
        options: Map,
    ) -> Fallible<Array> {
        compare(&context, this, &prompt, &choices, options)
    }
}
