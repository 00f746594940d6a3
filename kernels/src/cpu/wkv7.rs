//! RWKV-7 on the CPU, forwards and backwards: the heads of a batch are shared out over threads.
//!
//! Version 1: the state of a head stays in the first cache while its tokens pass; a row of it is
//! read once per token. Backwards the state is kept every [`CHUNK`] tokens and made again between.

use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

/// Tokens between two kept states; 16 as in the official training kernels.
pub const CHUNK: usize = 16;

/// Below this many multiplications a thread costs more than it brings.
const WORTH_A_THREAD: usize = 1 << 16;

/// Sizes of one call.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub batch: usize,
    pub tokens: usize,
    pub heads: usize,
    /// Channels of one head.
    pub n: usize,
}

/// `r w k v a b`, each `[B, T, H, N]`, contiguous.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub r: &'a [f32],
    pub w: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
    pub a: &'a [f32],
    pub b: &'a [f32],
}

/// What a forward pass leaves.
pub struct Forward {
    /// `y` `[B, T, H, N]` and behind it the last state `[B, H, N, N]`.
    pub packed: Vec<f32>,
    /// `S·a` of every token, `[B, T, H, N]`; empty unless kept.
    pub removed: Vec<f32>,
    /// The state before every chunk, `[B, H, T / CHUNK, N, N]`; empty unless kept.
    pub states: Vec<f32>,
}

/// Gradients of `r w k v a b` and of the first state, shaped like them.
pub struct Gradients {
    pub r: Vec<f32>,
    pub w: Vec<f32>,
    pub k: Vec<f32>,
    pub v: Vec<f32>,
    pub a: Vec<f32>,
    pub b: Vec<f32>,
    pub state: Vec<f32>,
}

impl Sizes {
    fn chunks(self) -> usize {
        self.tokens.div_ceil(CHUNK)
    }

    fn all(self) -> usize {
        self.batch * self.tokens * self.heads * self.n
    }

    /// Where the vector of token `t` of head `head` (counted over the batch) starts.
    fn at(self, head: usize, t: usize) -> usize {
        let (batch, head) = (head / self.heads, head % self.heads);
        ((batch * self.tokens + t) * self.heads + head) * self.n
    }

    /// Runs `f` for every head of the batch, on several threads where that pays.
    fn each_head<T: Send>(self, f: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
        let heads = 0..self.batch * self.heads;
        if self.all() * self.n < WORTH_A_THREAD {
            return heads.map(f).collect();
        }
        heads.into_par_iter().map(f).collect()
    }
}

/// All tokens of all heads; `keep` what [`backward`] needs.
pub fn forward(sizes: Sizes, x: Inputs, state: &[f32], keep: bool) -> Forward {
    let Sizes { n, tokens, .. } = sizes;
    let arch = Arch::new();
    let heads = sizes.each_head(|head| {
        let state = &state[head * n * n..][..n * n];
        arch.dispatch(ForwardHead { sizes, x, head, state, keep })
    });

    let mut packed = vec![0.0; sizes.all()];
    let mut removed = vec![0.0; if keep { sizes.all() } else { 0 }];
    let mut states =
        Vec::with_capacity(if keep { heads.len() * sizes.chunks() * n * n } else { 0 });
    for (head, out) in heads.iter().enumerate() {
        for t in 0..tokens {
            packed[sizes.at(head, t)..][..n].copy_from_slice(&out.y[t * n..][..n]);
            if keep {
                removed[sizes.at(head, t)..][..n].copy_from_slice(&out.removed[t * n..][..n]);
            }
        }
        states.extend_from_slice(&out.states);
    }
    for out in &heads {
        packed.extend_from_slice(&out.state);
    }
    Forward { packed, removed, states }
}

struct HeadForward {
    y: Vec<f32>,
    removed: Vec<f32>,
    states: Vec<f32>,
    state: Vec<f32>,
}

/// A call as a type: only what is inlined into it is compiled for the machine's vectors.
struct ForwardHead<'a> {
    sizes: Sizes,
    x: Inputs<'a>,
    head: usize,
    state: &'a [f32],
    keep: bool,
}

impl NullaryFnOnce for ForwardHead<'_> {
    type Output = HeadForward;

    #[inline(always)]
    fn call(self) -> HeadForward {
        forward_head(self)
    }
}

#[inline(always)]
fn forward_head(task: ForwardHead) -> HeadForward {
    let ForwardHead { sizes, x, head, state, keep } = task;
    let Sizes { n, tokens, .. } = sizes;
    let mut s = state.to_vec();
    let mut y = vec![0.0; tokens * n];
    let mut removed = vec![0.0; if keep { tokens * n } else { 0 }];
    let mut states = Vec::with_capacity(if keep { sizes.chunks() * n * n } else { 0 });
    for t in 0..tokens {
        if keep && t % CHUNK == 0 {
            states.extend_from_slice(&s);
        }
        let at = sizes.at(head, t);
        let (r, w, k) = (&x.r[at..][..n], &x.w[at..][..n], &x.k[at..][..n]);
        let (v, a, b) = (&x.v[at..][..n], &x.a[at..][..n], &x.b[at..][..n]);
        for (i, row) in s.chunks_exact_mut(n).enumerate() {
            let gone = dot(row, a);
            for j in 0..n {
                row[j] = row[j].mul_add(w[j], gone.mul_add(b[j], v[i] * k[j]));
            }
            y[t * n + i] = dot(row, r);
            if keep {
                removed[t * n + i] = gone;
            }
        }
    }
    HeadForward { y, removed, states, state: s }
}

/// Gradients of everything, from the gradient of [`Forward::packed`].
pub fn backward(
    sizes: Sizes,
    x: Inputs,
    removed: &[f32],
    states: &[f32],
    grad: &[f32],
) -> Gradients {
    let arch = Arch::new();
    let heads = sizes
        .each_head(|head| arch.dispatch(BackwardHead { sizes, x, head, removed, states, grad }));
    let gather = |pick: fn(&HeadBackward) -> &Vec<f32>| {
        let mut all = vec![0.0; sizes.all()];
        for (head, grads) in heads.iter().enumerate() {
            for t in 0..sizes.tokens {
                let (to, from) = (sizes.at(head, t), t * sizes.n);
                all[to..][..sizes.n].copy_from_slice(&pick(grads)[from..][..sizes.n]);
            }
        }
        all
    };
    Gradients {
        r: gather(|g| &g.r),
        w: gather(|g| &g.w),
        k: gather(|g| &g.k),
        v: gather(|g| &g.v),
        a: gather(|g| &g.a),
        b: gather(|g| &g.b),
        state: heads.iter().flat_map(|g| g.state.iter().copied()).collect(),
    }
}

struct HeadBackward {
    r: Vec<f32>,
    w: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    a: Vec<f32>,
    b: Vec<f32>,
    state: Vec<f32>,
}

struct BackwardHead<'a> {
    sizes: Sizes,
    x: Inputs<'a>,
    head: usize,
    removed: &'a [f32],
    states: &'a [f32],
    grad: &'a [f32],
}

impl NullaryFnOnce for BackwardHead<'_> {
    type Output = HeadBackward;

    #[inline(always)]
    fn call(self) -> HeadBackward {
        backward_head(self)
    }
}

#[inline(always)]
fn backward_head(task: BackwardHead) -> HeadBackward {
    let BackwardHead { sizes, x, head, removed, states, grad } = task;
    let Sizes { n, tokens, .. } = sizes;
    let zeros = || vec![0.0; tokens * n];
    let mut grads = HeadBackward {
        r: zeros(),
        w: zeros(),
        k: zeros(),
        v: zeros(),
        a: zeros(),
        b: zeros(),
        state: grad[sizes.all() + head * n * n..][..n * n].to_vec(),
    };
    let mut history = vec![0.0; (CHUNK + 1) * n * n];
    for chunk in (0..sizes.chunks()).rev() {
        let first = chunk * CHUNK;
        let last = (first + CHUNK).min(tokens);
        history[..n * n]
            .copy_from_slice(&states[(head * sizes.chunks() + chunk) * n * n..][..n * n]);
        for t in first..last {
            let (before, after) = history.split_at_mut((t - first + 1) * n * n);
            again(sizes, x, sizes.at(head, t), removed, &before[(t - first) * n * n..], after);
        }
        for t in (first..last).rev() {
            let before = &history[(t - first) * n * n..][..n * n];
            let after = &history[(t - first + 1) * n * n..][..n * n];
            backward_token(n, x, sizes.at(head, t), t, [before, after, removed, grad], &mut grads);
        }
    }
    grads
}

/// One step of the state, without reading it: `after = before·diag(w) + removed·bᵀ + v·kᵀ`.
#[inline(always)]
fn again(sizes: Sizes, x: Inputs, at: usize, removed: &[f32], before: &[f32], after: &mut [f32]) {
    let n = sizes.n;
    let (w, k, b) = (&x.w[at..][..n], &x.k[at..][..n], &x.b[at..][..n]);
    for i in 0..n {
        let (gone, v) = (removed[at + i], x.v[at + i]);
        let (before, after) = (&before[i * n..][..n], &mut after[i * n..][..n]);
        for j in 0..n {
            after[j] = before[j].mul_add(w[j], gone.mul_add(b[j], v * k[j]));
        }
    }
}

/// Takes the gradient back over one token; `at` is its place in the inputs, `t` in `grads`.
#[inline(always)]
fn backward_token(
    n: usize,
    x: Inputs,
    at: usize,
    t: usize,
    [before, after, removed, grad]: [&[f32]; 4],
    grads: &mut HeadBackward,
) {
    let (r, w, k) = (&x.r[at..][..n], &x.w[at..][..n], &x.k[at..][..n]);
    let (a, b) = (&x.a[at..][..n], &x.b[at..][..n]);
    let own = t * n..(t + 1) * n;
    let (dr, dw, dk) =
        (&mut grads.r[own.clone()], &mut grads.w[own.clone()], &mut grads.k[own.clone()]);
    let (dv, da, db) = (&mut grads.v[own.clone()], &mut grads.a[own.clone()], &mut grads.b[own]);
    for i in 0..n {
        let (dy, v, gone) = (grad[at + i], x.v[at + i], removed[at + i]);
        let (before, after) = (&before[i * n..][..n], &after[i * n..][..n]);
        let ds = &mut grads.state[i * n..][..n];
        for j in 0..n {
            ds[j] = dy.mul_add(r[j], ds[j]);
            dr[j] = dy.mul_add(after[j], dr[j]);
            dk[j] = v.mul_add(ds[j], dk[j]);
            dw[j] = ds[j].mul_add(before[j], dw[j]);
            db[j] = gone.mul_add(ds[j], db[j]);
        }
        dv[i] = dot(ds, k);
        let dgone = dot(ds, b);
        for j in 0..n {
            da[j] = dgone.mul_add(before[j], da[j]);
            ds[j] = ds[j].mul_add(w[j], dgone * a[j]);
        }
    }
}

/// The sum of products, in 16 running sums so that it fills vector registers.
#[inline(always)]
fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let (x, y) = (x.chunks_exact(16), y.chunks_exact(16));
    let rest: f32 = x.remainder().iter().zip(y.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in x.zip(y) {
        for i in 0..16 {
            sums[i] = x[i].mul_add(y[i], sums[i]);
        }
    }
    sums.iter().sum::<f32>() + rest
}
