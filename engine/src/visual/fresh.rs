//! Starting values of a tower and a projector, for a language model that is to see.

use std::f32::consts::FRAC_PI_2;

use anyhow::{Result, ensure};

use crate::rwkv::Fresh;
use crate::weights::Named;

/// How large a new tower is to be: a vision transformer with the names of SigLIP, whose rows are
/// patches and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Sides of the square picture in pixels.
    pub size: usize,
    /// Sides of a patch in pixels.
    pub patch: usize,
    /// Channels of a row.
    pub n_embd: usize,
    /// Number of blocks.
    pub n_layer: usize,
    /// Heads of a block.
    pub n_head: usize,
}

/// What comes between the towers and the language model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// One matrix, as in RWKV-5 and 6.
    Linear,
    /// A gate, a matrix and a norm, as in RWKV-7.
    Gated,
}

/// How far positions stand out of patches in the beginning.
const POSITION: f32 = 0.5;

impl Sizes {
    /// The named tensors of a new tower.
    ///
    /// # Errors
    /// When the sizes do not fit together.
    pub fn tower(&self, seed: u64) -> Result<Named> {
        let Self { size, patch, n_embd: d, n_layer, n_head } = *self;
        ensure!(
            [size, patch, d, n_layer, n_head].iter().all(|&n| n > 0) && size % patch == 0,
            "a picture of {size} pixels cannot be cut into patches of {patch}."
        );
        ensure!(
            d % n_head == 0 && d % 4 == 0,
            "{d} channels cannot be cut into {n_head} heads, or are no multiple of 4."
        );
        let mut new = Fresh::new(seed);
        let at = |name: &str| format!("vision_model.{name}");
        let e = at("embeddings");
        let spread = |inputs: usize| (3.0 / inputs as f32).sqrt(); // keeps the variance
        let pixels = 3 * patch * patch;
        new.uniform(&format!("{e}.patch_embedding.weight"), [d, 3, patch, patch], spread(pixels));
        new.each(&format!("{e}.patch_embedding.bias"), [d], |_| 0.0);
        let grid = size / patch;
        let position = |i: usize| POSITION * wave(grid, d, i / d, i % d);
        new.each(&format!("{e}.position_embedding.weight"), [grid * grid, d], position);
        for i in 0..n_layer {
            let block = at(&format!("encoder.layers.{i}"));
            new.norm(&format!("{block}.layer_norm1"), d);
            new.norm(&format!("{block}.layer_norm2"), d);
            // What adds to the rows starts quietly.
            for (name, rows, columns, gain) in [
                ("self_attn.q_proj", d, d, 1.0),
                ("self_attn.k_proj", d, d, 1.0),
                ("self_attn.v_proj", d, d, 1.0),
                ("self_attn.out_proj", d, d, 0.3),
                ("mlp.fc1", 4 * d, d, 1.0),
                ("mlp.fc2", d, 4 * d, 0.3),
            ] {
                let name = format!("{block}.{name}");
                new.uniform(&format!("{name}.weight"), [rows, columns], gain * spread(columns));
                new.each(&format!("{name}.bias"), [rows], |_| 0.0);
            }
        }
        new.norm(&at("post_layernorm"), d);
        Ok(new.done())
    }
}

impl Between {
    /// The named tensors of a new projector from `d` channels to `c`: even between plus and minus
    /// one through the root of the inputs, as PyTorch starts a matrix.
    pub fn projector(self, d: usize, c: usize, seed: u64) -> Named {
        let mut new = Fresh::new(seed);
        let bound = 1.0 / (d as f32).sqrt();
        match self {
            Self::Linear => new.uniform("weight", [c, d], bound),
            Self::Gated => {
                new.uniform("gate.weight", [d, d], bound);
                new.uniform("o_proj.weight", [c, d], bound);
                new.norm("ln_v", c);
            }
        }
        new.done()
    }
}

/// A position as waves across and down the picture, from one that is longer than three pictures to
/// one of four patches.
fn wave(grid: usize, channels: usize, patch: usize, channel: usize) -> f32 {
    let quarter = channels / 4;
    let (part, i) = (channel / quarter, channel % quarter);
    let share = i as f32 / (quarter - 1).max(1) as f32;
    let frequency = (3.0 * grid as f32).powf(-share) * FRAC_PI_2;
    let place = if part < 2 { patch % grid } else { patch / grid } as f32;
    if part % 2 == 0 { (place * frequency).sin() } else { (place * frequency).cos() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rwkv::{Rwkv, Sizes as RwkvSizes, Version};
    use crate::visual::{Told, Towers, Visual};
    use crate::weights::{Source, Weights};
    use burn::tensor::{Device, Tensor};
    use std::sync::atomic::AtomicBool;

    const SIZES: Sizes = Sizes { size: 8, patch: 4, n_embd: 8, n_layer: 2, n_head: 2 };

    #[test]
    fn a_new_tower_and_projector_show_a_picture() {
        let device = Device::flex();
        let lm = RwkvSizes {
            n_layer: 1,
            n_embd: 8,
            head_size: 4,
            vocab_size: 6,
            dim_ffn: 8,
            ranks: [2; 4],
        };
        for (version, between) in [(Version::V6, Between::Linear), (Version::V7, Between::Gated)] {
            let lm = lm.fresh(version, 1).unwrap();
            let rwkv = Rwkv::load(&Weights::new(Source::Made(&lm), &device)).unwrap();
            let tower = SIZES.tower(1).unwrap().into_iter();
            let projector = between.projector(8, 8, 1).into_iter();
            let named: Named = tower
                .map(|(name, tensor)| (format!("vit.{name}"), tensor))
                .chain(projector.map(|(name, tensor)| (format!("proj.{name}"), tensor)))
                .collect();
            let mut told = Told::default();
            told.tower.heads = Some(2);
            told.mean_row = Some(false);
            let w = Weights::new(Source::Made(&named), &device);
            let towers = Towers::load(&w.at("vit"), &told.tower).unwrap();
            let visual = Visual::load(towers, &w.at("proj"), &rwkv, &told).unwrap();
            assert_eq!(visual.rows(), 4);
            let pixels = Tensor::<4>::ones([2, 3, 8, 8], &device);
            let seen = visual.look(vec![pixels], &AtomicBool::new(false)).unwrap();
            assert_eq!(seen.rows.dims(), [2, 4, 8]);
            let names: Vec<_> = visual.parameters().into_iter().map(|p| p.name).collect();
            assert!(names.iter().all(|name| named.contains_key(name)), "{names:?}");
            assert_eq!(names.len(), named.len());
        }
    }

    #[test]
    fn every_patch_has_a_position_of_its_own() {
        let of = |patch: usize| (0..16).map(|i| wave(4, 16, patch, i)).collect::<Vec<_>>();
        for (a, b) in (0..16).flat_map(|a| (0..a).map(move |b| (a, b))) {
            let far: f32 = of(a).iter().zip(of(b)).map(|(x, y)| (x - y).abs()).sum();
            assert!(far > 0.1, "{a} {b}");
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let error = Sizes { patch: 3, ..SIZES }.tower(1).unwrap_err().to_string();
        assert!(error.contains("8 pixels cannot be cut into patches of 3"), "{error}");
        let error = Sizes { n_head: 3, ..SIZES }.tower(1).unwrap_err().to_string();
        assert!(error.contains("8 channels cannot be cut into 3 heads"), "{error}");
    }
}
