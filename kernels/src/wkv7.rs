//! RWKV-7: the state is a matrix per head, edited by a generalised delta rule.

use burn::tensor::Tensor;

use crate::fused;

/// The recurrence of RWKV-7 (arXiv 2503.14456, section 3), by the fastest way the device has.
///
/// ```text
/// S ← S·diag(w) + (S·a)·bᵀ + v·kᵀ          y = S·r
/// ```
///
/// `r w k v a b`: `[B, T, H, N]`, `w` in (0, 1). `state`: `[B, H, N, N]` = `[.., value, key]`.
/// Returns `y`, `[B, T, H, N]`.
pub fn wkv7(
    r: Tensor<4>,
    w: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    a: Tensor<4>,
    b: Tensor<4>,
    state: &mut Tensor<4>,
) -> Tensor<4> {
    if fused::available(&r.device()) {
        fused::wkv7([r, w, k, v, a, b], state)
    } else {
        wkv7_plain(r, w, k, v, a, b, state)
    }
}

/// The definition of [`wkv7`] in ordinary tensor operations; runs on every device.
pub fn wkv7_plain(
    r: Tensor<4>,
    w: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    a: Tensor<4>,
    b: Tensor<4>,
    state: &mut Tensor<4>,
) -> Tensor<4> {
    let [_, tokens, _, _] = r.dims();
    let mut s = state.clone();
    let mut y = Vec::with_capacity(tokens);
    for t in 0..tokens {
        let row = |x: &Tensor<4>| x.clone().narrow(1, t, 1).swap_dims(1, 2); // [B, H, 1, N]
        let col = |x: &Tensor<4>| row(x).swap_dims(2, 3); // [B, H, N, 1]

        s = s.clone() * row(&w) + s.matmul(col(&a)).matmul(row(&b)) + col(&v).matmul(row(&k));
        y.push(s.clone().matmul(col(&r)).squeeze_dim::<3>(3)); // [B, H, N]
    }
    *state = s;
    Tensor::stack(y, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};

    /// B, T, H, N: one token, whole chunks of 16, one more, one less, odd sizes.
    const SHAPES: [[usize; 4]; 9] = [
        [1, 1, 1, 4],
        [2, 1, 3, 8],
        [1, 2, 1, 2],
        [1, 15, 2, 8],
        [2, 16, 1, 16],
        [1, 17, 3, 5],
        [3, 37, 2, 24],
        [1, 300, 1, 8],
        [2, 33, 2, 64],
    ];

    /// `r w k v a b` and a state, drawn as a model would make them: `a = -κ`, `b = κ·rate`.
    fn inputs([b, t, h, n]: [usize; 4], device: &Device) -> Vec<Tensor<4>> {
        let random = |low, high, shape: [usize; 4]| {
            Tensor::<4>::random(shape, Distribution::Uniform(low, high), device)
        };
        let each = [b, t, h, n];
        let key = random(-1.0, 1.0, each);
        let kappa = key.clone() / key.clone().square().sum_dim(3).sqrt();
        let decay = (random(-8.0, 2.0, each).exp() * -0.6).exp();
        let rate = random(0.0, 1.0, each);
        vec![
            random(-1.0, 1.0, each),
            decay,
            key,
            random(-1.0, 1.0, each),
            -kappa.clone(),
            kappa * rate,
            random(-0.5, 0.5, [b, h, n, n]),
        ]
    }

    type Recurrence = fn(
        Tensor<4>,
        Tensor<4>,
        Tensor<4>,
        Tensor<4>,
        Tensor<4>,
        Tensor<4>,
        &mut Tensor<4>,
    ) -> Tensor<4>;

    fn run(f: Recurrence, x: &[Tensor<4>]) -> (Tensor<4>, Tensor<4>) {
        let x: [Tensor<4>; 7] = x.to_vec().try_into().unwrap();
        let [r, w, k, v, a, b, mut state] = x;
        let y = f(r, w, k, v, a, b, &mut state);
        (y, state)
    }

    fn far(a: Tensor<4>, b: Tensor<4>) -> f32 {
        (a - b).abs().max().into_scalar::<f32>()
    }

    #[test]
    fn fused_equals_plain() {
        let device = Device::flex();
        for shape in SHAPES {
            let x = inputs(shape, &device);
            let ((y, s), (y_plain, s_plain)) = (run(wkv7, &x), run(wkv7_plain, &x));
            assert!(far(y, y_plain) < 1e-5 && far(s, s_plain) < 1e-5, "{shape:?}");
        }
    }

    #[test]
    fn fused_gradients_equal_plain_gradients() {
        let device = Device::flex().autodiff();
        let gradients = |f: Recurrence, x: &[Tensor<4>]| {
            let x: Vec<_> = x.iter().map(|x| x.clone().detach().require_grad()).collect();
            let (y, state) = run(f, &x);
            let loss = (y.clone() * y.sin()).sum() + (state.clone() * state.cos()).sum();
            let grads = loss.backward();
            x.iter().map(|x| x.grad(&grads).unwrap()).collect::<Vec<_>>()
        };
        for shape in SHAPES {
            let x = inputs(shape, &device);
            for (i, (fused, plain)) in
                gradients(wkv7, &x).into_iter().zip(gradients(wkv7_plain, &x)).enumerate()
            {
                let size = plain.clone().abs().max().into_scalar::<f32>();
                let name = ["r", "w", "k", "v", "a", "b", "state"][i];
                assert!(far(fused, plain) <= 2e-5 * size.max(1.0), "d{name} {shape:?}");
            }
        }
    }

    #[test]
    fn one_pass_equals_two() {
        let device = Device::flex();
        let x = inputs([2, 21, 2, 8], &device);
        let (y, state) = run(wkv7, &x);
        let part = |start, len| -> Vec<_> {
            x[..6].iter().map(|x| x.clone().narrow(1, start, len)).collect()
        };
        let (mut first, mut second) = (part(0, 5), part(5, 16));
        first.push(x[6].clone());
        let (y_first, middle) = run(wkv7, &first);
        second.push(middle);
        let (y_second, end) = run(wkv7, &second);
        assert!(far(Tensor::cat(vec![y_first, y_second], 1), y) < 1e-6);
        assert!(far(state, end) < 1e-6);
    }

    #[test]
    fn a_written_value_is_read_back_under_its_key() {
        let device = Device::flex();
        let vector = |x: [f32; 2]| Tensor::<1>::from_floats(x, &device).reshape([1, 1, 1, 2]);
        let (zero, one) = (vector([0.0, 0.0]), vector([1.0, 1.0]));
        let mut state = Tensor::zeros([1, 1, 2, 2], &device);
        let (key, value) = (vector([0.0, 1.0]), vector([5.0, 7.0]));
        let y = wkv7(key.clone(), one, key, value.clone(), zero.clone(), zero, &mut state);
        assert_eq!(far(y, value), 0.0);
    }
}
