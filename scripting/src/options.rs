//! Reader of option maps, the `#{ .. }` at the end of a call.

use crate::host::{Fallible, fail, number, words};
use crate::suggest::nearest;
use rhai::{Dynamic, Map};
use std::ops::RangeBounds;

/// Reads the options of one call and remembers which keys exist.
pub struct OptionMap {
    what: &'static str,
    map: Map,
    known: Vec<&'static str>,
}

impl OptionMap {
    /// Starts reading; `what` names the call in failures.
    pub fn new(what: &'static str, map: Map) -> Self {
        Self { what, map, known: Vec::new() }
    }

    /// The value under `key`, whatever it is; `()` counts as absent.
    pub fn take(&mut self, key: &'static str) -> Option<Dynamic> {
        self.known.push(key);
        self.map.remove(key).filter(|value| !value.is_unit())
    }

    /// A number within `range`.
    ///
    /// # Errors
    /// When it is not a number or out of range.
    pub fn number(
        &mut self,
        key: &'static str,
        default: f64,
        range: impl RangeBounds<f64> + std::fmt::Debug,
    ) -> Fallible<f64> {
        let Some(value) = self.take(key) else { return Ok(default) };
        let value = number(&value, &format!("{}: `{key}`", self.what))?;
        self.within(key, value, &range)
    }

    /// A whole number within `range`; `3.0` counts as whole.
    ///
    /// # Errors
    /// When it is not a whole number or out of range.
    pub fn integer(
        &mut self,
        key: &'static str,
        default: i64,
        range: impl RangeBounds<i64> + std::fmt::Debug,
    ) -> Fallible<i64> {
        Ok(self.optional_integer(key, range)?.unwrap_or(default))
    }

    /// A whole number within `range`, if it is there.
    ///
    /// # Errors
    /// When it is not a whole number or out of range.
    pub fn optional_integer(
        &mut self,
        key: &'static str,
        range: impl RangeBounds<i64> + std::fmt::Debug,
    ) -> Fallible<Option<i64>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let float = number(&value, &format!("{}: `{key}`", self.what))?;
        if float.fract() != 0.0 {
            let what = self.what;
            return Err(fail(format!("{what}: `{key}` must be a whole number, not {float}")));
        }
        self.within(key, value.as_int().unwrap_or(float as i64), &range).map(Some)
    }

    /// A yes or no.
    ///
    /// # Errors
    /// When it is not a bool.
    pub fn flag(&mut self, key: &'static str, default: bool) -> Fallible<bool> {
        let Some(value) = self.take(key) else { return Ok(default) };
        value.as_bool().map_err(|_| self.wrong(key, "true or false", &value))
    }

    /// A string.
    ///
    /// # Errors
    /// When it is not a string.
    pub fn text(&mut self, key: &'static str, default: &str) -> Fallible<String> {
        let Some(value) = self.take(key) else { return Ok(default.into()) };
        let wrong = self.wrong(key, "a string", &value);
        value.into_string().map_err(|_| wrong)
    }

    /// What a name stands for, if one is given; "" counts as none.
    ///
    /// # Errors
    /// When it is no known one.
    pub fn one_of<T: Clone>(
        &mut self,
        key: &'static str,
        known: &[(&str, T)],
    ) -> Fallible<Option<T>> {
        let said = self.text(key, "")?;
        if said.is_empty() {
            return Ok(None);
        }
        self.known_as(key, known, &said).map(Some)
    }

    /// What a name stands for; the first if none is given.
    ///
    /// # Errors
    /// When it is no known one.
    pub fn one_or_first<T: Clone>(
        &mut self,
        key: &'static str,
        known: &[(&str, T)],
    ) -> Fallible<T> {
        let said = self.text(key, known[0].0)?;
        self.known_as(key, known, &said)
    }

    fn known_as<T: Clone>(&self, key: &str, known: &[(&str, T)], said: &str) -> Fallible<T> {
        let found = known.iter().find(|(name, _)| *name == said);
        found.map(|(_, value)| value.clone()).ok_or_else(|| {
            let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
            let what = self.what;
            fail(format!("{what}: `{key}` must be one of {}, not {said}", names.join(", ")))
        })
    }

    /// One string or an array of them.
    ///
    /// # Errors
    /// When it is neither.
    pub fn texts(&mut self, key: &'static str) -> Fallible<Vec<String>> {
        let Some(value) = self.take(key) else { return Ok(Vec::new()) };
        let wrong = self.wrong(key, "a string or an array of strings", &value);
        if let Ok(text) = value.clone().into_string() {
            return Ok(vec![text]);
        }
        value.into_typed_array::<String>().map_err(|_| wrong)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// When there is a key that nobody asked for.
    pub fn finish(self) -> Fallible<()> {
        let Some(key) = self.map.keys().next() else { return Ok(()) };
        let what = self.what;
        let hint = nearest(key, self.known.iter().copied())
            .map_or(".".into(), |known| format!("; did you mean `{known}`?"));
        let list = self.known.join(", ");
        Err(fail(format!("{what} has no option `{key}`{hint} It knows: {list}")))
    }

    fn wrong(&self, key: &str, wanted: &str, value: &Dynamic) -> Box<rhai::EvalAltResult> {
        fail(format!("{}: `{key}` must be {wanted}, not {}", self.what, words(value)))
    }

    fn within<T>(
        &self,
        key: &str,
        value: T,
        range: &(impl RangeBounds<T> + std::fmt::Debug),
    ) -> Fallible<T>
    where
        T: PartialOrd + std::fmt::Display,
    {
        if range.contains(&value) {
            return Ok(value);
        }
        let bounds = bounds(range);
        Err(fail(format!("{}: `{key}` must be {bounds}, not {value}", self.what)))
    }
}

/// A range in words.
fn bounds<T: std::fmt::Display>(range: &impl RangeBounds<T>) -> String {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let low = match range.start_bound() {
        Included(low) => format!("at least {low}"),
        Excluded(low) => format!("above {low}"),
        Unbounded => String::new(),
    };
    let high = match range.end_bound() {
        Included(high) => format!("at most {high}"),
        Excluded(high) => format!("below {high}"),
        Unbounded => String::new(),
    };
    let both = if low.is_empty() || high.is_empty() { "" } else { " and " };
    format!("{low}{both}{high}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, Dynamic)]) -> OptionMap {
        OptionMap::new("generate", pairs.iter().map(|(k, v)| ((*k).into(), v.clone())).collect())
    }

    #[test]
    fn integers_are_numbers_and_whole_floats_are_integers() {
        let mut map = options(&[("temperature", 1.into()), ("top_k", 3.0.into())]);
        assert_eq!(map.number("temperature", 0.5, 0.0..).unwrap(), 1.0);
        assert_eq!(map.integer("top_k", 0, 0..).unwrap(), 3);
        assert_eq!(map.number("top_p", 0.25, 0.0..=1.0).unwrap(), 0.25);
        map.finish().unwrap();
    }

    #[test]
    fn failures_say_what_is_allowed() {
        let mut map = options(&[("top_p", 1.5.into())]);
        let said = map.number("top_p", 1.0, 0.0..=1.0).unwrap_err().to_string();
        assert!(said.contains("`top_p` must be at least 0 and at most 1, not 1.5"), "{said}");
        let mut map = options(&[("stop", 1.into())]);
        let said = map.texts("stop").unwrap_err().to_string();
        assert!(said.contains("must be a string or an array of strings, not an integer"), "{said}");
    }

    #[test]
    fn an_unknown_key_gets_a_suggestion_and_the_list() {
        let mut map = options(&[("temprature", 1.into())]);
        map.number("temperature", 1.0, 0.0..).unwrap();
        map.integer("top_k", 0, 0..).unwrap();
        let said = map.finish().unwrap_err().to_string();
        assert!(said.contains("no option `temprature`; did you mean `temperature`?"), "{said}");
        assert!(said.contains("It knows: temperature, top_k"), "{said}");
    }
}
