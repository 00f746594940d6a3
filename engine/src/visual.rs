//! VisualRWKV (arXiv 2406.13362): a picture goes through vision towers and a projector once, becomes
//! rows between those of the text, and is remembered in the state like any other text.
//!
//! A checkpoint holds the language model under `rwkv.`, its towers under `vit.` and the projector
//! under `proj.`; which generation it is, the names tell. The generations differ in where the class
//! row stands, in how many rows a picture becomes, and in the order in which blocks read them.

use anyhow::{Context, Result, ensure};
use burn::module::Module;
use burn::tensor::activation::sigmoid;
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::image::Image;
use crate::layers::{Linear, Norm};
use crate::rwkv::{Rows, Rwkv, Scan, Tap, Version, Way};
use crate::state::State;
use crate::vision::tower::Facts;
use crate::vision::{Features, Tower};
use crate::weights::Weights;

pub mod prompt;
#[cfg(test)]
mod tests;

/// A language model that is shown pictures.
#[derive(Module, Debug)]
pub struct Visual {
    rwkv: Rwkv,
    towers: Vec<Tower>,
    projector: Projector,
    #[module(skip)]
    layout: Layout,
}

/// From the channels of the towers to those of the language model: one matrix, or channels that
/// decide themselves how much of them is seen.
#[derive(Module, Debug)]
struct Projector {
    /// First to the channels of the language model, in the HD models of RWKV-6.
    proj: Option<Linear>,
    gate: Option<Linear>,
    o_proj: Linear,
    ln_v: Option<Norm>, // RWKV-7
}

/// What becomes of the rows of a tower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How many of them there are.
    pub pool: Pool,
    /// Whether the class row stands before the patches; else it stands behind them.
    pub class_first: bool,
    /// In which order blocks read the patches.
    pub way: Way,
}

/// How many rows a picture becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// One for every patch, with the class row.
    All,
    /// The class row alone (`grid_size` 0).
    Class,
    /// The mean of all patches, with the class row (`grid_size` 1).
    Mean,
    /// The mean of every square of patches, so many squares to a side, with the class row
    /// (`grid_size` 2 and more).
    Grid(usize),
    /// So many in all, each the mean of the patches around it (`num_token_per_image`).
    Adaptive(usize),
}

/// A picture as a language model reads it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `[B, T, C]`, before the first norm of the language model.
    pub rows: Tensor<3>,
    /// How many of the rows stand before the patches, and how many those are.
    patches: (usize, usize),
}

impl Layout {
    /// As the released models of this version have it.
    pub fn released(version: Version) -> Self {
        let (class_first, way) = match version {
            Version::V6 => (false, Way::Bidirection),
            Version::V50 | Version::V51 | Version::V52 => (true, Way::Forwards),
            _ => (false, Way::Forwards),
        };
        Self { pool: Pool::All, class_first, way }
    }
}

impl Visual {
    /// Builds the model whose names stand here; `layout` as released if it is not given.
    ///
    /// # Errors
    /// When a half of it is missing or unknown, and when a tensor is missing or misshapen.
    pub fn load(w: &Weights, facts: &Facts, layout: Option<Layout>) -> Result<Self> {
        let rwkv = Rwkv::load(&w.at("rwkv"))?;
        let version = rwkv.version();
        ensure!(
            version != Version::V7a,
            "{} has RWKV-7a as its language model, which needs a token for every row.",
            w.origin()
        );
        let vit = w.at("vit");
        let several = ["dino_featurizer", "siglip_featurizer", "sam_featurizer"]
            .into_iter()
            .map(|name| vit.at(name))
            .filter(|tower| !tower.names_here().is_empty())
            .collect::<Vec<_>>();
        let found = if several.is_empty() { vec![vit] } else { several };
        let towers = found.iter().map(|tower| Tower::load(tower, facts));
        let towers = towers.collect::<Result<Vec<_>>>().with_context(|| {
            format!("{} has no vision tower inside that is known here", w.origin())
        })?;
        let [_, c] = rwkv.dims();
        let projector = Projector::load(&w.at("proj"), c)?;
        let layout = layout.unwrap_or(Layout::released(version));
        let turns = matches!(version, Version::V50 | Version::V51 | Version::V52 | Version::V6);
        ensure!(
            turns || layout.way == Way::Forwards,
            "{version}, the language model of {}, reads pictures forwards only.",
            w.origin()
        );
        Ok(Self { rwkv, towers, projector, layout })
    }

    /// The language model.
    pub fn rwkv(&self) -> &Rwkv {
        &self.rwkv
    }

    /// The picture as each tower reads it, `[1, 3, height, width]`.
    ///
    /// # Errors
    /// As [`Tower::pixels`].
    pub fn pixels(&self, image: &Image, device: &Device) -> Result<Vec<Tensor<4>>> {
        self.towers.iter().map(|tower| tower.pixels(image, device)).collect()
    }

    /// What the language model is shown of pictures, one tensor `[B, 3, height, width]` for each
    /// tower.
    ///
    /// # Errors
    /// When the towers do not give as many rows as the others, or no class row that is asked for.
    pub fn look(&self, pixels: Vec<Tensor<4>>) -> Result<Seen> {
        let features = self.towers.iter().zip(pixels).map(|(tower, pixels)| tower.forward(pixels));
        let mut all: Vec<Features> = features.collect();
        let same = all.iter().all(|one| one.patches.dims()[1] == all[0].patches.dims()[1]);
        ensure!(same, "the towers cut a picture into different patches.");
        let class = if all.len() == 1 { all.remove(0) } else { together(all) };
        let (rows, patches) = self.layout.rows(class)?;
        Ok(Seen { rows: self.projector.forward(rows), patches })
    }

    /// What the output head reads after `before`, a picture and `after`, `[1, T, C]`; the state
    /// moves on over all of them. Without a picture the text alone.
    pub fn read(
        &self,
        before: &[u32],
        seen: Option<&Seen>,
        after: &[u32],
        state: &mut State,
        device: &Device,
    ) -> Tensor<3> {
        let mut parts = Vec::new();
        let mut ids = before.to_vec();
        let mut scan = Scan { way: self.layout.way, ..Scan::default() };
        let embed = |ids: &[u32]| self.rwkv.embed(numbers(ids, device));
        if !before.is_empty() {
            parts.push(embed(before));
        }
        if let Some(Seen { rows, patches: (first, count) }) = seen {
            let start = before.len() + first;
            scan.patches = start..start + count;
            parts.push(rows.clone());
            ids.extend(vec![0; rows.dims()[1]]);
        }
        if !after.is_empty() {
            parts.push(embed(after));
            ids.extend(after);
        }
        let rows = Rows { x: Tensor::cat(parts, 1), tokens: numbers(&ids, device), scan };
        self.rwkv.read(rows, state, Tap::none())
    }
}

fn numbers(ids: &[u32], device: &Device) -> Tensor<2, Int> {
    let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let shape = [1, ids.len()];
    Tensor::from_data(TensorData::new(ids, shape), device)
}

/// Several towers side by side: the channels of a patch one behind the other.
fn together(all: Vec<Features>) -> Features {
    let patches = all.into_iter().map(|one| one.patches).collect();
    Features { class: None, patches: Tensor::cat(patches, 2) }
}

impl Layout {
    /// The rows for the language model; how many stand before the patches, and how many those are.
    fn rows(&self, features: Features) -> Result<(Tensor<3>, (usize, usize))> {
        let Features { class, patches } = features;
        let patches = match self.pool {
            Pool::All => patches,
            Pool::Class => {
                let class = class.context("the tower has no class row; choose another pooling.")?;
                return Ok((class, (0, 0)));
            }
            // The oldest models count the class row in, and show nothing else.
            Pool::Mean if self.class_first => {
                let all = class.into_iter().chain([patches]).collect();
                return Ok((Tensor::cat(all, 1).mean_dim(1), (0, 1)));
            }
            Pool::Mean => patches.mean_dim(1),
            Pool::Grid(side) => squares(patches, side)?,
            Pool::Adaptive(rows) => around(patches, rows)?,
        };
        let count = patches.dims()[1];
        Ok(match class {
            None => (patches, (0, count)),
            Some(class) if self.class_first => (Tensor::cat(vec![class, patches], 1), (1, count)),
            Some(class) => (Tensor::cat(vec![patches, class], 1), (0, count)),
        })
    }
}

/// Means of squares, as many patches wide as `side` of them fit into a side of the picture.
fn squares(patches: Tensor<3>, side: usize) -> Result<Tensor<3>> {
    let [b, count, d] = patches.dims();
    let grid = count.isqrt();
    ensure!(
        (1..=grid).contains(&side),
        "a picture of {grid} × {grid} patches has no {side} × {side} squares."
    );
    let wide = grid / side;
    let fit = grid / wide; // where squares do not cover the grid, there may be more of them
    let x = patches.reshape([b, grid, grid, d]);
    let x = x.narrow(1, 0, fit * wide).narrow(2, 0, fit * wide);
    let x = x.reshape([b, fit, wide, fit, wide, d]).mean_dim(4).mean_dim(2);
    Ok(x.reshape([b, fit * fit, d]))
}

/// As many means as `rows` says, each of the patches around its place.
fn around(patches: Tensor<3>, rows: usize) -> Result<Tensor<3>> {
    let [b, count, d] = patches.dims();
    let (grid, side) = (count.isqrt(), rows.isqrt());
    ensure!(side > 0 && side * side == rows, "{rows} rows are no square of rows.");
    let x = patches.swap_dims(1, 2).reshape([b, d, grid, grid]);
    Ok(adaptive_avg_pool2d(x, [side, side]).reshape([b, d, rows]).swap_dims(1, 2))
}

impl Projector {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = match &self.proj {
            Some(proj) => proj.forward(x),
            None => x,
        };
        let x = match &self.gate {
            Some(gate) => x.clone() * sigmoid(gate.forward(x)),
            None => x,
        };
        let x = self.o_proj.forward(x);
        match &self.ln_v {
            Some(norm) => norm.forward(x),
            None => x,
        }
    }

    fn load(w: &Weights, c: usize) -> Result<Self> {
        if w.has("weight") {
            let [_, width] = w.dims("weight")?;
            let o_proj = Linear::new(w.param("weight", [c, width])?);
            return Ok(Self { proj: None, gate: None, o_proj, ln_v: None });
        }
        ensure!(
            w.has("gate.weight"),
            "{} has no projector known here: a matrix or a gated one.",
            w.origin()
        );
        let [inner, same] = w.at("gate").dims("weight")?;
        ensure!(inner == same, "the gate of a projector is {inner} × {same}, not square.");
        let proj = match w.has("proj.weight") {
            true => Some(w.linear("proj", [inner, w.at("proj").dims::<2>("weight")?[1]])?),
            false => None,
        };
        Ok(Self {
            proj,
            gate: Some(w.linear("gate", [inner, inner])?),
            o_proj: w.linear("o_proj", [c, inner])?,
            ln_v: w.has("ln_v.weight").then(|| w.layer_norm("ln_v", c)).transpose()?,
        })
    }
}
