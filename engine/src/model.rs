//! A model with all that is needed to use it: weights, tokenizer, device, and what to call it.

mod keeping;
mod prefixes;
mod reading;
mod seeing;
mod source;
mod toy;
mod vocabulary;
mod watch;

pub use prefixes::{Prefixes, Standing};
pub use seeing::{Tower, parameters};
pub use source::embedded_names;
pub use toy::random;
pub use vocabulary::expected_tokenizer;
pub use watch::{KnockOut, Observer, Reading};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::checkpoint::Dtype;
use crate::device::Place;
use crate::info::trained_context;
use crate::progress::Progress;
use crate::rwkv::{Parameter, Rwkv, Sizes, Version};
use crate::state::{Origin, State};
use crate::tensor::Array;
use crate::tokenizer::Tokenizer;
use crate::visual::{Told, Visual};
use crate::weights::{HEAD_EPS, Keep, Named, Source, Weights};

/// The work was stopped from outside; nothing is wrong and nothing is lost.
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Stops what is going on where somebody asked for it.
///
/// # Errors
/// [`Interrupted`], when `interrupt` is set.
pub fn go_on(interrupt: &AtomicBool) -> Result<()> {
    if interrupt.load(Ordering::Relaxed) { Err(Interrupted.into()) } else { Ok(()) }
}

/// Tokens read between two looks at the interrupt; results do not depend on it.
const STRETCH: usize = 256;

/// What belongs to a model besides its file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Loading {
    /// A vocabulary file; else one is looked for beside the model and in it, or told by its size.
    pub tokenizer: Option<PathBuf>,
    /// Adapters, added one after the other.
    pub lora: Vec<PathBuf>,
    /// The strength of the adapters in place of their own.
    pub alpha: Option<f64>,
    /// A state to start from in place of the empty one.
    pub state: Option<PathBuf>,
    /// ε of the head norms, where it is not that of the released models, 64e-5.
    pub head_eps: Option<f64>,
    /// How large matrices are kept in memory.
    #[serde(default)]
    pub keep: Keep,
    /// Whether weights that are mostly multiplied with zeros are copied, so that those are not read;
    /// see [`Weights::sparse`].
    #[serde(default)]
    pub sparse: bool,
    /// A vision tower, or towers and projector, where they are not in the model's own file.
    #[serde(default)]
    pub vision: Option<PathBuf>,
    /// What the tensors of a model with pictures do not tell.
    #[serde(default)]
    pub told: Told,
    /// Bytes of states that are kept after the beginnings of texts, where that is not the usual.
    #[serde(default)]
    pub cache: Option<usize>,
    /// Who is told how far it is.
    #[serde(skip)]
    pub progress: Arc<Progress>,
}

/// A language model, ready to read.
#[derive(Clone, Debug)]
pub struct Model {
    /// Where it came from: `demo:tales`, a file name, `rwkv7 (new)`.
    pub name: String,
    /// The weights of the language model.
    pub rwkv: Rwkv,
    /// What it sees with, in a VisualRWKV.
    pub visual: Option<Visual>,
    /// Text to tokens and back.
    pub tokenizer: Tokenizer,
    /// Where it lives.
    pub place: Place,
    /// The type its numbers had on disk.
    pub dtype: Dtype,
    /// Those that its tensors had there, by their names; none for a new model.
    pub dtypes: BTreeMap<String, Dtype>,
    /// What the user should know about how it was loaded.
    pub notes: Vec<String>,
    /// How its authors write conversations, where the file says so.
    pub chat_template: Option<String>,
    /// Who is told how far long works with it are.
    pub progress: Arc<Progress>,
    /// Tokens that it was trained to read at once, where that is known.
    pub ctx_len: Option<usize>,
    /// What is known after the beginnings of texts that it has read.
    pub prefixes: Prefixes,
    /// What it was loaded from, and with; none for a new model.
    pub source: Option<(String, Loading)>,
    /// The state before the first token; its shapes are the sizes of the model.
    empty: State,
}

impl Model {
    /// Loads `toy:…`, `demo:…` or a file with what `loading` adds to it.
    ///
    /// # Errors
    /// When there is no such model, when a file cannot be read or is not one known here, and when
    /// what is added belongs to another model.
    pub fn load(name: &str, loading: &Loading, place: &Place) -> Result<Self> {
        let model = source::load(name, loading, place)?;
        Ok(Self { source: Some((name.to_string(), loading.clone())), ..model })
    }

    /// A model of tensors by name, as a training keeps them.
    ///
    /// # Errors
    /// When they are no model known here.
    pub fn of(name: &str, named: &Named, loading: &Loading, place: &Place) -> Result<Self> {
        let weights = Weights::new(Source::Made(named), &place.device)
            .with_head_eps(loading.head_eps.unwrap_or(HEAD_EPS));
        let (rwkv, visual) = seeing::parts(&weights, None, &loading.told)?;
        let (tokenizer, note) = match &loading.tokenizer {
            Some(path) => vocabulary::given(path, rwkv.dims()[0])?,
            None => vocabulary::by_size(rwkv.dims()[0]),
        };
        let notes = note.into_iter().collect();
        let model = Self::new(name.to_string(), rwkv, tokenizer, place, Dtype::F32, notes);
        Ok(Self { visual, ..model })
    }

    /// A new model with the official starting values, to be trained.
    ///
    /// # Errors
    /// When the sizes do not fit together.
    pub fn fresh(version: Version, sizes: &Sizes, seed: u64, place: &Place) -> Result<Self> {
        let named = sizes.fresh(version, seed)?;
        let rwkv = Rwkv::load(&Weights::new(Source::Made(&named), &place.device))?;
        let (tokenizer, note) = vocabulary::by_size(sizes.vocab_size);
        let name = format!("{} (new)", version.name());
        Ok(Self::new(name, rwkv, tokenizer, place, Dtype::F32, note.into_iter().collect()))
    }

    fn new(
        name: String,
        rwkv: Rwkv,
        tokenizer: Tokenizer,
        place: &Place,
        dtype: Dtype,
        notes: Vec<String>,
    ) -> Self {
        let empty = rwkv.state(1, &place.device);
        let (place, chat_template, progress) = (place.clone(), None, Arc::default());
        let (ctx_len, source) = (trained_context(&name), None);
        Self {
            name,
            rwkv,
            visual: None,
            tokenizer,
            place,
            dtype,
            dtypes: BTreeMap::new(),
            notes,
            chat_template,
            progress,
            ctx_len,
            prefixes: Prefixes::new(prefixes::BUDGET),
            source,
            empty,
        }
    }

    /// Number of blocks.
    pub fn n_layer(&self) -> usize {
        self.empty.layers.len()
    }

    /// Channels of the residual stream.
    pub fn n_embd(&self) -> usize {
        self.rwkv.dims()[1]
    }

    /// Heads of a block; 1 in RWKV-4.
    pub fn n_head(&self) -> usize {
        self.empty.layers.first().map_or(1, |layer| layer.wkv.dims()[1])
    }

    /// Channels of a head; all of them in RWKV-4.
    pub fn head_size(&self) -> usize {
        self.empty.layers.first().map_or(0, |layer| layer.wkv.dims()[3])
    }

    /// Number of tokens there are logits for.
    pub fn vocab_size(&self) -> usize {
        self.rwkv.dims()[0]
    }

    /// How many numbers the weights are.
    pub fn n_params(&self) -> usize {
        self.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum()
    }

    /// The state before the first token.
    pub fn state(&self) -> State {
        self.empty.clone()
    }

    /// Checks that there are tokens and that the model knows every one of them.
    ///
    /// # Errors
    /// For no tokens, and for one beyond the vocabulary or without a finite embedding.
    pub fn check(&self, tokens: &[u32]) -> Result<()> {
        ensure!(!tokens.is_empty(), "the prompt is empty; give at least one token.");
        if let Some(id) = tokens.iter().find(|&&id| id as usize >= self.vocab_size()) {
            let last = self.vocab_size() - 1;
            bail!("token {id} is out of range: {} knows 0 to {last}.", self.name);
        }
        match tokens.iter().find(|&&id| !self.rwkv.embeds(id)) {
            None => Ok(()),
            Some(id) => bail!(
                "`emb.weight` of {} holds infinities or NaN for token {id}; the file is damaged or its \
                 training diverged.",
                self.name
            ),
        }
    }

    /// The state, checked to be of a model like this one, on its device.
    pub(super) fn own(&self, state: &State) -> Result<State> {
        state.fits(&self.empty)?;
        Ok(state.to_device(&self.place.device))
    }

    /// The numbers of one tensor of the checkpoint, by its name there.
    ///
    /// # Errors
    /// When there is no such tensor.
    pub fn weights(&self, name: &str) -> Result<Array> {
        match self.parameters().into_iter().find(|p| p.name == name) {
            Some(p) => Array::of(p.values()).reshape(&p.shape),
            None => bail!("{} has no tensor `{name}`; model.tensors() lists them.", self.name),
        }
    }

    /// Names and shapes of all tensors.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        self.parameters().into_iter().map(|p| (p.name, p.shape)).collect()
    }

    /// Every parameter by its name in checkpoints, those of the language model behind `rwkv.` where
    /// there is anything else.
    pub fn parameters(&self) -> Vec<Parameter> {
        parameters(&self.rwkv, self.visual.as_ref())
    }

    /// Version and name, as a state of this model tells them.
    pub fn named(&self) -> Origin {
        let version = self.rwkv.version().name().to_string();
        Origin { version, model: self.name.clone(), fingerprint: String::new() }
    }

    /// What a state file of this model says of its origin.
    pub fn origin(&self) -> Origin {
        Origin { fingerprint: self.fingerprint(), ..self.named() }
    }

    /// Reads a state file: one of ours, checked to be of this model, or that of another program
    /// (see [`State::of_file`]), of which only the shape can be checked.
    ///
    /// # Errors
    /// When it is not a state file, and when it is the state of another model.
    pub fn load_state(&self, path: &Path) -> Result<State> {
        let (version, device) = (self.rwkv.version(), &self.place.device);
        let (state, origin) = State::of_file(path, version, &self.empty, device)?;
        let Some(origin) = origin else { return Ok(state) };
        let file = path.display();
        state.fits(&self.empty).map_err(|error| anyhow::anyhow!("{file}: {error}"))?;
        // A state that has outlived its model is saved without a fingerprint.
        ensure!(
            origin.fingerprint == self.fingerprint() || origin == self.named(),
            "{file} is the state of `{}`, whose weights are not those of `{}`; a state means \
             nothing to another model. load_state(path) without a model reads it all the same.",
            origin.model,
            self.name
        );
        Ok(state)
    }
}

/// Works on a thread of the pool: from outside, every operation would wait for another thread.
pub(crate) fn inside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| work())
}
