//! How quick a model is, for `rwkv bench`.

use crate::{Table, View};
use rwkv_engine::device::choose;
use rwkv_engine::measure::{self, Limits, Report, Speeds};
use rwkv_engine::rwkv::Version;
use rwkv_engine::weights::Keep;
use std::collections::BTreeMap;
use std::path::Path;

/// Writes a model of random numbers: version `7`, size `0.1b`.
///
/// # Errors
/// In one sentence, when there is no such version or size, and when the file cannot be written.
pub fn write_random(path: &Path, version: &str, size: &str) -> Result<(), String> {
    let named = Version::named(&format!("rwkv{version}"));
    let version = named.ok_or_else(|| format!("there is no version `{version}`."))?;
    measure::write_random(path, version, size).map_err(|error| format!("{error:#}"))
}

/// The ways that a model is measured in: names, how it is kept, and whether zeros are left out.
const WAYS: [(&str, Keep, bool); 5] = [
    ("stored", Keep::AsStored, false),
    ("sparse", Keep::AsStored, true),
    ("q8", Keep::Q8, false),
    ("q4", Keep::Q4, false),
    ("f32", Keep::F32, false),
];

/// Names of the ways a model is measured in.
pub fn ways() -> impl Iterator<Item = &'static str> {
    WAYS.into_iter().map(|(name, ..)| name)
}

/// Measures a model kept in one way, and tells it as JSON for [`Measured::add`].
///
/// # Errors
/// In one sentence, when there is no such way, and when the model cannot be loaded.
pub fn speeds(model: &str, way: &str) -> Result<String, String> {
    let Some((_, keep, sparse)) = WAYS.into_iter().find(|(name, ..)| *name == way) else {
        return Err(format!("there is no way `{way}` to keep a model."));
    };
    let measured = choose("cpu").and_then(|place| Speeds::of(model, keep, sparse, &place));
    let speeds = measured.map_err(|error| format!("{error:#}"))?;
    Ok(speeds.to_json())
}

/// What was measured in one run.
#[derive(Debug)]
pub struct Measured(Report);

impl Measured {
    /// A report that knows the limits of this machine.
    pub fn new(model: String, threads: usize) -> Self {
        let (limits, start_to_first) = (Limits::measure(), f64::MAX);
        Self(Report { model, threads, limits, start_to_first, kept: BTreeMap::new() })
    }

    /// Looks at the limits of this machine once more: other programs may have used it the first time.
    pub fn look_again(&mut self) {
        self.0.limits = self.0.limits.or(Limits::measure());
    }

    /// Adds the seconds that it took from the start of the program to the first token; the least
    /// count.
    pub fn started(&mut self, seconds: f64) {
        self.0.start_to_first = self.0.start_to_first.min(seconds);
    }

    /// Adds what [`speeds`] told.
    ///
    /// # Errors
    /// When it is something else.
    pub fn add(&mut self, name: &'static str, json: &str) -> Result<(), String> {
        let speeds = Speeds::from_json(json).map_err(|error| format!("{error:#}"))?;
        self.0.kept.insert(name, speeds);
        Ok(())
    }

    /// A table, or JSON with seconds, bytes and what happens in a second.
    pub fn view(&self, json: bool) -> View {
        let Report { model, threads, limits, start_to_first, kept } = &self.0;
        if json {
            return View::Text(self.0.to_json());
        }
        let giga = |number: f64, unit: &str| format!("{:.1} {unit}", number / 1e9);
        let line = |what: &str, here: String| vec![what.to_owned(), here, String::new()];
        let mut rows = vec![
            line("memory read by one thread", giga(limits.read_by_one, "GB/s")),
            line(&format!("memory read by {threads}"), giga(limits.read, "GB/s")),
            line("products of f32", giga(limits.f32, "GFLOP/s")),
            line("products of bf16", giga(limits.bf16, "GFLOP/s")),
            line("start to first token", milliseconds(*start_to_first)),
        ];
        let ways = ways().filter_map(|way| Some((way, kept.get(way)?)));
        rows.extend(ways.flat_map(|(way, speeds)| table(way, speeds, limits)));
        View::Table(Table::new(&[model, "here", "share of the limit"], rows))
    }
}

/// Rows about a model kept in one way.
fn table(way: &str, speeds: &Speeds, limits: &Limits) -> Vec<Vec<String>> {
    let Speeds { load, first, decode, texts, prefill, bytes, work, memory } = *speeds;
    let share = |speed: f64, limit: f64, what: &str| {
        format!("{:.0} % of {limit:.0}: {what}", speed / limit * 100.0)
    };
    let line =
        |what: &str, here: String, limit: String| vec![format!("{way}: {what}"), here, limit];
    let speed = |speed: f64| format!("{speed:.1} tokens/s");
    let read = format!("{:.1} MB for each", bytes / 1e6);
    let (rate, name) = if way == "f32" { (limits.f32, "f32") } else { (limits.bf16, "bf16") };
    let products = format!("{:.0} MFLOP for each, {name}", work / 1e6);
    vec![
        line("load", milliseconds(load), String::new()),
        line("first token", milliseconds(first), String::new()),
        line("decoding", speed(decode), share(decode, limits.read / bytes, &read)),
        line("decoding 8 texts", speed(texts), format!("{:.1} × one", texts / decode)),
        line("prompt of 512", speed(prefill), share(prefill, rate / work, &products)),
        line("most memory", format!("{:.0} MB", memory / 1e6), String::new()),
    ]
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}
