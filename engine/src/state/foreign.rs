//! States that other programs saved, and files they can read.
//!
//! | who | file | a layer |
//! |---|---|---|
//! | state tuning | `blocks.L.att.time_state` in a `.pth` | `[H, V, K]`, no token shift |
//! | web-rwkv, tuned | the same name in a `.st` | `[H, K, V]`, no token shift |
//! | pip `rwkv` | a list of tensors | `att_x`, wkv (`aa bb pp`), `ffn_x`; 5 and 6: `[H, K, V]` |
//! | RWKV-v4neo | one tensor `[5 L, C]` | `ffn_x att_x aa bb pp` |
//! | `transformers` | five tensors `[1, C, L]` | `ffn_x att_x aa bb pp` |
//! | web-rwkv, ai00 | one tensor `[L, rows, C]` | `att_x`, rows of keys (`aa bb pp`), `ffn_x` |
//! | rwkv.cpp | numbers without a header | `ffn_x att_x`, wkv (`aa bb pp`) |
//!
//! No file tells which of its two square axes is the key; the program that wrote it does.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::{Device, Tensor, TensorData};

use super::{LayerState, Origin, State};
use crate::checkpoint::{self, Checkpoint, Dtype, Entry, TUNED};
use crate::rwkv::Version;
use crate::tensor::Array;

/// The model that a foreign state is for.
struct Target<'a> {
    version: Version,
    empty: &'a State,
    device: &'a Device,
}

/// One layer as rows of channels; `wkv` as the model has it.
struct Rows {
    att_x: Vec<f32>,
    ffn_x: Vec<f32>,
    wkv: Vec<f32>,
}

impl State {
    /// Reads a state of any program for a model whose state before the first token is `empty`, and
    /// where it comes from if it is one of ours, which is not yet known to fit.
    ///
    /// # Errors
    /// When it is no state, and when another program's is that of another model.
    pub fn of_file(
        path: &Path,
        version: Version,
        empty: &Self,
        device: &Device,
    ) -> Result<(Self, Option<Origin>)> {
        let bytes = fs::metadata(path).map_or(0, |about| about.len());
        let file = match Checkpoint::open(path) {
            Ok(file) => file,
            // Without a header only the length tells.
            Err(_) if bytes == empty.bytes() as u64 => {
                return Ok((flat(path, version, empty, device)?, None));
            }
            Err(error) => return Err(error),
        };
        match Self::of_ours(&file, device)? {
            Some((state, origin)) => Ok((state, Some(origin))),
            None => Ok((Self::of_tensors(&file, version, empty, device)?, None)),
        }
    }

    /// The state of another program in an opened file; other tensors there do not matter.
    ///
    /// # Errors
    /// When it is no state, and when it is the state of another model.
    pub fn of_tensors(
        file: &Checkpoint,
        version: Version,
        empty: &Self,
        device: &Device,
    ) -> Result<Self> {
        let target = Target { version, empty, device };
        let state = if file.names().any(|name| name.ends_with(TUNED)) {
            target.tuned(file)
        } else {
            target.listed(file)
        };
        state.with_context(|| format!("{} cannot be the state of this model", file.source()))
    }
}

impl Target<'_> {
    fn layers(&self) -> usize {
        self.empty.layers.len()
    }

    /// Heads (1 in RWKV-4), rows and columns of `wkv`.
    fn square(&self) -> [usize; 3] {
        let [_, h, rows, columns] = self.empty.layers[0].wkv.dims();
        [h, rows, columns]
    }

    fn channels(&self) -> usize {
        self.empty.layers[0].att_x.dims()[1]
    }

    fn is_v4(&self) -> bool {
        self.empty.is_v4()
    }

    fn tuned(&self, file: &Checkpoint) -> Result<State> {
        ensure!(!self.is_v4(), "RWKV-4 has no matrices to start from");
        let [heads, n, _] = self.square();
        let count = file.names().filter(|name| name.ends_with(TUNED)).count();
        let layers = self.layers();
        ensure!(count == layers, "it has {count} layers, the model {layers}");
        let mut state = self.empty.clone();
        for (i, layer) in state.layers.iter_mut().enumerate() {
            let name = format!("blocks.{i}{TUNED}");
            let shape = file.shape(&name).unwrap_or_default();
            ensure!(
                shape == [heads, n, n],
                "`{name}` has shape {shape:?}, the model {:?}",
                [heads, n, n]
            );
            let values = finite(file, &name)?;
            layer.wkv = Tensor::from_data(TensorData::new(values, layer.wkv.dims()), self.device);
        }
        Ok(state)
    }

    /// Tensors without names of their own, in an order that only their program knows.
    fn listed(&self, file: &Checkpoint) -> Result<State> {
        let names: Vec<&str> = file.names().collect();
        let numbered = (0..names.len()).all(|i| file.contains(&i.to_string()));
        ensure!(
            names.len() == 1 || numbered,
            "it has tensors such as `{}`, which no program's states have",
            names.first().copied().unwrap_or_default()
        );
        let shape = |name: &str| -> Vec<usize> {
            let shape = file.shape(name).unwrap_or_default();
            shape.iter().copied().filter(|&n| n != 1).collect()
        };
        let (layers, c, per) = (self.layers(), self.channels(), self.pieces());
        if let [name] = names[..] {
            let values = finite(file, name)?;
            let rows = values.len() / (layers * c).max(1);
            ensure!(
                values.len() == layers * c * rows,
                "it has {} numbers, no multiple of {layers} layers x {c} channels",
                values.len()
            );
            let flat_rows = self.is_v4() && shape(name) == [5 * layers, c];
            return self.of_rows(|i| {
                let layer = &values[i * rows * c..][..rows * c];
                if flat_rows { self.shifts_first(layer) } else { self.shifts_around(layer) }
            });
        }
        if self.is_v4() && names.len() == 5 && shape("0") == [c, layers] {
            let parts = (0..5).map(|i| finite(file, &i.to_string()));
            let parts = parts.collect::<Result<Vec<_>>>()?;
            let column = |part: &Vec<f32>, i| -> Vec<f32> {
                part.iter().skip(i).step_by(layers).copied().collect()
            };
            return self.of_rows(|i| {
                let all: Vec<f32> = parts.iter().flat_map(|part| column(part, i)).collect();
                self.shifts_first(&all)
            });
        }
        ensure!(
            names.len() == layers * per,
            "it has {} tensors, a model of {layers} layers {}",
            names.len(),
            layers * per
        );
        self.of_rows(|i| self.pip(file, i * per, per))
    }

    /// How many tensors pip `rwkv` keeps for a layer.
    fn pieces(&self) -> usize {
        if self.is_v4() { 5 } else { 3 }
    }

    /// A layer of pip `rwkv`: the last tensor is `ffn_x`.
    fn pip(&self, file: &Checkpoint, first: usize, count: usize) -> Result<Rows> {
        let parts = (first..first + count).map(|i| finite(file, &i.to_string()));
        let mut parts = parts.collect::<Result<Vec<_>>>()?;
        let ffn_x = parts.pop().unwrap_or_default();
        let att_x = parts.remove(0);
        let wkv = parts.concat();
        let [_, n, _] = self.square();
        let wkv = if key_first(self.version) { turned(&wkv, n) } else { wkv };
        Ok(Rows { att_x, ffn_x, wkv })
    }

    /// `att_x`, then rows, then `ffn_x`; with heads the rows are keys, across all heads.
    fn shifts_around(&self, rows: &[f32]) -> Result<Rows> {
        let (c, [h, n, columns]) = (self.channels(), self.square());
        ensure!(rows.len() == c * (n + 2), "it has {} rows, not {}", rows.len() / c, n + 2);
        let wkv = &rows[c..rows.len() - c];
        let wkv = if self.is_v4() {
            wkv.to_vec()
        } else {
            let value_of = |head: usize, value: usize| head * columns + value;
            let row = |(head, value)| (0..n).map(move |key| wkv[key * c + value_of(head, value)]);
            let pairs = (0..h).flat_map(|head| (0..columns).map(move |value| (head, value)));
            pairs.flat_map(row).collect()
        };
        Ok(Rows { att_x: rows[..c].to_vec(), ffn_x: rows[rows.len() - c..].to_vec(), wkv })
    }

    /// `ffn_x`, `att_x`, then wkv as the version's programs have it in memory.
    fn shifts_first(&self, numbers: &[f32]) -> Result<Rows> {
        let (c, [h, n, columns]) = (self.channels(), self.square());
        ensure!(numbers.len() == 2 * c + h * n * columns, "it has {} numbers", numbers.len());
        let wkv = numbers[2 * c..].to_vec();
        let wkv = if key_first(self.version) { turned(&wkv, n) } else { wkv };
        Ok(Rows { ffn_x: numbers[..c].to_vec(), att_x: numbers[c..2 * c].to_vec(), wkv })
    }

    fn of_rows(&self, layer: impl Fn(usize) -> Result<Rows>) -> Result<State> {
        let mut state = self.empty.clone();
        for (i, own) in state.layers.iter_mut().enumerate() {
            let rows = layer(i)?;
            let (c, wkv) = (self.channels(), own.wkv.dims());
            ensure!(
                rows.att_x.len() == c
                    && rows.ffn_x.len() == c
                    && rows.wkv.len() == wkv.iter().product::<usize>(),
                "layer {i} has {}, {} and {} numbers; the model has {c} channels and wkv {:?}",
                rows.att_x.len(),
                rows.ffn_x.len(),
                rows.wkv.len(),
                &wkv[1..]
            );
            let data = |values, shape: &[usize]| TensorData::new(values, shape.to_vec());
            own.att_x = Tensor::from_data(data(rows.att_x, &[1, c]), self.device);
            own.ffn_x = Tensor::from_data(data(rows.ffn_x, &[1, c]), self.device);
            own.wkv = Tensor::from_data(data(rows.wkv, &wkv), self.device);
        }
        Ok(state)
    }
}

fn finite(file: &Checkpoint, name: &str) -> Result<Vec<f32>> {
    let values = file.values(name)?;
    ensure!(values.iter().all(|x| x.is_finite()), "`{name}` holds infinities or NaN");
    Ok(values)
}

/// Whether a version's programs keep `[key, value]` in memory, and so in what they save.
fn key_first(version: Version) -> bool {
    matches!(version, Version::V50 | Version::V51 | Version::V52 | Version::V6)
}

/// rwkv.cpp's numbers without a header.
fn flat(path: &Path, version: Version, empty: &State, device: &Device) -> Result<State> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let numbers: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four bytes")))
        .collect();
    let name = path.display();
    ensure!(numbers.iter().all(|x| x.is_finite()), "{name} holds infinities or NaN.");
    let layers = empty.layers.len();
    let target = Target { version, empty, device };
    let size = numbers.len() / layers.max(1);
    target.of_rows(|i| target.shifts_first(&numbers[i * size..][..size]))
}

/// Square matrices of `n` rows, each with its axes exchanged.
fn turned(matrices: &[f32], n: usize) -> Vec<f32> {
    let turn = |m: &[f32]| -> Vec<f32> { (0..n * n).map(|i| m[i % n * n + i / n]).collect() };
    matrices.chunks_exact((n * n).max(1)).flat_map(turn).collect()
}

/// What a state can be written as, besides our own files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// Only the matrices, as a tuned initial state: `[H, V, K]` in a `.pth`, `[H, K, V]` in a `.st`.
    TimeState,
    /// The list of tensors that pip `rwkv` takes, as a `.pth`.
    Pip,
    /// rwkv.cpp's numbers without a header.
    RwkvCpp,
}

impl Export {
    /// Every way, under its name.
    pub const ALL: [(&str, Self); 3] =
        [("time_state", Self::TimeState), ("pip", Self::Pip), ("rwkv.cpp", Self::RwkvCpp)];

    /// The way of this name.
    ///
    /// # Errors
    /// Names those that there are.
    pub fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        let known = Self::ALL.map(|(name, _)| name).join(", ");
        Ok(found
            .with_context(|| format!("a state cannot be exported as {name}; choose {known}."))?
            .1)
    }
}

impl State {
    /// Writes the state for another program; `version` is that of its model.
    ///
    /// # Errors
    /// When the program has no place for what this state holds, and when the file cannot be
    /// written.
    pub fn export(&self, path: &Path, export: Export, version: Version) -> Result<()> {
        let batch = self.layers.first().map_or(0, |layer| layer.att_x.dims()[0]);
        ensure!(batch == 1, "only the state of a single text can be exported, not of {batch}.");
        let tiny = self.layers.iter().any(|layer| layer.tiny.is_some());
        ensure!(!tiny, "no other program keeps the tiny attention of RWKV-4a.");
        let key_first = key_first(version);
        match export {
            Export::TimeState => self.export_tuned(path),
            Export::Pip => self.export_list(path, key_first),
            Export::RwkvCpp => {
                let numbers = self.layers.iter().flat_map(|layer| {
                    let [att_x, ffn_x, wkv] = numbers(layer, key_first);
                    [ffn_x, att_x, wkv].concat()
                });
                let bytes: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
                checkpoint::write_bytes(path, &bytes)
            }
        }
    }

    fn export_tuned(&self, path: &Path) -> Result<()> {
        ensure!(!self.is_v4(), "RWKV-4 has no matrices that another run could start from.");
        let ending = path.extension().unwrap_or_default();
        let web = match ending.to_string_lossy().as_ref() {
            "pth" | "pt" => false,
            "st" | "state" => true,
            _ => bail!("a tuned state is a .pth (PyTorch) or a .st (web-rwkv); choose one."),
        };
        let tensor = |(i, layer): (usize, &LayerState)| {
            let shape = layer.wkv.dims()[1..].to_vec();
            let [_, _, wkv] = numbers(layer, web);
            (format!("blocks.{i}{TUNED}"), shape, wkv)
        };
        let tensors: Vec<_> = self.layers.iter().enumerate().map(tensor).collect();
        let dtype = if web { Dtype::F16 } else { Dtype::F32 };
        checkpoint::save(path, &tensors, dtype, &Default::default())
    }

    fn export_list(&self, path: &Path, key_first: bool) -> Result<()> {
        let mut tensors = Vec::new();
        for layer in &self.layers {
            let [_, h, rows, c] = layer.wkv.dims();
            let [att_x, ffn_x, wkv] = numbers(layer, key_first);
            let channels = vec![att_x.len()];
            tensors.push((channels.clone(), att_x));
            if self.is_v4() {
                tensors.extend(wkv.chunks(c).map(|row| (vec![c], row.to_vec())));
            } else {
                tensors.push((vec![h, rows, c], wkv));
            }
            tensors.push((channels, ffn_x));
        }
        let entry = |(i, (shape, _)): (usize, &(Vec<usize>, Vec<f32>))| Entry {
            name: i.to_string(),
            shape: shape.clone(),
            dtype: Dtype::F32,
        };
        let entries: Vec<_> = tensors.iter().enumerate().map(entry).collect();
        checkpoint::write_list(path, &entries, |i| Ok((&tensors[i].1).into()))
    }
}

/// `att_x`, `ffn_x` and `wkv` of a layer, the matrices turned where the keys are to come first.
fn numbers(layer: &LayerState, key_first: bool) -> [Vec<f32>; 3] {
    let [_, _, rows, columns] = layer.wkv.dims();
    let wkv = Array::of(layer.wkv.clone()).values();
    let wkv = if key_first && rows == columns { turned(&wkv, rows) } else { wkv };
    [Array::of(layer.att_x.clone()).values(), Array::of(layer.ffn_x.clone()).values(), wkv]
}
