//! Sums, distances and mixtures of states.
//!
//! In RWKV-4 `aa` and `bb` are kept divided by `e^pp`, so two states speak of the same thing only
//! once both are brought to the larger `pp` of each channel; every function here does that first.

use anyhow::{Result, ensure};
use burn::tensor::Tensor;

use super::{LayerState, State};
use crate::tensor::Array;

/// How far apart two memories of one layer are.
#[derive(Clone, Copy, Debug)]
pub struct Distance {
    /// Root of the sum of squared differences.
    pub l2: f64,
    /// Cosine of the angle between them.
    pub cosine: f64,
    /// Largest difference of two numbers.
    pub max_abs: f64,
}

impl State {
    /// `self` where `t` is 0, `other` where it is 1, in between a mixture.
    ///
    /// # Errors
    /// When the states are of different models.
    pub fn lerp(&self, other: &Self, t: f64) -> Result<Self> {
        let what = format!("mix with weight {t} of a state of {} tokens", other.past.tokens);
        self.pairs(other, &what, |a, b| a.mul_scalar(1.0 - t) + b.mul_scalar(t))
    }

    /// The sum of two states, number by number.
    ///
    /// # Errors
    /// When the states are of different models.
    pub fn plus(&self, other: &Self) -> Result<Self> {
        self.pairs(other, "add a state", |a, b| a + b)
    }

    /// The difference of two states, number by number.
    ///
    /// # Errors
    /// When the states are of different models.
    pub fn minus(&self, other: &Self) -> Result<Self> {
        self.pairs(other, "subtract a state", |a, b| a - b)
    }

    /// Everything remembered, `factor` times as strong.
    pub fn scaled(&self, factor: f64) -> Self {
        let v4 = self.is_v4();
        let layer = |layer: &LayerState| LayerState {
            att_x: layer.att_x.clone().mul_scalar(factor),
            ffn_x: layer.ffn_x.clone().mul_scalar(factor),
            wkv: sums(&layer.wkv, v4, |s| s.mul_scalar(factor)),
            tiny: layer.tiny.clone().map(|tiny| tiny.mul_scalar(factor)),
        };
        let layers = self.layers.iter().map(layer).collect();
        self.edited(&format!("scale by {factor}"), layers)
    }

    /// Root of the sum of squares of everything but the exponents `pp` of RWKV-4.
    pub fn norm(&self) -> f64 {
        self.arrays().iter().map(|x| x.norm().powi(2)).sum::<f64>().sqrt()
    }

    /// The norm of every layer, without the exponents `pp` of RWKV-4.
    pub fn norms(&self) -> Vec<f64> {
        let v4 = self.is_v4();
        let norm = |layer: &LayerState| {
            layer_arrays(layer, v4).iter().map(|x| x.norm().powi(2)).sum::<f64>().sqrt()
        };
        self.layers.iter().map(norm).collect()
    }

    /// The distance of two states layer by layer.
    ///
    /// # Errors
    /// When the states are of different models.
    pub fn distances(&self, other: &Self) -> Result<Vec<Distance>> {
        let (a, b) = self.aligned(other)?;
        let layer = |(a, b): (&LayerState, &LayerState)| {
            let v4 = self.is_v4();
            distance(&layer_arrays(a, v4), &layer_arrays(b, v4))
        };
        a.layers.iter().zip(&b.layers).map(layer).collect()
    }

    /// The distance of two states as a whole.
    ///
    /// # Errors
    /// When the states are of different models.
    pub fn distance(&self, other: &Self) -> Result<Distance> {
        let (a, b) = self.aligned(other)?;
        distance(&a.arrays(), &b.arrays())
    }

    /// Whether every number of both is the same.
    pub fn equals(&self, other: &Self) -> bool {
        let same = |(a, b): (&LayerState, &LayerState)| {
            Array::of(a.att_x.clone()) == Array::of(b.att_x.clone())
                && Array::of(a.ffn_x.clone()) == Array::of(b.ffn_x.clone())
                && Array::of(a.wkv.clone()) == Array::of(b.wkv.clone())
                && a.tiny.clone().map(Array::of) == b.tiny.clone().map(Array::of)
        };
        self.layers.len() == other.layers.len() && self.layers.iter().zip(&other.layers).all(same)
    }

    /// What is remembered, without the exponents of RWKV-4: an array per part.
    fn arrays(&self) -> Vec<Array> {
        let v4 = self.is_v4();
        self.layers.iter().flat_map(|layer| layer_arrays(layer, v4)).collect()
    }

    fn pairs(
        &self,
        other: &Self,
        what: &str,
        f: impl Fn(Tensor<4>, Tensor<4>) -> Tensor<4>,
    ) -> Result<Self> {
        let (a, b) = self.aligned(other)?;
        let v4 = self.is_v4();
        let row = |x: &Tensor<2>| x.clone().unsqueeze::<4>();
        let layer =
            |(a, b): (&LayerState, &LayerState)| LayerState {
                att_x: f(row(&a.att_x), row(&b.att_x)).reshape(a.att_x.dims()),
                ffn_x: f(row(&a.ffn_x), row(&b.ffn_x)).reshape(a.ffn_x.dims()),
                wkv: sums(&a.wkv, v4, |s| {
                    let other = if v4 { b.wkv.clone().narrow(2, 0, 2) } else { b.wkv.clone() };
                    f(s, other)
                }),
                tiny: a.tiny.as_ref().zip(b.tiny.as_ref()).map(|(a, b)| {
                    f(a.clone().unsqueeze(), b.clone().unsqueeze()).reshape(a.dims())
                }),
            };
        Ok(self.edited(what, a.layers.iter().zip(&b.layers).map(layer).collect()))
    }

    /// Both states, in RWKV-4 with the same exponents.
    pub(super) fn aligned(&self, other: &Self) -> Result<(Self, Self)> {
        other.fits(self)?;
        let batches = |s: &Self| s.layers.first().map(|layer| layer.att_x.dims()[0]);
        ensure!(
            batches(self) == batches(other),
            "the states are of {:?} and {:?} texts; compare states of as many.",
            batches(self).unwrap_or_default(),
            batches(other).unwrap_or_default()
        );
        let (mut a, mut b) = (self.clone(), other.clone());
        if self.is_v4() {
            for (a, b) in a.layers.iter_mut().zip(&mut b.layers) {
                let largest = pp(&a.wkv).max_pair(pp(&b.wkv));
                a.wkv = at_exponent(&a.wkv, &largest);
                b.wkv = at_exponent(&b.wkv, &largest);
            }
        }
        Ok((a, b))
    }
}

fn pp(wkv: &Tensor<4>) -> Tensor<4> {
    wkv.clone().narrow(2, 2, 1)
}

/// The same sums, divided by another `e^pp`.
fn at_exponent(wkv: &Tensor<4>, exponent: &Tensor<4>) -> Tensor<4> {
    let fade = (pp(wkv) - exponent.clone()).exp();
    Tensor::cat(vec![wkv.clone().narrow(2, 0, 2) * fade, exponent.clone()], 2)
}

/// `f` of what is remembered; the exponents of RWKV-4 stay.
fn sums(wkv: &Tensor<4>, v4: bool, f: impl Fn(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    if v4 { Tensor::cat(vec![f(wkv.clone().narrow(2, 0, 2)), pp(wkv)], 2) } else { f(wkv.clone()) }
}

fn layer_arrays(layer: &LayerState, v4: bool) -> Vec<Array> {
    let wkv = if v4 { layer.wkv.clone().narrow(2, 0, 2) } else { layer.wkv.clone() };
    let always = [Array::of(layer.att_x.clone()), Array::of(wkv), Array::of(layer.ffn_x.clone())];
    always.into_iter().chain(layer.tiny.clone().map(Array::of)).collect()
}

fn distance(a: &[Array], b: &[Array]) -> Result<Distance> {
    let (mut square, mut dot, mut max_abs) = (0.0, 0.0, 0.0f64);
    let norm = |x: &[Array]| x.iter().map(|x| x.norm().powi(2)).sum::<f64>().sqrt();
    for (a, b) in a.iter().zip(b) {
        square += a.zip(b, |a, b| a - b)?.norm().powi(2);
        dot += a.zip(b, |a, b| a * b)?.sum();
        // Not `max`: it would pass over a NaN.
        let far = a.max_abs_diff(b)?;
        max_abs = if far.is_nan() || far > max_abs { far } else { max_abs };
    }
    Ok(Distance { l2: square.sqrt(), cosine: dot / (norm(a) * norm(b)), max_abs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn v4(aa: f32, bb: f32, pp: f32) -> State {
        let device = Device::flex();
        let one = |x: f32| Tensor::<2>::from_floats([[x, x, x, x]], &device);
        let wkv = Tensor::<4>::from_floats([[[[aa; 4], [bb; 4], [pp; 4]]]], &device);
        State::new(vec![LayerState { att_x: one(1.0), ffn_x: one(2.0), wkv, tiny: None }])
    }

    #[test]
    fn exponents_are_brought_together_first() {
        // Both hold e³·1 and e³·2: one as (1, 2) at 3, the other as (e³, 2e³) at 0.
        let (a, b) = (v4(1.0, 2.0, 3.0), v4(3f32.exp(), 2.0 * 3f32.exp(), 0.0));
        let far = a.distance(&b).unwrap();
        assert!(far.max_abs < 1e-6 && (far.cosine - 1.0).abs() < 1e-6);
        let middle = a.lerp(&b, 0.5).unwrap();
        assert!((middle.part(0, "aa").unwrap().values()[0] - 1.0).abs() < 1e-6);
        assert_eq!(middle.part(0, "pp").unwrap().values()[0], 3.0);
    }

    #[test]
    fn an_empty_memory_does_not_drown_the_other() {
        let (empty, full) = (v4(0.0, 0.0, -1e30), v4(1.0, 2.0, 3.0));
        let half = empty.lerp(&full, 0.5).unwrap();
        assert_eq!(half.part(0, "aa").unwrap().values()[0], 0.5);
        assert_eq!(half.part(0, "pp").unwrap().values()[0], 3.0);
    }

    #[test]
    fn ends_of_the_line_are_the_states() {
        let (a, b) = (v4(1.0, 2.0, 3.0), v4(5.0, 6.0, 3.0));
        assert!(a.lerp(&b, 0.0).unwrap().equals(&a) && a.lerp(&b, 1.0).unwrap().equals(&b));
        assert!(a.plus(&b).unwrap().minus(&b).unwrap().distance(&a).unwrap().max_abs < 1e-6);
        assert_eq!(a.scaled(2.0).part(0, "bb").unwrap().values()[0], 4.0);
        assert_eq!(a.scaled(2.0).part(0, "pp").unwrap().values()[0], 3.0);
    }
}
