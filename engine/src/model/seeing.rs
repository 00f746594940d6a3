//! A model that is shown pictures.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail, ensure};

use super::{Model, go_on, inside};
use crate::checkpoint::Checkpoint;
use crate::image::Image;
use crate::rwkv::{Parameter, Rwkv};
use crate::state::State;
use crate::tensor::Array;
use crate::vision::Facts;
use crate::visual::fresh::{Between, Sizes};
use crate::visual::{Seen, Told, Towers, Visual};
use crate::weights::{Source, Weights};

/// What stands before the names of a language model with eyes.
const LANGUAGE: &str = "rwkv";

/// Generations that are not read, by a part of a name that no other one has.
const UNREAD: [(&str, &str); 7] = [
    (".tiny_att.", "VisualRWKV 5.2 to 5.4, whose blocks attend to rows with TinyAttention"),
    (".cross_att", "an experiment of VisualRWKV 6.2, whose blocks attend to pictures"),
    ("llm_proj.", "VisualRWKV 4, whose pictures go through an adapter of queries"),
    ("vtc.blocks.", "VisualRWKV 7.03 or 7.04, whose rows are compressed by blocks of their own"),
    ("vrwkv.emb.", "VisualRWKV 7.10, whose tower is made of blocks of RWKV-7"),
    ("encoder.model.", "ModRWKV, which has a template and a projector of its own"),
    ("world_encoder.", "ModRWKV, which has a template and a projector of its own"),
];

/// Every parameter of a language model and of what it sees with, by its name in checkpoints.
pub fn parameters(rwkv: &Rwkv, visual: Option<&Visual>) -> Vec<Parameter> {
    let mut all = rwkv.parameters();
    if let Some(visual) = visual {
        all.iter_mut().for_each(|p| p.name = format!("{LANGUAGE}.{}", p.name));
        all.extend(visual.parameters());
    }
    all
}

/// The language model, and what it sees with where there is such; towers, and a projector that the
/// model's own tensors lack, may stand in another file.
///
/// # Errors
/// When a part is missing or unknown.
pub(super) fn parts(
    weights: &Weights,
    other: Option<&Weights>,
    told: &Told,
) -> Result<(Rwkv, Option<Visual>)> {
    let names = weights.names();
    let has = |part: &str| names.iter().find(|name| name.contains(part));
    if let Some((name, which)) = UNREAD.iter().find_map(|(part, which)| Some((has(part)?, which))) {
        bail!(
            "{} is {which}: `{name}`. Of VisualRWKV, 5.0, 5.1, 6.0 to 6.11, HD, UHD, 7.00 and 7.01 \
             are read.",
            weights.origin()
        );
    }
    let language = there(weights, LANGUAGE);
    let rwkv = Rwkv::load(language.as_ref().unwrap_or(weights))?;
    if language.is_none() && other.is_none() {
        return Ok((rwkv, None));
    }
    let vit = there(weights, "vit").or_else(|| other.map(|w| there(w, "vit").unwrap_or(w.clone())));
    let vit = vit.with_context(|| {
        format!(
            "{} has no vision tower inside (names under `vit.`); load_model(PATH, #{{ vision: PATH \
             }}) takes one from a Hugging Face directory: CLIP ViT-L/14-336 for RWKV-5 and 6.",
            weights.origin()
        )
    })?;
    let proj = there(weights, "proj").or_else(|| other.and_then(|w| there(w, "proj")));
    let proj = proj.with_context(|| {
        format!(
            "{} has no projector (names under `proj.`); it is learnt in the first stage of \
             training.",
            weights.origin()
        )
    })?;
    let visual = Visual::load(Towers::load(&vit, &told.tower)?, &proj, &rwkv, told)?;
    Ok((rwkv, Some(visual)))
}

/// What stands at a place, if anything does.
fn there<'a>(w: &Weights<'a>, place: &str) -> Option<Weights<'a>> {
    let below = w.at(place);
    (!below.names_here().is_empty()).then_some(below)
}

/// What a file, or a directory, says besides its tensors.
///
/// # Errors
/// When a configuration in it cannot be read.
pub(super) fn facts(path: &Path) -> Result<Told> {
    Ok(Told { tower: Facts::beside(path)?, ..Told::default() })
}

impl Model {
    /// What it sees with.
    ///
    /// # Errors
    /// When it is a language model only.
    pub fn eyes(&self) -> Result<&Visual> {
        self.visual.as_ref().with_context(|| {
            format!(
                "{} is a language model only, it cannot be shown pictures; load a VisualRWKV, such as \
                 demo:shapes.",
                self.name
            )
        })
    }

    /// A picture as the language model reads it; it need not be looked at again.
    ///
    /// # Errors
    /// When the model sees nothing, when the picture cannot be made ready, and when `interrupt` is
    /// set, with [`super::Interrupted`].
    pub fn look(&self, image: &Image, interrupt: &AtomicBool) -> Result<Seen> {
        let eyes = self.eyes()?;
        let _counter = self.progress.begin(format!("looking at {}", image.name), "pictures", 0);
        let pixels = eyes.pixels(image, &self.place.device)?;
        inside(|| eyes.look(pixels, interrupt))
    }

    /// The memory after a picture that was looked at.
    ///
    /// # Errors
    /// For the state of another model, and when `interrupt` is set.
    pub fn show(&self, seen: &Seen, state: &State, interrupt: &AtomicBool) -> Result<State> {
        let mut state = self.own(state)?;
        go_on(interrupt)?;
        self.eyes()?.show(&self.rwkv, seen, &mut state);
        state.past.tokens += seen.rows.dims()[1] as u64;
        go_on(interrupt)?;
        Ok(state)
    }

    /// The same language model with a tower and a new projector, whose random values begin with
    /// `seed`: what a VisualRWKV starts as.
    ///
    /// # Errors
    /// When there is no tower, and when the parts do not fit together.
    pub fn with_vision(
        &self,
        tower: Tower,
        between: Between,
        told: Told,
        seed: u64,
    ) -> Result<Self> {
        ensure!(self.visual.is_none(), "{} has eyes already.", self.name);
        let device = &self.place.device;
        let (named, file);
        let (weights, told) = match tower {
            Tower::New(sizes) => {
                named = sizes.tower(seed)?;
                let mut told = told;
                told.tower.heads = Some(sizes.n_head);
                (Weights::new(Source::Made(&named), device), told)
            }
            Tower::File(path) => {
                file = Checkpoint::open(path)?;
                (Weights::new(Source::Checkpoint(&file), device), told.or(facts(path)?))
            }
        };
        let vit = there(&weights, "vit").unwrap_or(weights);
        let told = Told { mean_row: told.mean_row.or(Some(false)), ..told };
        let towers = Towers::load(&vit, &told.tower)?;
        let projector = between.projector(towers.channels(), self.n_embd(), seed ^ 1);
        let proj = Weights::new(Source::Made(&projector), device);
        let visual = Visual::load(towers, &proj, &self.rwkv, &told)?;
        Ok(Self { visual: Some(visual), source: None, ..self.clone() })
    }

    /// The rows that a picture becomes, `[T, C]`.
    ///
    /// # Errors
    /// As [`Model::look`].
    pub fn encode_image(&self, image: &Image, interrupt: &AtomicBool) -> Result<Array> {
        let seen = self.look(image, interrupt)?;
        Ok(Array::of(seen.rows.squeeze_dim::<2>(0)))
    }
}

/// Where a tower comes from.
#[derive(Clone, Copy, Debug)]
pub enum Tower<'a> {
    /// New, of this size.
    New(Sizes),
    /// A Hugging Face directory, or a file of weights.
    File(&'a Path),
}

#[cfg(test)]
mod tests;
