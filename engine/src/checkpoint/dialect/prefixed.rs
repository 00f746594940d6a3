//! BlinkDL's names behind a prefix, as `transformers` has them for RWKV-7 and as trainers leave them.

use super::super::stored::Stored;
use super::{About, Translated, one};

/// What is put before all names, or all but that of the head; there may be several.
const PREFIXES: [&str; 4] = ["model.", "base_model.", "module.", "_forward_module."];

/// How names of BlinkDL's begin.
const OWN: [&str; 4] = ["blocks.", "emb.", "head.", "ln_out."];

/// Whether a name is one of BlinkDL's behind prefixes.
pub(super) fn speaks<'a>(mut names: impl Iterator<Item = &'a String>) -> bool {
    names.any(|name| bare(name) != name && OWN.iter().any(|own| bare(name).starts_with(own)))
}

/// The name without its prefixes.
pub(super) fn translate(name: &str, stored: Stored, _: &About) -> Translated {
    one(bare(name), stored)
}

fn bare(name: &str) -> &str {
    let mut bare = name;
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| bare.strip_prefix(prefix)) {
        bare = rest;
    }
    bare
}
