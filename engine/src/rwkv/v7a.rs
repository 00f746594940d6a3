//! RWKV-7a: RWKV-7 with DeepEmbed.
//!
//! Time-mix is that of RWKV-7. In channel-mix every token brings a small matrix of its own, looked
//! up by its number and corrected by its embedding, which scales what channel-mix looks at.

use anyhow::{Result, ensure};
use burn::module::{Module, Param};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor};
use rwkv_kernels::Stream;

use super::rows::Rows;
use super::tap::Tap;
use super::v7::TimeMix;
use crate::layers::{Embedding, Linear, Norm};
use crate::state::{LayerState, State};
use crate::weights::Weights;

/// The whole model.
#[derive(Module, Debug)]
pub struct Rwkv7a {
    emb: Embedding,
    blocks: Vec<Block>,
    ln_out: Norm,
    head: Linear,
}

#[derive(Module, Debug)]
struct Block {
    ln0: Option<Norm>, // first block only
    ln1: Norm,
    ln2: Norm,
    att: TimeMix,
    ffn: ChannelMix,
}

#[derive(Module, Debug)]
struct ChannelMix {
    x_k: Param<Tensor<3>>,
    key: Linear,
    value: Linear,
    s_emb: Embedding,     // [V, D·D]: a matrix per token
    s_emb_x: Linear,      // [D·D, C]
    s0: Param<Tensor<3>>, // [1, 1, F]
    s1: Param<Tensor<2>>, // [C, D]
    s2: Param<Tensor<2>>, // [D, F]
}

/// What every block is told of the tokens beside the residual stream.
struct Told {
    tokens: Tensor<2, Int>,
    /// Their embeddings after the first norm, `[B, T, C]`.
    embedded: Tensor<3>,
}

impl Rwkv7a {
    pub(super) fn emb(&self) -> &Embedding {
        &self.emb
    }

    /// Whether the tables of the blocks have numbers only for a token.
    pub(super) fn embeds(&self, token: usize) -> bool {
        self.blocks.iter().all(|block| block.ffn.s_emb.has_numbers(token))
    }

    pub(super) fn hidden(&self, rows: Rows, state: &mut State, tap: Tap) -> Tensor<3> {
        let Rows { mut x, tokens, .. } = rows;
        if let Some(ln0) = self.blocks.first().and_then(|block| block.ln0.as_ref()) {
            x = ln0.forward(x);
        }
        let told = Told { tokens, embedded: x.clone() };
        let mut v_first = None;
        for (i, (block, state)) in self.blocks.iter().zip(&mut state.layers).enumerate() {
            let tap = tap.at(i);
            x = tap.see("x", block.forward(x, &told, &mut v_first, state, tap));
        }
        x
    }

    pub(super) fn top(&self) -> (&Norm, &Linear) {
        (&self.ln_out, &self.head)
    }

    pub(super) fn state(&self, batch: usize, device: &Device) -> State {
        let layer = |block: &Block| block.att.state(batch, device);
        State::new(self.blocks.iter().map(layer).collect())
    }

    pub(super) fn bonus(&self, layer: usize) -> Option<Tensor<2>> {
        Some(self.blocks.get(layer)?.att.bonus())
    }
}

impl Block {
    fn forward(
        &self,
        x: Tensor<3>,
        told: &Told,
        v_first: &mut Option<Tensor<3>>,
        state: &mut LayerState,
        tap: Tap,
    ) -> Tensor<3> {
        let normed = tap.see("att.x", self.ln1.forward(x.clone()));
        let x = x + tap.see("att", self.att.forward(normed, v_first, state, tap));
        let normed = tap.see("ffn.x", self.ln2.forward(x.clone()));
        x + tap.see("ffn", self.ffn.forward(normed, told, state, tap))
    }
}

impl ChannelMix {
    fn forward(&self, x: Tensor<3>, told: &Told, state: &mut LayerState, tap: Tap) -> Tensor<3> {
        let [b, t, c] = x.dims();
        let [_, d] = self.s1.dims();
        let stream = Stream::new(x.clone(), &mut state.ffn_x);
        let k = relu(self.key.of_blend(&stream, self.x_k.val())).square();
        let k = tap.see("ffn.k", k);

        let matrix =
            self.s_emb.forward(told.tokens.clone()) + self.s_emb_x.forward(told.embedded.clone()); // [B, T, D·D]
        let asked = x.reshape([b * t, c]).matmul(self.s1.val()); // not shifted
        let scale = asked.reshape([b * t, 1, d]).matmul(matrix.reshape([b * t, d, d]));
        let scale = scale.reshape([b * t, d]).matmul(self.s2.val());
        let [_, f] = scale.dims();
        let scale = tap.see("ffn.s", scale.reshape([b, t, f]) + self.s0.val());

        self.value.forward(k * scale)
    }
}

impl Rwkv7a {
    pub(super) fn load(w: &Weights) -> Result<Self> {
        let emb = w.embedding("emb")?;
        let dims = emb.dims();
        let blocks = (0..w.count("blocks")).map(|i| Block::load(&w.at("blocks").at(i), i, dims));
        Ok(Self {
            blocks: blocks.collect::<Result<_>>()?,
            ln_out: w.layer_norm("ln_out", dims[1])?,
            head: w.linear("head", dims)?,
            emb,
        })
    }
}

impl Block {
    fn load(w: &Weights, layer: usize, [vocabulary, c]: [usize; 2]) -> Result<Self> {
        Ok(Self {
            ln0: (layer == 0).then(|| w.layer_norm("ln0", c)).transpose()?,
            ln1: w.layer_norm("ln1", c)?,
            ln2: w.layer_norm("ln2", c)?,
            att: TimeMix::load(&w.at("att"), layer, c)?,
            ffn: ChannelMix::load(&w.at("ffn"), vocabulary, c)?,
        })
    }
}

impl ChannelMix {
    fn load(w: &Weights, vocabulary: usize, c: usize) -> Result<Self> {
        let [f, _] = w.at("key").dims("weight")?;
        let d = w.dims::<2>("s1")?[1];
        let s_emb = w.embedding("s_emb")?;
        ensure!(
            s_emb.dims() == [vocabulary, d * d],
            "`s_emb.weight` is {:?}, but {vocabulary} tokens with a matrix of {d} x {d} are expected.",
            s_emb.dims()
        );
        Ok(Self {
            x_k: w.param("x_k", [1, 1, c])?,
            key: w.linear("key", [f, c])?,
            value: w.sparse("value", [c, f])?,
            s_emb,
            s_emb_x: w.linear("s_emb_x", [d * d, c])?,
            s0: w.param("s0", [1, 1, f])?,
            s1: w.param("s1", [c, d])?,
            s2: w.param("s2", [d, f])?,
        })
    }
}
