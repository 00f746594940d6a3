//! Data to learn from (`data::..`) and what is done with it.

mod made;
mod options;
mod pictures;
mod sources;
mod tensors;

use crate::Output;
use crate::host::{Fallible, Host, Number, engine_failure, fail, number};
use rhai::plugin::*;
use rhai::{Array, INT, Map, Module};
use rwkv_engine::data as engine;
use rwkv_engine::train::Trainer;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

/// Where batches come from; all copies stand at the same place.
#[derive(Clone)]
pub struct Dataset {
    set: Rc<RefCell<engine::Dataset>>,
    /// Whether somebody was told that lines are left out.
    told: Rc<Cell<bool>>,
    /// Whom to tell; a session ends with its variables, so they do not keep it.
    host: Weak<Host>,
}

/// Rows of tokens to learn from.
#[derive(Clone, Debug)]
pub struct Batch(pub engine::Batch);

impl Dataset {
    fn new(context: &NativeCallContext, set: anyhow::Result<engine::Dataset>) -> Fallible<Self> {
        let host = Rc::downgrade(&Host::of(context));
        Ok(Self::beside(host, set.map_err(engine_failure)?))
    }

    fn beside(host: Weak<Host>, set: engine::Dataset) -> Self {
        let set = Self { set: Rc::new(RefCell::new(set)), told: Rc::default(), host };
        set.tell();
        set
    }

    /// Another set of the same data.
    fn with(&self, set: anyhow::Result<engine::Dataset>) -> Fallible<Self> {
        Ok(Self::beside(self.host.clone(), set.map_err(engine_failure)?))
    }

    /// The next rows, for whoever learns from them.
    ///
    /// # Errors
    /// When none are asked for, and when something cannot be read or used.
    pub fn draw(&self, rows: usize) -> Fallible<Batch> {
        let batch = self.set.borrow_mut().next_batch(rows).map(Batch).map_err(engine_failure);
        self.tell();
        batch
    }

    /// Says once that something was left out.
    fn tell(&self) {
        let skipped = self.set.borrow().skipped();
        if let Some(host) = self.host.upgrade().filter(|_| skipped > 0 && !self.told.replace(true))
        {
            let note = "some of the data cannot be used and is left out; `.skipped` counts it";
            host.say(Output::Note(note));
        }
    }

    /// Goes to where a trainer stood with this set; stays where it is if the trainer never met it.
    ///
    /// # Errors
    /// When the data are others by now.
    pub fn follow(&self, trainer: &Trainer) -> Fallible<bool> {
        let mut set = self.set.borrow_mut();
        let Some(position) = trainer.position(set.fingerprint()).cloned() else {
            return Ok(false);
        };
        set.go_to(&position).map_err(engine_failure)?;
        Ok(true)
    }

    /// The data set as it was before the first batch.
    pub fn fresh(&self) -> engine::Dataset {
        self.set.borrow().fresh()
    }

    /// Goes to where this or an equal data set stood.
    ///
    /// # Errors
    /// When it is not a position of this data.
    pub fn go_to(&self, position: &engine::Position) -> Fallible<()> {
        self.set.borrow_mut().go_to(position).map_err(engine_failure)
    }
}

/// The functions under `data::`.
pub fn sources() -> Module {
    let mut module = sources::module();
    module.combine(made::module()).combine(pictures::module());
    module
}

/// The methods of data sets, and tensor files.
pub fn module() -> Module {
    let mut module = exported_module!(functions);
    module.combine(tensors::module());
    module
}

/// Rows as arrays.
fn rows<T: Copy>(values: &[T], batch: &engine::Batch, item: impl Fn(T) -> Dynamic) -> Array {
    let row = |row: &[T]| row.iter().map(|&value| item(value)).collect::<Array>().into();
    values.chunks(batch.targets() + 1).map(row).collect()
}

#[export_module]
mod functions {
    /// Where batches come from.
    pub type Dataset = super::Dataset;
    /// Rows of tokens to learn from.
    pub type Batch = super::Batch;

    /// How many tokens there are: about as many for a file that is read in blocks, and `()` for
    /// problems, which never end.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// assert(data::tokens(model.encode("abcabc"), #{ ctx_len: 2 }).len == 6);
    /// ```
    #[rhai_fn(get = "len", pure)]
    pub fn data_len(this: &mut Dataset) -> Dynamic {
        this.set.borrow().len().map_or(Dynamic::UNIT, |len| (len as INT).into())
    }

    /// How many times all of the data has been handed out; 0 where samples are drawn at random.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// let data = data::tokens(model.encode("abcdefghi"), #{ ctx_len: 2, shuffle: true });
    /// data.next_batch(5);
    /// assert(data.epoch == 1);
    /// ```
    #[rhai_fn(get = "epoch", pure)]
    pub fn epoch(this: &mut Dataset) -> INT {
        this.set.borrow().epoch() as INT
    }

    /// How many lines of a file, or stretches of a text, could not be used and were left out so
    /// far; see `bad` of `data::jsonl`.
    ///
    /// ```
    /// write_file(temp_path("d.jsonl"), "{\"text\": \"some text\"}\nno JSON\n");
    /// let data = data::jsonl(temp_path("d.jsonl"), load_model("toy:rwkv4").tokenizer,
    ///     #{ ctx_len: 4, bad: "skip" });
    /// data.next_batch(2);
    /// assert(data.skipped == 1);
    /// ```
    #[rhai_fn(get = "skipped", pure)]
    pub fn skipped(this: &mut Dataset) -> INT {
        this.set.borrow().skipped() as INT
    }

    /// Where the data set stands, as a text to keep: after the last batch that was handed out.
    ///
    /// ```
    /// let data = data::reverse(#{ digits: [1, 9], ctx_len: 32, seed: 1 });
    /// let here = data.position;
    /// let batch = data.next_batch(2).tokens;
    /// data.go_to(here);
    /// assert(data.next_batch(2).tokens == batch);
    /// ```
    #[rhai_fn(get = "position", return_raw, pure)]
    pub fn position(this: &mut Dataset) -> Fallible<String> {
        let position = this.set.borrow().position().clone();
        serde_json::to_string(&position).map_err(|error| fail(error.to_string()))
    }

    /// Goes to a `position` that this data set had, or another one of the same data with the same
    /// options; the same batches follow.
    ///
    /// ```
    /// let data = data::parity(#{ ctx_len: 64 });
    /// data.go_to(data.position);
    /// ```
    #[rhai_fn(name = "go_to", return_raw, pure, volatile)]
    pub fn go_to_position(this: &mut Dataset, position: &str) -> Fallible<()> {
        let position = serde_json::from_str(position).map_err(|error| {
            fail(format!("this is no position of a data set ({error}); keep `.position`"))
        })?;
        this.go_to(&position)
    }

    /// The next rows of samples. What has to be read or made is prepared meanwhile, so that nobody
    /// waits for it.
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

    /// Two data sets as `#{train, valid}`: the first `share` of the text, of the documents or of
    /// the bytes of a file, and the rest. Of problems there are other ones in each, in `valid`
    /// with held-out names.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// let parts = data::tokens(model.encode("abc".repeat(20)), #{ ctx_len: 2 }).split(0.9);
    /// assert(parts.train.len > parts.valid.len);
    /// ```
    #[rhai_fn(name = "split", return_raw, pure)]
    pub fn split_data(this: &mut Dataset, share: Number) -> Fallible<Map> {
        let share = number(&share, "the share of `split`")?;
        let (train, valid) = this.set.borrow().split(share).map_err(engine_failure)?;
        let part = |data| this.with(Ok(data)).map(Dynamic::from);
        Ok([("train".into(), part(train)?), ("valid".into(), part(valid)?)].into())
    }

    /// The same data from the beginning, all of it once in every pass, in an order that the seed
    /// decides; problems are other ones with another seed.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// let data = data::tokens(model.encode("abcdefghi"), #{ ctx_len: 2 }).shuffle(7);
    /// let rows = data.next_batch(4).tokens.map(|row| row[0]);
    /// rows.sort();
    /// assert(rows == [97, 99, 101, 103]);
    /// ```
    #[rhai_fn(name = "shuffle", return_raw, pure)]
    pub fn shuffle_data(this: &mut Dataset, seed: INT) -> Fallible<Dataset> {
        let shuffled = this.set.borrow().shuffle(seed as u64);
        this.with(shuffled)
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

    /// The ids of a batch, an array for each row; each id is the target of the one before.
    ///
    /// ```
    /// assert(data::batch([[1, 2, 3], [4, 5, 6]]).tokens[1] == [4, 5, 6]);
    /// ```
    #[rhai_fn(get = "tokens", pure)]
    pub fn batch_tokens(this: &mut Batch) -> Array {
        rows(this.0.tokens(), &this.0, |id| INT::from(id).into())
    }

    /// How much each token of a batch counts as a target, an array for each row; empty where all
    /// count the same.
    ///
    /// ```
    /// let data = data::reverse(#{ digits: 3, ctx_len: 8 });
    /// assert(data.next_batch(1).weights[0].map(|w| w.to_int()) == [0, 0, 0, 0, 1, 1, 1, 1, 0]);
    /// ```
    #[rhai_fn(get = "weights", pure)]
    pub fn batch_weights(this: &mut Batch) -> Array {
        rows(this.0.weights(), &this.0, |weight| f64::from(weight).into())
    }

    /// Whether each row of a batch goes on where the same row of the batch before ended.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// let data = data::tokens(model.encode("abcdefghi"), #{ ctx_len: 2, order: "continue" });
    /// assert(!data.next_batch(1).continues && data.next_batch(1).continues);
    /// ```
    #[rhai_fn(get = "continues", pure)]
    pub fn batch_continues(this: &mut Batch) -> bool {
        this.0.continues()
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn data_text(this: &mut Dataset) -> String {
        match this.set.borrow().len() {
            Some(len) => format!("Dataset of {len} tokens"),
            None => "Dataset without end".to_string(),
        }
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn batch_text(this: &mut Batch) -> String {
        format!("Batch of {} rows x {} targets", this.0.rows(), this.0.targets())
    }
}
