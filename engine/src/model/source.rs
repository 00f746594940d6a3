//! From a name to a model: what is in the program, and what is on disk.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::keeping::CTX_LEN;
use super::seeing::{self, parameters};
use super::{Loading, Model, Prefixes, toy, vocabulary};
use crate::adapter::Adapter;
use crate::checkpoint::{Checkpoint, Dtype, TUNED};
use crate::device::Place;
use crate::info::name_of;
use crate::rwkv::Parameter;
use crate::state::State;
use crate::tokenizer::Tokenizer;
use crate::visual::{TOLD, Told};
use crate::weights::{HEAD_EPS, Source, Weights};

/// Models that were trained by the script of their name in `scripts/demo/`.
const DEMOS: [(&str, &[u8]); 3] = [
    ("demo:tales", include_bytes!("../../assets/tales.safetensors")),
    ("demo:reverse", include_bytes!("../../assets/reverse.safetensors")),
    ("demo:shapes", include_bytes!("../../assets/shapes.safetensors")),
];

/// The models that are part of the program.
pub fn embedded_names() -> &'static [&'static str] {
    &[
        "demo:tales",
        "demo:reverse",
        "demo:shapes",
        "toy:rwkv4",
        "toy:rwkv5.0",
        "toy:rwkv5.1",
        "toy:rwkv5.2",
        "toy:rwkv6",
        "toy:rwkv7",
        "toy:visualrwkv6",
        "toy:visualrwkv7",
    ]
}

pub(super) fn load(name: &str, loading: &Loading, place: &Place) -> Result<Model> {
    if let Some((version, sees)) = name.strip_prefix("toy:").and_then(toy::named) {
        ensure!(loading.lora.is_empty(), "{name} is made, not loaded; save it to add an adapter.");
        ensure!(loading.vision.is_none(), "{name} is made, not loaded; it takes no other tower.");
        let (named, told) = toy::parts(version, sees)?;
        let told = loading.told.clone().or(told);
        let weights = Weights::new(Source::Made(&named), &place.device);
        let (rwkv, visual) = seeing::parts(&weights, None, &told)?;
        let (tokenizer, doubt) = match &loading.tokenizer {
            Some(path) => vocabulary::given(path, rwkv.dims()[0])?,
            None => (Tokenizer::bytes(), None),
        };
        let (name, notes) = (name.to_string(), doubt.into_iter().collect());
        let model = Model::new(name, rwkv, tokenizer, place, Dtype::F32, notes);
        return started(Model { visual, ..model }, loading);
    }
    if let Some((_, bytes)) = DEMOS.iter().find(|(demo, _)| *demo == name) {
        return open(name, Path::new(""), &Checkpoint::from_bytes(name, bytes)?, loading, place);
    }
    if name.starts_with("toy:") || name.starts_with("demo:") {
        bail!(
            "there is no model `{name}` in this program; it has {}.",
            embedded_names().join(", ")
        );
    }
    let path = expanded(name);
    let file = Checkpoint::open(&path)?;
    open(&name_of(&path), &path, &file, loading, place)
}

fn open(
    name: &str,
    path: &Path,
    file: &Checkpoint,
    loading: &Loading,
    place: &Place,
) -> Result<Model> {
    let adapters = loading.lora.iter().map(|path| Adapter::open(path, loading.alpha));
    let adapters = adapters.collect::<Result<Vec<_>>>()?;
    adapters.iter().try_for_each(|adapter| adapter.fits(file))?;
    let numbers: usize = file.names().filter_map(|name| file.shape(name)).map(elements).sum();
    let counter = loading.progress.begin(format!("loading {name}"), "numbers", numbers as u64);
    let weights = Weights::new(Source::Checkpoint(file), &place.device)
        .counted(&counter)
        .adapted(&adapters)
        .with_head_eps(loading.head_eps.unwrap_or(HEAD_EPS))
        .kept(loading.keep)
        .sparing(loading.sparse);
    let other = loading.vision.as_deref().map(Checkpoint::open).transpose()?;
    let other = other
        .as_ref()
        .map(|file| Weights::new(Source::Checkpoint(file), &place.device).kept(loading.keep));
    let told = told(file, loading)?;
    let given = loading.tokenizer.as_deref();
    let embeddings = file.shape("emb.weight").or(file.shape("rwkv.emb.weight"));
    let size = embeddings.and_then(|shape| shape.first()).copied().unwrap_or(0);
    // A vocabulary takes as long as the weights of a small model.
    let (parts, tokenizer) = rayon::join(
        || seeing::parts(&weights, other.as_ref(), &told),
        || vocabulary::choose(given, path, file, size),
    );
    let ((rwkv, visual), (tokenizer, doubt)) = (parts?, tokenizer?);
    let mut notes: Vec<_> = doubt.into_iter().collect();
    let unused = unused(file, &parameters(&rwkv, visual.as_ref()));
    if !unused.is_empty() {
        notes.push(format!("the file has tensors that RWKV does not use: {}.", unused.join(", ")));
    }
    let dtype = file.dtype("emb.weight").or(file.dtype("rwkv.emb.weight"));
    let dtype = dtype.unwrap_or(Dtype::F32);
    let mut model = Model::new(name.to_string(), rwkv, tokenizer, place, dtype, notes);
    model.visual = visual;
    let types = file.names().map(|name| Some((name.to_string(), file.dtype(name)?)));
    model.dtypes = types.flatten().collect();
    let told = file.metadata().get(CTX_LEN).and_then(|tokens| tokens.parse().ok());
    model.ctx_len = told.or(model.ctx_len);
    model.chat_template = file.metadata().get("tokenizer.chat_template").cloned();
    for file in adapters.iter().map(Adapter::file).chain([file]) {
        if file.names().any(|name| name.ends_with(TUNED)) {
            let version = model.rwkv.version();
            model.empty = State::of_tensors(file, version, &model.empty, &place.device)?;
            let note = "the file has a tuned initial state; every text starts from it.";
            model.notes.push(note.to_string());
            break;
        }
    }
    started(model, loading)
}

/// What is known of a model with pictures besides its tensors: what somebody says, what the file
/// says, what stands beside a tower of its own.
fn told(file: &Checkpoint, loading: &Loading) -> Result<Told> {
    let mut told = loading.told.clone();
    if let Some(text) = file.metadata().get(TOLD) {
        let found = serde_json::from_str(text);
        told = told.or(found.with_context(|| format!("the header of {}", file.source()))?);
    }
    match &loading.vision {
        Some(path) => Ok(told.or(seeing::facts(path)?)),
        None => Ok(told),
    }
}

/// The model with the state that was given to start from.
fn started(mut model: Model, loading: &Loading) -> Result<Model> {
    model.progress = loading.progress.clone();
    if let Some(bytes) = loading.cache {
        model.prefixes = Prefixes::new(bytes);
    }
    if let Some(path) = &loading.state {
        model.empty = model.load_state(path)?;
    }
    Ok(model)
}

/// Numbers in a tensor.
fn elements(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// The first few names in the file that no parameter has, without those that are known to be idle.
fn unused(file: &Checkpoint, parameters: &[Parameter]) -> Vec<String> {
    let used: BTreeSet<&str> = parameters.iter().map(|p| p.name.as_str()).collect();
    // Towers have heads for what they were trained on, which nobody asks here. The first block has
    // no value of an earlier one to blend in; training leaves them in the file.
    let idle = |name: &str| {
        name.starts_with("vit.")
            || name.ends_with(TUNED)
            || name.ends_with("tiny_mask")
            || ["v0", "v1", "v2"].iter().any(|v| name.strip_suffix(v).is_some_and(is_first))
    };
    let unused = file.names().filter(|name| !used.contains(name) && !idle(name));
    unused.take(4).map(str::to_string).collect()
}

/// Whether these are the names of the first block's time-mix.
fn is_first(place: &str) -> bool {
    place.trim_start_matches("rwkv.") == "blocks.0.att."
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
    use crate::checkpoint::save;
    use crate::data::Batch;
    use crate::device::choose;
    use crate::rwkv::Version;
    use crate::tensor::Array;
    use crate::train::{Settings, Trainer};
    use crate::weights::Keep;
    use std::collections::BTreeMap;
    use std::sync::atomic::AtomicBool;

    fn model(name: &str) -> Result<Model> {
        load(name, &Loading::default(), &choose("cpu").unwrap())
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
    fn head_norms_may_have_another_epsilon() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/v6.safetensors");
        let logits = |head_eps| {
            let loading = Loading { head_eps, ..Loading::default() };
            let model = load(path, &loading, &choose("cpu").unwrap()).unwrap();
            model.read(&[1, 2], &model.state(), &AtomicBool::new(false)).unwrap().0.values()
        };
        assert_eq!(logits(None), logits(Some(HEAD_EPS)));
        assert_ne!(logits(None), logits(Some(1.0)));
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
        let (settings, device) = (Settings::default(), &other.place.device);
        let mut trainer = Trainer::new(&other.rwkv, &other.state(), device, settings).unwrap();
        trainer.train_step(&batch, &AtomicBool::new(false)).unwrap();
        other.rwkv = trainer.rwkv();
        let refused = other.load_state(&state).unwrap_err().to_string();
        assert!(refused.contains("weights are not those"), "{refused}");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    /// A toy of RWKV-7 on disk, in half the bits, and how it is loaded.
    fn stored(keep: Keep) -> Model {
        loaded(&Loading { keep, ..Loading::default() })
    }

    fn loaded(loading: &Loading) -> Model {
        // Several tests ask for the same at the same time.
        let thread = std::thread::current().id();
        let name = format!("rwkv-kept-{}-{thread:?}.safetensors", std::process::id());
        let path = std::env::temp_dir().join(name);
        model("toy:rwkv7").unwrap().save(&path, Dtype::BF16).unwrap();
        let model = load(&path.to_string_lossy(), loading, &choose("cpu").unwrap()).unwrap();
        std::fs::remove_file(path).unwrap(); // what is mapped stays
        model
    }

    fn numbers(model: &Model) -> Vec<(String, Vec<f32>)> {
        let all = model.parameters().into_iter();
        all.map(|p| (p.name.clone(), Array::of(p.values()).values())).collect()
    }

    #[test]
    fn matrices_are_multiplied_as_they_are_stored() {
        let plain = stored(Keep::F32);
        let tokens: Vec<u32> = (0..40).map(|i| i * 5 % 250).collect();
        let stop = AtomicBool::new(false);
        let logits = |model: &Model| model.forward(&tokens, &model.state(), &stop).unwrap().0;
        let expected = logits(&plain).values();
        for (keep, sparse, most) in [
            // Machines with tiles multiply the first 16 digits of a number.
            (Keep::AsStored, false, 3e-4),
            (Keep::AsStored, true, 3e-4),
            (Keep::Bf16, false, 3e-4),
            (Keep::F16, true, 3e-4), // no number of a toy is small enough to lose digits
            (Keep::Q8, true, 0.3),
            (Keep::Q4, false, 4.0),
        ] {
            let model = loaded(&Loading { keep, sparse, ..Loading::default() });
            let found = logits(&model).values();
            let far = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(far < most, "{keep:?}: {far}");
            // One pass and token by token multiply by other means.
            let mut state = model.state();
            for (i, token) in tokens.iter().enumerate() {
                let (one, next) = model.read(&[*token], &state, &stop).unwrap();
                let one = one.values();
                let all = &found[i * one.len()..][..one.len()];
                let apart = one.iter().zip(all).map(|(a, b)| (a - b).abs());
                assert!(apart.fold(0.0, f32::max) < 1e-3, "{keep:?} at {i}");
                state = next;
            }
        }
        for sparse in [false, true] {
            let model = loaded(&Loading { sparse, ..Loading::default() });
            assert_eq!(numbers(&model), numbers(&plain));
        }
    }

    /// Tables stay in their file, and only what is read of them is looked at.
    #[test]
    fn a_token_without_numbers_is_refused_when_it_is_read() {
        let whole = model("toy:rwkv7").unwrap();
        let mut tensors: Vec<_> = whole
            .parameters()
            .iter()
            .map(|p| (p.name.clone(), p.shape.clone(), Array::of(p.values()).values()))
            .collect();
        let width = whole.rwkv.dims()[1];
        let table = tensors.iter_mut().find(|(name, ..)| name == "emb.weight").unwrap();
        table.2[7 * width + 3] = f32::NAN;
        let path = std::env::temp_dir().join(format!("rwkv-row-{}.pth", std::process::id()));
        save(&path, &tensors, Dtype::BF16, &BTreeMap::new()).unwrap();
        let place = choose("cpu").unwrap();
        let load =
            |keep| load(&path.to_string_lossy(), &Loading { keep, ..Loading::default() }, &place);
        let refused = load(Keep::F32).unwrap_err().to_string();
        assert!(refused.contains("`emb.weight`") && refused.contains("NaN"), "{refused}");
        let (found, stop) = (load(Keep::AsStored).unwrap(), AtomicBool::new(false));
        std::fs::remove_file(&path).unwrap();
        found.read(&[6, 8], &found.state(), &stop).unwrap();
        let refused = found.read(&[6, 7], &found.state(), &stop).unwrap_err().to_string();
        assert!(refused.contains("`emb.weight`") && refused.contains("token 7"), "{refused}");
    }

    #[test]
    fn who_learns_finds_tensors() {
        let learnt = |keep| {
            let mut model = stored(keep);
            let batch = Batch::new((0..24).collect(), 12).unwrap();
            let (settings, device) = (Settings::default(), &model.place.device);
            let mut trainer = Trainer::new(&model.rwkv, &model.state(), device, settings).unwrap();
            trainer.train_step(&batch, &AtomicBool::new(false)).unwrap();
            model.learn(&trainer);
            numbers(&model)
        };
        let (plain, packed) = (learnt(Keep::F32), learnt(Keep::AsStored));
        assert_eq!(plain, packed);
        assert_ne!(packed, numbers(&stored(Keep::AsStored)), "it learns");
    }
}
