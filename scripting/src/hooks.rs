//! Hooks: what a script does with activations while a model reads, and writes left out.

use crate::host::{Fallible, fail, words};
use crate::model::Model;
use crate::options::OptionMap;
use crate::suggest::nearest;
use crate::tensor::{Tensor, tensor_of};
use rhai::{Array as List, Dynamic, EvalAltResult, FnPtr, INT, Map, NativeCallContext};
use rwkv_engine::model::KnockOut;
use rwkv_engine::rwkv::{Activation, Seen};
use rwkv_engine::tensor::Array;
use std::collections::BTreeSet;

/// What a script does with one activation while the model reads.
pub struct Hook {
    /// Which block; all of them where none is named.
    layer: Option<usize>,
    name: &'static str,
    action: Action,
}

enum Action {
    /// Shown the activation; what it returns takes its place.
    Call(FnPtr),
    /// Takes its place.
    Put(Array),
}

/// Reads `#{ "blocks.2.k": |x| .. }`.
///
/// # Errors
/// When it is no map of activations that the model has.
pub fn hooks(what: &str, model: &Model, value: &Dynamic) -> Fallible<Vec<Hook>> {
    let Some(map) = value.read_lock::<Map>() else {
        let got = words(value);
        return Err(fail(format!(
            "{what}: `hooks` must be a map from names to functions, not {got}"
        )));
    };
    let hook = |(place, value): (&rhai::Identifier, &Dynamic)| {
        let (layer, name) = place_of(model, place)?;
        let action = match value.clone().try_cast::<FnPtr>() {
            Some(call) => Action::Call(call),
            None => Action::Put(tensor_of(value)?.array),
        };
        Ok(Hook { layer, name, action })
    };
    map.iter().map(hook).collect()
}

/// Block and letter of `blocks.2.k`; no block for `blocks.*.k`.
///
/// # Errors
/// When the model has no such activation.
pub fn place_of(model: &Model, place: &str) -> Fallible<(Option<usize>, &'static str)> {
    let model = model.engine();
    let known = Activation::of(model.rwkv.version());
    let parts = place.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
    let Some((layer, name)) = parts else {
        return Err(fail(format!("`{place}` is no activation; write blocks.0.k, or blocks.*.k")));
    };
    let Some(found) = known.iter().find(|activation| activation.name == name) else {
        let hint = nearest(name, known.iter().map(|activation| activation.name))
            .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        let names: Vec<_> = known.iter().map(|activation| activation.name).collect();
        let (version, names) = (model.rwkv.version(), names.join(" "));
        return Err(fail(format!("{version} has no activation `{name}`{hint}  It has: {names}")));
    };
    match layer.parse().ok().filter(|layer| *layer < model.n_layer()) {
        Some(layer) => Ok((Some(layer), found.name)),
        None if layer == "*" => Ok((None, found.name)),
        None => {
            let last = model.n_layer() - 1;
            Err(fail(format!("there is no block `{layer}`; there are 0 to {last}, and * for all")))
        }
    }
}

/// Places from 0 to `count`, from one number or an array; negative ones count from the end.
///
/// # Errors
/// When there is no such place.
pub fn places(value: &Dynamic, what: &str, count: usize) -> Fallible<BTreeSet<usize>> {
    let items = match value.read_lock::<List>() {
        Some(items) => items.clone(),
        None => vec![value.clone()],
    };
    let place = |item: &Dynamic| {
        let index = item
            .as_int()
            .map_err(|_| fail(format!("`{what}` must be whole numbers, not {}", words(item))))?;
        let place = usize::try_from(if index < 0 { index + count as INT } else { index }).ok();
        let found = place.filter(|place| *place < count);
        found.ok_or_else(|| {
            fail(format!(
                "`{what}`: there is no {index}; it goes from 0 to {}",
                count.saturating_sub(1)
            ))
        })
    };
    items.iter().map(place).collect()
}

/// Reads `#{ positions: [..], layers: [..], heads: [..] }` for a text of so many tokens.
///
/// # Errors
/// When there is no such place.
pub fn knock_out(model: &Model, tokens: usize, value: Dynamic) -> Fallible<KnockOut> {
    let got = words(&value);
    let Some(map) = value.try_cast::<Map>() else {
        return Err(fail(format!("`knock_out` must be #{{ positions: [..] }}, not {got}")));
    };
    let mut options = OptionMap::new("knock_out", map);
    let (layers, heads) = (model.engine().n_layer(), model.engine().n_head());
    let mut read = |key, count| match options.take(key) {
        Some(value) => places(&value, key, count),
        None => Ok(BTreeSet::new()),
    };
    let knock_out = KnockOut {
        positions: read("positions", tokens)?,
        layers: read("layers", layers)?,
        heads: read("heads", heads)?,
    };
    options.finish()?;
    Ok(knock_out)
}

impl Hook {
    /// Whether it is for this activation.
    pub fn is_at(&self, seen: &Seen) -> bool {
        self.name == seen.name && self.layer.is_none_or(|layer| layer == seen.layer)
    }

    /// What is to take the place of `now`, if anything; `first` is the place of its first token.
    ///
    /// # Errors
    /// What the function of the script fails with.
    pub fn run(
        &self,
        context: &NativeCallContext,
        now: Array,
        first: usize,
    ) -> Fallible<Option<Array>> {
        let filled = |new: Array| match new.item() {
            Some(x) => Array::full(now.shape(), x),
            None => new,
        };
        let call = match &self.action {
            Action::Put(value) => return Ok(Some(filled(value.clone()))),
            Action::Call(call) => call,
        };
        let tensor = || Dynamic::from(Tensor::from(now.clone()));
        let alone = call.call_within_context::<Dynamic>(context, (tensor(),));
        let answer = match alone.map_err(|failure| *failure) {
            // It takes the place of the first token too.
            Err(EvalAltResult::ErrorFunctionNotFound(name, _))
                if name.starts_with(call.fn_name()) =>
            {
                call.call_within_context(context, (tensor(), first as INT))?
            }
            other => other?,
        };
        if answer.is_unit() {
            return Ok(None);
        }
        Ok(Some(filled(tensor_of(&answer)?.array)))
    }
}
