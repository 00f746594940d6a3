//! RWKV-5 "Eagle" (arXiv 2404.05892) in its three releases.
//!
//! The state is a matrix per head, `[value, key]`, that fades along its keys. 5.0 has one decay per
//! head; 5.1 adds a gate; 5.2 has a decay per channel. `time_mix_*` is the share of the current
//! token, as in RWKV-4, and so is channel-mix.

use anyhow::{Result, ensure};
use burn::module::{Module, Param};
use burn::tensor::activation::silu;
use burn::tensor::{Device, Tensor};
use rwkv_kernels::{Stream, wkv6};

use super::fresh::{Fresh, Sizes};
use super::rows::Rows;
use super::tap::Tap;
use super::v4::ChannelMix;
use super::{Version, before};
use crate::layers::{Embedding, Linear, Norm};
use crate::state::{LayerState, State};
use crate::weights::{Named, Weights};

/// The whole model.
#[derive(Module, Debug)]
pub struct Rwkv5 {
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
    time_mix_k: Param<Tensor<3>>, // time_mix_*: [1, 1, C]
    time_mix_v: Param<Tensor<3>>,
    time_mix_r: Param<Tensor<3>>,
    time_mix_g: Option<Param<Tensor<3>>>, // none in 5.0
    time_decay: Param<Tensor<2>>,         // [H, 1], in 5.2 [H, N]
    time_first: Option<Param<Tensor<2>>>, // logarithm of the bonus, shaped like the decay; or
    time_faaaa: Option<Param<Tensor<2>>>, // the bonus itself
    receptance: Linear,
    key: Linear,
    value: Linear,
    gate: Option<Linear>, // none in 5.0
    output: Linear,
    ln_x: Norm,
}

impl Rwkv5 {
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
            let [h, n] = block.att.heads();
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
        Some(self.blocks.get(layer)?.att.bonus())
    }

    pub(super) fn version(&self) -> Version {
        match self.blocks.first().map(|block| (&block.att.gate, block.att.time_decay.dims())) {
            Some((None, _)) => Version::V50,
            Some((_, [_, 1])) => Version::V51,
            _ => Version::V52,
        }
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
        let [b, t, _] = x.dims();
        let [h, n] = self.heads();
        let heads = |x: Tensor<3>| x.reshape([b, t, h, n]);

        let x = Stream::new(x, &mut state.att_x);
        let [r, k, v] = Linear::of_blends(
            &x,
            [
                (&self.receptance, before(&self.time_mix_r)),
                (&self.key, before(&self.time_mix_k)),
                (&self.value, before(&self.time_mix_v)),
            ],
        );
        let r = tap.see("r", heads(r));
        let k = tap.see("k", heads(k));
        let v = tap.see("v", heads(v));
        // One decay eᵈ serves all tokens; only who looks is shown one for each.
        let shape = if tap.looks() { [b, t, h, n] } else { [1, 1, h, n] };
        let d = tap.see("d", (-self.time_decay.val().exp()).expand(shape));

        let y = tap.see("y", wkv6(r, d, k, v, self.bonus(), &mut state.wkv));
        let y = self.ln_x.forward(y.reshape([b, t, h * n]));
        match (&self.gate, &self.time_mix_g) {
            (Some(gate), Some(mix)) => {
                let g = tap.see("g", silu(gate.of_blend(&x, before(mix))));
                self.output.forward(tap.see("o", y * g))
            }
            _ => self.output.forward(tap.see("o", y)),
        }
    }

    /// Number of heads and channels of a head; together they are usually the C of the model.
    fn heads(&self) -> [usize; 2] {
        let [h, _] = self.time_decay.dims();
        [h, self.ln_x.channels() / h]
    }

    /// The bonus of the current token, `[H, N]`.
    fn bonus(&self) -> Tensor<2> {
        let bonus = match (&self.time_first, &self.time_faaaa) {
            (Some(first), _) => first.val().exp(),
            (_, Some(bonus)) => bonus.val(),
            _ => Tensor::zeros([1, 1], &self.time_decay.device()), // loading has refused this
        };
        bonus.expand(self.heads())
    }
}

impl Rwkv5 {
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
        // [H], [H, 1] and [H, 1, 1] are the same; only 5.2 has a second axis with something in it.
        let shape = w.shape("time_decay")?;
        let (h, channels) = match shape[..] {
            [h, n, ..] if n > 1 => (h, n),
            _ => (shape.iter().product(), 1),
        };
        let [a, _] = w.at("key").dims("weight")?;
        let fits = h > 0 && a.is_multiple_of(h) && (channels == 1 || h * channels == a);
        ensure!(fits, "`time_decay` of shape {shape:?} does not fit {a} channels.");
        let (first, gated) = (w.has("time_first"), w.has("gate.weight"));
        let bonus = |name: &str| w.param(name, [h, channels]);
        Ok(Self {
            time_mix_k: w.param("time_mix_k", [1, 1, c])?,
            time_mix_v: w.param("time_mix_v", [1, 1, c])?,
            time_mix_r: w.param("time_mix_r", [1, 1, c])?,
            time_mix_g: gated.then(|| w.param("time_mix_g", [1, 1, c])).transpose()?,
            time_decay: w.param("time_decay", [h, channels])?,
            time_first: first.then(|| bonus("time_first")).transpose()?,
            time_faaaa: (!first).then(|| bonus("time_faaaa")).transpose()?,
            receptance: w.linear("receptance", [a, c])?,
            key: w.linear("key", [a, c])?,
            value: w.linear("value", [a, c])?,
            gate: gated.then(|| w.linear("gate", [a, c])).transpose()?,
            output: w.linear("output", [c, a])?,
            ln_x: w.head_norm("ln_x", h, a)?,
        })
    }
}

/// Starting values of RWKV-5 for training (RWKV-LM, RWKV-v5/src/model.py, `x052` and before).
pub(super) fn fresh(version: Version, sizes: &Sizes, mut new: Fresh) -> Named {
    let Sizes { n_layer, n_embd: c, vocab_size: v, dim_ffn: f, .. } = *sizes;
    new.uniform("emb.weight", [v, c], 1e-4);
    for layer in 0..n_layer {
        let at = |name: &str| format!("blocks.{layer}.{name}");
        let (_, rest) = sizes.depth(layer);
        let d = |i: usize| i as f32 / c as f32;
        if layer == 0 {
            new.norm(&at("ln0"), c);
        }
        new.norm(&at("ln1"), c);
        new.norm(&at("ln2"), c);
        fresh_time_mix(&mut new, version, sizes, layer);

        new.each(&at("ffn.time_mix_k"), [1, 1, c], |i| d(i).powf(rest));
        new.each(&at("ffn.time_mix_r"), [1, 1, c], |i| d(i).powf(rest));
        new.orthogonal(&at("ffn.key.weight"), [f, c], 1.0);
        new.each(&at("ffn.receptance.weight"), [c, c], |_| 0.0);
        new.each(&at("ffn.value.weight"), [c, f], |_| 0.0);
    }
    new.norm("ln_out", c);
    let gain = if v > c { 0.5 * (v as f32 / c as f32).sqrt() } else { 0.5 };
    new.orthogonal("head.weight", [v, c], gain);
    new.done()
}

fn fresh_time_mix(new: &mut Fresh, version: Version, sizes: &Sizes, layer: usize) {
    let Sizes { n_layer, n_embd: c, head_size: n, .. } = *sizes;
    let at = |name: &str| format!("blocks.{layer}.att.{name}");
    let (depth, rest) = sizes.depth(layer);
    let d = |i: usize| i as f32 / c as f32;
    let mix = [1, 1, c];
    new.each(&at("time_mix_k"), mix, |i| d(i).powf(rest));
    new.each(&at("time_mix_v"), mix, |i| d(i).powf(rest) + 0.3 * depth);
    new.each(&at("time_mix_r"), mix, |i| d(i).powf(0.5 * rest));

    // Per channel in 5.2, per head before.
    let shape = [c / n, if version == Version::V52 { n } else { 1 }];
    let last = (shape[0] * shape[1]).max(2) - 1;
    let along = |i: usize| i as f32 / last as f32;
    new.each(&at("time_decay"), shape, |i| -6.0 + 5.0 * along(i).powf(0.7 + 1.3 * depth));
    let zigzag = |i: usize| if version == Version::V52 { ((i + 1) % 3) as f32 - 1.0 } else { 0.0 };
    if version == Version::V50 {
        new.each(&at("time_first"), shape, |_| -3.0);
    } else {
        new.each(&at("time_mix_g"), mix, |i| d(i).powf(0.5 * rest));
        new.orthogonal(&at("gate.weight"), [c, c], 0.1);
        new.each(&at("time_faaaa"), shape, |i| depth * (1.0 - along(i)) + 0.1 * zigzag(i));
    }

    new.orthogonal(&at("receptance.weight"), [c, c], 1.0);
    new.orthogonal(&at("key.weight"), [c, c], 0.1);
    new.orthogonal(&at("value.weight"), [c, c], 1.0);
    new.each(&at("output.weight"), [c, c], |_| 0.0);
    let scale = ((1 + layer) as f32 / n_layer as f32).powf(0.7);
    new.each(&at("ln_x.weight"), [c], |_| scale);
    new.each(&at("ln_x.bias"), [c], |_| 0.0);
}
