//! Small models of random numbers, for trying things out without a download.
//!
//! They say nothing sensible, but everything in them moves: the official starting values would
//! leave every block silent.

use anyhow::Result;

use crate::rwkv::{Sizes, Version};
use crate::visual::Told;
use crate::visual::fresh::{Between, Sizes as Tower};
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

/// How large the tower of a toy is.
const TOWER: Tower = Tower { size: 64, patch: 16, n_embd: 32, n_layer: 2, n_head: 2 };

/// The version in the name of a toy, and whether it sees.
pub(super) fn named(name: &str) -> Option<(Version, bool)> {
    match name.strip_prefix("visual") {
        None => Some((Version::named(name)?, false)),
        Some(rest) => match Version::named(rest)? {
            version @ (Version::V6 | Version::V7) => Some((version, true)),
            _ => None,
        },
    }
}

/// A language model, with a tower and a projector if it `sees`.
pub(super) fn parts(version: Version, sees: bool) -> Result<(Named, Told)> {
    if !sees {
        return Ok((weights(version)?, Told::default()));
    }
    let between = if version == Version::V7 { Between::Gated } else { Between::Linear };
    let parts = [
        ("rwkv", weights(version)?),
        ("vit", TOWER.tower(4)?),
        ("proj", between.projector(TOWER.n_embd, SIZES.n_embd, 4)),
    ];
    let under = |(place, named): (&'static str, Named)| {
        named.into_iter().map(move |(name, tensor)| (format!("{place}.{name}"), tensor))
    };
    let mut told = Told::default();
    told.tower.heads = Some(TOWER.n_head);
    told.mean_row = Some(false);
    Ok((parts.into_iter().flat_map(under).collect(), told))
}

/// The same numbers every time.
fn weights(version: Version) -> Result<Named> {
    Ok(moved(SIZES.fresh(version, 4)?))
}

/// A model of any size, with random numbers that are the same every time.
///
/// # Errors
/// When the sizes do not fit together.
pub fn random(version: Version, sizes: &Sizes) -> Result<Named> {
    Ok(moved(sizes.outline(version)?))
}

/// Random numbers in all matrices.
fn moved(mut named: Named) -> Named {
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
    named
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
