//! The memories of several texts in one value, for reading them at once.

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
        if self.texts() == 1 {
            return self.clone();
        }
        let layer = |layer: &LayerState| LayerState {
            att_x: layer.att_x.clone().narrow(0, index, 1),
            ffn_x: layer.ffn_x.clone().narrow(0, index, 1),
            wkv: layer.wkv.clone().narrow(0, index, 1),
            tiny: layer.tiny.clone().map(|tiny| tiny.narrow(0, index, 1)),
        };
        Self { layers: self.layers.iter().map(layer).collect(), past: self.past.clone() }
    }
}
