//! RWKV-5 and RWKV-6 on the CPU, forwards and backwards; worked through as [`super::wkv7`] is.

use pulp::{Arch, Simd};

use super::exp::exp;
use super::heads::{CHUNK, Rows, Sizes};
use super::place::zeroed;
use super::vectors::{Table, columns, pack, zeros};

mod backward;
mod forward;

/// `r k v`, each `[B, T, H, N]`; `u` `[H, N]`; the logarithm of the decay `d` is like `r`, or like
/// `u` where it is the same for all tokens.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub r: &'a [f32],
    pub d: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
    pub u: &'a [f32],
}

// Where the keys stand in a table of them.
const R: usize = 0;
const W: usize = 1;
const K: usize = 2;

/// What a forward pass leaves.
pub struct Forward {
    /// `y` `[B, T, H, N]` and behind it the last state `[B, H, N, N]`.
    pub packed: Vec<f32>,
    /// The state before every chunk, `[B, H, T / CHUNK, N, N]`; empty unless kept.
    pub states: Vec<f32>,
}

/// All tokens of all heads; `keep` what [`backward`] needs.
pub fn forward(sizes: Sizes, x: Inputs, state: &[f32], keep: bool) -> Forward {
    let (all, square) = (sizes.all(), sizes.square());
    assert_eq!(state.len(), sizes.states(), "every head has a state");
    let mut states = vec![0.0; if keep { sizes.states() * sizes.chunks() } else { 0 }];
    let mut packed = Vec::with_capacity(all + sizes.states());
    let (y, last) = packed.spare_capacity_mut()[..all + sizes.states()].split_at_mut(all);

    let last = state.chunks_exact(square).zip(last.chunks_exact_mut(square));
    let mut kept = states.chunks_exact_mut((square * sizes.chunks()).max(1));
    let heads = sizes.share([zeroed(y)]).into_iter().zip(last);
    let work = heads.map(|(y, state)| (y, state, kept.next().unwrap_or_default())).collect();
    let arch = Arch::new();
    sizes.each_head(work, |head, ([y], (before, state), states)| {
        let state = zeroed(state);
        arch.dispatch(forward::Head { sizes, x, head, y, before, state, states });
    });
    // SAFETY: all of `y` and the state of every head have been written.
    #[allow(unsafe_code)]
    unsafe {
        packed.set_len(all + sizes.states());
    }
    Forward { packed, states }
}

/// Gradients of `r d k v u` and of the first state, from the gradient of [`Forward::packed`].
pub fn backward(sizes: Sizes, x: Inputs, states: &[f32], grad: &[f32]) -> Vec<Vec<f32>> {
    let [mut r, mut k, mut v] = [(); 3].map(|()| vec![0.0; sizes.all()]);
    let mut d = vec![0.0; if x.steady(sizes) { 0 } else { sizes.all() }];
    let mut state = grad[sizes.all()..].to_vec();
    let each_head = || vec![0.0; sizes.batch * sizes.heads * sizes.n];
    let (mut decay, mut u) = (each_head(), each_head());

    let parts = sizes.share([&mut r, &mut d, &mut k, &mut v]).into_iter();
    let sums = decay.chunks_exact_mut(sizes.n).zip(u.chunks_exact_mut(sizes.n));
    let work = parts.zip(state.chunks_exact_mut(sizes.square())).zip(sums).collect();
    let arch = Arch::new();
    sizes.each_head(work, |head, ((grads, state), (decay, u))| {
        arch.dispatch(backward::Head { sizes, x, head, states, dy: grad, grads, state, decay, u });
    });
    let over_batch = |each: Vec<f32>| {
        let mut sum = vec![0.0; sizes.heads * sizes.n];
        for row in each.chunks_exact(sum.len().max(1)) {
            sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        sum
    };
    let d = if x.steady(sizes) { over_batch(decay) } else { d };
    vec![r, d, k, v, over_batch(u), state]
}

impl Inputs<'_> {
    /// Whether the decay is the same for all tokens.
    fn steady(self, sizes: Sizes) -> bool {
        self.d.len() != sizes.all()
    }
}

/// What all rows of the state of one head read of the tokens of one chunk.
struct Tokens<S: Simd> {
    /// `r`, the decay `eᵈ`, and `k`, of every token.
    keys: Table<S, 3>,
    /// `r·(u∘k)` of every token.
    bonus: Vec<f32>,
    u: Table<S, 1>,
    decay: Vec<f32>,
}

impl<S: Simd> Tokens<S> {
    #[inline(always)]
    fn new(simd: S, sizes: Sizes, x: Inputs, head: usize) -> Self {
        let (width, tokens) = (columns::<S>(sizes.n), sizes.tokens.min(CHUNK));
        let own = head % sizes.heads * sizes.n;
        let own = own..own + sizes.n;
        let mut u = zeros(simd, width);
        pack(simd, [&x.u[own.clone()]], &mut u);
        let mut decay = vec![0.0; sizes.n];
        if x.steady(sizes) {
            fade(&x.d[own], &mut decay);
        }
        Self { keys: zeros(simd, tokens * width), bonus: vec![0.0; tokens], u, decay }
    }

    /// Reads a chunk.
    #[inline(always)]
    fn read(&mut self, simd: S, sizes: Sizes, x: Inputs, head: usize, chunk: usize) {
        let place = sizes.places(head);
        let tokens = self.keys.chunks_exact_mut(self.u.len()).zip(&mut self.bonus);
        for (t, (keys, bonus)) in sizes.span(chunk).zip(tokens) {
            if !x.steady(sizes) {
                fade(&x.d[place(t)], &mut self.decay);
            }
            pack(simd, [&x.r[place(t)], &self.decay, &x.k[place(t)]], keys);
            let mut sum = simd.splat_f32s(0.0);
            for (x, u) in keys.iter().zip(&*self.u) {
                sum = simd.mul_add_e_f32s(simd.mul_f32s(x[R], x[K]), u[0], sum);
            }
            *bonus = simd.reduce_sum_f32s(sum);
        }
    }
}

/// `x + factor·y`.
#[inline(always)]
fn add<const K: usize>(mut x: [f32; K], factor: f32, y: [f32; K]) -> [f32; K] {
    for (x, y) in x.iter_mut().zip(y) {
        *x += factor * y;
    }
    x
}

#[inline(always)]
fn fade(d: &[f32], decay: &mut [f32]) {
    for (decay, d) in decay.iter_mut().zip(d) {
        *decay = exp(*d);
    }
}
