//! Training: one batch after the other, and what is kept between them.
//!
//! The recipe is RWKV-LM's: cross-entropy over all positions, L2Wrap on the largest logit, the
//! gradient cut at a global norm, AdamW in groups, a schedule after a warm-up.

mod graph;
mod groups;
mod keep;
mod limit;
mod lora;
mod memory;
mod optimizer;
mod passes;
mod pupil;
mod schedule;
mod settings;

pub use groups::{Group, Pattern};
pub use keep::Kept;
pub use limit::Product;
pub use lora::merge;
pub use optimizer::Gradients;
pub use schedule::{Schedule, Shape};
pub use settings::{Carry, Precision, Rule, Settings, Start, Tune};

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Result, ensure};
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{Device, Tensor};

use crate::data::{Batch, Position};
use crate::model::inside;
use crate::rwkv::Rwkv;
use crate::state::State;
use crate::visual::Visual;
use memory::Memory;
use optimizer::{Optimizer, Update};
use passes::{Lesson, Passes};
use pupil::Pupil;

/// A model in training.
pub struct Trainer {
    /// On the device with gradients; only what learns asks for them.
    pupil: Pupil,
    /// The state before the first token, for one row.
    first: State,
    device: Device,
    settings: Settings,
    groups: Vec<Group>,
    names: HashMap<ParamId, String>,
    optimizer: Optimizer,
    memory: Memory,
    step: usize,
    tokens: u64,
    /// Where each data set stood after its last batch, by its fingerprint.
    positions: BTreeMap<String, Position>,
}

/// What one step did.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Steps done, this one included.
    pub step: usize,
    /// Mean cross-entropy of the batch before the update, in nats per token.
    pub loss: f64,
    /// Rate of this step.
    pub lr: f64,
    /// Norm of all gradients together, before it was cut.
    pub grad_norm: f64,
    /// Positions learnt from per second.
    pub tokens_per_second: f64,
}

impl Trainer {
    /// Starts from the weights of `rwkv` and the state `first` before the first token, for one row.
    /// What does not learn is shared with `rwkv`, not copied.
    ///
    /// # Errors
    /// When the settings contradict each other or name parameters that the model does not have.
    pub fn new(rwkv: &Rwkv, first: &State, device: &Device, settings: Settings) -> Result<Self> {
        Self::seeing(rwkv, None, first, device, settings)
    }

    /// [`Trainer::new`] for a model with what it sees with, if it does.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn seeing(
        rwkv: &Rwkv,
        visual: Option<&Visual>,
        first: &State,
        device: &Device,
        settings: Settings,
    ) -> Result<Self> {
        settings.check(!first.is_v4())?;
        let rwkv = match &settings.tune {
            Tune::Full | Tune::State => rwkv.clone(),
            Tune::Lora { rank, alpha, targets } => {
                lora::attach(rwkv.clone(), *rank, *alpha, targets, settings.seed)
            }
        };
        let pupil = Pupil { rwkv, visual: visual.cloned() };
        let parameters = pupil.parameters();
        let groups = groups::groups(&parameters, &settings)?;
        let learning: HashMap<ParamId, String> = parameters
            .into_iter()
            .zip(&groups)
            .filter(|(_, group)| group.rate > 0.0)
            .map(|(p, _)| (p.id, p.name))
            .collect();
        let mut device = device.clone().autodiff();
        if settings.recompute {
            device = device.gradient_checkpointing();
        }
        Ok(Self {
            pupil: graph::lift_model(&pupil, &learning, &device),
            first: first.clone(),
            names: learning,
            groups,
            device,
            settings,
            optimizer: Optimizer::default(),
            memory: Memory::default(),
            step: 0,
            tokens: 0,
            positions: BTreeMap::new(),
        })
    }

    /// Steps done so far.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Positions learnt from so far.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Where the data set with this fingerprint stood after the last batch that was learnt from it.
    pub fn position(&self, fingerprint: &str) -> Option<&Position> {
        self.positions.get(fingerprint)
    }

    /// What was chosen.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How every parameter learns.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The model as it is now, off the gradient graph.
    pub fn rwkv(&self) -> Rwkv {
        self.pupil.rwkv.valid()
    }

    /// What it sees with as it is now, off the gradient graph.
    pub fn visual(&self) -> Option<Visual> {
        self.pupil.visual.as_ref().map(Module::valid)
    }

    /// The state before the first token as it is now, for one row.
    pub fn first(&self) -> &State {
        &self.first
    }

    /// One update from one batch.
    ///
    /// # Errors
    /// When a number is no longer finite, and when `interrupt` is set; the weights are then what
    /// they were.
    pub fn train_step(&mut self, batch: &Batch, interrupt: &AtomicBool) -> Result<Step> {
        inside(|| self.learn(batch, interrupt))
    }

    fn learn(&mut self, batch: &Batch, interrupt: &AtomicBool) -> Result<Step> {
        let start = Instant::now();
        let kept = self.memory.clone();
        let lesson = self.lesson(batch, interrupt).and_then(|lesson| {
            let norm = norm(&lesson);
            self.check("loss", lesson.loss)?;
            self.check("norm of the gradient", norm)?;
            Ok((lesson, norm))
        });
        let (lesson, norm) = lesson.inspect_err(|_| self.memory = kept)?;
        let cut = self.settings.grad_clip / (norm + 1e-6);
        let scale = if self.settings.grad_clip > 0.0 { cut.min(1.0) } else { 1.0 };
        let lr = self.settings.schedule.at(self.step);
        self.step += 1;
        self.update(lesson.gradients, lesson.first, scale, lr);
        self.memory.end(lesson.left, &self.settings);
        let count = batch.rows() * batch.targets();
        self.tokens += count as u64;
        self.positions.extend(batch.origin().cloned());
        let tokens_per_second = count as f64 / start.elapsed().as_secs_f64();
        Ok(Step { step: self.step, loss: lesson.loss, lr, grad_norm: norm, tokens_per_second })
    }

    fn check(&self, what: &str, value: f64) -> Result<()> {
        ensure!(
            value.is_finite(),
            "the {what} of step {} is {value}; the weights are unchanged. Lower the rate, or look \
             at the data.",
            self.step + 1
        );
        Ok(())
    }

    /// Mean cross-entropy of a batch in nats per token, without learning from it, every row from
    /// the first state.
    ///
    /// # Errors
    /// When `interrupt` is set, and for pictures that nothing can see.
    pub fn evaluate(&self, batch: &Batch, interrupt: &AtomicBool) -> Result<f64> {
        let device = self.device.clone().inner();
        let first = self.first.repeated(batch.rows());
        passes::loss(&self.pupil.valid(), batch, &first, &device, interrupt)
    }

    /// Loss of a batch and the gradient of everything that learns, L2Wrap included, as the next
    /// step would find them; nothing changes.
    ///
    /// # Errors
    /// When `interrupt` is set.
    pub fn gradients(&mut self, batch: &Batch, interrupt: &AtomicBool) -> Result<(f64, Gradients)> {
        let kept = self.memory.clone();
        let lesson = self.lesson(batch, interrupt);
        self.memory = kept;
        let Lesson { loss, mut gradients, first, .. } = lesson?;
        let first = first.into_iter().enumerate();
        gradients.extend(first.map(|(layer, x)| (first_name(layer), x.flatten(0, 2))));
        Ok((loss, gradients))
    }

    fn lesson(&mut self, batch: &Batch, interrupt: &AtomicBool) -> Result<Lesson> {
        let first = self.first.repeated(batch.rows());
        let begin = self.memory.begin(&first, batch.continues(), &self.settings);
        let Self { pupil, device, settings, names, .. } = &*self;
        let passes = Passes { pupil, device, settings, names, interrupt };
        passes.lesson(batch, &begin, settings.learns_start())
    }

    fn update(&mut self, gradients: Gradients, first: Vec<Tensor<3>>, scale: f64, lr: f64) {
        let rates = self.groups.iter().map(|group| (group.name.as_str(), group)).collect();
        let mut step = Stepping {
            gradients,
            names: &self.names,
            device: &self.device,
            groups: rates,
            optimizer: &mut self.optimizer,
            rule: &self.settings.rule,
            how: Update { lr, weight_decay: 0.0, scale, step: self.step },
        };
        for (layer, gradient) in first.into_iter().enumerate() {
            let wkv = &mut self.first.layers[layer].wkv;
            let (shape, x) = (wkv.dims(), wkv.clone().flatten(0, 3));
            let group = Group { name: first_name(layer), rate: 1.0, decays: true };
            *wkv = step.moved(&group, x, gradient.flatten(0, 2)).reshape(shape);
        }
        self.pupil = self.pupil.clone().map(&mut step);
    }
}

/// What checkpoints call the matrices before the first token.
fn first_name(layer: usize) -> String {
    format!("blocks.{layer}{}", crate::checkpoint::TUNED)
}

/// Norm of all gradients together.
fn norm(lesson: &Lesson) -> f64 {
    let square = |x: Tensor<1>| f64::from(x.square().sum().into_scalar::<f32>());
    let first = lesson.first.iter().map(|x| x.clone().flatten(0, 2));
    lesson.gradients.values().cloned().chain(first).map(square).sum::<f64>().sqrt()
}

/// Updates a model, parameter after parameter.
struct Stepping<'a> {
    gradients: Gradients,
    names: &'a HashMap<ParamId, String>,
    device: &'a Device,
    groups: HashMap<&'a str, &'a Group>,
    optimizer: &'a mut Optimizer,
    rule: &'a Rule,
    how: Update,
}

impl Stepping<'_> {
    fn moved(&mut self, group: &Group, x: Tensor<1>, gradient: Tensor<1>) -> Tensor<1> {
        let weight_decay = if group.decays { self.rule.weight_decay() } else { 0.0 };
        let how = Update { lr: self.how.lr * group.rate, weight_decay, ..self.how };
        self.optimizer.update(self.rule, &group.name, x, gradient, how)
    }
}

impl ModuleMapper for Stepping<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(name) = self.names.get(&param.id) else { return param };
        let Some(gradient) = self.gradients.remove(name) else { return param };
        let group = self.groups[name.as_str()];
        let (id, x, mapper) = param.consume();
        let shape = x.dims();
        let x = self.moved(group, x.inner().flatten(0, D - 1), gradient).reshape(shape);
        Param::from_mapped_value(id, graph::lift(x, self.device).require_grad(), mapper)
    }
}
