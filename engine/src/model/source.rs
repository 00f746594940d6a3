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
    &[
        "demo:tales",
        "toy:rwkv4",
        "toy:rwkv5.0",
        "toy:rwkv5.1",
        "toy:rwkv5.2",
        "toy:rwkv6",
        "toy:rwkv7",
    ]
}

pub(super) fn load(name: &str, tokenizer: Option<&Path>, place: &Place) -> Result<Model> {
    if let Some(version) = name.strip_prefix("toy:").and_then(Version::named) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::choose;
    use crate::train::data::Batch;
    use crate::train::{Settings, Trainer};
    use std::sync::atomic::AtomicBool;

    fn model(name: &str) -> Result<Model> {
        load(name, None, &choose("cpu").unwrap())
    }

    #[test]
    fn every_embedded_model_loads_and_reads() {
        for name in embedded_names() {
            let model = model(name).unwrap();
            assert_eq!(model.name, *name);
            assert!(model.notes.is_empty(), "{name}: {:?}", model.notes);
            let (logits, _) =
                model.read(&[72, 105], &model.state(), &AtomicBool::new(false)).unwrap();
            assert_eq!(logits.shape(), [model.vocab_size()]);
        }
    }

    #[test]
    fn what_is_not_there_is_said_with_what_is() {
        let unknown = model("toy:rwkv9").unwrap_err().to_string();
        assert!(unknown.contains("toy:rwkv7"), "{unknown}");
        let missing = model("/no/such/model.pth").unwrap_err().to_string();
        assert!(missing.contains("/no/such/model.pth"), "{missing}");
    }

    #[test]
    fn a_saved_model_is_the_same_model() {
        let folder = std::env::temp_dir().join(format!("rwkv-source-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("toy.safetensors");
        let toy = model("toy:rwkv7").unwrap();
        toy.save(&path, Dtype::F32).unwrap();
        let back = model(&path.to_string_lossy()).unwrap();
        assert_eq!((back.name.as_str(), back.dtype), ("toy", Dtype::F32));
        assert_eq!(back.origin().fingerprint, toy.origin().fingerprint);
        // A state file knows its model by the weights, not by the shape.
        let state = folder.join("state.safetensors");
        toy.state().save(&state, &toy.origin()).unwrap();
        assert!(back.load_state(&state).is_ok());
        let mut other = Model::fresh(Version::V7, &toy::SIZES, 9, &choose("cpu").unwrap()).unwrap();
        let batch = Batch::new(vec![1, 2, 3], 3).unwrap();
        let settings = Settings::default();
        let mut trainer = Trainer::new(&other.rwkv, &other.place.device, settings);
        trainer.train_step(&batch).unwrap();
        other.rwkv = trainer.rwkv();
        let refused = other.load_state(&state).unwrap_err().to_string();
        assert!(refused.contains("weights are not those"), "{refused}");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_tokenizer_that_cannot_fit_is_doubted() {
        assert!(with_doubts(Tokenizer::world(), 300).1.unwrap().contains("300"));
        assert!(with_doubts(Tokenizer::world(), 65536).1.is_none());
        assert!(by_vocabulary(50277).1.unwrap().contains("20B_tokenizer.json"));
        assert_eq!(by_vocabulary(65536).0.name(), "world");
    }
}
