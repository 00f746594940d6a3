//! One page of training: forward, loss, backward, update.
//!
//! The recipe is RWKV-LM's: cross-entropy over all positions, L2Wrap on the largest logit, the
//! gradient cut at a global norm, AdamW in three groups, a cosine after a warm-up.

mod schedule;

pub use schedule::Cosine;

use std::collections::HashMap;
use std::time::Instant;

use anyhow::{Result, ensure};
use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::data::Batch;
use crate::rwkv::{Parameter, Rwkv};

/// There are parameters that learn once, twice and three times as fast.
const RATES: usize = 3;

/// What can be chosen about training.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The rate over the steps.
    pub schedule: Cosine,
    /// How long the two averages of AdamW remember.
    pub betas: [f32; 2],
    /// Added to the root of the second average.
    pub eps: f32,
    /// Share of a matrix that is taken away per step and unit of rate.
    pub weight_decay: f32,
    /// Largest norm of all gradients together; 0 cuts nothing.
    pub grad_clip: f64,
    /// Strength of the pull on the largest logit.
    pub l2wrap: f64,
}

impl Default for Settings {
    /// RWKV-LM's demo scripts, but for the length.
    fn default() -> Self {
        Self {
            schedule: Cosine { lr_init: 6e-4, lr_final: 6e-5, warmup: 10, steps: 1000 },
            betas: [0.9, 0.99],
            eps: 1e-18,
            weight_decay: 0.001,
            grad_clip: 1.0,
            l2wrap: 1e-4,
        }
    }
}

/// A model in training.
pub struct Trainer {
    rwkv: Rwkv,
    /// Parameters that learn faster than the others, and how many times.
    fast: HashMap<ParamId, usize>,
    optimizers: [ModuleOptimizer; RATES], // of those that learn once, twice, three times as fast
    device: Device,
    settings: Settings,
    step: usize,
}

/// What one step did.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
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
    /// Starts from the weights of `rwkv`, on `device`.
    pub fn new(rwkv: &Rwkv, device: &Device, settings: Settings) -> Self {
        let parameters = rwkv.parameters();
        let adamw = |weight_decay: f32| {
            AdamWConfig::new()
                .with_beta_1(settings.betas[0])
                .with_beta_2(settings.betas[1])
                .with_epsilon(settings.eps)
                .with_weight_decay(weight_decay)
        };
        let matrices = parameters.iter().filter(|p| is_matrix(p)).map(|p| p.id).collect();
        let slow = ModuleOptimizer::from(adamw(0.0).build()).with_group(
            ParamGroup::from_ids(matrices),
            adamw(settings.weight_decay).build(),
            None,
        );
        Self {
            fast: parameters.iter().filter_map(|p| Some((p.id, times(&p.name)?))).collect(),
            optimizers: [slow, adamw(0.0).init(), adamw(0.0).init()],
            rwkv: rwkv.clone().train(),
            device: device.clone().autodiff(),
            settings,
            step: 0,
        }
    }

    /// Steps done so far.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Steps that the schedule is made for.
    pub fn steps(&self) -> usize {
        self.settings.schedule.steps
    }

    /// The model as it is now, off the gradient graph.
    pub fn rwkv(&self) -> Rwkv {
        self.rwkv.valid()
    }

    /// One update from one batch.
    ///
    /// # Errors
    /// When the loss is no longer finite; the weights are then what they were.
    pub fn train_step(&mut self, batch: &Batch) -> Result<Progress> {
        let start = Instant::now();
        let (loss, gradients) = self.gradients(batch);
        ensure!(
            loss.is_finite(),
            "the loss of step {} is {loss}; lower the rate or look at the data.",
            self.step + 1
        );
        let norm = self.norm(&gradients);
        let cut = self.settings.grad_clip / (norm + 1e-6);
        let scale = if self.settings.grad_clip > 0.0 { cut.min(1.0) } else { 1.0 };
        let lr = self.settings.schedule.at(self.step);
        self.update(gradients, scale, lr);
        self.step += 1;
        let seconds = start.elapsed().as_secs_f64();
        let tokens_per_second = (batch.rows() * batch.targets()) as f64 / seconds;
        Ok(Progress { step: self.step, loss, lr, grad_norm: norm, tokens_per_second })
    }

    /// Mean cross-entropy of a batch in nats per token, without learning from it.
    pub fn evaluate(&self, batch: &Batch) -> f64 {
        let device = self.device.clone().inner();
        let rwkv = self.rwkv();
        let (inputs, targets) = batch.tensors(&device);
        let mut state = rwkv.state(batch.rows(), &device);
        let logits = rwkv.forward(inputs, &mut state);
        f64::from(cross_entropy(logits, targets, batch.shares(&device)).into_scalar::<f32>())
    }

    /// Loss of a batch and the gradient of every parameter, L2Wrap included.
    pub fn gradients(&self, batch: &Batch) -> (f64, GradientsParams) {
        let (inputs, targets) = batch.tensors(&self.device);
        let mut state = self.rwkv.state(batch.rows(), &self.device);
        let logits = self.rwkv.forward(inputs, &mut state);
        let loss = cross_entropy(logits.clone(), targets, batch.shares(&self.device));
        let value = f64::from(loss.clone().into_scalar::<f32>());
        // The gradient of ½·l2wrap·mean(max²); the reported loss stays the cross-entropy.
        let wrap = logits.max_dim(2).square().mean() * (self.settings.l2wrap / 2.0);
        let gradients = GradientsParams::from_grads((loss + wrap).backward(), &self.rwkv);
        (value, gradients)
    }

    /// The gradient of each parameter by its checkpoint name, row after row.
    pub fn named_gradients(&self, gradients: &GradientsParams) -> Vec<(String, Vec<f32>)> {
        let mut names: HashMap<_, _> =
            self.rwkv.parameters().into_iter().map(|p| (p.id, p.name)).collect();
        let numbers = |values: Tensor<1>| {
            values.into_data().try_into_vec::<f32>().expect("gradients are f32")
        };
        let found = self.flat(gradients).into_iter();
        found.filter_map(|(id, values)| Some((names.remove(&id)?, numbers(values)))).collect()
    }

    fn norm(&self, gradients: &GradientsParams) -> f64 {
        let square = |x: Tensor<1>| f64::from(x.square().sum().into_scalar::<f32>());
        self.flat(gradients).into_iter().map(|(_, x)| square(x)).sum::<f64>().sqrt()
    }

    /// Every gradient as one long vector.
    fn flat(&self, gradients: &GradientsParams) -> Vec<(ParamId, Tensor<1>)> {
        let mut flat = Flat { gradients, found: Vec::new() };
        self.rwkv.visit(&mut flat);
        flat.found
    }

    fn update(&mut self, gradients: GradientsParams, scale: f64, lr: f64) {
        let shares = std::array::from_fn(|_| GradientsParams::new());
        let mut split = Split { all: gradients, fast: &self.fast, scale, shares };
        self.rwkv.visit(&mut split);
        let shares = split.shares.into_iter().zip(&mut self.optimizers).enumerate();
        // A step goes through the whole model, so none is made for nothing.
        for (i, (share, optimizer)) in shares.filter(|(_, (share, _))| !share.is_empty()) {
            self.rwkv = optimizer.step(lr * (i + 1) as f64, self.rwkv.clone(), share);
        }
    }
}

/// Cross-entropy of logits `[B, T, V]` for targets `[B, T]` in nats: the mean, or the sum over
/// positions times their `shares` `[B·T, 1]`.
pub fn cross_entropy(
    logits: Tensor<3>,
    targets: Tensor<2, Int>,
    shares: Option<Tensor<2>>,
) -> Tensor<1> {
    let [b, t, v] = logits.dims();
    let log_p = log_softmax(logits.reshape([b * t, v]), 1);
    let said = log_p.gather(1, targets.reshape([b * t, 1]));
    match shares {
        Some(shares) => -(said * shares).sum(),
        None => -said.mean(),
    }
}

/// Weight decay is for what a checkpoint calls a weight and is a matrix: no norms, no vectors, and
/// none of the thin matrices.
fn is_matrix(p: &Parameter) -> bool {
    p.name.ends_with(".weight") && p.shape.iter().filter(|&&n| n != 1).count() >= 2
}

/// How many times as fast as the others a parameter learns, where it does (RWKV-LM, trainer groups).
fn times(name: &str) -> Option<usize> {
    let fast = [(".att.w0", 2), (".att.time_decay", 2), (".att.time_first", 3)];
    fast.into_iter().find(|(end, _)| name.ends_with(end)).map(|(_, times)| times)
}

/// The gradients of a module one after the other, each as one long vector.
struct Flat<'a> {
    gradients: &'a GradientsParams,
    found: Vec<(ParamId, Tensor<1>)>,
}

impl ModuleVisitor for Flat<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.gradients.get::<D>(param.id) {
            self.found.push((param.id, grad.flatten(0, D - 1)));
        }
    }
}

/// Scales gradients and shares them out between the optimizers.
struct Split<'a> {
    all: GradientsParams,
    fast: &'a HashMap<ParamId, usize>,
    scale: f64,
    shares: [GradientsParams; RATES],
}

impl ModuleVisitor for Split<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.all.remove::<D>(param.id) {
            let times = self.fast.get(&param.id).copied().unwrap_or(1);
            self.shares[times - 1].register(param.id, grad * self.scale);
        }
    }
}

impl Batch {
    /// What is read and what is to be said next, both `[B, T]`.
    fn tensors(&self, device: &Device) -> (Tensor<2, Int>, Tensor<2, Int>) {
        let (rows, width) = (self.rows(), self.targets() + 1);
        let ids: Vec<i32> = self.tokens().iter().map(|&id| id as i32).collect();
        let all = Tensor::<2, Int>::from_data(TensorData::new(ids, [rows, width]), device);
        (all.clone().narrow(1, 0, width - 1), all.narrow(1, 1, width - 1))
    }

    /// What share of the loss each position has, `[B·T, 1]`; none where all have the same.
    fn shares(&self, device: &Device) -> Option<Tensor<2>> {
        let rows = self.weights().chunks(self.targets() + 1);
        let weights: Vec<f32> = rows.flat_map(|row| &row[1..]).copied().collect();
        let sum: f32 = weights.iter().sum();
        let shape = [weights.len(), 1];
        (sum > 0.0).then(|| Tensor::from_data(TensorData::new(weights, shape), device) / sum)
    }
}
