//! Choosing the next token from logits, in the order of the RWKV reference: softmax, then top-p,
//! then top-k, and temperature last – so temperature never changes which tokens are kept.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

#[cfg(test)]
mod tests;

/// How to choose; the default is that of the reference (`PIPELINE_ARGS`).
#[derive(Clone, Debug, PartialEq)]
pub struct Sampler {
    /// Sharpens below 1, flattens above 1; 0 always takes the likeliest token.
    pub temperature: f32,
    /// Keep the likeliest tokens until their probabilities sum to this; 1 keeps all.
    pub top_p: f32,
    /// Keep at most this many tokens; 0 keeps all.
    pub top_k: usize,
    /// Subtracted from the logit of every token that occurred.
    pub presence_penalty: f32,
    /// Subtracted from the logit of a token once per (faded) occurrence.
    pub frequency_penalty: f32,
    /// What remains of an occurrence one token later, from 0 to 1.
    pub penalty_decay: f32,
    /// Tokens never to choose.
    pub ban: Vec<u32>,
}

impl Default for Sampler {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 0.85,
            top_k: 0,
            presence_penalty: 0.2,
            frequency_penalty: 0.2,
            penalty_decay: 0.996,
            ban: vec![],
        }
    }
}

impl Sampler {
    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// Names the first number that is not, and its range.
    pub fn check(&self) -> Result<()> {
        let Self { temperature, top_p, penalty_decay, .. } = self;
        ensure!(
            (0.0..f32::INFINITY).contains(temperature),
            "temperature is {temperature}; give a number from 0 (always the likeliest token) upwards"
        );
        ensure!(
            (0.0..=1.0).contains(top_p),
            "top_p is {top_p}, but it is a share; give a number from 0 to 1 (1 keeps all tokens)"
        );
        ensure!(
            (0.0..=1.0).contains(penalty_decay),
            "penalty_decay is {penalty_decay}, but it is a share; give a number from 0 to 1"
        );
        for (name, penalty) in [
            ("presence_penalty", self.presence_penalty),
            ("frequency_penalty", self.frequency_penalty),
        ] {
            ensure!(penalty.is_finite(), "{name} is {penalty}; give an ordinary number (0 is off)");
        }
        Ok(())
    }
}

/// One token and how likely the model itself thought it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The token chosen.
    pub token: u32,
    /// Natural logarithm of its probability before penalties, bans and cuts.
    pub logprob: f32,
}

/// One run of sampling: the rules, the random numbers, and what occurred so far.
#[derive(Clone, Debug)]
pub struct Sampling {
    sampler: Sampler,
    random: ChaCha8Rng,
    /// Faded number of occurrences of every token chosen so far.
    occurrences: BTreeMap<u32, f64>,
}

impl Sampling {
    /// Starts a run; the same seed and logits give the same tokens on every machine.
    pub fn new(sampler: Sampler, seed: u64) -> Self {
        let random = ChaCha8Rng::seed_from_u64(seed);
        Self { sampler, random, occurrences: BTreeMap::new() }
    }

    /// Chooses a token and remembers it for the penalties; a token that is `exempt` gets the
    /// presence penalty only, see [`exempt_from_frequency`].
    ///
    /// # Errors
    /// The logits contain NaN or +∞, or no token is left to choose.
    pub fn next(&mut self, logits: &[f32], exempt: impl Fn(u32) -> bool) -> Result<Choice> {
        ensure!(
            logits.iter().all(|&x| x < f32::INFINITY),
            "the model returned NaN or infinite logits; check the checkpoint and the state, or try \
             32-bit floats"
        );
        let probabilities = probabilities(&self.penalised(logits), &self.sampler);
        let mut left = self.uniform();
        let mut chosen = None;
        for (token, &p) in probabilities.iter().enumerate().filter(|&(_, &p)| p > 0.0) {
            chosen = Some(token);
            left -= f64::from(p);
            if left < 0.0 {
                break;
            }
        }
        let Some(chosen) = chosen else {
            anyhow::bail!("no token is left to choose from; ban fewer tokens");
        };
        let token = chosen as u32;
        self.remember(token, exempt(token));
        let logprob = (f64::from(logits[chosen]) - log_sum_exp(logits)) as f32;
        Ok(Choice { token, logprob })
    }

    /// The logits less what earlier occurrences cost.
    fn penalised(&self, logits: &[f32]) -> Vec<f32> {
        let (presence, frequency) = (self.sampler.presence_penalty, self.sampler.frequency_penalty);
        let mut logits = logits.to_vec();
        for (&token, &count) in &self.occurrences {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit -= presence + frequency * count as f32;
            }
        }
        logits
    }

    /// Lets all occurrences fade by one step, then counts this one.
    fn remember(&mut self, token: u32, exempt: bool) {
        let decay = f64::from(self.sampler.penalty_decay);
        self.occurrences.values_mut().for_each(|count| *count *= decay);
        *self.occurrences.entry(token).or_default() += if exempt { 0.0 } else { 1.0 };
    }

    /// A random number from 0 up to but not including 1.
    fn uniform(&mut self) -> f64 {
        (self.random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The probabilities to choose by, `[V]` → `[V]`: zero for all that is banned or cut.
///
/// Tokens tied with the last one top-p keeps are kept too; top-k keeps exactly k, of equals those
/// with the lowest ids. All zeros if the logits hold NaN or +∞, or if every token is banned.
pub fn probabilities(logits: &[f32], sampler: &Sampler) -> Vec<f32> {
    let mut logits = logits.to_vec();
    for &token in &sampler.ban {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
    let total = log_sum_exp(&logits);
    let p: Vec<f64> = logits.iter().map(|&x| (f64::from(x) - total).exp()).collect();
    let kept = kept(&p, sampler);
    let Some(&best) = kept.first() else { return vec![0.0; p.len()] };
    let power = if sampler.temperature > 0.0 { 1.0 / f64::from(sampler.temperature) } else { 1.0 };
    // Relative to the best, because a small temperature makes p^(1/T) vanish for all tokens.
    let weight = |token: usize| (p[token] / p[best]).powf(power);
    let sum: f64 = kept.iter().map(|&token| weight(token)).sum();
    let mut probabilities = vec![0.0; p.len()];
    for token in kept {
        probabilities[token] = (weight(token) / sum) as f32;
    }
    probabilities
}

/// The tokens that top-p and top-k leave, likeliest first.
fn kept(p: &[f64], sampler: &Sampler) -> Vec<usize> {
    let greedy = sampler.temperature == 0.0;
    let (top_p, top_k) = if greedy { (0.0, 1) } else { (sampler.top_p, sampler.top_k) };
    let top_p = f64::from(top_p);
    // Tokens this unlikely sum to less than 1 − top_p even if all are, so top-p cuts them anyway;
    // without them there is little to sort.
    let floor = (1.0 - top_p).max(0.0) / (2 * p.len()) as f64;
    let mut tokens: Vec<usize> = (0..p.len()).filter(|&token| p[token] > floor).collect();
    tokens.sort_by(|&a, &b| p[b].total_cmp(&p[a]));
    if top_p < 1.0 {
        let mut mass = 0.0;
        let inside = |&&token: &&usize| {
            let before = mass;
            mass += p[token];
            before < top_p
        };
        let count = tokens.iter().take_while(inside).count().max(1);
        let cutoff = tokens.get(count - 1).map_or(0.0, |&token| p[token]);
        tokens.retain(|&token| p[token] >= cutoff);
    }
    if top_k > 0 {
        tokens.truncate(top_k);
    }
    tokens
}

/// Natural logarithms of the model's probabilities, `[V]` → `[V]`.
pub fn log_softmax(logits: &[f32]) -> Vec<f32> {
    let total = log_sum_exp(logits);
    logits.iter().map(|&x| (f64::from(x) - total) as f32).collect()
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    max + logits.iter().map(|&x| (f64::from(x) - max).exp()).sum::<f64>().ln()
}

/// Whether repeating a token with these bytes is natural: it is part of `" \t0123456789"`, so that
/// numbers and indentation are not punished ("12" is exempt, "21" is not, as in the reference).
pub fn exempt_from_frequency(piece: &[u8]) -> bool {
    let natural = b" \t0123456789";
    !piece.is_empty() && natural.windows(piece.len()).any(|part| part == piece)
}
