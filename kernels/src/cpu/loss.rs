//! The output head and the loss together, some rows at a time: the logits of all positions never
//! exist at once; see [`crate::head_loss`].

use super::exp::exp;
use super::matrix::{Matrix, Precision, add_product, product};
use super::rows::{Block, Rows, change_each_row, sum};
use crate::fused::{Kept, Operation, Saved};

/// Rows whose logits exist at once.
const ROWS: usize = 512;

/// Inputs `x` `[M, C]` and the head `[V, C]`; the output is one number.
#[derive(Debug)]
pub struct HeadLoss {
    /// What is to be said at every position.
    pub targets: Vec<usize>,
    /// How much every position counts.
    pub shares: Vec<f32>,
    /// Strength of the pull on the largest logit.
    pub wrap: f32,
    /// Of its products, there and back.
    pub precision: Precision,
}

impl Operation for HeadLoss {
    /// Keeps the gradients of both inputs: they are known as soon as the loss is.
    fn forward(&self, inputs: &[&[f32]], keep: bool) -> (Vec<f32>, Kept) {
        let m = self.targets.len();
        let c = inputs[0].len() / m;
        let head = Matrix::new(inputs[1], inputs[1].len() / c);
        let (mut loss, mut losses) = (0.0, [0.0; ROWS]);
        let mut dx = Vec::with_capacity(if keep { inputs[0].len() } else { 0 });
        let mut dhead = vec![0.0; if keep { inputs[1].len() } else { 0 }];
        for first in (0..m).step_by(ROWS) {
            let rows = ROWS.min(m - first);
            let x = Matrix::new(&inputs[0][first * c..][..rows * c], rows);
            let mut logits = product(x, head.turned(), self.precision);
            let v = logits.len() / rows;
            let work = Losses { own: self, first, keep };
            change_each_row(rows, [v, 1], [&mut logits, &mut losses[..rows]], &work);
            loss += losses[..rows].iter().copied().map(f64::from).sum::<f64>();
            if keep {
                let slope = Matrix::new(&logits, rows);
                dx.extend(product(slope, head, self.precision));
                add_product(slope.turned(), x, self.precision, &mut dhead);
            }
        }
        (vec![loss as f32], vec![dx, dhead])
    }

    fn backward(&self, saved: Saved, grad: &[f32], wanted: &[bool]) -> Vec<Vec<f32>> {
        let grad = grad[0];
        let scaled = |(kept, wanted): (&Vec<f32>, &bool)| match wanted {
            true => kept.iter().map(|x| x * grad).collect(),
            false => vec![],
        };
        saved.kept.iter().zip(wanted).map(scaled).collect()
    }
}

/// Losses of rows of logits from row `first` on, into a second column; where they are kept, their
/// gradients take the place of the logits.
struct Losses<'a> {
    own: &'a HeadLoss,
    first: usize,
    keep: bool,
}

impl Rows<2> for Losses<'_> {
    #[inline(always)]
    fn block(&self, block: Block<2>, _: &mut [f32]) {
        let HeadLoss { targets, shares, wrap, .. } = self.own;
        let [out, losses] = block.out;
        let v = out.len() / block.rows;
        for (row, x) in out.chunks_exact_mut(v).enumerate() {
            let at = self.first + block.first + row;
            let (target, share) = (targets[at], shares[at]);
            let largest = largest(x);
            let place = x.iter().position(|x| *x == largest).unwrap_or(0);
            let said = x[target];
            for x in &mut *x {
                *x = exp(*x - largest);
            }
            let whole = sum(x);
            losses[row] = share * (largest + whole.ln() - said);
            if self.keep {
                let scale = share / whole;
                for x in &mut *x {
                    *x *= scale;
                }
                x[target] -= share;
                x[place] += wrap * largest;
            }
        }
    }
}

/// The largest number, in 16 running ones; NaN where a number is not finite, so that the loss
/// tells.
#[inline(always)]
fn largest(x: &[f32]) -> f32 {
    let mut largest = [f32::NEG_INFINITY; 16];
    let parts = x.chunks_exact(16);
    let rest = parts.remainder().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for part in parts {
        for i in 0..16 {
            largest[i] = if part[i] > largest[i] { part[i] } else { largest[i] };
        }
    }
    largest.into_iter().fold(rest, f32::max)
}
