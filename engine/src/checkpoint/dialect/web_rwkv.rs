//! The `.st` files of web-rwkv and ai00: lower case, some names of their own, thin matrices turned.

use super::super::stored::Stored;
use super::super::{AXES, Contents, TUNED};
use super::{About, Translated, one, thin};

/// Whether names and shapes are those of such a file; RWKV-4 is the same in both.
pub(super) fn speaks(Contents { tensors, metadata, .. }: &Contents) -> bool {
    if tensors.keys().all(|name| name.ends_with(TUNED)) {
        return metadata.get(AXES.0).is_none_or(|axes| axes != AXES.1);
    }
    let shape = |name: &str| tensors.get(name).map(Stored::shape);
    let has = |name: &str| tensors.contains_key(name);
    let channels = shape("emb.weight").and_then(|shape| shape.last());
    let turned = |shape: &[usize]| shape.last() == channels && shape.first() != channels;
    let v7 = has("blocks.0.att.r_k") && shape("blocks.0.att.w1").is_some_and(turned);
    let v6 = has("blocks.0.att.time_mix_x");
    // BlinkDL's files with a gate have the bonus itself, under another name.
    let v5 = has("blocks.0.att.gate.weight") && has("blocks.0.att.time_first");
    v7 || v6 || v5
}

pub(super) fn translate(name: &str, stored: Stored, about: &About) -> Translated {
    let Some((prefix, last)) = name.rsplit_once('.') else { return one(name, stored) };
    match last {
        "w1" | "w2" | "a1" | "a2" | "g1" | "g2" | "v1" | "v2" | "time_decay_w1"
        | "time_decay_w2" => one(name, thin(stored, last.ends_with('1'), about.channels, true)?),
        "time_mix_w1" => one(blend(prefix, last), thin(stored, true, about.channels, true)?),
        "time_mix_w2" => one(blend(prefix, last), thin(stored, false, about.channels, true)?),
        "time_first" => one(format!("{prefix}.time_faaaa"), stored),
        // Only RWKV-6 was renamed; RWKV-5 is told by what it does not have.
        _ if last.starts_with("time_mix_") && about.has_thin_blends => {
            one(blend(prefix, last), stored)
        }
        "time_state" => one(name, stored.transposed()?),
        _ => one(name, stored),
    }
}

fn blend(prefix: &str, last: &str) -> String {
    format!("{prefix}.{}", last.replace("time_mix_", "time_maa_"))
}
