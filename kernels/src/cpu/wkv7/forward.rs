//! One head forwards.

use pulp::{Simd, WithSimd};

use super::{CHUNK, Inputs, K, KAPPA, LOST, R, Rows, Sizes, W};
use crate::cpu::lanes::soon;
use crate::cpu::vectors::{Column, columns, pack_rows, put, some, splat, sums, unpack_rows, zeros};

/// Rows of the state that pass the tokens together.
const ROWS: usize = 8;

/// What one head reads and writes.
pub struct Head<'a> {
    pub sizes: Sizes,
    pub x: Inputs<'a>,
    pub head: usize,
    pub y: Rows<'a>,
    /// No rows where it is not kept.
    pub removed: Rows<'a>,
    /// The state before the first token.
    pub before: &'a [f32],
    /// That after the last one goes here.
    pub state: &'a mut [f32],
    /// Empty where they are not kept.
    pub states: &'a mut [f32],
}

impl WithSimd for Head<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let Sizes { n, tokens, .. } = self.sizes;
        let width = columns::<S>(n);
        let place = self.sizes.places(self.head);
        let mut keys = zeros(simd, tokens.min(CHUNK) * width);
        let mut rows = zeros(simd, width);
        for chunk in 0..self.sizes.chunks() {
            let before = if chunk == 0 { self.before } else { &*self.state };
            if let Some(kept) = self.states.chunks_exact_mut(n * n).nth(chunk) {
                kept.copy_from_slice(before);
            }
            for (t, keys) in self.sizes.span(chunk).zip(keys.chunks_exact_mut(width)) {
                self.x.keys(simd, place(t), keys);
            }
            for top in (0..n).step_by(ROWS) {
                let before = if chunk == 0 { self.before } else { &*self.state };
                pack_rows(simd, before, n, top, &mut rows);
                for (t, keys) in self.sizes.span(chunk).zip(keys.chunks_exact(width)) {
                    let v = some(&self.x.v[place(t)], top);
                    if t + CHUNK < tokens {
                        self.x.soon(place(t + CHUNK).start + top);
                        soon(&self.y[t + CHUNK][top]);
                        self.removed.get(t + CHUNK).iter().for_each(|x| soon(&x[top]));
                    }
                    let (y, removed) = step(simd, keys, v, &mut rows);
                    put(y, self.y[t], top);
                    if let Some(kept) = self.removed.get_mut(t) {
                        put(removed, kept, top);
                    }
                }
                unpack_rows(simd, &rows, self.state, n, top);
            }
        }
    }
}

/// Moves rows of the state over one token; what they give to `y`, and what was removed of them.
#[inline(always)]
fn step<S: Simd>(
    simd: S,
    keys: &[Column<S, 5>],
    v: [f32; ROWS],
    rows: &mut [Column<S, ROWS>],
) -> ([f32; ROWS], [f32; ROWS]) {
    let zero = [simd.splat_f32s(0.0); ROWS];
    let mut removed = zero;
    for (x, s) in keys.iter().zip(&*rows) {
        for i in 0..ROWS {
            removed[i] = simd.mul_add_e_f32s(s[i], x[KAPPA], removed[i]);
        }
    }
    let removed = sums(simd, removed);
    let (gone, v) = (splat(simd, removed), splat(simd, v));
    let mut y = zero;
    for (x, s) in keys.iter().zip(rows) {
        let mut new = *s; // a copy, for that stays in registers
        for i in 0..ROWS {
            let written = simd.mul_add_e_f32s(gone[i], x[LOST], simd.mul_f32s(v[i], x[K]));
            new[i] = simd.mul_add_e_f32s(new[i], x[W], written);
            y[i] = simd.mul_add_e_f32s(new[i], x[R], y[i]);
        }
        *s = new;
    }
    (sums(simd, y), removed)
}
