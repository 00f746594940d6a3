//! Which version a checkpoint is, told by the names in it.

use std::collections::BTreeSet;
use std::fmt::{Display, Formatter};

use anyhow::{Result, bail};

/// A version this engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RWKV-4 "Dove".
    V4,
    /// RWKV-7 "Goose", x070.
    V7,
}

impl Version {
    /// All versions, oldest first.
    pub const ALL: [Self; 2] = [Self::V4, Self::V7];

    /// What scripts call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "rwkv4",
            Self::V7 => "rwkv7",
        }
    }
}

impl Display for Version {
    fn fmt(&self, f: &mut Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Self::V4 => "RWKV-4",
            Self::V7 => "RWKV-7",
        })
    }
}

/// Keys that betray what is not run here, the most particular first, with its name.
const UNKNOWN: [(&str, &str); 12] = [
    ("blocks.0.ffn.enn.weight", "RWKV-8 rc00, an experiment"),
    ("blocks.0.rosa", "a ROSA experiment"),
    ("blocks.0.qkv.", "RWKV-7b (DeepEmbed with attention, DEA), which has no state of fixed size"),
    ("blocks.0.ffn.s_emb.weight", "RWKV-7a (DeepEmbed)"),
    ("blocks.0.att.time_maa_rkvw_w1", "x060b or x060c, an experiment"),
    ("blocks.0.att.gate_w1", "x060a, an experiment"),
    ("blocks.0.att.time_maa_x", "RWKV-6 (x060)"),
    ("blocks.0.att.time_mix_x", "RWKV-6 in the names of web-rwkv (.st)"),
    ("blocks.0.att.ln_x.weight", "RWKV-5"),
    ("blocks.0.att.qq.weight", "RWKV-4b (with attention), which has no state of fixed size"),
    ("model.layers.0.", "a Hugging Face checkpoint"),
    ("rwkv.blocks.0.", "a Hugging Face or VisualRWKV checkpoint"),
];

/// Tells the version by which names are there, whatever their order.
///
/// # Errors
/// When the names are those of something else, which is then named.
pub fn detect(names: &BTreeSet<&str>) -> Result<Version> {
    let has = |start: &str| names.range(start..).next().is_some_and(|n| n.starts_with(start));
    let only_states = !names.is_empty() && names.iter().all(|n| n.ends_with(".att.time_state"));
    if only_states {
        bail!("these are tuned initial states without a model; load the model they belong to.");
    }
    // The v7 blocks come first: its sub-versions have its keys and more.
    let v7 = has("blocks.0.att.r_k");
    let tiny = names.iter().any(|n| n.ends_with(".tiny_q.weight"));
    for (key, what) in UNKNOWN {
        let norm_of_v7 = v7 && key.ends_with("ln_x.weight");
        if has(key) && !norm_of_v7 {
            bail!("this is {what}; this build reads RWKV-4 and RWKV-7 in BlinkDL's names.");
        }
    }
    match (v7, has("blocks.0.att.time_decay"), tiny) {
        (true, ..) => Ok(Version::V7),
        (_, _, true) => {
            bail!("this is RWKV-4a (tiny attention); this build reads RWKV-4 and RWKV-7.")
        }
        (_, true, _) => Ok(Version::V4),
        _ => bail!(
            "no RWKV language model has these tensors ({}); check that it is the right file.",
            names.iter().take(3).copied().collect::<Vec<_>>().join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(names: &[&str]) -> String {
        match detect(&names.iter().copied().collect()) {
            Ok(version) => version.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn each_version_is_told_or_named() {
        let v4 = "blocks.0.att.time_decay";
        let v7 = ["blocks.0.att.r_k", "blocks.0.att.ln_x.weight"];
        assert_eq!(told(&[v4, "emb.weight"]), "RWKV-4");
        assert_eq!(told(&v7), "RWKV-7");
        for (key, name) in [
            ("blocks.3.tiny_q.weight", "RWKV-4a"),
            ("blocks.0.att.qq.weight", "RWKV-4b"),
            ("blocks.0.att.ln_x.weight", "RWKV-5"),
            ("blocks.0.att.time_maa_x", "RWKV-6"),
        ] {
            assert!(told(&[v4, key]).contains(name), "{key}");
        }
        assert!(told(&[v7[0], v7[1], "blocks.0.ffn.s_emb.weight"]).contains("RWKV-7a"));
        assert!(told(&["blocks.0.att.time_state"]).contains("initial states"));
        assert!(told(&["conv1.weight"]).contains("conv1.weight"));
        assert!(told(&[]).contains("no RWKV"));
    }
}
