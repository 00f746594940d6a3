//! Training loops: a trainer that makes steps, and the recipes it follows.

use crate::data::{Batch, Dataset};
use crate::host::{Fallible, Host, engine_failure, fail, words};
use crate::model::Model;
use crate::options::OptionMap;
use crate::tensor::Tensor;
use rhai::plugin::*;
use rhai::{INT, Map, Module};
use rwkv_engine::tensor::Array;
use rwkv_engine::train::{Cosine, Settings, Trainer as Engine};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A model in training; all copies are the same one.
#[derive(Clone)]
pub struct Trainer {
    engine: Rc<RefCell<Engine>>,
    model: Model,
}

impl Trainer {
    /// Refuses tokens that the model does not have.
    fn check(&self, batch: &Batch) -> Fallible<()> {
        self.model.engine().check(batch.0.tokens()).map_err(engine_failure)
    }
}

/// Batches that `evaluate` takes from a data set, and their rows.
const PROBE: (usize, usize) = (4, 8);

fn schedule(options: Map) -> Fallible<Cosine> {
    let usual = Settings::default().schedule;
    let mut options = OptionMap::new("optim::cosine", options);
    let mut rate = |key, default| options.number(key, default, 0.0..=1.0);
    let (lr_init, lr_final) = (rate("lr_init", usual.lr_init)?, rate("lr_final", usual.lr_final)?);
    let mut steps = |key, default: usize| {
        options.integer(key, default as i64, 0..=1 << 40).map(|steps| steps as usize)
    };
    let (warmup, steps) = (steps("warmup", usual.warmup)?, steps("steps", usual.steps)?);
    options.finish()?;
    Ok(Cosine { lr_init, lr_final, warmup, steps })
}

/// AdamW's numbers over the usual ones.
fn adam(options: Map, usual: Settings) -> Fallible<Settings> {
    let mut options = OptionMap::new("optim::adam", options);
    let betas = match options.take("betas") {
        None => usual.betas,
        Some(value) => {
            let list = value.clone().try_cast::<rhai::Array>().unwrap_or_default();
            match crate::lists::floats(&list, "optim::adam: `betas`")?[..] {
                [a, b] if (0.0..1.0).contains(&a) && (0.0..1.0).contains(&b) => {
                    [a as f32, b as f32]
                }
                _ => {
                    return Err(fail("optim::adam: `betas` must be two numbers from 0 to below 1"));
                }
            }
        }
    };
    let eps = options.number("eps", usual.eps.into(), 0.0..1.0)? as f32;
    let weight_decay = options.number("weight_decay", usual.weight_decay.into(), 0.0..=1.0)? as f32;
    options.finish()?;
    Ok(Settings { betas, eps, weight_decay, ..usual })
}

/// The map under a key; empty if there is none.
fn inner(options: &mut OptionMap, key: &'static str) -> Fallible<Map> {
    let Some(value) = options.take(key) else { return Ok(Map::new()) };
    let wrong = fail(format!("new_trainer: `{key}` must be a map, not {}", words(&value)));
    value.try_cast::<Map>().ok_or(wrong)
}

fn start(model: &Model, options: Map) -> Fallible<Trainer> {
    let usual = Settings::default();
    let mut options = OptionMap::new("new_trainer", options);
    let schedule = schedule(inner(&mut options, "schedule")?)?;
    let settings = adam(inner(&mut options, "optimizer")?, usual)?;
    let grad_clip = options.number("grad_clip", settings.grad_clip, 0.0..)?;
    let l2wrap = options.number("l2wrap", settings.l2wrap, 0.0..)?;
    options.finish()?;
    let settings = Settings { schedule, grad_clip, l2wrap, ..settings };
    let engine = model.engine();
    let trainer = Engine::new(&engine.rwkv, &engine.place.device, settings);
    Ok(Trainer { engine: Rc::new(RefCell::new(trainer)), model: model.clone() })
}

fn numbers<const N: usize>(pairs: [(&str, f64); N]) -> Map {
    pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

/// `optim::adam`, `optim::cosine`.
pub fn recipes() -> Module {
    exported_module!(recipes)
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod recipes {
    /// How AdamW updates, for `new_trainer`'s `optimizer`.
    ///
    /// - `betas` how long its two averages remember, [0.9, 0.99]
    /// - `eps` added to the root of the second average, 1e-18
    /// - `weight_decay` share of a matrix taken away per step and unit of rate, 0.001
    ///
    /// ```
    /// let optimizer = optim::adam(#{ betas: [0.9, 0.99], weight_decay: 0 });
    /// ```
    #[rhai_fn(return_raw)]
    pub fn adam(options: Map) -> Fallible<Map> {
        super::adam(options.clone(), Settings::default())?;
        Ok(options)
    }

    /// A learning rate that warms up straight and falls as a cosine, for `schedule`.
    ///
    /// - `lr_init` the highest rate, 6e-4
    /// - `lr_final` the rate of the last step, 6e-5
    /// - `warmup` steps until the highest rate, 10
    /// - `steps` all steps, 1000
    ///
    /// ```
    /// let schedule = optim::cosine(#{ lr_init: 1e-3, steps: 100 });
    /// ```
    #[rhai_fn(return_raw)]
    pub fn cosine(options: Map) -> Fallible<Map> {
        super::schedule(options.clone())?;
        Ok(options)
    }
}

#[export_module]
mod functions {
    /// A model in training.
    pub type Trainer = super::Trainer;

    /// Starts training a model; the model itself learns, with every step.
    ///
    /// - `optimizer` from `optim::adam`
    /// - `schedule` from `optim::cosine`
    /// - `grad_clip` largest norm of all gradients together, 1; 0 cuts nothing
    /// - `l2wrap` strength of the pull on the largest logit, 1e-4
    ///
    /// ```
    /// let model = init_model("rwkv4", #{ n_layer: 1, n_embd: 16 });
    /// let trainer = new_trainer(model, #{ schedule: optim::cosine(#{ steps: 10 }) });
    /// let data = data::tokens(model.encode("abcabcabcabcabc"), #{ ctx_len: 4 });
    /// print(trainer.train_step(data.next_batch(2)).loss);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn new_trainer(model: Model, options: Map) -> Fallible<Trainer> {
        start(&model, options)
    }

    /// Learns from one batch: `#{step, loss, lr, grad_norm, tokens_per_second}`.
    ///
    /// ```
    /// let model = init_model("rwkv4", #{ n_layer: 1, n_embd: 16 });
    /// let data = data::tokens(model.encode("abcabcabcabcabc"), #{ ctx_len: 4 });
    /// let m = new_trainer(model, #{}).train_step(data.next_batch(2));
    /// assert(m.step == 1 && m.loss > 0);
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn train_step(
        context: NativeCallContext,
        this: &mut Trainer,
        batch: Batch,
    ) -> Fallible<Map> {
        Host::of(&context).poll()?;
        let busy =
            || fail("the model is being used by the function that calls this; train outside of it");
        this.check(&batch)?;
        let mut model = this.model.0.try_borrow_mut().map_err(|_| busy())?;
        let mut engine = this.engine.borrow_mut();
        let done = engine.train_step(&batch.0).map_err(engine_failure)?;
        let steps = engine.steps().max(done.step) as u64;
        Host::of(&context).progress.tell("training", "steps", done.step as u64, steps);
        model.rwkv = engine.rwkv();
        let mut map = numbers([
            ("loss", done.loss),
            ("lr", done.lr),
            ("grad_norm", done.grad_norm),
            ("tokens_per_second", done.tokens_per_second),
        ]);
        map.insert("step".into(), (done.step as INT).into());
        Ok(map)
    }

    /// The gradients of a batch without learning from it, as `#{loss, grads}`: `grads` has a tensor
    /// for every parameter, by its name in checkpoints.
    ///
    /// ```
    /// let model = init_model("rwkv7", #{ n_layer: 1, n_embd: 16 });
    /// let batch = data::batch([[97, 98, 99], [98, 99, 97]]);
    /// let out = new_trainer(model, #{ l2wrap: 0 }).gradients(batch);
    /// assert(out.grads["head.weight"].shape == [256, 16]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn gradients(this: &mut Trainer, batch: Batch) -> Fallible<Map> {
        let engine = this.engine.borrow();
        this.check(&batch)?;
        let (loss, gradients) = engine.gradients(&batch.0);
        let mut known: BTreeMap<_, _> = engine.named_gradients(&gradients).into_iter().collect();
        let tensor = |(name, shape): (String, Vec<usize>)| {
            let array = match known.remove(&name) {
                Some(values) => Array::new(&shape, values).map_err(engine_failure)?,
                None => Array::full(&shape, 0.0), // no part of the loss
            };
            Ok((name.into(), Dynamic::from(Tensor::from(array))))
        };
        let tensors = this.model.engine().tensors().into_iter();
        let grads: Map = tensors.map(tensor).collect::<Fallible<_>>()?;
        Ok([("loss".into(), loss.into()), ("grads".into(), grads.into())].into())
    }

    /// The loss without learning, as `#{loss, ppl}`: of one batch.
    ///
    /// ```
    /// let model = init_model("rwkv4", #{ n_layer: 1, n_embd: 16 });
    /// let data = data::tokens(model.encode("abcabcabcabcabc"), #{ ctx_len: 4 });
    /// assert(new_trainer(model, #{}).evaluate(data.next_batch(2)).loss > 0);
    /// ```
    #[rhai_fn(name = "evaluate", return_raw, pure)]
    pub fn evaluate_batch(this: &mut Trainer, batch: Batch) -> Fallible<Map> {
        this.check(&batch)?;
        let loss = this.engine.borrow().evaluate(&batch.0);
        Ok(numbers([("loss", loss), ("ppl", loss.exp())]))
    }

    /// The loss without learning, as `#{loss, ppl}`: the mean of four batches of a data set, the
    /// same ones every time.
    ///
    /// ```
    /// let model = init_model("rwkv4", #{ n_layer: 1, n_embd: 16 });
    /// let data = data::tokens(model.encode("abcabcabcabcabc"), #{ ctx_len: 4 });
    /// assert(new_trainer(model, #{}).evaluate(data).ppl > 1);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn evaluate(
        context: NativeCallContext,
        this: &mut Trainer,
        data: Dataset,
    ) -> Fallible<Map> {
        // A copy draws the same batches every time and leaves the order of training alone.
        let mut probe = data.fresh();
        let mut sum = 0.0;
        let host = Host::of(&context);
        let counter = host.progress.begin("evaluating".into(), "batches", PROBE.0 as u64);
        for _ in 0..PROBE.0 {
            host.poll()?;
            let batch = Batch(probe.next_batch(PROBE.1).map_err(engine_failure)?);
            this.check(&batch)?;
            sum += this.engine.borrow().evaluate(&batch.0);
            counter.add(1);
        }
        let loss = sum / PROBE.0 as f64;
        Ok(numbers([("loss", loss), ("ppl", loss.exp())]))
    }

    /// Steps done so far.
    ///
    /// ```
    /// let model = init_model("rwkv4", #{ n_layer: 1, n_embd: 16 });
    /// assert(new_trainer(model, #{}).step == 0);
    /// ```
    #[rhai_fn(get = "step", pure)]
    pub fn step(this: &mut Trainer) -> INT {
        this.engine.borrow().step() as INT
    }

    /// The model that learns.
    ///
    /// ```
    /// let model = init_model("rwkv4", #{ n_layer: 1, n_embd: 16 });
    /// print(new_trainer(model, #{}).model);
    /// ```
    #[rhai_fn(get = "model", pure)]
    pub fn model(this: &mut Trainer) -> Model {
        this.model.clone()
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn trainer_text(this: &mut Trainer) -> String {
        format!("Trainer of {}  step {}", this.model.engine().name, this.engine.borrow().step())
    }
}
