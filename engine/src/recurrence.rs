//! The recurrences as algebra, in double precision: what each token does to the memory, how much of
//! each token the next ones read, and how to take the last ones back.
//!
//! The memory of a head moves as `S_t = S_{t-1}·A_t + v_t·k_tᵀ`, where `A_t` is a diagonal of
//! decays in RWKV-5 and 6 and `diag(w) − κ·(a∘κ)ᵀ` in RWKV-7. RWKV-4 keeps sums of values and of
//! their weights, channel by channel.

mod matrix;
mod mean;
#[cfg(test)]
pub(crate) mod tests;

pub use matrix::Head;
pub use mean::Sums;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use burn::tensor::{Tensor, TensorData};
use ndarray::{Array1, Array2, s};

use crate::activations::Activations;
use crate::model::Model;
use crate::rwkv::Version;
use crate::tensor::Array;

/// What the recurrence of one block was given, token after token.
#[derive(Clone, Debug)]
pub struct Letters {
    /// RWKV-4: sums in place of matrices.
    is_v4: bool,
    heads: usize,
    r: Array2<f64>, // all [T, H·N]
    k: Array2<f64>,
    v: Array2<f64>,
    y: Array2<f64>,
    /// Logarithm of the decay; a single row where it is the same for all tokens.
    d: Array2<f64>,
    /// RWKV-7: the key under which old content is taken out, and that key times how much of it.
    removal: Option<[Array2<f64>; 2]>,
    bonus: Array1<f64>, // [H·N]
}

/// How much of each token the later ones read.
#[derive(Clone, Debug)]
pub struct Attention {
    /// `[T, T]`: row t, column j is the weight with which token t reads the value of token j.
    pub weights: Array2<f64>,
    /// `[T, N]`: what row t asks of the memory before the first token; in RWKV-4 the share that
    /// the mean before the first token has in what is read.
    pub asked: Array2<f64>,
}

impl Letters {
    /// The activations that are needed.
    pub const NAMES: [&str; 8] = ["r", "k", "v", "y", "d", "w", "kappa", "a"];

    /// The letters of one block from its activations.
    ///
    /// # Errors
    /// When one of [`Letters::NAMES`] that the version has was not seen.
    pub fn of(model: &Model, layer: usize, seen: &Activations) -> Result<Self> {
        let bonus =
            model.rwkv.bonus(layer).with_context(|| format!("there is no layer {layer}."))?;
        let [heads, _] = bonus.dims();
        let bonus: Array1<f64> = Array::of(bonus).values().into_iter().map(f64::from).collect();
        let table = |values: &[f32]| table(values, bonus.len());
        let letter = |name: &str| table(seen.values(layer, name)?);
        let is_v4 = matches!(model.rwkv.version(), Version::V4 | Version::V4a);
        let is_v7 = matches!(model.rwkv.version(), Version::V7 | Version::V7a);
        let d = match model.rwkv.decay(layer) {
            Some(decay) => table(&Array::of(decay).values())?,
            None if is_v7 => letter("w")?.mapv(f64::ln),
            None => letter("d")?,
        };
        let removal = if is_v7 {
            let kappa = letter("kappa")?;
            Some([kappa.clone(), kappa * letter("a")?])
        } else {
            None
        };
        let [r, k, v, y] = [letter("r")?, letter("k")?, letter("v")?, letter("y")?];
        Ok(Self { is_v4, heads, r, k, v, y, d, removal, bonus })
    }

    /// Whether the memory is RWKV-4's sums.
    pub fn is_v4(&self) -> bool {
        self.is_v4
    }

    /// Number of heads; 1 in RWKV-4.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.k.nrows()
    }

    /// One head of RWKV-5, 6 or 7.
    ///
    /// # Errors
    /// In RWKV-4, and when there is no such head.
    pub fn head(&self, head: usize) -> Result<Head> {
        ensure!(!self.is_v4, "RWKV-4 has no heads with matrices.");
        ensure!(head < self.heads, "there is no head {head}; there are {}.", self.heads);
        let n = self.bonus.len() / self.heads;
        let columns = |x: &Array2<f64>| x.slice(s![.., head * n..(head + 1) * n]).to_owned();
        Ok(Head {
            r: columns(&self.r),
            k: columns(&self.k),
            v: columns(&self.v),
            w: columns(&self.d).mapv(f64::exp),
            removal: self.removal.as_ref().map(|pair| [columns(&pair[0]), columns(&pair[1])]),
            bonus: self.bonus.slice(s![head * n..(head + 1) * n]).to_owned(),
        })
    }

    /// How each token reads the ones before, in one head; in RWKV-4 the mean over the channels,
    /// where the memory `before` the first token takes its share.
    ///
    /// # Errors
    /// When there is no such head, and when `interrupt` is set.
    pub fn attention(
        &self,
        head: usize,
        before: &Tensor<4>,
        interrupt: &AtomicBool,
    ) -> Result<Attention> {
        if self.is_v4 {
            ensure!(head == 0, "there is no head {head}; RWKV-4 has one.");
            return mean::attention(self.channels(), &self.k, &Sums::of(before), interrupt);
        }
        self.head(head)?.attention(interrupt)
    }

    /// Decay and bonus of RWKV-4's channels, as logarithms.
    pub fn channels(&self) -> (Array1<f64>, &Array1<f64>) {
        (self.d.row(0).to_owned(), &self.bonus)
    }

    /// Keys and values of one token, `[H·N]`.
    pub fn written(&self, token: usize) -> (Array1<f64>, Array1<f64>) {
        (self.k.row(token).to_owned(), self.v.row(token).to_owned())
    }

    /// What the recurrence read at one token, `[H·N]`.
    pub fn read(&self, token: usize) -> Array1<f64> {
        self.y.row(token).to_owned()
    }

    /// Mean logarithm of the decay of every channel over all tokens, `[H·N]`.
    pub fn mean_decay(&self) -> Array1<f64> {
        self.d.sum_axis(ndarray::Axis(0)) / self.d.nrows() as f64
    }

    /// The memory `after` a single token without what it wrote in `heads`; `before` is the memory
    /// that it came to. `[1, H, N, N]`, in RWKV-4 `[1, 1, 3, C]`.
    pub fn without_writing(
        &self,
        before: &Tensor<4>,
        after: &Tensor<4>,
        heads: &BTreeSet<usize>,
    ) -> Tensor<4> {
        if self.is_v4 {
            let mut sums = Sums::of(before);
            sums.fade(&self.channels().0);
            return sums.tensor(after);
        }
        let (old, mut new) = (matrices(before), matrices(after));
        for &index in heads {
            let Ok(head) = self.head(index) else { continue }; // checked before reading
            let mut left = old[index].clone();
            head.advance(0, &mut left);
            new[index] = left;
        }
        tensor(&new, after)
    }
}

/// Numbers in rows of `columns`.
fn table(values: &[f32], columns: usize) -> Result<Array2<f64>> {
    let rows = values.len() / columns.max(1);
    let values = values.iter().map(|&x| f64::from(x)).collect();
    Array2::from_shape_vec((rows, columns), values).context("a letter has too few channels.")
}

/// The matrix of every head of the first text, `[value, key]`.
pub fn matrices(wkv: &Tensor<4>) -> Vec<Array2<f64>> {
    let [_, h, rows, columns] = wkv.dims();
    let values = Array::of(wkv.clone().narrow(0, 0, 1)).values();
    let matrix = |head: &[f32]| {
        let cell = |(i, j): (usize, usize)| f64::from(head[i * columns + j]);
        Array2::from_shape_fn((rows, columns), cell)
    };
    values.chunks(rows * columns).take(h).map(matrix).collect()
}

/// Matrices as the memory of one text, on the device of `like`.
pub fn tensor(matrices: &[Array2<f64>], like: &Tensor<4>) -> Tensor<4> {
    let [_, h, rows, columns] = like.dims();
    let values: Vec<f32> = matrices.iter().flatten().map(|&x| x as f32).collect();
    Tensor::from_data(TensorData::new(values, [1, h, rows, columns]), &like.device())
}
