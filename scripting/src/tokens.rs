//! Tokens: the ids of a text and the tokenizer that cut it.

use crate::View;
use crate::host::{Fallible, Value, engine_failure, fail, words};
use crate::tensor::{Tensor, bounds};
use rhai::plugin::*;
use rhai::{Array, INT, Module};
use rwkv_engine::tokenizer::Tokenizer;
use std::ops::{Range, RangeInclusive};
use std::rc::Rc;

/// Ids in a row; a clone shares them.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The ids.
    pub ids: Rc<[u32]>,
    /// What gives them text.
    pub tokenizer: Tokenizer,
}

impl Tokens {
    /// Ids with the tokenizer that knows them.
    pub fn new(ids: Vec<u32>, tokenizer: &Tokenizer) -> Self {
        Self { ids: ids.into(), tokenizer: tokenizer.clone() }
    }

    /// The text of each token; half a character shows as a replacement character.
    pub fn pieces(&self) -> Vec<String> {
        let text = |id: &u32| String::from_utf8_lossy(&self.tokenizer.piece(*id)).into_owned();
        self.ids.iter().map(text).collect()
    }
}

impl Tokens {
    /// How many there are, and the first of them.
    pub fn view(&self) -> View {
        let mut pieces = self.pieces();
        let more = pieces.len().saturating_sub(SHOWN);
        pieces.truncate(SHOWN);
        let all = View::Pieces(format!("Tokens [{}]", self.ids.len()), pieces);
        match more {
            0 => all,
            more => View::Group(vec![all, View::Words(format!("... {more} more"))]),
        }
    }
}

/// Tokens that are shown with their text.
const SHOWN: usize = 200;

impl IntoIterator for Tokens {
    type Item = INT;
    type IntoIter = std::vec::IntoIter<INT>;

    fn into_iter(self) -> Self::IntoIter {
        self.ids.iter().map(|id| INT::from(*id)).collect::<Vec<_>>().into_iter()
    }
}

/// The ids of whatever may stand for tokens: a string, ids, Tokens, a one-axis tensor, one id.
///
/// # Errors
/// When it is something else.
pub fn ids_of(value: &Dynamic, tokenizer: &Tokenizer) -> Fallible<Vec<u32>> {
    if let Some(tokens) = value.read_lock::<Tokens>() {
        return Ok(tokens.ids.to_vec());
    }
    if let Some(items) = value.read_lock::<Array>() {
        return items.iter().map(id_of).collect();
    }
    if let Some(tensor) = value.read_lock::<Tensor>() {
        if tensor.array.shape().len() != 1 {
            let shape = tensor.array.shape();
            return Err(fail(format!("tokens must lie on one axis, but the shape is {shape:?}")));
        }
        return tensor.array.values().into_iter().map(|x| id_of(&f64::from(x).into())).collect();
    }
    if value.is_string() {
        return tokenizer.encode(&value.to_string()).map_err(engine_failure);
    }
    if value.is_int() {
        return Ok(vec![id_of(value)?]);
    }
    let got = words(value);
    Err(fail(format!("tokens must be a string, ids, Tokens or a one-axis tensor, not {got}")))
}

fn id_of(value: &Dynamic) -> Fallible<u32> {
    let whole = value.as_int().ok().or(value
        .as_float()
        .ok()
        .filter(|x| x.fract() == 0.0)
        .map(|x| x as INT));
    whole
        .and_then(|id| u32::try_from(id).ok())
        .ok_or_else(|| fail(format!("a token is a whole number from 0 upwards, not {value}")))
}

/// The module of this file.
pub fn module() -> Module {
    let mut module = exported_module!(functions);
    module.set_iterable::<Tokens>();
    module
}

#[export_module]
mod functions {
    /// The ids of a text.
    pub type Tokens = super::Tokens;
    /// What cuts text into tokens and joins them again.
    pub type Tokenizer = rwkv_engine::tokenizer::Tokenizer;

    /// How many tokens there are.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").encode("abc").len == 3);
    /// ```
    #[rhai_fn(get = "len", pure)]
    pub fn len(this: &mut Tokens) -> INT {
        this.ids.len() as INT
    }

    #[rhai_fn(index_get, return_raw, pure)]
    pub fn at(this: &mut Tokens, index: INT) -> Fallible<INT> {
        let place = if index < 0 { index + this.ids.len() as INT } else { index };
        let id = usize::try_from(place).ok().and_then(|place| this.ids.get(place));
        let len = this.ids.len();
        id.map(|id| INT::from(*id))
            .ok_or_else(|| fail(format!("there is no token {index} among {len}")))
    }

    #[rhai_fn(index_get, return_raw, pure)]
    pub fn slice(this: &mut Tokens, range: Range<INT>) -> Fallible<Tokens> {
        let range = bounds(range, this.ids.len())?;
        Ok(Tokens::new(this.ids[range].to_vec(), &this.tokenizer))
    }

    #[rhai_fn(index_get, return_raw, pure)]
    pub fn slice_inclusive(this: &mut Tokens, range: RangeInclusive<INT>) -> Fallible<Tokens> {
        slice(this, *range.start()..*range.end() + 1)
    }

    /// The first `n` tokens, or all of them if there are fewer.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").encode("abc").take(2).len == 2);
    /// ```
    #[rhai_fn(pure)]
    pub fn take(this: &mut Tokens, n: INT) -> Tokens {
        let n = usize::try_from(n).unwrap_or(0).min(this.ids.len());
        Tokens::new(this.ids[..n].to_vec(), &this.tokenizer)
    }

    /// The text of each token, an array of strings.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").encode("ab").pieces() == ["a", "b"]);
    /// ```
    #[rhai_fn(pure)]
    pub fn pieces(this: &mut Tokens) -> Array {
        this.pieces().into_iter().map(Dynamic::from).collect()
    }

    /// The ids as an array of integers.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").encode("a").to_array() == [97]);
    /// ```
    #[rhai_fn(pure)]
    pub fn to_array(this: &mut Tokens) -> Array {
        this.clone().into_iter().map(Dynamic::from).collect()
    }

    #[rhai_fn(name = "+")]
    pub fn joined(this: Tokens, more: Tokens) -> Tokens {
        Tokens::new([&this.ids[..], &more.ids[..]].concat(), &this.tokenizer)
    }

    #[rhai_fn(name = "==", pure)]
    pub fn same(this: &mut Tokens, other: Tokens) -> bool {
        this.ids == other.ids
    }

    #[rhai_fn(name = "!=", pure)]
    pub fn different(this: &mut Tokens, other: Tokens) -> bool {
        this.ids != other.ids
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_text(this: &mut Tokens) -> String {
        let pieces = this.pieces().into_iter().take(64).map(|piece| format!("{piece:?}"));
        let more = if this.ids.len() > 64 { " ..." } else { "" };
        format!("Tokens [{}]  {}{more}", this.ids.len(), pieces.collect::<Vec<_>>().join(" "))
    }

    /// The tokens of a text, by a model's `.tokenizer`.
    ///
    /// ```
    /// let t = load_model("toy:rwkv4").tokenizer;
    /// assert(t.encode("ab").len == 2);
    /// ```
    #[rhai_fn(name = "encode", return_raw, pure)]
    pub fn tokenizer_encode(this: &mut Tokenizer, content: &str) -> Fallible<Tokens> {
        Ok(Tokens::new(this.encode(content).map_err(engine_failure)?, this))
    }

    /// The text of tokens, by a model's `.tokenizer`.
    ///
    /// ```
    /// let t = load_model("toy:rwkv4").tokenizer;
    /// assert(t.decode([97, 98]) == "ab");
    /// ```
    #[rhai_fn(name = "decode", return_raw, pure)]
    pub fn tokenizer_decode(this: &mut Tokenizer, tokens: Value) -> Fallible<String> {
        Ok(this.decode(&ids_of(&tokens, this)?))
    }

    /// How many ids the tokenizer knows.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").tokenizer.size == 256);
    /// ```
    #[rhai_fn(get = "size", pure)]
    pub fn size(this: &mut Tokenizer) -> INT {
        this.size() as INT
    }

    /// What kind of tokenizer it is: `world`, `tokenizer.json` or `bytes`.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").tokenizer.name == "bytes");
    /// ```
    #[rhai_fn(get = "name", pure)]
    pub fn tokenizer_name(this: &mut Tokenizer) -> String {
        this.name().into()
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn tokenizer_text(this: &mut Tokenizer) -> String {
        format!("Tokenizer {}  {} tokens", this.name(), this.size())
    }
}
