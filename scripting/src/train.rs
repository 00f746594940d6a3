//! Training loops: a trainer that makes steps, is kept, and goes on.

mod choices;
mod keeping;
mod recipes;

pub use recipes::recipes;

use crate::data::{Batch, Dataset};
use crate::host::{Fallible, Host, Value, engine_failure, fail, words};
use crate::model::Model;
use crate::state::State;
use crate::tensor::Tensor;
use crate::{Table, View};
use choices::{Choices, choices};
use rhai::plugin::*;
use rhai::{INT, Map, Module};
use rwkv_engine::tensor::Array;
use rwkv_engine::train::Trainer as Engine;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A model in training; all copies are the same one.
#[derive(Clone)]
pub struct Trainer {
    engine: Rc<RefCell<Engine>>,
    model: Model,
    batch_size: usize,
}

impl Trainer {
    /// Refuses tokens that the model does not have.
    fn check(&self, batch: &Batch) -> Fallible<()> {
        self.model.engine().check(batch.0.tokens()).map_err(engine_failure)
    }

    /// What is to be learnt next: the batch, or one drawn from the data set.
    fn batch(&self, value: &Value) -> Fallible<Batch> {
        let batch = if let Some(batch) = value.read_lock::<Batch>() {
            batch.clone()
        } else if let Some(data) = value.read_lock::<Dataset>() {
            data.draw(self.batch_size)?
        } else {
            let found = words(value);
            return Err(fail(format!("train_step needs a Batch or a Dataset, not {found}")));
        };
        self.check(&batch)?;
        Ok(batch)
    }

    /// Lets the model know what the trainer has learnt.
    fn teach(&self) -> Fallible<()> {
        let busy = |_| {
            fail("the model is being used by the function that calls this; train outside of it")
        };
        self.model.0.try_borrow_mut().map_err(busy)?.learn(&self.engine.borrow());
        Ok(())
    }
}

/// Batches that `evaluate` takes from a data set.
const PROBE: u64 = 4;

fn start(host: &Host, model: &Model, options: Map) -> Fallible<Trainer> {
    let Choices { settings, batch_size } = choices(host, options)?;
    let trainer = {
        let engine = model.engine();
        let (rwkv, visual) = (&engine.rwkv, engine.visual.as_ref());
        Engine::seeing(rwkv, visual, &engine.state(), &engine.place.device, settings)
    };
    let engine = Rc::new(RefCell::new(trainer.map_err(engine_failure)?));
    let trainer = Trainer { engine, model: model.clone(), batch_size };
    trainer.teach()?;
    Ok(trainer)
}

fn numbers<const N: usize>(pairs: [(&str, f64); N]) -> Map {
    pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

/// The module of this file.
pub fn module() -> Module {
    let mut module = exported_module!(functions);
    module.combine(recipes::module()).combine(keeping::module());
    module
}

#[export_module]
mod functions {
    /// A model in training.
    pub type Trainer = super::Trainer;

    /// Starts training a model; the model itself learns, with every step.
    ///
    /// Recipe:
    /// - `optimizer` from `optim::adam`, `optim::adamw` or `optim::sgd`
    /// - `schedule` from `optim::cosine`, `optim::linear`, `optim::wsd` or `optim::constant`
    /// - `batch_size` rows that `train_step` draws from a data set, 8
    /// - `accumulate` in how many parts the rows of a batch are passed, 1: less memory, the same
    ///   gradients
    /// - `grad_clip` largest norm of all gradients together, 1; 0 cuts nothing
    /// - `l2wrap` strength of the pull on the largest logit, 1e-4
    /// - `seed` of everything random in training
    ///
    /// What learns:
    /// - `tune` "full", "lora" (two thin matrices beside each of `targets`) or "state" (only the
    ///   state before the first token)
    /// - `rank` width of the thin matrices, 8
    /// - `alpha` they are multiplied by `alpha / rank`, 2 · rank
    /// - `targets` patterns of matrices, ["*.att.*", "*.ffn.*"]
    /// - `freeze` patterns of parameters that do not learn, such as ["emb", "blocks.0"]
    /// - `rates` how many times as fast some learn, such as #{ "head": 0.1 }
    ///
    /// The hidden state:
    /// - `carry` what a chunk of a row starts from: "none" the first state; "detach" what the chunk
    ///   before left; "grad" the same with the true gradient through it; "pass" as "grad", and a row
    ///   starts from what another row of the batch before left
    /// - `chunk` tokens that are read at once, 0 for whole rows
    /// - `init_state` "zero" the model's own first state, "learned" matrices that learn, "noise"
    /// - `noise` its strength against the size of final states, 1
    /// - `restart` share of the rows that start from the first state all the same under "pass", 0.1
    ///
    /// The computation:
    /// - `precision` of matrix products, "f32" or "bf16"; weights and averages are always f32
    /// - `recompute` whether what is cheap is computed twice in place of being kept, false
    ///
    /// ```
    /// let model = init_model("rwkv4", #{ n_layer: 1, n_embd: 16 });
    /// let trainer = new_trainer(model, #{ schedule: optim::cosine(#{ steps: 10 }) });
    /// let data = data::tokens(model.encode("abcabcabcabcabc"), #{ ctx_len: 4 });
    /// print(trainer.train_step(data.next_batch(2)).loss);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn new_trainer(
        context: NativeCallContext,
        model: Model,
        options: Map,
    ) -> Fallible<Trainer> {
        start(&Host::of(&context), &model, options)
    }

    /// Learns from one batch, or from one drawn from a data set: `#{step, loss, lr, grad_norm,
    /// tokens_per_second}`. Ctrl-C between two chunks, and numbers that are not finite, leave
    /// everything as it was.
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
        batch: Value,
    ) -> Fallible<Map> {
        let host = Host::of(&context);
        host.poll()?;
        let batch = this.batch(&batch)?;
        let mut engine = this.engine.borrow_mut();
        let done = engine.train_step(&batch.0, &host.interrupt).map_err(engine_failure)?;
        let steps = engine.settings().schedule.steps.max(done.step) as u64;
        drop(engine);
        host.progress.tell("training", "steps", done.step as u64, steps);
        this.teach()?;
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
    /// for everything that learns, by its name in checkpoints.
    ///
    /// ```
    /// let model = init_model("rwkv7", #{ n_layer: 1, n_embd: 16 });
    /// let batch = data::batch([[97, 98, 99], [98, 99, 97]]);
    /// let out = new_trainer(model, #{ l2wrap: 0 }).gradients(batch);
    /// assert(out.grads["head.weight"].shape == [256, 16]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn gradients(
        context: NativeCallContext,
        this: &mut Trainer,
        batch: Batch,
    ) -> Fallible<Map> {
        this.check(&batch)?;
        let interrupt = Host::of(&context).interrupt.clone();
        let found = this.engine.borrow_mut().gradients(&batch.0, &interrupt);
        let (loss, gradients) = found.map_err(engine_failure)?;
        let model = this.model.engine();
        let mut shapes: BTreeMap<String, Vec<usize>> = model.tensors().into_iter().collect();
        let tensor = |(name, values): (String, _)| {
            let flat = Array::of(values);
            // The first state is no tensor of the model.
            let matrices = vec![model.n_head(), model.head_size(), model.head_size()];
            let shape = shapes.remove(&name).unwrap_or(matrices);
            let array = flat.reshape(&shape).map_err(engine_failure)?;
            Ok((name.into(), Dynamic::from(Tensor::from(array))))
        };
        let grads: Map = gradients.into_iter().map(tensor).collect::<Fallible<_>>()?;
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
    pub fn evaluate_batch(
        context: NativeCallContext,
        this: &mut Trainer,
        batch: Batch,
    ) -> Fallible<Map> {
        this.check(&batch)?;
        let interrupt = Host::of(&context).interrupt.clone();
        let loss = this.engine.borrow().evaluate(&batch.0, &interrupt).map_err(engine_failure)?;
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
        let counter = host.progress.begin("evaluating".into(), "batches", PROBE);
        for _ in 0..PROBE {
            host.poll()?;
            let batch = Batch(probe.next_batch(this.batch_size).map_err(engine_failure)?);
            this.check(&batch)?;
            let engine = this.engine.borrow();
            sum += engine.evaluate(&batch.0, &host.interrupt).map_err(engine_failure)?;
            counter.add(1);
        }
        let loss = sum / PROBE as f64;
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

    /// Tokens learnt from so far.
    ///
    /// ```
    /// let model = init_model("rwkv4", #{ n_layer: 1, n_embd: 16 });
    /// assert(new_trainer(model, #{}).tokens == 0);
    /// ```
    #[rhai_fn(get = "tokens", pure)]
    pub fn tokens(this: &mut Trainer) -> INT {
        this.engine.borrow().tokens() as INT
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

    /// The state before the first token, which learns with `tune: "state"` or
    /// `init_state: "learned"`; `state.save(path, "time_state")` writes it for other programs.
    ///
    /// ```
    /// let model = init_model("rwkv7", #{ n_layer: 1, n_embd: 16 });
    /// assert(new_trainer(model, #{ tune: "state" }).state.norm() == 0);
    /// ```
    #[rhai_fn(get = "state", pure)]
    pub fn state(this: &mut Trainer) -> State {
        State::of(&this.model, this.engine.borrow().first().clone())
    }

    /// How every parameter learns: its rate against the schedule's, and whether it decays.
    ///
    /// ```
    /// let model = init_model("rwkv7", #{ n_layer: 1, n_embd: 16 });
    /// show(new_trainer(model, #{ freeze: ["emb"] }).groups());
    /// ```
    #[rhai_fn(pure)]
    pub fn groups(this: &mut Trainer) -> View {
        let engine = this.engine.borrow();
        let rows = engine.groups().iter().map(|group| {
            let rate = match group.rate {
                0.0 => "frozen".to_string(),
                rate => format!("x {rate}"),
            };
            vec![group.name.clone(), rate, if group.decays { "yes" } else { "" }.to_string()]
        });
        View::Table(Table::new(&["parameter", "rate", "decays"], rows.collect()))
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn trainer_text(this: &mut Trainer) -> String {
        format!("Trainer of {}  step {}", this.model.engine().name, this.engine.borrow().step())
    }
}
