//! One head backwards.

use pulp::{Simd, WithSimd};

use super::{CHUNK, Inputs, K, KAPPA, LOST, R, Rows, Sizes, W};
use crate::cpu::lanes::soon;
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
    pub removed: &'a [f32],
    pub states: &'a [f32],
    pub dy: &'a [f32],
    /// Of `r w k v κ a`.
    pub grads: [Rows<'a>; 6],
    /// The gradient of the last state on the way in, of the first on the way out.
    pub state: &'a mut [f32],
}

/// Tables of one head for one chunk.
struct Chunk<S: Simd> {
    /// `r w k κ` and what `κ` loses, of every token.
    keys: Table<S, 5>,
    /// Their gradients.
    grads: Table<S, 5>,
    /// Some rows of the state before every token, and after the last.
    past: Table<S, ROWS>,
    /// The gradient of the same rows after the token that is looked at.
    rows: Table<S, ROWS>,
}

impl WithSimd for Head<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let width = columns::<S>(self.sizes.n);
        let tokens = self.sizes.tokens.min(CHUNK);
        let mut tables = Chunk {
            keys: zeros(simd, tokens * width),
            grads: zeros(simd, tokens * width),
            past: zeros(simd, (tokens + 1) * width),
            rows: zeros(simd, width),
        };
        for chunk in (0..self.sizes.chunks()).rev() {
            self.chunk(simd, chunk, &mut tables);
        }
    }
}

impl Head<'_> {
    #[inline(always)]
    fn chunk<S: Simd>(&mut self, simd: S, chunk: usize, tables: &mut Chunk<S>) {
        let n = self.sizes.n;
        let width = columns::<S>(n);
        let place = self.sizes.places(self.head);
        for (t, keys) in self.sizes.span(chunk).zip(tables.keys.chunks_exact_mut(width)) {
            self.x.keys(simd, place(t), keys);
        }
        tables.grads.fill(Column([simd.splat_f32s(0.0); 5]));
        for top in (0..n).step_by(ROWS) {
            self.rows(simd, chunk, top, tables);
        }
        let [r, w, k, _, kappa, a] = &mut self.grads;
        for (t, found) in self.sizes.span(chunk).zip(tables.grads.chunks_exact(width)) {
            for (i, rows) in [&mut *r, w, k, kappa, a].into_iter().enumerate() {
                unpack(simd, found, i, rows[t]);
            }
            // The last table is that of `−a ⊙ κ`.
            let [of_kappa, of_a] = [self.x.kappa, self.x.a].map(|x| &x[place(t)]);
            let own = kappa[t].iter_mut().zip(&mut *a[t]).zip(of_kappa.iter().zip(of_a));
            for ((dkappa, da), (kappa, a)) in own {
                *dkappa -= a * *da;
                *da *= -kappa;
            }
        }
    }

    /// Some rows of the state through one chunk: forwards from its kept state, then back.
    #[inline(always)]
    fn rows<S: Simd>(&mut self, simd: S, chunk: usize, top: usize, tables: &mut Chunk<S>) {
        let Sizes { n, .. } = self.sizes;
        let width = columns::<S>(n);
        let place = self.sizes.places(self.head);
        let part = |x: &[f32], t| some(&x[place(t)], top);
        let kept = self.head * self.sizes.chunks() + chunk;
        pack_rows(simd, &self.states[kept * n * n..][..n * n], n, top, &mut tables.past[..width]);
        for (i, t) in self.sizes.span(chunk).enumerate() {
            let (before, after) = tables.past[i * width..].split_at_mut(width);
            let keys = &tables.keys[i * width..][..width];
            again(simd, keys, part(self.x.v, t), part(self.removed, t), before, after);
            if t >= CHUNK {
                let next = place(t - CHUNK).start + top;
                self.x.soon(next);
                soon(&self.removed[next]);
                soon(&self.dy[next]);
                self.grads.iter().for_each(|rows| soon(&rows[t - CHUNK][top]));
            }
        }
        pack_rows(simd, self.state, n, top, &mut tables.rows);
        for (i, t) in self.sizes.span(chunk).enumerate().rev() {
            let own = i * width..(i + 1) * width;
            let (before, after) = tables.past[i * width..].split_at(width);
            let numbers = [part(self.dy, t), part(self.x.v, t), part(self.removed, t)];
            let dv = back(
                simd,
                &tables.keys[own.clone()],
                numbers,
                [before, after],
                &mut tables.grads[own],
                &mut tables.rows,
            );
            put(dv, self.grads[3][t], top);
        }
        unpack_rows(simd, &tables.rows, self.state, n, top);
    }
}

/// One step of the state, without reading it: `after = before·diag(w) − removed·(a ⊙ κ)ᵀ + v·kᵀ`.
#[inline(always)]
fn again<S: Simd>(
    simd: S,
    keys: &[Column<S, 5>],
    v: [f32; ROWS],
    removed: [f32; ROWS],
    before: &[Column<S, ROWS>],
    after: &mut [Column<S, ROWS>],
) {
    let (v, removed) = (splat(simd, v), splat(simd, removed));
    for ((x, before), after) in keys.iter().zip(before).zip(after) {
        for i in 0..ROWS {
            let written = simd.mul_add_e_f32s(removed[i], x[LOST], simd.mul_f32s(v[i], x[K]));
            after[i] = simd.mul_add_e_f32s(before[i], x[W], written);
        }
    }
}

/// Takes the gradient `ds` of some rows back over one token; gives that of their values.
#[inline(always)]
fn back<S: Simd>(
    simd: S,
    keys: &[Column<S, 5>],
    [dy, v, removed]: [[f32; ROWS]; 3],
    [before, after]: [&[Column<S, ROWS>]; 2],
    grads: &mut [Column<S, 5>],
    rows: &mut [Column<S, ROWS>],
) -> [f32; ROWS] {
    let fma = |x, y, z| simd.mul_add_e_f32s(x, y, z);
    let (dy, v, removed) = (splat(simd, dy), splat(simd, v), splat(simd, removed));
    let zero = [simd.splat_f32s(0.0); ROWS];
    let (mut dv, mut dgone) = (zero, zero);
    let past = before.iter().zip(after);
    for (((x, to), rows), (before, after)) in keys.iter().zip(&mut *grads).zip(&mut *rows).zip(past)
    {
        let (mut dx, mut ds) = (*to, *rows); // copies, for those stay in registers
        for i in 0..ROWS {
            ds[i] = fma(dy[i], x[R], ds[i]);
            dx[R] = fma(dy[i], after[i], dx[R]);
            dx[W] = fma(ds[i], before[i], dx[W]);
            dx[K] = fma(v[i], ds[i], dx[K]);
            dx[LOST] = fma(removed[i], ds[i], dx[LOST]);
            dv[i] = fma(ds[i], x[K], dv[i]);
            dgone[i] = fma(ds[i], x[LOST], dgone[i]);
        }
        (*to, *rows) = (dx, ds);
    }
    let dgone = splat(simd, sums(simd, dgone));
    for (((x, to), rows), before) in keys.iter().zip(grads).zip(rows).zip(before) {
        let (mut dkappa, mut ds) = (to[KAPPA], *rows);
        for i in 0..ROWS {
            dkappa = fma(dgone[i], before[i], dkappa);
            ds[i] = fma(ds[i], x[W], simd.mul_f32s(dgone[i], x[KAPPA]));
        }
        (to[KAPPA], *rows) = (dkappa, ds);
    }
    sums(simd, dv)
}
