//! Named tensors on their way into a model: every shape is checked before it is used.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use anyhow::{Context, Result, bail, ensure};
use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use rwkv_kernels::{Packed, Storage, fuses};
use serde::{Deserialize, Serialize};

use crate::adapter::{self, Adapter};
use crate::checkpoint::Checkpoint;
use crate::layers::{Affine, Embedding, Held, Linear, Norm};
use crate::progress::Counter;

#[cfg(test)]
mod tests;

/// Tensors by name, each with its shape and its numbers row after row.
pub type Named = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Where tensors come from.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// A file.
    Checkpoint(&'a Checkpoint),
    /// Numbers just made, as for a fresh model.
    Made(&'a Named),
}

/// How large matrices are kept in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keep {
    /// As they lie in the file, where its numbers can be multiplied so.
    #[default]
    AsStored,
    /// As tensors of f32.
    F32,
    /// In the upper half of an f32.
    Bf16,
    /// In half precision.
    F16,
    /// In blocks of 32 numbers of 8 bits, where rows have whole ones.
    Q8,
    /// In blocks of 32 numbers of 4 bits, where rows have whole ones.
    Q4,
}

impl Keep {
    /// Every way that can be asked for, with what options call it.
    pub const ALL: [(&str, Self); 5] = [
        ("f32", Self::F32),
        ("bf16", Self::Bf16),
        ("f16", Self::F16),
        ("q8", Self::Q8),
        ("q4", Self::Q4),
    ];

    /// What numbers are rounded to.
    pub(crate) fn storage(self) -> Option<Storage> {
        match self {
            Self::AsStored | Self::F32 => None,
            Self::Bf16 => Some(Storage::Bf16),
            Self::F16 => Some(Storage::F16),
            Self::Q8 => Some(Storage::Q8),
            Self::Q4 => Some(Storage::Q4),
        }
    }
}

/// Named tensors, seen from one place in the name tree: `weights.at("blocks").at(0).at("att")`.
#[derive(Clone)]
pub struct Weights<'a> {
    source: Source<'a>,
    adapters: &'a [Adapter],
    counter: Option<&'a Counter>,
    head_eps: f64,
    keep: Keep,
    sparse: bool,
    device: &'a Device,
    prefix: String,
}

/// ε of a head's norm: 1e-5 · 8², as the training code divides by 8 first, for any head size.
pub const HEAD_EPS: f64 = 64e-5;

impl<'a> Weights<'a> {
    /// All tensors of a source, to be placed on `device`.
    pub fn new(source: Source<'a>, device: &'a Device) -> Self {
        let (head_eps, keep, prefix) = (HEAD_EPS, Keep::F32, String::new());
        Self { source, adapters: &[], counter: None, head_eps, keep, sparse: false, device, prefix }
    }

    /// The same tensors with adapters added to them, one after the other.
    pub fn adapted(self, adapters: &'a [Adapter]) -> Self {
        Self { adapters, ..self }
    }

    /// The same tensors; `counter` counts their numbers while they are read.
    pub fn counted(self, counter: &'a Counter) -> Self {
        Self { counter: Some(counter), ..self }
    }

    /// The same tensors for a model whose head norms have another ε than the released ones.
    pub fn with_head_eps(self, head_eps: f64) -> Self {
        Self { head_eps, ..self }
    }

    /// The same tensors with large matrices kept like this.
    pub fn kept(self, keep: Keep) -> Self {
        Self { keep, ..self }
    }

    /// The same tensors; those of [`Weights::sparse`] are laid out for zeros if that is wanted.
    pub fn sparing(self, sparse: bool) -> Self {
        Self { sparse, ..self }
    }

    /// One step down the name tree.
    pub fn at(&self, name: impl Display) -> Self {
        Self { prefix: format!("{}{name}.", self.prefix), ..self.clone() }
    }

    /// All names of the source, from the root.
    pub fn names(&self) -> BTreeSet<&'a str> {
        match self.source {
            Source::Checkpoint(file) => file.names().collect(),
            Source::Made(map) => map.keys().map(String::as_str).collect(),
        }
    }

    /// The names below this place, as they are called from here.
    pub fn names_here(&self) -> BTreeSet<&'a str> {
        self.names().into_iter().filter_map(|name| name.strip_prefix(&self.prefix)).collect()
    }

    /// How many numbered children `name.0`, `name.1`, … there are.
    pub fn count(&self, name: &str) -> usize {
        let names = self.names();
        let child = |i: &usize| {
            let prefix = self.at(name).at(i).prefix;
            names.range(prefix.as_str()..).next().is_some_and(|n| n.starts_with(&prefix))
        };
        (0..).take_while(child).count()
    }

    /// Whether there is a tensor of this name here.
    pub fn has(&self, name: &str) -> bool {
        self.names().contains(format!("{}{name}", self.prefix).as_str())
    }

    /// The sizes of a tensor of `D` axes.
    ///
    /// # Errors
    /// When there is no such tensor or when it has another number of axes.
    pub fn dims<const D: usize>(&self, name: &str) -> Result<[usize; D]> {
        let shape = self.shape(name)?;
        let place = || format!("`{}{name}` of {}", self.prefix, self.origin());
        match without_ones(&shape, D) {
            Some(shape) => Ok(shape.try_into().expect("padded to D axes")),
            None => bail!("{} has shape {shape:?}; {D} axes are expected there.", place()),
        }
    }

    /// A tensor of the given shape; axes of size 1 may be missing or more in the file.
    ///
    /// # Errors
    /// When it is missing, shaped otherwise, or holds numbers that are not finite.
    pub fn tensor<const D: usize>(&self, name: &str, shape: [usize; D]) -> Result<Tensor<D>> {
        Ok(Tensor::from_data(TensorData::new(self.values(name, shape)?, shape), self.device))
    }

    /// The numbers of a tensor of this shape, row after row.
    fn values<const D: usize>(&self, name: &str, shape: [usize; D]) -> Result<Vec<f32>> {
        let full = format!("{}{name}", self.prefix);
        let found = self.shape(name)?;
        let bare = |shape: &[usize]| shape.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
        ensure!(
            bare(&found) == bare(&shape),
            "`{full}` of {} has shape {found:?}, but {shape:?} fits the rest of the model.",
            self.origin()
        );
        let values = match self.source {
            Source::Checkpoint(file) => adapter::values(file, &full, self.adapters)?,
            Source::Made(map) => map[&full].1.clone(),
        };
        self.counter.iter().for_each(|counter| counter.add(values.len() as u64));
        ensure!(values.iter().all(|x| x.is_finite()), self.not_finite(name));
        Ok(values)
    }

    fn not_finite(&self, name: &str) -> String {
        format!(
            "`{}{name}` of {} holds infinities or NaN; the file is damaged or its training diverged.",
            self.prefix,
            self.origin()
        )
    }

    /// A large matrix `[rows, columns]`, kept as is wanted.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Held> {
        self.finite(name, self.held(name, shape, self.keep, |_| true)?)
    }

    /// A thin matrix `[in, out]`, of which a model has little and that blocks would round too much:
    /// where those are wanted it stays as it is stored.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub fn thin(&self, name: &str, shape: [usize; 2]) -> Result<Held> {
        let blocks = |storage: Storage| storage.block()[0] > 1;
        let keep = self.keep.storage().is_some_and(blocks).then_some(Keep::AsStored);
        let fits = |storage| !blocks(storage);
        self.finite(name, self.held(name, shape, keep.unwrap_or(self.keep), fits)?)
    }

    /// The matrix, if it has neither infinities nor NaN.
    fn finite(&self, name: &str, held: Held) -> Result<Held> {
        ensure!(held.is_finite(), self.not_finite(name));
        Ok(held)
    }

    fn held(
        &self,
        name: &str,
        shape: [usize; 2],
        keep: Keep,
        fits: impl Fn(Storage) -> bool,
    ) -> Result<Held> {
        let stored = match self.source {
            Source::Checkpoint(file) if self.adapters.is_empty() => {
                file.packed(&format!("{}{name}", self.prefix))
            }
            _ => None,
        };
        let stored = stored.filter(|stored| stored.dims() == shape && fits(stored.storage()));
        let packed = match keep.storage() {
            _ if !fuses(self.device) => None,
            None => stored.filter(|_| keep == Keep::AsStored),
            Some(storage) => match stored.filter(|stored| stored.storage() == storage) {
                None => return self.rounded(name, shape, storage),
                stored => stored,
            },
        };
        let Some(packed) = packed else { return Ok(self.param(name, shape)?.into()) };
        self.counter.iter().for_each(|counter| counter.add((shape[0] * shape[1]) as u64));
        Ok(Held::packed(packed, self.device))
    }

    /// A large matrix rounded to a storage; in half the bits of an f32 where its rows have no whole
    /// blocks.
    fn rounded(&self, name: &str, shape: [usize; 2], storage: Storage) -> Result<Held> {
        let values = self.values(name, shape)?;
        let packed = [storage, Storage::Bf16].into_iter();
        let mut packed = packed.filter_map(|storage| Packed::of(&values, shape, storage));
        Ok(Held::packed(packed.next().expect("numbers of 16 bits have any width"), self.device))
    }

    /// A trainable tensor; see [`Weights::tensor`].
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub fn param<const D: usize>(&self, name: &str, shape: [usize; D]) -> Result<Param<Tensor<D>>> {
        Ok(Param::from_tensor(self.tensor(name, shape)?))
    }

    /// [`Weights::param`], or none where the file has no such tensor.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub fn optional<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
    ) -> Result<Option<Param<Tensor<D>>>> {
        self.has(name).then(|| self.param(name, shape)).transpose()
    }

    /// A projection `name.weight` of shape `[out, in]`.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub fn linear(&self, name: &str, shape: [usize; 2]) -> Result<Linear> {
        Ok(Linear::new(self.at(name).matrix("weight", shape)?))
    }

    /// [`Weights::linear`] for inputs of which many are zero, as those of channel-mix are: where that is
    /// wanted, a weight of 16 bits is copied so that products with a token read only what counts.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub fn sparse(&self, name: &str, shape: [usize; 2]) -> Result<Linear> {
        let w = self.at(name);
        let held = w.matrix("weight", shape)?;
        let copied = if self.sparse { held.for_zeros() } else { None };
        let Some(copied) = copied else { return Ok(Linear::new(held)) };
        if let Source::Checkpoint(file) = self.source {
            file.release(&format!("{}weight", w.prefix));
        }
        Ok(Linear::new(copied))
    }

    /// A projection `name.weight` of shape `[out, in]` with `name.bias` of shape `[out]`.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub fn affine(&self, name: &str, shape: [usize; 2]) -> Result<Affine> {
        let w = self.at(name);
        Ok(Affine::new(w.param("weight", shape)?, w.param("bias", [shape[0]])?))
    }

    /// The table `name.weight` of shape `[V, C]`. Where it stays in its file it is not looked through:
    /// most of its rows are never read, nor do they take memory. See [`Embedding::has_numbers`].
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub fn embedding(&self, name: &str) -> Result<Embedding> {
        let at = self.at(name);
        let shape = at.dims::<2>("weight")?;
        Ok(Embedding::new(at.held("weight", shape, self.keep, |_| true)?))
    }

    /// `name.weight` and `name.bias` over `channels`, ε = 1e-5.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub fn layer_norm(&self, name: &str, channels: usize) -> Result<Norm> {
        self.norm(name, channels, 1, 1e-5)
    }

    /// `name.weight` and `name.bias` over `channels`, normalised in groups of one head each.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub fn head_norm(&self, name: &str, heads: usize, channels: usize) -> Result<Norm> {
        self.norm(name, channels, heads, self.head_eps)
    }

    /// `name.weight` and `name.bias` over `channels`, normalised in `groups` with this ε.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub fn norm(&self, name: &str, channels: usize, groups: usize, epsilon: f64) -> Result<Norm> {
        let w = self.at(name);
        let (weight, bias) = (w.param("weight", [channels])?, w.param("bias", [channels])?);
        Ok(Norm::new(weight, bias, groups, epsilon))
    }

    /// The sizes of a tensor as its source has them.
    ///
    /// # Errors
    /// When there is no such tensor.
    pub fn shape(&self, name: &str) -> Result<Vec<usize>> {
        let full = format!("{}{name}", self.prefix);
        let shape = match self.source {
            Source::Checkpoint(file) => file.shape(&full).map(<[usize]>::to_vec),
            Source::Made(map) => map.get(&full).map(|(shape, _)| shape.clone()),
        };
        shape.with_context(|| {
            format!("{} has no tensor `{full}`; the file is not complete.", self.origin())
        })
    }

    /// What to call the source in errors.
    pub fn origin(&self) -> &str {
        match self.source {
            Source::Checkpoint(file) => file.source(),
            Source::Made(_) => "the new model",
        }
    }
}

/// The shape with exactly `rank` axes, by taking away or putting in front axes of size 1.
fn without_ones(shape: &[usize], rank: usize) -> Option<Vec<usize>> {
    let mut shape = shape.to_vec();
    while shape.len() > rank {
        let one = shape.iter().position(|&n| n == 1)?;
        shape.remove(one);
    }
    while shape.len() < rank {
        shape.insert(0, 1);
    }
    Some(shape)
}
