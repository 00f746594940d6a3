//! One head backwards.

use pulp::{Simd, WithSimd};

use super::{CHUNK, Inputs, K, R, Rows, Sizes, Tokens, W, add};
use crate::cpu::vectors::{
    Column, Table, columns, pack_rows, put, some, splat, sums, unpack, unpack_rows, zeros,
};

/// Rows of the state that pass the tokens together.
const ROWS: usize = 8;

/// What one head reads and writes.
pub struct Head<'a> {
    pub sizes: Sizes,
    pub x: Inputs<'a>,
    pub head: usize,
    /// Of the whole batch, as the forward pass kept them.
    pub states: &'a [f32],
    pub dy: &'a [f32],
    /// Of `r d k v`; those of a steady `d` are no rows.
    pub grads: [Rows<'a>; 4],
    /// The gradient of the last state on the way in, of the first on the way out.
    pub state: &'a mut [f32],
    /// Gradient of a steady `d`, `[N]`.
    pub decay: &'a mut [f32],
    /// Gradient of the bonus, `[N]`.
    pub u: &'a mut [f32],
}

/// Tables of one head for one chunk.
struct Chunk<S: Simd> {
    tokens: Tokens<S>,
    /// Gradients of the keys of every token.
    grads: Table<S, 3>,
    /// Some rows of the state before every token.
    past: Table<S, ROWS>,
    /// The gradient of the same rows after the token that is looked at.
    rows: Table<S, ROWS>,
    /// Gradients of a steady decay and of the bonus so far.
    sums: Table<S, 2>,
}

impl WithSimd for Head<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let width = columns::<S>(self.sizes.n);
        let tokens = self.sizes.tokens.min(CHUNK);
        let mut tables = Chunk {
            tokens: Tokens::new(simd, self.sizes, self.x, self.head),
            grads: zeros(simd, tokens * width),
            past: zeros(simd, tokens * width),
            rows: zeros(simd, width),
            sums: zeros(simd, width),
        };
        for chunk in (0..self.sizes.chunks()).rev() {
            tables.tokens.read(simd, self.sizes, self.x, self.head, chunk);
            tables.grads.fill(Column([simd.splat_f32s(0.0); 3]));
            for top in (0..self.sizes.n).step_by(ROWS) {
                self.rows(simd, chunk, top, &mut tables);
            }
            self.keys(simd, chunk, &mut tables);
        }
        unpack(simd, &tables.sums, 0, self.decay);
        unpack(simd, &tables.sums, 1, self.u);
    }
}

impl Head<'_> {
    /// Some rows of the state through one chunk: forwards from its kept state, then back.
    #[inline(always)]
    fn rows<S: Simd>(&mut self, simd: S, chunk: usize, top: usize, tables: &mut Chunk<S>) {
        let Chunk { tokens, grads, past, rows, .. } = tables;
        let (n, width) = (self.sizes.n, rows.len());
        let place = self.sizes.places(self.head);
        let part = |x: &[f32], t| some(&x[place(t)], top);
        let kept = self.head * self.sizes.chunks() + chunk;
        pack_rows(simd, &self.states[kept * n * n..][..n * n], n, top, &mut past[..width]);
        let span = self.sizes.span(chunk);
        for (i, t) in span.clone().enumerate().take(span.len() - 1) {
            let (before, after) = past[i * width..].split_at_mut(width);
            again(simd, &tokens.keys[i * width..][..width], part(self.x.v, t), before, after);
        }
        pack_rows(simd, self.state, n, top, rows);
        for (i, t) in span.enumerate().rev() {
            let own = i * width..(i + 1) * width;
            let (dy, keys) = (part(self.dy, t), &tokens.keys[own.clone()]);
            let (before, grads) = (&past[own.clone()], &mut grads[own]);
            let read = back(simd, keys, [dy, part(self.x.v, t)], before, grads, rows);
            put(add(read, tokens.bonus[i], dy), self.grads[3][t], top);
        }
        unpack_rows(simd, rows, self.state, n, top);
    }

    /// Adds what the bonus gives to the gradients of the keys, and writes them.
    #[inline(always)]
    fn keys<S: Simd>(&mut self, simd: S, chunk: usize, tables: &mut Chunk<S>) {
        let Chunk { tokens, grads, sums, rows, .. } = tables;
        let place = self.sizes.places(self.head);
        let found = tokens.keys.chunks_exact(rows.len()).zip(grads.chunks_exact_mut(rows.len()));
        for (t, (keys, grads)) in self.sizes.span(chunk).zip(found) {
            let own = self.dy[place(t)].iter().zip(&self.x.v[place(t)]);
            let own = simd.splat_f32s(own.map(|(dy, v)| dy * v).sum());
            let keys = keys.iter().zip(grads.iter_mut()).zip(tokens.u.iter());
            for (((x, dx), u), sum) in keys.zip(sums.iter_mut()) {
                let weight = simd.mul_f32s(own, u[0]);
                dx[R] = simd.mul_add_e_f32s(weight, x[K], dx[R]);
                dx[K] = simd.mul_add_e_f32s(weight, x[R], dx[K]);
                dx[W] = simd.mul_f32s(dx[W], x[W]);
                sum[0] = simd.add_f32s(sum[0], dx[W]);
                sum[1] = simd.mul_add_e_f32s(own, simd.mul_f32s(x[R], x[K]), sum[1]);
            }
            let [r, d, k, _] = &mut self.grads;
            unpack(simd, grads, R, r[t]);
            unpack(simd, grads, K, k[t]);
            if let Some(d) = d.get_mut(t) {
                unpack(simd, grads, W, d);
            }
        }
    }
}

/// One step of the state, without reading it.
#[inline(always)]
fn again<S: Simd>(
    simd: S,
    keys: &[Column<S, 3>],
    v: [f32; ROWS],
    before: &[Column<S, ROWS>],
    after: &mut [Column<S, ROWS>],
) {
    let v = splat(simd, v);
    for ((x, before), after) in keys.iter().zip(before).zip(after) {
        for i in 0..ROWS {
            after[i] = simd.mul_add_e_f32s(before[i], x[W], simd.mul_f32s(v[i], x[K]));
        }
    }
}

/// Takes the gradient `ds` of some rows back over one token; gives that of their values, without
/// the bonus.
#[inline(always)]
fn back<S: Simd>(
    simd: S,
    keys: &[Column<S, 3>],
    [dy, v]: [[f32; ROWS]; 2],
    before: &[Column<S, ROWS>],
    grads: &mut [Column<S, 3>],
    rows: &mut [Column<S, ROWS>],
) -> [f32; ROWS] {
    let fma = |x, y, z| simd.mul_add_e_f32s(x, y, z);
    let (dy, v) = (splat(simd, dy), splat(simd, v));
    let mut dv = [simd.splat_f32s(0.0); ROWS];
    for (((x, to), rows), before) in keys.iter().zip(grads).zip(rows).zip(before) {
        let (mut dx, mut ds) = (*to, *rows); // copies, for those stay in registers
        for i in 0..ROWS {
            dx[R] = fma(dy[i], before[i], dx[R]);
            dx[W] = fma(ds[i], before[i], dx[W]);
            dx[K] = fma(v[i], ds[i], dx[K]);
            dv[i] = fma(ds[i], x[K], dv[i]);
            ds[i] = fma(ds[i], x[W], simd.mul_f32s(dy[i], x[R]));
        }
        (*to, *rows) = (dx, ds);
    }
    sums(simd, dv)
}
