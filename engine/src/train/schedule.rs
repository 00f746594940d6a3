//! How fast to learn at which step.

use std::f64::consts::PI;

/// A cosine from `lr_init` down to `lr_final`, after a straight warm-up.
#[derive(Clone, Copy, Debug)]
pub struct Cosine {
    /// The highest rate.
    pub lr_init: f64,
    /// The rate of the last step.
    pub lr_final: f64,
    /// Steps until the highest rate.
    pub warmup: usize,
    /// All steps, warm-up included.
    pub steps: usize,
}

impl Cosine {
    /// The rate of a step, counted from 0 (RWKV-LM, src/trainer.py).
    pub fn at(&self, step: usize) -> f64 {
        let Self { lr_init, lr_final, warmup, steps } = *self;
        let left = steps.saturating_sub(warmup).max(1) as f64;
        let progress = ((step as f64 - warmup as f64) / left).clamp(0.0, 1.0);
        let floor = lr_final / lr_init;
        let fall = (0.5 + floor / 2.0) + (0.5 - floor / 2.0) * (PI * progress).cos();
        let rise = if step < warmup { 0.01 + 0.99 * step as f64 / warmup as f64 } else { 1.0 };
        lr_init * fall * rise
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_falls() {
        let rate = Cosine { lr_init: 1.0, lr_final: 0.1, warmup: 10, steps: 110 };
        assert!((rate.at(0) - 0.01).abs() < 1e-12);
        assert!((rate.at(10) - 1.0).abs() < 1e-12);
        assert!((rate.at(60) - 0.55).abs() < 1e-12);
        assert!((rate.at(110) - 0.1).abs() < 1e-12);
        assert!((rate.at(999) - 0.1).abs() < 1e-12);
    }
}
