//! What a part of a text does to a state, as a value: `S_T = S_0·P + C` for every head.
//!
//! `P` is what is left of the memory before it and `C` what it adds, both as they came about in the
//! true context. In RWKV-5 and 6 `P` is diagonal; RWKV-4 keeps a decay and sums per channel. The
//! same identity makes one pass and token by token the same: parts can be worked out apart from
//! each other and then be put together.

mod recording;
#[cfg(test)]
mod tests;

pub use recording::{Recording, Rewound, STRIDE};

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};
use burn::tensor::Tensor;
use ndarray::{Array1, Array2};

use crate::model::{Model, go_on};
use crate::recurrence::{Letters, Sums, matrices, tensor};
use crate::state::State;
use crate::tensor::Array;

/// A part of a text as a map from the state before it to the state after it.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The tokens of the part.
    pub tokens: Vec<u32>,
    layers: Vec<Layer>,
    /// The true state before it and after it.
    before: State,
    after: State,
}

/// What a part does to one block.
#[derive(Clone, Debug)]
struct Layer {
    wkv: Map,
    /// What tiny attention adds.
    tiny: Option<Tensor<3>>,
}

/// What a part does to the memory of one recurrence.
#[derive(Clone, Debug)]
enum Map {
    /// RWKV-4: the logarithm of what is left, and what is added.
    Sums(Array1<f64>, Sums),
    /// `P` and `C` of every head.
    Heads(Vec<[Array2<f64>; 2]>),
}

/// A state made from two texts that were read apart.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The approximation.
    pub state: State,
    /// The state after reading both one after the other.
    pub truth: State,
    /// How far they are apart, as [`Segment::error`].
    pub error: f64,
}

impl Map {
    fn of(letters: &Letters, tokens: Range<usize>, interrupt: &AtomicBool) -> Result<Self> {
        if !letters.is_v4() {
            let heads =
                (0..letters.heads()).map(|h| letters.head(h)?.map(tokens.clone(), interrupt));
            return Ok(Self::Heads(heads.collect::<Result<_>>()?));
        }
        let (d, _) = letters.channels();
        let mut sums = Sums::empty(d.len());
        for t in tokens.clone() {
            go_on(interrupt)?;
            let (k, v) = letters.written(t);
            sums.step(&d, &k, &v);
        }
        Ok(Self::Sums(d * tokens.len() as f64, sums))
    }

    fn apply(&self, wkv: &Tensor<4>) -> Tensor<4> {
        match self {
            Self::Sums(left, added) => {
                let mut sums = Sums::of(wkv);
                sums.fade(left);
                sums.merge(added);
                sums.tensor(wkv)
            }
            Self::Heads(heads) => {
                let before = matrices(wkv);
                let after = before.iter().zip(heads).map(|(s, [p, c])| s.dot(p) + c);
                tensor(&after.collect::<Vec<_>>(), wkv)
            }
        }
    }

    fn then(&self, next: &Self) -> Result<Self> {
        match (self, next) {
            (Self::Sums(left, added), Self::Sums(then, more)) => {
                let mut sums = added.clone();
                sums.fade(then);
                sums.merge(more);
                Ok(Self::Sums(left + then, sums))
            }
            (Self::Heads(first), Self::Heads(second)) => {
                let pair = |([p, c], [q, d]): (&[Array2<f64>; 2], &[Array2<f64>; 2])| {
                    [p.dot(q), c.dot(q) + d]
                };
                Ok(Self::Heads(first.iter().zip(second).map(pair).collect()))
            }
            _ => anyhow::bail!("the parts are of models of different versions."),
        }
    }
}

impl Segment {
    /// A part of a recorded text, between the true states before and after it.
    fn new(
        letters: &[Letters],
        range: Range<usize>,
        tokens: Vec<u32>,
        [before, after]: [State; 2],
        interrupt: &AtomicBool,
    ) -> Result<Self> {
        let layer = |(i, letters): (usize, &Letters)| {
            let (old, new) = (&before.layers[i].tiny, &after.layers[i].tiny);
            let tiny = old.clone().zip(new.clone()).map(|(old, new)| new - old);
            Ok(Layer { wkv: Map::of(letters, range.clone(), interrupt)?, tiny })
        };
        let layers = letters.iter().enumerate().map(layer).collect::<Result<_>>()?;
        Ok(Self { tokens, layers, before, after })
    }

    /// What the part makes of a state. Exact for the state that the text before it leaves; any
    /// other state would have led to other keys and values, so the result is then an approximation.
    ///
    /// # Errors
    /// For the state of another model.
    pub fn apply(&self, state: &State) -> Result<State> {
        state.fits(&self.before)?;
        let mut after = state.to_device(&self.after.layers[0].wkv.device());
        for ((layer, own), end) in after.layers.iter_mut().zip(&self.layers).zip(&self.after.layers)
        {
            layer.wkv = own.wkv.apply(&layer.wkv);
            layer.tiny = layer.tiny.clone().zip(own.tiny.clone()).map(|(tiny, more)| tiny + more);
            // The last inputs of the two halves of a block are those of the last token.
            (layer.att_x, layer.ffn_x) = (end.att_x.clone(), end.ffn_x.clone());
        }
        after.past.tokens += self.tokens.len() as u64;
        after.past.edit(&format!("applied a segment of {} tokens", self.tokens.len()));
        Ok(after)
    }

    /// Both parts as one: `S·P + C` of the first put into `S·Q + D` of the second is
    /// `S·(P·Q) + (C·Q + D)`. Exact where the second was read after the first.
    ///
    /// # Errors
    /// For parts of different models.
    pub fn then(&self, next: &Self) -> Result<Self> {
        next.before.fits(&self.before)?;
        let layer = |(a, b): (&Layer, &Layer)| {
            let tiny = a.tiny.clone().zip(b.tiny.clone()).map(|(a, b)| a + b);
            Ok(Layer { wkv: a.wkv.then(&b.wkv)?, tiny })
        };
        let layers = self.layers.iter().zip(&next.layers).map(layer).collect::<Result<_>>()?;
        let tokens = [&self.tokens[..], &next.tokens].concat();
        Ok(Self { tokens, layers, before: self.before.clone(), after: next.after.clone() })
    }

    /// How far `S_0·P + C` is from the true state after the part: the largest relative error of a
    /// layer, `‖found − true‖ / ‖true‖`.
    ///
    /// # Errors
    /// Never; a segment fits its own state.
    pub fn error(&self) -> Result<f64> {
        error(&self.apply(&self.before)?, &self.after)
    }

    /// The true state before the part.
    pub fn before(&self) -> &State {
        &self.before
    }

    /// The true state after the part.
    pub fn after(&self) -> &State {
        &self.after
    }

    /// `P` and `C` of one head, `[N, N]` each: what is left and what is added.
    ///
    /// # Errors
    /// In RWKV-4, and when there is no such layer or head.
    pub fn matrices(&self, layer: usize, head: usize) -> Result<[Array; 2]> {
        let Some(one) = self.layers.get(layer) else {
            anyhow::bail!("there is no layer {layer}; there are {}.", self.layers.len())
        };
        let Map::Heads(heads) = &one.wkv else {
            anyhow::bail!("RWKV-4 keeps sums per channel and has no matrices P and C.")
        };
        ensure!(head < heads.len(), "there is no head {head}; there are {}.", heads.len());
        let [p, c] = &heads[head];
        let array = |x: &Array2<f64>| {
            Array::new(&[x.nrows(), x.ncols()], x.iter().map(|&x| x as f32).collect())
        };
        Ok([array(p)?, array(c)?])
    }
}

impl Model {
    /// A text as a map of states, in the context `state`.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn segment(
        &self,
        tokens: &[u32],
        state: &State,
        interrupt: &AtomicBool,
    ) -> Result<Segment> {
        self.record(tokens, state, interrupt)?.segment(self, 0..tokens.len(), interrupt)
    }

    /// What a segment makes of a state that it was not read after, beside the truth. The segment's
    /// keys and values are those of another context, so this is an approximation, and on most
    /// models a bad one.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn merge(
        &self,
        state: &State,
        segment: &Segment,
        interrupt: &AtomicBool,
    ) -> Result<Merged> {
        let merged = segment.apply(state)?;
        let (_, truth) = self.read(&segment.tokens, state, interrupt)?;
        Ok(Merged { error: error(&merged, &truth)?, state: merged, truth })
    }
}

/// The largest relative error of the memory of a layer: `‖found − true‖ / ‖true‖`.
///
/// # Errors
/// For states of different models.
pub fn error(found: &State, truth: &State) -> Result<f64> {
    let far = found.minus(truth)?;
    let truth = found.lerp(truth, 1.0)?; // in RWKV-4 with the same exponents
    let rows = if truth.is_v4() { 2 } else { truth.layers[0].wkv.dims()[2] };
    let norm = |wkv: &Tensor<4>| Array::of(wkv.clone().narrow(2, 0, rows)).norm();
    let share = |(far, truth): (f64, f64)| if far == 0.0 { 0.0 } else { far / truth };
    let layers = far.layers.iter().zip(&truth.layers);
    Ok(layers.map(|(a, b)| share((norm(&a.wkv), norm(&b.wkv)))).fold(0.0, f64::max))
}
