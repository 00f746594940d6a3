//! Choosing the next token from logits.
//!
//! The order is that of the RWKV reference – softmax, cuts, and temperature last, so that it never
//! changes which tokens are kept – or that of Hugging Face, where temperature comes first.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

mod candidates;
mod cut;
pub mod mirostat;
mod sampling;
mod settings;
#[cfg(test)]
mod tests;

pub use cut::{Cut, HUGGING_FACE, RWKV};
pub use sampling::{Choice, Luck, Sampling, repetition_penalty};
pub use settings::{SETTINGS, Setting};

use candidates::Candidates;

/// What comes first, the cuts or the temperature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Cut, then temperature; top-p before top-k (BlinkDL).
    Rwkv,
    /// Temperature, then cut; top-k before top-p (`transformers`, llama.cpp).
    HuggingFace,
}

impl Order {
    /// What scripts call them.
    pub const NAMES: &[(&str, Self)] = &[("rwkv", Self::Rwkv), ("hf", Self::HuggingFace)];

    /// The cuts in their order.
    pub fn cuts(self) -> &'static [Cut] {
        match self {
            Self::Rwkv => RWKV,
            Self::HuggingFace => HUGGING_FACE,
        }
    }
}

/// How to choose; the default is that of the reference (`PIPELINE_ARGS`). [`SETTINGS`] says what
/// each number does and where it is off.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampler {
    /// What comes first, the cuts or the temperature.
    pub order: Order,
    /// Sharpens below 1, flattens above 1; 0 always takes the likeliest token.
    pub temperature: f32,
    /// Keep the likeliest tokens until their probabilities sum to this; 1 keeps all.
    pub top_p: f32,
    /// Top-p keeps all tokens likelier than this too; 0 is off.
    pub top_p_x: f32,
    /// Whether the last token of top-p is weakened until what is kept sums to top-p exactly.
    pub exact_top_p: bool,
    /// Keep at most this many tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep p ≥ this · the largest p; 0 is off.
    pub min_p: f32,
    /// Keep the tokens whose surprise is nearest to the entropy until they sum to this; 1 is off.
    pub typical_p: f32,
    /// Keep this share of the bend of the sorted curve (text-generation-webui); 1 is off.
    pub tail_free: f32,
    /// The same as llama.cpp counts it, usually one token fewer; 1 is off.
    pub tail_free_llama: f32,
    /// Keep p ≥ this · the square of the largest p; 0 is off.
    pub top_a: f32,
    /// Keep p ≥ this; 0 is off.
    pub epsilon_cutoff: f32,
    /// Keep p ≥ the smaller of this and its root times exp(−entropy); 0 is off.
    pub eta_cutoff: f32,
    /// Version of mirostat that takes the place of the cuts; 0 is off.
    pub mirostat: usize,
    /// Mean surprise that mirostat steers to, in bits.
    pub mirostat_tau: f32,
    /// How much of an error mirostat corrects with one token, from 0 to 1.
    pub mirostat_eta: f32,
    /// Subtracted from the logit of every token that was chosen.
    pub presence_penalty: f32,
    /// Subtracted from the logit of a token once per (faded) occurrence.
    pub frequency_penalty: f32,
    /// What remains of an occurrence one token later, from 0 to 1.
    pub penalty_decay: f32,
    /// Divides positive logits of tokens read or chosen and multiplies negative ones; 1 is off.
    pub repetition_penalty: f32,
    /// How many of the last tokens `repetition_penalty` looks at; 0 is all.
    pub repetition_window: usize,
    /// Added to the logits of these tokens.
    pub bias: BTreeMap<u32, f32>,
    /// Tokens never to choose.
    pub ban: Vec<u32>,
}

impl Default for Sampler {
    fn default() -> Self {
        Self { top_p: 0.85, presence_penalty: 0.2, frequency_penalty: 0.2, ..Self::plain() }
    }
}

impl Sampler {
    /// One that draws by the probabilities of the model, everything else off.
    pub fn plain() -> Self {
        Self {
            order: Order::Rwkv,
            temperature: 1.0,
            top_p: 1.0,
            top_p_x: 0.0,
            exact_top_p: false,
            top_k: 0,
            min_p: 0.0,
            typical_p: 1.0,
            tail_free: 1.0,
            tail_free_llama: 1.0,
            top_a: 0.0,
            epsilon_cutoff: 0.0,
            eta_cutoff: 0.0,
            mirostat: 0,
            mirostat_tau: 5.0,
            mirostat_eta: 0.1,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            penalty_decay: 0.996,
            repetition_penalty: 1.0,
            repetition_window: 0,
            bias: BTreeMap::new(),
            ban: vec![],
        }
    }

    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// Names the first number that is not, and its range.
    pub fn check(&self) -> Result<()> {
        SETTINGS.iter().try_for_each(|setting| setting.check(setting.read(self)))?;
        for (token, bias) in &self.bias {
            ensure!(
                !bias.is_nan() && *bias < f32::INFINITY,
                "the bias of token {token} is {bias}; give an ordinary number (-inf bans it)"
            );
        }
        Ok(())
    }

    /// Where mirostat begins to steer, in bits.
    fn first_mu(&self) -> f64 {
        2.0 * f64::from(self.mirostat_tau)
    }
}

/// The probabilities to choose by, `[V]` → `[V]`: zero for all that is banned or cut; with mirostat
/// those of the first token.
///
/// All zeros if the logits hold NaN or +∞, or if every token is banned.
pub fn probabilities(logits: &[f32], sampler: &Sampler) -> Vec<f32> {
    Candidates::of(logits.to_vec(), sampler, sampler.first_mu()).spread(logits.len())
}

/// Natural logarithms of the model's probabilities, `[V]` → `[V]`.
pub fn log_softmax(logits: &[f32]) -> Vec<f32> {
    let total = log_sum_exp(logits);
    logits.iter().map(|&x| (f64::from(x) - total) as f32).collect()
}

/// Natural logarithm of the sum of `e^x`, in double precision.
pub(crate) fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    max + logits.iter().map(|&x| (f64::from(x) - max).exp()).sum::<f64>().ln()
}

/// Whether repeating a token with these bytes is natural: it is part of `" \t0123456789"`, so that
/// numbers and indentation are not punished ("12" is exempt, "21" is not, as in the reference).
pub fn exempt_from_frequency(piece: &[u8]) -> bool {
    let natural = b" \t0123456789";
    !piece.is_empty() && natural.windows(piece.len()).any(|part| part == piece)
}
