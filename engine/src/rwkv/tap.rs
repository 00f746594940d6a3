//! Looking into a block while it reads, and changing what is there.
//!
//! Every equation that a paper gives a letter passes its value through [`Tap::see`]. Where nobody
//! looks that is nothing at all; else the value is shown under its name and may be replaced.

use anyhow::{Result, ensure};
use burn::tensor::{Tensor, TensorData};

use super::Version;
use crate::tensor::Array;

/// Shown a value inside a block; what it returns takes the place of the value.
pub type Look<'a> = dyn Fn(&Seen) -> Option<Tensor<4>> + 'a;

/// The way from a block to whoever looks; a copy leads to the same.
#[derive(Clone, Copy, Default)]
pub struct Tap<'a> {
    look: Option<&'a Look<'a>>,
    layer: usize,
    first: usize,
}

/// A value inside a block, as it is shown.
pub struct Seen {
    /// Which block, from 0.
    pub layer: usize,
    /// Its letter, one of [`Activation::of`].
    pub name: &'static str,
    /// Place of the first of its tokens in the text.
    pub first: usize,
    /// The numbers, `[B, T, H, N]`; what is not cut into heads is `[B, T, 1, C]`.
    pub values: Tensor<4>,
    /// Whether it is cut into heads.
    pub by_head: bool,
}

impl<'a> Tap<'a> {
    /// Nobody looks.
    pub fn none() -> Self {
        Self::default()
    }

    /// `look` is shown everything; `first` is the place in the text of the first token to come.
    pub fn new(look: &'a Look<'a>, first: usize) -> Self {
        Self { look: Some(look), layer: 0, first }
    }

    /// The same tap in another block.
    pub(super) fn at(self, layer: usize) -> Self {
        Self { layer, ..self }
    }

    /// Whether anybody looks.
    pub(crate) fn looks(self) -> bool {
        self.look.is_some()
    }

    /// The value itself, or what the one who looks puts in its place; `[B, T, ..]`.
    pub(super) fn see<const D: usize>(self, name: &'static str, x: Tensor<D>) -> Tensor<D> {
        let Some(look) = self.look else { return x };
        let shape = x.dims();
        let by_head = D == 4;
        let rows = if by_head { shape[2] } else { 1 };
        let values = x.clone().reshape([shape[0], shape[1], rows, shape[D - 1]]);
        let seen = Seen { layer: self.layer, name, first: self.first, values, by_head };
        look(&seen).map_or(x, |new| new.reshape(shape))
    }
}

impl Seen {
    /// The numbers of the first text: `[T, H, N]`, or `[T, C]` where there are no heads.
    pub fn array(&self) -> Array {
        let [_, t, h, n] = self.values.dims();
        let first = self.values.clone().narrow(0, 0, 1);
        if self.by_head {
            Array::of(first.reshape([t, h, n]))
        } else {
            Array::of(first.reshape([t, n]))
        }
    }

    /// Numbers to take the place of these, for a single text; one number fills the whole.
    ///
    /// # Errors
    /// When the shape is another one than that of [`Seen::array`].
    pub fn replacement(&self, new: &Array) -> Result<Tensor<4>> {
        let [b, t, h, n] = self.values.dims();
        let device = self.values.device();
        if let Some(x) = new.item() {
            return Ok(Tensor::full([b, t, h, n], x, &device));
        }
        let shape = if self.by_head { vec![t, h, n] } else { vec![t, n] };
        ensure!(
            b == 1 && new.shape() == shape,
            "`{}` has shape {shape:?}, but what is to replace it has {:?}.",
            self.place(),
            new.shape()
        );
        Ok(Tensor::from_data(TensorData::new(new.values(), [b, t, h, n]), &device))
    }

    /// The full name: `blocks.2.k`.
    pub fn place(&self) -> String {
        format!("blocks.{}.{}", self.layer, self.name)
    }
}

/// Something inside a block that can be seen and replaced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activation {
    /// The letter of the papers, with `ffn.` in front in channel-mix: `r`, `kappa`, `ffn.k`.
    pub name: &'static str,
    /// Whether it is cut into heads: `[T, H, N]` and not `[T, C]`.
    pub by_head: bool,
    /// What it is.
    pub about: &'static str,
}

/// A letter that is not cut into heads.
const fn flat(name: &'static str, about: &'static str) -> Activation {
    Activation { name, by_head: false, about }
}

/// A letter that is cut into heads.
const fn headed(name: &'static str, about: &'static str) -> Activation {
    Activation { name, by_head: true, about }
}

const ATT_X: Activation = flat("att.x", "what time-mix reads: the residual stream after its norm");
const GATE: Activation = flat("g", "the gate on what time-mix says");
const OUT: [Activation; 5] = [
    flat("o", "what the output projection of time-mix reads, head after head"),
    flat("att", "what time-mix adds to the residual stream"),
    flat("ffn.x", "what channel-mix reads: the residual stream after its norm"),
    flat("ffn", "what channel-mix adds to the residual stream"),
    flat("x", "the residual stream after the block"),
];
const FFN_R: Activation = flat("ffn.r", "receptance of channel-mix, in (0, 1)");
const FFN_K: Activation = flat("ffn.k", "key of channel-mix after its squared relu");

const FFN_S: Activation = flat("ffn.s", "scale of that key, which the token brings along");

const LETTERS_4: [Activation; 4] = [
    flat("r", "receptance, in (0, 1)"),
    flat("k", "key, the logarithm of a weight"),
    flat("v", "value"),
    flat("y", "what the recurrence reads: a weighted mean of values"),
];
const LETTERS_5: [Activation; 5] = [
    headed("r", "receptance: what is asked of the state"),
    headed("k", "key under which the value is written"),
    headed("v", "value"),
    headed("d", "logarithm of the decay, below 0"),
    headed("y", "what the recurrence reads, before its norm"),
];
const LETTERS_7: [Activation; 7] = [
    headed("r", "receptance: what is asked of the state"),
    headed("v", "value; block 0 lends its own to the others before anybody can replace it"),
    headed("w", "decay, in (0.545, 1)"),
    flat("a", "in-context learning rate: the share of old content that is taken out"),
    headed("kappa", "key under which old content is taken out, of length 1"),
    headed("k", "key under which the value is written"),
    headed("y", "what the recurrence reads, before its norm"),
];
const TINY: [Activation; 4] = [
    flat("tiny.k", "key of tiny attention, in blocks that have it"),
    flat("tiny.q", "query of tiny attention"),
    flat("tiny.v", "value of tiny attention, from the embedding"),
    flat("tiny", "what tiny attention adds to the residual stream"),
];

impl Activation {
    /// All that a block of this version shows.
    pub fn of(version: Version) -> Vec<Self> {
        let letters: &[Self] = match version {
            Version::V4 | Version::V4a => &LETTERS_4,
            Version::V50 | Version::V51 | Version::V52 | Version::V6 => &LETTERS_5,
            Version::V7 | Version::V7a => &LETTERS_7,
        };
        let rest: &[Self] = match version {
            Version::V4 | Version::V50 => &[FFN_R, FFN_K],
            Version::V4a => &[FFN_R, FFN_K, TINY[0], TINY[1], TINY[2], TINY[3]],
            Version::V51 | Version::V52 | Version::V6 => &[GATE, FFN_R, FFN_K],
            Version::V7 => &[GATE, FFN_K],
            Version::V7a => &[GATE, FFN_K, FFN_S],
        };
        [&[ATT_X], letters, rest, &OUT].concat()
    }
}
