//! Everything a model remembers of the text so far, as a value.
//!
//! A clone is a snapshot: tensors are shared until one side changes. `wkv` is `[head, value, key]`
//! in every version that has heads; in RWKV-4 its three rows are `aa`, `bb` and `pp`.

mod algebra;
mod batch;
mod foreign;
mod past;
mod spectrum;
mod surgery;
#[cfg(test)]
mod tests;

pub use algebra::Distance;
pub use foreign::Export;
pub use past::Past;
pub use spectrum::{Spectrum, singular};
pub use surgery::{Mixing, Rounding};

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use burn::tensor::{Device, Tensor, TensorData};

use crate::checkpoint::{self, Checkpoint, Dtype};
use crate::tensor::Array;

/// The memory of a whole model, for a batch of `B` texts.
#[derive(Clone, Debug)]
pub struct State {
    /// One memory per block.
    pub layers: Vec<LayerState>,
    /// What it has been through.
    pub past: Past,
}

/// The memory of one block.
#[derive(Clone, Debug)]
pub struct LayerState {
    /// Last input of time-mix, `[B, C]`.
    pub att_x: Tensor<2>,
    /// Last input of channel-mix, `[B, C]`.
    pub ffn_x: Tensor<2>,
    /// The wkv memory: `[B, H, N, N]`, in RWKV-4 `[B, 1, 3, C]`.
    pub wkv: Tensor<4>,
    /// What tiny attention remembers, `[B, C, D]` = `[.., value, key]`; in some blocks of RWKV-4a.
    pub tiny: Option<Tensor<3>>,
}

/// What a state file says of where it comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// `rwkv4`, `rwkv7`.
    pub version: String,
    /// Name of the model.
    pub model: String,
    /// A number that differs between models of the same shape; empty where it is not known.
    pub fingerprint: String,
}

/// The parts of a layer, in the order of files and tables.
const PARTS: [&str; 4] = ["att_x", "ffn_x", "wkv", "tiny"];
/// What the rows of `wkv` are called in RWKV-4.
const ROWS: [&str; 3] = ["aa", "bb", "pp"];

impl State {
    /// A memory without a past.
    pub fn new(layers: Vec<LayerState>) -> Self {
        Self { layers, past: Past::default() }
    }

    /// The same past and one edit more, other numbers.
    fn edited(&self, what: &str, layers: Vec<LayerState>) -> Self {
        let mut past = self.past.clone();
        past.edit(what);
        Self { layers, past }
    }

    /// Whether it has the numbers and the past of another.
    pub fn is_same(&self, other: &Self) -> bool {
        let numbers = |a: Array, b: Array| a.shape() == b.shape() && a.values() == b.values();
        let layer = |(a, b): (&LayerState, &LayerState)| {
            let tiny = |layer: &LayerState| layer.tiny.clone().map(Array::of);
            numbers(Array::of(a.att_x.clone()), Array::of(b.att_x.clone()))
                && numbers(Array::of(a.ffn_x.clone()), Array::of(b.ffn_x.clone()))
                && numbers(Array::of(a.wkv.clone()), Array::of(b.wkv.clone()))
                && tiny(a).map(|tiny| tiny.values()) == tiny(b).map(|tiny| tiny.values())
        };
        self.past == other.past
            && self.layers.len() == other.layers.len()
            && self.layers.iter().zip(&other.layers).all(layer)
    }

    /// Whether this is the memory of an RWKV-4: rows of sums in place of matrices.
    pub fn is_v4(&self) -> bool {
        self.layers.first().is_some_and(|layer| {
            let [_, heads, rows, columns] = layer.wkv.dims();
            heads == 1 && rows == 3 && columns != 3 // matrices are square
        })
    }

    /// Names of what every layer holds: `att_x aa bb pp ffn_x` in RWKV-4, else `att_x wkv ffn_x`.
    pub fn parts(&self) -> &'static [&'static str] {
        if self.is_v4() {
            &["att_x", "aa", "bb", "pp", "ffn_x"]
        } else {
            &["att_x", "wkv", "ffn_x"]
        }
    }

    /// Names of what this layer holds: [`State::parts`], and `tiny` where there is tiny attention.
    ///
    /// # Errors
    /// When there is no such layer.
    pub fn parts_of(&self, layer: usize) -> Result<Vec<&'static str>> {
        let tiny = self.layer(layer)?.tiny.is_some();
        Ok(self.parts().iter().copied().chain(tiny.then_some("tiny")).collect())
    }

    /// One part of one layer of the first text: `att_x`, `ffn_x`, `aa`, `bb`, `pp` are `[C]`,
    /// `wkv` is `[H, N, N]`, `tiny` is `[C, D]`.
    ///
    /// # Errors
    /// When there is no such layer or part.
    pub fn part(&self, layer: usize, name: &str) -> Result<Array> {
        let at = layer;
        let layer = self.layer(layer)?;
        if let Some(row) = self.row(name) {
            let row = layer.wkv.clone().narrow(0, 0, 1).narrow(2, row, 1);
            return Ok(Array::of(row.flatten::<1>(0, 3)));
        }
        Ok(match name {
            "att_x" => Array::of(layer.att_x.clone().narrow(0, 0, 1).flatten::<1>(0, 1)),
            "ffn_x" => Array::of(layer.ffn_x.clone().narrow(0, 0, 1).flatten::<1>(0, 1)),
            "wkv" if !self.is_v4() => {
                Array::of(layer.wkv.clone().narrow(0, 0, 1).squeeze_dim::<3>(0))
            }
            _ => match &layer.tiny {
                Some(tiny) if name == "tiny" => {
                    Array::of(tiny.clone().narrow(0, 0, 1).squeeze_dim::<2>(0))
                }
                _ => return Err(self.no_part(at, name)),
            },
        })
    }

    /// Replaces one part of one layer; snapshots taken before keep what they had.
    ///
    /// # Errors
    /// When there is no such part, when the shape differs, and for a state of several texts.
    pub fn set_part(&mut self, layer: usize, name: &str, value: &Array) -> Result<()> {
        let old = self.part(layer, name)?;
        ensure!(
            old.shape() == value.shape(),
            "`{name}` of layer {layer} has shape {:?}, not {:?}.",
            old.shape(),
            value.shape()
        );
        let [batch, c] = self.layers[layer].att_x.dims();
        let [_, _, _, a] = self.layers[layer].wkv.dims();
        ensure!(batch == 1, "only the state of a single text can be edited, not of {batch}.");
        let row = self.row(name);
        self.past.edit(&format!("set {name} of layer {layer}"));
        let layer = &mut self.layers[layer];
        let data = |shape: &[usize]| TensorData::new(value.values(), shape.to_vec());
        let device = layer.wkv.device();
        if let Some(row) = row {
            let value = Tensor::<4>::from_data(data(&[1, 1, 1, a]), &device);
            let all = [0..1, 0..1, row..row + 1, 0..a];
            layer.wkv = layer.wkv.clone().slice_assign(all, value);
            return Ok(());
        }
        match name {
            "att_x" => layer.att_x = Tensor::from_data(data(&[1, c]), &device),
            "ffn_x" => layer.ffn_x = Tensor::from_data(data(&[1, c]), &device),
            "tiny" => {
                let shape = [&[1], value.shape()].concat();
                layer.tiny = Some(Tensor::from_data(data(&shape), &device));
            }
            _ => layer.wkv = Tensor::from_data(data(&layer.wkv.dims()), &device),
        }
        Ok(())
    }

    /// One part of all layers stacked: `[L, C]` or `[L, H, N, N]`.
    ///
    /// # Errors
    /// When there is no such part.
    pub fn stacked(&self, name: &str) -> Result<Array> {
        let parts = (0..self.layers.len()).map(|layer| self.part(layer, name));
        Array::stack(&parts.collect::<Result<Vec<_>>>()?)
    }

    /// Bytes that the numbers take.
    pub fn bytes(&self) -> usize {
        let size = |layer: &LayerState| {
            let [_, h, rows, columns] = layer.wkv.dims();
            let [b, c] = layer.att_x.dims();
            let tiny = layer.tiny.as_ref().map_or(0, |tiny| tiny.dims()[1..].iter().product());
            4 * b * (2 * c + h * rows * columns + tiny)
        };
        self.layers.iter().map(size).sum()
    }

    /// The same numbers on another device.
    pub fn to_device(&self, device: &Device) -> Self {
        let layer = |layer: &LayerState| LayerState {
            att_x: layer.att_x.clone().to_device(device),
            ffn_x: layer.ffn_x.clone().to_device(device),
            wkv: layer.wkv.clone().to_device(device),
            tiny: layer.tiny.clone().map(|tiny| tiny.to_device(device)),
        };
        Self { layers: self.layers.iter().map(layer).collect(), past: self.past.clone() }
    }

    /// Checks that `self` can be fed to a model whose empty state is `empty`.
    ///
    /// # Errors
    /// When the number of layers or a shape differs: it is the state of another model.
    pub fn fits(&self, empty: &Self) -> Result<()> {
        ensure!(
            self.layers.len() == empty.layers.len(),
            "this state has {} layers, but the model has {}; it belongs to another model.",
            self.layers.len(),
            empty.layers.len()
        );
        for (own, model) in self.layers.iter().zip(&empty.layers) {
            let shapes = |l: &LayerState| (l.att_x.dims()[1], l.wkv.dims()[1..].to_vec());
            let ((own_c, own_wkv), (c, wkv)) = (shapes(own), shapes(model));
            ensure!(
                own_c == c && own_wkv == wkv,
                "this state has {own_c} channels and wkv {own_wkv:?}, but the model has {c} and \
                 {wkv:?}; it belongs to another model."
            );
            let tiny = |l: &LayerState| l.tiny.as_ref().map(|tiny| tiny.dims()[1..].to_vec());
            ensure!(
                tiny(own) == tiny(model),
                "this state and the model have tiny attention in different layers; it belongs to \
                 another model."
            );
        }
        Ok(())
    }

    /// Writes the state as safetensors: a header with its origin, and `layers.L.att_x` and so on.
    ///
    /// # Errors
    /// When the file cannot be written; an older file of that name is then unchanged.
    pub fn save(&self, path: &Path, origin: &Origin) -> Result<()> {
        let mut tensors = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            let LayerState { att_x, ffn_x, wkv, tiny } = layer.clone();
            let always = [Array::of(att_x), Array::of(ffn_x), Array::of(wkv)];
            for (part, array) in PARTS.iter().zip(always.into_iter().chain(tiny.map(Array::of))) {
                let name = format!("layers.{i}.{part}");
                tensors.push((name, array.shape().to_vec(), array.values()));
            }
        }
        let header = BTreeMap::from([
            ("format".to_string(), FORMAT.to_string()),
            ("version".to_string(), origin.version.clone()),
            ("model".to_string(), origin.model.clone()),
            ("fingerprint".to_string(), origin.fingerprint.clone()),
            ("tokens".to_string(), self.past.tokens.to_string()),
            ("edits".to_string(), serde_json::to_string(&self.past.edits())?),
        ]);
        checkpoint::save(path, &tensors, Dtype::F32, &header)
    }

    /// Reads what [`State::save`] wrote.
    ///
    /// # Errors
    /// When the file is not a state file, is damaged, or its parts do not fit together.
    pub fn load(path: &Path, device: &Device) -> Result<(Self, Origin)> {
        let own = Self::of_ours(&Checkpoint::open(path)?, device)?;
        own.with_context(|| {
            format!(
                "{} is not a state file of this program; state.save(path) writes them.",
                path.display()
            )
        })
    }

    /// What [`State::save`] wrote into a file; none where the file says that another program did.
    fn of_ours(file: &Checkpoint, device: &Device) -> Result<Option<(Self, Origin)>> {
        let header = |key: &str| file.metadata().get(key).cloned().unwrap_or_default();
        if header("format") != FORMAT {
            return Ok(None);
        }
        let count = file.names().filter(|name| name.ends_with(".wkv")).count();
        ensure!(count > 0, "{} holds no layers; the file is damaged.", file.source());
        let layers = (0..count).map(|i| read_layer(file, i, device)).collect::<Result<Vec<_>>>()?;
        let origin = Origin {
            version: header("version"),
            model: header("model"),
            fingerprint: header("fingerprint"),
        };
        // Files of earlier releases do not tell their past.
        let tokens = header("tokens").parse().unwrap_or_default();
        let edits = serde_json::from_str(&header("edits")).unwrap_or_default();
        Ok(Some((Self { layers, past: Past::told(tokens, edits) }, origin)))
    }

    fn layer(&self, layer: usize) -> Result<&LayerState> {
        self.layers.get(layer).with_context(|| {
            format!("there is no layer {layer}; this state has {}.", self.layers.len())
        })
    }

    fn row(&self, name: &str) -> Option<usize> {
        ROWS.iter().position(|&row| row == name && self.is_v4())
    }

    fn no_part(&self, layer: usize, name: &str) -> anyhow::Error {
        let parts = self.parts_of(layer).unwrap_or_default().join(", ");
        let why = match name {
            "aa" | "bb" | "pp" => "only RWKV-4 keeps sums, later versions a matrix per head; ",
            "wkv" => "RWKV-4 keeps sums, not a matrix per head; ",
            _ => "",
        };
        anyhow::anyhow!("layer {layer} of this state has no `{name}`: {why}it has {parts}.")
    }
}

/// The first words of a state file's header.
const FORMAT: &str = "rwkv-lab state 1";

fn read_layer(file: &Checkpoint, layer: usize, device: &Device) -> Result<LayerState> {
    let read = |part: &str, rank: usize| {
        let name = format!("layers.{layer}.{part}");
        let values = file.values(&name)?;
        let shape = file.shape(&name).unwrap_or_default().to_vec();
        ensure!(shape.len() == rank, "`{name}` of {} has shape {shape:?}.", file.source());
        Ok(TensorData::new(values, shape))
    };
    let state = LayerState {
        att_x: Tensor::from_data(read("att_x", 2)?, device),
        ffn_x: Tensor::from_data(read("ffn_x", 2)?, device),
        wkv: Tensor::from_data(read("wkv", 4)?, device),
        tiny: match file.contains(&format!("layers.{layer}.tiny")) {
            true => Some(Tensor::from_data(read("tiny", 3)?, device)),
            false => None,
        },
    };
    let tiny = state.tiny.as_ref().map(|tiny| tiny.dims()[0]);
    let batches = [state.att_x.dims()[0], state.ffn_x.dims()[0], state.wkv.dims()[0]];
    ensure!(
        batches.into_iter().chain(tiny).all(|b| b == batches[0] && b > 0)
            && state.att_x.dims() == state.ffn_x.dims(),
        "the parts of layer {layer} of {} do not fit together; the file is damaged.",
        file.source()
    );
    Ok(state)
}
