//! The settings of sampling, read from an option map.

use crate::host::{Fallible, engine_failure, fail, number, words};
use crate::options::OptionMap;
use rhai::{Array, Dynamic, Map};
use rwkv_engine::sample::{Order, SETTINGS, Sampler};
use rwkv_engine::tokenizer::Tokenizer;
use std::collections::BTreeMap;

/// Reads what a sampler can be told; what is absent stays as in `base`. The tokenizer finds the ids
/// of tokens given by their text.
///
/// # Errors
/// When a setting is of the wrong type or out of its range.
pub fn sampler_over(
    options: &mut OptionMap,
    base: Sampler,
    tokenizer: Option<&Tokenizer>,
) -> Fallible<Sampler> {
    let mut sampler = base;
    for setting in SETTINGS {
        let value = options.number(setting.name, setting.read(&sampler), ..)?;
        setting.write(&mut sampler, value).map_err(engine_failure)?;
    }
    sampler.order = order(options, sampler.order)?;
    sampler.exact_top_p = options.flag("exact_top_p", sampler.exact_top_p)?;
    sampler.ban = token_list(options, "ban", sampler.ban, tokenizer)?;
    if let Some(value) = options.take("logit_bias") {
        sampler.bias = bias(&value, tokenizer)?;
    }
    sampler.check().map_err(engine_failure)?;
    Ok(sampler)
}

fn order(options: &mut OptionMap, base: Order) -> Fallible<Order> {
    let Some(value) = options.take("order") else { return Ok(base) };
    let known = Order::NAMES.iter().find(|(name, _)| value.to_string() == *name);
    known.map(|(_, order)| *order).ok_or_else(|| {
        let names: Vec<_> = Order::NAMES.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        fail(format!("`order` must be {}, not {value}", names.join(" or ")))
    })
}

/// Tokens, by their ids or their texts; what is absent stays as in `base`.
///
/// # Errors
/// When it is no array, or something in it is no token.
pub fn token_list(
    options: &mut OptionMap,
    key: &'static str,
    base: Vec<u32>,
    tokenizer: Option<&Tokenizer>,
) -> Fallible<Vec<u32>> {
    let Some(value) = options.take(key) else { return Ok(base) };
    let Some(items) = value.read_lock::<Array>() else {
        return Err(fail(format!("`{key}` must be an array of token ids, not {}", words(&value))));
    };
    items.iter().map(|item| token(key, item, tokenizer)).collect()
}

/// What is added to logits: a map from text or id, or an array of pairs.
fn bias(value: &Dynamic, tokenizer: Option<&Tokenizer>) -> Fallible<BTreeMap<u32, f32>> {
    let wrong = || {
        let got = words(value);
        fail(format!(
            "`logit_bias` must be a map like #{{ \" the\": -2 }} or pairs like [[11, -2]], not {got}"
        ))
    };
    let pairs: Vec<(Dynamic, Dynamic)> = if let Some(map) = value.read_lock::<Map>() {
        // The keys of a map are texts; one of digits is meant as an id.
        let key = |key: &str| key.parse::<i64>().map_or_else(|_| key.into(), Dynamic::from);
        map.iter().map(|(name, value)| (key(name), value.clone())).collect()
    } else {
        let pair = |item: &Dynamic| {
            let [token, bias] = <[_; 2]>::try_from(item.clone().try_cast::<Array>()?).ok()?;
            Some((token, bias))
        };
        let list = value.read_lock::<Array>().ok_or_else(wrong)?;
        list.iter().map(pair).collect::<Option<_>>().ok_or_else(wrong)?
    };
    let add = |(key, bias): (Dynamic, Dynamic)| {
        let bias = number(&bias, "each number in `logit_bias`")?;
        Ok((token("logit_bias", &key, tokenizer)?, bias as f32))
    };
    pairs.into_iter().map(add).collect()
}

/// The token that an id or a text stands for.
fn token(option: &str, value: &Dynamic, tokenizer: Option<&Tokenizer>) -> Fallible<u32> {
    if let Ok(id) = value.as_int() {
        return u32::try_from(id).map_err(|_| fail(format!("`{option}` holds {id}, no token id")));
    }
    let (true, Some(tokenizer)) = (value.is_string(), tokenizer) else {
        let got = words(value);
        return Err(fail(format!("`{option}` holds {got}, which is no token id")));
    };
    let text = value.to_string();
    match tokenizer.encode(&text).map_err(engine_failure)?[..] {
        [token] => Ok(token),
        ref tokens => Err(fail(format!(
            "`{option}` holds {text:?}, which is {} tokens, not one: {tokens:?}",
            tokens.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(code: &str) -> Fallible<Sampler> {
        let map = rhai::Engine::new().eval::<Map>(code).unwrap();
        let mut options = OptionMap::new("generate", map);
        let sampler = sampler_over(&mut options, Sampler::plain(), Some(&Tokenizer::world()))?;
        options.finish()?;
        Ok(sampler)
    }

    #[test]
    fn every_setting_can_be_told_by_its_name() {
        for setting in SETTINGS {
            let sampler = read(&format!("#{{ {}: 1 }}", setting.name)).unwrap();
            assert_eq!(setting.read(&sampler), 1.0, "{}", setting.name);
        }
        let sampler = read("#{ order: \"hf\", exact_top_p: true }").unwrap();
        assert!(sampler.order == Order::HuggingFace && sampler.exact_top_p);
    }

    #[test]
    fn the_manual_names_every_setting() {
        let page = crate::tests::Desk::new().session.help("generate", 80);
        let missing = SETTINGS.iter().filter(|one| !page.contains(&format!("`{}`", one.name)));
        assert_eq!(missing.map(|one| one.name).collect::<Vec<_>>(), [""; 0], "{page}");
    }

    #[test]
    fn tokens_are_told_by_id_and_by_text() {
        let sampler = read("#{ ban: [3, \"\\n\\n\", \"User\"] }").unwrap();
        assert_eq!(sampler.ban, [3, 261, 24281]);
        let expected = BTreeMap::from([(11, -2.0), (24281, 1.5)]);
        assert_eq!(read("#{ logit_bias: #{ User: 1.5, \"11\": -2 } }").unwrap().bias, expected);
        let pairs = "#{ logit_bias: [[\"User\", 1.5], [11, -2]] }";
        assert_eq!(read(pairs).unwrap().bias, expected);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (code, said) in [
            ("#{ top_p: 2 }", "top_p is 2; give a number from 0 to 1: it keeps"),
            ("#{ top_k: 1.5 }", "top_k is 1.5; give a whole number from 0 upwards"),
            ("#{ min_p: \"a\" }", "generate: `min_p` must be a number, not a string"),
            ("#{ order: \"hg\" }", "`order` must be \"rwkv\" or \"hf\", not hg"),
            ("#{ ban: 3 }", "`ban` must be an array of token ids, not an integer"),
            ("#{ ban: [-1] }", "`ban` holds -1, no token id"),
            ("#{ ban: [\"two words of it\"] }", "tokens, not one: ["),
            ("#{ logit_bias: 1 }", "`logit_bias` must be a map"),
            ("#{ logit_bias: [[1]] }", "`logit_bias` must be a map"),
            ("#{ logit_bias: #{ User: \"x\" } }", "each number in `logit_bias` must be a number"),
            ("#{ mirostad: 1 }", "did you mean `mirostat`?"),
        ] {
            let error = read(code).unwrap_err().to_string();
            assert!(error.contains(said), "{code}: {error}");
        }
    }
}
