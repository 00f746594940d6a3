//! One token of [`WIDTH`] channels side by side.

use crate::cpu::exp::exp;

/// Channels that are worked on together: as many as keep several registers busy.
pub const WIDTH: usize = 64;

/// A number for each of the channels; those that there are not hold 0.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct Lanes([f32; WIDTH]);

/// The rows of the state, or their gradients.
#[derive(Clone, Copy)]
pub struct State {
    a: Lanes,
    b: Lanes,
    p: Lanes,
}

impl Lanes {
    pub const ZERO: Self = Self([0.0; WIDTH]);

    #[inline(always)]
    pub fn read(row: &[f32]) -> Self {
        let mut all = Self::ZERO;
        match row.first_chunk() {
            Some(row) => all.0 = *row,
            None => all.0[..row.len()].copy_from_slice(row),
        }
        all
    }

    #[inline(always)]
    pub fn write(&self, row: &mut [f32]) {
        let width = row.len();
        row.copy_from_slice(&self.0[..width]);
    }
}

impl State {
    pub const ZERO: Self = Self { a: Lanes::ZERO, b: Lanes::ZERO, p: Lanes::ZERO };

    #[inline(always)]
    pub fn read(rows: &[&mut [f32]]) -> Self {
        let row = |i: usize| Lanes::read(rows[i]);
        Self { a: row(0), b: row(1), p: row(2) }
    }

    #[inline(always)]
    pub fn write(&self, rows: &mut [&mut [f32]]) {
        for (lanes, row) in [&self.a, &self.b, &self.p].into_iter().zip(rows) {
            lanes.write(row);
        }
    }

    /// From what [`State::keep`] wrote.
    #[inline(always)]
    pub fn kept(kept: &[f32]) -> Self {
        let row = |i: usize| Lanes::read(&kept[i * WIDTH..][..WIDTH]);
        Self { a: row(0), b: row(1), p: row(2) }
    }

    #[inline(always)]
    pub fn keep(&self, kept: &mut [f32]) {
        for (lanes, row) in [&self.a, &self.b, &self.p].into_iter().zip(kept.chunks_mut(WIDTH)) {
            lanes.write(row);
        }
    }
}

/// `eˣ` and `eʸ`, both divided by the larger of them: one of the two is 1.
#[inline(always)]
fn weights(x: f32, y: f32) -> (f32, f32) {
    let less = exp(-(x - y).abs());
    if x >= y { (1.0, less) } else { (less, 1.0) }
}

/// The output `y` of a token, from the state before it.
#[inline(always)]
pub fn read(u: &Lanes, k: &Lanes, v: &Lanes, state: &State) -> Lanes {
    let State { a, b, p } = state;
    let mut y = Lanes::ZERO;
    for c in 0..WIDTH {
        let (old, new) = weights(p.0[c], k.0[c] + u.0[c]);
        y.0[c] = old.mul_add(a.0[c], new * v.0[c]) / old.mul_add(b.0[c], new);
    }
    y
}

/// Moves the state over one token.
#[inline(always)]
pub fn advance(w: &Lanes, k: &Lanes, v: &Lanes, state: &mut State) {
    let State { a, b, p } = state;
    for c in 0..WIDTH {
        let past = p.0[c] + w.0[c];
        let (old, new) = weights(past, k.0[c]);
        a.0[c] = old.mul_add(a.0[c], new * v.0[c]);
        b.0[c] = old.mul_add(b.0[c], new);
        p.0[c] = if past >= k.0[c] { past } else { k.0[c] };
    }
}

/// Takes the gradient of the state back over one token, whose state before is `past`; adds to those
/// of `w` and `u`, and gives those of `k` and `v`.
#[inline(always)]
pub fn back(
    [w, u, k, v, dy]: [&Lanes; 5],
    past: &State,
    state: &mut State,
    [dw, du]: &mut [Lanes; 2],
) -> [Lanes; 2] {
    let (mut dk, mut dv) = (Lanes::ZERO, Lanes::ZERO);
    for c in 0..WIDTH {
        let (k, v, a, b, p) = (k.0[c], v.0[c], past.a.0[c], past.b.0[c], past.p.0[c]);
        let (da, db, dp) = (state.a.0[c], state.b.0[c], state.p.0[c]);

        // Of y = values / total. That both are divided by the larger exponential cancels.
        let (old, new) = weights(p, k + u.0[c]);
        let (values, total) = (old.mul_add(a, new * v), old.mul_add(b, new));
        let dvalues = dy.0[c] / total;
        let dtotal = -dvalues * values / total;
        let read = old * a.mul_add(dvalues, b * dtotal);
        let now = new * v.mul_add(dvalues, dtotal);

        // Of the state after. There it does not cancel: the larger exponent gets what it is owed.
        let (faded, written) = weights(p + w.0[c], k);
        let left = faded * a.mul_add(da, b * db);
        let own = written * v.mul_add(da, db);
        let rest = dp - left - own;
        let (left, own) = if p + w.0[c] >= k { (left + rest, own) } else { (left, own + rest) };

        dk.0[c] = now + own;
        dv.0[c] = new.mul_add(dvalues, written * da);
        du.0[c] += now;
        dw.0[c] += left;
        state.a.0[c] = old.mul_add(dvalues, faded * da);
        state.b.0[c] = old.mul_add(dtotal, faded * db);
        state.p.0[c] = read + left;
    }
    [dk, dv]
}
