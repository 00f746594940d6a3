use std::sync::atomic::AtomicBool;

use super::*;
use crate::device;
use crate::model::{KnockOut, Loading, Reading};
use crate::state::State;

pub static GO: AtomicBool = AtomicBool::new(false);

pub const TEXT: &[u8] = b"The recurrence reads what was written before.";

pub fn toy(version: Version) -> Model {
    let golden = |name: &str| {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden");
        format!("{root}/{name}.safetensors")
    };
    let name = match version {
        // No starting values of these were ever published.
        Version::V4a => golden("v4a"),
        Version::V7a => golden("v7a"),
        version => format!("toy:{}", version.name()),
    };
    Model::load(&name, &Loading::default(), &device::choose("cpu").unwrap()).unwrap()
}

pub fn tokens() -> Vec<u32> {
    // Few enough different ones for the smallest vocabulary.
    TEXT.iter().map(|byte| u32::from(*byte) % 11).collect()
}

/// Every version, with a state that has seen something.
pub fn models() -> impl Iterator<Item = (Model, State)> {
    Version::ALL.into_iter().map(|version| {
        let model = toy(version);
        let (_, state) = model.read(&[7, 10, 3], &model.state(), &GO).unwrap();
        (model, state)
    })
}

fn far(a: &Array1<f64>, b: &Array1<f64>) -> f64 {
    (a - b).mapv(f64::abs).iter().copied().fold(0.0, f64::max)
}

/// What was read at one token, put together from the weights of an attention map.
fn put_together(letters: &Letters, head: usize, before: &Tensor<4>, t: usize) -> Array1<f64> {
    let map = letters.attention(head, before, &GO).unwrap();
    if letters.is_v4() {
        // The weights are means over channels: enough where every value is the same.
        let share = map.asked.row(t).mean().unwrap();
        return Array1::from_elem(1, map.weights.row(t).sum() + share);
    }
    let values = &letters.head(head).unwrap().v;
    let past = &matrices(before)[head];
    map.weights.row(t).dot(values) + past.dot(&map.asked.row(t))
}

#[test]
fn weights_times_values_are_what_the_recurrence_reads() {
    for (model, state) in models() {
        let version = model.rwkv.version();
        let (seen, _) = model.activations(&tokens(), &state, &GO, |_, _| true).unwrap();
        for layer in 0..model.n_layer() {
            let letters = Letters::of(&model, layer, &seen).unwrap();
            let n = model.head_size();
            for (head, t) in (0..model.n_head()).flat_map(|h| [(h, 0), (h, 7), (h, 44)]) {
                let found = put_together(&letters, head, &state.layers[layer].wkv, t);
                let expected = if letters.is_v4() {
                    Array1::ones(1)
                } else {
                    letters.read(t).slice(s![head * n..(head + 1) * n]).to_owned()
                };
                let far = far(&found, &expected);
                assert!(far < 1e-4, "{version}, layer {layer}, head {head}, token {t}: {far:e}");
            }
        }
    }
}

#[test]
fn the_mean_of_rwkv4_weighs_values_channel_by_channel() {
    // One channel, so that the mean over channels is the channel.
    let k = Array2::from_shape_vec((3, 1), vec![0.3, -0.2, 0.9]).unwrap();
    let v = Array2::from_shape_vec((3, 1), vec![2.0, 5.0, -1.0]).unwrap();
    let (d, u) = (Array1::from_elem(1, -0.4), Array1::from_elem(1, 0.7));
    let mut past = Sums::empty(1);
    past.step(&d, &Array1::from_elem(1, 0.1), &Array1::from_elem(1, 4.0));
    let map = mean::attention((d, &u), &k, &past, &GO).unwrap();
    let found = map.weights.row(2).dot(&v.column(0)) + map.asked[[2, 0]] * 4.0;
    let w = [(0.1f64 - 0.8).exp(), (0.3f64 - 0.4).exp(), (-0.2f64).exp(), (0.9f64 + 0.7).exp()];
    let sum = 4.0 * w[0] + 2.0 * w[1] + 5.0 * w[2] - w[3];
    assert!((found - sum / w.iter().sum::<f64>()).abs() < 1e-12);
}

#[test]
fn a_token_knocked_out_is_read_by_nobody() {
    for (model, state) in models().filter(|(model, _)| !model.state().is_v4()) {
        let version = model.rwkv.version();
        let knock_out = KnockOut { positions: [3].into(), ..KnockOut::default() };
        let seen = std::cell::RefCell::new(Activations::default());
        let look = |one: &crate::rwkv::Seen| {
            seen.borrow_mut().add(one, None);
            Ok(None)
        };
        let reading = Reading { look: Some(&look), knock_out: Some(&knock_out) };
        let text = &tokens()[..9];
        model.watch(text, &state, &GO, reading, |_| ()).unwrap();
        let letters = Letters::of(&model, 0, &seen.into_inner()).unwrap();
        let mut map = letters.head(0).unwrap().attention(&GO).unwrap();
        // The map of the same letters with nothing in column 3 from row 4 on.
        (4..9).for_each(|t| map.weights[[t, 3]] = 0.0);
        let past = &matrices(&state.layers[0].wkv)[0];
        let values = &letters.head(0).unwrap().v;
        for t in [2, 3, 4, 8] {
            let found = map.weights.row(t).dot(values) + past.dot(&map.asked.row(t));
            let expected = letters.read(t).slice(s![..model.head_size()]).to_owned();
            assert!(far(&found, &expected) < 1e-4, "{version}, token {t}");
        }
    }
}

#[test]
fn rwkv4_forgets_a_token_that_is_knocked_out() {
    let model = toy(Version::V4);
    let knock_out = KnockOut { positions: [2].into(), ..KnockOut::default() };
    let reading = Reading { look: None, knock_out: Some(&knock_out) };
    let (_, before) = model.read(&tokens()[..2], &model.state(), &GO).unwrap();
    let after = model.watch(&tokens()[..3], &model.state(), &GO, reading, |_| ()).unwrap();
    let (d, _) = Letters::of(
        &model,
        0,
        &model.activations(&tokens()[..3], &model.state(), &GO, |_, _| true).unwrap().0,
    )
    .unwrap()
    .channels();
    let mut sums = Sums::of(&before.layers[0].wkv);
    sums.fade(&d);
    let found = Sums::of(&after.layers[0].wkv);
    let far = sums.mean().iter().zip(found.mean()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(far < 1e-6, "{far:e}");
    assert!(after.past.edits()[0].contains("left out the writes of 1"), "{:?}", after.past);
}

#[test]
fn places_that_are_not_there_are_refused() {
    let model = toy(Version::V7);
    let refused = |knock_out: KnockOut| {
        let reading = Reading { look: None, knock_out: Some(&knock_out) };
        model.watch(&tokens(), &model.state(), &GO, reading, |_| ()).unwrap_err().to_string()
    };
    let none = KnockOut::default();
    assert!(
        refused(KnockOut { positions: [99].into(), ..none.clone() }).contains("no position 99")
    );
    assert!(refused(KnockOut { layers: [2].into(), ..none.clone() }).contains("there are 2"));
    assert!(refused(KnockOut { heads: [4].into(), ..none }).contains("no head 4"));
}
