//! The vision transformer (arXiv 2010.11929) as CLIP, SigLIP and DINOv2 have it: patches of a
//! picture, each a row, look at each other in every block.
//!
//! Letters as in the paper: `B` pictures, `T` rows, `D` channels, `H` heads; a row per patch, behind
//! rows of no place (class, registers) where the tower has such.

use std::sync::atomic::AtomicBool;

use anyhow::Result;
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use rwkv_kernels::{Gelu, attention};

use crate::image::{Filter, matrix};
use crate::layers::{Affine, Linear, Norm};
use crate::model::go_on;

/// Patches, blocks, and the norms around them.
#[derive(Module, Debug)]
pub struct Vit {
    /// How patches become rows.
    pub patches: Patches,
    /// Rows before the patches, each `[1, 1, D]` or more of them in one, `[1, rows, D]`.
    pub prefix: Vec<Param<Tensor<3>>>,
    /// Added to the rows, `[1, rows, D]`: to all of them, or to the patches alone.
    pub position: Param<Tensor<3>>,
    /// Before the first block, in CLIP.
    pub before: Option<Norm>,
    /// What the rows pass, one after the other.
    pub blocks: Vec<Block>,
    /// Behind the last block, in SigLIP and DINOv2 of Hugging Face; [`Vit::hidden`] is without it.
    pub after: Option<Norm>,
}

/// A convolution whose steps are as wide as its window.
#[derive(Module, Debug)]
pub struct Patches {
    /// `[D, 3·P·P]`: channel, then row, then column of a patch.
    pub weight: Linear,
    /// `[D]`, not in CLIP.
    pub bias: Option<Param<Tensor<1>>>,
    /// Width of a patch in pixels.
    pub side: usize,
}

/// Rows look at each other, then each at itself.
#[derive(Module, Debug)]
pub struct Block {
    /// Before the attention.
    pub norm1: Norm,
    /// Queries, keys and values of all heads: one product `[3·D, D]`, or three `[D, D]`.
    pub qkv: Vec<Affine>,
    /// What the heads found, `[D, D]`.
    pub out: Affine,
    /// Scales what attention adds, `[D]`, in DINOv2.
    pub scale1: Option<Param<Tensor<1>>>,
    /// Before the two layers.
    pub norm2: Norm,
    /// `[F, D]`.
    pub fc1: Affine,
    /// `[D, F]`.
    pub fc2: Affine,
    /// Scales what the two layers add, `[D]`, in DINOv2.
    pub scale2: Option<Param<Tensor<1>>>,
    /// How many heads look.
    pub heads: usize,
    /// Between the two layers.
    #[module(skip)]
    pub gelu: Gelu,
}

impl Vit {
    /// Rows after so many blocks, `[B, 3, height, width]` → `[B, T, D]`; 0 is what the first reads.
    ///
    /// # Errors
    /// When `interrupt` is set.
    pub fn hidden(
        &self,
        pixels: Tensor<4>,
        blocks: usize,
        interrupt: &AtomicBool,
    ) -> Result<Tensor<3>> {
        self.blocks[..blocks].iter().try_fold(self.rows(pixels), |x, block| {
            go_on(interrupt)?;
            Ok(block.forward(x))
        })
    }

    /// Rows before the patches.
    pub fn prefix_rows(&self) -> usize {
        self.prefix.iter().map(|rows| rows.dims()[1]).sum()
    }

    fn rows(&self, pixels: Tensor<4>) -> Tensor<3> {
        let x = self.patches.forward(pixels);
        let [b, patches, _] = x.dims();
        let prefix = self.prefix.iter().map(|rows| rows.val().repeat_dim(0, b));
        let joined = |x: Tensor<3>| Tensor::cat(prefix.chain([x]).collect(), 1);
        let x = match self.position.dims()[1] == self.prefix_rows() + patches {
            true => joined(x) + self.position.val(),
            // Rows of no place have none; the grid is stretched to that of the picture.
            false => joined(x + stretched(self.position.val(), patches)),
        };
        match &self.before {
            Some(norm) => norm.forward(x),
            None => x,
        }
    }
}

/// A square grid of positions `[1, rows, D]` for `patches` of a square picture: bicubic, smoothed
/// where it shrinks (PyTorch's `antialias=True`).
fn stretched(position: Tensor<3>, patches: usize) -> Tensor<3> {
    let [_, rows, d] = position.dims();
    let (from, to) = (rows.isqrt(), patches.isqrt());
    if from == to {
        return position;
    }
    let numbers = TensorData::new(matrix(Filter::Bicubic, from, to), [to, from]);
    let along = Tensor::<2>::from_data(numbers, &position.device());
    // Down the columns, then along the rows.
    let x = along.clone().matmul(position.reshape([from, from * d]));
    let x = x.reshape([to, from, d]).swap_dims(0, 1).reshape([from, to * d]);
    along.matmul(x).reshape([to, to, d]).swap_dims(0, 1).reshape([1, to * to, d])
}

impl Patches {
    /// `[B, 3, height, width]` → `[B, T, D]`, row after row of the picture.
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<3> {
        let [b, channels, height, width] = pixels.dims();
        let p = self.side;
        let (down, across) = (height / p, width / p);
        // Pixels beyond the last whole patch are not seen.
        let seen = pixels.narrow(2, 0, down * p).narrow(3, 0, across * p);
        let x = seen.reshape([b, channels, down, p, across, p]).permute([0, 2, 4, 1, 3, 5]);
        let x = self.weight.forward(x.reshape([b, down * across, channels * p * p]));
        match &self.bias {
            Some(bias) => x + bias.val().unsqueeze(),
            None => x,
        }
    }
}

impl Block {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let scaled = |x: Tensor<3>, scale: &Option<Param<Tensor<1>>>| match scale {
            Some(scale) => x * scale.val().unsqueeze(),
            None => x,
        };
        let x = x.clone() + scaled(self.look(self.norm1.forward(x)), &self.scale1);
        let inner = self.fc1.gelu(self.norm2.forward(x.clone()), self.gelu);
        x + scaled(self.fc2.forward(inner), &self.scale2)
    }

    /// Each row at all of them.
    fn look(&self, x: Tensor<3>) -> Tensor<3> {
        let [_, _, d] = x.dims();
        let qkv: Vec<_> = self.qkv.iter().map(|part| part.forward(x.clone())).collect();
        let qkv = [0, 1, 2].map(|i| match &qkv[..] {
            [all] => all.clone().narrow(2, i * d, d),
            each => each[i].clone(),
        });
        self.out.forward(attention(qkv, self.heads))
    }
}
