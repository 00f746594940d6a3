//! flash-linear-attention's RWKV-6 and RWKV-7, and the adapters that keep its names.

use super::super::stored::Stored;
use super::{About, Translated, cut, numbered, one, renamed, vector};
use anyhow::{Result, ensure};

const WHOLE: [(&str, &str); 3] =
    [("model.embeddings.", "emb."), ("model.norm.", "ln_out."), ("lm_head.", "head.")];

/// What both versions have in a block.
const BLOCK: [(&str, &str); 10] = [
    ("pre_norm.", "ln0."),
    ("attn_norm.", "ln1."),
    ("ffn_norm.", "ln2."),
    ("attn.g_norm.", "att.ln_x."),
    ("attn.o_proj.", "att.output."),
    ("attn.r_proj.", "att.receptance."),
    ("attn.k_proj.", "att.key."),
    ("attn.v_proj.", "att.value."),
    ("attn.g_proj.", "att.gate."),
    ("attn.", "att."),
];

fn block(name: &str) -> Result<(String, &str), String> {
    match numbered(name, "model.layers.") {
        Some((layer, rest)) => Ok((format!("blocks.{layer}."), rest)),
        None => Err(renamed(name, &WHOLE).unwrap_or_else(|| name.to_string())),
    }
}

fn plain(block: &str, rest: &str) -> String {
    format!("{block}{}", renamed(rest, &BLOCK).unwrap_or_else(|| rest.to_string()))
}

pub(super) fn rwkv7(name: &str, stored: Stored, _: &About) -> Translated {
    let (block, rest) = match block(name) {
        Ok(found) => found,
        Err(whole) => return one(whole, stored),
    };
    // Older files have the six blends in one tensor.
    if rest == "attn.x_x" {
        return cut(stored, &format!("{block}att.x_"), &["r", "w", "k", "v", "a", "g"]);
    }
    if let Some((letter, of)) = rest.strip_prefix("attn.").and_then(|r| r.split_once("_lora.lora."))
    {
        let at = |number: u8| format!("{block}att.{letter}{number}");
        return match of {
            "0.weight" => one(at(1), stored.transposed()?),
            "2.weight" => one(at(2), stored.transposed()?),
            _ => one(at(0), vector(stored)?),
        };
    }
    one(plain(&block, rest), stored)
}

pub(super) fn rwkv6(name: &str, stored: Stored, about: &About) -> Translated {
    let (block, rest) = match block(name) {
        Ok(found) => found,
        Err(whole) => return one(whole, stored),
    };
    let att = |ours: &str| format!("{block}att.{ours}");
    match rest {
        "attn.x_proj.0.mu" => one(att("time_maa_x"), vector(stored)?),
        "attn.x_proj.0.linear.weight" => one(att("time_maa_w1"), reordered(stored)?.transposed()?),
        "attn.x_proj.2.weight" => {
            let (channels, width) = (about.channels, stored.elements() / about.channels.max(1));
            ensure!(width % 5 == 0 && width > 0, "its shape {:?} is not of five", stored.shape());
            let each = stored.reshaped(&[channels, 5, width / 5])?.permuted(&[1, 2, 0])?;
            let parts = ORDER.map(|i| each.clone().narrowed(0, i, 1));
            one(att("time_maa_w2"), Stored::joined(parts.into_iter().collect::<Result<_>>()?, 0)?)
        }
        "attn.x_bias" => cut(stored, &att("time_maa_"), &["r", "w", "k", "v", "g"]),
        "attn.w_proj.linear.lora.0.weight" => one(att("time_decay_w1"), stored.transposed()?),
        "attn.w_proj.linear.lora.2.weight" => one(att("time_decay_w2"), stored.transposed()?),
        "attn.w_proj.linear.lora.2.bias" => one(att("time_decay"), vector(stored)?),
        "attn.bonus" => one(att("time_faaaa"), stored),
        "ffn.key.mu" => one(format!("{block}ffn.time_maa_k"), vector(stored)?),
        "ffn.receptance.mu" => one(format!("{block}ffn.time_maa_r"), vector(stored)?),
        _ => one(plain(&block, &rest.replace(".linear.", ".")), stored),
    }
}

/// Where w, k, v, r and g stand in their order: r, w, k, v, g.
const ORDER: [usize; 5] = [1, 2, 3, 0, 4];

/// Five groups of rows in the order of BlinkDL's files.
fn reordered(stored: Stored) -> Result<Stored> {
    let rows = stored.shape().first().copied().unwrap_or(0);
    ensure!(rows % 5 == 0 && rows > 0, "its {rows} rows are not five groups");
    let group = |i: usize| stored.clone().narrowed(0, i * rows / 5, rows / 5);
    Stored::joined(ORDER.map(group).into_iter().collect::<Result<_>>()?, 0)
}
