//! Models whose logits are known, and one result reached on two ways.

mod layouts;
mod matrices;
mod problems;
mod reading;

use std::sync::atomic::AtomicBool;

use super::Reader;
use crate::device;
use crate::model::{Loading, Model};
use crate::rwkv::{Rwkv, Sizes, Version};
use crate::weights::{Source, Weights};

static GO: AtomicBool = AtomicBool::new(false);

/// A memory of each kind.
const TOYS: [&str; 4] = ["toy:rwkv4", "toy:rwkv5.2", "toy:rwkv6", "toy:rwkv7"];

fn reader(model: &Model) -> Reader<'_> {
    Reader { model, interrupt: &GO }
}

fn load(name: &str) -> Model {
    Model::load(name, &Loading::default(), &device::choose("cpu").unwrap()).unwrap()
}

/// Channels of the model below.
const C: usize = 64;

/// A model whose blocks are silent, so that its logits depend on the last token alone: `weight` of
/// the output head says by token and channel, and the channel of a token is its id modulo 64.
fn speaking(weight: impl Fn(usize, usize) -> f32) -> Model {
    let ranks = [16; 4];
    let sizes = Sizes { n_layer: 1, n_embd: C, head_size: C, vocab_size: 256, dim_ffn: C, ranks };
    let place = device::choose("cpu").unwrap();
    let mut named = sizes.fresh(Version::V7, 1).unwrap();
    let by_place = |f: &dyn Fn(usize, usize) -> f32| -> Vec<f32> {
        (0..256 * C).map(|at| f(at / C, at % C)).collect()
    };
    // A large embedding, next to which the epsilon of the norms is nothing.
    let embedding = |id: usize, c: usize| if id % C == c { 1000.0 } else { 0.0 };
    named.get_mut("emb.weight").unwrap().1 = by_place(&embedding);
    named.get_mut("head.weight").unwrap().1 = by_place(&weight);
    let mut model = Model::fresh(Version::V7, &sizes, 1, &place).unwrap();
    model.rwkv = Rwkv::load(&Weights::new(Source::Made(&named), &place.device)).unwrap();
    model
}

/// It finds every token as likely as every other.
fn undecided() -> Model {
    speaking(|_, _| 0.0)
}

/// It expects the letter that follows in the alphabet.
fn alphabetic() -> Model {
    speaking(|id, c| if (98..=122).contains(&id) && (id - 1) % C == c { 1.0 } else { 0.0 })
}

/// `−ln` of the probability with which the model above expects the next letter: the channel of a
/// token is normed to `a`, every other to `b`, and 25 letters have a weight.
fn nll_of_the_next_letter() -> f64 {
    let spread = (1.0 / 64.0 * 63.0 / 64.0_f64).sqrt();
    let (a, b) = (63.0 / 64.0 / spread, -1.0 / 64.0 / spread);
    (a.exp() + 24.0 * b.exp() + 231.0).ln() - a
}
