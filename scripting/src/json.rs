//! Values as JSON: what a program at the other end of a pipe can read.

use crate::View;
use crate::host::Value;
use crate::report::Report;
use crate::show::text_of;
use crate::state::State;
use crate::tensor::Tensor;
use crate::tokens::Tokens;
use rhai::plugin::*;
use rhai::{Array, Map, Module};
use serde_json::Value as Json;

/// The value as data: numbers, texts, lists and maps as themselves, tensors as nested lists, tables
/// as lists of objects, anything else as the text that `print` writes. What is not finite is null.
pub fn json_of(engine: &rhai::Engine, value: &Dynamic) -> Json {
    let value = value.clone().flatten();
    if value.is_unit() {
        return Json::Null;
    }
    if let Ok(yes) = value.as_bool() {
        return yes.into();
    }
    if let Ok(whole) = value.as_int() {
        return whole.into();
    }
    if let Ok(float) = value.as_float() {
        return float.into();
    }
    if let Some(items) = value.read_lock::<Array>() {
        return items.iter().map(|item| json_of(engine, item)).collect();
    }
    if let Some(map) = value.read_lock::<Map>() {
        return map.iter().map(|(key, item)| (key.to_string(), json_of(engine, item))).collect();
    }
    if let Some(report) = value.read_lock::<Report>() {
        let fields = report.fields().iter();
        return fields.map(|(key, item)| (key.to_string(), json_of(engine, item))).collect();
    }
    ours(&value).unwrap_or_else(|| text_of(engine, &value).into())
}

/// Types of ours that are more than a text.
fn ours(value: &Dynamic) -> Option<Json> {
    if let Some(tensor) = value.read_lock::<Tensor>() {
        return Some(nested(&tensor.array.values(), tensor.array.shape()));
    }
    if let Some(tokens) = value.read_lock::<Tokens>() {
        return Some(tokens.ids.iter().copied().collect());
    }
    if let Some(state) = value.read_lock::<State>() {
        return Some(state.view().value());
    }
    value.read_lock::<View>().map(|view| view.value())
}

/// Values in the order of memory as lists in lists.
fn nested(values: &[f32], shape: &[usize]) -> Json {
    match shape {
        [] => values.first().map_or(Json::Null, |value| short(*value)),
        [_] => values.iter().map(|value| short(*value)).collect(),
        [_, rest @ ..] => {
            let size = rest.iter().product::<usize>().max(1);
            values.chunks(size).map(|part| nested(part, rest)).collect()
        }
    }
}

/// The shortest number that reads as the same single, not the double beside it.
fn short(value: f32) -> Json {
    value.to_string().parse::<f64>().map_or(Json::Null, Json::from)
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// Any value as JSON on one line: tensors as lists in lists, tables as lists of objects; NaN
    /// and infinity as `null`.
    ///
    /// ```
    /// assert([1, 0.5, nan, "a"].to_json() == "[1,0.5,null,\"a\"]");
    /// assert(table([#{ a: 1 }]).to_json() == "[{\"a\":1}]");
    /// ```
    pub fn to_json(context: NativeCallContext, this: Value) -> String {
        super::json_of(context.engine(), &this).to_string()
    }

    /// The map as JSON on one line; NaN and infinity as `null`.
    ///
    /// ```
    /// assert(#{ loss: inf, step: 3 }.to_json() == "{\"loss\":null,\"step\":3}");
    /// ```
    #[rhai_fn(name = "to_json", pure)]
    pub fn map_to_json(context: NativeCallContext, this: &mut Map) -> String {
        super::json_of(context.engine(), &Dynamic::from(this.clone())).to_string()
    }
}
