//! RWKV-4 of `transformers`, and RWKV-5 and 6 as Hugging Face repositories with code of their own.

use super::super::stored::Stored;
use super::{About, Translated, numbered, one, renamed};

const WHOLE: [(&str, &str); 2] = [("rwkv.embeddings.", "emb."), ("rwkv.ln_out.", "ln_out.")];

const BLOCK: [(&str, &str); 3] =
    [("pre_ln.", "ln0."), ("attention.", "att."), ("feed_forward.", "ffn.")];

/// Blends carry the first letter here.
const BLENDS: [(&str, &str); 4] =
    [("key", "k"), ("value", "v"), ("receptance", "r"), ("gate", "g")];

pub(super) fn translate(name: &str, stored: Stored, about: &About) -> Translated {
    let Some((layer, rest)) = numbered(name, "rwkv.blocks.") else {
        return one(renamed(name, &WHOLE).unwrap_or_else(|| name.to_string()), stored);
    };
    let rest = renamed(rest, &BLOCK).unwrap_or_else(|| rest.to_string());
    let ours = match rest.split_once(".time_mix_") {
        Some((part, of)) => {
            let letter = BLENDS.iter().find(|(word, _)| *word == of).map_or(of, |(_, l)| *l);
            // Saved again by candle, RWKV-6 has the names of RWKV-5.
            let blend = if about.has_thin_blends { "time_maa" } else { "time_mix" };
            format!("{part}.{blend}_{letter}")
        }
        None => rest,
    };
    one(format!("blocks.{layer}.{ours}"), stored)
}
