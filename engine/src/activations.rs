//! Activations of a whole text, put together from the stretches in which it is read.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use anyhow::{Context, Result};

use crate::rwkv::Seen;
use crate::tensor::Array;

/// What was seen inside the blocks: one array per block and letter, along all tokens.
#[derive(Clone, Debug, Default)]
pub struct Activations {
    found: BTreeMap<(usize, &'static str), Kept>,
}

/// One activation: numbers token after token, and the sizes of what belongs to one token.
#[derive(Clone, Debug)]
struct Kept {
    sizes: Vec<usize>,
    values: Vec<f32>,
}

impl Activations {
    /// Puts what is seen behind what is there; `new` is what took its place, if anything did.
    pub fn add(&mut self, seen: &Seen, new: Option<&Array>) {
        let shown = seen.array();
        let sizes = shown.shape()[1..].to_vec();
        let values = match new {
            Some(new) if new.shape().is_empty() => vec![new.item().unwrap_or(0.0); shown.len()],
            Some(new) => new.values(),
            None => shown.values(),
        };
        let kept = self.found.entry((seen.layer, seen.name));
        kept.or_insert(Kept { sizes, values: Vec::new() }).values.extend(values);
    }

    /// Puts what was seen of the tokens after these behind them.
    pub fn append(&mut self, more: Self) {
        for (place, kept) in more.found {
            match self.found.entry(place) {
                Entry::Occupied(mut own) => own.get_mut().values.extend(kept.values),
                Entry::Vacant(place) => drop(place.insert(kept)),
            }
        }
    }

    /// One of them, `[T, H, N]` or `[T, C]`.
    ///
    /// # Errors
    /// When it was not seen.
    pub fn array(&self, layer: usize, name: &str) -> Result<Array> {
        self.kept(layer, name)?.array()
    }

    /// The numbers of one of them, token after token.
    ///
    /// # Errors
    /// When it was not seen.
    pub fn values(&self, layer: usize, name: &str) -> Result<&[f32]> {
        Ok(&self.kept(layer, name)?.values)
    }

    /// Whether it was seen.
    pub fn has(&self, layer: usize, name: &str) -> bool {
        self.kept(layer, name).is_ok()
    }

    /// All of them under their full names, `blocks.2.k`.
    ///
    /// # Errors
    /// Never; all stretches of one activation have the same sizes.
    pub fn named(&self) -> Result<Vec<(String, Array)>> {
        let named = |((layer, name), kept): (&(usize, &str), &Kept)| {
            Ok((format!("blocks.{layer}.{name}"), kept.array()?))
        };
        self.found.iter().map(named).collect()
    }

    /// One activation of all blocks, `[L, T, ..]`.
    ///
    /// # Errors
    /// When a block does not have it.
    pub fn stacked(&self, name: &str) -> Result<Array> {
        let layers = self.found.keys().map(|(layer, _)| layer + 1).max().unwrap_or(0);
        let parts = (0..layers).map(|layer| self.array(layer, name));
        Array::stack(&parts.collect::<Result<Vec<_>>>()?)
    }

    fn kept(&self, layer: usize, name: &str) -> Result<&Kept> {
        let mut found = self.found.iter();
        let one = found.find(|((l, n), _)| *l == layer && *n == name).map(|(_, kept)| kept);
        one.with_context(|| format!("`blocks.{layer}.{name}` was not seen."))
    }
}

impl Kept {
    fn array(&self) -> Result<Array> {
        let one: usize = self.sizes.iter().product();
        let tokens = self.values.len() / one.max(1);
        Array::new(&[&[tokens], &self.sizes[..]].concat(), self.values.clone())
    }
}
