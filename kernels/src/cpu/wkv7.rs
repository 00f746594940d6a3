//! RWKV-7 on the CPU, forwards and backwards: the heads of a batch are shared out over threads.
//!
//! The rows of a state (its values) are independent of each other, so a few of them at a time pass
//! all tokens of a chunk: they and their past stay in the nearest memory, and what all rows read of
//! a token is read once for all of them. Backwards the state is kept every [`CHUNK`] tokens and
//! made again between.

use std::ops::Range;

use pulp::{Arch, Simd};

use super::heads::{CHUNK, Rows, Sizes};
use super::lanes::soon;
use super::place::zeroed;
use super::vectors::{Column, pack};

mod backward;
mod forward;

/// `r w k v κ a`, each `[B, T, H, N]`, contiguous.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub r: &'a [f32],
    pub w: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
    pub kappa: &'a [f32],
    pub a: &'a [f32],
}

impl<'a> Inputs<'a> {
    /// Asks for what is at this place.
    #[inline(always)]
    fn soon(self, place: usize) {
        let Inputs { r, w, k, v, kappa, a } = self;
        for x in [r, w, k, v, kappa, a] {
            soon(&x[place]);
        }
    }

    /// What all rows of a state read of a token at this place, into a table: `r w k κ` and the key
    /// under which they lose what `κ` finds, `−a ⊙ κ`.
    #[inline(always)]
    fn keys<S: Simd>(self, simd: S, place: Range<usize>, table: &mut [Column<S, 5>]) {
        let Inputs { r, w, k, kappa, a, .. } = self;
        let (start, end) = (place.start, place.end);
        pack(simd, [r, w, k, kappa, a].map(|x| &x[start..end]), table);
        for column in table {
            column[LOST] = simd.neg_f32s(simd.mul_f32s(column[LOST], column[KAPPA]));
        }
    }
}

// Where the keys stand in a table of them.
const R: usize = 0;
const W: usize = 1;
const K: usize = 2;
const KAPPA: usize = 3;
const LOST: usize = 4;

/// What a forward pass leaves.
pub struct Forward {
    /// `y` `[B, T, H, N]` and behind it the last state `[B, H, N, N]`.
    pub packed: Vec<f32>,
    /// `S·κ` of every token, `[B, T, H, N]`; empty unless kept.
    pub removed: Vec<f32>,
    /// The state before every chunk, `[B, H, T / CHUNK, N, N]`; empty unless kept.
    pub states: Vec<f32>,
}

/// All tokens of all heads; `keep` what [`backward`] needs.
pub fn forward(sizes: Sizes, x: Inputs, state: &[f32], keep: bool) -> Forward {
    let (all, square) = (sizes.all(), sizes.square());
    assert_eq!(state.len(), sizes.states(), "every head has a state");
    let size = |size| vec![0.0; if keep { size } else { 0 }];
    let (mut removed, mut states) = (size(all), size(sizes.states() * sizes.chunks()));
    let mut packed = Vec::with_capacity(all + sizes.states());
    let (y, last) = packed.spare_capacity_mut()[..all + sizes.states()].split_at_mut(all);

    let mut last = state.chunks_exact(square).zip(last.chunks_exact_mut(square));
    let mut kept = states.chunks_exact_mut(square * sizes.chunks());
    let mut work = Vec::with_capacity(sizes.batch * sizes.heads);
    for rows in sizes.share([zeroed(y), &mut removed]) {
        let (before, state) = last.next().expect("a state for every head");
        work.push((rows, before, state, kept.next().unwrap_or_default()));
    }
    let arch = Arch::new();
    sizes.each_head(work, |head, ([y, removed], before, state, states)| {
        let state = zeroed(state);
        arch.dispatch(forward::Head { sizes, x, head, y, removed, before, state, states });
    });
    // SAFETY: all of `y` and the state of every head have been written.
    #[allow(unsafe_code)]
    unsafe {
        packed.set_len(all + sizes.states());
    }
    Forward { packed, removed, states }
}

/// Gradients of `r w k v κ a` and of the first state, from the gradient of [`Forward::packed`].
pub fn backward(
    sizes: Sizes,
    x: Inputs,
    removed: &[f32],
    states: &[f32],
    grad: &[f32],
) -> Vec<Vec<f32>> {
    let mut grads = [(); 6].map(|()| vec![0.0; sizes.all()]);
    let mut state = grad[sizes.all()..].to_vec();
    let parts = sizes.share(grads.each_mut().map(Vec::as_mut_slice)).into_iter();
    let work = parts.zip(state.chunks_exact_mut(sizes.square())).collect();
    let arch = Arch::new();
    sizes.each_head(work, |head, (grads, state)| {
        arch.dispatch(backward::Head { sizes, x, head, removed, states, dy: grad, grads, state });
    });
    grads.into_iter().chain([state]).collect()
}
