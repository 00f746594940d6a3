//! What a file on disk is, told without reading its numbers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use burn::tensor::Device;
use serde::Serialize;

use crate::adapter::{self, Adapter};
use crate::chat::Format;
use crate::checkpoint::{self, AXES, Checkpoint, Dtype, Entry, TUNED};
use crate::model::{Interrupted, expected_tokenizer};
use crate::progress::Progress;
use crate::rwkv::{detect, tuned_for};
use crate::weights::{Source, Weights};

/// What a file is and how large; what does not apply is absent.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Info {
    /// Name of the file without its ending.
    pub name: String,
    /// `language model`, `tuned initial state`, `adapter` or `tensors`.
    pub kind: String,
    /// The kind of file: `.pth`, `safetensors`, …
    pub container: String,
    /// The program whose names the tensors have in the file, where they are not BlinkDL's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    /// `RWKV-7`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Why it cannot be run, where it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What model it is for, where it is a part of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub belongs_to: Option<String>,
    /// Number of tensors.
    pub tensors: usize,
    /// How many numbers they hold.
    pub parameters: usize,
    /// The types of the numbers, and how many tensors have each.
    pub dtypes: BTreeMap<String, usize>,
    /// Sizes of a language model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(flatten)]
    pub sizes: Option<ModelSizes>,
}

/// The sizes of a language model, and what follows from them.
#[derive(Clone, Debug, Serialize)]
pub struct ModelSizes {
    /// Number of blocks.
    pub n_layer: usize,
    /// Channels of the residual stream.
    pub n_embd: usize,
    /// Heads of a block; 1 in RWKV-4.
    pub n_head: usize,
    /// Channels of a head; all of them in RWKV-4.
    pub head_size: usize,
    /// Channels inside channel-mix.
    pub dim_ffn: usize,
    /// Number of tokens there are logits for.
    pub vocab_size: usize,
    /// Widths of the thin matrices, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ranks: BTreeMap<String, usize>,
    /// What cuts text into tokens for a vocabulary of this size.
    pub tokenizer: String,
    /// How conversations with it are written, by all that the file tells.
    pub chat_format: String,
    /// Tokens of the texts it was trained on, where the name of the file tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx_len: Option<usize>,
    /// Bytes of one state.
    pub state_bytes: usize,
    /// Bytes that the weights take once loaded, as single precision.
    pub memory_bytes: usize,
}

impl Info {
    /// Looks at the directory of a checkpoint.
    ///
    /// # Errors
    /// When it is no checkpoint; a checkpoint of something else than RWKV is told about.
    pub fn of(path: &Path) -> Result<Self> {
        let file = Checkpoint::open(path)?;
        let name = name_of(path);
        let mut info = Self {
            kind: kind(&file).to_string(),
            container: file.container().name().to_string(),
            dialect: file.dialect().map(str::to_string),
            ..Self::default()
        };
        for tensor in file.names() {
            let shape = file.shape(tensor).unwrap_or_default();
            info.tensors += 1;
            info.parameters += shape.iter().product::<usize>();
            let dtype = file.dtype(tensor).unwrap_or(Dtype::F32).to_string();
            *info.dtypes.entry(dtype).or_default() += 1;
        }
        let first = file.shape("blocks.0.att.time_state").filter(|_| info.kind == TUNED_STATE);
        info.belongs_to = first.map(|shape| tuned_for(info.tensors, shape));
        if info.kind == "tensors" {
            let device = Device::flex();
            match detect(&Weights::new(Source::Checkpoint(&file), &device)) {
                Ok(version) => {
                    info.kind = "language model".to_string();
                    info.version = Some(version.to_string());
                    info.sizes = sizes(&file, &name, info.parameters);
                }
                Err(error) => info.refused = Some(error.to_string()),
            }
        }
        Ok(Self { name, ..info })
    }

    /// As JSON, with what does not apply left out.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("names and numbers are always JSON")
    }

    /// As rows of a table: what, and how much.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let from = self.dialect.as_ref().map_or(String::new(), |d| format!(", in names of {d}"));
        let dtypes = self.dtypes.iter().map(|(dtype, count)| format!("{dtype} x {count}"));
        let mut rows = vec![
            ("name", self.name.clone()),
            ("kind", self.kind.clone()),
            ("container", format!("{}{from}", self.container)),
        ];
        rows.extend(self.version.iter().map(|version| ("version", version.clone())));
        rows.extend(self.belongs_to.iter().map(|model| ("for a model", model.clone())));
        rows.extend(self.refused.iter().map(|why| ("refused", why.clone())));
        rows.push(("tensors", dtypes.collect::<Vec<_>>().join(", ")));
        rows.push(("parameters", self.parameters.to_string()));
        if let Some(sizes) = &self.sizes {
            rows.extend(sizes.rows());
        }
        rows
    }
}

impl ModelSizes {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let ranks = self.ranks.iter().map(|(name, width)| format!("{name} {width}"));
        let ranks = ranks.collect::<Vec<_>>().join(", ");
        let mut rows = vec![
            ("layers", self.n_layer.to_string()),
            ("channels", self.n_embd.to_string()),
            ("heads", format!("{} x {}", self.n_head, self.head_size)),
            ("channel-mix", self.dim_ffn.to_string()),
            ("ranks", ranks),
            ("vocabulary", self.vocab_size.to_string()),
            ("tokenizer", self.tokenizer.clone()),
            ("chat format", self.chat_format.clone()),
            ("trained context", self.ctx_len.map_or(String::new(), |n| format!("{n} tokens"))),
            ("state", amount(self.state_bytes)),
            ("memory", amount(self.memory_bytes)),
        ];
        rows.retain(|(_, value)| !value.is_empty());
        rows
    }
}

/// A number of bytes for people: `3.1 GB`, `49.7 kB`.
pub fn amount(bytes: usize) -> String {
    let units = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let large = units.iter().find(|(size, _)| bytes as f64 >= *size);
    large.map_or(format!("{bytes} B"), |(size, unit)| format!("{:.1} {unit}", bytes as f64 / size))
}

const TUNED_STATE: &str = "tuned initial state";

fn kind(file: &Checkpoint) -> &'static str {
    if file.names().all(|name| name.ends_with(TUNED)) {
        return TUNED_STATE;
    }
    if file.names().any(adapter::is_piece) {
        return "adapter";
    }
    if file.contains("layers.0.wkv") {
        return "saved state";
    }
    "tensors"
}

fn sizes(file: &Checkpoint, name: &str, parameters: usize) -> Option<ModelSizes> {
    let shape = |name: &str| file.shape(name).map(<[usize]>::to_vec);
    let emb = shape("emb.weight")?;
    let (vocab_size, n_embd) = (*emb.first()?, *emb.last()?);
    let layer = |name: &str| name.strip_prefix("blocks.")?.split('.').next()?.parse::<usize>().ok();
    let n_layer = file.names().filter_map(layer).max()? + 1;
    let att = |name: &str| shape(&format!("blocks.0.att.{name}"));
    let bonus = att("r_k").or_else(|| att("time_faaaa"));
    let heads = bonus.or_else(|| att("ln_x.weight").and_then(|_| att("time_decay")));
    let n_head = heads.and_then(|shape| shape.first().copied()).unwrap_or(1).max(1);
    let dim_att = att("key.weight").map_or(n_embd, |shape| shape[0]);
    let head_size = dim_att / n_head;
    let tiny = file.names().filter(|name| name.ends_with("tiny_q.weight"));
    let tiny: usize = tiny.filter_map(|name| Some(shape(name)?.first()? * n_embd)).sum();
    let wkv = if att("ln_x.weight").is_some() { head_size } else { 3 };
    let state = n_layer * (2 * n_embd + dim_att * wkv) + tiny;
    let template = file.metadata().get("tokenizer.chat_template").map(String::as_str);
    Some(ModelSizes {
        n_layer,
        n_embd,
        n_head,
        head_size,
        dim_ffn: *shape("blocks.0.ffn.key.weight")?.first()?,
        vocab_size,
        ranks: ranks(file, n_layer),
        tokenizer: match file.vocabulary() {
            Some(tokens) => format!("in the file, {} tokens", tokens.len()),
            None => expected_tokenizer(vocab_size).to_string(),
        },
        chat_format: Format::guess(name, vocab_size, template).name.to_string(),
        ctx_len: trained_context(name),
        state_bytes: 4 * state,
        memory_bytes: 4 * (parameters + state),
    })
}

/// Widths of the thin matrices, from the last block: the first may go without.
fn ranks(file: &Checkpoint, n_layer: usize) -> BTreeMap<String, usize> {
    let thin = [("w", "w1"), ("a", "a1"), ("v", "v1"), ("g", "g1"), ("decay", "time_decay_w1")];
    let width = |(name, key): (&str, &str)| {
        let shape = file.shape(&format!("blocks.{}.att.{key}", n_layer - 1))?;
        Some((name.to_string(), *shape.last()?))
    };
    let mut ranks: BTreeMap<_, _> = thin.into_iter().filter_map(width).collect();
    let blend = file.shape(&format!("blocks.{}.att.time_maa_w2", n_layer - 1));
    if let Some([.., width, _]) = blend {
        ranks.insert("blend".to_string(), *width);
    }
    ranks
}

/// What to call the model of a file (its name without the ending) or of a directory.
pub fn name_of(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let name = if whole.is_dir() { whole.file_name() } else { path.file_stem() };
    name.unwrap_or_default().to_string_lossy().into_owned()
}

/// `…-ctx4096` → 4096, `…-ctx8k` → 8192.
pub fn trained_context(name: &str) -> Option<usize> {
    let lower = name.to_lowercase();
    let rest = &lower[lower.rfind("ctx")? + 3..];
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let number: usize = rest[..digits].parse().ok()?;
    let thousands = if rest[digits..].starts_with('k') { 1024 } else { 1 };
    number.checked_mul(thousands).filter(|&n| n > 0)
}

/// What happens to the numbers on the way from one file to another.
#[derive(Debug, Default)]
pub struct Conversion {
    /// The type of all numbers, of blocks that of large matrices; else each tensor keeps its own where
    /// that can be written.
    pub dtype: Option<Dtype>,
    /// What is added to the weights.
    pub adapters: Vec<Adapter>,
    /// Who is told how far it is.
    pub progress: Arc<Progress>,
}

/// Writes a checkpoint of any kind anew in BlinkDL's names, tensor by tensor.
///
/// # Errors
/// When the one cannot be read, or the other cannot be written, which then leaves what was there;
/// and when `interrupt` is set, with [`Interrupted`].
pub fn convert(
    from: &Path,
    to: &Path,
    conversion: &Conversion,
    interrupt: &AtomicBool,
) -> Result<()> {
    checkpoint::check_ending(to)?;
    let file = Checkpoint::open(from)?;
    conversion.adapters.iter().try_for_each(|adapter| adapter.fits(&file))?;
    let entry = |name: &str| {
        let own = file.dtype(name).unwrap_or(Dtype::F32);
        let shape = file.shape(name).unwrap_or_default().to_vec();
        let wanted = conversion.dtype.map(|dtype| dtype.of_tensor(name, &shape, own));
        Entry { name: name.to_string(), shape, dtype: wanted.unwrap_or(own.to_save()) }
    };
    let entries: Vec<_> = file.names().map(entry).collect();
    let words = [("format", "pt"), AXES].map(|(key, value)| (key.into(), value.into()));
    let (what, all) = (format!("converting {}", name_of(from)), entries.len() as u64);
    let counter = conversion.progress.begin(what, "tensors", all);
    checkpoint::write(to, &entries, &words.into(), |i| {
        if interrupt.load(Ordering::Relaxed) {
            return Err(Interrupted.into());
        }
        counter.add(1);
        let values = adapter::values(&file, &entries[i].name, &conversion.adapters);
        Ok(values.with_context(|| format!("while converting {}", from.display()))?.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
    }

    #[test]
    fn names_tell_the_trained_context() {
        assert_eq!(trained_context("rwkv7-g1d-0.1b-20260129-ctx8192"), Some(8192));
        assert_eq!(trained_context("RWKV-4-Raven-CTX4k-v2"), Some(4096));
        assert_eq!(trained_context("model"), None);
        assert_eq!(trained_context("ctx"), None);
    }

    #[test]
    fn a_directory_keeps_the_points_in_its_name() {
        let folder = std::env::temp_dir().join(format!("rwkv7-0.1B-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(name_of(&folder), folder.file_name().unwrap().to_string_lossy());
        assert_eq!(name_of(&folder.join(".")), folder.file_name().unwrap().to_string_lossy());
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(name_of(Path::new("a/rwkv7-g1d-0.1b-ctx8192.pth")), "rwkv7-g1d-0.1b-ctx8192");
    }

    #[test]
    fn sizes_are_told_of_every_kind_of_file() {
        let info = Info::of(&golden("formats/v7.gguf")).unwrap();
        let sizes = info.sizes.as_ref().unwrap();
        assert_eq!(info.version.as_deref(), Some("RWKV-7"));
        assert_eq!((sizes.n_layer, sizes.n_embd, sizes.n_head, sizes.head_size), (2, 8, 2, 4));
        assert_eq!((sizes.dim_ffn, sizes.vocab_size, sizes.ranks["w"]), (32, 11, 3));
        assert_eq!(sizes.state_bytes, 4 * 2 * (2 * 8 + 8 * 4));
        assert!(info.to_json().contains("\"n_layer\": 2"));
        let v4 = Info::of(&golden("formats/v4.bin")).unwrap().sizes.unwrap();
        assert_eq!((v4.n_head, v4.state_bytes), (1, 4 * 2 * 5 * 8));
        assert_eq!(v4.chat_format, "plain");
        let other = Info::of(&golden("pth/nested.pth")).unwrap();
        assert!(other.refused.unwrap().contains("no RWKV"));
    }

    #[test]
    fn a_conversion_keeps_numbers_names_and_types() {
        let folder = std::env::temp_dir().join(format!("rwkv-convert-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (from, to) in [("formats/v6.gguf", "v6.pth"), ("formats/v4.bin", "v4.safetensors")] {
            let (from, to) = (golden(from), folder.join(to));
            convert(&from, &to, &Conversion::default(), &AtomicBool::new(false)).unwrap();
            let (old, new) = (Checkpoint::open(&from).unwrap(), Checkpoint::open(&to).unwrap());
            assert!(old.names().eq(new.names()));
            for name in old.names() {
                assert_eq!(old.shape(name), new.shape(name), "{name}");
                assert_eq!(old.values(name).unwrap(), new.values(name).unwrap(), "{name}");
            }
        }
        let half = folder.join("half.pth");
        let to_half = Conversion { dtype: Some(Dtype::F16), ..Conversion::default() };
        let (from, go, stop) =
            (golden("formats/v6.gguf"), AtomicBool::new(false), AtomicBool::new(true));
        assert!(convert(&from, &half, &to_half, &stop).unwrap_err().is::<Interrupted>());
        assert!(!half.exists());
        let gguf = convert(&from, &folder.join("x.gguf"), &to_half, &go).unwrap_err().to_string();
        assert!(gguf.contains("must end in .pth"), "{gguf}");
        convert(&from, &half, &to_half, &go).unwrap();
        assert_eq!(Checkpoint::open(&half).unwrap().dtype("emb.weight"), Some(Dtype::F16));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
