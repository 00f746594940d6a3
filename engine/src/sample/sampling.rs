//! A run of sampling: rules, random numbers, and what occurred so far.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::candidates::Candidates;
use super::{Sampler, log_sum_exp, mirostat};

/// One token and how likely the model itself thought it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The token chosen.
    pub token: u32,
    /// Natural logarithm of its probability before penalties, bans and cuts.
    pub logprob: f32,
}

/// What the next choice depends on besides the logits, the rules and the tokens so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Luck {
    /// Where the random numbers began; each token has taken one of them.
    pub seed: u64,
    /// The surprise that mirostat allows next, in bits.
    pub mu: f64,
}

/// One run of sampling: the rules, the random numbers, and what occurred so far.
#[derive(Clone, Debug)]
pub struct Sampling {
    sampler: Sampler,
    seed: u64,
    random: ChaCha8Rng,
    /// Faded number of occurrences of every token chosen so far.
    pub(super) occurrences: BTreeMap<u32, f64>,
    /// All tokens read and chosen, for the repetition penalty.
    past: Vec<u32>,
    /// The surprise that mirostat allows next, in bits.
    pub(super) mu: f64,
}

impl Sampling {
    /// Starts a run; the same seed and logits give the same tokens on every machine.
    pub fn new(sampler: Sampler, seed: u64) -> Self {
        let (random, mu) = (ChaCha8Rng::seed_from_u64(seed), sampler.first_mu());
        Self { sampler, seed, random, occurrences: BTreeMap::new(), past: vec![], mu }
    }

    /// Where the run stands, for [`Sampling::go_on`].
    pub fn luck(&self) -> Luck {
        Luck { seed: self.seed, mu: self.mu }
    }

    /// Stands where an earlier run stood after it had chosen `tokens`: its occurrences count, and
    /// with the same seed its random numbers go on; another seed begins anew.
    pub fn go_on(&mut self, tokens: &[u32], luck: Luck, exempt: impl Fn(u32) -> bool) {
        for &token in tokens {
            self.remember(token, 1.0, exempt(token));
            if self.seed == luck.seed {
                self.uniform();
            }
        }
        self.mu = luck.mu;
    }

    /// Tells of tokens that were read and not chosen; only the repetition penalty counts them.
    pub fn read(&mut self, tokens: &[u32]) {
        self.past.extend(tokens);
    }

    /// Chooses one of the tokens that are `allowed` and remembers it for the penalties; one that is
    /// `exempt` gets the presence penalty only, see [`super::exempt_from_frequency`].
    ///
    /// # Errors
    /// The logits contain NaN or +∞, or no token is left to choose.
    pub fn next(
        &mut self,
        logits: &[f32],
        allowed: impl Fn(u32) -> bool,
        exempt: impl Fn(u32) -> bool,
    ) -> Result<Choice> {
        ensure!(
            logits.iter().all(|&x| x < f32::INFINITY),
            "the model returned NaN or infinite logits; check the checkpoint and the state, or try \
             32-bit floats"
        );
        let mut changed = self.penalised(logits);
        for (token, logit) in (0..).zip(&mut changed) {
            *logit = if allowed(token) { *logit } else { f32::NEG_INFINITY };
        }
        let kept = Candidates::of(changed, &self.sampler, self.mu);
        let Some((token, p)) = kept.draw(self.uniform()) else {
            bail!("no token is left to choose from; ban fewer tokens");
        };
        self.remember(token, p, exempt(token));
        let logprob = (f64::from(logits[token as usize]) - log_sum_exp(logits)) as f32;
        Ok(Choice { token, logprob })
    }

    /// The logits less what earlier occurrences cost.
    pub(super) fn penalised(&self, logits: &[f32]) -> Vec<f32> {
        let mut logits = logits.to_vec();
        repetition_penalty(&mut logits, self.recent(), self.sampler.repetition_penalty);
        let (presence, frequency) = (self.sampler.presence_penalty, self.sampler.frequency_penalty);
        for (&token, &count) in &self.occurrences {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit -= presence + frequency * count as f32;
            }
        }
        logits
    }

    /// The tokens that the repetition penalty looks at.
    fn recent(&self) -> &[u32] {
        let window = self.sampler.repetition_window;
        let start = if window == 0 { 0 } else { self.past.len().saturating_sub(window) };
        &self.past[start..]
    }

    /// Lets all occurrences fade by one step, then counts this one; `p` is how likely it was.
    pub(super) fn remember(&mut self, token: u32, p: f64, exempt: bool) {
        let decay = f64::from(self.sampler.penalty_decay);
        self.occurrences.values_mut().for_each(|count| *count *= decay);
        *self.occurrences.entry(token).or_default() += if exempt { 0.0 } else { 1.0 };
        self.past.push(token);
        let (tau, eta) = (self.sampler.mirostat_tau.into(), self.sampler.mirostat_eta.into());
        self.mu = mirostat::steer(self.mu, p, tau, eta);
    }

    /// A random number from 0 up to but not including 1.
    pub(super) fn uniform(&mut self) -> f64 {
        (self.random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Makes tokens that occurred less likely, each once however often (CTRL): positive logits are
/// divided by `penalty`, negative ones multiplied.
pub fn repetition_penalty(logits: &mut [f32], occurred: &[u32], penalty: f32) {
    if penalty == 1.0 {
        return;
    }
    let mut done = vec![false; logits.len()];
    for &token in occurred {
        let Some(logit) = logits.get_mut(token as usize) else { continue };
        if !std::mem::replace(&mut done[token as usize], true) {
            *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
        }
    }
}
