//! What can be chosen about training.

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::groups::Pattern;
use super::schedule::Schedule;

/// What can be chosen about training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The rate over the steps.
    pub schedule: Schedule,
    /// What turns gradients into updates.
    pub rule: Rule,
    /// Largest norm of all gradients together; 0 cuts nothing.
    pub grad_clip: f64,
    /// Strength of the pull on the largest logit.
    pub l2wrap: f64,
    /// In how many parts the rows of a batch are passed, one after the other: as many times less
    /// memory, the same gradients.
    pub accumulate: usize,
    /// What is not to learn.
    pub freeze: Vec<Pattern>,
    /// What is to learn at another rate, and how many times as fast; the first that fits counts.
    pub rates: Vec<(Pattern, f64)>,
    /// What the memory before each chunk is.
    pub carry: Carry,
    /// Tokens of a row that are read at once; 0 for all of them.
    pub chunk: usize,
    /// Share of the rows that start from the first state although `carry` is [`Carry::Pass`].
    pub restart: f64,
    /// The memory before the first token.
    pub start: Start,
    /// What learns at all.
    pub tune: Tune,
    /// The numbers that matrix products are made of.
    pub precision: Precision,
    /// Whether what is cheap to compute is computed again on the way back and not kept.
    pub recompute: bool,
    /// Where everything random begins: the noise, new low-rank factors, rows that restart.
    pub seed: u64,
}

/// What turns a gradient into an update.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Rule {
    /// Adam with decoupled weight decay (arXiv 1711.05101).
    AdamW {
        /// How long the two averages remember.
        betas: [f64; 2],
        /// Added to the root of the second average.
        eps: f64,
        /// Share of a matrix that is taken away per step and unit of rate.
        weight_decay: f64,
    },
    /// Stochastic gradient descent.
    Sgd {
        /// Share of the last update that goes on.
        momentum: f64,
        /// As in AdamW.
        weight_decay: f64,
    },
}

/// What a chunk of a row, and a row of the next batch, start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Carry {
    /// Each chunk from the first state.
    None,
    /// What the chunk before left; no gradient passes.
    Detach,
    /// What the chunk before left, with the true gradient through it.
    Grad,
    /// As [`Carry::Grad`] inside a row; a row starts from what another row of the batch before left.
    Pass,
}

/// The memory before the first token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Start {
    /// The state that the model starts from.
    Zero,
    /// Matrices that learn like weights (`time_state`).
    Learned,
    /// Normal noise on the matrices, `strength` times the root mean square that final states have.
    Noise {
        /// 1 for noise as large as what is remembered.
        strength: f64,
    },
}

/// What learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Tune {
    /// Every weight that is not frozen.
    Full,
    /// Two thin matrices beside each matrix that a pattern names (arXiv 2106.09685).
    Lora {
        /// Their width.
        rank: usize,
        /// What they add is multiplied by `alpha / rank`.
        alpha: f64,
        /// Names of the matrices.
        targets: Vec<Pattern>,
    },
    /// Only the state before the first token.
    State,
}

/// Numbers of matrix products; weights and averages are always single precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Precision {
    /// Single precision.
    F32,
    /// Factors rounded to bfloat16, sums in single precision.
    Bf16,
}

impl From<Precision> for rwkv_kernels::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

impl Default for Rule {
    /// RWKV-LM's demo scripts.
    fn default() -> Self {
        Self::AdamW { betas: [0.9, 0.99], eps: 1e-18, weight_decay: 0.001 }
    }
}

impl Default for Settings {
    /// RWKV-LM's demo scripts, but for the length.
    fn default() -> Self {
        Self {
            schedule: Schedule::default(),
            rule: Rule::default(),
            grad_clip: 1.0,
            l2wrap: 1e-4,
            accumulate: 1,
            freeze: Vec::new(),
            rates: Vec::new(),
            carry: Carry::None,
            chunk: 0,
            restart: 0.1,
            start: Start::Zero,
            tune: Tune::Full,
            precision: Precision::F32,
            recompute: false,
            seed: 0,
        }
    }
}

impl Rule {
    /// Share of a matrix that is taken away per step and unit of rate.
    pub fn weight_decay(&self) -> f64 {
        match self {
            Self::AdamW { weight_decay, .. } | Self::Sgd { weight_decay, .. } => *weight_decay,
        }
    }
}

impl Carry {
    /// The ways there are, by name.
    pub const NAMES: [(&str, Self); 4] = [
        ("none", Self::None),
        ("detach", Self::Detach),
        ("grad", Self::Grad),
        ("pass", Self::Pass),
    ];
}

impl Settings {
    /// Whether the state before the first token learns.
    pub fn learns_start(&self) -> bool {
        self.start == Start::Learned || self.tune == Tune::State
    }

    /// Refuses what contradicts itself; `heads` is whether the model's state has matrices.
    pub(super) fn check(&self, heads: bool) -> Result<()> {
        ensure!(self.accumulate > 0, "accumulate must be at least 1.");
        if !heads && self.learns_start() {
            bail!("RWKV-4 keeps sums, not matrices; there is no first state to tune in it.");
        }
        if !heads && matches!(self.start, Start::Noise { .. }) {
            bail!("RWKV-4 keeps sums, not matrices; choose carry: \"pass\" in place of noise.");
        }
        if self.tune == Tune::State && matches!(self.start, Start::Noise { .. }) {
            bail!("a state that is tuned cannot be noise as well; leave out init_state.");
        }
        Ok(())
    }
}
