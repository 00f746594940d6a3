//! What files call the parameters of a tower, the other way round than loading.

use super::Tower;
use super::tower::{Encoder, Kind};
use crate::rwkv::{Parameter, parameters_of};

/// Where the parts of a tower stand in a file; what is not listed is called as it is here.
fn places(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Clip => &[
            ("patches", "embeddings.patch_embedding"),
            ("prefix.0", "embeddings.class_embedding"),
            ("position", "embeddings.position_embedding.weight"),
            ("before", "pre_layrnorm"),
            ("blocks", "encoder.layers"),
        ],
        Kind::Siglip => &[
            ("patches", "embeddings.patch_embedding"),
            ("position", "embeddings.position_embedding.weight"),
            ("blocks", "encoder.layers"),
            ("after", "post_layernorm"),
        ],
        Kind::Dinov2 => &[
            ("patches", "embeddings.patch_embeddings.projection"),
            ("prefix.0", "embeddings.cls_token"),
            ("position", "embeddings.position_embeddings"),
            ("blocks", "encoder.layer"),
            ("after", "layernorm"),
        ],
        Kind::Timm => &[
            ("patches", "patch_embed.proj"),
            ("prefix.0", "cls_token"),
            ("prefix.1", "reg_token"),
            ("position", "pos_embed"),
        ],
        Kind::Sam => &[
            ("patches", "patch_embed.proj"),
            ("position", "pos_embed"),
            ("neck.narrow", "neck.0"),
            ("neck.norm1", "neck.1"),
            ("neck.blur", "neck.2.weight"),
            ("neck.norm2", "neck.3"),
        ],
    }
}

/// The parts of a block of SAM, where they are called otherwise.
const SAM: [(&str, &str); 6] = [
    ("qkv", "attn.qkv"),
    ("proj", "attn.proj"),
    ("rel_pos_h", "attn.rel_pos_h"),
    ("rel_pos_w", "attn.rel_pos_w"),
    ("lin1", "mlp.lin1"),
    ("lin2", "mlp.lin2"),
];

impl Tower {
    /// Every parameter, under the name and with the shape that checkpoints use, behind `under`.
    pub fn parameters(&self, under: &str) -> Vec<Parameter> {
        let kind = self.kind();
        let mut found = match &self.encoder {
            Encoder::Vit(vit) => parameters_of(vit),
            Encoder::Sam(sam) => parameters_of(sam),
        };
        let inner = match kind {
            Kind::Clip | Kind::Siglip => "vision_model.",
            Kind::Dinov2 | Kind::Timm | Kind::Sam => "",
        };
        for p in &mut found {
            p.shape = self.shape(&p.name, &p.shape);
            // A projection inside of a layer with bias, and the matrix of the patches.
            let bare = p.name.replace("weight.weight", "weight");
            p.name = format!("{under}.{inner}{}", stored(kind, &bare));
        }
        found
    }

    /// The shape in files: patches keep their two sides there, and rows lose the axis of pictures.
    fn shape(&self, name: &str, shape: &[usize]) -> Vec<usize> {
        match (name, shape) {
            ("patches.weight.weight", [d, all]) => {
                let side = (all / 3).isqrt();
                vec![*d, 3, side, side]
            }
            ("neck.narrow.weight", [o, d]) => vec![*o, *d, 1, 1],
            ("prefix.0", [1, 1, d]) if self.kind() == Kind::Clip => vec![*d],
            ("position", [1, rows, d]) if matches!(self.kind(), Kind::Clip | Kind::Siglip) => {
                vec![*rows, *d]
            }
            _ => shape.to_vec(),
        }
    }
}

/// The name in files of what is called so here.
fn stored(kind: Kind, name: &str) -> String {
    let name = renamed(name, places(kind));
    // From the number of a block on the parts have names of their own.
    let Some(at) = name.find(|c: char| c.is_ascii_digit()).filter(|_| !name.starts_with("neck"))
    else {
        return name;
    };
    let (before, block) = name.split_at(at);
    let Some((number, part)) = block.split_once('.') else { return name };
    format!("{before}{number}.{}", renamed(part, &parts(kind)))
}

/// The name with its beginning, up to a dot, as the table has it.
fn renamed(name: &str, table: &[(&str, &str)]) -> String {
    let known = |(from, to): &(&str, &str)| {
        let rest = name.strip_prefix(from)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| format!("{to}{rest}"))
    };
    table.iter().find_map(known).unwrap_or(name.to_string())
}

/// What the parts of a block are called in files.
fn parts(kind: Kind) -> Vec<(&'static str, &'static str)> {
    if kind == Kind::Sam {
        return SAM.to_vec();
    }
    let names = kind.names();
    let qkv = ["qkv.0", "qkv.1", "qkv.2"].into_iter().zip(names.qkv.iter().copied());
    let others = [
        ("norm1", names.norm1),
        ("out", names.out),
        ("scale1", names.scale1),
        ("norm2", names.norm2),
        ("fc1", names.fc1),
        ("fc2", names.fc2),
        ("scale2", names.scale2),
    ];
    qkv.chain(others).collect()
}
