//! Which version a checkpoint is, told by the names in it.

use std::collections::BTreeSet;
use std::fmt::{Display, Formatter};

use anyhow::{Result, bail};

use crate::adapter::is_piece;
use crate::checkpoint::TUNED;
use crate::weights::Weights;

/// A version this engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RWKV-4 "Dove".
    V4,
    /// RWKV-4a: RWKV-4 with tiny attention.
    V4a,
    /// RWKV-5.0: one decay per head, no gate.
    V50,
    /// RWKV-5.1: one decay per head.
    V51,
    /// RWKV-5.2 "Eagle".
    V52,
    /// RWKV-6 "Finch", x060.
    V6,
    /// RWKV-7 "Goose", x070.
    V7,
    /// RWKV-7a: RWKV-7 with DeepEmbed.
    V7a,
}

impl Version {
    /// All versions, oldest first.
    pub const ALL: [Self; 8] =
        [Self::V4, Self::V4a, Self::V50, Self::V51, Self::V52, Self::V6, Self::V7, Self::V7a];

    /// What scripts call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "rwkv4",
            Self::V4a => "rwkv4a",
            Self::V50 => "rwkv5.0",
            Self::V51 => "rwkv5.1",
            Self::V52 => "rwkv5.2",
            Self::V6 => "rwkv6",
            Self::V7 => "rwkv7",
            Self::V7a => "rwkv7a",
        }
    }

    /// Channels inside channel-mix of the released models: four times those of the residual stream,
    /// in RWKV-5 and 6, whose channel-mix has a third matrix, three and a half times.
    pub fn dim_ffn(self, n_embd: usize) -> usize {
        match self {
            Self::V50 | Self::V51 | Self::V52 | Self::V6 => (n_embd * 7 / 2 / 32).max(1) * 32,
            Self::V4 | Self::V4a | Self::V7 | Self::V7a => 4 * n_embd,
        }
    }

    /// The version that scripts call so; `rwkv5` is the last of its releases.
    pub fn named(name: &str) -> Option<Self> {
        let full = if name == "rwkv5" { "rwkv5.2" } else { name };
        Self::ALL.into_iter().find(|version| version.name() == full)
    }
}

impl Display for Version {
    fn fmt(&self, f: &mut Formatter) -> std::fmt::Result {
        write!(f, "RWKV-{}", &self.name()["rwkv".len()..])
    }
}

/// Starts of names that betray what is not run here, the most particular first, with what it is
/// and why.
const REFUSED: [(&str, &str); 20] = [
    ("blocks.0.ffn.enn.weight", "RWKV-8 rc00, an experiment without a stable format"),
    ("blocks.0.rosa", "a ROSA experiment, whose memory is an automaton and no state of fixed size"),
    ("blocks.0.qkv.k1", "RWKV-7b (attention, DEA), whose memory grows with the text"),
    ("blocks.0.qkv.", "an RWKV-8 hybrid with attention, whose memory grows with the text"),
    ("blocks.0.att.time_maa_rkvw_w1", "x060b or x060c, an experiment on RWKV-6"),
    ("blocks.0.att.gate_w1", "x060a, an experiment on RWKV-6"),
    ("blocks.0.att.qq.weight", "RWKV-4b (with attention), whose memory grows with the text"),
    ("blocks.0.ffnPre.", "an early RWKV-4 with a second channel-mix in front, an experiment"),
    (
        "head_q.weight",
        "an early RWKV-4 with a copying head (head_q), whose memory grows with the text",
    ),
    ("pos_emb_x", "an early RWKV-4 with positions (pos_emb), an experiment"),
    ("model.layers.0.self_attn.time_mixer", "a hybrid of RWKV and attention (ARWKV or QRWKV)"),
    ("model.layers.0.self_attn", "a transformer, not an RWKV"),
    ("vit.", "the towers of a VisualRWKV, or another vision model"),
    ("visual.", "an RWKV-CLIP"),
    ("backbone.", "a Vision-RWKV"),
    ("patch_embed.", "a Vision-RWKV"),
    ("layers.0.att.spatial_", "a Vision-RWKV"),
    ("layers.0.wkv", "a saved state; load_state(PATH, model) reads it"),
    ("blk.0.", "a GGUF model of another architecture"),
    ("model.layers.0.", "a Hugging Face checkpoint of another architecture"),
];

/// Tells the version by which names are there, whatever their order.
///
/// # Errors
/// When the names are those of something else, which is then named.
pub fn detect(weights: &Weights) -> Result<Version> {
    let names = weights.names_here();
    let has = |start: &str| names.range(start..).next().is_some_and(|n| n.starts_with(start));
    let only_states = !names.is_empty() && names.iter().all(|n| n.ends_with(TUNED));
    if only_states {
        let of = tuned_for(names.len(), &weights.shape("blocks.0.att.time_state")?);
        bail!(
            "these are tuned initial states {of}, without the model; load_state(PATH, model) or \
             load_model(MODEL, #{{ state: PATH }}) reads them."
        );
    }
    if names.iter().any(|n| is_piece(n)) && !has("emb.weight") {
        bail!("this is an adapter without a model; load_model(MODEL, #{{ lora: PATH }}) adds it.");
    }
    if let Some((_, what)) = REFUSED.iter().find(|(start, _)| has(start)) {
        bail!("this is {what}; this program reads RWKV-4, 4a, 5, 6, 7 and 7a.");
    }
    if has("blocks.0.att.r_k") {
        let deep = has("blocks.0.ffn.s_emb.weight");
        return Ok(if deep { Version::V7a } else { Version::V7 });
    }
    if has("blocks.0.att.time_maa_x") {
        return Ok(Version::V6);
    }
    match (has("blocks.0.att.ln_x.weight"), has("blocks.0.att.time_decay")) {
        (true, true) if !has("blocks.0.att.gate.weight") => Ok(Version::V50),
        (true, true) => {
            let shape = weights.shape("blocks.0.att.time_decay")?;
            let per_channel = shape.get(1).is_some_and(|&n| n > 1);
            Ok(if per_channel { Version::V52 } else { Version::V51 })
        }
        (false, true) => {
            let tiny = names.iter().any(|n| n.ends_with(".tiny_q.weight"));
            Ok(if tiny { Version::V4a } else { Version::V4 })
        }
        _ => bail!(
            "no RWKV language model has these tensors ({}); check that it is the right file.",
            first(&names)
        ),
    }
}

/// The model that tuned initial states of this shape, `[head, value, key]`, are for.
pub fn tuned_for(layers: usize, shape: &[usize]) -> String {
    let [heads, size, _] = *shape else { return format!("of shape {shape:?}") };
    format!("of {layers} layers with {heads} heads x {size} ({} channels)", heads * size)
}

fn first(names: &BTreeSet<&str>) -> String {
    names.iter().take(3).copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Named, Source};
    use burn::tensor::Device;

    fn told(names: &[&str], decay: &[usize]) -> String {
        let shape =
            |name: &str| if name.ends_with("time_decay") { decay.to_vec() } else { vec![1] };
        let named: Named =
            names.iter().map(|name| (name.to_string(), (shape(name), vec![]))).collect();
        match detect(&Weights::new(Source::Made(&named), &Device::flex())) {
            Ok(version) => version.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn each_version_is_told_by_its_names() {
        let (decay, norm) = ("blocks.0.att.time_decay", "blocks.0.att.ln_x.weight");
        let gate = "blocks.0.att.gate.weight";
        assert_eq!(told(&[decay, "emb.weight"], &[8]), "RWKV-4");
        assert_eq!(told(&[decay, "blocks.3.tiny_q.weight"], &[8]), "RWKV-4a");
        assert_eq!(told(&[decay, norm], &[2]), "RWKV-5.0");
        assert_eq!(told(&[decay, norm, gate], &[2, 1, 1]), "RWKV-5.1");
        assert_eq!(told(&[decay, norm, gate], &[2, 64]), "RWKV-5.2");
        assert_eq!(told(&[decay, norm, gate, "blocks.0.att.time_maa_x"], &[1, 1, 8]), "RWKV-6");
        assert_eq!(told(&["blocks.0.att.r_k", norm], &[]), "RWKV-7");
        let deep = "blocks.0.ffn.s_emb.weight";
        assert_eq!(told(&["blocks.0.att.r_k", norm, deep], &[]), "RWKV-7a");
    }

    #[test]
    fn what_is_not_run_is_named() {
        let v7 = "blocks.0.att.r_k";
        for (names, name) in [
            (&[v7, "blocks.0.qkv.k1"], "RWKV-7b"),
            (&[v7, "blocks.0.ffn.enn.weight"], "RWKV-8"),
            (&["blocks.0.att.time_decay", "blocks.0.att.qq.weight"], "RWKV-4b"),
            (&["blocks.0.att.time_maa_x", "blocks.0.att.time_maa_rkvw_w1"], "x060b"),
            (&["model.layers.0.self_attn.q_proj.weight", "lm_head.weight"], "transformer"),
            (&["blocks.0.att.time_state", "blocks.1.att.time_state"], "initial states"),
            (&["blocks.0.att.key.lora_A", "blocks.0.att.key.lora_B"], "an adapter"),
            (&["conv1.weight", "conv2.weight"], "conv1.weight"),
        ] {
            let said = told(names, &[8]);
            assert!(said.contains(name), "{said}");
        }
        assert!(told(&[], &[]).contains("no RWKV"));
    }

    #[test]
    fn names_are_understood() {
        assert!(Version::ALL.into_iter().all(|v| Version::named(v.name()) == Some(v)));
        assert_eq!(Version::named("rwkv5"), Some(Version::V52));
        assert_eq!(Version::named("rwkv8"), None);
    }
}
