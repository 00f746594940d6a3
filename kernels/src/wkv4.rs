//! RWKV-4: a decaying weighted average of values, one number per channel.

use burn::tensor::Tensor;

/// The recurrence of RWKV-4 (arXiv 2305.13048, appendix "Numerically stable time-mixing").
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
