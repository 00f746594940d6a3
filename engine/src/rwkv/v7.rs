//! RWKV-7 "Goose" (arXiv 2503.14456), x070.
//!
//! The state is a matrix per head, `[value, key]`, edited by a generalised delta rule: old content
//! is taken out under one key while new content goes in under another. Letters as in the paper and
//! in checkpoints: `r` receptance, `w` decay, `k` key, `v` value, `a` in-context learning rate,
//! `g` gate; `x_r` is how much of the previous token `r` reads.

use anyhow::Result;
use burn::module::{Module, Param};
use burn::tensor::activation::{sigmoid, tanh};
use burn::tensor::{Device, Tensor};
use rwkv_kernels::{Stream, decay, edit_key, lend, thin_linear, thin_sigmoid, unit_key, wkv7};

use super::fresh::{Fresh, Sizes};
use super::rows::Rows;
use super::squared;
use super::tap::Tap;
use crate::layers::{Embedding, Held, Linear, Norm};
use crate::state::{LayerState, State};
use crate::weights::{Named, Weights};

/// The whole model.
#[derive(Module, Debug)]
pub struct Rwkv7 {
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
pub(super) struct TimeMix {
    x_r: Param<Tensor<3>>, // x_*, w0, a0, v0, k_k, k_a: [1, 1, C]
    x_w: Param<Tensor<3>>,
    x_k: Param<Tensor<3>>,
    x_v: Param<Tensor<3>>,
    x_a: Param<Tensor<3>>,
    x_g: Param<Tensor<3>>,
    w0: Param<Tensor<3>>,
    w1: Held, // *1: [C, D]
    w2: Held, // *2: [D, C]
    a0: Param<Tensor<3>>,
    a1: Held,
    a2: Held,
    v0: Option<Param<Tensor<3>>>, // unused in the first block, where some files have none
    v1: Option<Held>,
    v2: Option<Held>,
    g1: Held,
    g2: Held,
    k_k: Param<Tensor<3>>,
    k_a: Param<Tensor<3>>,
    r_k: Param<Tensor<2>>, // [H, N]
    receptance: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    ln_x: Norm,
}

#[derive(Module, Debug)]
struct ChannelMix {
    x_k: Param<Tensor<3>>,
    key: Linear,
    value: Linear,
}

impl Rwkv7 {
    pub(super) fn emb(&self) -> &Embedding {
        &self.emb
    }

    pub(super) fn hidden(&self, rows: Rows, state: &mut State, tap: Tap) -> Tensor<3> {
        let mut x = rows.x;
        let mut v_first = None;
        for (i, (block, state)) in self.blocks.iter().zip(&mut state.layers).enumerate() {
            let tap = tap.at(i);
            x = tap.see("x", block.forward(x, &mut v_first, state, tap));
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
        v_first: &mut Option<Tensor<3>>,
        state: &mut LayerState,
        tap: Tap,
    ) -> Tensor<3> {
        let x = match &self.ln0 {
            Some(ln0) => ln0.forward(x),
            None => x,
        };
        let normed = tap.see("att.x", self.ln1.forward(x.clone()));
        let x = x + tap.see("att", self.att.forward(normed, v_first, state, tap));
        let normed = tap.see("ffn.x", self.ln2.forward(x.clone()));
        x + tap.see("ffn", self.ffn.forward(normed, state, tap))
    }
}

impl TimeMix {
    pub(super) fn state(&self, batch: usize, device: &Device) -> LayerState {
        let [h, n] = self.r_k.dims();
        LayerState {
            att_x: Tensor::zeros([batch, h * n], device),
            ffn_x: Tensor::zeros([batch, h * n], device),
            wkv: Tensor::zeros([batch, h, n, n], device),
            tiny: None,
        }
    }

    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        v_first: &mut Option<Tensor<3>>,
        state: &mut LayerState,
        tap: Tap,
    ) -> Tensor<3> {
        let [b, t, _] = x.dims();
        let [h, n] = self.r_k.dims();
        let heads = |x: Tensor<3>| x.reshape([b, t, h, n]);

        // Each projection reads its own blend of this token and the one before.
        let x = Stream::new(x, &mut state.att_x);
        let [r, k, v] = Linear::of_blends(
            &x,
            [
                (&self.receptance, self.x_r.val()),
                (&self.key, self.x_k.val()),
                (&self.value, self.x_v.val()),
            ],
        );
        let [w, a, g] = x.narrow([
            (self.x_w.val(), self.w1.weight()),
            (self.x_a.val(), self.a1.weight()),
            (self.x_g.val(), self.g1.weight()),
        ]);
        let r = tap.see("r", heads(r));
        let v = tap.see("v", heads(self.lend(v, &x, v_first)));
        let w = decay(tanh(w), self.w2.weight(), self.w0.val()); // in (0.545, 1)
        let w = tap.see("w", heads(w));
        let a = tap.see("a", thin_sigmoid(a, self.a2.weight(), self.a0.val()));
        let g = tap.see("g", thin_linear(sigmoid(g), self.g2.weight()));

        // The key under which old content is taken out, and the key under which new goes in.
        let kappa = tap.see("kappa", unit_key(k.clone(), self.k_k.val(), h));
        let k = tap.see("k", heads(edit_key(k, a.clone(), self.k_a.val())));

        let y = wkv7(r.clone(), w, k.clone(), v.clone(), kappa, heads(a), &mut state.wkv);
        let y = tap.see("y", y);
        self.output.forward(tap.see("o", self.ln_x.read_out([y, r, k, v], g, self.r_k.val())))
    }

    /// The bonus of the current token, `[H, N]`.
    pub(super) fn bonus(&self) -> Tensor<2> {
        self.r_k.val()
    }

    /// Later blocks borrow from the values of the first one, which lends them unmixed.
    fn lend(&self, v: Tensor<3>, x: &Stream, v_first: &mut Option<Tensor<3>>) -> Tensor<3> {
        match (v_first, &self.v0, &self.v1, &self.v2) {
            (Some(first), Some(v0), Some(v1), Some(v2)) => {
                let [share] = x.narrow([(self.x_v.val(), v1.weight())]);
                lend([v, first.clone()], share, v2.weight(), v0.val())
            }
            (first, ..) => first.insert(v).clone(),
        }
    }
}

impl ChannelMix {
    fn forward(&self, x: Tensor<3>, state: &mut LayerState, tap: Tap) -> Tensor<3> {
        let x = Stream::new(x, &mut state.ffn_x);
        squared(&self.value, self.key.of_blend(&x, self.x_k.val()), tap)
    }
}

impl Rwkv7 {
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
            att: TimeMix::load(&w.at("att"), layer, c)?,
            ffn: ChannelMix::load(&w.at("ffn"), c)?,
        })
    }
}

impl TimeMix {
    pub(super) fn load(w: &Weights, layer: usize, c: usize) -> Result<Self> {
        let [h, n] = w.dims("r_k")?;
        anyhow::ensure!(h * n == c, "{h} heads of {n} channels do not make {c} channels.");
        let rank = |name: &str| Ok::<_, anyhow::Error>(w.dims::<2>(name)?[1]);
        let (dw, da, dg) = (rank("w1")?, rank("a1")?, rank("g1")?);
        // Only the first block may go without.
        let lends = layer == 0 && !w.has("v1");
        let dv = if lends { 0 } else { rank("v1")? };
        Ok(Self {
            x_r: w.param("x_r", [1, 1, c])?,
            x_w: w.param("x_w", [1, 1, c])?,
            x_k: w.param("x_k", [1, 1, c])?,
            x_v: w.param("x_v", [1, 1, c])?,
            x_a: w.param("x_a", [1, 1, c])?,
            x_g: w.param("x_g", [1, 1, c])?,
            w0: w.param("w0", [1, 1, c])?,
            w1: w.thin("w1", [c, dw])?,
            w2: w.thin("w2", [dw, c])?,
            a0: w.param("a0", [1, 1, c])?,
            a1: w.thin("a1", [c, da])?,
            a2: w.thin("a2", [da, c])?,
            v0: (!lends).then(|| w.param("v0", [1, 1, c])).transpose()?,
            v1: (!lends).then(|| w.thin("v1", [c, dv])).transpose()?,
            v2: (!lends).then(|| w.thin("v2", [dv, c])).transpose()?,
            g1: w.thin("g1", [c, dg])?,
            g2: w.thin("g2", [dg, c])?,
            k_k: w.param("k_k", [1, 1, c])?,
            k_a: w.param("k_a", [1, 1, c])?,
            r_k: w.param("r_k", [h, n])?,
            receptance: w.linear("receptance", [c, c])?,
            key: w.linear("key", [c, c])?,
            value: w.linear("value", [c, c])?,
            output: w.linear("output", [c, c])?,
            ln_x: w.head_norm("ln_x", h, c)?,
        })
    }
}

impl ChannelMix {
    fn load(w: &Weights, c: usize) -> Result<Self> {
        let [f, _] = w.at("key").dims("weight")?;
        Ok(Self {
            x_k: w.param("x_k", [1, 1, c])?,
            key: w.linear("key", [f, c])?,
            value: w.sparse("value", [c, f])?,
        })
    }
}

/// Starting values of RWKV-7 for training (RWKV-LM, RWKV-v5/src/model.py, `x070`).
pub(super) fn fresh(sizes: &Sizes, mut new: Fresh) -> Named {
    let Sizes { n_layer, n_embd: c, vocab_size: v, dim_ffn: f, .. } = *sizes;
    new.uniform("emb.weight", [v, c], 1e-4);
    for layer in 0..n_layer {
        let at = |name: &str| format!("blocks.{layer}.{name}");
        if layer == 0 {
            new.norm(&at("ln0"), c);
        }
        new.norm(&at("ln1"), c);
        new.norm(&at("ln2"), c);
        fresh_time_mix(&mut new, sizes, layer);

        let (_, rest) = sizes.depth(layer);
        new.each(&at("ffn.x_k"), [1, 1, c], |i| 1.0 - (i as f32 / c as f32).powf(rest.powi(4)));
        new.orthogonal(&at("ffn.key.weight"), [f, c], 1.0);
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
    let vector = [1, 1, c];
    for (name, power) in [("r", 0.2), ("w", 0.9), ("k", 0.7), ("v", 0.7), ("a", 0.9), ("g", 0.2)] {
        let name = at(&format!("x_{name}"));
        new.each(&name, vector, |i| 1.0 - (i as f32 / c as f32).powf(power * rest));
    }

    let along = |i: usize| i as f32 / (c.max(2) - 1) as f32; // 0 … 1 over the channels
    let linear = |i: usize| along(i) - 0.5;
    let zigzag = |i: usize| {
        let half = (n.max(2) - 1) as f32 / 2.0;
        let z = ((i % n) as f32 - half) / half;
        z * z.abs()
    };
    new.each(&at("w0"), vector, |i| {
        -6.0 + 6.0 * along(i).powf(1.0 + depth.powf(0.3)) + 0.5 + 2.5 * zigzag(i)
    });
    new.each(&at("a0"), vector, |i| -0.19 + 0.3 * zigzag(i) + 0.4 * linear(i));
    new.each(&at("k_k"), vector, |i| 0.71 - 0.1 * linear(i));
    new.each(&at("k_a"), vector, |_| 1.02);
    new.each(&at("r_k"), [c / n, n], |_| -0.04);
    if layer > 0 {
        new.each(&at("v0"), vector, |i| 0.73 - 0.4 * linear(i));
    }
    for (letter, rank) in sizes.ranks() {
        if letter == "v" && layer == 0 {
            continue; // nobody to borrow from
        }
        new.each(&at(&format!("{letter}1")), [c, rank], |_| 0.0);
        let gain = 0.1 * (rank as f32 / c as f32).max(1.0).sqrt();
        new.orthogonal(&at(&format!("{letter}2")), [rank, c], gain);
    }

    new.orthogonal(&at("receptance.weight"), [c, c], 1.0);
    new.orthogonal(&at("key.weight"), [c, c], 0.1);
    new.orthogonal(&at("value.weight"), [c, c], 1.0);
    new.each(&at("output.weight"), [c, c], |_| 0.0);
    let scale = ((1 + layer) as f32 / n_layer as f32).powf(0.7);
    new.each(&at("ln_x.weight"), [c], |_| scale);
    new.each(&at("ln_x.bias"), [c], |_| 0.0);
}
