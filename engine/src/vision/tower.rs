//! Towers by the names in their files: CLIP, SigLIP and DINOv2 of Hugging Face, and what timm calls
//! its vision transformers. They differ in what stands before the patches, in the norms and in what
//! is taken out of them.

use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail, ensure};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use rwkv_kernels::Gelu;

use super::facts::Facts;
use super::sam::Sam;
use super::vit::{Block, Patches, Vit};
use crate::image::{Image, Preprocess};
use crate::layers::Linear;
use crate::weights::Weights;

/// A tower, and how it wants its pictures.
#[derive(Module, Debug)]
pub struct Tower {
    pub(super) encoder: Encoder,
    #[module(skip)]
    kind: Kind,
    #[module(skip)]
    preprocess: Preprocess,
}

#[derive(Module, Debug)]
pub(super) enum Encoder {
    Vit(Vit),
    Sam(Sam),
}

/// Whose tower it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// CLIP of Hugging Face: rows out of the last block, the class row among them.
    Clip,
    /// SigLIP of Hugging Face: rows out of the last block, through a norm.
    Siglip,
    /// DINOv2 of Hugging Face: likewise; its class row is not used.
    Dinov2,
    /// A vision transformer of timm: rows out of the last block but one.
    Timm,
    /// SAM: rows out of its neck.
    Sam,
}

impl Kind {
    /// What the parts of its blocks are called.
    pub(super) fn names(self) -> &'static Names {
        match self {
            Self::Clip => &CLIP,
            Self::Siglip => &SIGLIP,
            Self::Dinov2 => &DINOV2,
            Self::Timm | Self::Sam => &TIMM,
        }
    }

    /// By a name that no other kind has.
    fn of(w: &Weights) -> Option<Self> {
        let signs = [
            (Self::Clip, "pre_layrnorm.weight"),
            (Self::Siglip, "embeddings.patch_embedding.weight"),
            (Self::Dinov2, "embeddings.patch_embeddings.projection.weight"),
            (Self::Sam, "neck.0.weight"),
            (Self::Timm, "patch_embed.proj.weight"),
        ];
        signs.into_iter().find(|(_, name)| w.has(name)).map(|(kind, _)| kind)
    }
}

/// What a tower makes of a picture.
#[derive(Clone, Debug)]
pub struct Features {
    /// The class row, `[B, 1, D]`, where the tower gives it away.
    pub class: Option<Tensor<3>>,
    /// A row for every patch, `[B, T, D]`, row after row of the picture.
    pub patches: Tensor<3>,
}

impl Tower {
    /// The tower whose names stand here.
    ///
    /// # Errors
    /// When the names are those of no tower known here, and when a tensor is missing or misshapen.
    pub fn load(w: &Weights, facts: &Facts) -> Result<Self> {
        let inner = w.at("vision_model");
        let found = [w, &inner].into_iter().find_map(|w| Some((w, Kind::of(w)?)));
        match found {
            Some((w, Kind::Clip)) => clip(w, facts),
            Some((w, Kind::Siglip)) => siglip(w, facts),
            Some((w, Kind::Dinov2)) => dinov2(w, facts),
            Some((w, Kind::Timm)) => timm(w, facts),
            Some((w, Kind::Sam)) => sam(w, facts),
            None => bail!(
                "{} holds no vision tower known here: CLIP, SigLIP and DINOv2 of Hugging Face or of \
                 timm, and the encoder of SAM are.",
                w.origin()
            ),
        }
    }

    /// How the tower wants its pictures.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// The picture as the tower reads it, `[1, 3, height, width]`.
    ///
    /// # Errors
    /// As [`Preprocess::pixels`].
    pub fn pixels(&self, image: &Image, device: &Device) -> Result<Tensor<4>> {
        self.preprocess.pixels(image, device)
    }

    /// What the tower makes of pictures, `[B, 3, height, width]`.
    ///
    /// # Errors
    /// When `interrupt` is set.
    pub fn forward(&self, pixels: Tensor<4>, interrupt: &AtomicBool) -> Result<Features> {
        let vit = match &self.encoder {
            Encoder::Vit(vit) => vit,
            Encoder::Sam(sam) => {
                return Ok(Features { class: None, patches: sam.forward(pixels, interrupt)? });
            }
        };
        let unused = usize::from(self.kind == Kind::Timm);
        let x = vit.hidden(pixels, vit.blocks.len() - unused, interrupt)?;
        let x = match &vit.after {
            Some(norm) => norm.forward(x),
            None => x,
        };
        let (rows, prefix) = (x.dims()[1], vit.prefix_rows());
        let class = self.has_class().then(|| x.clone().narrow(1, 0, 1));
        Ok(Features { class, patches: x.narrow(1, prefix, rows - prefix) })
    }

    /// Whether the tower gives its class row away.
    pub fn has_class(&self) -> bool {
        self.kind == Kind::Clip
    }

    /// How many patches a picture becomes.
    pub fn patches(&self) -> usize {
        match &self.encoder {
            Encoder::Vit(vit) => {
                let [width, height] = self.preprocess.size().map(|side| side / vit.patches.side);
                width * height
            }
            Encoder::Sam(sam) => sam.dims()[0],
        }
    }

    /// Channels of a row.
    pub fn channels(&self) -> usize {
        match &self.encoder {
            Encoder::Vit(vit) => vit.position.dims()[2],
            Encoder::Sam(sam) => sam.dims()[1],
        }
    }

    /// Whose tower it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The encoder, where it is a vision transformer.
    pub fn vit(&self) -> Option<&Vit> {
        match &self.encoder {
            Encoder::Vit(vit) => Some(vit),
            Encoder::Sam(_) => None,
        }
    }

    fn new(kind: Kind, vit: Vit, facts: &Facts) -> Self {
        // Rows of positions that belong to no patch: the class row of CLIP and DINOv2.
        let placeless = usize::from(matches!(kind, Kind::Clip | Kind::Dinov2));
        let patches = vit.position.dims()[1] - placeless;
        let size = facts.size.unwrap_or_else(|| patches.isqrt() * vit.patches.side);
        let preprocess = facts.preprocess.clone().unwrap_or_else(|| usual(kind, &vit, size));
        Self { encoder: Encoder::Vit(vit), kind, preprocess }
    }

    /// The tower for pictures of another size, of which it cuts so many patches; SAM has one size.
    pub fn cutting(mut self, patches: usize) -> Self {
        if let Encoder::Vit(vit) = &self.encoder {
            self.preprocess = usual(self.kind, vit, patches.isqrt() * vit.patches.side);
        }
        self
    }
}

/// How pictures of this size are usually made ready for a kind of tower.
fn usual(kind: Kind, vit: &Vit, size: usize) -> Preprocess {
    match kind {
        Kind::Clip => Preprocess::clip(size),
        Kind::Timm if vit.prefix.is_empty() => Preprocess::siglip(size),
        Kind::Siglip => Preprocess::siglip(size),
        Kind::Dinov2 | Kind::Timm | Kind::Sam => Preprocess::imagenet(size),
    }
}

/// How many heads `channels` are.
pub fn heads(channels: usize, facts: &Facts) -> Result<usize> {
    let usual = [64, 72].into_iter().find(|n| channels.is_multiple_of(*n)).map(|n| channels / n);
    let heads = facts.heads.or(usual);
    let heads = heads.with_context(|| {
        format!("{channels} channels are no heads of 64; say how many with `heads`.")
    })?;
    ensure!(
        heads > 0 && channels.is_multiple_of(heads),
        "{channels} channels are not {heads} heads."
    );
    Ok(heads)
}

/// A convolution over patches, with or without bias.
pub fn patches(w: &Weights, name: &str) -> Result<Patches> {
    let w = w.at(name);
    let [d, channels, side, same] = w.dims("weight")?;
    ensure!(side == same, "patches of {side} × {same} pixels are not square.");
    let weight = w.tensor("weight", [d, channels, side, side])?;
    let weight = Param::from_tensor(weight.reshape([d, channels * side * side]));
    Ok(Patches { weight: Linear::new(weight), bias: w.optional("bias", [d])?, side })
}

/// Names of a block's parts.
pub(super) struct Names {
    pub(super) norm1: &'static str,
    /// One product for queries, keys and values, or one for each.
    pub(super) qkv: &'static [&'static str],
    pub(super) out: &'static str,
    pub(super) scale1: &'static str,
    pub(super) norm2: &'static str,
    pub(super) fc1: &'static str,
    pub(super) fc2: &'static str,
    pub(super) scale2: &'static str,
    gelu: Gelu,
    epsilon: f64,
}

const SIGLIP: Names = Names {
    norm1: "layer_norm1",
    qkv: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    out: "self_attn.out_proj",
    scale1: "",
    norm2: "layer_norm2",
    fc1: "mlp.fc1",
    fc2: "mlp.fc2",
    scale2: "",
    gelu: Gelu::Tanh,
    epsilon: 1e-6,
};
const CLIP: Names = Names { gelu: Gelu::Quick, epsilon: 1e-5, ..SIGLIP };
const DINOV2: Names = Names {
    norm1: "norm1",
    qkv: &["attention.attention.query", "attention.attention.key", "attention.attention.value"],
    out: "attention.output.dense",
    scale1: "layer_scale1.lambda1",
    norm2: "norm2",
    scale2: "layer_scale2.lambda1",
    gelu: Gelu::Erf,
    ..SIGLIP
};
const TIMM: Names = Names {
    qkv: &["attn.qkv"],
    out: "attn.proj",
    scale1: "ls1.gamma",
    scale2: "ls2.gamma",
    ..DINOV2
};

fn blocks(w: &Weights, at: &str, names: &Names, d: usize, facts: &Facts) -> Result<Vec<Block>> {
    let count = w.count(at);
    ensure!(count > 0, "{} has a tower without blocks.", w.origin());
    let heads = heads(d, facts)?;
    let block = |i: usize| {
        let w = w.at(at).at(i);
        let rows = 3 * d / names.qkv.len();
        let [inner, _] = w.at(names.fc1).dims("weight")?;
        Ok(Block {
            norm1: w.norm(names.norm1, d, 1, names.epsilon)?,
            qkv: names.qkv.iter().map(|name| w.affine(name, [rows, d])).collect::<Result<_>>()?,
            out: w.affine(names.out, [d, d])?,
            scale1: w.optional(names.scale1, [d])?,
            norm2: w.norm(names.norm2, d, 1, names.epsilon)?,
            fc1: w.affine(names.fc1, [inner, d])?,
            fc2: w.affine(names.fc2, [d, inner])?,
            scale2: w.optional(names.scale2, [d])?,
            heads,
            gelu: names.gelu,
        })
    };
    (0..count).map(block).collect()
}

/// Channels of the tower, from its positions `[1, rows, D]`; and those.
fn position(w: &Weights, name: &str) -> Result<(usize, Param<Tensor<3>>)> {
    let [_, rows, d] = w.dims(name)?;
    Ok((d, w.param(name, [1, rows, d])?))
}

/// CLIP (arXiv 2103.00020) as Hugging Face stores it.
fn clip(w: &Weights, facts: &Facts) -> Result<Tower> {
    let e = w.at("embeddings");
    let (d, position) = position(&e, "position_embedding.weight")?;
    let vit = Vit {
        patches: patches(&e, "patch_embedding")?,
        prefix: vec![e.param("class_embedding", [1, 1, d])?],
        position,
        before: Some(w.norm("pre_layrnorm", d, 1, CLIP.epsilon)?),
        blocks: blocks(w, "encoder.layers", &CLIP, d, facts)?,
        after: None,
    };
    Ok(Tower::new(Kind::Clip, vit, facts))
}

/// SigLIP (arXiv 2303.15343) as Hugging Face stores it; what pools its rows is not used.
fn siglip(w: &Weights, facts: &Facts) -> Result<Tower> {
    let e = w.at("embeddings");
    let (d, position) = position(&e, "position_embedding.weight")?;
    let vit = Vit {
        patches: patches(&e, "patch_embedding")?,
        prefix: vec![],
        position,
        before: None,
        blocks: blocks(w, "encoder.layers", &SIGLIP, d, facts)?,
        after: Some(w.norm("post_layernorm", d, 1, SIGLIP.epsilon)?),
    };
    Ok(Tower::new(Kind::Siglip, vit, facts))
}

/// DINOv2 (arXiv 2304.07193) as Hugging Face stores it.
fn dinov2(w: &Weights, facts: &Facts) -> Result<Tower> {
    let e = w.at("embeddings");
    let (d, position) = position(&e, "position_embeddings")?;
    let vit = Vit {
        patches: patches(&e, "patch_embeddings.projection")?,
        prefix: vec![e.param("cls_token", [1, 1, d])?],
        position,
        before: None,
        blocks: blocks(w, "encoder.layer", &DINOV2, d, facts)?,
        after: Some(w.norm("layernorm", d, 1, DINOV2.epsilon)?),
    };
    Ok(Tower::new(Kind::Dinov2, vit, facts))
}

/// A vision transformer of timm: DINOv2 with registers, or SigLIP without a class row.
fn timm(w: &Weights, facts: &Facts) -> Result<Tower> {
    let (d, position) = position(w, "pos_embed")?;
    let mut prefix = Vec::new();
    for name in ["cls_token", "reg_token"] {
        if w.has(name) {
            let [_, rows, _] = w.dims(name)?;
            prefix.push(w.param(name, [1, rows, d])?);
        }
    }
    let vit = Vit {
        patches: patches(w, "patch_embed.proj")?,
        prefix,
        position,
        before: None,
        blocks: blocks(w, "blocks", &TIMM, d, facts)?,
        after: None,
    };
    Ok(Tower::new(Kind::Timm, vit, facts))
}

/// The encoder of SAM (arXiv 2304.02643).
fn sam(w: &Weights, facts: &Facts) -> Result<Tower> {
    let sam = Sam::load(w)?;
    let usual = Preprocess::imagenet(sam.side());
    let preprocess = facts.preprocess.clone().unwrap_or(usual);
    Ok(Tower { encoder: Encoder::Sam(sam), kind: Kind::Sam, preprocess })
}
