//! RWKV-4 "Dove" (arXiv 2305.13048).
//!
//! Every channel keeps a decaying average of values: `time_decay` and `time_first` (the bonus of
//! the current token) are one number per channel. `time_mix_*` is the share of the current token.

use anyhow::Result;
use burn::module::{Module, Param};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};
use rwkv_kernels::{Stream, wkv4};

use super::fresh::{Fresh, Sizes};
use super::rows::Rows;
use super::tap::Tap;
use super::{before, squared};
use crate::layers::{Embedding, Linear, Norm};
use crate::state::{LayerState, State};
use crate::weights::{Named, Weights};

/// The whole model.
#[derive(Module, Debug)]
pub struct Rwkv4 {
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
    time_mix_k: Param<Tensor<3>>, // time_mix_*: [1, 1, C]
    time_mix_v: Param<Tensor<3>>,
    time_mix_r: Param<Tensor<3>>,
    time_decay: Param<Tensor<1>>, // [A], the channels of time-mix, usually C
    time_first: Param<Tensor<1>>,
    receptance: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
}

#[derive(Module, Debug)]
pub(super) struct ChannelMix {
    time_mix_k: Param<Tensor<3>>,
    time_mix_r: Param<Tensor<3>>,
    receptance: Linear,
    key: Linear,
    value: Linear,
}

impl Rwkv4 {
    pub(super) fn emb(&self) -> &Embedding {
        &self.emb
    }

    pub(super) fn hidden(&self, rows: Rows, state: &mut State, tap: Tap) -> Tensor<3> {
        let mut x = rows.x;
        for (i, (block, state)) in self.blocks.iter().zip(&mut state.layers).enumerate() {
            let tap = tap.at(i);
            x = tap.see("x", block.forward(x, state, tap));
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

    pub(super) fn decay(&self, layer: usize) -> Option<Tensor<1>> {
        Some(self.blocks.get(layer)?.att.decay())
    }

    pub(super) fn bonus(&self, layer: usize) -> Option<Tensor<2>> {
        Some(self.blocks.get(layer)?.att.bonus())
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
    pub(super) fn state(&self, batch: usize, device: &Device) -> LayerState {
        let ([a], [_, _, c]) = (self.time_decay.dims(), self.time_mix_k.dims());
        let sums = Tensor::zeros([batch, 1, 2, a], device);
        // Below every exponent, but finite: -inf would make the first difference NaN.
        let largest = Tensor::full([batch, 1, 1, a], -1e30, device);
        LayerState {
            att_x: Tensor::zeros([batch, c], device),
            ffn_x: Tensor::zeros([batch, c], device),
            wkv: Tensor::cat(vec![sums, largest], 2),
            tiny: None,
        }
    }

    pub(super) fn forward(&self, x: Tensor<3>, state: &mut LayerState, tap: Tap) -> Tensor<3> {
        let x = Stream::new(x, &mut state.att_x);
        let [r, k, v] = Linear::of_blends(
            &x,
            [
                (&self.receptance, before(&self.time_mix_r)),
                (&self.key, before(&self.time_mix_k)),
                (&self.value, before(&self.time_mix_v)),
            ],
        );
        let r = tap.see("r", sigmoid(r));
        let (k, v) = (tap.see("k", k), tap.see("v", v));

        let y = wkv4(self.decay(), self.time_first.val(), k, v, &mut state.wkv);
        self.output.forward(tap.see("o", r * tap.see("y", y)))
    }

    /// The logarithm `w` of the decay, `[A]`: the decay is e^w.
    pub(super) fn decay(&self) -> Tensor<1> {
        -self.time_decay.val().exp()
    }

    /// The bonus of the current token, `[1, A]`.
    pub(super) fn bonus(&self) -> Tensor<2> {
        self.time_first.val().unsqueeze()
    }
}

impl ChannelMix {
    pub(super) fn forward(&self, x: Tensor<3>, state: &mut LayerState, tap: Tap) -> Tensor<3> {
        let x = Stream::new(x, &mut state.ffn_x);
        let [r, k] = Linear::of_blends(
            &x,
            [(&self.receptance, before(&self.time_mix_r)), (&self.key, before(&self.time_mix_k))],
        );
        let r = tap.see("ffn.r", sigmoid(r));
        r * squared(&self.value, k, tap)
    }
}

impl Rwkv4 {
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
    pub(super) fn load(w: &Weights, c: usize) -> Result<Self> {
        let [a] = w.dims("time_decay")?;
        Ok(Self {
            time_mix_k: w.param("time_mix_k", [1, 1, c])?,
            time_mix_v: w.param("time_mix_v", [1, 1, c])?,
            time_mix_r: w.param("time_mix_r", [1, 1, c])?,
            time_decay: w.param("time_decay", [a])?,
            time_first: w.param("time_first", [a])?,
            receptance: w.linear("receptance", [a, c])?,
            key: w.linear("key", [a, c])?,
            value: w.linear("value", [a, c])?,
            output: w.linear("output", [c, a])?,
        })
    }
}

impl ChannelMix {
    pub(super) fn load(w: &Weights, c: usize) -> Result<Self> {
        let [f, _] = w.at("key").dims("weight")?;
        Ok(Self {
            time_mix_k: w.param("time_mix_k", [1, 1, c])?,
            time_mix_r: w.param("time_mix_r", [1, 1, c])?,
            receptance: w.linear("receptance", [c, c])?,
            key: w.linear("key", [f, c])?,
            value: w.sparse("value", [c, f])?,
        })
    }
}

/// Starting values of RWKV-4 for training (RWKV-LM, RWKV-v4neo): matrices that a block adds with
/// start at zero, so that it starts as the identity.
pub(super) fn fresh(sizes: &Sizes, mut new: Fresh) -> Named {
    let Sizes { n_layer, n_embd: c, vocab_size: v, dim_ffn: f, .. } = *sizes;
    new.uniform("emb.weight", [v, c], 1e-4);
    for layer in 0..n_layer {
        let at = |name: &str| format!("blocks.{layer}.{name}");
        let (depth, rest) = sizes.depth(layer);
        let d = |i: usize| i as f32 / c as f32;
        if layer == 0 {
            new.norm(&at("ln0"), c);
        }
        new.norm(&at("ln1"), c);
        new.norm(&at("ln2"), c);

        let mix = [1, 1, c];
        new.each(&at("att.time_mix_k"), mix, |i| d(i).powf(rest));
        new.each(&at("att.time_mix_v"), mix, |i| d(i).powf(rest) + 0.3 * depth);
        new.each(&at("att.time_mix_r"), mix, |i| d(i).powf(0.5 * rest));
        let along = |i: usize| i as f32 / (c.max(2) - 1) as f32;
        new.each(&at("att.time_decay"), [c], |i| -5.0 + 8.0 * along(i).powf(0.7 + 1.3 * depth));
        new.each(&at("att.time_first"), [c], |i| 0.3f32.ln() + 0.5 * ((i + 1) % 3) as f32 - 0.5);
        for name in ["receptance", "key", "output"] {
            new.each(&at(&format!("att.{name}.weight")), [c, c], |_| 0.0);
        }
        new.orthogonal(&at("att.value.weight"), [c, c], 1.0);

        new.each(&at("ffn.time_mix_k"), mix, |i| d(i).powf(rest));
        new.each(&at("ffn.time_mix_r"), mix, |i| d(i).powf(rest));
        new.orthogonal(&at("ffn.key.weight"), [f, c], (f as f32 / c as f32).max(1.0).sqrt());
        new.each(&at("ffn.receptance.weight"), [c, c], |_| 0.0);
        new.each(&at("ffn.value.weight"), [c, f], |_| 0.0);
    }
    new.norm("ln_out", c);
    new.orthogonal("head.weight", [v, c], 0.5 * (v as f32 / c as f32).max(1.0).sqrt());
    new.done()
}
