//! From gradients to weights.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use rwkv_kernels::{AdamW, adamw};

use super::settings::Rule;

/// A number for every number of every parameter that learns, by the parameter's name.
pub type Gradients = BTreeMap<String, Tensor<1>>;

/// What an optimiser remembers of the gradients so far.
#[derive(Clone, Debug, Default)]
pub struct Optimizer {
    /// Running averages by name: of the gradient, and with AdamW of its square, both `[numbers]`.
    pub moments: BTreeMap<String, Vec<Tensor<1>>>,
}

/// How one parameter is updated.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// The rate of this step for this parameter.
    pub lr: f64,
    /// Share taken away per unit of rate.
    pub weight_decay: f64,
    /// The gradient is multiplied by this first.
    pub scale: f64,
    /// Steps done, this one included.
    pub step: usize,
}

impl Optimizer {
    /// The parameter after a step, `[numbers]`.
    pub fn update(
        &mut self,
        rule: &Rule,
        name: &str,
        x: Tensor<1>,
        gradient: Tensor<1>,
        how: Update,
    ) -> Tensor<1> {
        let mut moments = self.moments.remove(name).unwrap_or_default().into_iter();
        let mut moment = || moments.next().unwrap_or_else(|| gradient.zeros_like());
        let (after, moments) = match *rule {
            Rule::AdamW { betas, eps, .. } => {
                let Update { lr: rate, weight_decay, scale, step } = how;
                let rule = AdamW { rate, betas, eps, weight_decay, step, scale };
                let (first, second) = (moment(), moment());
                let [x, first, second] = adamw(x, gradient, first, second, &rule);
                (x, vec![first, second])
            }
            Rule::Sgd { momentum, .. } => {
                let first = moment() * momentum + gradient * how.scale;
                let kept = x * (1.0 - how.lr * how.weight_decay);
                (kept - first.clone() * how.lr, vec![first])
            }
        };
        self.moments.insert(name.to_string(), moments);
        after
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn run(rule: Rule, gradients: &[f32], how: Update) -> f32 {
        let (device, mut optimizer) = (Device::flex(), Optimizer::default());
        let mut x = Tensor::<1>::from_floats([1.0], &device);
        for (i, g) in gradients.iter().enumerate() {
            let gradient = Tensor::from_floats([*g], &device);
            x = optimizer.update(&rule, "x", x, gradient, Update { step: i + 1, ..how });
        }
        x.into_scalar::<f32>()
    }

    const HOW: Update = Update { lr: 0.1, weight_decay: 0.0, scale: 1.0, step: 1 };

    #[test]
    fn adam_goes_by_the_sign_at_first() {
        let rule = Rule::AdamW { betas: [0.9, 0.99], eps: 1e-18, weight_decay: 0.0 };
        assert!((run(rule, &[1e-9], HOW) - 0.9).abs() < 1e-6);
        assert!((run(rule, &[-7.0], HOW) - 1.1).abs() < 1e-6);
        // By hand: averages (0.9·0.1 − 0.1)/0.19 = −0.0526 and 1.
        assert!((run(rule, &[1.0, -1.0], HOW) - (0.9 + 0.1 * 0.01 / 0.19)).abs() < 1e-6);
        // Where there is no gradient at all, nothing happens.
        assert!((run(rule, &[0.0], HOW) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn what_decays_decays_apart_from_the_gradient() {
        let rule = Rule::AdamW { betas: [0.9, 0.99], eps: 1e-18, weight_decay: 0.5 };
        let how = Update { weight_decay: 0.5, ..HOW };
        assert!((run(rule, &[3.0], how) - (0.95 - 0.1)).abs() < 1e-6);
    }

    #[test]
    fn descent_gathers_momentum() {
        let rule = Rule::Sgd { momentum: 0.5, weight_decay: 0.0 };
        assert!((run(rule, &[1.0, 1.0], HOW) - (1.0 - 0.1 - 0.15)).abs() < 1e-6);
        assert!((run(rule, &[1.0], Update { scale: 0.5, ..HOW }) - 0.95).abs() < 1e-6);
    }
}
