//! GPT mode against RNN mode, as a report.

use super::quoted;
use crate::charts::short;
use crate::host::{Fallible, Host, engine_failure};
use crate::model::Model;
use crate::options::OptionMap;
use crate::report::Report;
use crate::state::State;
use crate::tensor::Tensor;
use crate::{Heatmap, Table, View};
use rhai::{Dynamic, INT, Map};
use rwkv_engine::compare::{Comparison, Cuts, Way};
use rwkv_engine::info::amount;
use rwkv_engine::tensor::Array;

/// Reads the text in every way.
pub fn report(host: &Host, model: &Model, tokens: &Dynamic, options: Map) -> Fallible<Report> {
    let mut options = OptionMap::new("compare_modes", options);
    let state = model.first_state("compare_modes", &mut options)?;
    let ids = model.ids(tokens)?;
    let count = ids.len() as INT;
    let cuts = Cuts {
        hand_over: options.integer("hand_over", count / 2, 0..=count)? as usize,
        chunk: options.integer("chunk", 16, 1..)? as usize,
    };
    options.finish()?;
    let found = model.engine().compare_modes(&ids, &state, cuts, &host.interrupt);
    let found = found.map_err(engine_failure)?;
    let view = View::Group(vec![
        View::Table(costs(&found)),
        View::Words(memory(&found)),
        View::Table(layers(&found)),
        View::Heatmap(picture(model, &found)),
    ]);
    let title = format!("GPT mode and RNN mode on {count} tokens of {}", model.engine().name);
    Ok(Report::new(title, view, fields(model, found)))
}

/// A row for each way: what it costs and how far it is from one pass.
fn costs(found: &Comparison) -> Table {
    let tokens = found.tokens.len() as f64;
    let cells = |name: &str, seconds: f64, far: [String; 3]| {
        let [ms, each] = [seconds * 1e3, seconds * 1e3 / tokens].map(short);
        [vec![name.to_string(), ms, each], far.to_vec()].concat()
    };
    let row = |way: &Way| {
        let state = way.states.iter().map(|far| far.max_abs).fold(0.0, f64::max);
        let far = [f64::from(way.residual.max()), f64::from(way.logits.max()), state];
        cells(&way.name, way.seconds, far.map(short))
    };
    let one = cells("one pass", found.seconds, ["", "", ""].map(String::from));
    let rows = std::iter::once(one).chain(found.ways.iter().map(row)).collect();
    let columns = ["read", "ms", "ms a token", "x apart", "logits apart", "state apart"];
    Table::new(&columns, rows)
}

/// Where the state stands, and what a transformer would keep.
fn memory(found: &Comparison) -> String {
    let tokens = found.tokens.len();
    let (state, cache) = (amount(found.state.bytes()), amount(found.cache_per_token * tokens));
    format!(
        "The state stands after {} tokens and takes {state}, as it did before them. A transformer \
         with as many layers and channels keeps 2 x 4 bytes x layers x channels for each token: \
         {cache} by now, more than the state from {} tokens on.",
        found.state.past.tokens,
        found.break_even()
    )
}

/// A row for each layer: how large the residual stream is and how far the ways are apart in it.
fn layers(found: &Comparison) -> Table {
    let largest = |x: &Array, layer: usize| {
        x.at(layer as i64).map_or(String::new(), |row| short(f64::from(row.max())))
    };
    let names = found.ways.iter().map(|way| way.name.clone());
    let columns = ["layer", "largest number"].map(String::from).into_iter().chain(names);
    let row = |layer: usize| {
        let ways = found.ways.iter().map(|way| largest(&way.residual, layer));
        [layer.to_string(), largest(&found.size, layer)].into_iter().chain(ways).collect()
    };
    let rows = (0..found.size.shape()[0]).map(row).collect();
    Table { columns: columns.collect(), rows }
}

/// How far token by token is from one pass, as a power of ten, for each layer and position.
fn picture(model: &Model, found: &Comparison) -> Heatmap {
    let columns = found.tokens.len().max(1);
    let power = |x: f32| f64::from(x).max(1e-9).log10();
    let values: Vec<f64> = found.ways[0].residual.values().into_iter().map(power).collect();
    let first = found.tokens.first().map_or(String::new(), |id| quoted(model, *id));
    Heatmap {
        title: format!("RNN - GPT, power of ten [layer, position], from {first} on"),
        rows: values.chunks(columns).map(<[f64]>::to_vec).collect(),
        ..Heatmap::default()
    }
}

fn fields(model: &Model, found: Comparison) -> Vec<(&'static str, Dynamic)> {
    let tensor = |x: &Array| Dynamic::from(Tensor::from(x.clone()));
    let names = ["rnn", "chunks", "handed_over"];
    let seconds =
        names.iter().zip(&found.ways).map(|(name, way)| ((*name).into(), way.seconds.into()));
    let seconds: Map = seconds.chain([("gpt".into(), found.seconds.into())]).collect();
    let mut fields: Vec<_> =
        names.into_iter().zip(found.ways.iter().map(|way| tensor(&way.residual))).collect();
    fields.extend([
        ("logits", tensor(&found.ways[0].logits)),
        ("seconds", seconds.into()),
        ("state_bytes", (found.state.bytes() as INT).into()),
        ("cache_bytes", ((found.cache_per_token * found.tokens.len()) as INT).into()),
        ("break_even", (found.break_even() as INT).into()),
        ("state", Dynamic::from(State::of(model, found.state))),
    ]);
    fields
}
