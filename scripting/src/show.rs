//! From values of a script to views.

use crate::charts::short;
use crate::checkpoints::FileInfo;
use crate::generate::Generation;
use crate::host::{Host, harmless};
use crate::image::Image;
use crate::json::json_of;
use crate::report::Report;
use crate::state::State;
use crate::tensor::Tensor;
use crate::tokens::Tokens;
use crate::{Table, View};
use rhai::{Array, Dynamic, Engine, ImmutableString, Map};

/// Columns of a picture that is a result at the prompt.
const PROMPT_WIDTH: usize = 40;

/// Arrays of so many items are always shown whole.
const SHORT: usize = 16;

/// The value as the session shows it: as a view, or as JSON where that is wanted.
pub fn shown(host: &Host, engine: &Engine, value: &Dynamic) -> View {
    if host.json.get() {
        return View::Text(json_of(engine, value).to_string());
    }
    view_of(engine, value)
}

/// The value as the prompt shows it.
pub fn view_of(engine: &Engine, value: &Dynamic) -> View {
    if let Some(view) = value.read_lock::<View>() {
        return view.clone();
    }
    if value.is_string() {
        return View::Text(format!("{:?}", value.to_string()));
    }
    if let Some(state) = value.read_lock::<State>() {
        return state.view();
    }
    if let Some(info) = value.read_lock::<FileInfo>() {
        return info.view();
    }
    if let Some(report) = value.read_lock::<Report>() {
        return report.view();
    }
    if let Some(made) = value.read_lock::<Generation>() {
        return made.view();
    }
    if let Some(tensor) = value.read_lock::<Tensor>() {
        return tensor.view();
    }
    if let Some(tokens) = value.read_lock::<Tokens>() {
        return tokens.view();
    }
    if let Some(image) = value.read_lock::<Image>() {
        let words = View::Words(text_of(engine, value));
        return View::Group(vec![words, image.view(PROMPT_WIDTH)]);
    }
    if let Some(rows) = value.read_lock::<Array>() {
        if let Some(table) = records(&rows) {
            return View::Table(table);
        }
        if rows.len() > SHORT {
            return View::Items(rows.iter().map(|item| item_of(engine, item)).collect());
        }
    }
    let text = harmless(&text_of(engine, value)).into_owned();
    // A value of ours says what it is in a line; texts and lists stay as they are.
    let ours = value.type_name().starts_with("rwkv_") && !text.contains('\n');
    if ours { View::Words(text) } else { View::Text(text) }
}

/// An item of a list, strings in quotes.
fn item_of(engine: &Engine, item: &Dynamic) -> String {
    match item.is_string() {
        true => format!("{:?}", item.to_string()),
        false => harmless(&text_of(engine, item)).into_owned(),
    }
}

/// Maps with the same keys and nothing but plain values, as a table.
fn records(rows: &Array) -> Option<Table> {
    let maps = rows.iter().map(|row| row.read_lock::<Map>()).collect::<Option<Vec<_>>>()?;
    let names: Vec<&str> = maps.first()?.keys().map(|name| name.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    let cell = |value: &Dynamic| match (value.as_float(), value.is_string()) {
        (Ok(number), _) => Some(short(number)),
        (_, true) => Some(format!("{:?}", value.to_string())),
        _ => (value.is_int() || value.is_bool()).then(|| value.to_string()),
    };
    let row = |map: &Map| {
        let same = map.keys().map(|name| name.as_str()).eq(names.iter().copied());
        same.then(|| map.values().map(cell).collect::<Option<Vec<_>>>()).flatten()
    };
    Some(Table::new(&names, maps.iter().map(|map| row(map)).collect::<Option<_>>()?))
}

/// The value as `print` writes it.
pub fn text_of(engine: &Engine, value: &Dynamic) -> String {
    let value = value.clone().flatten();
    if let Some(view) = value.read_lock::<View>() {
        return view.draw(&crate::Canvas::default());
    }
    let text = engine.eval_fn_call::<ImmutableString>("to_string", None, (value.clone(),));
    text.map_or_else(|_| value.to_string(), |text| text.to_string())
}

/// The name of the value's type in the words of scripts.
pub fn type_of(engine: &Engine, value: &Dynamic) -> String {
    crate::help::readable(engine.map_type_name(value.type_name()))
}
