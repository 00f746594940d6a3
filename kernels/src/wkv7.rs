//! RWKV-7: the state is a matrix per head, edited by a generalised delta rule.

use burn::tensor::Tensor;

use crate::chunks::{split, weights};
use crate::fused;

/// The recurrence of RWKV-7 (arXiv 2503.14456, section 3), by the fastest way the device has.
///
/// ```text
/// S ← S·(diag(w) − κ·(a ⊙ κ)ᵀ) + v·kᵀ          y = S·r
/// ```
///
/// `r w k v κ a`: `[B, T, H, N]`; `w` in (0, 1), `a` too, `κ` of length 1. `state`: `[B, H, N, N]` =
/// `[.., value, key]`. Returns `y`, `[B, T, H, N]`.
pub fn wkv7(
    r: Tensor<4>,
    w: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    kappa: Tensor<4>,
    a: Tensor<4>,
    state: &mut Tensor<4>,
) -> Tensor<4> {
    let [_, tokens, _, _] = r.dims();
    if fused::available(&r.device()) {
        fused::wkv7([r, w, k, v, kappa, a], state)
    } else if tokens > 1 {
        wkv7_chunked(r, w, k, v, kappa, a, state)
    } else {
        wkv7_plain(r, w, k, v, kappa, a, state)
    }
}

/// [`wkv7`] in chunks of [`crate::CHUNK`] tokens: what each token of a chunk removes depends on
/// what the others do, which is a triangular system of equations; the state is passed from chunk
/// to chunk. For many tokens on devices without a fused form.
///
/// Decays below e⁻⁵ count as e⁻⁵, so that products over a chunk neither vanish nor overflow; those
/// of RWKV-7 are above 0.54.
pub fn wkv7_chunked(
    r: Tensor<4>,
    w: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    kappa: Tensor<4>,
    a: Tensor<4>,
    state: &mut Tensor<4>,
) -> Tensor<4> {
    let parts = split(r.dims()[1]).map(|(start, size)| {
        let part = |x: &Tensor<4>| x.clone().narrow(1, start, size).swap_dims(1, 2);
        chunk([&r, &w, &k, &v, &kappa, &a].map(part), state).swap_dims(1, 2)
    });
    Tensor::cat(parts.collect(), 1)
}

/// One chunk; `r w k v κ a` and `y` are `[B, H, L, N]`.
fn chunk([r, w, k, v, kappa, a]: [Tensor<4>; 6], state: &mut Tensor<4>) -> Tensor<4> {
    let [_, _, l, _] = r.dims();
    let share = -(a * kappa.clone());
    let d = w.clamp_min(LEAST_DECAY).log();
    let device = r.device();
    let faded = |weight: &dyn Fn(usize, usize) -> f32| {
        let sums = Tensor::<2>::from_data(weights(l, l, weight), &device);
        sums.unsqueeze::<4>().matmul(d.clone()).exp()
    };
    let one = |yes: bool| f32::from(u8::from(yes));

    // Fading between two tokens, as a quotient of fadings from the middle of the chunk on: from
    // there they reach least far in both directions.
    let middle = |j: usize| one(j < l / 2);
    let asks = kappa.clone() * faded(&|t, j| one(j < t) - middle(j));
    let reads = r.clone() * faded(&|t, j| one(j <= t) - middle(j));
    let back = faded(&|t, j| middle(j) - one(j <= t));
    let (share_back, k_back) =
        ((share.clone() * back.clone()).transpose(), (k.clone() * back).transpose());

    // What every token removes: from the past, and from what was written and removed since.
    let past = (kappa * faded(&|t, j| one(j < t))).matmul(state.clone().transpose());
    let written = asks.clone().matmul(k_back.clone()).tril(-1).matmul(v.clone());
    let removed = solve(asks.matmul(share_back.clone()).tril(-1), past + written);

    let past = (r * faded(&|t, j| one(j <= t))).matmul(state.clone().transpose());
    let y = past
        + reads.clone().matmul(share_back).tril(0).matmul(removed.clone())
        + reads.matmul(k_back).tril(0).matmul(v.clone());

    let after = faded(&|t, j| one(j > t));
    let kept = faded(&|_, _| 1.0).narrow(2, 0, 1); // [B, H, 1, N]
    *state = state.clone() * kept
        + removed.transpose().matmul(share * after.clone())
        + v.transpose().matmul(k * after);
    y
}

/// The `x` for which `x = L·x + y`, where `L` `[B, H, L, L]` is zero on and above its diagonal: by
/// halves, the second of which needs the first. As exact as row after row.
fn solve(lower: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    let [_, _, l, _] = lower.dims();
    if l == 1 {
        return y;
    }
    let (half, rest) = (l / 2, l - l / 2);
    let rows = |x: &Tensor<4>, start, size| x.clone().narrow(2, start, size);
    let (top, bottom) = (rows(&lower, 0, half), rows(&lower, half, rest));
    let first = solve(top.narrow(3, 0, half), rows(&y, 0, half));
    let more = bottom.clone().narrow(3, 0, half).matmul(first.clone());
    let second = solve(bottom.narrow(3, half, rest), rows(&y, half, rest) + more);
    Tensor::cat(vec![first, second], 2)
}

/// Decays below this count as this in [`wkv7_chunked`]: e⁻⁵.
const LEAST_DECAY: f32 = 0.006_737_947;

/// The definition of [`wkv7`] in ordinary tensor operations; runs on every device.
pub fn wkv7_plain(
    r: Tensor<4>,
    w: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    kappa: Tensor<4>,
    a: Tensor<4>,
    state: &mut Tensor<4>,
) -> Tensor<4> {
    let [_, tokens, _, _] = r.dims();
    let mut s = state.clone();
    let mut y = Vec::with_capacity(tokens);
    for t in 0..tokens {
        let row = |x: &Tensor<4>| x.clone().narrow(1, t, 1).swap_dims(1, 2); // [B, H, 1, N]
        let col = |x: &Tensor<4>| row(x).swap_dims(2, 3); // [B, H, N, 1]

        let removed = s.clone().matmul(col(&kappa)).matmul(row(&a) * row(&kappa));
        s = s * row(&w) - removed + col(&v).matmul(row(&k));
        y.push(s.clone().matmul(col(&r)).squeeze_dim::<3>(3)); // [B, H, N]
    }
    *state = s;
    Tensor::stack(y, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn a_written_value_is_read_back_under_its_key() {
        let device = Device::flex();
        let vector = |x: [f32; 2]| Tensor::<1>::from_floats(x, &device).reshape([1, 1, 1, 2]);
        let (zero, one) = (vector([0.0, 0.0]), vector([1.0, 1.0]));
        let mut state = Tensor::zeros([1, 1, 2, 2], &device);
        let (key, value) = (vector([0.0, 1.0]), vector([5.0, 7.0]));
        let y = wkv7(key.clone(), one, key, value.clone(), zero.clone(), zero, &mut state);
        assert_eq!((y - value).abs().max().into_scalar::<f32>(), 0.0);
    }
}
