//! llama.cpp's names for RWKV-6 and RWKV-7.

use super::super::stored::{Change, Stored};
use super::{About, Translated, cut, numbered, one, renamed, thin, vector};
use anyhow::{Context, Result};

const WHOLE: [(&str, &str); 4] = [
    ("token_embd.", "emb."),
    ("token_embd_norm.", "blocks.0.ln0."),
    ("output_norm.", "ln_out."),
    ("output.", "head."),
];

/// What both versions have in a block.
const BLOCK: [(&str, &str); 13] = [
    ("attn_norm.", "ln1."),
    ("attn_norm_2.", "ln2."),
    ("time_mix_key.", "att.key."),
    ("time_mix_value.", "att.value."),
    ("time_mix_receptance.", "att.receptance."),
    ("time_mix_gate.", "att.gate."),
    ("time_mix_output.", "att.output."),
    ("time_mix_ln.", "att.ln_x."),
    ("channel_mix_key.", "ffn.key."),
    ("channel_mix_value.", "ffn.value."),
    ("channel_mix_receptance.", "ffn.receptance."),
    ("attn_norm", "ln1"),
    ("attn_norm_2", "ln2"),
];

pub(super) fn rwkv7(name: &str, stored: Stored, about: &About) -> Translated {
    let Some((layer, rest)) = numbered(name, "blk.") else { return whole(name, stored) };
    let block = format!("blocks.{layer}.");
    let part = rest.strip_suffix(".weight").unwrap_or(rest);
    match part.strip_prefix("time_mix_") {
        Some("lerp_fused") => {
            let names = ["r", "w", "k", "v", "a", "g"];
            return cut(stored, &format!("{block}att.x_"), &names);
        }
        // In the first block copies of a0, a1 and a2 stand here, which nobody reads.
        Some("v0" | "v1" | "v2") if layer == 0 => return Ok(Vec::new()),
        Some(small @ ("w0" | "a0" | "v0" | "k_k" | "k_a")) => {
            return one(format!("{block}att.{small}"), vector(stored)?);
        }
        Some(small @ ("w1" | "w2" | "a1" | "a2" | "v1" | "v2" | "g1" | "g2")) => {
            let matrix = thin(stored, small.ends_with('1'), about.channels, true)?;
            return one(format!("{block}att.{small}"), matrix);
        }
        Some("r_k") => return one(format!("{block}att.r_k"), heads(stored, about)?),
        _ => {}
    }
    if part == "channel_mix_lerp_k" {
        return one(format!("{block}ffn.x_k"), vector(stored)?);
    }
    one(plain(rest, &block), stored)
}

pub(super) fn rwkv6(name: &str, stored: Stored, about: &About) -> Translated {
    let Some((layer, rest)) = numbered(name, "blk.") else { return whole(name, stored) };
    let block = format!("blocks.{layer}.");
    let part = rest.strip_suffix(".weight").unwrap_or(rest);
    let att = |ours: &str| format!("{block}att.{ours}");
    if let Some(of) = part.strip_prefix("channel_mix_lerp_") {
        return one(format!("{block}ffn.time_maa_{of}"), vector(stored)?);
    }
    match part.strip_prefix("time_mix_").unwrap_or(part) {
        "lerp_fused" => cut(stored, &att("time_maa_"), &["w", "k", "v", "r", "g"]),
        of if of.starts_with("lerp_") => {
            one(att(&of.replace("lerp_", "time_maa_")), vector(stored)?)
        }
        "w1" => one(att("time_maa_w1"), thin(stored, true, about.channels, true)?),
        "w2" => one(att("time_maa_w2"), thin(stored, false, about.channels, true)?),
        "decay_w1" => one(att("time_decay_w1"), thin(stored, true, about.channels, true)?),
        "decay_w2" => one(att("time_decay_w2"), thin(stored, false, about.channels, true)?),
        "decay" => one(att("time_decay"), vector(stored)?),
        "first" => one(att("time_faaaa"), heads(stored, about)?),
        "output" | "channel_mix_value" => {
            one(plain(rest, &block), stored.changed(rescale(layer, about)))
        }
        _ => one(plain(rest, &block), stored),
    }
}

fn whole(name: &str, stored: Stored) -> Translated {
    one(renamed(name, &WHOLE).unwrap_or_else(|| name.to_string()), stored)
}

fn plain(rest: &str, block: &str) -> String {
    format!("{block}{}", renamed(rest, &BLOCK).unwrap_or_else(|| rest.to_string()))
}

fn number(about: &About, key: &str) -> Option<usize> {
    let found = about.metadata.iter().find(|(name, _)| name.ends_with(key))?;
    found.1.parse().ok().filter(|&n| n > 0)
}

/// `[C]` or `[H, N]` → `[H, N]`.
fn heads(stored: Stored, about: &About) -> Result<Stored> {
    let n = number(about, ".wkv.head_size").context("the file does not say the size of a head")?;
    let elements = stored.elements();
    anyhow::ensure!(elements.is_multiple_of(n), "{elements} channels are no heads of {n}");
    stored.reshaped(&[elements / n, n])
}

/// llama.cpp halves the stream every few layers, and what is added to it beforehand.
fn rescale(layer: usize, about: &About) -> Change {
    match number(about, ".rescale_every_n_layers") {
        Some(every) => Change::Times(2f32.powi((layer / every).min(100) as i32)),
        None => Change::Nothing,
    }
}
