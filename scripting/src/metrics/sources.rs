//! Where texts and items come from: values of a script, or files that are streamed.

use crate::host::{Fallible, Host, engine_failure, fail, words};
use crate::json::json_of;
use crate::model::Model;
use crate::options::OptionMap;
use rhai::{Array, Dynamic, Map, NativeCallContext};
use rwkv_engine::evaluate::{Block, Blocks, Item, read_items};
use rwkv_engine::tokenizer::Tokenizer;
use std::fs::File;
use std::io::{Cursor, Read};

/// A long text.
pub enum Source {
    /// Read block by block, with what failures call it.
    Stream { from: Box<dyn Read>, place: String, bytes: u64 },
    /// Tokens already.
    Tokens(Vec<u32>),
}

/// The blocks of a text.
type Parts<'a> = Box<dyn Iterator<Item = anyhow::Result<Block>> + 'a>;

impl Source {
    /// A text, `#{ file: path }`, or whatever else stands for tokens.
    pub fn of(host: &Host, model: &Model, what: &'static str, value: &Dynamic) -> Fallible<Self> {
        if value.is_string() {
            let text = value.to_string().into_bytes();
            let (place, bytes) = ("the text".into(), text.len() as u64);
            return Ok(Self::Stream { from: Box::new(Cursor::new(text)), place, bytes });
        }
        match value.read_lock::<Map>() {
            Some(map) => Self::file(host, &path_of(what, &map)?),
            None => model.ids(value).map(Self::Tokens),
        }
    }

    fn file(host: &Host, path: &str) -> Fallible<Self> {
        let file = File::open(host.readable(path));
        let file = file.map_err(|error| fail(format!("cannot read {path}: {error}")))?;
        let bytes = file.metadata().map_or(0, |about| about.len());
        Ok(Self::Stream { from: Box::new(file), place: path.into(), bytes })
    }

    /// How long it is as text; 0 where nobody knows.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Stream { bytes, .. } => *bytes,
            Self::Tokens(_) => 0,
        }
    }

    /// The text in blocks.
    pub fn blocks(self, tokenizer: &Tokenizer) -> Parts<'_> {
        match self {
            Self::Stream { from, place, .. } => Box::new(Blocks::new(from, tokenizer, &place)),
            Self::Tokens(tokens) => Box::new(std::iter::once(Ok(Block { tokens, bytes: 0 }))),
        }
    }
}

fn path_of(what: &'static str, map: &Map) -> Fallible<String> {
    let mut options = OptionMap::new(what, map.clone());
    let path = options.text("file", "")?;
    options.finish()?;
    if path.is_empty() {
        return Err(fail(format!("{what}: a map names a file: #{{ file: \"text.txt\" }}")));
    }
    Ok(path)
}

/// Items: an array of maps, or the path of a file with one on each line; no more than `limit`.
pub fn items_of(
    context: &NativeCallContext,
    what: &'static str,
    value: &Dynamic,
    limit: Option<i64>,
) -> Fallible<Vec<Item>> {
    let mut items = if value.is_string() {
        let path = Host::of(context).readable(&value.to_string());
        read_items(&path).map_err(engine_failure)?
    } else if let Some(array) = value.read_lock::<Array>() {
        array
            .iter()
            .enumerate()
            .map(|(at, one)| item(context, what, at, one))
            .collect::<Fallible<_>>()?
    } else {
        let wanted = "an array of maps, or the path of a file with one on each line";
        return Err(fail(format!("{what} needs items: {wanted}, not {}", words(value))));
    };
    items.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
    Ok(items)
}

fn item(
    context: &NativeCallContext,
    what: &'static str,
    at: usize,
    value: &Dynamic,
) -> Fallible<Item> {
    if !value.is_map() {
        return Err(fail(format!("{what}: item {} must be a map, not {}", at + 1, words(value))));
    }
    Ok(Item::nth(at, json_of(context.engine(), value)))
}
