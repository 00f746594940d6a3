//! The two layers that hold most of a model's numbers.
//!
//! They are types of our own so that what they store can change (packed, quantised, mapped from a
//! file) while no model file does.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};

/// A projection without bias: `y = x·Wᵀ`.
#[derive(Module, Debug)]
pub struct Linear {
    weight: Param<Tensor<2>>, // [out, in], as in checkpoints
}

impl Linear {
    /// Wraps a weight of shape `[out, in]`.
    pub fn new(weight: Param<Tensor<2>>) -> Self {
        Self { weight }
    }

    /// `[B, T, in] → [B, T, out]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [b, t, _] = x.dims();
        let [out, input] = self.weight.dims();
        // One tall matrix instead of a batch of them: the weight is read once.
        let x = x.reshape([b * t, input]);
        let y = match self.weight.adapter() {
            None => x.matmul(self.weight.val().transpose()),
            // Two thin products: the sum of the matrices is never made.
            Some(lora) => {
                let thin = x.clone().matmul(lora.b.val().transpose());
                let thin = thin.matmul(lora.a.val().transpose()) * lora.scale;
                x.matmul(self.weight.base().transpose()) + thin
            }
        };
        y.reshape([b, t, out])
    }

    /// Rows and columns of the weight: `[out, in]`.
    pub fn dims(&self) -> [usize; 2] {
        self.weight.dims()
    }
}

/// One vector per token of the vocabulary.
#[derive(Module, Debug)]
pub struct Embedding {
    weight: Param<Tensor<2>>, // [V, C]
}

impl Embedding {
    /// Wraps a table of shape `[V, C]`.
    pub fn new(weight: Param<Tensor<2>>) -> Self {
        Self { weight }
    }

    /// `[B, T] → [B, T, C]`; every token must be below `V`.
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let [b, t] = tokens.dims();
        let [_, c] = self.weight.dims();
        self.weight.val().select(0, tokens.reshape([b * t])).reshape([b, t, c])
    }

    /// Size of the vocabulary and channels: `[V, C]`.
    pub fn dims(&self) -> [usize; 2] {
        self.weight.dims()
    }
}
