//! From values of a script to views.

use crate::checkpoints::FileInfo;
use crate::generate::Generation;
use crate::host::harmless;
use crate::state::State;
use crate::tensor::Tensor;
use crate::{Heatmap, View};
use rhai::{Dynamic, Engine, ImmutableString};

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
    if let Some(made) = value.read_lock::<Generation>() {
        return made.view();
    }
    if let Some(tensor) = value.read_lock::<Tensor>().filter(|t| t.array.shape().len() == 2) {
        let map = Heatmap { rows: tensor.rows(), height: 8, ..Heatmap::default() };
        return View::Group(vec![View::Text(tensor.describe()), View::Heatmap(map)]);
    }
    View::Text(harmless(&text_of(engine, value)).into_owned())
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
