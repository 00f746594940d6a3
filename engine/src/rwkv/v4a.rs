//! RWKV-4a: RWKV-4 with tiny attention after some of its blocks.
//!
//! Without a softmax attention is a recurrence: `M ← M + v·kᵀ`, read as `M·q / √D`, where `v` comes
//! from the token's embedding as it stands in the table. The state therefore stays of fixed size.

use anyhow::Result;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::rows::Rows;
use super::tap::Tap;
use super::v4::{ChannelMix, TimeMix};
use crate::layers::{Embedding, Linear, Norm};
use crate::state::{LayerState, State};
use crate::weights::Weights;

/// The whole model.
#[derive(Module, Debug)]
pub struct Rwkv4a {
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
    tiny_ln: Option<Norm>,  // tiny_*: only where there is tiny attention
    tiny_q: Option<Linear>, // [D, C]
    tiny_k: Option<Linear>,
    tiny_v: Option<Linear>, // [C, C]
}

impl Rwkv4a {
    pub(super) fn emb(&self) -> &Embedding {
        &self.emb
    }

    pub(super) fn hidden(&self, rows: Rows, state: &mut State, tap: Tap) -> Tensor<3> {
        let embedded = rows.x;
        let mut x = embedded.clone();
        for (i, (block, state)) in self.blocks.iter().zip(&mut state.layers).enumerate() {
            let tap = tap.at(i);
            x = tap.see("x", block.forward(x, &embedded, state, tap));
        }
        x
    }

    pub(super) fn top(&self) -> (&Norm, &Linear) {
        (&self.ln_out, &self.head)
    }

    pub(super) fn state(&self, batch: usize, device: &Device) -> State {
        let [_, c] = self.emb.dims();
        let layer = |block: &Block| {
            let tiny = block.tiny_q.as_ref().map(|q| q.dims()[0]);
            let tiny = tiny.map(|d| Tensor::zeros([batch, c, d], device));
            LayerState { tiny, ..block.att.state(batch, device) }
        };
        State::new(self.blocks.iter().map(layer).collect())
    }

    pub(super) fn decay(&self, layer: usize) -> Option<Tensor<1>> {
        Some(self.blocks.get(layer)?.att.decay())
    }

    pub(super) fn bonus(&self, layer: usize) -> Option<Tensor<2>> {
        Some(self.blocks.get(layer)?.att.bonus())
    }
}

impl Block {
    fn forward(
        &self,
        x: Tensor<3>,
        embedded: &Tensor<3>,
        state: &mut LayerState,
        tap: Tap,
    ) -> Tensor<3> {
        let x = match &self.ln0 {
            Some(ln0) => ln0.forward(x),
            None => x,
        };
        let normed = tap.see("att.x", self.ln1.forward(x.clone()));
        let x = x + tap.see("att", self.att.forward(normed, state, tap));
        let normed = tap.see("ffn.x", self.ln2.forward(x.clone()));
        let x = x + tap.see("ffn", self.ffn.forward(normed, state, tap));
        match self.tiny(&x, embedded, state, tap) {
            Some(y) => x + tap.see("tiny", y),
            None => x,
        }
    }

    /// Tiny attention of all tokens at once: each reads itself and those before.
    fn tiny(
        &self,
        x: &Tensor<3>,
        embedded: &Tensor<3>,
        state: &mut LayerState,
        tap: Tap,
    ) -> Option<Tensor<3>> {
        let memory = state.tiny.as_mut()?;
        let x = self.tiny_ln.as_ref()?.forward(x.clone());
        let k = tap.see("tiny.k", self.tiny_k.as_ref()?.forward(x.clone())); // [B, T, D]
        let q = tap.see("tiny.q", self.tiny_q.as_ref()?.forward(x));
        let v = tap.see("tiny.v", self.tiny_v.as_ref()?.forward(embedded.clone())); // [B, T, C]
        let [_, _, d] = q.dims();

        let past = q.clone().matmul(memory.clone().transpose());
        let recent = q.matmul(k.clone().transpose()).tril(0).matmul(v.clone());
        *memory = memory.clone() + v.transpose().matmul(k);
        Some((past + recent) / (d as f64).sqrt())
    }
}

impl Rwkv4a {
    pub(super) fn load(w: &Weights) -> Result<Self> {
        let emb = w.embedding("emb")?;
        let [vocabulary, c] = emb.dims();
        let blocks = (0..w.count("blocks")).map(|i| Block::load(&w.at("blocks").at(i), i, c));
        Ok(Self {
            blocks: blocks.collect::<Result<_>>()?,
            ln_out: w.layer_norm("ln_out", c)?,
            head: w.linear("head", [vocabulary, c])?,
            emb,
        })
    }
}

impl Block {
    fn load(w: &Weights, layer: usize, c: usize) -> Result<Self> {
        let tiny = w.has("tiny_q.weight");
        let d = if tiny { w.at("tiny_q").dims::<2>("weight")?[0] } else { 0 };
        let linear = |name: &str, out| tiny.then(|| w.linear(name, [out, c])).transpose();
        Ok(Self {
            ln0: (layer == 0).then(|| w.layer_norm("ln0", c)).transpose()?,
            ln1: w.layer_norm("ln1", c)?,
            ln2: w.layer_norm("ln2", c)?,
            att: TimeMix::load(&w.at("att"), c)?,
            ffn: ChannelMix::load(&w.at("ffn"), c)?,
            tiny_ln: tiny.then(|| w.layer_norm("tiny_ln", c)).transpose()?,
            tiny_q: linear("tiny_q", d)?,
            tiny_k: linear("tiny_k", d)?,
            tiny_v: linear("tiny_v", c)?,
        })
    }
}
