//! Operations on a memory: exchanging, storing, steering, disturbing. Each gives a new state whose
//! past says what was done.

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
        state.past = self.past.clone();
        state.past.edit(&format!(
            "edit of rank {rank} toward another state, strength {}, {}",
            mixing.strength,
            mixing.words()
        ));
        Ok(state)
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
        let mut mean = sum.scaled(1.0 / states.len() as f64);
        mean.past = first.past.clone();
        mean.past.edit(&format!("mean of {} states", states.len()));
        Ok(mean)
    }

    /// `S + strength·(mean of toward − mean of away)`: contrastive steering of a state
    /// (arXiv 2404.05971).
    ///
    /// # Errors
    /// When a list is empty and when states are of different models.
    pub fn steered(&self, toward: &[Self], away: &[Self], strength: f64) -> Result<Self> {
        let far = Self::mean(toward)?.minus(&Self::mean(away)?)?;
        let mut state = self.plus(&far.scaled(strength))?;
        state.past = self.past.clone();
        state.past.edit(&format!(
            "steer by {strength} of {} states less {}",
            toward.len(),
            away.len()
        ));
        Ok(state)
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
        let (own, other) = self.aligned(other)?;
        let (mut place, mut theirs, mut from) = (None, Vec::new(), 0);
        let mut state = own.altered("", |layer, name, values| {
            if place != Some((layer, name.to_string())) {
                theirs = other.part(layer, name)?.values();
                (place, from) = (Some((layer, name.to_string())), 0);
            }
            arc(values, &theirs[from..from + values.len()], t);
            from += values.len();
            Ok(())
        })?;
        state.past = self.past.clone();
        state.past.edit(&format!("turn by {t} toward a state of {} tokens", other.past.tokens));
        Ok(state)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::choose;
    use crate::model::{Loading, Model};
    use std::sync::atomic::AtomicBool;

    /// Two states of a model.
    fn two(name: &str) -> [State; 2] {
        let model = Model::load(name, &Loading::default(), &choose("cpu").unwrap()).unwrap();
        ["It rained all week.", "The sun is white."].map(|text| {
            let tokens: Vec<u32> = text.bytes().map(u32::from).collect();
            model.read(&tokens, &model.state(), &AtomicBool::new(false)).unwrap().1
        })
    }

    fn far(a: &State, b: &State) -> f64 {
        a.distance(b).unwrap().max_abs
    }

    #[test]
    fn a_stored_value_is_found_and_other_keys_are_left_alone() {
        let [state, _] = two("toy:rwkv7");
        let n = state.head(0, 0).unwrap().shape()[0];
        let vector = |f: fn(usize) -> f32| Array::vector((0..n).map(f).collect());
        let (key, value) = (vector(|i| (i % 2) as f32), vector(|i| i as f32));
        let other = vector(|i| ((i + 1) % 2) as f32); // at right angles to `key`
        let edited = state.store(0, 1, &key, &value).unwrap();
        assert!(edited.query(0, 1, &key).unwrap().max_abs_diff(&value).unwrap() < 1e-4);
        let [before, after] = [&state, &edited].map(|s| s.query(0, 1, &other).unwrap());
        assert!(after.max_abs_diff(&before).unwrap() < 1e-5);
        assert_eq!(edited.head(1, 0).unwrap(), state.head(1, 0).unwrap());
        assert_eq!(edited.past.edits(), ["store a value in head 1 of layer 0"]);
        assert!(state.query(0, 1, &vector(|_| 0.0)).is_err());
        assert!(state.query(0, 1, &Array::vector(vec![1.0])).is_err());
        assert!(state.query(0, 99, &key).is_err() && state.query(99, 0, &key).is_err());
    }

    #[test]
    fn exchanging_every_head_and_vector_makes_the_other_state() {
        for name in ["toy:rwkv5.2", "toy:rwkv6", "toy:rwkv7"] {
            let [a, b] = two(name);
            let mut edited = a.clone();
            for layer in 0..a.layers.len() {
                for head in 0..a.layers[layer].wkv.dims()[1] {
                    edited = edited.with_head(layer, head, &b).unwrap();
                }
                assert_eq!(edited.part(layer, "wkv").unwrap(), b.part(layer, "wkv").unwrap());
                assert_eq!(edited.part(layer, "att_x").unwrap(), a.part(layer, "att_x").unwrap());
                edited = edited.with_layer(layer, &b).unwrap();
            }
            assert!(edited.equals(&b), "{name}");
        }
    }

    #[test]
    fn an_edit_of_full_rank_is_the_other_memory() {
        let [a, b] = two("toy:rwkv7");
        let all = Mixing { strength: 1.0, ..Mixing::default() };
        let full = a.toward(&b, 64, &all).unwrap();
        let one = a.toward(&b, 1, &all).unwrap();
        for layer in 0..a.layers.len() {
            let [full, one, b] = [&full, &one, &b].map(|s| s.part(layer, "wkv").unwrap());
            assert!(full.max_abs_diff(&b).unwrap() < 1e-5);
            let rest = b.zip(&one, |x, y| x - y).unwrap().norm();
            let before = b.zip(&a.part(layer, "wkv").unwrap(), |x, y| x - y).unwrap().norm();
            assert!(rest > 0.0 && rest < before);
        }
        let one_head = Mixing { layer: Some(1), head: Some(0), strength: 1.0 };
        let edited = a.toward(&b, 64, &one_head).unwrap();
        assert!(far(&edited, &a.with_head(1, 0, &b).unwrap()) < 1e-5);
        assert!(a.toward(&b, 1, &Mixing { layer: Some(9), ..all }).is_err());
    }

    #[test]
    fn an_arc_keeps_sizes_between_and_ends_at_both_states() {
        for name in ["toy:rwkv4", "toy:rwkv7"] {
            let [a, b] = two(name);
            assert!(far(&a.slerp(&b, 0.0).unwrap(), &a) < 1e-5, "{name}");
            assert!(far(&a.slerp(&b, 1.0).unwrap(), &b) < 1e-5, "{name}");
            let norm = |s: &State| s.part(1, "att_x").unwrap().norm();
            let middle = norm(&a.slerp(&b, 0.5).unwrap());
            assert!((middle - (norm(&a) + norm(&b)) / 2.0).abs() < 1e-4, "{name}");
            assert!(middle > norm(&a.lerp(&b, 0.5).unwrap()), "{name}");
        }
    }

    #[test]
    fn noise_and_rounding_are_as_strong_as_asked() {
        for name in ["toy:rwkv4", "toy:rwkv7"] {
            let [a, _] = two(name);
            let noisy = a.noisy(0.1, 7).unwrap();
            assert!(noisy.equals(&a.noisy(0.1, 7).unwrap()) && !noisy.equals(&a));
            let share = noisy.distance(&a).unwrap().l2 / a.norm();
            assert!((0.05..0.2).contains(&share), "{name} {share}");
            for (rounding, most) in [(Rounding::F16, 1e-3), (Rounding::Bf16, 8e-3)] {
                let far = a.rounded(rounding).unwrap().distance(&a).unwrap();
                assert!(far.l2 / a.norm() < most, "{name} {rounding:?}");
            }
            let coarse = a.rounded(Rounding::Int8).unwrap();
            let [b, exact] = [&coarse, &a].map(|s| s.part(0, "ffn_x").unwrap());
            let step = exact.map(f32::abs).max() / 127.0;
            assert!(b.max_abs_diff(&exact).unwrap() <= f64::from(step) / 2.0 + 1e-6);
            assert!(coarse.rounded(Rounding::Int8).unwrap().distance(&coarse).unwrap().l2 < 1e-4);
        }
    }

    #[test]
    fn steering_adds_the_difference_of_the_means() {
        for name in ["toy:rwkv4", "toy:rwkv7"] {
            let [a, b] = two(name);
            let mean = State::mean(&[a.clone(), b.clone()]).unwrap();
            assert!(far(&mean, &a.lerp(&b, 0.5).unwrap()) < 1e-5, "{name}");
            let moved = a.steered(std::slice::from_ref(&b), std::slice::from_ref(&a), 1.0);
            assert!(far(&moved.unwrap(), &b) < 1e-5, "{name}");
        }
        assert!(State::mean(&[]).is_err());
        let [v4, v7] = ["toy:rwkv4", "toy:rwkv7"].map(|name| two(name)[0].clone());
        assert!(State::mean(&[v4.clone(), v7]).is_err());
        let refused = v4.head(0, 0).unwrap_err().to_string();
        assert!(refused.contains("aa, bb, pp"), "{refused}");
    }
}
