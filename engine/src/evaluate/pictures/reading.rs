//! Documents of the benchmarks, which fit no line, and questions in the layout of LLaVA.

use std::fmt::{Formatter, Result as Written};
use std::fs::File;
use std::io::Read;
use std::marker::PhantomData;
use std::path::Path;

use anyhow::{Context, Result};
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::Value;

use super::super::items::{Item, Skips, read_items};
use super::{Found, PictureQuestion};

/// A document; `says` is what it has, in words.
pub fn read<T: DeserializeOwned>(path: &Path, says: &str) -> Result<T> {
    let place = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {place}"))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{place} must have {says}"))
}

/// The entries of a list or of an object, each under its number or key. What cannot be read in one
/// is told with it: these files are single lines of many megabytes.
pub struct Entries<T>(pub Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Each(PhantomData)).map(Self)
    }
}

struct Each<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Each<T> {
    type Value = Vec<(String, T)>;

    fn expecting(&self, to: &mut Formatter) -> Written {
        to.write_str("a list or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        loop {
            let place = format!("item {}", found.len() + 1);
            match list.next_element().map_err(|error| at(&place, error))? {
                Some(value) => found.push((place, value)),
                None => return Ok(found),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value().map_err(|error| at(&key, error))?;
            found.push((key, value));
        }
        Ok(found)
    }
}

fn at<E: de::Error>(place: &str, error: E) -> E {
    E::custom(format_args!("{place}: {error}"))
}

/// An id, which some files write as a number and some as a text.
pub fn id<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let value = Value::deserialize(from)?;
    name(&value).ok_or_else(|| D::Error::custom("an id must be a number or a text"))
}

fn name(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Questions in the layout of LLaVA, still without answers; nothing when the file is a document.
pub fn llava(path: &Path) -> Result<Option<Found>> {
    if !is_llava(path)? {
        return Ok(None);
    }
    let (mut found, mut skips) = (Vec::new(), Skips::default());
    for item in read_items(path)? {
        match line(&item)? {
            Some(question) => found.push(question),
            None => skips.add("without a picture"),
        }
    }
    Ok(Some((found, skips)))
}

/// A list, or lines of which the first is an object with an id.
fn is_llava(path: &Path) -> Result<bool> {
    let wrong = || format!("cannot read {}", path.display());
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(1 << 16).read_to_end(&mut start))
        .with_context(wrong)?;
    let start = start.trim_ascii_start();
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let has_id = |json: Value| ["question_id", "id"].iter().any(|key| json.get(key).is_some());
    Ok(start.starts_with(b"[") || serde_json::from_slice(line).is_ok_and(has_id))
}

/// A line of it; nothing where it has no picture.
pub fn line(item: &Item) -> Result<Option<PictureQuestion>> {
    let layout = "a line has question_id, image and text, or id, image and conversations";
    if item.under(&["image"]).is_none() {
        return Ok(None);
    }
    let id = item.under(&["question_id", "id"]).and_then(name);
    let id = id.with_context(|| format!("{} has no `question_id`; {layout}", item.place))?;
    let image = item.text("image", layout)?.to_string();
    let turn = item.json.pointer("/conversations/0/value").and_then(Value::as_str);
    let prompt = turn.map_or_else(|| item.text("text", layout), Ok)?;
    let prompt = prompt.replace("<image>", "").trim().to_string();
    let category = item.under(&["category"]).and_then(Value::as_str).unwrap_or_default().into();
    Ok(Some(PictureQuestion { id, image, prompt, answers: Vec::new(), category }))
}

/// Why a question is left out to which no file has an answer.
pub const UNANSWERED: &str = "without an answer";

/// The questions into which `fill` puts answers; others are left out, for the reason it tells.
pub fn answered(
    asked: Found,
    mut fill: impl FnMut(&mut PictureQuestion) -> Result<(), &'static str>,
) -> Found {
    let (mut questions, mut skips) = asked;
    questions.retain_mut(|question| match fill(question) {
        Ok(()) => true,
        Err(why) => {
            skips.add(why);
            false
        }
    });
    (questions, skips)
}

/// Ends what fills a question: a question without answers is left out.
pub fn has_answers(question: &mut PictureQuestion) -> Result<(), &'static str> {
    if question.answers.is_empty() { Err(UNANSWERED) } else { Ok(()) }
}
