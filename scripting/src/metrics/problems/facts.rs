//! Facts of the user, and numbers in lists of options.

use crate::host::{Fallible, Host, Value, engine_failure, fail, words};
use crate::lists::floats;
use crate::options::OptionMap;
use rhai::{Array, Map};
use rwkv_engine::evaluate::{Facts, sentences};

/// What is around facts of the user unless they say otherwise.
const WEATHER: &str = "It rains. The sun shines. The wind blows. The sky is grey. Leaves fall. It is \
                       cold. A cloud goes by. The night comes.";

/// The option `facts` of the call `what`, if it is there.
pub fn facts(what: &'static str, options: &mut OptionMap) -> Fallible<Option<Facts>> {
    let Some(value) = options.take("facts") else { return Ok(None) };
    let wrong = || {
        let got = words(&value);
        fail(format!(
            "{what}: `facts` must be #{{fact, question, answer, keys, values}}, not {got}"
        ))
    };
    let map = value.clone().try_cast::<Map>().ok_or_else(wrong)?;
    let mut options = OptionMap::new(what, map);
    let facts = Facts {
        fact: options.text("fact", "")?,
        question: options.text("question", "")?,
        answer: options.text("answer", "")?,
        keys: options.texts("keys")?,
        values: options.texts("values")?,
    };
    options.finish()?;
    facts.check().map_err(engine_failure)?;
    Ok(Some(facts))
}

/// The sentences of the option `filler`: a text, or `#{ file: path }`.
pub fn filler(host: &Host, what: &'static str, options: &mut OptionMap) -> Fallible<Vec<String>> {
    let Some(value) = options.take("filler") else { return Ok(sentences(WEATHER)) };
    let text = match value.read_lock::<Map>() {
        None if value.is_string() => value.to_string(),
        None => {
            let got = words(&value);
            return Err(fail(format!(
                "{what}: `filler` must be a text or #{{ file: path }}, not {got}"
            )));
        }
        Some(map) => {
            let mut inner = OptionMap::new(what, map.clone());
            let path = inner.text("file", "")?;
            inner.finish()?;
            let text = std::fs::read_to_string(host.readable(&path));
            text.map_err(|error| fail(format!("cannot read {path}: {error}")))?
        }
    };
    let found = sentences(&text);
    if found.is_empty() { Err(fail(format!("{what}: `filler` is empty"))) } else { Ok(found) }
}

/// An array of numbers within a range, not empty.
pub fn numbers(
    what: &'static str,
    options: &mut OptionMap,
    key: &'static str,
    usual: &[f64],
    (least, most): (f64, f64),
) -> Fallible<Vec<f64>> {
    let Some(value) = options.take(key) else { return Ok(usual.to_vec()) };
    let wrong = |got: String| {
        fail(format!(
            "{what}: `{key}` must be an array of numbers from {least} to {most}, not {got}"
        ))
    };
    let list: &Value = &value;
    let list = list.read_lock::<Array>().ok_or_else(|| wrong(words(&value)))?;
    let list = floats(&list, what)?;
    if list.is_empty() {
        return Err(wrong("an empty one".into()));
    }
    match list.iter().find(|x| !(least..=most).contains(*x)) {
        Some(other) => Err(wrong(other.to_string())),
        None => Ok(list),
    }
}

/// The same of whole numbers from 1 on.
pub fn sizes(
    what: &'static str,
    options: &mut OptionMap,
    key: &'static str,
    usual: &[usize],
) -> Fallible<Vec<usize>> {
    let usual: Vec<f64> = usual.iter().map(|size| *size as f64).collect();
    let list = numbers(what, options, key, &usual, (1.0, f64::from(1 << 26)))?;
    if let Some(part) = list.iter().find(|x| x.fract() != 0.0) {
        return Err(fail(format!("{what}: `{key}` must be whole numbers, not {part}")));
    }
    Ok(list.into_iter().map(|size| size as usize).collect())
}
