//! The options of `new_trainer`.

use crate::host::{Fallible, Host, fail, number, words};
use crate::options::OptionMap;
use crate::train::recipes::{Optimizer, Schedule};
use rhai::{Dynamic, Map};
use rwkv_engine::train::{Carry, Pattern, Precision, Rule, Settings, Start, Tune};

/// Rows of a batch that are drawn where none is given.
const ROWS: i64 = 8;

/// What `new_trainer` was told.
pub struct Choices {
    /// What the engine is told.
    pub settings: Settings,
    /// Rows of a batch that is drawn from a data set.
    pub batch_size: usize,
}

/// Reads the options.
///
/// # Errors
/// When one is of the wrong kind or none that is known.
pub fn choices(host: &Host, options: Map) -> Fallible<Choices> {
    let usual = Settings::default();
    let mut options = OptionMap::new("new_trainer", options);
    let rule = recipe::<Optimizer>(&mut options, "optimizer", "optim::adam(#{ … })")?;
    let schedule = recipe::<Schedule>(&mut options, "schedule", "optim::cosine(#{ … })")?;
    let seed = options.optional_integer("seed", ..)?.map_or_else(|| host.next_seed(), |s| s as u64);
    let count = |n: i64| n as usize;
    let settings = Settings {
        schedule: schedule.map_or(usual.schedule, |schedule| schedule.0),
        rule: rule.map_or(Rule::default(), |rule| rule.0),
        grad_clip: options.number("grad_clip", usual.grad_clip, 0.0..)?,
        l2wrap: options.number("l2wrap", usual.l2wrap, 0.0..)?,
        accumulate: count(options.integer("accumulate", 1, 1..=1 << 20)?),
        freeze: options.texts("freeze")?.into_iter().map(Pattern).collect(),
        rates: rates(&mut options)?,
        carry: options.one_or_first("carry", &Carry::NAMES)?,
        chunk: count(options.integer("chunk", 0, 0..=1 << 30)?),
        restart: options.number("restart", usual.restart, 0.0..=1.0)?,
        start: start(&mut options)?,
        tune: tune(&mut options)?,
        precision: options.one_or_first("precision", &PRECISIONS)?,
        recompute: options.flag("recompute", false)?,
        seed,
    };
    let batch_size = count(options.integer("batch_size", ROWS, 1..=1 << 20)?);
    options.finish()?;
    Ok(Choices { settings, batch_size })
}

const PRECISIONS: [(&str, Precision); 2] = [("f32", Precision::F32), ("bf16", Precision::Bf16)];

/// A value made by a function of `optim::`.
fn recipe<T: Clone + 'static>(
    options: &mut OptionMap,
    key: &'static str,
    maker: &str,
) -> Fallible<Option<T>> {
    let Some(value) = options.take(key) else { return Ok(None) };
    let wrong =
        fail(format!("new_trainer: `{key}` must be made by {maker}, not {}", words(&value)));
    value.try_cast::<T>().map(Some).ok_or(wrong)
}

fn rates(options: &mut OptionMap) -> Fallible<Vec<(Pattern, f64)>> {
    let Some(value) = options.take("rates") else { return Ok(Vec::new()) };
    let Some(map) = value.read_lock::<Map>() else {
        let found = words(&value);
        return Err(fail(format!("new_trainer: `rates` must be a map of patterns, not {found}")));
    };
    let rate = |(pattern, value): (&rhai::Identifier, &Dynamic)| {
        let rate = number(value, "new_trainer: a number of `rates`")?;
        if rate < 0.0 {
            return Err(fail(format!("new_trainer: the rate of `{pattern}` must not be negative")));
        }
        Ok((Pattern(pattern.to_string()), rate))
    };
    map.iter().map(rate).collect()
}

fn start(options: &mut OptionMap) -> Fallible<Start> {
    let strength = options.number("noise", 1.0, 0.0..)?;
    let known =
        [("zero", Start::Zero), ("learned", Start::Learned), ("noise", Start::Noise { strength })];
    options.one_or_first("init_state", &known)
}

fn tune(options: &mut OptionMap) -> Fallible<Tune> {
    let rank = options.integer("rank", 8, 1..=1 << 16)?;
    let alpha = options.number("alpha", 2.0 * rank as f64, 0.0..)?;
    let targets = match options.texts("targets")? {
        none if none.is_empty() => vec!["*.att.*".to_string(), "*.ffn.*".to_string()],
        some => some,
    };
    let targets = targets.into_iter().map(Pattern).collect();
    let known = [
        ("full", Tune::Full),
        ("lora", Tune::Lora { rank: rank as usize, alpha, targets }),
        ("state", Tune::State),
    ];
    options.one_or_first("tune", &known)
}
