//! RWKV-4 on the CPU, forwards and backwards: every channel is on its own, and a lane of a vector.

use pulp::{Arch, NullaryFnOnce};

use super::heads::{CHUNK, Rows, each, share};
use lanes::{Lanes, State, WIDTH, advance, back, read};

mod lanes;

/// Sizes of one call.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub batch: usize,
    pub tokens: usize,
    pub channels: usize,
}

/// `w u`, each `[C]`, and `k v`, each `[B, T, C]`, contiguous.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub w: &'a [f32],
    pub u: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
}

/// What a forward pass leaves.
pub struct Forward {
    /// `y` `[B, T, C]` and behind it the last state `[B, 3, C]`.
    pub packed: Vec<f32>,
    /// The state before every chunk, for every text and piece; empty unless kept.
    pub states: Vec<f32>,
}

impl Sizes {
    fn all(self) -> usize {
        self.batch * self.tokens * self.channels
    }

    /// Pieces of [`WIDTH`] channels, the last of which may be narrower.
    fn pieces(self) -> usize {
        self.channels.div_ceil(WIDTH)
    }

    fn chunks(self) -> usize {
        self.tokens.div_ceil(CHUNK)
    }

    /// Numbers kept of one piece.
    fn kept(self) -> usize {
        self.chunks() * 3 * WIDTH
    }

    /// Shares out `[B, R, C]`s by texts and pieces.
    fn share<'a, const K: usize>(self, rows: usize, all: [&'a mut [f32]; K]) -> Vec<[Rows<'a>; K]> {
        share([self.batch, rows, self.channels], WIDTH, all)
    }

    /// Runs `f` for every text and piece; an exponential counts as ten multiplications.
    fn each<W: Send>(self, work: Vec<W>, f: impl Fn(usize, W) + Sync + Send) {
        each(work, self.all() * 20, f);
    }
}

/// All tokens of all channels; `keep` what [`backward`] needs.
pub fn forward(sizes: Sizes, x: Inputs, state: &[f32], keep: bool) -> Forward {
    let mut packed = vec![0.0; sizes.all() + state.len()];
    let mut states = vec![0.0; if keep { sizes.batch * sizes.pieces() * sizes.kept() } else { 0 }];
    let (y, last) = packed.split_at_mut(sizes.all());
    last.copy_from_slice(state);
    let mut kept = states.chunks_exact_mut(sizes.kept().max(1));
    let parts = sizes.share(sizes.tokens, [y]).into_iter().zip(sizes.share(3, [last]));
    let work = parts.map(|(y, state)| (y, state, kept.next().unwrap_or_default())).collect();
    let arch = Arch::new();
    sizes.each(work, |piece, ([y], [state], states)| {
        arch.dispatch(ForwardPiece { sizes, x, piece, y, state, states });
    });
    Forward { packed, states }
}

/// Gradients of `w u k v` and of the first state, from the gradient of [`Forward::packed`].
pub fn backward(sizes: Sizes, x: Inputs, states: &[f32], grad: &[f32]) -> Vec<Vec<f32>> {
    let [mut k, mut v] = [(); 2].map(|()| vec![0.0; sizes.all()]);
    let mut state = grad[sizes.all()..].to_vec();
    let [mut w, mut u] = [(); 2].map(|()| vec![0.0; sizes.batch * sizes.channels]);
    let parts = sizes.share(sizes.tokens, [&mut k, &mut v]).into_iter();
    let sums = sizes.share(1, [&mut w, &mut u]);
    let work = parts.zip(sizes.share(3, [&mut state])).zip(sums).collect();
    let arch = Arch::new();
    sizes.each(work, |piece, ((grads, [state]), sums)| {
        let dy = grad;
        arch.dispatch(BackwardPiece { sizes, x, piece, states, dy, grads, state, sums });
    });
    let over_batch = |each: Vec<f32>| {
        let mut sum = vec![0.0; sizes.channels];
        for row in each.chunks_exact(sizes.channels) {
            sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        sum
    };
    vec![over_batch(w), over_batch(u), k, v, state]
}

/// Where the numbers of one piece lie.
#[derive(Clone, Copy)]
struct Place {
    sizes: Sizes,
    text: usize,
    first: usize,
    width: usize,
}

impl Place {
    #[inline(always)]
    fn new(sizes: Sizes, piece: usize) -> Self {
        let (text, first) = (piece / sizes.pieces(), piece % sizes.pieces() * WIDTH);
        Self { sizes, text, first, width: WIDTH.min(sizes.channels - first) }
    }

    /// Of a `[C]`.
    #[inline(always)]
    fn channels(self, x: &[f32]) -> Lanes {
        Lanes::read(&x[self.first..][..self.width])
    }

    /// Of one token of a `[B, T, C]`.
    #[inline(always)]
    fn token(self, x: &[f32], t: usize) -> Lanes {
        let start = (self.text * self.sizes.tokens + t) * self.sizes.channels + self.first;
        Lanes::read(&x[start..][..self.width])
    }
}

struct ForwardPiece<'a> {
    sizes: Sizes,
    x: Inputs<'a>,
    piece: usize,
    y: Rows<'a>,
    state: Rows<'a>,
    states: &'a mut [f32],
}

impl NullaryFnOnce for ForwardPiece<'_> {
    type Output = ();

    #[inline(always)]
    fn call(mut self) {
        let place = Place::new(self.sizes, self.piece);
        let (w, u) = (place.channels(self.x.w), place.channels(self.x.u));
        let mut state = State::read(&self.state);
        for t in 0..self.sizes.tokens {
            if t % CHUNK == 0 && !self.states.is_empty() {
                state.keep(&mut self.states[t / CHUNK * 3 * WIDTH..][..3 * WIDTH]);
            }
            let (k, v) = (place.token(self.x.k, t), place.token(self.x.v, t));
            read(&u, &k, &v, &state).write(self.y[t]);
            advance(&w, &k, &v, &mut state);
        }
        state.write(&mut self.state);
    }
}

struct BackwardPiece<'a> {
    sizes: Sizes,
    x: Inputs<'a>,
    piece: usize,
    states: &'a [f32],
    dy: &'a [f32],
    /// Of `k v`.
    grads: [Rows<'a>; 2],
    /// The gradient of the last state on the way in, of the first on the way out.
    state: Rows<'a>,
    /// Gradients of `w u` from this text.
    sums: [Rows<'a>; 2],
}

impl NullaryFnOnce for BackwardPiece<'_> {
    type Output = ();

    #[inline(always)]
    fn call(mut self) {
        let Self { sizes, x, .. } = self;
        let place = Place::new(sizes, self.piece);
        let (w, u) = (place.channels(x.w), place.channels(x.u));
        let mut state = State::read(&self.state);
        let mut sums = [Lanes::ZERO; 2];
        let mut past = [State::ZERO; CHUNK];
        let kept = &self.states[self.piece * sizes.kept()..][..sizes.kept()];
        for (chunk, kept) in kept.chunks_exact(3 * WIDTH).enumerate().rev() {
            let span = chunk * CHUNK..((chunk + 1) * CHUNK).min(sizes.tokens);
            past[0] = State::kept(kept);
            for (i, t) in span.clone().enumerate().skip(1) {
                let (k, v) = (place.token(x.k, t - 1), place.token(x.v, t - 1));
                past[i] = past[i - 1];
                advance(&w, &k, &v, &mut past[i]);
            }
            for (i, t) in span.enumerate().rev() {
                let (k, v) = (place.token(x.k, t), place.token(x.v, t));
                let dy = place.token(self.dy, t);
                let found = back([&w, &u, &k, &v, &dy], &past[i], &mut state, &mut sums);
                for (found, grads) in found.iter().zip(&mut self.grads) {
                    found.write(grads[t]);
                }
            }
        }
        state.write(&mut self.state);
        for (sum, rows) in sums.iter().zip(&mut self.sums) {
            sum.write(rows[0]);
        }
    }
}
