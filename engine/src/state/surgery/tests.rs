use super::*;
use crate::device::choose;
use crate::model::{Loading, Model};
use std::sync::atomic::AtomicBool;

/// Two states of a model.
fn two(name: &str) -> [State; 2] {
    let model = Model::load(name, &Loading::default(), &choose("cpu").unwrap()).unwrap();
    ["It rained all week.", "The sun is white."].map(|text| {
        let tokens: Vec<u32> = text.bytes().map(u32::from).collect();
        model.read(&tokens, &model.state(), &AtomicBool::new(false)).unwrap().1
    })
}

fn far(a: &State, b: &State) -> f64 {
    a.distance(b).unwrap().max_abs
}

#[test]
fn a_stored_value_is_found_and_other_keys_are_left_alone() {
    let [state, _] = two("toy:rwkv7");
    let n = state.head(0, 0).unwrap().shape()[0];
    let vector = |f: fn(usize) -> f32| Array::vector((0..n).map(f).collect());
    let (key, value) = (vector(|i| (i % 2) as f32), vector(|i| i as f32));
    let other = vector(|i| ((i + 1) % 2) as f32); // at right angles to `key`
    let edited = state.store(0, 1, &key, &value).unwrap();
    assert!(edited.query(0, 1, &key).unwrap().max_abs_diff(&value).unwrap() < 1e-4);
    let [before, after] = [&state, &edited].map(|s| s.query(0, 1, &other).unwrap());
    assert!(after.max_abs_diff(&before).unwrap() < 1e-5);
    assert_eq!(edited.head(1, 0).unwrap(), state.head(1, 0).unwrap());
    assert_eq!(edited.past.edits(), ["store a value in head 1 of layer 0"]);
    assert!(state.query(0, 1, &vector(|_| 0.0)).is_err());
    assert!(state.query(0, 1, &Array::vector(vec![1.0])).is_err());
    assert!(state.query(0, 99, &key).is_err() && state.query(99, 0, &key).is_err());
}

#[test]
fn exchanging_every_head_and_vector_makes_the_other_state() {
    for name in ["toy:rwkv5.2", "toy:rwkv6", "toy:rwkv7"] {
        let [a, b] = two(name);
        let mut edited = a.clone();
        for layer in 0..a.layers.len() {
            for head in 0..a.layers[layer].wkv.dims()[1] {
                edited = edited.with_head(layer, head, &b).unwrap();
            }
            assert_eq!(edited.part(layer, "wkv").unwrap(), b.part(layer, "wkv").unwrap());
            assert_eq!(edited.part(layer, "att_x").unwrap(), a.part(layer, "att_x").unwrap());
            edited = edited.with_layer(layer, &b).unwrap();
        }
        assert!(edited.equals(&b), "{name}");
    }
}

#[test]
fn an_edit_of_full_rank_is_the_other_memory() {
    let [a, b] = two("toy:rwkv7");
    let all = Mixing { strength: 1.0, ..Mixing::default() };
    let full = a.toward(&b, 64, &all).unwrap();
    let one = a.toward(&b, 1, &all).unwrap();
    for layer in 0..a.layers.len() {
        let [full, one, b] = [&full, &one, &b].map(|s| s.part(layer, "wkv").unwrap());
        assert!(full.max_abs_diff(&b).unwrap() < 1e-5);
        let rest = b.zip(&one, |x, y| x - y).unwrap().norm();
        let before = b.zip(&a.part(layer, "wkv").unwrap(), |x, y| x - y).unwrap().norm();
        assert!(rest > 0.0 && rest < before);
    }
    let one_head = Mixing { layer: Some(1), head: Some(0), strength: 1.0 };
    let edited = a.toward(&b, 64, &one_head).unwrap();
    assert!(far(&edited, &a.with_head(1, 0, &b).unwrap()) < 1e-5);
    assert!(a.toward(&b, 1, &Mixing { layer: Some(9), ..all }).is_err());
}

#[test]
fn an_arc_keeps_sizes_between_and_ends_at_both_states() {
    for name in ["toy:rwkv4", "toy:rwkv7"] {
        let [a, b] = two(name);
        assert!(far(&a.slerp(&b, 0.0).unwrap(), &a) < 1e-5, "{name}");
        assert!(far(&a.slerp(&b, 1.0).unwrap(), &b) < 1e-5, "{name}");
        let norm = |s: &State| s.part(1, "att_x").unwrap().norm();
        let middle = norm(&a.slerp(&b, 0.5).unwrap());
        assert!((middle - (norm(&a) + norm(&b)) / 2.0).abs() < 1e-4, "{name}");
        assert!(middle > norm(&a.lerp(&b, 0.5).unwrap()), "{name}");
    }
}

#[test]
fn noise_and_rounding_are_as_strong_as_asked() {
    for name in ["toy:rwkv4", "toy:rwkv7"] {
        let [a, _] = two(name);
        let noisy = a.noisy(0.1, 7).unwrap();
        assert!(noisy.equals(&a.noisy(0.1, 7).unwrap()) && !noisy.equals(&a));
        let share = noisy.distance(&a).unwrap().l2 / a.norm();
        assert!((0.05..0.2).contains(&share), "{name} {share}");
        for (rounding, most) in [(Rounding::F16, 1e-3), (Rounding::Bf16, 8e-3)] {
            let far = a.rounded(rounding).unwrap().distance(&a).unwrap();
            assert!(far.l2 / a.norm() < most, "{name} {rounding:?}");
        }
        let coarse = a.rounded(Rounding::Int8).unwrap();
        let [b, exact] = [&coarse, &a].map(|s| s.part(0, "ffn_x").unwrap());
        let step = exact.map(f32::abs).max() / 127.0;
        assert!(b.max_abs_diff(&exact).unwrap() <= f64::from(step) / 2.0 + 1e-6);
        assert!(coarse.rounded(Rounding::Int8).unwrap().distance(&coarse).unwrap().l2 < 1e-4);
    }
}

#[test]
fn steering_adds_the_difference_of_the_means() {
    for name in ["toy:rwkv4", "toy:rwkv7"] {
        let [a, b] = two(name);
        let mean = State::mean(&[a.clone(), b.clone()]).unwrap();
        assert!(far(&mean, &a.lerp(&b, 0.5).unwrap()) < 1e-5, "{name}");
        let moved = a.steered(std::slice::from_ref(&b), std::slice::from_ref(&a), 1.0);
        assert!(far(&moved.unwrap(), &b) < 1e-5, "{name}");
    }
    assert!(State::mean(&[]).is_err());
    let [v4, v7] = ["toy:rwkv4", "toy:rwkv7"].map(|name| two(name)[0].clone());
    assert!(State::mean(&[v4.clone(), v7]).is_err());
    let refused = v4.head(0, 0).unwrap_err().to_string();
    assert!(refused.contains("aa, bb, pp"), "{refused}");
}
