//! The memories of several texts in one value, for reading them at once.

use std::ops::Range;

use burn::tensor::Tensor;

use super::{LayerState, State};

impl State {
    /// How many texts this is the memory of.
    pub fn texts(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.att_x.dims()[0])
    }

    /// The memory of `count` texts that all stand where this one does.
    pub fn repeated(&self, count: usize) -> Self {
        if count == 1 {
            return self.clone();
        }
        let layer = |layer: &LayerState| LayerState {
            att_x: layer.att_x.clone().repeat_dim(0, count),
            ffn_x: layer.ffn_x.clone().repeat_dim(0, count),
            wkv: layer.wkv.clone().repeat_dim(0, count),
            tiny: layer.tiny.clone().map(|tiny| tiny.repeat_dim(0, count)),
        };
        Self { layers: self.layers.iter().map(layer).collect(), past: self.past.clone() }
    }

    /// The memory of the text at `index` alone.
    pub fn of_text(&self, index: usize) -> Self {
        self.of_texts(index..index + 1)
    }

    /// The memory of some of the texts.
    pub fn of_texts(&self, texts: Range<usize>) -> Self {
        if texts == (0..self.texts()) {
            return self.clone();
        }
        let (from, count) = (texts.start, texts.len());
        let layer = |layer: &LayerState| LayerState {
            att_x: layer.att_x.clone().narrow(0, from, count),
            ffn_x: layer.ffn_x.clone().narrow(0, from, count),
            wkv: layer.wkv.clone().narrow(0, from, count),
            tiny: layer.tiny.clone().map(|tiny| tiny.narrow(0, from, count)),
        };
        Self { layers: self.layers.iter().map(layer).collect(), past: self.past.clone() }
    }

    /// The memory of the texts of several states, one behind the other, with no past.
    pub fn joined(states: &[Self]) -> Self {
        let layers = states.first().map_or(0, |state| state.layers.len());
        let layer = |i: usize| {
            let all = || states.iter().map(|state| &state.layers[i]);
            let tiny: Option<Vec<_>> = all().map(|layer| layer.tiny.clone()).collect();
            LayerState {
                att_x: Tensor::cat(all().map(|layer| layer.att_x.clone()).collect(), 0),
                ffn_x: Tensor::cat(all().map(|layer| layer.ffn_x.clone()).collect(), 0),
                wkv: Tensor::cat(all().map(|layer| layer.wkv.clone()).collect(), 0),
                tiny: tiny.map(|tiny| Tensor::cat(tiny, 0)),
            }
        };
        Self::new((0..layers).map(layer).collect())
    }
}
