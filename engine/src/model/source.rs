//! From a name to a model: what is in the program, and what is on disk.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{Model, toy, vocabulary_beside};
use crate::checkpoint::{Checkpoint, Dtype};
use crate::device::Place;
use crate::rwkv::{Rwkv, Version};
use crate::tokenizer::Tokenizer;
use crate::weights::{Source, Weights};

/// `demo:tales`, trained by `scripts/demo/tales.rhai`.
const TALES: &[u8] = include_bytes!("../../assets/tales.safetensors");

/// The models that are part of the program.
pub fn embedded_names() -> &'static [&'static str] {
    &["demo:tales", "toy:rwkv4", "toy:rwkv7"]
}

pub(super) fn load(name: &str, tokenizer: Option<&Path>, place: &Place) -> Result<Model> {
    if let Some(version) = Version::ALL.into_iter().find(|v| name == format!("toy:{}", v.name())) {
        let named = toy::weights(version)?;
        let rwkv = Rwkv::load(&Weights::new(Source::Made(&named), &place.device))?;
        let bytes = Tokenizer::bytes();
        return Ok(Model::new(name.to_string(), rwkv, bytes, place, Dtype::F32, Vec::new()));
    }
    if name == "demo:tales" {
        return open(name, &Checkpoint::from_bytes(name, TALES)?, tokenizer, place);
    }
    if name.starts_with("toy:") || name.starts_with("demo:") {
        bail!(
            "there is no model `{name}` in this program; it has {}.",
            embedded_names().join(", ")
        );
    }
    let path = expanded(name);
    let beside = vocabulary_beside(&path);
    let file = Checkpoint::open(&path)?;
    let short = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    open(&short, &file, tokenizer.or(beside.as_deref()), place)
}

fn open(name: &str, file: &Checkpoint, tokenizer: Option<&Path>, place: &Place) -> Result<Model> {
    let weights = Weights::new(Source::Checkpoint(file), &place.device);
    let rwkv =
        Rwkv::load(&weights).with_context(|| format!("{} cannot be loaded", file.source()))?;
    let vocabulary = rwkv.dims()[0];
    let (tokenizer, note) = match tokenizer {
        Some(path) => with_doubts(Tokenizer::open(path)?, vocabulary),
        None => by_vocabulary(vocabulary),
    };
    let mut notes: Vec<_> = note.into_iter().collect();
    let unused = unused(file, &rwkv);
    if !unused.is_empty() {
        notes.push(format!("the file has tensors that RWKV does not use: {}.", unused.join(", ")));
    }
    let dtype = file.dtype("emb.weight").unwrap_or(Dtype::F32);
    Ok(Model::new(name.to_string(), rwkv, tokenizer, place, dtype, notes))
}

/// A tokenizer that was given, and a warning where it cannot be the model's own.
fn with_doubts(tokenizer: Tokenizer, vocabulary: usize) -> (Tokenizer, Option<String>) {
    let doubt = (tokenizer.size() > vocabulary).then(|| {
        format!(
            "the tokenizer {} knows {} tokens but the model only {vocabulary}; they may not \
             belong together.",
            tokenizer.name(),
            tokenizer.size()
        )
    });
    (tokenizer, doubt)
}

/// The usual tokenizer of a vocabulary of this size, and a warning where it is a guess.
pub(super) fn by_vocabulary(size: usize) -> (Tokenizer, Option<String>) {
    match size {
        65536 | 65530 | 65529 => (Tokenizer::world(), None),
        256 => (Tokenizer::bytes(), None),
        50277 | 50304 => (
            Tokenizer::bytes(),
            Some(
                "this vocabulary is the Pile's; put 20B_tokenizer.json beside the model or give \
                 #{ tokenizer: PATH }; until then text is read byte by byte, which is wrong."
                    .to_string(),
            ),
        ),
        _ => (
            Tokenizer::bytes(),
            Some(format!(
                "no tokenizer is known for a vocabulary of {size}; give #{{ tokenizer: PATH }}; \
                 until then text is read byte by byte."
            )),
        ),
    }
}

/// The first few names in the file that no parameter has.
fn unused(file: &Checkpoint, rwkv: &Rwkv) -> Vec<String> {
    let used: std::collections::BTreeSet<_> =
        rwkv.parameters().into_iter().map(|p| p.name).collect();
    file.names().filter(|name| !used.contains(*name)).take(4).map(str::to_string).collect()
}

/// `~` is the home folder.
fn expanded(name: &str) -> std::path::PathBuf {
    match (name.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => name.into(),
    }
}
