//! What can be chosen about a conversation.

use crate::generate::settings;
use crate::host::{Fallible, Host, engine_failure, fail, words};
use crate::model::Model;
use crate::options::OptionMap;
use crate::sampler::sampler_over;
use rhai::Map;
use rwkv_engine::chat::{BUDGET, Chat, Effort, FORMATS, Format, Template, Think};
use rwkv_engine::generate::Options;
use rwkv_engine::sample::Sampler;
use rwkv_engine::state::State;
use rwkv_engine::tokenizer::Tokenizer;

/// A conversation as the options of `new_chat` describe it.
///
/// # Errors
/// When an option is of the wrong type or out of range, and when the format cannot do it.
pub fn start(host: &Host, model: &Model, options: Map) -> Fallible<Chat> {
    let seeded = options.contains_key("seed");
    let mut options = OptionMap::new("new_chat", options);
    let state = model.first_state("new_chat", &mut options)?;
    let template = template(model, &mut options, &state)?;
    let mut usual = Options::chat(&model.engine());
    usual.max_tokens = template.max_tokens();
    // Without stops of its own, a conversation has those of its format.
    usual.stop.clear();
    if let Some(sampler) = options.take("sampler") {
        let map = sampler.clone().try_cast::<Map>();
        let map = map.ok_or_else(|| {
            fail(format!("new_chat: `sampler` must be a map, not {}", words(&sampler)))
        })?;
        usual.sampler = changed(model, usual.sampler, map)?;
    }
    let budget = options.integer("budget", BUDGET as i64, 0..)?;
    let settings = settings(host, model, &mut options, usual)?;
    options.finish()?;
    let seed = seeded.then_some(settings.seed);
    let mut chat = Chat::new(state, template, settings).map_err(engine_failure)?;
    chat.seed = seed;
    chat.set_budget(budget as usize);
    Ok(chat)
}

/// The sampler with the settings of a map in place of its own.
///
/// # Errors
/// When a setting is unknown, of the wrong type or out of range.
pub fn changed(model: &Model, sampler: Sampler, map: Map) -> Fallible<Sampler> {
    let mut options = OptionMap::new("sampler", map);
    let changed = sampler_over(&mut options, sampler, Some(&model.engine().tokenizer))?;
    options.finish()?;
    Ok(changed)
}

/// Whether token 0 is read first: the option `bos`, else wherever a World model begins anew.
///
/// # Errors
/// When the option is not a bool.
pub fn begins(model: &Model, options: &mut OptionMap, state: &State) -> Fallible<bool> {
    let model = model.engine();
    let world = matches!(model.tokenizer, Tokenizer::World(_));
    let usual =
        world && model.visual.is_none() && state.equals(&model.rwkv.state(1, &model.place.device));
    options.flag("bos", usual)
}

fn template(model: &Model, options: &mut OptionMap, state: &State) -> Fallible<Template> {
    let formats: Vec<_> = FORMATS.iter().map(|format| (format.name, format)).collect();
    let format = options.one_of("format", &formats)?;
    let names = [options.text("user", "")?, options.text("assistant", "")?];
    let system = Some(options.text("system", "")?).filter(|text| !text.is_empty());
    let guess = || {
        let guess = Format::of(&model.engine());
        // Who gives names wants a conversation, whatever the model learnt.
        let wanted = system.is_some() || names.iter().any(|name| !name.is_empty());
        if wanted && !guess.has_names() { &FORMATS[0] } else { guess }
    };
    let mut template = Template::new(format.unwrap_or_else(guess));
    template.effort = options.one_of("effort", &Effort::ALL)?;
    let usual = if template.effort.is_some() { Think::On } else { Think::Off };
    template.think = options.one_of("think", &Think::ALL)?.unwrap_or(usual);
    template.tools = options.texts("tools")?;
    template.bos = begins(model, options, state)?;
    template.system = system;
    let [user, assistant] = names;
    for (name, given) in [(&mut template.user, user), (&mut template.assistant, assistant)] {
        if !given.is_empty() {
            *name = given;
        }
    }
    Ok(template)
}
