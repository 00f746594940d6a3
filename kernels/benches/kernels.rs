//! What the fused operations bring: `cargo bench --workspace --bench kernels`.
//!
//! Prints rates and ratios and judges nothing, for other work on the machine moves the rates. With
//! `RAYON_NUM_THREADS=1` they are those of one thread; with more, those of a second of calculation.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use pulp::{Arch, Simd, WithSimd};
use rwkv_kernels::*;

/// Sizes of the demo models' training step: batch, tokens, heads, channels of a head.
const SHAPE: [usize; 4] = [8, 256, 4, 64];

type T4 = Tensor<4>;

/// A recurrence: its inputs, of which the last is the state, to the output and the state after.
type Form = fn(&[T4]) -> (T4, T4);

struct Recurrence {
    name: &'static str,
    fused: Form,
    chunked: Form,
    inputs: fn(&Device) -> Vec<T4>,
    /// Multiplications for one number of the state and one token: forwards, backwards.
    work: [f64; 2],
}

const ALL: [Recurrence; 3] = [
    Recurrence {
        name: "wkv4",
        fused: |x| four(wkv4, x),
        chunked: |x| four(wkv4_chunked, x),
        inputs: |device| {
            let [b, _, h, n] = SHAPE;
            let channels = [1, 1, 1, h * n];
            let state = random(0.1, 1.0, [b, 1, 3, h * n], device);
            let decay = random(-2.0, -0.1, channels, device);
            let each = || random(-1.0, 1.0, SHAPE, device);
            vec![each(), each(), decay, random(-1.0, 1.0, channels, device), state]
        },
        work: [0.0; 2],
    },
    Recurrence {
        name: "wkv6",
        fused: |x| six(wkv6, x),
        chunked: |x| six(wkv6_chunked, x),
        inputs: |device| {
            let each = || random(-1.0, 1.0, SHAPE, device);
            let bonus = random(-1.0, 1.0, [1, 1, SHAPE[2], SHAPE[3]], device);
            vec![each(), random(-2.0, -0.1, SHAPE, device), each(), each(), bonus, state(device)]
        },
        work: [3.0, 8.0],
    },
    Recurrence {
        name: "wkv7",
        fused: |x| seven(wkv7, x),
        chunked: |x| seven(wkv7_chunked, x),
        inputs: |device| {
            let each = |size: f64| random(-size, size, SHAPE, device);
            let decay = random(0.55, 1.0, SHAPE, device);
            vec![each(1.0), decay, each(1.0), each(1.0), each(0.1), each(0.1), state(device)]
        },
        work: [5.0, 13.0],
    },
];

fn random(low: f64, high: f64, shape: [usize; 4], device: &Device) -> T4 {
    Tensor::random(shape, Distribution::Uniform(low, high), device)
}

fn state(device: &Device) -> T4 {
    let [b, _, h, n] = SHAPE;
    random(-0.5, 0.5, [b, h, n, n], device)
}

type Four = fn(Tensor<1>, Tensor<1>, Tensor<3>, Tensor<3>, &mut T4) -> Tensor<3>;
type Six = fn(T4, T4, T4, T4, Tensor<2>, &mut T4) -> T4;
type Seven = fn(T4, T4, T4, T4, T4, T4, &mut T4) -> T4;

fn four(f: Four, x: &[T4]) -> (T4, T4) {
    let [b, t, h, n] = SHAPE;
    let flat = |x: &T4| x.clone().reshape([b, t, h * n]);
    let vector = |x: &T4| x.clone().reshape([h * n]);
    let mut state = x[4].clone();
    let y = f(vector(&x[2]), vector(&x[3]), flat(&x[0]), flat(&x[1]), &mut state);
    (y.reshape(SHAPE), state)
}

fn six(f: Six, x: &[T4]) -> (T4, T4) {
    let part = |i: usize| x[i].clone();
    let mut state = part(5);
    let bonus = part(4).reshape([SHAPE[2], SHAPE[3]]);
    (f(part(0), part(1), part(2), part(3), bonus, &mut state), state)
}

fn seven(f: Seven, x: &[T4]) -> (T4, T4) {
    let part = |i: usize| x[i].clone();
    let mut state = part(6);
    (f(part(0), part(1), part(2), part(3), part(4), part(5), &mut state), state)
}

/// Seconds that all threads of this process have calculated; where the system does not tell, those
/// that have passed since `start`.
fn spent(start: Instant) -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let told = threads.filter_map(|thread| {
        let times = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        times.split(' ').next()?.parse::<f64>().ok()
    });
    let told: f64 = told.sum();
    if told > 0.0 { told * 1e-9 } else { start.elapsed().as_secs_f64() }
}

/// Seconds of calculation of one run: the least of some means, for other work on the machine only
/// adds to them.
fn cost<T>(mut run: impl FnMut() -> T) -> f64 {
    black_box(run());
    let start = Instant::now();
    let mean = |_| {
        let (before, mut runs) = (spent(start), 0.0);
        loop {
            black_box(run());
            runs += 1.0;
            // Long enough for the system's clock, which may count in hundredths.
            let seconds = spent(start) - before;
            if seconds > 0.15 {
                return seconds / runs;
            }
        }
    };
    (0..4).map(mean).fold(f64::INFINITY, f64::min)
}

/// Seconds of calculation forwards, and forwards and backwards with all gradients.
fn times(form: Form, inputs: fn(&Device) -> Vec<T4>) -> [f64; 2] {
    let x = inputs(&Device::flex());
    let forwards = cost(|| form(&x));
    let x = inputs(&Device::flex().autodiff()).into_iter().map(Tensor::require_grad);
    let x: Vec<_> = x.collect();
    [forwards, cost(|| form(&x).0.sum().backward())]
}

/// Nothing but multiplications and additions; gives how many.
struct Peak;

impl WithSimd for Peak {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        const ROUNDS: usize = 1_000_000;
        let factor = simd.splat_f32s(black_box(0.999));
        let mut sums = [factor; 16];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, factor, factor);
            }
        }
        black_box(sums);
        (2 * ROUNDS * sums.len() * S::F32_LANES) as f64
    }
}

fn recurrences() {
    let [b, t, h, n] = SHAPE;
    let peak = Arch::new().dispatch(Peak) / cost(|| Arch::new().dispatch(Peak));
    println!("one thread multiplies and adds {:.0} thousand million f32 a second", peak * 1e-9);
    println!("thousands of tokens a second at [B, T, H, N] = {SHAPE:?}; share of that; chunked");
    for Recurrence { name, fused, chunked, inputs, work } in ALL {
        let fused = times(fused, inputs);
        let chunked = times(chunked, inputs);
        let work = [work[0], work[0] + work[1]];
        for (i, direction) in ["forwards", "and back"].into_iter().enumerate() {
            let rate = |seconds: f64| (b * t) as f64 / seconds;
            let share = 2.0 * work[i] * (h * n * n) as f64 * rate(fused[i]) / peak;
            println!(
                "{name} {direction} {:8.0} {:6.1} % {:8.1} times",
                rate(fused[i]) * 1e-3,
                share * 100.0,
                chunked[i] / fused[i],
            );
        }
    }
}

fn products() {
    let device = Device::flex();
    let random = |shape| Tensor::<2>::random(shape, Distribution::Default, &device);
    println!("thousand millions of operations a second in [M, K]·[N, K]ᵀ; f32; ratio");
    for [m, k, n] in [[2048, 256, 256], [2048, 256, 1024], [2048, 1024, 256], [2048, 256, 4096]] {
        let (x, w) = (random([m, k]).unsqueeze::<3>(), random([n, k]));
        let [rounded, exact] = [Precision::Bf16, Precision::F32]
            .map(|precision| cost(|| with_precision(precision, || linear(x.clone(), w.clone()))));
        let rate = |seconds: f64| 2.0 * m as f64 * k as f64 * n as f64 / seconds * 1e-9;
        let ratio = exact / rounded;
        println!("{m} {k} {n}: {:6.0} {:6.0} {ratio:6.1} times", rate(rounded), rate(exact));
    }
}

fn main() {
    recurrences();
    products();
}
