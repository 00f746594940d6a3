//! Every fused operation beside its definition, forwards and backwards.

use std::collections::BTreeMap;

use burn::tensor::activation::relu;
use burn::tensor::{DType, Device, Distribution, Int, Tensor, TensorData};

use crate::*;

mod towers;

type Numbers = Tensor<1>;
type Form = Box<dyn Fn(&[Numbers]) -> Numbers>;

/// An operation in both forms; inputs come as rows of numbers, of these lengths.
struct Case {
    name: &'static str,
    lengths: Vec<usize>,
    fast: Form,
    plain: Form,
}

/// Batch, tokens, heads, channels of a head: less than a vector, more than any block, odd.
const SHAPES: [[usize; 4]; 6] =
    [[1, 1, 1, 4], [2, 5, 2, 8], [1, 33, 3, 16], [3, 40, 2, 17], [2, 70, 1, 64], [1, 150, 2, 8]];

fn cases([b, t, h, n]: [usize; 4]) -> Vec<Case> {
    let (m, c) = (b * t * h * n, h * n);
    let case = |name, lengths: &[usize], fast, plain| Case {
        name,
        lengths: lengths.to_vec(),
        fast,
        plain,
    };
    let flow = move |x: &Numbers| x.clone().reshape([b, t, c]);
    let each = move |x: &Numbers| x.clone().reshape([1, 1, c]);
    let heads = move |x: &Numbers| x.clone().reshape([b, t, h, n]);
    let flat = |x: Tensor<3>| x.flatten::<1>(0, 2);
    let normed = move |f: fn(Tensor<3>, Numbers, Numbers, usize, f64) -> Tensor<3>, groups| {
        let own =
            move |x: &[Numbers]| flat(f(flow(&x[0]), x[1].clone(), x[2].clone(), groups, 1e-5));
        Box::new(own) as Form
    };
    let two = move |f: fn(Tensor<3>, Tensor<3>, Tensor<3>) -> Tensor<3>| {
        Box::new(move |x: &[Numbers]| flat(f(flow(&x[0]), flow(&x[1]), each(&x[2])))) as Form
    };
    let key = move |f: fn(Tensor<3>, Tensor<3>, usize) -> Tensor<4>| {
        Box::new(move |x: &[Numbers]| f(flow(&x[0]), each(&x[1]), h).flatten(0, 3)) as Form
    };
    type Reads = fn([Tensor<4>; 4], Tensor<3>, Tensor<2>, Numbers, Numbers, f64) -> Tensor<3>;
    let reads = move |f: Reads| {
        let own = move |x: &[Numbers]| {
            let r_k = x[5].clone().reshape([h, n]);
            let four = std::array::from_fn(|i| heads(&x[i]));
            flat(f(four, flow(&x[4]), r_k, x[6].clone(), x[7].clone(), 1e-3))
        };
        Box::new(own) as Form
    };
    vec![
        case("layer norm", &[m, c, c], normed(norm, 1), normed(norm_plain, 1)),
        case("head norm", &[m, c, c], normed(norm, h), normed(norm_plain, h)),
        case("edit_key", &[m, m, c], two(edit_key), two(edit_key_plain)),
        case("unit_key", &[m, c], key(unit_key), key(unit_key_plain)),
        case("read_out", &[m, m, m, m, m, c, c, c], reads(read_out), reads(read_out_plain)),
    ]
}

/// The projections; the width they project to is odd.
fn projections([b, t, h, n]: [usize; 4]) -> Vec<Case> {
    let (m, c, out) = (b * t * h * n, h * n, 7);
    let flow = move |x: &Numbers| x.clone().reshape([b, t, c]);
    let weight = move |x: &Numbers| x.clone().reshape([out, c]);
    let thin = move |x: &Numbers| x.clone().reshape([c, out]);
    let flat = |x: Tensor<3>| x.flatten::<1>(0, 2);
    let stream = move |x: &[Numbers]| {
        let mut last = x[2].clone().reshape([b, c]);
        (Stream::new(flow(&x[0]), &mut last), x[3].clone().reshape([1, 1, c]))
    };
    let case = |name, inputs: usize, fast: Form, plain: Form| {
        let lengths = [m, c * out, b * c, c][..inputs].to_vec();
        Case { name, lengths, fast, plain }
    };
    let on_stream = move |f: fn(&Stream, Tensor<3>, &Numbers, [usize; 2]) -> Tensor<3>| {
        let own = move |x: &[Numbers]| {
            let (stream, mu) = stream(x);
            flat(f(&stream, mu, &x[1], [out, c]))
        };
        Box::new(own) as Form
    };
    vec![
        case(
            "linear",
            2,
            Box::new(move |x| flat(linear(flow(&x[0]), weight(&x[1])))),
            Box::new(move |x| flat(linear_plain(flow(&x[0]), weight(&x[1])))),
        ),
        case(
            "thin_linear",
            2,
            Box::new(move |x| flat(thin_linear(flow(&x[0]), thin(&x[1])))),
            Box::new(move |x| flat(linear_plain(flow(&x[0]), thin(&x[1]).transpose()))),
        ),
        case(
            "relu_squared_linear",
            2,
            Box::new(move |x| flat(relu_squared_linear(flow(&x[0]), weight(&x[1])))),
            Box::new(move |x| flat(linear_plain(relu(flow(&x[0])).square(), weight(&x[1])))),
        ),
        case(
            "project",
            4,
            on_stream(|s, mu, w, shape| one(s.project([(mu, w.clone().reshape(shape).into())]))),
            on_stream(|s, mu, w, shape| linear_plain(s.blend(mu), w.clone().reshape(shape))),
        ),
        case(
            "narrow",
            4,
            on_stream(|s, mu, w, [out, c]| {
                one(s.narrow([(mu, w.clone().reshape([c, out]).into())]))
            }),
            Box::new(move |x| {
                let (stream, mu) = stream(x);
                flat(linear_plain(stream.blend(mu), thin(&x[1]).transpose()))
            }),
        ),
    ]
}

/// What an array of one has.
fn one<T>([one]: [T; 1]) -> T {
    one
}

/// Thin projections with an equation behind; the width they come from is odd.
fn thin([b, t, h, n]: [usize; 4]) -> Vec<Case> {
    let (m, c, d) = (b * t * h * n, h * n, 5);
    let wide = move |x: &Numbers| x.clone().reshape([b, t, c]);
    let flat = |x: Tensor<3>| x.flatten::<1>(0, 2);
    let factors = move |x: &[Numbers]| {
        let (x, up, bias) = (x[0].clone(), x[1].clone(), x[2].clone());
        (x.reshape([b, t, d]), up.reshape([d, c]), bias.reshape([1, 1, c]))
    };
    let one = move |f: fn(Tensor<3>, Tensor<2>, Tensor<3>) -> Tensor<3>| {
        let own = move |x: &[Numbers]| {
            let (x, up, bias) = factors(x);
            flat(f(x, up, bias))
        };
        Box::new(own) as Form
    };
    let two = move |f: fn([Tensor<3>; 2], Tensor<3>, Tensor<2>, Tensor<3>) -> Tensor<3>| {
        let own = move |inputs: &[Numbers]| {
            let (x, up, bias) = factors(inputs);
            flat(f([wide(&inputs[3]), wide(&inputs[4])], x, up, bias))
        };
        Box::new(own) as Form
    };
    let lengths = [b * t * d, d * c, c, m, m];
    let case = |name, inputs: usize, fast, plain| Case {
        name,
        lengths: lengths[..inputs].to_vec(),
        fast,
        plain,
    };
    vec![
        case("thin_sigmoid", 3, one(thin_sigmoid), one(thin_sigmoid_plain)),
        case("decay", 3, one(decay), one(decay_plain)),
        case("lend", 5, two(lend), two(lend_plain)),
    ]
}

/// The loss of a head, some positions of which do not count.
fn losses([b, t, h, n]: [usize; 4]) -> Case {
    let (m, c, v) = (b * t, h * n, 37);
    type Loss = fn(Tensor<2>, Tensor<2>, Tensor<1, Int>, Numbers, f64) -> Numbers;
    let form = move |f: Loss| {
        let own = move |x: &[Numbers]| {
            let device = x[0].device();
            let ids: Vec<_> = (0..m).map(|i| (i * i * 5 % v) as i32).collect();
            let shares: Vec<_> = (0..m).map(|i| (i % 3) as f32 / m as f32).collect();
            let targets = Tensor::from_data(TensorData::new(ids, [m]), &device);
            let shares = Tensor::from_data(TensorData::new(shares, [m]), &device);
            f(x[0].clone().reshape([m, c]), x[1].clone().reshape([v, c]), targets, shares, 1e-3)
        };
        Box::new(own) as Form
    };
    Case {
        name: "head_loss",
        lengths: vec![m * c, v * c],
        fast: form(head_loss),
        plain: form(head_loss_plain),
    }
}

fn all() -> impl Iterator<Item = ([usize; 4], Case)> {
    SHAPES.into_iter().flat_map(|shape| {
        let all = cases(shape).into_iter().chain(projections(shape)).chain(thin(shape));
        let all = all.chain([losses(shape)]).chain(towers::cases(shape));
        all.map(move |case| (shape, case))
    })
}

fn random(length: usize, device: &Device) -> Numbers {
    Tensor::random([length], Distribution::Uniform(-1.5, 1.5), device)
}

fn far(a: Numbers, b: Numbers) -> f32 {
    let size = b.clone().abs().max().into_scalar::<f32>().max(1.0);
    let far = (a - b).abs().max().into_scalar::<f32>() / size;
    if far.is_nan() { f32::INFINITY } else { far }
}

#[test]
fn fast_operations_equal_plain_ones() {
    let device = Device::flex();
    for (shape, Case { name, lengths, fast, plain }) in all() {
        let x: Vec<_> = lengths.into_iter().map(|n| random(n, &device)).collect();
        let far = far(fast(&x), plain(&x));
        assert!(far < 5e-6, "{name} {shape:?}: {far:e}");
    }
}

#[test]
fn fast_gradients_of_operations_equal_plain_ones() {
    let device = Device::flex().autodiff();
    for (shape, Case { name, lengths, fast, plain }) in all() {
        let x: Vec<_> = lengths.iter().map(|n| random(*n, &device).require_grad()).collect();
        let gradients = |form: &Form| {
            let y = form(&x);
            let grads = (y.clone() * y.sin()).sum().backward();
            x.iter().map(|x| Numbers::from_inner(x.grad(&grads).unwrap())).collect::<Vec<_>>()
        };
        let pairs = gradients(&fast).into_iter().zip(gradients(&plain));
        for (i, (fast, plain)) in pairs.enumerate() {
            let far = far(fast, plain);
            assert!(far < 2e-5, "{name} {shape:?}, input {i}: {far:e}");
        }
    }
}

/// Frozen inputs get no gradient and change none of the others.
#[test]
fn frozen_inputs_are_left_out() {
    let device = Device::flex().autodiff();
    for (shape, Case { name, lengths, fast, .. }) in all() {
        let x: Vec<_> = lengths.iter().map(|n| random(*n, &device)).collect();
        let open: Vec<_> = x.iter().map(|x| x.clone().require_grad()).collect();
        let whole = fast(&open).sum().backward();
        for i in 0..x.len() {
            let mut mixed = x.clone();
            mixed[i] = x[i].clone().require_grad();
            let grads = fast(&mixed).sum().backward();
            let (one, all) = (mixed[i].grad(&grads).unwrap(), open[i].grad(&whole).unwrap());
            let far = far(Numbers::from_inner(one), Numbers::from_inner(all));
            assert!(far < 1e-6, "{name} {shape:?}, input {i}: {far:e}");
        }
    }
}

/// Rounded factors have eight significant bits; their sums keep about as many.
#[test]
fn rounded_projections_are_close_to_exact_ones() {
    let device = Device::flex().autodiff();
    let mut largest = BTreeMap::new();
    for shape in SHAPES {
        let affine = towers::cases(shape).into_iter().filter(|case| case.name == "affine");
        for Case { name, lengths, fast, .. } in
            projections(shape).into_iter().chain(thin(shape)).chain([losses(shape)]).chain(affine)
        {
            let x: Vec<_> = lengths.iter().map(|n| random(*n, &device).require_grad()).collect();
            let run = |precision| {
                let y = with_precision(precision, || fast(&x));
                let grads = y.clone().sum().backward();
                let grads = x.iter().map(|x| Numbers::from_inner(x.grad(&grads).unwrap()));
                [y].into_iter().chain(grads).collect::<Vec<_>>()
            };
            let pairs = run(Precision::Bf16).into_iter().zip(run(Precision::F32));
            let far = pairs.map(|(rounded, exact)| far(rounded, exact)).fold(0.0, f32::max);
            assert!(far < 0.05, "{name} {shape:?}: {far:e}");
            let sofar = largest.entry(name).or_insert(0.0f32);
            *sofar = sofar.max(far);
        }
    }
    // A single number may be zero, or need no rounding.
    assert!(largest.values().all(|far| *far > 0.0), "nothing was rounded: {largest:?}");
}

#[test]
fn only_factors_are_rounded_there_and_back() {
    let device = Device::flex().autodiff();
    let rounded = |x: Tensor<2>| x.cast(DType::BF16).cast(DType::F32);
    let far = |a: Tensor<2>, b: Tensor<2>| (a - b).abs().max().into_scalar::<f32>();
    for [m, k, n] in [[1, 1, 1], [3, 5, 7], [64, 96, 33], [130, 200, 300]] {
        let x = random(m * k, &device).reshape([1, m, k]).require_grad();
        let w = random(n * k, &device).reshape([n, k]).require_grad();
        let dy = random(m * n, &device).reshape([m, n]);
        let [factors, back] = [x.clone().reshape([m, k]), dy.clone()].map(|x| rounded(x.inner()));
        let weight = rounded(w.clone().inner());
        let expected = [
            factors.clone().matmul(weight.clone().transpose()),
            back.clone().matmul(weight),
            back.transpose().matmul(factors),
        ];
        // The plain one rounds what it gives too, by a part in 256 at most.
        type Form = fn(Tensor<3>, Tensor<2>) -> Tensor<3>;
        for (form, slack) in [(linear as Form, 1e-6 * (m + k + n) as f32), (linear_plain, 0.02)] {
            let y = with_precision(Precision::Bf16, || form(x.clone(), w.clone()));
            let y = y.reshape([m, n]);
            let grads = (y.clone() * dy.clone()).sum().backward();
            let dx = x.grad(&grads).unwrap().reshape([m, k]);
            let found = [y.inner(), dx, w.grad(&grads).unwrap()];
            for (found, expected) in found.into_iter().zip(&expected) {
                let size = expected.clone().abs().max().into_scalar::<f32>();
                let far = far(found, expected.clone()) / size.max(1.0);
                assert!(far < slack, "{m} {k} {n}: {far:e}");
            }
        }
    }
}

#[test]
fn the_pull_on_the_largest_logit_is_no_part_of_the_loss() {
    let device = Device::flex();
    let x = random(8, &device).reshape([2, 4]);
    let head = random(12, &device).reshape([3, 4]);
    let targets = Tensor::<1, Int>::from_data([0, 2], &device);
    let shares = Numbers::from_data([0.5, 0.5], &device);
    let loss = |wrap| head_loss(x.clone(), head.clone(), targets.clone(), shares.clone(), wrap);
    assert!(far(loss(0.0), loss(100.0)) == 0.0);
}

#[test]
fn loss_and_pull_checked_by_hand() {
    let device = Device::flex().autodiff();
    // The head is the identity: what it is shown are the logits.
    let head = Tensor::<2>::from_floats([[1.0, 0.0], [0.0, 1.0]], &device);
    let logits = Tensor::<2>::from_floats([[0.0, 0.0], [3.0, 1.0]], &device).require_grad();
    let targets = Tensor::<1, Int>::from_ints([1, 0], &device);
    let shares = Tensor::from_floats([0.5, 0.0], &device);
    for loss in [head_loss, head_loss_plain] {
        let loss = loss(logits.clone(), head.clone(), targets.clone(), shares.clone(), 0.1);
        assert!((loss.clone().into_scalar::<f32>() - 0.5 * 2f32.ln()).abs() < 1e-6);
        let gradient = logits.grad(&loss.backward()).unwrap().into_data();
        let gradient = gradient.try_into_vec::<f32>().unwrap();
        for (found, expected) in gradient.iter().zip([0.25, -0.25, 0.3, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{gradient:?}");
        }
    }
}

#[test]
fn adamw_in_place_equals_adamw() {
    let device = Device::flex();
    let rule = AdamW {
        rate: 1e-2,
        betas: [0.9, 0.99],
        eps: 1e-18,
        weight_decay: 0.1,
        step: 1,
        scale: 0.5,
    };
    let start = random(40_000, &device).reshape([200, 200]);
    let zeros = || Tensor::<2>::zeros([200, 200], &device);
    let (mut fast, mut plain) =
        ([start.clone(), zeros(), zeros()], [start.clone(), zeros(), zeros()]);
    for step in 1..5 {
        let rule = AdamW { step, ..rule };
        // As the graph gives it: turned, and so not in the order of the weights.
        let grad = random(40_000, &device).reshape([200, 200]).transpose();
        let [x, m, v] = fast;
        fast = adamw(x, grad.clone(), m, v, &rule);
        let [x, m, v] = plain;
        plain = adamw_plain(x, grad, m, v, &rule);
    }
    for (fast, plain) in fast.into_iter().zip(plain) {
        assert!(far(fast.flatten(0, 1), plain.flatten(0, 1)) < 2e-6);
    }
    // What others hold stays what it was.
    let moved = far(start.clone().flatten(0, 1), zeros().flatten(0, 1));
    assert!(moved > 1.0);
}

/// The first step goes as far as the rate says, whatever the size of the gradient.
#[test]
fn the_first_step_of_adamw_is_the_rate() {
    let device = Device::flex();
    let tensor = |x: [f32; 2]| Tensor::<1>::from_data(x, &device);
    let rule =
        AdamW { rate: 0.5, betas: [0.9, 0.99], eps: 1e-18, weight_decay: 0.0, step: 1, scale: 1.0 };
    let zeros = tensor([0.0, 0.0]);
    let [x, ..] = adamw(tensor([1.0, 2.0]), tensor([1e-4, -30.0]), zeros.clone(), zeros, &rule);
    assert!(far(x, tensor([0.5, 2.5])) < 1e-6);
}
