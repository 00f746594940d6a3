//! Operations on a memory: exchanging, storing, steering, disturbing. Each gives a new state whose
//! past says what was done.

#[cfg(test)]
mod tests;

use anyhow::{Result, ensure};
use half::{bf16, f16};

use super::State;
use super::spectrum::singular;
use crate::random::Random;
use crate::tensor::Array;

/// What an edit of some heads changes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mixing {
    /// Only this layer; all of them without.
    pub layer: Option<usize>,
    /// Only this head of each layer.
    pub head: Option<usize>,
    /// How much of the difference is added; 1 is all of it.
    pub strength: f64,
}

/// How a state is stored with fewer bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// IEEE half precision.
    F16,
    /// The upper half of a float.
    Bf16,
    /// Whole numbers from −127 to 127 times one scale for each head or vector.
    Int8,
}

impl Rounding {
    /// Names and values.
    pub const ALL: [(&'static str, Self); 3] =
        [("f16", Self::F16), ("bf16", Self::Bf16), ("int8", Self::Int8)];

    fn round(self, values: &mut [f32]) {
        let largest = values.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let step = if largest > 0.0 { largest / 127.0 } else { 1.0 };
        for x in values {
            *x = match self {
                Self::F16 => f16::from_f32(*x).to_f32(),
                Self::Bf16 => bf16::from_f32(*x).to_f32(),
                Self::Int8 => (*x / step).round() * step,
            };
        }
    }
}

impl State {
    /// One layer of `other` in place of the own one.
    ///
    /// # Errors
    /// When the states are of different models and when there is no such layer.
    pub fn with_layer(&self, layer: usize, other: &Self) -> Result<Self> {
        other.fits(self)?;
        self.layer(layer)?;
        let mut layers = self.layers.clone();
        layers[layer] = other.layers[layer].clone();
        Ok(self.edited(&format!("take layer {layer} of another state"), layers))
    }

    /// One head of `other` in place of the own one.
    ///
    /// # Errors
    /// When the states are of different models, when there is no such head, and in RWKV-4.
    pub fn with_head(&self, layer: usize, head: usize, other: &Self) -> Result<Self> {
        other.fits(self)?;
        let matrix = other.head(layer, head)?;
        self.with_matrix(
            layer,
            head,
            &matrix,
            &format!("take head {head} of layer {layer} of another state"),
        )
    }

    /// Adds the `rank` largest directions in which `other` differs, head by head: an edit of that
    /// rank which leaves alone what both states share.
    ///
    /// # Errors
    /// When the states are of different models, when there is no such layer or head, and in RWKV-4.
    pub fn toward(&self, other: &Self, rank: usize, mixing: &Mixing) -> Result<Self> {
        other.fits(self)?;
        let mut state = self.clone();
        let chosen = |only: Option<usize>, count: usize| match only {
            Some(one) => one..one + 1,
            None => 0..count,
        };
        for layer in chosen(mixing.layer, self.layers.len()) {
            let heads = self.layer(layer)?.wkv.dims()[1];
            for head in chosen(mixing.head, heads) {
                let own = self.head(layer, head)?;
                let far = other.head(layer, head)?.zip(&own, |b, a| b - a)?;
                let step = of_rank(&far, rank)?;
                let moved = own.zip(&step, |a, d| a + mixing.strength as f32 * d)?;
                state.put_matrix(layer, head, &moved)?;
            }
        }
        let (strength, words) = (mixing.strength, mixing.words());
        let what =
            format!("edit of rank {rank} toward another state, strength {strength}, {words}");
        Ok(self.edited(&what, state.layers))
    }

    /// What the memory returns for `key`: `S·k / ‖k‖`, `[value]`.
    ///
    /// # Errors
    /// When there is no such head, when the key has another length or is zero, and in RWKV-4.
    pub fn query(&self, layer: usize, head: usize, key: &Array) -> Result<Array> {
        let matrix = self.head(layer, head)?;
        matrix.matmul(&direction(key, matrix.shape()[1])?)
    }

    /// Makes the memory return `value` for `key`: `S += (v − S·k̂)·k̂ᵀ`, k̂ = `k / ‖k‖`. What it
    /// returns for keys at right angles stays as it is.
    ///
    /// # Errors
    /// As [`State::query`], and when the value has another length.
    pub fn store(&self, layer: usize, head: usize, key: &Array, value: &Array) -> Result<Self> {
        let matrix = self.head(layer, head)?;
        let &[rows, columns] = matrix.shape() else { anyhow::bail!("a head is a matrix.") };
        ensure!(
            value.shape() == [rows],
            "the value has shape {:?}, but a head of this state stores {rows} numbers.",
            value.shape()
        );
        let key = direction(key, columns)?;
        let missing = value.zip(&matrix.matmul(&key)?, |v, old| v - old)?;
        let write = missing.reshape(&[rows, 1])?.zip(&key.reshape(&[1, columns])?, |v, k| v * k)?;
        let what = format!("store a value in head {head} of layer {layer}");
        self.with_matrix(layer, head, &matrix.zip(&write, |s, d| s + d)?, &what)
    }

    /// The mean of several states.
    ///
    /// # Errors
    /// When there are none and when they are of different models.
    pub fn mean(states: &[Self]) -> Result<Self> {
        let Some((first, rest)) = states.split_first() else {
            anyhow::bail!("the mean of no states is not a state.");
        };
        let sum = rest.iter().try_fold(first.clone(), |sum, state| sum.plus(state))?;
        let mean = sum.scaled(1.0 / states.len() as f64);
        Ok(first.edited(&format!("mean of {} states", states.len()), mean.layers))
    }

    /// `S + strength·(mean of toward − mean of away)`: contrastive steering of a state
    /// (arXiv 2404.05971).
    ///
    /// # Errors
    /// When a list is empty and when states are of different models.
    pub fn steered(&self, toward: &[Self], away: &[Self], strength: f64) -> Result<Self> {
        let far = Self::mean(toward)?.minus(&Self::mean(away)?)?;
        let state = self.plus(&far.scaled(strength))?;
        let what = format!("steer by {strength} of {} states less {}", toward.len(), away.len());
        Ok(self.edited(&what, state.layers))
    }

    /// Gaussian noise on everything, `strength` times the root mean square of each head and vector.
    ///
    /// # Errors
    /// For the state of several texts.
    pub fn noisy(&self, strength: f64, seed: u64) -> Result<Self> {
        let mut random = Random::new(seed);
        self.altered(&format!("noise of {strength} times the size"), |_, _, values| {
            let square = values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
            let size = strength * (square / values.len() as f64).sqrt();
            values.iter_mut().for_each(|x| *x += (size * f64::from(random.normal())) as f32);
            Ok(())
        })
    }

    /// The state as it comes back from storage of fewer bits.
    ///
    /// # Errors
    /// For the state of several texts.
    pub fn rounded(&self, rounding: Rounding) -> Result<Self> {
        let name =
            Rounding::ALL.iter().find(|(_, other)| *other == rounding).map_or("", |(n, _)| n);
        self.altered(&format!("round to {name}"), |_, _, values| {
            rounding.round(values);
            Ok(())
        })
    }

    /// As [`State::lerp`], but along the arc between the directions: each head and vector turns
    /// from its own direction to that of `other`, and its size changes in proportion.
    ///
    /// # Errors
    /// When the states are of different models and for the state of several texts.
    pub fn slerp(&self, other: &Self, t: f64) -> Result<Self> {
        let what = format!("turn by {t} toward a state of {} tokens", other.past.tokens);
        let (own, other) = self.aligned(other)?;
        let (mut place, mut theirs, mut from) = (None, Vec::new(), 0);
        own.altered(&what, |layer, name, values| {
            if place != Some((layer, name.to_string())) {
                theirs = other.part(layer, name)?.values();
                (place, from) = (Some((layer, name.to_string())), 0);
            }
            arc(values, &theirs[from..from + values.len()], t);
            from += values.len();
            Ok(())
        })
    }

    /// Every head and vector through `f`, which is told the layer and the part.
    fn altered(
        &self,
        what: &str,
        mut f: impl FnMut(usize, &str, &mut [f32]) -> Result<()>,
    ) -> Result<Self> {
        let mut state = self.clone();
        for layer in 0..self.layers.len() {
            for name in self.parts_of(layer)?.into_iter().filter(|name| *name != "pp") {
                let part = self.part(layer, name)?;
                let heads = if name == "wkv" { part.shape()[0] } else { 1 };
                let mut values = part.values();
                let size = values.len() / heads;
                values.chunks_mut(size.max(1)).try_for_each(|piece| f(layer, name, piece))?;
                state.set_part(layer, name, &Array::new(part.shape(), values)?)?;
            }
        }
        Ok(self.edited(what, state.layers))
    }

    fn with_matrix(&self, layer: usize, head: usize, matrix: &Array, what: &str) -> Result<Self> {
        let mut state = self.clone();
        state.put_matrix(layer, head, matrix)?;
        Ok(self.edited(what, state.layers))
    }

    fn put_matrix(&mut self, layer: usize, head: usize, matrix: &Array) -> Result<()> {
        let mut wkv = self.part(layer, "wkv")?;
        wkv.set(head as i64, matrix)?;
        self.set_part(layer, "wkv", &wkv)
    }
}

impl Mixing {
    fn words(&self) -> String {
        let layer = self.layer.map_or("all layers".to_string(), |l| format!("layer {l}"));
        let head = self.head.map_or("all heads".to_string(), |h| format!("head {h}"));
        format!("{layer}, {head}")
    }
}

/// The best approximation of a matrix by one of rank `rank`.
fn of_rank(matrix: &Array, rank: usize) -> Result<Array> {
    let [u, sigma, v] = singular(matrix)?;
    let kept = |(i, s): (usize, &f32)| if i < rank { *s } else { 0.0 };
    let sigma = Array::vector(sigma.values().iter().enumerate().map(kept).collect());
    u.zip(&sigma, |u, s| u * s)?.matmul(&v.transpose()?)
}

/// A key of length 1.
fn direction(key: &Array, length: usize) -> Result<Array> {
    ensure!(
        key.shape() == [length],
        "the key has shape {:?}, but the keys of this state have {length} numbers.",
        key.shape()
    );
    let norm = key.norm();
    ensure!(norm.is_finite() && norm > 0.0, "a key of norm {norm} has no direction.");
    Ok(key.map(|k| (f64::from(k) / norm) as f32))
}

/// `values` a share `t` of the way along the arc to `other`.
fn arc(values: &mut [f32], other: &[f32], t: f64) {
    let norm = |x: &[f32]| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let (a, b) = (norm(values), norm(other));
    let dot: f64 = values.iter().zip(other).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
    let angle = (dot / (a * b)).clamp(-1.0, 1.0).acos();
    // Without an angle, or with half a turn, there is no arc: the straight line it is.
    let straight = !(1e-4..3.1).contains(&angle);
    let size = (1.0 - t) * a + t * b;
    let [own, theirs] = if straight {
        [1.0 - t, t]
    } else {
        [((1.0 - t) * angle).sin() / (a * angle.sin()), (t * angle).sin() / (b * angle.sin())]
            .map(|x| x * size)
    };
    for (x, y) in values.iter_mut().zip(other) {
        *x = (own * f64::from(*x) + theirs * f64::from(*y)) as f32;
    }
}
