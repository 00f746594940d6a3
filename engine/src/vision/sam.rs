//! The picture encoder of SAM (arXiv 2304.02643, after ViTDet): most blocks look inside of windows, a
//! few at the whole picture, and each row knows how far away the others are.
//!
//! Rows lie on a grid all the time, `[B, height, width, D]`. Which blocks have windows, and how wide,
//! is read from the lengths of their tables of distances.

use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};
use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Int, Tensor};
use rwkv_kernels::Gelu;

use super::tower::patches;
use super::vit::Patches;
use crate::layers::{Affine, Linear, Norm};
use crate::model::go_on;
use crate::weights::Weights;

/// Encoder and neck; what the neck gives is folded so that each row is two by two patches.
#[derive(Module, Debug)]
pub struct Sam {
    patches: Patches,
    position: Param<Tensor<4>>, // [1, height, width, D]
    blocks: Vec<Block>,
    neck: Neck,
}

#[derive(Module, Debug)]
struct Block {
    norm1: Norm,
    qkv: Affine,
    proj: Affine,
    rel_pos_h: Param<Tensor<2>>, // [2·side − 1, N]: from the farthest below to the farthest above
    rel_pos_w: Param<Tensor<2>>,
    norm2: Norm,
    lin1: Affine,
    lin2: Affine,
}

#[derive(Module, Debug)]
struct Neck {
    narrow: Linear, // [O, D]
    norm1: Norm,
    blur: Param<Tensor<4>>, // [O, O, 3, 3]
    norm2: Norm,
}

/// Patches along a side that become one row.
const FOLD: usize = 2;

impl Sam {
    /// `[B, 3, height, width]` → `[B, T, 4·O]`.
    ///
    /// # Errors
    /// When `interrupt` is set.
    pub fn forward(&self, pixels: Tensor<4>, interrupt: &AtomicBool) -> Result<Tensor<3>> {
        let [_, height, width, d] = self.position.dims();
        let x = self.patches.forward(pixels);
        let b = x.dims()[0];
        let x = x.reshape([b, height, width, d]) + self.position.val();
        let x = self.blocks.iter().try_fold(x, |x, block| {
            go_on(interrupt)?;
            Ok::<_, anyhow::Error>(block.forward(x))
        })?;
        Ok(folded(self.neck.forward(x)))
    }
}

/// `[B, O, height, width]` → `[B, height/2 · width/2, 4·O]`: channel, then row, then column.
fn folded(x: Tensor<4>) -> Tensor<3> {
    let [b, o, height, width] = x.dims();
    let (down, across) = (height / FOLD, width / FOLD);
    let x = x.reshape([b, o, down, FOLD, across, FOLD]).permute([0, 2, 4, 1, 3, 5]);
    x.reshape([b, down * across, o * FOLD * FOLD])
}

impl Neck {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [b, height, width, d] = x.dims();
        let x = self.narrow.forward(x.reshape([b, height * width, d]));
        let [_, _, o] = x.dims();
        let x = self.norm1.forward(x).reshape([b, height, width, o]).permute([0, 3, 1, 2]);
        let x = conv2d(x, self.blur.val(), None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1));
        self.norm2.forward(x.permute([0, 2, 3, 1])).permute([0, 3, 1, 2])
    }
}

impl Block {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [b, height, width, d] = x.dims();
        let side = self.rel_pos_h.dims()[0].div_ceil(2);
        let normed = self.norm1.forward(x.clone());
        let seen = match side < height.max(width) {
            true => self.in_windows(normed, side),
            false => self.look(normed),
        };
        let x = (x + seen).reshape([b, height * width, d]);
        let inner = self.lin1.gelu(self.norm2.forward(x.clone()), Gelu::Erf);
        (x + self.lin2.forward(inner)).reshape([b, height, width, d])
    }

    /// Zeros fill the last windows; they are looked at like any other row.
    fn in_windows(&self, x: Tensor<4>, side: usize) -> Tensor<4> {
        let [b, height, width, d] = x.dims();
        let (down, across) = (height.div_ceil(side), width.div_ceil(side));
        let zeros = |shape| Tensor::zeros(shape, &x.device());
        let below = zeros([b, down * side - height, width, d]);
        let beside = zeros([b, down * side, across * side - width, d]);
        let x = Tensor::cat(vec![Tensor::cat(vec![x, below], 1), beside], 2);
        let x = x.reshape([b, down, side, across, side, d]).swap_dims(2, 3);
        let x = self.look(x.reshape([b * down * across, side, side, d]));
        let x = x.reshape([b, down, across, side, side, d]).swap_dims(2, 3);
        let x = x.reshape([b, down * side, across * side, d]);
        x.narrow(1, 0, height).narrow(2, 0, width)
    }

    /// Head after head, for the scores of a whole picture are large.
    fn look(&self, x: Tensor<4>) -> Tensor<4> {
        let [b, height, width, d] = x.dims();
        let n = self.rel_pos_h.dims()[1];
        let [far_h, far_w] = [(&self.rel_pos_h, height), (&self.rel_pos_w, width)]
            .map(|(table, side)| distances(table.val(), side));
        let qkv = self.qkv.forward(x.reshape([b, height * width, d]));
        let head = |head: usize| {
            let part = |i: usize| qkv.clone().narrow(2, i * d + head * n, n);
            let (q, k, v) = (part(0), part(1), part(2));
            // Distances are asked for with the query as it is, content with the scaled one.
            let asked = q.clone().reshape([b, height, width, n]);
            let down = asked.clone().matmul(far_h.clone());
            let across = asked.swap_dims(1, 2).matmul(far_w.clone()).swap_dims(1, 2);
            let far = down.unsqueeze_dim::<5>(4) + across.unsqueeze_dim::<5>(3);
            let rows = height * width;
            let scores = (q / (n as f64).sqrt()).matmul(k.swap_dims(1, 2));
            softmax(scores + far.reshape([b, rows, rows]), 2).matmul(v)
        };
        let seen = Tensor::cat((0..d / n).map(head).collect(), 2);
        self.proj.forward(seen).reshape([b, height, width, d])
    }
}

/// What a query at each place along a side is multiplied with for each place it looks at:
/// `[2·side − 1, N]` → `[1, side, N, side]`.
fn distances(table: Tensor<2>, side: usize) -> Tensor<4> {
    let n = table.dims()[1];
    let place = |i: usize| (0..side).map(move |j| (i + side - 1 - j) as i32);
    let places: Vec<i32> = (0..side).flat_map(place).collect();
    let places = Tensor::<1, Int>::from_ints(places.as_slice(), &table.device());
    table.select(0, places).reshape([1, side, side, n]).swap_dims(2, 3)
}

impl Sam {
    /// The encoder whose names stand here.
    ///
    /// # Errors
    /// When a tensor is missing or misshapen.
    pub fn load(w: &Weights) -> Result<Self> {
        let [_, height, width, d] = w.dims("pos_embed")?;
        let [o, _, _, _] = w.at("neck").at(0).dims("weight")?;
        ensure!(
            height.is_multiple_of(FOLD) && width.is_multiple_of(FOLD),
            "{height} × {width} patches cannot be taken two by two."
        );
        let neck = w.at("neck");
        let blocks = (0..w.count("blocks")).map(|i| Block::load(&w.at("blocks").at(i), d));
        Ok(Self {
            patches: patches(w, "patch_embed.proj")?,
            position: w.param("pos_embed", [1, height, width, d])?,
            blocks: blocks.collect::<Result<_>>()?,
            neck: Neck {
                narrow: neck.linear("0", [o, d])?,
                norm1: neck.norm("1", o, 1, 1e-6)?,
                blur: neck.at(2).param("weight", [o, o, 3, 3])?,
                norm2: neck.norm("3", o, 1, 1e-6)?,
            },
        })
    }

    /// Rows of a picture, and channels of a row.
    pub fn dims(&self) -> [usize; 2] {
        let [_, height, width, _] = self.position.dims();
        let [o, _] = self.neck.narrow.dims();
        [height * width / (FOLD * FOLD), o * FOLD * FOLD]
    }

    /// Sides of the picture that it reads.
    pub fn side(&self) -> usize {
        self.position.dims()[1] * self.patches.side
    }
}

impl Block {
    fn load(w: &Weights, d: usize) -> Result<Self> {
        let att = w.at("attn");
        let [far, n] = att.dims("rel_pos_h")?;
        let [inner, _] = w.at("mlp.lin1").dims("weight")?;
        ensure!(d.is_multiple_of(n), "{d} channels are no heads of {n}.");
        Ok(Self {
            norm1: w.norm("norm1", d, 1, 1e-6)?,
            qkv: att.affine("qkv", [3 * d, d])?,
            proj: att.affine("proj", [d, d])?,
            rel_pos_h: att.param("rel_pos_h", [far, n])?,
            rel_pos_w: att.param("rel_pos_w", [att.dims::<2>("rel_pos_w")?[0], n])?,
            norm2: w.norm("norm2", d, 1, 1e-6)?,
            lin1: w.affine("mlp.lin1", [inner, d])?,
            lin2: w.affine("mlp.lin2", [d, inner])?,
        })
    }
}
