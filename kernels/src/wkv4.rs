//! RWKV-4: a decaying weighted average of values, one number per channel.

use burn::tensor::Tensor;

use crate::chunks::{split, weights};
use crate::fused;

/// The recurrence of RWKV-4 (arXiv 2305.13048, appendix "Numerically stable time-mixing"), by the
/// fastest way the device has.
///
/// ```text
/// y  = (e^p·a + e^(u+k)·v) / (e^p·b + e^(u+k))
/// a ← e^(p+w)·a + e^k·v          b ← e^(p+w)·b + e^k
/// ```
///
/// `a` and `b` are kept divided by `e^p`, where `p` is the largest exponent met so far; that keeps
/// every exponential at most 1.
///
/// `k`, `v`: `[B, T, C]`; `w` (log decay, negative) and `u` (bonus): `[C]`.
/// `state`: `[B, 1, 3, C]`, rows `a`, `b`, `p`. Returns `y`, `[B, T, C]`.
pub fn wkv4(
    w: Tensor<1>,
    u: Tensor<1>,
    k: Tensor<3>,
    v: Tensor<3>,
    state: &mut Tensor<4>,
) -> Tensor<3> {
    let [_, tokens, _] = k.dims();
    if fused::available(&k.device()) {
        fused::wkv4([w, u], [k, v], state)
    } else if tokens > 1 {
        wkv4_chunked(w, u, k, v, state)
    } else {
        wkv4_plain(w, u, k, v, state)
    }
}

/// [`wkv4`] in chunks of [`crate::CHUNK`] tokens: inside a chunk a causal softmax over all tokens
/// and the state; the state is passed from chunk to chunk. For many tokens on devices without a
/// fused form.
pub fn wkv4_chunked(
    w: Tensor<1>,
    u: Tensor<1>,
    k: Tensor<3>,
    v: Tensor<3>,
    state: &mut Tensor<4>,
) -> Tensor<3> {
    let parts = split(k.dims()[1]).map(|(start, size)| {
        let part = |x: &Tensor<3>| x.clone().narrow(1, start, size);
        chunk(w.clone(), u.clone(), part(&k), part(&v), state)
    });
    Tensor::cat(parts.collect(), 1)
}

/// One chunk; `k v` and `y` are `[B, L, C]`.
fn chunk(
    w: Tensor<1>,
    u: Tensor<1>,
    k: Tensor<3>,
    v: Tensor<3>,
    state: &mut Tensor<4>,
) -> Tensor<3> {
    let [batch, l, c] = k.dims();
    let device = k.device();
    let row = |i: usize| state.clone().narrow(2, i, 1).reshape([batch, 1, c]);
    let (a, b, p) = (row(0), row(1), row(2));
    let table = |rows, columns, weight: &dyn Fn(usize, usize) -> f32| {
        Tensor::<2>::from_data(weights(rows, columns, weight), &device).unsqueeze_dim::<3>(2)
    };
    let (w, u) = (w.unsqueeze::<3>(), u.unsqueeze::<3>());

    // Exponents with which token t reads token i; none reads the future.
    let age = |t: usize, i: usize| if i < t { (t - 1 - i) as f32 } else { 0.0 };
    let ages = table(l, l, &age) * w.clone() + table(l, l, &|t, i| f32::from(u8::from(t == i))) * u;
    let future = table(l, l, &|t, i| if i > t { NEVER } else { 0.0 });
    let reads = k.clone().unsqueeze_dim::<4>(1) + (ages + future).unsqueeze::<4>(); // [B, L, L, C]
    let past = p.clone() + (table(l, 1, &|t, _| t as f32) * w.clone()).swap_dims(0, 1);

    let q = reads.clone().max_dim(2).squeeze_dim::<3>(2).max_pair(past.clone());
    let recent = (reads - q.clone().unsqueeze_dim(2)).exp();
    let past = (past - q).exp();
    let values = (recent.clone() * v.clone().unsqueeze_dim(1)).sum_dim(2).squeeze_dim::<3>(2);
    let total = recent.sum_dim(2).squeeze_dim::<3>(2);
    let y = (values + past.clone() * a.clone()) / (total + past * b.clone());

    // Exponents with which they are left behind.
    let left = k + table(1, l, &|_, i| (l - 1 - i) as f32) * w.clone();
    let past = p + w * l as f64;
    let p = left.clone().max_dim(1).max_pair(past.clone());
    let (left, past) = ((left - p.clone()).exp(), (past - p.clone()).exp());
    let a = (left.clone() * v).sum_dim(1) + past.clone() * a;
    let b = left.sum_dim(1) + past * b;
    *state = Tensor::cat(vec![a, b, p], 1).unsqueeze_dim(1);
    y
}

/// An exponent below every other; finite, for the difference of infinities is NaN.
const NEVER: f32 = -1e30;

/// The definition of [`wkv4`] in ordinary tensor operations; runs on every device.
pub fn wkv4_plain(
    w: Tensor<1>,
    u: Tensor<1>,
    k: Tensor<3>,
    v: Tensor<3>,
    state: &mut Tensor<4>,
) -> Tensor<3> {
    let [batch, tokens, channels] = k.dims();
    let row = |i: usize| state.clone().narrow(2, i, 1).reshape([batch, channels]);
    let (mut a, mut b, mut p) = (row(0), row(1), row(2));
    let (w, u) = (w.unsqueeze::<2>(), u.unsqueeze::<2>());

    let mut y = Vec::with_capacity(tokens);
    for (k, v) in k.iter_dim(1).zip(v.iter_dim(1)) {
        let (k, v) = (k.squeeze_dim::<2>(1), v.squeeze_dim::<2>(1)); // [B, C]

        let now = k.clone() + u.clone();
        let q = p.clone().max_pair(now.clone());
        let (old, new) = ((p.clone() - q.clone()).exp(), (now - q).exp());
        y.push((old.clone() * a.clone() + new.clone() * v.clone()) / (old * b.clone() + new));

        let past = p + w.clone();
        let q = past.clone().max_pair(k.clone());
        let (old, new) = ((past - q.clone()).exp(), (k - q.clone()).exp());
        a = old.clone() * a + new.clone() * v;
        b = old * b + new;
        p = q;
    }
    *state = Tensor::stack::<3>(vec![a, b, p], 1).unsqueeze_dim(1);
    Tensor::stack(y, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn first_token_reads_its_own_value_and_the_second_an_average() {
        let device = Device::flex();
        let one = |x: f32| Tensor::<1>::from_floats([x], &device);
        let mut state = Tensor::from_floats([[[[0.0], [0.0], [-1e30]]]], &device);
        let k = Tensor::from_floats([[[0.0], [0.0]]], &device);
        let v = Tensor::from_floats([[[1.0], [3.0]]], &device);

        // No bonus and a decay of one half per step: (½⁰·1·1 + 1·3) / (1 + 1) = 2.
        let y = wkv4(one(0.5f32.ln()), one(0.0), k, v, &mut state);
        y.into_data().assert_approx_eq::<f32>(
            &TensorData::from([[[1.0f32], [2.0]]]),
            burn::tensor::Tolerance::absolute(1e-6),
        );
        // The first value has faded to one half: a = ½·1 + 3, b = ½ + 1, both relative to p = 0.
        state.into_data().assert_approx_eq::<f32>(
            &TensorData::from([[[[3.5f32], [1.5], [0.0]]]]),
            burn::tensor::Tolerance::absolute(1e-6),
        );
    }
}
