//! The settings of sampling, read from an option map.

use crate::host::{Fallible, engine_failure, fail, words};
use crate::options::OptionMap;
use rhai::Array;
use rwkv_engine::sample::Sampler;

/// Reads what a sampler can be told; what is absent stays as the engine has it.
///
/// # Errors
/// When a setting is not a number or out of its range.
pub fn sampler_from(options: &mut OptionMap) -> Fallible<Sampler> {
    sampler_over(options, Sampler::default())
}

/// The same, over settings that hold where nothing is said.
///
/// # Errors
/// When a setting is not a number or out of its range.
pub fn sampler_over(options: &mut OptionMap, base: Sampler) -> Fallible<Sampler> {
    let mut number = |key, value: f32| options.number(key, f64::from(value), ..).map(|x| x as f32);
    let sampler = Sampler {
        temperature: number("temperature", base.temperature)?,
        top_p: number("top_p", base.top_p)?,
        presence_penalty: number("presence_penalty", base.presence_penalty)?,
        frequency_penalty: number("frequency_penalty", base.frequency_penalty)?,
        penalty_decay: number("penalty_decay", base.penalty_decay)?,
        top_k: options.integer("top_k", base.top_k as i64, 0..)? as usize,
        ban: ban(options, base.ban)?,
    };
    sampler.check().map_err(engine_failure)?;
    Ok(sampler)
}

fn ban(options: &mut OptionMap, base: Vec<u32>) -> Fallible<Vec<u32>> {
    let Some(value) = options.take("ban") else { return Ok(base) };
    let Some(ids) = value.read_lock::<Array>() else {
        return Err(fail(format!("`ban` must be an array of token ids, not {}", words(&value))));
    };
    let id = |id: &rhai::Dynamic| id.as_int().ok().and_then(|id| u32::try_from(id).ok());
    ids.iter()
        .map(|item| id(item).ok_or_else(|| fail("`ban` holds something that is no token id")))
        .collect()
}
