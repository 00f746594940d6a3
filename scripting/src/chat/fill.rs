//! Filling a gap in a text.

use super::options::begins;
use crate::generate::{Generation, Listener, settings};
use crate::host::{Fallible, Host, engine_failure};
use crate::model::Model;
use crate::options::OptionMap;
use rhai::plugin::*;
use rhai::{Map, Module};
use rwkv_engine::chat::{FLOWER, encode, fill_prompt};
use rwkv_engine::generate::{Options, generate};

fn run(
    context: &NativeCallContext,
    model: &Model,
    [prefix, suffix]: [&str; 2],
    options: Map,
) -> Fallible<Generation> {
    let host = Host::of(context);
    let mut options = OptionMap::new("fill", options);
    let state = model.first_state("fill", &mut options)?;
    let begins = begins(model, &mut options, &state)?;
    let mut listener = Listener::new(context, &host, &mut options)?;
    let engine = model.engine();
    let usual = Options { stop: vec![FLOWER.to_string()], ..Options::of(&engine) };
    let settings = settings(&host, model, &mut options, usual)?;
    options.finish()?;
    let prompt = fill_prompt(prefix, suffix).map_err(engine_failure)?;
    let prompt = encode(&engine, &prompt, begins).map_err(engine_failure)?;
    let made = generate(&engine, &prompt, &state, &settings, &host.interrupt, |piece| {
        listener.hear(piece)
    });
    listener.finish(made, model, settings.seed)
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// Writes what belongs between two texts, with the usual settings.
    ///
    /// ```
    /// let out = load_model("toy:rwkv7").fill("The sun sets ", " the west.");
    /// ```
    #[rhai_fn(name = "fill", return_raw, pure, volatile)]
    pub fn fill_default(
        context: NativeCallContext,
        this: &mut Model,
        prefix: &str,
        suffix: &str,
    ) -> Fallible<Generation> {
        run(&context, this, [prefix, suffix], Map::new())
    }

    /// Writes what belongs between two texts; models from RWKV-7 G1c on learnt it.
    ///
    /// The prompt is `✿prefix✿✿suffix✿`, the second text, `✿middle✿`, the first text; a `✿` ends
    /// what is filled in.
    ///
    /// - `bos` whether token 0, the end of the text before, is read first; as in `new_chat`
    /// - and the options of `generate`
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// let out = model.fill("fn double(x) { ", " }", #{ max_tokens: 5, temperature: 0 });
    /// print(out.text);
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn fill(
        context: NativeCallContext,
        this: &mut Model,
        prefix: &str,
        suffix: &str,
        options: Map,
    ) -> Fallible<Generation> {
        run(&context, this, [prefix, suffix], options)
    }
}
