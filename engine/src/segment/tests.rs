use super::*;
use crate::recurrence::tests::{GO, models, tokens};

#[test]
fn a_segment_in_its_context_is_exact_and_parts_compose() {
    for (model, state) in models() {
        let version = model.rwkv.version();
        let recording = model.record(&tokens(), &state, &GO).unwrap();
        let whole = recording.segment(&model, 0..45, &GO).unwrap();
        let far = whole.error().unwrap();
        assert!(far < 1e-5, "{version}: {far:e}");
        let [a, b] = [0..13, 13..45].map(|part| recording.segment(&model, part, &GO).unwrap());
        let both = a.then(&b).unwrap();
        assert_eq!(both.tokens, whole.tokens);
        let far = error(&both.apply(&state).unwrap(), &whole.apply(&state).unwrap()).unwrap();
        assert!(far < 1e-6, "{version}, composed: {far:e}");
        // Not only the recurrence: everything a continuation depends on.
        let (end, _) = model.read(&[2, 5], &whole.apply(&state).unwrap(), &GO).unwrap();
        let (truth, _) = model.read(&[2, 5], &recording.state, &GO).unwrap();
        let far = end.max_abs_diff(&truth).unwrap();
        assert!(far < 1e-3, "{version}, continued: {far:e}");
    }
}

#[test]
fn the_last_tokens_can_be_taken_back() {
    for (model, state) in models() {
        let version = model.rwkv.version();
        let recording = model.record(&tokens(), &state, &GO).unwrap();
        for count in [0, 1, 4] {
            let back = recording.rewind(&model, count, 10.0, &GO).unwrap();
            if model.state().is_v4() {
                let far = means_apart(&recording, &back);
                assert!(back.undone && far < 1e-2, "{version}, {count}: {far:e}");
                continue;
            }
            let (_, error) = back.tried.unwrap();
            assert!(back.undone && error < 1e-3, "{version}, {count}: {error:e}");
            let strict = recording.rewind(&model, count, error / 2.0, &GO).unwrap();
            assert!(strict.undone == (error == 0.0), "{version}, {count}");
            assert!(strict.state.equals(&back.truth) || strict.undone, "{version}, {count}");
            let far = back.state.distance(&back.truth).unwrap().max_abs;
            assert!(far < 1e-2, "{version}, {count}: {far:e}");
        }
        // All of them: more than can be undone, so from the snapshot at the start.
        let back = recording.rewind(&model, 45, 10.0, &GO).unwrap();
        assert!(!back.undone && back.state.equals(&state), "{version}");
        assert!(recording.rewind(&model, 46, 10.0, &GO).is_err());
        let (_, expected) = model.read(&tokens()[..40], &state, &GO).unwrap();
        let far = error(&recording.state_at(&model, 40, &GO).unwrap(), &expected).unwrap();
        assert!(far < 1e-5, "{version}: {far:e}");
    }
}

/// How far the means that RWKV-4 remembers are apart in channels that keep half of them for a token
/// or longer; of the others nothing is left to take anything back to.
fn means_apart(recording: &Recording, back: &Rewound) -> f64 {
    let layers = recording.letters.iter().enumerate().map(|(layer, letters)| {
        let mean = |state: &State| Sums::of(&state.layers[layer].wkv).mean();
        let (found, truth) = (mean(&back.state), mean(&back.truth));
        let (decay, _) = letters.channels();
        let slow = (0..found.len()).filter(|c| decay[*c].exp() > 0.5);
        slow.map(|c| (found[c] - truth[c]).abs()).fold(0.0, f64::max)
    });
    layers.fold(0.0, f64::max)
}

#[test]
fn texts_read_apart_do_not_simply_add_up() {
    for (model, state) in models() {
        let version = model.rwkv.version();
        let alone = model.segment(&tokens(), &model.state(), &GO).unwrap();
        let merged = model.merge(&state, &alone, &GO).unwrap();
        assert!(merged.error.is_finite() && merged.error > 1e-6, "{version}: {:e}", merged.error);
        let own = model.merge(&model.state(), &alone, &GO).unwrap();
        assert!(own.error < 1e-5, "{version}: {:e}", own.error);
    }
}

#[test]
fn p_and_c_are_shown_where_there_are_matrices() {
    for (model, state) in models() {
        let segment = model.segment(&tokens(), &state, &GO).unwrap();
        match segment.matrices(1, 1) {
            Ok([p, c]) => {
                let n = model.head_size();
                assert_eq!((p.shape(), c.shape()), (&[n, n][..], &[n, n][..]));
                // What is left is less than there was.
                assert!(p.norm() < (n as f64).sqrt(), "{}", model.rwkv.version());
            }
            Err(error) => assert!(model.state().is_v4() && error.to_string().contains("sums")),
        }
    }
}
