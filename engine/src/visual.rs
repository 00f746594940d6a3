//! VisualRWKV (arXiv 2406.13362): a picture goes through vision towers and a projector once, becomes
//! rows between those of the text, and is remembered in the state like any other text.
//!
//! A checkpoint holds the language model under `rwkv.`, its towers under `vit.` and the projector
//! under `proj.`; which generation it is, the names tell. The generations differ in where the class
//! row stands, in how many rows a picture becomes, and in the order in which blocks read them.

use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};

use crate::image::{Image, Preprocess};
use crate::rwkv::{Parameter, Rows, Rwkv, Scan, Tap, Version, Way};
use crate::state::State;
use crate::vision::{Facts, Features, Kind, Tower};
use crate::weights::Weights;
use projector::Projector;

mod beside;
pub mod fresh;
mod layout;
mod projector;
pub mod prompt;
#[cfg(test)]
mod tests;
mod told;

pub use beside::Beside;
pub use layout::{Layout, Pool};
pub use told::{TOLD, Told};

/// What a language model sees with.
#[derive(Module, Debug)]
pub struct Visual {
    towers: Vec<Tower>,
    projector: Projector,
    #[module(skip)]
    beside: Beside,
    #[module(skip)]
    layout: Layout,
    rows: usize,
    /// How many of the rows stand before the patches, and how many those are.
    #[module(skip)]
    patches: (usize, usize),
    #[module(skip)]
    facts: Facts,
    /// What stands before the names of each tower.
    #[module(skip)]
    places: Vec<String>,
}

/// Towers on their way into a model.
pub struct Towers {
    /// Their channels stand one behind the other.
    towers: Vec<Tower>,
    /// What stands before the names of each.
    places: Vec<String>,
}

/// Pictures as a language model reads them.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `[B, T, C]`, before the first norm of the language model.
    pub rows: Tensor<3>,
}

/// What has to be known of a model to put pictures into the texts it learns from.
#[derive(Clone, Debug, PartialEq)]
pub struct Reads {
    /// How each tower wants its pictures.
    pub preprocess: Vec<Preprocess>,
    /// What it looks at beside the picture.
    pub beside: Beside,
    /// How many rows a picture becomes.
    pub rows: usize,
    /// Where it stands in a conversation.
    pub placement: prompt::Placement,
    /// Whether the pictures of a batch have to stand at the same place in every row, because
    /// blocks read them in another order than forwards.
    pub aligned: bool,
}

/// Towers under `vit.` in the order in which their channels stand, where there are several.
const SEVERAL: [&str; 3] = ["dino_featurizer", "siglip_featurizer", "sam_featurizer"];

impl Visual {
    /// Towers and the projector out of what stands at `proj`, for `rwkv`.
    ///
    /// # Errors
    /// When the parts do not fit together, and when a tensor is missing or misshapen.
    pub fn load(towers: Towers, proj: &Weights, rwkv: &Rwkv, told: &Told) -> Result<Self> {
        let version = rwkv.version();
        ensure!(
            version != Version::V7a,
            "{} has RWKV-7a as its language model, which needs a token for every row.",
            proj.origin()
        );
        let [channels, inner] = [towers.channels(), rwkv.dims()[1]];
        let beside = projector::beside(proj, channels, inner, towers.towers.len())?;
        let layout = told.layout(version, &towers, beside);
        let turns = matches!(version, Version::V50 | Version::V51 | Version::V52 | Version::V6);
        ensure!(
            turns || layout.way == Way::Forwards,
            "{version}, the language model of {}, reads pictures forwards only.",
            proj.origin()
        );
        let projector = Projector::load(proj, channels * beside.times(), inner, beside)?;
        let Towers { towers, places } = towers;
        let (rows, patches) = sizes(&towers, &layout)?;
        let facts = told.tower.clone();
        Ok(Self { towers, projector, beside, layout, rows, patches, facts, places })
    }

    /// How many rows a picture becomes.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// What has to be known to put pictures into texts.
    pub fn reads(&self) -> Reads {
        Reads {
            preprocess: self.towers.iter().map(|tower| tower.preprocess().clone()).collect(),
            beside: self.beside,
            rows: self.rows,
            placement: self.layout.placement,
            aligned: self.layout.way != Way::Forwards,
        }
    }

    /// What becomes of the rows of the towers.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The picture as each tower reads it, `[1, 3, height, width]`; its quarters follow it where
    /// they are looked at, too.
    ///
    /// # Errors
    /// As [`Tower::pixels`].
    pub fn pixels(&self, image: &Image, device: &Device) -> Result<Vec<Tensor<4>>> {
        let views = self.beside.looked_at(image)?;
        let pixels = |tower: &Tower| {
            let all = views.iter().map(|view| tower.pixels(view, device));
            Ok(Tensor::cat(all.collect::<Result<_>>()?, 0))
        };
        self.towers.iter().map(pixels).collect()
    }

    /// What the language model is shown of pictures, one tensor `[B, 3, height, width]` for each
    /// tower; five in place of one where quarters are looked at.
    ///
    /// # Errors
    /// When the rows cannot be pooled as the layout says, and when `interrupt` is set.
    pub fn look(&self, pixels: Vec<Tensor<4>>, interrupt: &AtomicBool) -> Result<Seen> {
        let pairs = self.towers.iter().zip(pixels);
        let features = pairs.map(|(tower, pixels)| tower.forward(pixels, interrupt));
        let mut all = features.collect::<Result<Vec<_>>>()?;
        let features = if all.len() == 1 { all.remove(0) } else { together(all) };
        let rows = self.layout.lay(self.beside.gathered(features)?)?;
        Ok(Seen { rows: self.projector.forward(self.beside.turned(rows)) })
    }

    /// What the output head reads after each row of one picture, `[B, T, C]`; the state moves on.
    pub fn show(&self, rwkv: &Rwkv, seen: &Seen, state: &mut State) -> Tensor<3> {
        let [b, t, _] = seen.rows.dims();
        let tokens = Tensor::<2, Int>::zeros([b, t], &seen.rows.device());
        let rows = Rows { x: seen.rows.clone(), tokens, scan: self.scan(0) };
        rwkv.read(rows, state, Tap::none())
    }

    /// In which order blocks read a picture whose first row is the `first` of a text.
    pub fn scan(&self, first: usize) -> Scan {
        let (before, count) = self.patches;
        Scan { patches: first + before..first + before + count, way: self.layout.way }
    }

    /// Every parameter, under the name and with the shape that checkpoints use.
    pub fn parameters(&self) -> Vec<Parameter> {
        let towers = self.towers.iter().zip(&self.places);
        let mut found: Vec<_> = towers.flat_map(|(tower, at)| tower.parameters(at)).collect();
        found.extend(self.projector.parameters());
        found
    }
}

/// How many rows a picture becomes, how many stand before the patches, and how many those are.
fn sizes(towers: &[Tower], layout: &Layout) -> Result<(usize, (usize, usize))> {
    let patches: Vec<usize> = towers.iter().map(Tower::patches).collect();
    ensure!(
        patches.iter().all(|count| *count == patches[0]),
        "the towers cut a picture into different numbers of patches: {patches:?}."
    );
    let class = layout.mean_row || towers.len() == 1 && towers[0].has_class();
    ensure!(
        class || layout.pool != Pool::Class,
        "the tower has no class row; choose another pooling."
    );
    layout.sizes(patches[0], class)
}

impl Reads {
    /// What each tower reads of a picture, with what it looks at beside it.
    ///
    /// # Errors
    /// As [`Preprocess::numbers`].
    pub fn numbers(&self, image: &Image) -> Result<Vec<Vec<f32>>> {
        let views = self.beside.looked_at(image)?;
        let numbers = |preprocess: &Preprocess| {
            let all = views.iter().map(|view| preprocess.numbers(view));
            Ok(all.collect::<Result<Vec<_>>>()?.concat())
        };
        self.preprocess.iter().map(numbers).collect()
    }
}

impl Towers {
    /// The towers out of what stands at `vit`, where there may be several. Where SAM is among them,
    /// the others cut a picture into as many patches as SAM has rows, whatever size they were made
    /// for.
    ///
    /// # Errors
    /// When there is no tower known here, and when a tensor is missing or misshapen.
    pub fn load(vit: &Weights, facts: &Facts) -> Result<Self> {
        let has = |name: &&str| !vit.at(name).names_here().is_empty();
        let several: Vec<_> = SEVERAL.into_iter().filter(has).collect();
        if several.is_empty() {
            let towers = vec![Tower::load(vit, facts)?];
            return Ok(Self { towers, places: vec!["vit".to_string()] });
        }
        let load = |name: &&str| Tower::load(&vit.at(name), facts);
        let mut towers = several.iter().map(load).collect::<Result<Vec<_>>>()?;
        let sam = towers.iter().find(|tower| tower.vit().is_none()).map(Tower::patches);
        if let Some(rows) = sam.filter(|_| facts.size.is_none() && facts.preprocess.is_none()) {
            towers = towers.into_iter().map(|tower| tower.cutting(rows)).collect();
        }
        Ok(Self { towers, places: several.iter().map(|name| format!("vit.{name}")).collect() })
    }

    /// What the tower is, where there is one only.
    fn only(&self) -> Option<Kind> {
        let [tower] = self.towers.as_slice() else { return None };
        Some(tower.kind())
    }

    /// Channels that they give to a projector.
    pub fn channels(&self) -> usize {
        self.towers.iter().map(Tower::channels).sum()
    }
}

/// Several towers side by side: the channels of a patch one behind the other.
fn together(all: Vec<Features>) -> Features {
    let patches = all.into_iter().map(|one| one.patches).collect();
    Features { class: None, patches: Tensor::cat(patches, 2) }
}
