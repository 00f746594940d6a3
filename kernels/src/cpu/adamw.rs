//! One update of AdamW, in place and in one pass.

use pulp::NullaryFnOnce;
use rayon::prelude::*;

use super::rows::widely;
use crate::adamw::AdamW;

/// Numbers that one thread updates at a time.
const PART: usize = 1 << 14;

/// Moves `x`, and its averages `m` and `v`, by one step along `grad`.
pub fn update(rule: &AdamW, x: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32]) {
    let parts = x.par_chunks_mut(PART).zip(grad.par_chunks(PART));
    let averages = m.par_chunks_mut(PART).zip(v.par_chunks_mut(PART));
    parts
        .zip(averages)
        .for_each(|((x, grad), (m, v))| widely(Update { step: Step::of(rule), x, grad, m, v }));
}

/// The numbers of a step that are the same for all weights.
struct Step {
    betas: [f32; 2],
    more: [f32; 2],
    scale: f32,
    kept: f32,
    rate: f32,
    spread: f32,
    eps: f32,
}

impl Step {
    fn of(rule: &AdamW) -> Self {
        let steps = i32::try_from(rule.step).unwrap_or(i32::MAX);
        let [first, second] = rule.betas.map(|beta| 1.0 - beta.powi(steps));
        Self {
            betas: rule.betas.map(|beta| beta as f32),
            more: rule.betas.map(|beta| (1.0 - beta) as f32),
            scale: rule.scale as f32,
            kept: (1.0 - rule.rate * rule.weight_decay) as f32,
            rate: (rule.rate / first) as f32,
            spread: (1.0 / second) as f32,
            eps: rule.eps as f32,
        }
    }
}

struct Update<'a> {
    step: Step,
    x: &'a mut [f32],
    grad: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
}

impl NullaryFnOnce for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Step { betas: [first, second], more, scale, kept, rate, spread, eps } = self.step;
        let size = self.x.len();
        let (x, grad) = (&mut self.x[..size], &self.grad[..size]);
        let (m, v) = (&mut self.m[..size], &mut self.v[..size]);
        for j in 0..size {
            let g = grad[j] * scale;
            m[j] = first * m[j] + more[0] * g;
            v[j] = second * v[j] + more[1] * g * g;
            x[j] = x[j] * kept - rate * m[j] / ((v[j] * spread).sqrt() + eps);
        }
    }
}
