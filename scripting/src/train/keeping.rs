//! Trainings on disk: kept in a folder, and gone on with.

use crate::data::Dataset;
use crate::host::{Fallible, Host, engine_failure, fail, words};
use crate::model::{Model, place};
use crate::options::OptionMap;
use crate::train::Trainer;
use rhai::plugin::*;
use rhai::{Map, Module};
use rwkv_engine::train::Kept;
use std::cell::RefCell;
use std::rc::Rc;

/// What is kept beside the training itself, by these names.
const SEED: &str = "seed";
const BATCH_SIZE: &str = "batch_size";

impl Trainer {
    fn save(&self, host: &Host, folder: &str) -> Fallible<()> {
        let folder = host.writable(folder)?;
        let own = [(SEED, host.seed().to_string()), (BATCH_SIZE, self.batch_size.to_string())];
        let extra = own.map(|(key, value)| (key.to_string(), value)).into();
        let model = self.model.engine();
        self.engine.borrow().save(&folder, &model, extra).map_err(engine_failure)
    }
}

fn load(host: &Host, folder: &str, options: Map) -> Fallible<Trainer> {
    let mut options = OptionMap::new("load_trainer", options);
    let kept = Kept::open(&host.readable(folder)).map_err(engine_failure)?;
    let device = options.text("device", kept.device())?;
    let model = match options.take("model") {
        Some(value) => {
            let wrong =
                fail(format!("load_trainer: `model` must be a Model, not {}", words(&value)));
            value.try_cast::<Model>().ok_or(wrong)?
        }
        None => Model::new(host, kept.model(&place(host, &device)?).map_err(engine_failure)?),
    };
    options.finish()?;
    let engine = kept.trainer(&model.engine()).map_err(engine_failure)?;
    let number = |key: &str| kept.extra().get(key).and_then(|text| text.parse::<u64>().ok());
    // What is random goes on where it stood.
    number(SEED).into_iter().for_each(|seed| host.set_seed(seed));
    let batch_size = number(BATCH_SIZE).map_or(1, |rows| rows as usize);
    let trainer = Trainer { engine: Rc::new(RefCell::new(engine)), model, batch_size };
    trainer.teach()?;
    Ok(trainer)
}

/// The functions that keep a training.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// Goes on with the training that `trainer.save` kept in a folder: weights, averages, step,
    /// carried state and what is random, bit for bit. Data goes on after `trainer.resume(data)`.
    ///
    /// ```
    /// let model = init_model("rwkv4", #{ n_layer: 1, n_embd: 16 });
    /// new_trainer(model, #{}).save(temp_path("run"));
    /// assert(load_trainer(temp_path("run")).step == 0);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn load_trainer(context: NativeCallContext, folder: &str) -> Fallible<Trainer> {
        load(&Host::of(&context), folder, Map::new())
    }

    /// Goes on with the training that `trainer.save` kept in a folder.
    ///
    /// - `model` the model that was tuned, where only what was tuned is kept; else loaded again
    /// - `device` where it runs, "cpu" or "cuda:0"; the same as before
    ///
    /// ```
    /// let model = init_model("rwkv7", #{ n_layer: 1, n_embd: 16 });
    /// new_trainer(model, #{ tune: "state" }).save(temp_path("run"));
    /// assert(load_trainer(temp_path("run"), #{ model: model }).step == 0);
    /// ```
    #[rhai_fn(name = "load_trainer", return_raw, volatile)]
    pub fn load_trainer_with(
        context: NativeCallContext,
        folder: &str,
        options: Map,
    ) -> Fallible<Trainer> {
        load(&Host::of(&context), folder, options)
    }

    /// Keeps the training in a folder, to go on with `load_trainer`: replaced in one piece, so that
    /// a program killed at any moment leaves a whole one. Beside it lies what others can read:
    /// `model.safetensors`, or an adapter for `load_model(base, #{ lora: folder })`, or
    /// `time_state.pth`.
    ///
    /// ```
    /// let model = init_model("rwkv4", #{ n_layer: 1, n_embd: 16 });
    /// new_trainer(model, #{}).save(temp_path("run"));
    /// assert(load_model(temp_path("run/model.safetensors")).n_layer == 1);
    /// ```
    #[rhai_fn(name = "save", return_raw, pure, volatile)]
    pub fn save_trainer(
        context: NativeCallContext,
        this: &mut Trainer,
        folder: &str,
    ) -> Fallible<()> {
        this.save(&Host::of(&context), folder)
    }

    /// Lets a data set go on where it stood when this training was kept, to the same next batch; tells
    /// whether the training knows it. The set must be made as it was then: same data, same options,
    /// same seed.
    ///
    /// ```
    /// let model = init_model("rwkv4", #{ n_layer: 1, n_embd: 16 });
    /// let data = data::tokens(model.encode("abcabcabcabcabc"), #{ ctx_len: 4, seed: 1 });
    /// let trainer = new_trainer(model, #{});
    /// assert(!trainer.resume(data));
    /// trainer.train_step(data);
    /// assert(trainer.resume(data::tokens(model.encode("abcabcabcabcabc"), #{ ctx_len: 4, seed: 1 })));
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn resume(this: &mut Trainer, data: Dataset) -> Fallible<bool> {
        data.follow(&this.engine.borrow())
    }

    /// Adds the thin matrices of `tune: "lora"` to the weights for good; then the model is as if it
    /// had been trained whole. Start a new trainer to train on.
    ///
    /// ```
    /// let model = init_model("rwkv7", #{ n_layer: 1, n_embd: 16 });
    /// new_trainer(model, #{ tune: "lora", rank: 2 });
    /// model.merge();
    /// assert(model.n_params == init_model("rwkv7", #{ n_layer: 1, n_embd: 16 }).n_params);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn merge(this: &mut Model) -> Fallible<()> {
        let busy = |_| fail("the model is being used by the function that calls this");
        this.0.try_borrow_mut().map_err(busy)?.merge_adapter();
        Ok(())
    }
}
