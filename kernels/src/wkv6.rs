//! RWKV-5 and RWKV-6: the state is a matrix per head that fades along its keys.

use burn::tensor::Tensor;

use crate::chunks::{split, weights};
use crate::fused;

/// The recurrence of RWKV-5 and RWKV-6 (arXiv 2404.05892, section 4), by the fastest way the
/// device has.
///
/// ```text
/// y = S·r + (r·(u∘k))·v          S ← S·diag(eᵈ) + v·kᵀ
/// ```
///
/// The output reads the state before the current token, which speaks through its bonus `u` instead.
///
/// `r k v`: `[B, T, H, N]`. `d`: the logarithm of the decay, below 0, `[B, T, H, N]`, or
/// `[1, 1, H, N]` where it is the same for all tokens. `u`: `[H, N]`. `state`: `[B, H, N, N]` =
/// `[.., value, key]`. Returns `y`, `[B, T, H, N]`.
pub fn wkv6(
    r: Tensor<4>,
    d: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    u: Tensor<2>,
    state: &mut Tensor<4>,
) -> Tensor<4> {
    let [_, tokens, _, _] = r.dims();
    if fused::available(&r.device()) {
        fused::wkv6([r, d, k, v], u, state)
    } else if tokens > 1 {
        wkv6_chunked(r, d, k, v, u, state)
    } else {
        wkv6_plain(r, d, k, v, u, state)
    }
}

/// [`wkv6`] in chunks of [`crate::CHUNK`] tokens: inside a chunk every token reads every earlier one at
/// once, as in attention; the state is passed from chunk to chunk. For many tokens on devices
/// without a fused form.
pub fn wkv6_chunked(
    r: Tensor<4>,
    d: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    u: Tensor<2>,
    state: &mut Tensor<4>,
) -> Tensor<4> {
    let d = d.expand(r.dims());
    let parts = split(r.dims()[1]).map(|(start, size)| {
        let part = |x: &Tensor<4>| x.clone().narrow(1, start, size).swap_dims(1, 2);
        chunk([part(&r), part(&d), part(&k), part(&v)], u.clone(), state).swap_dims(1, 2)
    });
    Tensor::cat(parts.collect(), 1)
}

/// One chunk; `r d k v` and `y` are `[B, H, L, N]`.
fn chunk([r, d, k, v]: [Tensor<4>; 4], u: Tensor<2>, state: &mut Tensor<4>) -> Tensor<4> {
    let [b, h, l, n] = r.dims();
    let device = r.device();
    // Sums of decays are formed directly. As differences of running sums they would cancel, and
    // as quotients of products overflow: decays of RWKV-6 may be as strong as they like.
    let faded = |sums: Tensor<2>| sums.unsqueeze::<4>().matmul(d.clone()).exp();

    // How much token i, read by token t, has faded: by the decays between them.
    let between = weights(l * l, l, |pair, j| {
        let (t, i) = (pair / l, pair % l);
        f32::from(u8::from(i < j && j < t))
    });
    let between = faded(Tensor::from_data(between, &device)).reshape([b, h, l, l, n]);
    let asked = r.clone().unsqueeze_dim::<5>(3) * between * k.clone().unsqueeze_dim(2);
    let recent = asked.sum_dim(4).squeeze_dim::<4>(4).tril(-1);
    let own = (r.clone() * u.unsqueeze_dims(&[0, 2]) * k.clone()).sum_dim(3);

    let ones = Tensor::<2>::ones([l, l], &device);
    let past = r * faded(ones.clone().tril(-1));
    let y = past.matmul(state.clone().transpose()) + recent.matmul(v.clone()) + own * v.clone();

    let kept = faded(ones.clone().narrow(0, 0, 1)); // [B, H, 1, N]
    let written = k * faded(ones.triu(1));
    *state = state.clone() * kept + v.transpose().matmul(written);
    y
}

/// The definition of [`wkv6`] in ordinary tensor operations; runs on every device.
pub fn wkv6_plain(
    r: Tensor<4>,
    d: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    u: Tensor<2>,
    state: &mut Tensor<4>,
) -> Tensor<4> {
    let [_, tokens, _, _] = r.dims();
    let d = d.expand(r.dims());
    let mut s = state.clone();
    let mut y = Vec::with_capacity(tokens);
    for t in 0..tokens {
        let row = |x: &Tensor<4>| x.clone().narrow(1, t, 1).swap_dims(1, 2); // [B, H, 1, N]
        let col = |x: &Tensor<4>| row(x).swap_dims(2, 3); // [B, H, N, 1]

        let bonus = (row(&r) * row(&k) * u.clone().unsqueeze_dims(&[0, 2])).sum_dim(3);
        let read = s.clone().matmul(col(&r)) + col(&v) * bonus;
        y.push(read.squeeze_dim::<3>(3)); // [B, H, N]
        s = s * row(&d).exp() + col(&v).matmul(row(&k));
    }
    *state = s;
    Tensor::stack(y, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn a_value_is_read_with_the_bonus_first_and_faded_later() {
        let device = Device::flex();
        let tokens = |x: [f32; 4]| Tensor::<1>::from_floats(x, &device).reshape([1, 2, 1, 2]);
        let mut state = Tensor::zeros([1, 1, 2, 2], &device);
        let (r, k) = (tokens([1.0, 0.0, 1.0, 0.0]), tokens([1.0, 0.0, 0.0, 0.0]));
        let v = tokens([5.0, 7.0, 0.0, 0.0]);
        let d = tokens([0.25f32.ln(), 0.0, 0.5f32.ln(), 0.0]);
        let u = Tensor::from_floats([[3.0, 1.0]], &device);

        // At once: three times its value. One token later: whole, for decay works from then on.
        let y = wkv6(r, d, k, v, u, &mut state);
        let expected = tokens([15.0, 21.0, 5.0, 7.0]);
        assert_eq!((y - expected).abs().max().into_scalar::<f32>(), 0.0);
        // Under key 0 lie both halves of the value, faded once.
        let left = Tensor::<1>::from_floats([2.5, 0.0, 3.5, 0.0], &device).reshape([1, 1, 2, 2]);
        assert!((state - left).abs().max().into_scalar::<f32>() < 1e-6);
    }
}
