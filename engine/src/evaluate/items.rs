//! Items to measure with: lines of JSON from a file of the user, or values of a script.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// One item and where it stands.
#[derive(Clone, Debug)]
pub struct Item {
    /// What failures call it: `items.jsonl:3`, `item 3`.
    pub place: String,
    /// The object itself.
    pub json: Value,
}

/// Items that could not be measured, by the reason.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Skips(BTreeMap<&'static str, u64>);

impl Skips {
    /// One more that is left out because it is `why`.
    pub fn add(&mut self, why: &'static str) {
        *self.0.entry(why).or_default() += 1;
    }

    /// Those of another list as well.
    pub fn join(&mut self, other: &Self) {
        other.reasons().for_each(|(why, count)| *self.0.entry(why).or_default() += count);
    }

    /// How many were left out.
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// The reasons, and how many for each.
    pub fn reasons(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(why, count)| (*why, *count))
    }

    /// The reasons in words; nothing where nothing was left out.
    pub fn words(&self) -> String {
        let reason = |(why, count): (&str, u64)| format!("{count} {why}");
        self.reasons().map(reason).collect::<Vec<_>>().join(", ")
    }
}

impl Item {
    /// An object of a script, counted from 1.
    pub fn nth(index: usize, json: Value) -> Self {
        Self { place: format!("item {}", index + 1), json }
    }

    /// What stands under the first of these keys that is there; null counts as not there.
    pub fn under(&self, keys: &[&str]) -> Option<&Value> {
        keys.iter().find_map(|key| self.json.get(key)).filter(|value| !value.is_null())
    }

    /// The text under a key.
    ///
    /// # Errors
    /// When there is none; `layout` says what a line should have.
    pub fn text(&self, key: &str, layout: &str) -> Result<&str> {
        match self.under(&[key]) {
            Some(Value::String(text)) => Ok(text),
            Some(other) => bail!("{}: `{key}` must be a text, not {other}.", self.place),
            None => bail!("{} has no `{key}`; {layout}.", self.place),
        }
    }

    /// The texts under a key.
    ///
    /// # Errors
    /// When there is no list of texts.
    pub fn texts(&self, key: &str, layout: &str) -> Result<Vec<String>> {
        let value = self.under(&[key]);
        let value = value.with_context(|| format!("{} has no `{key}`; {layout}", self.place))?;
        let wrong = || format!("{}: `{key}` must be a list of texts; {layout}", self.place);
        let list = value.as_array().with_context(wrong)?;
        let text = |text: &Value| text.as_str().map(str::to_string).with_context(wrong);
        list.iter().map(text).collect()
    }
}

/// The items of a file: an object on each line, or one list of objects.
///
/// # Errors
/// When the file cannot be read, when a line is not an object in JSON, and when there is none.
pub fn read_items(path: &Path) -> Result<Vec<Item>> {
    let place = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {place}"))?;
    let items = if bytes.trim_ascii_start().starts_with(b"[") {
        let list: Vec<Value> = serde_json::from_slice(&bytes)
            .with_context(|| format!("{place} begins as a list in JSON but is none"))?;
        let item = |(at, json)| Item { place: format!("{place}, item {}", at + 1), json };
        list.into_iter().enumerate().map(item).collect::<Vec<_>>()
    } else {
        let lines = bytes.split(|byte| *byte == b'\n').enumerate();
        let filled = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
        let item = |(at, line): (usize, &[u8])| {
            let place = format!("{place}:{}", at + 1);
            let json = serde_json::from_slice(line)
                .with_context(|| format!("{place} is not JSON; every line is an object"))?;
            Ok(Item { place, json })
        };
        filled.map(item).collect::<Result<_>>()?
    };
    ensure!(!items.is_empty(), "{place} has no items; it is empty.");
    match items.iter().find(|item| !item.json.is_object()) {
        Some(other) => bail!("{} is not an object but {}.", other.place, shortened(&other.json)),
        None => Ok(items),
    }
}

/// The beginning of a value.
fn shortened(json: &Value) -> String {
    json.to_string().chars().take(40).collect()
}
