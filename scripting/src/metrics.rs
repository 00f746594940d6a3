//! What a model can do, in numbers (`metrics::..`): reports of every measurement of the engine.

mod items;
mod matrices;
mod pictures;
mod problems;
mod sources;
mod texts;

use crate::charts::short;
use crate::host::{Fallible, Host, stopped};
use crate::model::Model;
use crate::options::OptionMap;
use crate::report::Report;
use crate::{Table, View};
use rhai::{Dynamic, INT, Map, Module};
use rwkv_engine::evaluate::{Mean, Skips};
use rwkv_engine::state::State as Memory;

/// The functions under `metrics::`.
pub fn module() -> Module {
    let mut module = texts::module();
    module.combine(items::module());
    module.combine(problems::module());
    module.combine(matrices::module());
    module.combine(pictures::module());
    module
}

/// What stands beside the measurements and needs no name of theirs.
pub use matrices::free as free_module;

/// Where a measurement begins to read.
struct Start {
    state: Memory,
    /// Whether token 0 is read first.
    bos: bool,
}

/// The options that all measurements of a model have.
fn begin(what: &'static str, model: &Model, options: Map) -> Fallible<(OptionMap, Start)> {
    let given = options.get("state").is_some_and(|state| !state.is_unit());
    let mut options = OptionMap::new(what, options);
    let state = model.first_state(what, &mut options)?;
    // A state goes on with its text; without one a text begins.
    let bos = options.flag("bos", !given)?;
    Ok((options, Start { state, bos }))
}

/// The report of a measurement; of one that was interrupted it is kept for `ans`.
fn concluded(host: &Host, mut report: Report, complete: bool, measured: u64) -> Fallible<Report> {
    if complete {
        return Ok(report);
    }
    if measured > 0 {
        report.title += ", interrupted";
        host.partial.replace(Some(Dynamic::from(report)));
    }
    Err(stopped())
}

/// A line of a table: what it is, its value, and how sure it is.
fn figure(name: &str, value: f64, error: f64) -> Vec<String> {
    let sure = if error.is_nan() { String::new() } else { short(error) };
    vec![name.into(), short(value), sure]
}

/// Lines of [`figure`] as a table.
fn figures(rows: Vec<Vec<String>>) -> View {
    View::Table(Table::new(&["measure", "value", "standard error"], rows))
}

/// What was left out, as the end of a title; nothing where that was nothing.
fn left_out(skips: &Skips) -> String {
    if skips.count() == 0 { String::new() } else { format!(", left out: {}", skips.words()) }
}

fn count(number: u64) -> Dynamic {
    Dynamic::from(number as INT)
}

/// A share with its number of items and its standard error, as fields of a report.
fn share(mean: Mean, names: [&str; 2]) -> [(&str, Dynamic); 2] {
    [(names[0], mean.value().into()), (names[1], mean.standard_error().into())]
}
