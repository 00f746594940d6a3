//! The forms of `z·Φ(z)` with `z = x + weight`; see [`crate::Gelu`].

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use super::exp::exp;
use super::pointwise::Equation;
use super::rows::sigmoid;

/// `√(2/π)`.
const ROOT_2_PI: f32 = 0.797_884_6;

/// With the error function.
#[derive(Debug)]
pub struct Erf;

/// The share of the normal distribution below `z`.
#[inline(always)]
fn below(z: f32) -> f32 {
    0.5 * (1.0 + erf(z * FRAC_1_SQRT_2))
}

impl Equation<1> for Erf {
    #[inline(always)]
    fn value([x]: [f32; 1], weight: f32) -> f32 {
        let z = x + weight;
        z * below(z)
    }

    #[inline(always)]
    fn slopes([x]: [f32; 1], weight: f32) -> ([f32; 1], f32) {
        let z = x + weight;
        let density = 0.5 * ROOT_2_PI * exp(-0.5 * z * z);
        let slope = z.mul_add(density, below(z));
        ([slope], slope)
    }
}

/// How `z·σ(u)` changes with `z`, where `share` is `σ(u)` and `u` changes by `steep`.
#[inline(always)]
fn slope(z: f32, share: f32, steep: f32) -> f32 {
    (z * steep * (1.0 - share)).mul_add(share, share)
}

/// With tanh: `½(1 + tanh u) = σ(2u)`.
#[derive(Debug)]
pub struct Tanh;

/// Of `z³`, in `u = √(2/π)·(z + 0.044715·z³)`.
const CUBE: f32 = 0.044_715;

impl Equation<1> for Tanh {
    #[inline(always)]
    fn value([x]: [f32; 1], weight: f32) -> f32 {
        let z = x + weight;
        z * sigmoid(2.0 * ROOT_2_PI * z * (CUBE * z).mul_add(z, 1.0))
    }

    #[inline(always)]
    fn slopes([x]: [f32; 1], weight: f32) -> ([f32; 1], f32) {
        let z = x + weight;
        let share = sigmoid(2.0 * ROOT_2_PI * z * (CUBE * z).mul_add(z, 1.0));
        let slope = slope(z, share, 2.0 * ROOT_2_PI * (3.0 * CUBE * z).mul_add(z, 1.0));
        ([slope], slope)
    }
}

/// `z·σ(1.702 z)`.
#[derive(Debug)]
pub struct Quick;

/// How steep the sigmoid is.
const STEEP: f32 = 1.702;

impl Equation<1> for Quick {
    #[inline(always)]
    fn value([x]: [f32; 1], weight: f32) -> f32 {
        let z = x + weight;
        z * sigmoid(STEEP * z)
    }

    #[inline(always)]
    fn slopes([x]: [f32; 1], weight: f32) -> ([f32; 1], f32) {
        let z = x + weight;
        let slope = slope(z, sigmoid(STEEP * z), STEEP);
        ([slope], slope)
    }
}

/// The error function to 3e-7: a ratio of polynomials, with the numbers of XLA.
#[inline(always)]
fn erf(x: f32) -> f32 {
    // Beyond this it is ±1 to the last digit.
    let x = x.clamp(-3.832_507, 3.832_507);
    let square = x * x;
    let mut above = 0.000_229_050_66;
    for factor in [0.003_408_291, 0.050_955_694, 0.185_208_32, FRAC_2_SQRT_PI] {
        above = square.mul_add(above, factor);
    }
    let mut under = -1.179_160_3e-7;
    for factor in [2.354_796_6e-5, 0.001_017_962_7, 0.014_070_47, 0.110_985_05, 0.497_469_25, 1.0] {
        under = square.mul_add(under, factor);
    }
    x * above / under
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_is_its_series() {
        for i in -400..=400 {
            let x = f64::from(i) * 1e-2;
            let (mut term, mut sum) = (x, x);
            for n in 1..120 {
                term *= -x * x / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            let expected = sum * std::f64::consts::FRAC_2_SQRT_PI;
            assert!((f64::from(erf(x as f32)) - expected).abs() < 3e-7, "{x}");
        }
        assert_eq!(erf(9.0), 1.0);
        assert!(erf(f32::NAN).is_nan());
    }
}
