//! What learns: a language model, and what it sees with.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::{Int, Tensor};

use crate::data::{Pictures, Shown};
use crate::model::parameters;
use crate::rwkv::{Parameter, Rows, Rwkv, Scan, Tap};
use crate::state::State;
use crate::visual::Visual;

/// A language model, and what it sees with in a VisualRWKV.
#[derive(Module, Debug)]
pub struct Pupil {
    /// The language model.
    pub rwkv: Rwkv,
    /// What it sees with.
    pub visual: Option<Visual>,
}

impl Pupil {
    /// Every parameter by its name in checkpoints.
    pub fn parameters(&self) -> Vec<Parameter> {
        parameters(&self.rwkv, self.visual.as_ref())
    }

    /// What the output head reads of some rows of a batch, tokens `[B, T]` with pictures in their
    /// places: `[B, T, C]`.
    ///
    /// # Errors
    /// When there is nothing to see them with, and when `interrupt` is set.
    pub fn seeing(
        &self,
        tokens: Tensor<2, Int>,
        pictures: &Pictures,
        rows: &Range<usize>,
        state: &mut State,
        interrupt: &AtomicBool,
    ) -> Result<Tensor<3>> {
        let eyes = self.visual.as_ref();
        let eyes = eyes.context("a batch with pictures is for a model that sees.")?;
        let x = self.rwkv.embed(tokens.clone());
        let rows = &pictures.rows[rows.clone()];
        let used = Pictures::used(rows);
        let seen = match used.is_empty() {
            true => Tensor::zeros([1, eyes.rows(), x.dims()[2]], &x.device()),
            false => eyes.look(pictures.pixels(&used, &x.device()), interrupt)?.rows,
        };
        let first = rows.iter().flatten().next();
        let scan = first.map_or_else(Scan::default, |first| eyes.scan(first.at));
        let x = spliced(x, &seen, used.start, rows);
        Ok(self.rwkv.read(Rows { x, tokens, scan }, state, Tap::none()))
    }
}

/// The rows of a text with those of its pictures in their places; the first picture that was seen
/// has the number `first`. Rows whose pictures stand at the same places are put together at once.
fn spliced(x: Tensor<3>, seen: &Tensor<3>, first: usize, rows: &[Vec<Shown>]) -> Tensor<3> {
    let t = x.dims()[1];
    let (mut groups, mut row) = (Vec::new(), 0);
    for group in rows.chunk_by(|a, b| places(a).eq(places(b))) {
        let text = x.clone().narrow(0, row, group.len());
        row += group.len();
        let (mut parts, mut end) = (Vec::new(), 0);
        for (i, place) in group[0].iter().enumerate() {
            if place.at > end {
                parts.push(text.clone().narrow(1, end, place.at - end));
            }
            let which = group.iter().map(|row| row[i].picture.map(|picture| picture - first));
            let shown = shown(&which.collect::<Vec<_>>(), seen);
            parts.push(shown.narrow(1, place.rows.start, place.rows.len()));
            end = place.at + place.rows.len();
        }
        if t > end {
            parts.push(text.narrow(1, end, t - end));
        }
        groups.push(Tensor::cat(parts, 1));
    }
    Tensor::cat(groups, 0)
}

/// Where the pictures of a row stand, and how much of them.
fn places(row: &[Shown]) -> impl Iterator<Item = (usize, &Range<usize>)> {
    row.iter().map(|place| (place.at, &place.rows))
}

/// The rows of these pictures, `[B, T, C]`, nothing where there is none.
fn shown(which: &[Option<usize>], seen: &Tensor<3>) -> Tensor<3> {
    let one = |picture: &Option<usize>| match picture {
        Some(i) => seen.clone().narrow(0, *i, 1),
        None => seen.clone().narrow(0, 0, 1).zeros_like(),
    };
    // Mostly they come one after the other.
    let run = |first: usize| which.iter().enumerate().all(|(i, at)| *at == Some(first + i));
    match which[0] {
        Some(first) if run(first) => seen.clone().narrow(0, first, which.len()),
        _ => Tensor::cat(which.iter().map(one).collect(), 0),
    }
}

#[cfg(test)]
mod tests;
