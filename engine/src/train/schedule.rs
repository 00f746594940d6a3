//! How fast to learn at which step.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// A rate over the steps: a straight warm-up, then one of four shapes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// What comes after the warm-up.
    pub shape: Shape,
    /// The highest rate.
    pub lr_init: f64,
    /// The rate of the last step; the constant shape takes no notice.
    pub lr_final: f64,
    /// Steps until the highest rate.
    pub warmup: usize,
    /// All steps, warm-up included.
    pub steps: usize,
}

/// How a rate goes from the highest to the last.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Shape {
    /// It stays where it is.
    Constant,
    /// Straight down.
    Linear,
    /// Half a wave of the cosine.
    Cosine,
    /// Warm-up, stable, decay (arXiv 2404.06395): the highest rate until the last `decay` steps,
    /// then straight down.
    Wsd {
        /// Steps of the fall.
        decay: usize,
    },
}

impl Default for Schedule {
    /// RWKV-LM's rates for the smallest models, over 1000 steps.
    fn default() -> Self {
        Self { shape: Shape::Cosine, lr_init: 6e-4, lr_final: 6e-5, warmup: 10, steps: 1000 }
    }
}

impl Schedule {
    /// The rate of a step, counted from 0 (the cosine: RWKV-LM, src/trainer.py).
    pub fn at(&self, step: usize) -> f64 {
        let Self { lr_init, lr_final, warmup, steps, .. } = *self;
        let rise = if step < warmup { 0.01 + 0.99 * step as f64 / warmup as f64 } else { 1.0 };
        let from = |first: usize| {
            let left = steps.saturating_sub(first).max(1) as f64;
            ((step as f64 - first as f64) / left).clamp(0.0, 1.0)
        };
        let way = match self.shape {
            Shape::Constant => 0.0,
            Shape::Linear => from(warmup),
            Shape::Cosine => 0.5 - 0.5 * (PI * from(warmup)).cos(),
            Shape::Wsd { decay } => from(steps.saturating_sub(decay).max(warmup)),
        };
        (lr_init + (lr_final - lr_init) * way) * rise
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(shape: Shape) -> Schedule {
        Schedule { shape, lr_init: 1.0, lr_final: 0.1, warmup: 10, steps: 110 }
    }

    #[test]
    fn every_shape_warms_up_and_ends_where_it_should() {
        let wsd = Shape::Wsd { decay: 20 };
        let shapes = [(Shape::Constant, 1.0), (Shape::Linear, 0.1), (Shape::Cosine, 0.1)];
        for (shape, last) in shapes.into_iter().chain([(wsd, 0.1)]) {
            let rate = rate(shape);
            assert!((rate.at(0) - 0.01).abs() < 1e-12, "{shape:?}");
            assert!((rate.at(10) - 1.0).abs() < 1e-12, "{shape:?}");
            assert!((rate.at(110) - last).abs() < 1e-12, "{shape:?}");
            assert!((rate.at(999) - last).abs() < 1e-12, "{shape:?}");
        }
    }

    #[test]
    fn half_way_checked_by_hand() {
        assert!((rate(Shape::Cosine).at(60) - 0.55).abs() < 1e-12);
        assert!((rate(Shape::Cosine).at(35) - (0.55 + 0.45 * 0.5f64.sqrt())).abs() < 1e-12);
        assert!((rate(Shape::Linear).at(35) - 0.775).abs() < 1e-12);
        let wsd = rate(Shape::Wsd { decay: 20 });
        assert!((wsd.at(90) - 1.0).abs() < 1e-12);
        assert!((wsd.at(100) - 0.55).abs() < 1e-12);
    }
}
