//! What a chat file says in JSON: everything but the numbers of the memories.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::template::Template;
use super::turn::Turn;
use crate::constrain::Form;
use crate::generate::Options;
use crate::model::Model;
use crate::sample::{Order, SETTINGS, Sampler};

/// A conversation without its memories, which are numbered.
#[derive(Serialize, Deserialize)]
pub(super) struct Written {
    pub(super) template: Template,
    pub(super) settings: Settings,
    pub(super) seed: Option<u64>,
    pub(super) budget: usize,
    pub(super) now: usize,
    /// The child of each turn that was visited last.
    pub(super) visited: Vec<(usize, usize)>,
    pub(super) turns: Vec<Turn>,
    /// The memories of each turn.
    pub(super) kept: Vec<Kept>,
    /// What was remembered at the start, where that is not nothing.
    pub(super) start: Option<usize>,
    pub(super) edited: Option<usize>,
    /// What each memory has been through: tokens read, and edits in words.
    pub(super) pasts: Vec<(u64, Vec<String>)>,
}

/// The numbers of the memories that are kept for a turn.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) base: Option<usize>,
    pub(super) state: Option<usize>,
    pub(super) raw: Option<usize>,
    pub(super) half: Option<usize>,
}

/// How answers are generated.
#[derive(Serialize, Deserialize)]
pub(super) struct Settings {
    max_tokens: usize,
    /// Each number of the sampler under its name.
    sampler: BTreeMap<String, f64>,
    order: String,
    exact_top_p: bool,
    /// Tokens and what is added to their logits; null bans, since JSON has no infinities.
    bias: Vec<(u32, Option<f32>)>,
    ban: Vec<u32>,
    seed: u64,
    stop: Vec<String>,
    end: Vec<u32>,
    unused_ids: bool,
    form: Option<Form>,
}

impl Settings {
    pub(super) fn of(options: &Options) -> Self {
        let sampler = &options.sampler;
        let order = Order::NAMES.iter().find(|(_, order)| *order == sampler.order);
        let numbers = SETTINGS.iter().map(|one| (one.name.to_string(), one.read(sampler)));
        let bias = sampler.bias.iter();
        Self {
            max_tokens: options.max_tokens,
            sampler: numbers.collect(),
            order: order.map_or("", |(name, _)| name).to_string(),
            exact_top_p: sampler.exact_top_p,
            bias: bias.map(|(&id, &bias)| (id, bias.is_finite().then_some(bias))).collect(),
            ban: sampler.ban.clone(),
            seed: options.seed,
            stop: options.stop.clone(),
            end: options.end.clone(),
            unused_ids: options.unused_ids,
            form: options.form.clone(),
        }
    }

    /// # Errors
    /// For a number out of range, and for an order nobody knows.
    pub(super) fn options(self) -> Result<Options> {
        let mut sampler = Sampler::plain();
        for setting in SETTINGS {
            if let Some(value) = self.sampler.get(setting.name) {
                setting.write(&mut sampler, *value)?;
            }
        }
        let order = Order::NAMES.iter().find(|(name, _)| *name == self.order);
        sampler.order = order.context("it has a sampler of an unknown order")?.1;
        sampler.exact_top_p = self.exact_top_p;
        let bias = self.bias.into_iter();
        sampler.bias = bias.map(|(id, bias)| (id, bias.unwrap_or(f32::NEG_INFINITY))).collect();
        sampler.ban = self.ban;
        sampler.check()?;
        let Self { max_tokens, seed, stop, end, unused_ids, form, .. } = self;
        Ok(Options { max_tokens, sampler, seed, stop, end, unused_ids, form })
    }
}

impl Written {
    /// Checks that the turns are a tree of this model's tokens.
    ///
    /// # Errors
    /// Says what is wrong with the first turn that is.
    pub(super) fn check(&self, model: &Model) -> Result<()> {
        self.template.check()?;
        let count = self.turns.len();
        ensure!(self.now <= count, "it stands at turn {} of {count}", self.now);
        ensure!(self.kept.len() == count, "it keeps {} memories for {count}", self.kept.len());
        for (number, turn) in (1..).zip(&self.turns) {
            let parent = turn.asked.parent;
            ensure!(parent < number, "its turn {number} follows turn {parent}");
            ensure!(
                turn.reading.tokens.len() == turn.logprobs.len() && !turn.reading.rest.is_empty(),
                "its turn {number} was not read"
            );
            let beyond = turn.reading.all().find(|&&id| id as usize >= model.vocab_size());
            ensure!(beyond.is_none(), "its turn {number} has tokens that the model does not know");
            let lost = turn.foreign && self.kept[number - 1].state.is_none();
            ensure!(!lost, "the memory of its turn {number} is missing");
        }
        for &(parent, child) in &self.visited {
            let turn = child.checked_sub(1).and_then(|at| self.turns.get(at));
            let fits = turn.is_some_and(|turn| turn.asked.parent == parent);
            ensure!(fits, "its turn {child} does not follow turn {parent}");
        }
        Ok(())
    }
}
