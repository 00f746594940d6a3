//! RWKV-5, 6 and 7: a matrix per head, `[value, key]`.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use ndarray::{Array1, Array2, Axis};

use super::Attention;
use crate::model::go_on;

/// What one head was given, token after token.
#[derive(Clone, Debug)]
pub struct Head {
    /// Receptance, key, value, `[T, N]`.
    pub r: Array2<f64>,
    /// See `r`.
    pub k: Array2<f64>,
    /// See `r`.
    pub v: Array2<f64>,
    /// Decay, `[T, N]`, between 0 and 1.
    pub w: Array2<f64>,
    /// RWKV-7: the key under which old content is taken out, and that key times how much of it.
    pub removal: Option<[Array2<f64>; 2]>,
    /// Extra weight of the current token, `[N]`.
    pub bonus: Array1<f64>,
}

/// Below this a token has taken out all that it replaced, which nothing brings back.
const LEAST_LEFT: f64 = 1e-9;

impl Head {
    /// `S ← S·A_t`: the memory fades, and in RWKV-7 old content is taken out.
    pub fn advance(&self, t: usize, s: &mut Array2<f64>) {
        let taken = self.removal.as_ref().map(|[kappa, _]| s.dot(&kappa.row(t)));
        *s *= &self.w.row(t);
        if let (Some(taken), Some([_, share])) = (taken, &self.removal) {
            *s -= &outer(&taken, &share.row(t).to_owned());
        }
    }

    /// `S ← S·A_t + v·kᵀ`: what token `t` does to the memory.
    pub fn step(&self, t: usize, s: &mut Array2<f64>) {
        self.advance(t, s);
        *s += &outer(&self.v.row(t).to_owned(), &self.k.row(t).to_owned());
    }

    /// `S ← (S − v·kᵀ)·A_t⁻¹`: takes token `t` back, by the formula of Sherman and Morrison where
    /// old content was taken out. Says whether that is possible: not where nothing of it was left.
    pub fn undo(&self, t: usize, s: &mut Array2<f64>) -> bool {
        let w = self.w.row(t);
        if w.iter().any(|w| *w < LEAST_LEFT) {
            return false;
        }
        *s -= &outer(&self.v.row(t).to_owned(), &self.k.row(t).to_owned());
        *s /= &w;
        let Some([kappa, share]) = &self.removal else { return true };
        // A = D − κ·bᵀ, so A⁻¹ = D⁻¹ + D⁻¹κ·bᵀD⁻¹ / (1 − bᵀD⁻¹κ).
        let back = &share.row(t) / &w;
        let left = 1.0 - back.dot(&kappa.row(t));
        let taken = s.dot(&kappa.row(t));
        *s += &(outer(&taken, &back) / left);
        left.abs() > LEAST_LEFT
    }

    /// `A_t·q`: what a question asked after token `t` asks of the memory before it.
    fn asked_before(&self, t: usize, q: &mut Array1<f64>) {
        let taken = self.removal.as_ref().map(|[_, share]| share.row(t).dot(q));
        *q *= &self.w.row(t);
        if let (Some(taken), Some([kappa, _])) = (taken, &self.removal) {
            q.scaled_add(-taken, &kappa.row(t));
        }
    }

    /// `E[t, j] = k_j · (A_{j+1} … A_t · r_t)`, walking back from every question. RWKV-5 and 6 read
    /// before they write, so their products end at `A_{t-1}` and the bonus stands in `E[t, t]`.
    ///
    /// # Errors
    /// When `interrupt` is set.
    pub fn attention(&self, interrupt: &AtomicBool) -> Result<Attention> {
        let (tokens, n) = self.r.dim();
        let reads_first = self.removal.is_none();
        let mut weights = Array2::zeros((tokens, tokens));
        let mut asked = Array2::zeros((tokens, n));
        for t in 0..tokens {
            go_on(interrupt)?;
            let mut q = self.r.row(t).to_owned();
            if reads_first {
                weights[[t, t]] = (&q * &self.bonus).dot(&self.k.row(t));
            }
            for j in (0..if reads_first { t } else { t + 1 }).rev() {
                weights[[t, j]] = self.k.row(j).dot(&q);
                self.asked_before(j, &mut q);
            }
            asked.row_mut(t).assign(&q);
        }
        Ok(Attention { weights, asked })
    }

    /// The weight `r·(r_k∘k)` with which RWKV-7 adds the current value behind the norm, `[T]`.
    pub fn bonuses(&self) -> Array1<f64> {
        (&self.r * &self.k * &self.bonus).sum_axis(Axis(1))
    }

    /// `P` and `C` of `S_T = S_0·P + C` for a part of the tokens.
    ///
    /// # Errors
    /// When `interrupt` is set.
    pub fn map(&self, tokens: Range<usize>, interrupt: &AtomicBool) -> Result<[Array2<f64>; 2]> {
        let n = self.k.ncols();
        let (mut p, mut c) = (Array2::eye(n), Array2::zeros((n, n)));
        for t in tokens {
            go_on(interrupt)?;
            self.advance(t, &mut p);
            self.step(t, &mut c);
        }
        Ok([p, c])
    }
}

/// `a·bᵀ`.
fn outer(a: &Array1<f64>, b: &Array1<f64>) -> Array2<f64> {
    a.view().insert_axis(Axis(1)).dot(&b.view().insert_axis(Axis(0)))
}
