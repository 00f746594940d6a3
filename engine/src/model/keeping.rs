//! Models that learn, on their way to disk, and told from each other.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::{Model, Prefixes, parameters};
use crate::checkpoint::{self, AXES, Dtype, Entry, TUNED};
use crate::hash::hash;
use crate::rwkv::Parameter;
use crate::state::LayerState;
use crate::tensor::Array;
use crate::train::{Trainer, merge};
use crate::visual::TOLD;

/// Where a header says how many tokens the model was trained to read at once.
pub const CTX_LEN: &str = "ctx_len";

impl Model {
    /// Takes over what a trainer has learnt.
    pub fn learn(&mut self, trainer: &Trainer) {
        self.rwkv = trainer.rwkv();
        self.visual = trainer.visual();
        self.forget();
        if trainer.settings().learns_start() {
            self.empty = trainer.first().clone();
        }
    }

    /// Adds the thin matrices of low-rank tuning to the others for good.
    pub fn merge_adapter(&mut self) {
        self.rwkv = merge(self.rwkv.clone());
        self.forget();
    }

    /// Nothing that was read before counts for other weights.
    fn forget(&mut self) {
        self.prefixes = Prefixes::new(self.prefixes.standing().budget);
    }

    /// Writes the weights with the names of BlinkDL's checkpoints, as the `.pth` or the
    /// `.safetensors` that the path says; `dtype` is f32, bf16 or f16.
    ///
    /// # Errors
    /// For another ending, and when the file cannot be written; an older file of that name is then
    /// unchanged.
    pub fn save(&self, path: &Path, dtype: Dtype) -> Result<()> {
        checkpoint::check_ending(path)?;
        let mut parameters = parameters(&merge(self.rwkv.clone()), self.visual.as_ref());
        parameters.extend(self.first_states());
        let entry = |p: &Parameter| Entry { name: p.name.clone(), shape: p.shape.clone(), dtype };
        let entries: Vec<_> = parameters.iter().map(entry).collect();
        let words = [("format", "pt"), ("version", self.rwkv.version().name()), AXES];
        let mut words: BTreeMap<_, _> =
            words.map(|(key, value)| (key.to_string(), value.to_string())).into();
        let told = self.visual.as_ref().map(|visual| serde_json::to_string(&visual.told()));
        words.extend(told.transpose()?.map(|told| (TOLD.to_string(), told)));
        words.extend(self.ctx_len.map(|tokens| (CTX_LEN.to_string(), tokens.to_string())));
        let counter = self.progress.begin("saving".into(), "tensors", entries.len() as u64);
        // What was unpacked to be written is dropped before the next one is.
        let parameters: Vec<_> = parameters.into_iter().map(|p| RefCell::new(Some(p))).collect();
        checkpoint::write(path, &entries, &words, |i| {
            counter.add(1);
            let p = parameters[i].take().expect("every tensor is written once");
            Ok(Array::of(p.values()).values().into())
        })
    }

    /// What the matrices of the state hold before the first token, where that is not nothing.
    fn first_states(&self) -> Vec<Parameter> {
        let is_zero =
            |layer: &LayerState| Array::of(layer.wkv.clone()).values().iter().all(|x| *x == 0.0);
        if self.empty.is_v4() || self.empty.layers.iter().all(is_zero) {
            return Vec::new();
        }
        let parameter = |(i, layer): (usize, &LayerState)| {
            let name = format!("blocks.{i}{TUNED}");
            Parameter::new(name, layer.wkv.dims()[1..].to_vec(), layer.wkv.clone().flatten(0, 3))
        };
        self.empty.layers.iter().enumerate().map(parameter).collect()
    }

    /// A hash of the final norm, which no two trainings leave alike, and all shapes.
    pub fn fingerprint(&self) -> String {
        let mut bytes = Vec::new();
        for p in self.rwkv.parameters().into_iter().filter(|p| !p.is_factor()) {
            bytes.extend(p.name.as_bytes());
            let small = p.shape.len() == 1;
            for number in if small { Array::of(p.values()).values() } else { Vec::new() } {
                bytes.extend(number.to_le_bytes());
            }
            p.shape.iter().for_each(|n| bytes.extend(n.to_le_bytes()));
        }
        format!("{:016x}", hash(bytes))
    }
}
