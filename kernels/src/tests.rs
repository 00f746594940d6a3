//! Every fast form equals its plain definition, forwards and backwards, on many shapes.

mod operations;

use std::cell::Cell;

use burn::tensor::{Device, Tensor, TensorData};

use super::*;

/// B, T, H, N: one token, whole chunks of 16, one more, one less, odd sizes.
const SHAPES: [[usize; 4]; 10] = [
    [1, 1, 1, 4],
    [2, 1, 3, 8],
    [1, 2, 1, 2],
    [1, 15, 2, 8],
    [2, 16, 1, 16],
    [1, 17, 3, 5],
    [3, 37, 2, 24],
    [1, 300, 1, 8],
    [2, 33, 2, 64],
    [2, 19, 5, 20],
];

/// A recurrence on inputs of which the last is the state; gives the output and the state after.
type Form = fn(&[Tensor<4>]) -> (Tensor<4>, Tensor<4>);

struct Recurrence {
    name: &'static str,
    plain: Form,
    /// What must agree with it.
    fast: &'static [(&'static str, Form)],
    /// Random inputs as a model would make them, those of shape `[B, T, H, N]` first.
    inputs: fn([usize; 4], &Device) -> Vec<Tensor<4>>,
    /// How many inputs have an axis of tokens.
    timed: usize,
}

const ALL: [Recurrence; 3] = [
    Recurrence {
        name: "wkv4",
        plain: |x| four(wkv4_plain, x),
        fast: &[("chunked", |x| four(wkv4_chunked, x)), ("fused", |x| four(wkv4, x))],
        inputs: inputs_of_four,
        timed: 2,
    },
    Recurrence {
        name: "wkv6",
        plain: |x| six(wkv6_plain, x),
        fast: &[("chunked", |x| six(wkv6_chunked, x)), ("fused", |x| six(wkv6, x))],
        inputs: inputs_of_six,
        timed: 4,
    },
    Recurrence {
        name: "wkv7",
        plain: |x| seven(wkv7_plain, x),
        fast: &[("chunked", |x| seven(wkv7_chunked, x)), ("fused", |x| seven(wkv7, x))],
        inputs: inputs_of_seven,
        timed: 6,
    },
];

type Four = fn(Tensor<1>, Tensor<1>, Tensor<3>, Tensor<3>, &mut Tensor<4>) -> Tensor<3>;
type T4 = Tensor<4>;

fn four(f: Four, x: &[T4]) -> (T4, T4) {
    let [b, t, h, n] = x[0].dims();
    let flat = |x: &T4| x.clone().reshape([b, t, h * n]);
    let vector = |x: &T4| x.clone().reshape([h * n]);
    let mut state = x[4].clone();
    let y = f(vector(&x[2]), vector(&x[3]), flat(&x[0]), flat(&x[1]), &mut state);
    (y.reshape([b, t, h, n]), state)
}

fn six(f: fn(T4, T4, T4, T4, Tensor<2>, &mut T4) -> T4, x: &[T4]) -> (T4, T4) {
    let [r, d, k, v, u, mut state] = x.to_vec().try_into().unwrap();
    let [_, _, h, n] = u.dims();
    (f(r, d, k, v, u.reshape([h, n]), &mut state), state)
}

fn seven(f: fn(T4, T4, T4, T4, T4, T4, &mut T4) -> T4, x: &[T4]) -> (T4, T4) {
    let [r, w, k, v, kappa, a, mut state] = x.to_vec().try_into().unwrap();
    (f(r, w, k, v, kappa, a, &mut state), state)
}

thread_local! {
    /// Every test draws the same numbers at every run; Burn's generator is shared by all threads.
    static DRAWN: Cell<u64> = const { Cell::new(0) };
}

fn random(low: f64, high: f64, shape: [usize; 4], device: &Device) -> T4 {
    let draw = |_| {
        let state = DRAWN.get().wrapping_add(0x9E37_79B9_7F4A_7C15); // splitmix64
        DRAWN.set(state);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (low + (high - low) * ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64) as f32
    };
    let numbers: Vec<f32> = (0..shape.iter().product()).map(draw).collect();
    Tensor::from_data(TensorData::new(numbers, shape), device)
}

/// `k v w u` and a state; every second state is empty, with the exponent that stands for never.
fn inputs_of_four([b, t, h, n]: [usize; 4], device: &Device) -> Vec<T4> {
    let (each, channel) = ([b, t, h, n], [1, 1, 1, h * n]);
    let row = |low, high| random(low, high, [b, 1, 1, h * n], device);
    let state = if t % 2 == 0 {
        let zero = Tensor::zeros([b, 1, 2, h * n], device);
        Tensor::cat(vec![zero, Tensor::full([b, 1, 1, h * n], -1e30, device)], 2)
    } else {
        Tensor::cat(vec![row(-2.0, 2.0), row(0.1, 2.0), row(-3.0, 3.0)], 2)
    };
    vec![
        random(-3.0, 3.0, each, device),
        random(-1.0, 1.0, each, device),
        -random(-6.0, 3.0, channel, device).exp(),
        random(-1.0, 1.0, channel, device),
        state,
    ]
}

/// `r d k v u` and a state; decays from almost none to almost all.
fn inputs_of_six([b, t, h, n]: [usize; 4], device: &Device) -> Vec<T4> {
    let each = [b, t, h, n];
    vec![
        random(-1.0, 1.0, each, device),
        -random(-8.0, 3.0, each, device).exp(),
        random(-1.0, 1.0, each, device),
        random(-1.0, 1.0, each, device),
        random(-1.0, 1.0, [1, 1, h, n], device),
        random(-0.5, 0.5, [b, h, n, n], device),
    ]
}

/// `r w k v a b` and a state, drawn as a model would make them: `a = -κ`, `b = κ·rate`.
fn inputs_of_seven([b, t, h, n]: [usize; 4], device: &Device) -> Vec<T4> {
    let each = [b, t, h, n];
    let key = random(-1.0, 1.0, each, device);
    let kappa = key.clone() / key.clone().square().sum_dim(3).sqrt();
    let decay = (random(-8.0, 2.0, each, device).exp() * -0.6).exp();
    let rate = random(0.0, 1.0, each, device);
    vec![
        random(-1.0, 1.0, each, device),
        decay,
        key,
        random(-1.0, 1.0, each, device),
        kappa,
        rate,
        random(-0.5, 0.5, [b, h, n, n], device),
    ]
}

fn far(a: T4, b: T4) -> f32 {
    let far = (a - b).abs().max().into_scalar::<f32>();
    if far.is_nan() { f32::INFINITY } else { far }
}

fn size(x: &T4) -> f32 {
    x.clone().abs().max().into_scalar::<f32>().max(1.0)
}

#[test]
fn fast_equals_plain() {
    let device = Device::flex();
    for Recurrence { name, plain, fast, inputs, .. } in ALL {
        for shape in SHAPES {
            let x = inputs(shape, &device);
            let (y_plain, s_plain) = plain(&x);
            for (form, fast) in fast {
                let (y, s) = fast(&x);
                let (y, s) = (far(y, y_plain.clone()), far(s, s_plain.clone()));
                let close = y < 1e-5 * size(&y_plain) && s < 1e-5 * size(&s_plain);
                assert!(close, "{name}, {form}, {shape:?}: {y:e} {s:e}");
            }
        }
    }
}

#[test]
fn fast_gradients_equal_plain_gradients() {
    let device = Device::flex().autodiff();
    let gradients = |f: Form, x: &[T4]| {
        let x: Vec<_> = x.iter().map(|x| x.clone().detach().require_grad()).collect();
        let (y, state) = f(&x);
        let loss = (y.clone() * y.sin()).sum() + state.square().sum() * 0.1;
        let grads = loss.backward();
        x.iter().map(|x| x.grad(&grads).unwrap()).collect::<Vec<_>>()
    };
    for Recurrence { name, plain, fast, inputs, .. } in ALL {
        for shape in SHAPES {
            let x = inputs(shape, &device);
            let expected = gradients(plain, &x);
            for (form, fast) in fast {
                for (i, (found, plain)) in
                    gradients(*fast, &x).into_iter().zip(&expected).enumerate()
                {
                    let share = far(found, plain.clone()) / size(plain);
                    // A gradient gathers the rounding of all tokens.
                    let bound = 2e-5 + 2e-7 * shape[1] as f32;
                    assert!(share <= bound, "{name}, {form}, {shape:?}, input {i}: {share:e}");
                }
            }
        }
    }
}

#[test]
fn one_pass_equals_two() {
    let device = Device::flex();
    for Recurrence { name, plain, fast, inputs, timed } in ALL {
        let x = inputs([2, 21, 2, 8], &device);
        for (form, f) in fast.iter().chain(&[("plain", plain)]) {
            let (y, state) = f(&x);
            let part = |start, len, state: &T4| {
                let parts = x[..timed].iter().map(|x| x.clone().narrow(1, start, len));
                let rest = x[timed..x.len() - 1].iter().cloned();
                parts.chain(rest).chain([state.clone()]).collect::<Vec<_>>()
            };
            let (first, middle) = f(&part(0, 5, x.last().unwrap()));
            let (second, end) = f(&part(5, 16, &middle));
            let y = far(Tensor::cat(vec![first, second], 1), y);
            let s = far(state, end);
            assert!(y < 2e-6 && s < 2e-6, "{name}, {form}: {y:e} {s:e}");
        }
    }
}

/// Decays that no product of would fit into a number, and none at all.
#[test]
fn the_strongest_and_the_weakest_decay() {
    let device = Device::flex();
    for decay in [-1e4, -88.0, -1e-30, 0.0] {
        let mut x = inputs_of_six([1, 40, 2, 4], &device);
        x[1] = Tensor::full([1, 40, 2, 4], decay, &device);
        let (y_plain, s_plain) = six(wkv6_plain, &x);
        for form in [wkv6_chunked, wkv6] {
            let (y, s) = six(form, &x);
            assert!(far(y, y_plain.clone()) < 1e-5 * size(&y_plain), "{decay}");
            assert!(far(s, s_plain.clone()) < 1e-5 * size(&s_plain), "{decay}");
        }
    }
}

/// The same key again and again: where an inverse made of powers would lose its digits.
#[test]
fn repeated_tokens_stay_exact() {
    let device = Device::flex();
    let once = inputs_of_seven([1, 1, 2, 16], &device);
    let mut x: Vec<_> = once[..6].iter().map(|x| x.clone().repeat_dim(1, 64)).collect();
    x.push(once[6].clone());
    let ((y, s), (y_plain, s_plain)) = (seven(wkv7_chunked, &x), seven(wkv7_plain, &x));
    assert!(far(y, y_plain.clone()) < 1e-5 * size(&y_plain));
    assert!(far(s, s_plain.clone()) < 1e-5 * size(&s_plain));
}

/// v5 gives one decay for all tokens: as it is, or as a tensor that is expanded and not copied.
#[test]
fn a_steady_decay_is_read_and_learned() {
    let device = Device::flex().autodiff();
    for shape @ [_, _, h, n] in SHAPES {
        let mut x = inputs_of_six(shape, &device);
        let decay = -random(-4.0, 1.0, [1, 1, h, n], &device).exp();
        let mut learn = |form: fn(T4, T4, T4, T4, Tensor<2>, &mut T4) -> T4, expanded: bool| {
            let decay = decay.clone().detach().require_grad();
            x[1] = if expanded { decay.clone().expand(shape) } else { decay.clone() };
            let (y, state) = six(form, &x);
            let grads = (y.clone().square().sum() + state.sin().sum()).backward();
            (y.inner(), decay.grad(&grads).unwrap())
        };
        let (y_plain, grad_plain) = learn(wkv6_plain, true);
        for (form, expanded) in
            [(wkv6 as fn(_, _, _, _, _, &mut _) -> _, false), (wkv6, true), (wkv6_chunked, false)]
        {
            let (y, grad) = learn(form, expanded);
            let (y, grad) = (far(y, y_plain.clone()), far(grad, grad_plain.clone()));
            let close = y < 1e-5 * size(&y_plain) && grad < 3e-5 * size(&grad_plain);
            assert!(close, "{shape:?}: {y:e} {grad:e}");
        }
    }
}
