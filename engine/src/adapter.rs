//! Adapters: small matrices trained beside a model, added to its weights while it is loaded.
//!
//! | kind | weight that results | paper |
//! |---|---|---|
//! | LoRA | `W + α/r · B·A` | arXiv 2106.09685 |
//! | PiSSA | `W − B₀·A₀ + B·A` | arXiv 2404.02948 |
//! | DoRA | `m · V / ‖V‖` row by row, `V = W + α/r · B·A` | arXiv 2402.09353 |
//! | MiSS (Bone) | `W + D` repeated along the inputs | arXiv 2409.15371 |
//!
//! Tensors that an adapter holds whole, as trainers leave norms and blends in it, take the place of
//! those of the model.
//!
//! `W` is `[out, in]`, `A` `[r, in]`, `B` `[out, r]`, `D` `[r, out]`, `m` `[out]`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use ndarray::{Array2, ArrayViewMut2};
use serde_json::Value;

use crate::checkpoint::{Checkpoint, TUNED};

/// An opened adapter.
#[derive(Debug)]
pub struct Adapter {
    file: Checkpoint,
    /// By the weight they change: the names of the pieces in the file.
    targets: BTreeMap<String, BTreeMap<Piece, String>>,
    /// Tensors that were trained whole.
    whole: BTreeSet<String>,
    /// Replaces α; else the adapter's own, else the rank.
    alpha: Option<f64>,
    /// PEFT's name and scale, where there is an `adapter_config.json`.
    config: Value,
}

/// What a tensor of an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    A,
    B,
    FirstA,
    FirstB,
    Magnitude,
    Miss,
}

/// Endings of names, and what they say.
const ENDINGS: [(&str, Piece); 12] = [
    ("init_lora_A", Piece::FirstA),
    ("init_lora_B", Piece::FirstB),
    ("lora_magnitude_vector", Piece::Magnitude),
    ("lora_A", Piece::A),
    ("lora_B", Piece::B),
    ("lora.0", Piece::A),
    ("lora.1", Piece::B),
    ("miss_block", Piece::Miss),
    ("bone_block", Piece::Miss),
    ("miss", Piece::Miss),
    ("bone", Piece::Miss),
    ("lora_M", Piece::Magnitude),
];

impl Adapter {
    /// Opens an adapter file, or a PEFT directory; `alpha` replaces the adapter's own.
    ///
    /// # Errors
    /// When it cannot be read, and when it holds nothing that changes a weight.
    pub fn open(path: &Path, alpha: Option<f64>) -> Result<Self> {
        let (file, config) = match path.is_dir() {
            false => (path.to_path_buf(), Value::Null),
            true => peft(path)?,
        };
        let file = Checkpoint::open(&file)?;
        let mut targets: BTreeMap<String, BTreeMap<Piece, String>> = BTreeMap::new();
        let mut whole = BTreeSet::new();
        for name in file.names() {
            match told(name) {
                Some((target, piece)) => {
                    targets.entry(target).or_default().insert(piece, name.to_string());
                }
                None if name.ends_with(TUNED) => {}
                None => drop(whole.insert(name.to_string())),
            }
        }
        ensure!(
            !targets.is_empty(),
            "{} is no adapter: none of its tensors is called lora_A, lora_B, bone or miss.",
            path.display()
        );
        Ok(Self { file, targets, whole, alpha, config })
    }

    /// The file, which may hold a tuned initial state as well.
    pub fn file(&self) -> &Checkpoint {
        &self.file
    }

    /// Checks that every weight to be changed is there and of the right shape.
    ///
    /// # Errors
    /// Names the first that is not: it is the adapter of another model.
    pub fn fits(&self, model: &Checkpoint) -> Result<()> {
        let numbers = |file: &Checkpoint, name: &str| {
            file.shape(name).map(|shape| shape.iter().product::<usize>())
        };
        for name in &self.whole {
            ensure!(
                numbers(model, name).is_some() && numbers(model, name) == numbers(&self.file, name),
                "`{name}` of {} takes the place of a tensor that {} does not have; it is the \
                 adapter of another model.",
                self.file.source(),
                model.source()
            );
        }
        for (target, pieces) in &self.targets {
            let Some(shape) = model.shape(target) else {
                bail!(
                    "{} changes `{target}`, which {} does not have; it is the adapter of another \
                     model.",
                    self.file.source(),
                    model.source()
                );
            };
            let [out, input] = *shape else {
                bail!("{} changes `{target}`, which is no matrix.", self.file.source());
            };
            for (piece, name) in pieces {
                let found = self.file.shape(name).unwrap_or_default();
                let fits = match (piece, found) {
                    (Piece::A | Piece::FirstA, [a, b]) => *a == input || *b == input,
                    (Piece::B | Piece::FirstB, [a, b]) => *a == out || *b == out,
                    (Piece::Miss, [_, width]) => *width > 0 && out % width == 0,
                    (Piece::Magnitude, shape) => shape.iter().product::<usize>() == out,
                    _ => false,
                };
                ensure!(
                    fits,
                    "`{name}` of {} has shape {found:?}, but `{target}` of {} has {shape:?}; it \
                     is the adapter of another model.",
                    self.file.source(),
                    model.source()
                );
            }
        }
        Ok(())
    }

    /// Changes the weight `name`, `[out, in]` row after row, if this adapter has something for it.
    ///
    /// # Errors
    /// When a piece is missing or does not fit.
    pub fn apply(&self, name: &str, shape: &[usize], values: &mut [f32]) -> Result<()> {
        let (Some(pieces), &[out, input]) = (self.targets.get(name), shape) else { return Ok(()) };
        let mut weight = ArrayViewMut2::from_shape((out, input), values)?;
        if let Some(name) = pieces.get(&Piece::Miss) {
            return self.repeat(name, weight);
        }
        if let Some(first) = self.product([Piece::FirstA, Piece::FirstB], pieces, out, input)? {
            // What PiSSA took out of the weight at the start comes back trained.
            weight -= &first.product;
            let trained = self.product([Piece::A, Piece::B], pieces, out, input)?;
            trained.iter().for_each(|trained| weight += &trained.product);
            return Ok(());
        }
        let Some(Product { product, rank }) =
            self.product([Piece::A, Piece::B], pieces, out, input)?
        else {
            bail!("{} has only half of what changes `{name}`.", self.file.source());
        };
        let scale = self.alpha.or_else(|| self.own_alpha()).map_or(1.0, |alpha| {
            let root = self.config.get("use_rslora").and_then(Value::as_bool) == Some(true);
            alpha / if root { (rank as f64).sqrt() } else { rank as f64 }
        });
        weight.scaled_add(scale as f32, &product);
        match pieces.get(&Piece::Magnitude) {
            Some(name) => self.normalise(name, weight),
            None => Ok(()),
        }
    }

    fn own_alpha(&self) -> Option<f64> {
        self.config.get("lora_alpha").and_then(Value::as_f64)
    }

    /// `B·A`, whichever way they lie.
    fn product(
        &self,
        [a, b]: [Piece; 2],
        pieces: &BTreeMap<Piece, String>,
        out: usize,
        input: usize,
    ) -> Result<Option<Product>> {
        let (Some(a), Some(b)) = (pieces.get(&a), pieces.get(&b)) else { return Ok(None) };
        let (a, b) = (self.matrix(a)?, self.matrix(b)?);
        // web-rwkv's first matrix is turned; the ranks then still have to agree.
        let a = if a.ncols() == input && a.nrows() == b.ncols() { a } else { a.reversed_axes() };
        let b = if b.nrows() == out && b.ncols() == a.nrows() { b } else { b.reversed_axes() };
        ensure!(
            a.ncols() == input && b.nrows() == out && a.nrows() == b.ncols(),
            "two matrices of {} do not fit together.",
            self.file.source()
        );
        Ok(Some(Product { rank: a.nrows(), product: b.dot(&a) }))
    }

    fn matrix(&self, name: &str) -> Result<Array2<f32>> {
        let shape = self.file.shape(name).unwrap_or_default();
        let &[rows, columns] = shape else { bail!("`{name}` has shape {shape:?}, not two axes.") };
        Ok(Array2::from_shape_vec((rows, columns), self.file.values(name)?)?)
    }

    /// MiSS: row `i mod r` of `D` is added to column `i`, and its outputs repeat likewise.
    fn repeat(&self, name: &str, mut weight: ArrayViewMut2<f32>) -> Result<()> {
        let block = self.matrix(name)?;
        ensure!(!block.is_empty(), "`{name}` of {} is empty.", self.file.source());
        ensure!(
            self.config.get("init_weights").and_then(Value::as_str) != Some("bat"),
            "{} is of the kind `bat`, which multiplies weights too and is not known here; merge it \
             with PEFT.",
            self.file.source()
        );
        for ((o, i), x) in weight.indexed_iter_mut() {
            *x += block[[i % block.nrows(), o % block.ncols()]];
        }
        Ok(())
    }

    /// DoRA: every row gets the length that was trained for it.
    fn normalise(&self, name: &str, mut weight: ArrayViewMut2<f32>) -> Result<()> {
        let lengths = self.file.values(name)?;
        for (mut row, length) in weight.rows_mut().into_iter().zip(lengths) {
            let norm = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            row *= (f64::from(length) / norm.max(f64::MIN_POSITIVE)) as f32;
        }
        Ok(())
    }
}

struct Product {
    product: Array2<f32>,
    rank: usize,
}

/// The numbers of a tensor of `file` with all that the adapters do to it.
///
/// # Errors
/// When there is no such tensor, and when a piece of an adapter is missing.
pub fn values(file: &Checkpoint, name: &str, adapters: &[Adapter]) -> Result<Vec<f32>> {
    let whole = adapters.iter().rev().find(|adapter| adapter.whole.contains(name));
    let mut values = whole.map_or(file, |adapter| &adapter.file).values(name)?;
    let shape = file.shape(name).unwrap_or_default();
    adapters.iter().try_for_each(|adapter| adapter.apply(name, shape, &mut values))?;
    Ok(values)
}

/// Whether a tensor of this name is a piece of an adapter.
pub fn is_piece(name: &str) -> bool {
    told(name).is_some()
}

/// The weight that a tensor changes, and how.
fn told(name: &str) -> Option<(String, Piece)> {
    let bare = name.strip_suffix(".weight").unwrap_or(name);
    let bare = bare.strip_suffix(".default").unwrap_or(bare);
    ENDINGS.iter().find_map(|(ending, piece)| {
        let target = bare.strip_suffix(ending)?.strip_suffix('.')?;
        let target = target.strip_suffix(".weight").unwrap_or(target);
        Some((format!("{target}.weight"), *piece))
    })
}

/// The tensors and the settings of a PEFT directory.
fn peft(folder: &Path) -> Result<(PathBuf, Value)> {
    let names = ["adapter_model.safetensors", "adapter_model.bin"];
    let Some(file) = names.iter().map(|name| folder.join(name)).find(|path| path.is_file()) else {
        bail!("{} holds no adapter_model.safetensors; give the adapter.", folder.display());
    };
    let config = folder.join("adapter_config.json");
    let text = std::fs::read_to_string(&config).unwrap_or_else(|_| "null".to_string());
    match serde_json::from_str(&text) {
        Ok(config) => Ok((file, config)),
        Err(error) => bail!("{} is damaged ({error}); download it again.", config.display()),
    }
}

#[cfg(test)]
mod tests;
