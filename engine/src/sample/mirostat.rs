//! Mirostat: instead of cutting by a fixed number, it steers how surprising the tokens are.
//!
//! `mu` is the surprise, in bits, that the next token may have; it rises after dull tokens and falls
//! after surprising ones, so that the mean becomes `tau`.

/// How many tokens version 1 measures the fall of the curve by.
const MEASURED: usize = 100;

/// Version 2: how many of the falling `p` surprise by at most `mu` bits; at least one.
pub fn second(p: &[f64], mu: f64) -> usize {
    p.partition_point(|p| -p.log2() <= mu).max(1)
}

/// Version 1: the number of tokens at which Zipf's law with the exponent of these falling `p` is
/// expected to surprise by `mu` bits; `n` is the size of the vocabulary.
pub fn first(p: &[f64], mu: f64, n: usize) -> usize {
    let s = exponent(p);
    let epsilon = s - 1.0;
    // Both go to zero together where the exponent is 1.
    let size = if epsilon.abs() < 1e-9 {
        1.0 / (n as f64).ln()
    } else {
        epsilon / (1.0 - (n as f64).powf(-epsilon))
    };
    let k = (size * mu.exp2()).powf(1.0 / s);
    (k as usize).clamp(1, p.len().max(1))
}

/// The exponent of Zipf's law that fits the likeliest tokens best.
pub fn exponent(p: &[f64]) -> f64 {
    let pairs = p.windows(2).take(MEASURED - 1).enumerate();
    let (mut both, mut squares) = (0.0, 0.0);
    for (i, pair) in pairs {
        let step = ((i + 2) as f64 / (i + 1) as f64).ln();
        both += step * (pair[0] / pair[1]).ln();
        squares += step * step;
    }
    both / squares
}

/// The `mu` after a token that had this probability among those kept.
pub fn steer(mu: f64, p: f64, tau: f64, eta: f64) -> f64 {
    mu - eta * (-p.log2() - tau)
}
