//! Token shift and blend in one pass, forwards and backwards; see [`crate::blend`].

use super::rows::{Block, Rows, each_row};

/// What is blended: `x` `[B, T, C]`, `last` `[B, C]` before it, and how much of the token before.
#[derive(Clone, Copy)]
pub struct Blend<'a> {
    pub x: &'a [f32],
    pub last: &'a [f32],
    pub mu: &'a [f32],
    /// Tokens of a sequence.
    pub tokens: usize,
}

impl<'a> Blend<'a> {
    /// `x + (before − x)·mu`.
    pub fn forward(&self) -> Vec<f32> {
        let c = self.mu.len();
        let ([y], _) = each_row(self.x.len() / c, [c], 0, self);
        y
    }

    /// Gradients of `x`, `last` and `mu`.
    pub fn backward(&self, grad: &[f32]) -> [Vec<f32>; 3] {
        let (c, tokens) = (self.mu.len(), self.tokens);
        let work = Backward { blend: *self, grad };
        let ([dx], dmu) = each_row(grad.len() / c, [c], c, &work);
        let firsts = grad.chunks_exact(tokens * c).flat_map(|sequence| &sequence[..c]);
        let dlast = firsts.zip(self.mu.iter().cycle()).map(|(grad, mu)| grad * mu).collect();
        [dx, dlast, dmu]
    }

    /// The token before the one in this row.
    #[inline(always)]
    fn before(&self, row: usize) -> &'a [f32] {
        let c = self.mu.len();
        if row.is_multiple_of(self.tokens) {
            &self.last[row / self.tokens * c..][..c]
        } else {
            &self.x[(row - 1) * c..][..c]
        }
    }
}

impl Rows<1> for Blend<'_> {
    #[inline(always)]
    fn block(&self, block: Block<1>, _: &mut [f32]) {
        let c = self.mu.len();
        let [out] = block.out;
        for (row, y) in out.chunks_exact_mut(c).enumerate() {
            let row = block.first + row;
            let (x, before) = (&self.x[row * c..][..c], &self.before(row)[..c]);
            for j in 0..c {
                y[j] = (before[j] - x[j]).mul_add(self.mu[j], x[j]);
            }
        }
    }
}

struct Backward<'a> {
    blend: Blend<'a>,
    grad: &'a [f32],
}

impl Rows<1> for Backward<'_> {
    #[inline(always)]
    fn block(&self, block: Block<1>, sums: &mut [f32]) {
        let Blend { x, mu, tokens, .. } = self.blend;
        let c = mu.len();
        let sums = &mut sums[..c];
        let [out] = block.out;
        for (row, dx) in out.chunks_exact_mut(c).enumerate() {
            let row = block.first + row;
            let before = &self.blend.before(row)[..c];
            let (x, grad) = (&x[row * c..][..c], &self.grad[row * c..][..c]);
            for j in 0..c {
                dx[j] = grad[j] - grad[j] * mu[j];
                sums[j] = grad[j].mul_add(before[j] - x[j], sums[j]);
            }
            if !(row + 1).is_multiple_of(tokens) {
                // The next token reads this one as the one before.
                let next = &self.grad[(row + 1) * c..][..c];
                for j in 0..c {
                    dx[j] = next[j].mul_add(mu[j], dx[j]);
                }
            }
        }
    }
}
