//! Small models of random numbers, for trying things out without a download.
//!
//! They say nothing sensible, but everything in them moves: the official starting values would
//! leave every block silent.

use anyhow::Result;

use crate::rwkv::{Sizes, Version};
use crate::weights::Named;

/// How large every toy is.
pub(super) const SIZES: Sizes = Sizes {
    n_layer: 2,
    n_embd: 64,
    head_size: 16,
    vocab_size: 256,
    dim_ffn: 256,
    ranks: [16, 16, 8, 16],
};

/// The same numbers every time.
pub(super) fn weights(version: Version) -> Result<Named> {
    let mut named = SIZES.fresh(version, 4)?;
    for (seed, (name, (shape, values))) in named.iter_mut().enumerate() {
        let decays =
            ["time_decay", "time_first", "time_faaaa"].iter().any(|end| name.ends_with(end));
        if let [rows, columns] = shape[..]
            && !decays
        {
            let input = if name.ends_with(".weight") { columns } else { rows };
            let gain = if name == "head.weight" { 3.0 } else { 1.0 };
            let bound = match name.as_str() {
                "emb.weight" => 1.0,
                _ if name.ends_with("r_k") => 0.1,
                _ => gain * (3.0 / input as f32).sqrt(), // keeps the variance
            };
            values.iter_mut().zip(noise(seed as u64)).for_each(|(x, z)| *x = z * bound);
        }
    }
    Ok(named)
}

/// Numbers between -1 and 1 without end (splitmix64).
fn noise(seed: u64) -> impl Iterator<Item = f32> {
    let mut state = seed.wrapping_mul(0xD1B5_4A32_D192_ED03);
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
}
