//! Attention head by head, forwards and backwards; see [`crate::attention`].

use rayon::prelude::*;

use super::exp::exp;
use super::matrix::{Matrix, Precision, add_product, product};
use super::rows::{Block, Rows, change_each_row, dot, sum};
use crate::fused::{Kept, Operation, Saved};

/// Inputs `q`, `k` and `v`, each `[B, T, C]`.
#[derive(Debug)]
pub struct Attention {
    pub tokens: usize,
    pub channels: usize,
    /// That `channels` are cut into.
    pub heads: usize,
}

/// Rows whose scores are made at a time: they stay in the cache of a core.
const BLOCK: usize = 128;

impl Operation for Attention {
    fn forward(&self, inputs: &[&[f32]], _: bool) -> (Vec<f32>, Kept) {
        let [y] = self.each_head(inputs[0].len(), |head| {
            let [q, k, v] = [0, 1, 2].map(|i| self.head(inputs[i], head));
            let mut y = Vec::with_capacity(q.len());
            for q in q.chunks(BLOCK * self.width()) {
                let seen = self.seen(q, &k);
                y.extend(exactly(self.scores(&seen), self.rows(&v)));
            }
            [y]
        });
        (y, vec![])
    }

    fn backward(&self, saved: Saved, grad: &[f32], _: &[bool]) -> Vec<Vec<f32>> {
        let all = self.each_head(grad.len(), |head| {
            let [q, k, v] = [0, 1, 2].map(|i| self.head(saved.inputs[i], head));
            let grad = self.head(grad, head);
            let (mut dq, mut dk) = (Vec::with_capacity(q.len()), vec![0.0; k.len()]);
            let mut dv = dk.clone();
            let block = BLOCK * self.width();
            for (q, grad) in q.chunks(block).zip(grad.chunks(block)) {
                let seen = self.seen(q, &k);
                let (q, grad) = (self.rows(q), self.rows(grad));
                add_product(self.scores(&seen).turned(), grad, Precision::F32, &mut dv);
                let mut slope = exactly(grad, self.rows(&v).turned());
                self.change(&mut slope, &Back { attention: self, seen: &seen });
                dq.extend(exactly(self.scores(&slope), self.rows(&k)));
                add_product(self.scores(&slope).turned(), q, Precision::F32, &mut dk);
            }
            [dq, dk, dv]
        });
        all.into()
    }
}

fn exactly(a: Matrix, b: Matrix) -> Vec<f32> {
    product(a, b, Precision::F32)
}

impl Attention {
    /// Channels of a head.
    fn width(&self) -> usize {
        self.channels / self.heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.width() as f32).sqrt()
    }

    /// `[.., N]`.
    fn rows<'a>(&self, x: &'a [f32]) -> Matrix<'a> {
        Matrix::new(x, x.len() / self.width())
    }

    /// `[.., T]`.
    fn scores<'a>(&self, x: &'a [f32]) -> Matrix<'a> {
        Matrix::new(x, x.len() / self.tokens)
    }

    /// How much each row of `q` sees of each of `k`: `[.., T]`, each row summing up to 1.
    fn seen(&self, q: &[f32], k: &[f32]) -> Vec<f32> {
        let mut scores = exactly(self.rows(q), self.rows(k).turned());
        self.change(&mut scores, &Softmax(self));
        scores
    }

    fn change(&self, scores: &mut [f32], work: &impl Rows<1>) {
        change_each_row(scores.len() / self.tokens, [self.tokens], [scores], work);
    }

    /// The vectors of one head, counted over the batch: `[T, N]`.
    fn head(&self, x: &[f32], head: usize) -> Vec<f32> {
        let (batch, head) = (head / self.heads, head % self.heads);
        let text = x.chunks_exact(self.tokens * self.channels).nth(batch).unwrap_or_default();
        let mut vectors = Vec::with_capacity(self.tokens * self.width());
        for row in text.chunks_exact(self.channels) {
            vectors.extend_from_slice(&row[head * self.width()..][..self.width()]);
        }
        vectors
    }

    /// What `f` makes of every head, `[T, N]`s, side by side again in `K` times `numbers` numbers.
    fn each_head<const K: usize>(
        &self,
        numbers: usize,
        f: impl Fn(usize) -> [Vec<f32>; K] + Sync + Send,
    ) -> [Vec<f32>; K] {
        let heads = numbers / (self.tokens * self.width()).max(1);
        let found: Vec<_> = (0..heads).into_par_iter().map(f).collect();
        std::array::from_fn(|which| {
            let mut all = Vec::with_capacity(numbers);
            for heads in found.chunks(self.heads) {
                for t in 0..self.tokens {
                    let row = t * self.width()..(t + 1) * self.width();
                    heads.iter().for_each(|head| all.extend_from_slice(&head[which][row.clone()]));
                }
            }
            all
        })
    }
}

/// Rows of scores become shares that sum up to 1.
struct Softmax<'a>(&'a Attention);

impl Rows<1> for Softmax<'_> {
    #[inline(always)]
    fn block(&self, block: Block<1>, _: &mut [f32]) {
        let ([scores], scale) = (block.out, self.0.scale());
        for row in scores.chunks_exact_mut(self.0.tokens) {
            let most = most(row);
            for x in &mut *row {
                *x = exp((*x - most) * scale);
            }
            let share = 1.0 / sum(row);
            for x in row {
                *x *= share;
            }
        }
    }
}

/// The largest number, in 16 running ones so that it fills vector registers.
#[inline(always)]
fn most(x: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let mut most = [f32::NEG_INFINITY; 16];
    let parts = x.chunks_exact(16);
    let rest = parts.remainder().iter().copied().fold(f32::NEG_INFINITY, larger);
    for part in parts {
        for i in 0..16 {
            most[i] = larger(part[i], most[i]);
        }
    }
    most.into_iter().fold(rest, larger)
}

/// Gradients of shares become those of scores.
struct Back<'a> {
    attention: &'a Attention,
    seen: &'a [f32],
}

impl Rows<1> for Back<'_> {
    #[inline(always)]
    fn block(&self, block: Block<1>, _: &mut [f32]) {
        let (tokens, scale) = (self.attention.tokens, self.attention.scale());
        let ([slopes], seen) = (block.out, &self.seen[block.first * tokens..]);
        for (slopes, seen) in slopes.chunks_exact_mut(tokens).zip(seen.chunks_exact(tokens)) {
            let along = dot(slopes, seen);
            for (slope, seen) in slopes.iter_mut().zip(seen) {
                *slope = (*slope - along) * seen * scale;
            }
        }
    }
}
