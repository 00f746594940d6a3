//! The form of a text, read from an option map.

use crate::host::{Fallible, engine_failure, fail, words};
use crate::options::OptionMap;
use rhai::Dynamic;
use rwkv_engine::constrain::Form;

/// Reads what the text has to look like: at most one of `choices`, `regex`, `json_schema` and
/// `grammar`.
///
/// # Errors
/// When one is of the wrong type, and for two of them.
pub fn form(options: &mut OptionMap) -> Fallible<Option<Form>> {
    let texts = |value: &Dynamic| {
        let texts = value.clone().into_typed_array::<String>();
        texts.map_err(|_| fail("`choices` must be an array of strings"))
    };
    let text = |key: &str, value: &Dynamic| {
        let wrong = || fail(format!("`{key}` must be a string, not {}", words(value)));
        value.clone().into_string().map_err(|_| wrong())
    };
    let mut forms = Vec::new();
    for key in ["choices", "regex", "json_schema", "grammar"] {
        let Some(value) = options.take(key) else { continue };
        forms.push(match key {
            "choices" => Form::Choices(texts(&value)?),
            "regex" => Form::Regex(text(key, &value)?),
            "grammar" => Form::Grammar(text(key, &value)?),
            _ => Form::json_schema(&value).map_err(engine_failure)?,
        });
    }
    if let [first, second, ..] = &forms[..] {
        let (first, second) = (first.name(), second.name());
        return Err(fail(format!("`{first}` and `{second}` exclude each other; give one of them")));
    }
    Ok(forms.pop())
}
