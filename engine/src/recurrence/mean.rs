//! RWKV-4: sums of values and of their weights, channel by channel.

use std::sync::atomic::AtomicBool;

use anyhow::Result;
use burn::tensor::{Tensor, TensorData};
use ndarray::{Array1, Array2};

use super::Attention;
use crate::model::go_on;
use crate::tensor::Array;

/// The memory of all channels; sums are kept divided by `e^p`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sums {
    a: Vec<f64>,
    b: Vec<f64>,
    p: Vec<f64>,
}

/// The exponent of an empty memory.
const EMPTY: f64 = -1e30;
/// A share of the weight below which what is left after a subtraction is rounding.
const ROUNDING: f64 = 1e-6;

impl Sums {
    /// Nothing is remembered.
    pub fn empty(channels: usize) -> Self {
        Self { a: vec![0.0; channels], b: vec![0.0; channels], p: vec![EMPTY; channels] }
    }

    /// The memory of the first text, from `[B, 1, 3, C]`.
    pub fn of(wkv: &Tensor<4>) -> Self {
        let [_, _, _, c] = wkv.dims();
        let values = Array::of(wkv.clone().narrow(0, 0, 1)).values();
        let row = |i: usize| values[i * c..(i + 1) * c].iter().map(|&x| f64::from(x)).collect();
        Self { a: row(0), b: row(1), p: row(2) }
    }

    /// `[1, 1, 3, C]` on the device of `like`.
    pub fn tensor(&self, like: &Tensor<4>) -> Tensor<4> {
        let all = [&self.a[..], &self.b, &self.p].concat();
        let values: Vec<f32> = all.into_iter().map(|x| x as f32).collect();
        Tensor::from_data(TensorData::new(values, [1, 1, 3, self.a.len()]), &like.device())
    }

    /// One token later, or several: `d` is the logarithm of what is left.
    pub fn fade(&mut self, d: &Array1<f64>) {
        self.p.iter_mut().zip(d).for_each(|(p, d)| *p += d);
    }

    /// Both memories together.
    pub fn merge(&mut self, other: &Self) {
        for i in 0..self.a.len() {
            let p = self.p[i].max(other.p[i]);
            let (own, others) = ((self.p[i] - p).exp(), (other.p[i] - p).exp());
            self.a[i] = own * self.a[i] + others * other.a[i];
            self.b[i] = own * self.b[i] + others * other.b[i];
            self.p[i] = p;
        }
    }

    /// What a token with key `k` and value `v` does to the memory.
    pub fn step(&mut self, d: &Array1<f64>, k: &Array1<f64>, v: &Array1<f64>) {
        self.fade(d);
        self.merge(&Self { a: v.to_vec(), b: vec![1.0; k.len()], p: k.to_vec() });
    }

    /// Takes such a token back; where it has drowned all before, nothing is left.
    pub fn undo(&mut self, d: &Array1<f64>, k: &Array1<f64>, v: &Array1<f64>) {
        for i in 0..self.a.len() {
            let own = (k[i] - self.p[i]).exp();
            let (a, b) = (self.a[i] - own * v[i], self.b[i] - own);
            let left = b > ROUNDING * self.b[i];
            (self.a[i], self.b[i]) = if left { (a, b) } else { (0.0, 0.0) };
            self.p[i] = if left { self.p[i] - d[i] } else { EMPTY };
        }
    }

    /// The mean of what is remembered; 0 where nothing is.
    pub fn mean(&self) -> Vec<f64> {
        let mean = |(a, b): (&f64, &f64)| if *b > 0.0 { a / b } else { 0.0 };
        self.a.iter().zip(&self.b).map(mean).collect()
    }
}

/// The weights with which each token reads the ones before, the mean over the channels, and the
/// share of the memory `past` from before the first one. Every row sums to 1 with it.
///
/// # Errors
/// When `interrupt` is set.
pub fn attention(
    (d, bonus): (Array1<f64>, &Array1<f64>),
    k: &Array2<f64>,
    past: &Sums,
    interrupt: &AtomicBool,
) -> Result<Attention> {
    let (tokens, channels) = k.dim();
    let mut weights = Array2::zeros((tokens, tokens));
    let mut asked = Array2::zeros((tokens, channels));
    for c in 0..channels {
        go_on(interrupt)?;
        let mut one = Channel { p: past.p[c], past: past.b[c], tokens: Vec::with_capacity(tokens) };
        for t in 0..tokens {
            let [old, own] = one.shares(k[[t, c]] + bonus[c]);
            let mut row = weights.row_mut(t);
            row.iter_mut().zip(&one.tokens).for_each(|(w, j)| *w += old * j / channels as f64);
            row[t] += own / channels as f64;
            asked[[t, c]] = old * one.past;
            one.step(d[c], k[[t, c]]);
        }
    }
    Ok(Attention { weights, asked })
}

/// Weights of what one channel remembers, divided by `e^p`.
struct Channel {
    p: f64,
    /// Of the memory from before the first token.
    past: f64,
    tokens: Vec<f64>,
}

impl Channel {
    /// What the weights and one of `e^now` are to be multiplied by, so that all sum to 1.
    fn shares(&self, now: f64) -> [f64; 2] {
        let q = self.p.max(now);
        let (old, own) = ((self.p - q).exp(), (now - q).exp());
        let total = old * (self.past + self.tokens.iter().sum::<f64>()) + own;
        [old / total, own / total]
    }

    /// One token later, with one more of the weight `e^k`.
    fn step(&mut self, d: f64, k: f64) {
        let q = (self.p + d).max(k);
        let left = (self.p + d - q).exp();
        self.past *= left;
        self.tokens.iter_mut().for_each(|w| *w *= left);
        self.tokens.push((k - q).exp());
        self.p = q;
    }
}
