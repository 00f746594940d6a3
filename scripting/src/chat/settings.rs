//! What of a conversation can be looked at and changed while it goes on.

use super::Chat;
use super::options::changed;
use crate::host::{Fallible, fail};
use rhai::plugin::*;
use rhai::{Array, INT, Map, Module};
use rwkv_engine::sample::{Order, SETTINGS, Sampler, Setting};

/// Settings that are shown even where they are off: what people change first.
const USUAL: [&str; 5] = ["temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty"];

/// The settings of a sampler that do something, by the names that options have.
fn shown(sampler: &Sampler) -> Map {
    let plain = Sampler::plain();
    let says = |one: &&Setting| USUAL.contains(&one.name) || one.read(sampler) != one.read(&plain);
    let mut map: Map =
        SETTINGS.iter().filter(says).map(|one| (one.name.into(), value(one, sampler))).collect();
    if sampler.order != plain.order {
        let name = Order::NAMES.iter().find(|(_, order)| *order == sampler.order);
        map.insert("order".into(), name.map_or("", |(name, _)| *name).into());
    }
    if sampler.exact_top_p {
        map.insert("exact_top_p".into(), true.into());
    }
    if !sampler.ban.is_empty() {
        let ids: Array = sampler.ban.iter().map(|&id| INT::from(id).into()).collect();
        map.insert("ban".into(), ids.into());
    }
    if !sampler.bias.is_empty() {
        let pair = |(&id, &bias): (&u32, &f32)| -> Dynamic {
            let pair: Array = vec![INT::from(id).into(), f64::from(bias).into()];
            pair.into()
        };
        map.insert("logit_bias".into(), sampler.bias.iter().map(pair).collect::<Array>().into());
    }
    map
}

/// A setting as somebody would type it: 0.3, not the float nearest to it.
fn value(setting: &Setting, sampler: &Sampler) -> Dynamic {
    let exact = setting.read(sampler);
    if setting.is_whole() {
        return (exact as INT).into();
    }
    (exact as f32).to_string().parse().unwrap_or(exact).into()
}

/// A number that counts something.
fn count(number: INT, what: &str) -> Fallible<usize> {
    let wrong = || fail(format!("`{what}` must be at least 0, not {number}"));
    usize::try_from(number).map_err(|_| wrong())
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// How tokens are chosen, a map; a map with some settings changes those and leaves the others.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat();
    /// chat.sampler = #{ temperature: 0.5 };
    /// assert(chat.sampler.temperature == 0.5 && chat.sampler.top_p == 0.3);
    /// ```
    #[rhai_fn(get = "sampler", return_raw, pure)]
    pub fn sampler(this: &mut Chat) -> Fallible<Map> {
        Ok(shown(&this.look()?.options.sampler))
    }

    #[rhai_fn(set = "sampler", return_raw, pure)]
    pub fn set_sampler(this: &mut Chat, settings: Map) -> Fallible<()> {
        let sampler = changed(&this.model, this.look()?.options.sampler.clone(), settings)?;
        this.talk()?.options.sampler = sampler;
        Ok(())
    }

    /// How many tokens an answer may have; can be changed.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat();
    /// chat.max_tokens = 3;
    /// assert(chat.say("Hello").tokens.len <= 3);
    /// ```
    #[rhai_fn(get = "max_tokens", return_raw, pure)]
    pub fn max_tokens(this: &mut Chat) -> Fallible<INT> {
        Ok(this.look()?.options.max_tokens as INT)
    }

    #[rhai_fn(set = "max_tokens", return_raw, pure)]
    pub fn set_max_tokens(this: &mut Chat, tokens: INT) -> Fallible<()> {
        this.talk()?.options.max_tokens = count(tokens, "max_tokens")?;
        Ok(())
    }

    /// What the seeds of the answers are counted from, `()` where the session draws them; can be
    /// changed.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ max_tokens: 3 });
    /// chat.seed = 7;
    /// assert(chat.say("Hello").seed == 7);
    /// ```
    #[rhai_fn(get = "seed", return_raw, pure)]
    pub fn chat_seed(this: &mut Chat) -> Fallible<Dynamic> {
        Ok(this.look()?.seed.map_or(Dynamic::UNIT, |seed| (seed as INT).into()))
    }

    #[rhai_fn(set = "seed", return_raw, pure)]
    pub fn set_chat_seed(this: &mut Chat, seed: INT) -> Fallible<()> {
        this.talk()?.seed = Some(seed as u64);
        Ok(())
    }

    /// What is said once before the first turn; can be changed at the start only, where nothing
    /// has been read yet.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ system: "Be brief." });
    /// chat.system = "Be kind.";
    /// assert(chat.prompt("Hi").starts_with("System: Be kind."));
    /// ```
    #[rhai_fn(get = "system", return_raw, pure)]
    pub fn system(this: &mut Chat) -> Fallible<String> {
        Ok(this.look()?.template.system.clone().unwrap_or_default())
    }

    #[rhai_fn(set = "system", return_raw, pure)]
    pub fn set_system(this: &mut Chat, content: &str) -> Fallible<()> {
        let mut talk = this.talk()?;
        if talk.number() != 0 {
            return Err(fail(
                "what the system says was read before the first turn; chat.jump(0) goes back \
                 there, chat.reset() forgets all turns",
            ));
        }
        talk.template.system = Some(content.to_string()).filter(|text| !text.is_empty());
        Ok(())
    }

    /// Bytes of all states that the chat keeps, each counted once.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").new_chat().bytes == 2560);
    /// ```
    #[rhai_fn(get = "bytes", return_raw, pure)]
    pub fn chat_bytes(this: &mut Chat) -> Fallible<INT> {
        Ok(this.look()?.bytes() as INT)
    }

    /// Bytes that the states may take; can be changed. Beyond it older ones are dropped, and read
    /// again when somebody goes back there: the same, bit for bit.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ max_tokens: 2 });
    /// chat.budget = 3 * chat.state.bytes;
    /// for i in 0..6 { chat.say("Hello"); }
    /// chat.jump(1);
    /// assert(chat.bytes <= chat.budget);
    /// ```
    #[rhai_fn(get = "budget", return_raw, pure)]
    pub fn budget(this: &mut Chat) -> Fallible<INT> {
        Ok(this.look()?.budget() as INT)
    }

    #[rhai_fn(set = "budget", return_raw, pure)]
    pub fn set_budget(this: &mut Chat, bytes: INT) -> Fallible<()> {
        this.talk()?.set_budget(count(bytes, "budget")?);
        Ok(())
    }

    /// How many tokens have been read on the way to here.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv7").new_chat(#{ max_tokens: 2 });
    /// chat.say("Hi");
    /// assert(chat.tokens_read > "User: Hi\n\nAssistant:".len());
    /// ```
    #[rhai_fn(get = "tokens_read", return_raw, pure)]
    pub fn tokens_read(this: &mut Chat) -> Fallible<INT> {
        Ok(this.look()?.tokens() as INT)
    }
}
