//! One head forwards.

use pulp::{Simd, WithSimd};

use super::{Inputs, K, R, Rows, Sizes, Tokens, W, add};
use crate::cpu::vectors::{Column, columns, pack_rows, put, some, splat, sums, unpack_rows, zeros};

/// Rows of the state that pass the tokens together.
const ROWS: usize = 8;

/// What one head reads and writes.
pub struct Head<'a> {
    pub sizes: Sizes,
    pub x: Inputs<'a>,
    pub head: usize,
    pub y: Rows<'a>,
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
        let Self { sizes, x, head, .. } = self;
        let (n, place) = (sizes.n, sizes.places(head));
        let mut tokens = Tokens::new(simd, sizes, x, head);
        let mut rows = zeros(simd, columns::<S>(n));
        for chunk in 0..sizes.chunks() {
            let before = if chunk == 0 { self.before } else { &*self.state };
            if let Some(kept) = self.states.chunks_exact_mut(n * n).nth(chunk) {
                kept.copy_from_slice(before);
            }
            tokens.read(simd, sizes, x, head, chunk);
            for top in (0..n).step_by(ROWS) {
                let before = if chunk == 0 { self.before } else { &*self.state };
                pack_rows(simd, before, n, top, &mut rows);
                let read = tokens.keys.chunks_exact(rows.len()).zip(&tokens.bonus);
                for (t, (keys, bonus)) in sizes.span(chunk).zip(read) {
                    let v = some(&x.v[place(t)], top);
                    let y = step(simd, keys, *bonus, v, &mut rows);
                    put(y, self.y[t], top);
                }
                unpack_rows(simd, &rows, self.state, n, top);
            }
        }
    }
}

/// Moves rows of the state over one token; what they give to `y`.
#[inline(always)]
fn step<S: Simd>(
    simd: S,
    keys: &[Column<S, 3>],
    bonus: f32,
    v: [f32; ROWS],
    rows: &mut [Column<S, ROWS>],
) -> [f32; ROWS] {
    let mut y = [simd.splat_f32s(0.0); ROWS];
    let value = splat(simd, v);
    for (x, s) in keys.iter().zip(rows) {
        let mut new = *s; // a copy, for that stays in registers
        for i in 0..ROWS {
            y[i] = simd.mul_add_e_f32s(new[i], x[R], y[i]);
            new[i] = simd.mul_add_e_f32s(new[i], x[W], simd.mul_f32s(value[i], x[K]));
        }
        *s = new;
    }
    add(sums(simd, y), bonus, v)
}
