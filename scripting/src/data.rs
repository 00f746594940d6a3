//! Data to learn from (`data::..`), and files of named tensors.

use crate::host::{Fallible, Host, Number, Value, engine_failure, fail, number, words};
use crate::options::OptionMap;
use crate::tensor::{Tensor, tensor_of};
use crate::tokens::Tokens;
use rhai::plugin::*;
use rhai::{INT, Map, Module};
use rwkv_engine::checkpoint::{self, Checkpoint, Dtype};
use rwkv_engine::data as engine;
use rwkv_engine::tensor::Array;
use rwkv_engine::tokenizer::Tokenizer;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Tokens to draw batches from; all copies draw from the same row of random places.
#[derive(Clone, Debug)]
pub struct Dataset {
    start: Rc<engine::Dataset>,
    now: Rc<RefCell<engine::Dataset>>,
}

/// Rows of tokens to learn from.
#[derive(Clone, Debug)]
pub struct Batch(pub engine::Batch);

impl Dataset {
    fn new(data: engine::Dataset) -> Self {
        Self { start: Rc::new(data.clone()), now: Rc::new(RefCell::new(data)) }
    }

    /// The next rows, for whoever learns from them.
    ///
    /// # Errors
    /// When none are asked for.
    pub fn draw(&self, rows: usize) -> Fallible<Batch> {
        self.now.borrow_mut().next_batch(rows).map(Batch).map_err(engine_failure)
    }

    /// The data set as it was before the first batch.
    pub fn fresh(&self) -> engine::Dataset {
        (*self.start).clone()
    }
}

/// Length of a sample and seed of the places.
fn settings(host: &Host, what: &'static str, options: Map) -> Fallible<(usize, u64)> {
    let mut options = OptionMap::new(what, options);
    let ctx_len = options.integer("ctx_len", 128, 1..=1 << 20)? as usize;
    let seed = options.optional_integer("seed", ..)?.map_or_else(|| host.next_seed(), |s| s as u64);
    options.finish()?;
    Ok((ctx_len, seed))
}

/// What is to be learnt, taken out of the options.
fn emphasis(options: &mut Map) -> Fallible<Option<engine::Emphasis>> {
    let keys = ["learn", "elsewhere"].into_iter();
    let own = keys.filter_map(|key| options.remove_entry(key)).collect();
    let mut own = OptionMap::new("data::documents", own);
    let markers = own.texts("learn")?;
    let elsewhere = own.number("elsewhere", 0.1, 0.0..=1.0)? as f32;
    match markers.as_slice() {
        [] => Ok(None),
        [start, end] if !start.is_empty() && !end.is_empty() => {
            Ok(Some(engine::Emphasis { start: start.clone(), end: end.clone(), elsewhere }))
        }
        _ => Err(fail(
            "data::documents: `learn` must be two texts, such as [\"Assistant:\", \"\\n\\n\"]",
        )),
    }
}

/// The functions under `data::`.
pub fn sources() -> Module {
    exported_module!(sources)
}

/// The methods of data sets, and tensor files.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod sources {
    /// One long text from a file; a sample starts anywhere in it.
    ///
    /// - `ctx_len` positions of a sample, 128
    /// - `seed` of the places
    ///
    /// ```
    /// write_file(temp_path("text.txt"), "the quick brown fox ".repeat(10));
    /// let model = load_model("toy:rwkv4");
    /// let data = data::text(temp_path("text.txt"), model.tokenizer, #{ ctx_len: 16 });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn text(
        context: NativeCallContext,
        path: &str,
        tokenizer: Tokenizer,
        options: Map,
    ) -> Fallible<Dataset> {
        let host = Host::of(&context);
        let text = std::fs::read_to_string(host.readable(path))
            .map_err(|error| fail(format!("cannot read {path}: {error}")))?;
        let ids = tokenizer.encode(&text).map_err(engine_failure)?;
        let (ctx_len, seed) = settings(&host, "data::text", options)?;
        Ok(Dataset::new(engine::Dataset::text(ids, ctx_len, seed).map_err(engine_failure)?))
    }

    /// One long text that is tokens already; a sample starts anywhere in it.
    ///
    /// - `ctx_len` positions of a sample, 128
    /// - `seed` of the places
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// let data = data::tokens(model.encode("abc".repeat(20)), #{ ctx_len: 8 });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn tokens(context: NativeCallContext, tokens: Tokens, options: Map) -> Fallible<Dataset> {
        let (ctx_len, seed) = settings(&Host::of(&context), "data::tokens", options)?;
        let data = engine::Dataset::text(tokens.ids.to_vec(), ctx_len, seed);
        Ok(Dataset::new(data.map_err(engine_failure)?))
    }

    /// A batch of given rows: arrays of ids, or a tensor `[B, T + 1]`; each token is the target of
    /// the one before.
    ///
    /// ```
    /// assert(data::batch([[1, 2, 3], [4, 5, 6]]).rows == 2);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn batch(rows: Value) -> Fallible<Batch> {
        let array = tensor_of(&rows)?.array;
        let [_, width] = array.shape() else {
            let shape = array.shape();
            return Err(fail(format!("a batch has rows of ids, but the shape is {shape:?}")));
        };
        let bytes = Tokenizer::bytes();
        let line = Tensor::from(Array::vector(array.values()));
        let ids = crate::tokens::ids_of(&Dynamic::from(line), &bytes)?;
        engine::Batch::new(ids, *width).map(Batch).map_err(engine_failure)
    }

    /// Many texts, joined by the end-of-text token 0; a sample starts at the beginning of one.
    ///
    /// - `ctx_len` positions of a sample, 128
    /// - `seed` of the places
    /// - `learn` two texts: what goes before the parts to be learnt, and what ends them
    /// - `elsewhere` how much everything else still counts, 0.1
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// let texts = ["User: 1+1?\n\nAssistant: 2\n\n", "User: 1+2?\n\nAssistant: 3\n\n"];
    /// let options = #{ ctx_len: 16, learn: ["Assistant:", "\n\n"], elsewhere: 0.1 };
    /// let data = data::documents(texts, model.tokenizer, options);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn documents(
        context: NativeCallContext,
        texts: rhai::Array,
        tokenizer: Tokenizer,
        options: Map,
    ) -> Fallible<Dataset> {
        let texts = Dynamic::from(texts).into_typed_array::<String>();
        let texts =
            texts.map_err(|kind| fail(format!("data::documents needs strings, not {kind}")))?;
        let mut options = options;
        let emphasis = emphasis(&mut options)?;
        let (ctx_len, seed) = settings(&Host::of(&context), "data::documents", options)?;
        let data = engine::Dataset::documents(&texts, &tokenizer, emphasis.as_ref(), ctx_len, seed);
        Ok(Dataset::new(data.map_err(engine_failure)?))
    }
}

#[export_module]
mod functions {
    /// Tokens to draw batches from.
    pub type Dataset = super::Dataset;
    /// Rows of tokens to learn from.
    pub type Batch = super::Batch;

    /// How many tokens there are.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// assert(data::tokens(model.encode("abcabc"), #{ ctx_len: 2 }).len == 6);
    /// ```
    #[rhai_fn(get = "len", pure)]
    pub fn data_len(this: &mut Dataset) -> INT {
        this.start.len() as INT
    }

    /// Rows of samples from places drawn at random.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// let batch = data::tokens(model.encode("abcabc"), #{ ctx_len: 2 }).next_batch(4);
    /// assert(batch.rows == 4);
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn next_batch(this: &mut Dataset, rows: INT) -> Fallible<Batch> {
        let rows =
            usize::try_from(rows).map_err(|_| fail(format!("a batch cannot have {rows} rows")))?;
        this.draw(rows)
    }

    /// Two data sets as `#{train, valid}`: the first `share` of the text, and the rest.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// let parts = data::tokens(model.encode("abc".repeat(20)), #{ ctx_len: 2 }).split(0.9);
    /// assert(parts.train.len > parts.valid.len);
    /// ```
    #[rhai_fn(name = "split", return_raw, pure)]
    pub fn split_data(this: &mut Dataset, share: Number) -> Fallible<Map> {
        let share = number(&share, "the share of `split`")?;
        let (train, valid) = this.start.split(share).map_err(engine_failure)?;
        let part = |data| Dynamic::from(Dataset::new(data));
        Ok([("train".into(), part(train)), ("valid".into(), part(valid))].into())
    }

    /// How many rows a batch has.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// assert(data::tokens(model.encode("abcabc"), #{ ctx_len: 2 }).next_batch(3).rows == 3);
    /// ```
    #[rhai_fn(get = "rows", pure)]
    pub fn batch_rows(this: &mut Batch) -> INT {
        this.0.rows() as INT
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn data_text(this: &mut Dataset) -> String {
        format!("Dataset of {} tokens", this.start.len())
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn batch_text(this: &mut Batch) -> String {
        format!("Batch of {} rows x {} targets", this.0.rows(), this.0.targets())
    }

    /// All tensors of a `.safetensors` or `.pth` file, a map by names.
    ///
    /// ```
    /// save_tensors(temp_path("t.safetensors"), #{ a: ones([2]) });
    /// assert(load_tensors(temp_path("t.safetensors")).a.sum() == 2);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn load_tensors(context: NativeCallContext, path: &str) -> Fallible<Map> {
        let file = Checkpoint::open(&Host::of(&context).readable(path)).map_err(engine_failure)?;
        let read = |name: &str| {
            let shape = file.shape(name).unwrap_or_default().to_vec();
            let array = Array::new(&shape, file.values(name)?)?;
            anyhow::Ok((name.into(), Dynamic::from(Tensor::from(array))))
        };
        file.names().map(read).collect::<anyhow::Result<Map>>().map_err(engine_failure)
    }

    /// Writes a map of tensors, or of numbers and arrays, as safetensors in single precision.
    ///
    /// ```
    /// save_tensors(temp_path("t.safetensors"), #{ a: [1, 2], b: zeros([2, 2]) });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn save_tensors(context: NativeCallContext, path: &str, tensors: Value) -> Fallible<()> {
        let Some(map) = tensors.read_lock::<Map>() else {
            return Err(fail(format!(
                "save_tensors needs a map by names, not {}",
                words(&tensors)
            )));
        };
        let row = |(name, value): (&rhai::Identifier, &Dynamic)| {
            let array = tensor_of(value)?.array;
            Ok((name.to_string(), array.shape().to_vec(), array.values()))
        };
        let rows = map.iter().map(row).collect::<Fallible<Vec<_>>>()?;
        let file = Host::of(&context).writable(path)?;
        checkpoint::save(&file, &rows, Dtype::F32, &BTreeMap::new()).map_err(engine_failure)
    }
}
