//! Where a data set stands, and in what order it is gone through.

use serde::{Deserialize, Serialize};

/// How far a data set has been handed out: enough to go on from there with the very same batches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// How many times everything has been handed out.
    pub epoch: u64,
    /// Rows handed out since the beginning.
    pub samples: u64,
    /// Which of the parts that are in memory at a time comes next, in the order of this pass.
    pub part: u64,
    /// What of that part comes next.
    pub place: Place,
    /// Where each row goes on, in the order in which batches continue each other.
    pub lanes: Vec<Place>,
    /// Lines that could not be used so far; each counts in the first pass only.
    pub skipped: u64,
}

/// A token of a row of documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Number of the document.
    pub document: u64,
    /// Number of the token in it.
    pub token: u64,
}

/// A number that has nothing to do with those of other seeds and places (splitmix64).
pub(super) fn mix(seed: u64, place: u64) -> u64 {
    let z = seed.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// All numbers below `count` in an order that a seed decides, without a list of them: a Feistel
/// network on the next larger square, walked until it comes back below `count`.
#[derive(Clone, Debug)]
pub(super) struct Permutation {
    count: u64,
    half: u32,
    keys: [u64; 6],
}

impl Permutation {
    pub(super) fn new(count: u64, seed: u64) -> Self {
        let bits = u64::BITS - count.saturating_sub(1).leading_zeros();
        let keys = std::array::from_fn(|round| mix(seed, round as u64));
        Self { count, half: bits.div_ceil(2), keys }
    }

    /// The number at place `at`, which is below the count.
    pub(super) fn at(&self, mut at: u64) -> u64 {
        loop {
            at = self.round_trip(at);
            if at < self.count.max(1) {
                return at;
            }
        }
    }

    fn round_trip(&self, at: u64) -> u64 {
        let mask = (1 << self.half) - 1;
        let (mut left, mut right) = (at >> self.half, at & mask);
        for &key in &self.keys {
            (left, right) = (right, left ^ (mix(key, right) & mask));
        }
        left << self.half | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once_and_the_seed_decides_when() {
        for count in [1, 2, 3, 5, 64, 65, 1000] {
            let order = |seed| {
                let order = Permutation::new(count, seed);
                (0..count).map(|at| order.at(at)).collect::<Vec<_>>()
            };
            let mut sorted = order(1);
            sorted.sort_unstable();
            assert_eq!(sorted, (0..count).collect::<Vec<_>>());
            assert_eq!(order(1), order(1));
            assert!(count < 64 || order(1) != order(2));
        }
    }

    #[test]
    fn every_place_is_as_likely() {
        let mut seen = [[0; 6]; 6];
        for seed in 0..6000 {
            let order = Permutation::new(6, seed);
            (0..6).for_each(|at| seen[at as usize][order.at(at) as usize] += 1);
        }
        // A thousand each, give or take five standard deviations.
        assert!(seen.iter().flatten().all(|count| (850..1150).contains(count)), "{seen:?}");
    }
}
