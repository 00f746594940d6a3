//! What learns: a language model, and what it sees with.

use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};

use crate::data::{Pictures, Shown};
use crate::model::parameters;
use crate::rwkv::{Parameter, Rows, Rwkv, Scan, Tap};
use crate::state::State;
use crate::visual::{Seen, Visual};

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

    /// What the output head reads of rows of tokens `[B, T]`, with pictures in their places:
    /// `[B, T, C]`.
    ///
    /// # Errors
    /// When there are pictures and nothing to see them with, and when `interrupt` is set.
    pub fn hidden(
        &self,
        tokens: Tensor<2, Int>,
        pictures: Option<&Pictures>,
        state: &mut State,
        device: &Device,
        interrupt: &AtomicBool,
    ) -> Result<Tensor<3>> {
        let x = self.rwkv.embed(tokens.clone());
        let (x, scan) = match pictures {
            None => (x, Scan::default()),
            Some(pictures) => {
                let eyes = self.visual.as_ref();
                let eyes = eyes.context("a batch with pictures is for a model that sees.")?;
                let seen = match pictures.count() {
                    0 => None,
                    _ => Some(eyes.look(pictures.pixels(device), interrupt)?),
                };
                spliced(x, seen.as_ref(), eyes, pictures)
            }
        };
        Ok(self.rwkv.read(Rows { x, tokens, scan }, state, Tap::none()))
    }
}

/// The rows of a text with those of its pictures in their places, and in which order blocks read
/// them. Rows whose pictures stand at the same places are put together at once.
fn spliced(
    x: Tensor<3>,
    seen: Option<&Seen>,
    eyes: &Visual,
    pictures: &Pictures,
) -> (Tensor<3>, Scan) {
    let [_, t, c] = x.dims();
    let (mut groups, mut row) = (Vec::new(), 0);
    for group in pictures.rows.chunk_by(|a, b| places(a).eq(places(b))) {
        let text = x.clone().narrow(0, row, group.len());
        row += group.len();
        let (mut parts, mut end) = (Vec::new(), 0);
        for (i, place) in group[0].iter().enumerate() {
            if place.at > end {
                parts.push(text.clone().narrow(1, end, place.at - end));
            }
            let which: Vec<_> = group.iter().map(|row| row[i].picture).collect();
            let shown = shown(&which, seen, [place.rows.end, c], &x.device());
            parts.push(shown.narrow(1, place.rows.start, place.rows.len()));
            end = place.at + place.rows.len();
        }
        if t > end {
            parts.push(text.narrow(1, end, t - end));
        }
        groups.push(if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(parts, 1) });
    }
    let first = pictures.rows.iter().flatten().next();
    let scan = first.map_or_else(Scan::default, |first| eyes.scan(first.at));
    (Tensor::cat(groups, 0), scan)
}

/// Where the pictures of a row stand, and how much of them.
fn places(row: &[Shown]) -> impl Iterator<Item = (usize, &std::ops::Range<usize>)> {
    row.iter().map(|place| (place.at, &place.rows))
}

/// The rows of these pictures, `[B, T, C]`, nothing where there is none; of shape `[T, C]` if there
/// is none at all.
fn shown(
    which: &[Option<usize>],
    seen: Option<&Seen>,
    [t, c]: [usize; 2],
    device: &Device,
) -> Tensor<3> {
    let nothing = |t: usize| Tensor::zeros([1, t, c], device);
    let Some(Seen { rows }) = seen else { return nothing(t).repeat_dim(0, which.len()) };
    let one = |picture: &Option<usize>| match picture {
        Some(i) => rows.clone().narrow(0, *i, 1),
        None => nothing(rows.dims()[1]),
    };
    // Mostly they come one after the other.
    let run = |first: usize| which.iter().enumerate().all(|(i, at)| *at == Some(first + i));
    match which[0] {
        Some(first) if run(first) => rows.clone().narrow(0, first, which.len()),
        _ => Tensor::cat(which.iter().map(one).collect(), 0),
    }
}

#[cfg(test)]
mod tests;
