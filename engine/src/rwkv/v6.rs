//! RWKV-6 "Finch" (arXiv 2404.05892), x060.
//!
//! As RWKV-5, but how much of the previous token is read (`time_maa_*`) and how fast the state
//! fades (`time_decay`) depend on the tokens themselves, through two thin matrices each.
//! `time_maa_*` is the share of the difference to the previous token.

use anyhow::{Result, ensure};
use burn::module::{Module, Param};
use burn::tensor::activation::{sigmoid, silu, tanh};
use burn::tensor::{Device, Tensor};
use rwkv_kernels::{Stream, thin_linear, wkv6};

use super::fresh::{Fresh, Sizes};
use super::rows::Rows;
use super::squared;
use super::tap::Tap;
use crate::layers::{Embedding, Linear, Norm};
use crate::state::{LayerState, State};
use crate::weights::{Named, Weights};

/// The whole model.
#[derive(Module, Debug)]
pub struct Rwkv6 {
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
struct TimeMix {
    time_maa_x: Param<Tensor<3>>, // time_maa_*, time_decay: [1, 1, C]
    time_maa_w: Param<Tensor<3>>,
    time_maa_k: Param<Tensor<3>>,
    time_maa_v: Param<Tensor<3>>,
    time_maa_r: Param<Tensor<3>>,
    time_maa_g: Param<Tensor<3>>,
    time_maa_w1: Param<Tensor<2>>, // [C, 5·D]
    time_maa_w2: Param<Tensor<3>>, // [5, D, C], in the order w k v r g
    time_decay: Param<Tensor<3>>,
    time_decay_w1: Param<Tensor<2>>, // [C, D]
    time_decay_w2: Param<Tensor<2>>, // [D, C]
    time_faaaa: Param<Tensor<2>>,    // the bonus u: [H, N]
    receptance: Linear,
    key: Linear,
    value: Linear,
    gate: Linear,
    output: Linear,
    ln_x: Norm,
}

#[derive(Module, Debug)]
struct ChannelMix {
    time_maa_k: Param<Tensor<3>>,
    time_maa_r: Param<Tensor<3>>,
    receptance: Linear,
    key: Linear,
    value: Linear,
}

impl Rwkv6 {
    pub(super) fn emb(&self) -> &Embedding {
        &self.emb
    }

    pub(super) fn hidden(&self, rows: Rows, state: &mut State, tap: Tap) -> Tensor<3> {
        let Rows { mut x, scan, .. } = rows;
        for (i, (block, state)) in self.blocks.iter().zip(&mut state.layers).enumerate() {
            let tap = tap.at(i);
            let seen = block.forward(scan.turned(i, x), state, tap);
            x = tap.see("x", scan.back(i, seen));
        }
        x
    }

    pub(super) fn top(&self) -> (&Norm, &Linear) {
        (&self.ln_out, &self.head)
    }

    pub(super) fn state(&self, batch: usize, device: &Device) -> State {
        let [_, c] = self.emb.dims();
        let layer = |block: &Block| {
            let [h, n] = block.att.time_faaaa.dims();
            LayerState {
                att_x: Tensor::zeros([batch, c], device),
                ffn_x: Tensor::zeros([batch, c], device),
                wkv: Tensor::zeros([batch, h, n, n], device),
                tiny: None,
            }
        };
        State::new(self.blocks.iter().map(layer).collect())
    }

    pub(super) fn bonus(&self, layer: usize) -> Option<Tensor<2>> {
        Some(self.blocks.get(layer)?.att.time_faaaa.val())
    }
}

impl Block {
    fn forward(&self, x: Tensor<3>, state: &mut LayerState, tap: Tap) -> Tensor<3> {
        let x = match &self.ln0 {
            Some(ln0) => ln0.forward(x),
            None => x,
        };
        let normed = tap.see("att.x", self.ln1.forward(x.clone()));
        let x = x + tap.see("att", self.att.forward(normed, state, tap));
        let normed = tap.see("ffn.x", self.ln2.forward(x.clone()));
        x + tap.see("ffn", self.ffn.forward(normed, state, tap))
    }
}

impl TimeMix {
    fn forward(&self, x: Tensor<3>, state: &mut LayerState, tap: Tap) -> Tensor<3> {
        let [b, t, c] = x.dims();
        let [h, n] = self.time_faaaa.dims();
        let heads = |x: Tensor<3>| x.reshape([b, t, h, n]);

        // The token decides itself how much of the one before it reads, for each of w k v r g.
        let stream = Stream::new(x.clone(), &mut state.att_x);
        let dx = stream.before() - x.clone();
        let asked = x.clone() + dx.clone() * self.time_maa_x.val();
        let [five, thin, _] = self.time_maa_w2.dims();
        let mu = tanh(asked.reshape([b * t, c]).matmul(self.time_maa_w1.val()))
            .reshape([b * t, five, thin])
            .swap_dims(0, 1)
            .matmul(self.time_maa_w2.val()); // [5, B·T, C]
        let blend = |i: usize, base: &Param<Tensor<3>>| {
            let mu = mu.clone().narrow(0, i, 1).reshape([b, t, c]);
            x.clone() + dx.clone() * (mu + base.val())
        };

        let x_w = blend(0, &self.time_maa_w);
        let d = tanh(thin_linear(x_w, self.time_decay_w1.val()));
        let d = self.time_decay.val() + thin_linear(d, self.time_decay_w2.val());
        let d = tap.see("d", heads(-d.exp())); // the decay is eᵈ
        let k = tap.see("k", heads(self.key.forward(blend(1, &self.time_maa_k))));
        let v = tap.see("v", heads(self.value.forward(blend(2, &self.time_maa_v))));
        let r = tap.see("r", heads(self.receptance.forward(blend(3, &self.time_maa_r))));
        let g = tap.see("g", silu(self.gate.forward(blend(4, &self.time_maa_g))));

        let y = tap.see("y", wkv6(r, d, k, v, self.time_faaaa.val(), &mut state.wkv));
        let y = self.ln_x.forward(y.reshape([b, t, h * n]));
        self.output.forward(tap.see("o", y * g))
    }
}

impl ChannelMix {
    fn forward(&self, x: Tensor<3>, state: &mut LayerState, tap: Tap) -> Tensor<3> {
        let x = Stream::new(x, &mut state.ffn_x);
        let [r, k] = Linear::of_blends(
            &x,
            [(&self.receptance, self.time_maa_r.val()), (&self.key, self.time_maa_k.val())],
        );
        let r = tap.see("ffn.r", sigmoid(r));
        r * squared(&self.value, k, tap)
    }
}

impl Rwkv6 {
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
        Ok(Self {
            ln0: (layer == 0).then(|| w.layer_norm("ln0", c)).transpose()?,
            ln1: w.layer_norm("ln1", c)?,
            ln2: w.layer_norm("ln2", c)?,
            att: TimeMix::load(&w.at("att"), c)?,
            ffn: ChannelMix::load(&w.at("ffn"), c)?,
        })
    }
}

impl TimeMix {
    fn load(w: &Weights, c: usize) -> Result<Self> {
        let [h, n] = w.dims("time_faaaa")?;
        let a = h * n; // the channels of time-mix, usually C
        let [five, thin, _] = w.dims("time_maa_w2")?;
        ensure!(five == 5, "`time_maa_w2` holds {five} matrices, not one for each of w k v r g.");
        let decay = w.dims::<2>("time_decay_w1")?[1];
        let vector = |name: &str| w.param(name, [1, 1, c]);
        Ok(Self {
            time_maa_x: vector("time_maa_x")?,
            time_maa_w: vector("time_maa_w")?,
            time_maa_k: vector("time_maa_k")?,
            time_maa_v: vector("time_maa_v")?,
            time_maa_r: vector("time_maa_r")?,
            time_maa_g: vector("time_maa_g")?,
            time_maa_w1: w.param("time_maa_w1", [c, 5 * thin])?,
            time_maa_w2: w.param("time_maa_w2", [5, thin, c])?,
            time_decay: w.param("time_decay", [1, 1, a])?,
            time_decay_w1: w.param("time_decay_w1", [c, decay])?,
            time_decay_w2: w.param("time_decay_w2", [decay, a])?,
            time_faaaa: w.param("time_faaaa", [h, n])?,
            receptance: w.linear("receptance", [a, c])?,
            key: w.linear("key", [a, c])?,
            value: w.linear("value", [a, c])?,
            gate: w.linear("gate", [a, c])?,
            output: w.linear("output", [c, a])?,
            ln_x: w.head_norm("ln_x", h, a)?,
        })
    }
}

impl ChannelMix {
    fn load(w: &Weights, c: usize) -> Result<Self> {
        let [f, _] = w.at("key").dims("weight")?;
        Ok(Self {
            time_maa_k: w.param("time_maa_k", [1, 1, c])?,
            time_maa_r: w.param("time_maa_r", [1, 1, c])?,
            receptance: w.linear("receptance", [c, c])?,
            key: w.linear("key", [f, c])?,
            value: w.sparse("value", [c, f])?,
        })
    }
}

/// Starting values of RWKV-6 for training (RWKV-LM, RWKV-v5/src/model.py, `x060`).
pub(super) fn fresh(sizes: &Sizes, mut new: Fresh) -> Named {
    let Sizes { n_layer, n_embd: c, vocab_size: v, dim_ffn: f, .. } = *sizes;
    new.uniform("emb.weight", [v, c], 1e-4);
    for layer in 0..n_layer {
        let at = |name: &str| format!("blocks.{layer}.{name}");
        let (_, rest) = sizes.depth(layer);
        if layer == 0 {
            new.norm(&at("ln0"), c);
        }
        new.norm(&at("ln1"), c);
        new.norm(&at("ln2"), c);
        fresh_time_mix(&mut new, sizes, layer);

        for name in ["ffn.time_maa_k", "ffn.time_maa_r"] {
            new.each(&at(name), [1, 1, c], |i| 1.0 - (i as f32 / c as f32).powf(rest.powi(3)));
        }
        new.orthogonal(&at("ffn.key.weight"), [f, c], 1.0);
        new.each(&at("ffn.receptance.weight"), [c, c], |_| 0.0);
        new.each(&at("ffn.value.weight"), [c, f], |_| 0.0);
    }
    new.norm("ln_out", c);
    let gain = if v > c { 0.5 * (v as f32 / c as f32).sqrt() } else { 0.5 };
    new.orthogonal("head.weight", [v, c], gain);
    new.done()
}

fn fresh_time_mix(new: &mut Fresh, sizes: &Sizes, layer: usize) {
    let Sizes { n_layer, n_embd: c, head_size: n, .. } = *sizes;
    let at = |name: &str| format!("blocks.{layer}.att.{name}");
    let (depth, rest) = sizes.depth(layer);
    let d = |i: usize| i as f32 / c as f32;
    let vector = [1, 1, c];
    for name in ["x", "w", "k"] {
        new.each(&at(&format!("time_maa_{name}")), vector, |i| 1.0 - d(i).powf(rest));
    }
    new.each(&at("time_maa_v"), vector, |i| 1.0 - (d(i).powf(rest) + 0.3 * depth));
    for name in ["r", "g"] {
        new.each(&at(&format!("time_maa_{name}")), vector, |i| 1.0 - d(i).powf(0.5 * rest));
    }
    let (thin, decay) = sizes.ranks_of_v6();
    new.each(&at("time_maa_w1"), [c, 5 * thin], |_| 0.0);
    new.uniform(&at("time_maa_w2"), [5, thin, c], 0.01);

    let along = |i: usize| i as f32 / (c.max(2) - 1) as f32;
    new.each(&at("time_decay"), vector, |i| -6.0 + 5.0 * along(i).powf(0.7 + 1.3 * depth));
    new.each(&at("time_decay_w1"), [c, decay], |_| 0.0);
    new.uniform(&at("time_decay_w2"), [decay, c], 0.01);
    let zigzag = |i: usize| ((i + 1) % 3) as f32 - 1.0;
    let bonus = |i: usize| depth * (1.0 - along(i)) + 0.1 * zigzag(i);
    new.each(&at("time_faaaa"), [c / n, n], bonus);

    new.orthogonal(&at("receptance.weight"), [c, c], 1.0);
    new.orthogonal(&at("key.weight"), [c, c], 0.1);
    new.orthogonal(&at("value.weight"), [c, c], 1.0);
    new.orthogonal(&at("gate.weight"), [c, c], 0.1);
    new.each(&at("output.weight"), [c, c], |_| 0.0);
    let scale = ((1 + layer) as f32 / n_layer as f32).powf(0.7);
    new.each(&at("ln_x.weight"), [c], |_| scale);
    new.each(&at("ln_x.bias"), [c], |_| 0.0);
}
