//! The order in which RWKV-LM goes through a file of tokens.

use anyhow::{Context, Result};

/// Windows of `ctx_len` targets in an order that needs no list: cubes are a permutation of the
/// numbers below a prime that is 2 more than a multiple of 3.
#[derive(Clone, Debug)]
pub(super) struct Official {
    /// How many windows are used.
    pub(super) prime: u64,
    factor: u64,
    ctx_len: u64,
}

impl Official {
    /// The order for so many tokens.
    ///
    /// # Errors
    /// When they are too few for two windows.
    pub(super) fn new(tokens: u64, ctx_len: u64) -> Result<Self> {
        let most = (tokens / ctx_len).saturating_sub(1);
        let prime = (2..=most).rev().find(|&n| n % 3 == 2 && is_prime(n)).with_context(|| {
            format!(
                "{tokens} tokens are too few for samples of {} in the official order; give a \
                 smaller ctx_len, or shuffle: true.",
                ctx_len + 1
            )
        })?;
        // In double precision, as there: the last digits count.
        let factor = (prime as f64 * ((5_f64.sqrt() - 1.0) / 2.0)) as u64;
        Ok(Self { prime, factor, ctx_len })
    }

    /// Where the sample of this number begins; the first one has the number 1.
    pub(super) fn start(&self, number: u64) -> u64 {
        let p = u128::from(self.prime);
        let n = u128::from(number) % p;
        (u128::from(self.factor) * (n * n % p * n % p) % p) as u64 * self.ctx_len
    }
}

fn is_prime(n: u64) -> bool {
    let divides = |d: &u64| n.is_multiple_of(*d);
    n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| !divides(&d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prime_is_the_one_of_minipile() {
        // The figures of RWKV-LM's first example.
        assert_eq!(Official::new(1_498_226_207, 512).unwrap().prime, 2_926_181);
    }

    #[test]
    fn every_window_comes_once() {
        let order = Official::new(1000, 10).unwrap();
        assert_eq!((order.prime, order.factor), (89, 55));
        let mut starts: Vec<_> = (1..=89).map(|number| order.start(number)).collect();
        // 55 · 2³ mod 89 = 84
        assert_eq!(starts[..2], [550, 840]);
        starts.sort_unstable();
        assert_eq!(starts, (0..89).map(|window| window * 10).collect::<Vec<_>>());
        assert_eq!(order.start(90), order.start(1));
    }

    #[test]
    fn too_few_tokens_are_refused() {
        assert!(Official::new(30, 10).is_ok(), "two windows");
        let error = Official::new(29, 10).unwrap_err().to_string();
        assert!(error.contains("29 tokens are too few"), "{error}");
    }
}
