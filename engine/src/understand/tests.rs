use super::*;
use crate::recurrence::tests::{GO, models, tokens, toy};
use crate::rwkv::Version;

#[test]
fn surprise_is_checked_by_hand() {
    let found = Surprise::of(&[3f32.ln(), 0.0], 1);
    assert_eq!((found.token, found.rank, found.guess), (1, 1, 0));
    assert!((found.bits - 2.0).abs() < 1e-6 && (found.sure - 0.75).abs() < 1e-6);
    assert!((found.entropy - 0.811_278).abs() < 1e-5);
}

#[test]
fn surprise_is_that_of_the_logits_before_each_token() {
    let model = toy(Version::V7);
    let text = tokens();
    let found = model.surprises(&text, &model.state(), &GO).unwrap();
    let (logits, _) = model.forward(&text, &model.state(), &GO).unwrap();
    assert_eq!(found.len(), text.len() - 1);
    let expected = log_softmax(&logits.at(9).unwrap().values())[text[10] as usize];
    assert!((found[9].bits + f64::from(expected) / std::f64::consts::LN_2).abs() < 1e-4);
    assert!(model.surprises(&text[..1], &model.state(), &GO).is_err());
}

#[test]
fn what_the_heads_add_is_what_time_mix_adds() {
    for (model, state) in models() {
        let (seen, _) = model.activations(&tokens(), &state, &GO, |_, _| true).unwrap();
        let (o, att) = (seen.array(1, "o").unwrap(), seen.array(1, "att").unwrap());
        let [last, expected] = [o, att].map(|x| x.at(-1).unwrap());
        let n = last.len() / model.n_head();
        let mut sum = Array::full(&[model.n_embd()], 0.0);
        for head in 0..model.n_head() {
            let part = last.slice(head * n..(head + 1) * n).unwrap();
            let added = model.added_by(1, head, &part).unwrap();
            sum = sum.zip(&added, |a, b| a + b).unwrap();
            assert_eq!(model.say((1, head), &part).unwrap().shape(), [model.vocab_size()]);
        }
        assert!(sum.max_abs_diff(&expected).unwrap() < 1e-4, "{}", model.rwkv.version());
    }
}

#[test]
fn the_answer_to_a_stored_key_is_its_value() {
    let model = toy(Version::V7);
    let key = Array::vector((0..16).map(|i| (i as f32).sin()).collect());
    let value = Array::vector((0..16).map(|i| (i as f32 * 0.7).cos()).collect());
    let state = model.state().store(1, 2, &key, &value).unwrap();
    let found = model.answer(&state, (1, 2), Some(&key)).unwrap();
    let strongest = model.answer(&state, (1, 2), None).unwrap();
    assert!(found.cosine(&strongest).unwrap().abs() > 0.9999);
    let weight = model.weights("blocks.1.att.ln_x.weight").unwrap().slice(32..48).unwrap();
    let centred = value.map(|x| x - value.mean() as f32).zip(&weight, |x, w| x * w).unwrap();
    assert!(found.cosine(&centred).unwrap() > 0.9999);
}

#[test]
fn half_lives_and_maps_have_their_shapes_in_every_version() {
    assert!((half_life(0.5f64.ln()) - 1.0).abs() < 1e-12);
    for (model, state) in models() {
        let version = model.rwkv.version();
        let lives = model.half_lives(&tokens(), &state, &GO).unwrap();
        assert_eq!(lives.shape(), [model.n_layer(), model.n_embd()], "{version}");
        assert!(lives.min() > 0.0, "{version}");
        for head in [None, Some(0)] {
            let map = model.attention_map(&tokens(), &state, (1, head), false, &GO).unwrap();
            assert_eq!(map.shape(), [45, 45], "{version}");
            // Nobody reads the future.
            assert_eq!(map.at(3).unwrap().slice(4..45).unwrap().norm(), 0.0, "{version}");
        }
        let beyond = (model.n_layer(), None);
        assert!(model.attention_map(&tokens(), &state, beyond, false, &GO).is_err());
    }
}

#[test]
fn the_bonus_of_rwkv7_is_on_the_diagonal_and_that_of_the_others_was_there() {
    for (model, state) in models() {
        let version = model.rwkv.version();
        let map = |bonus| model.attention_map(&tokens(), &state, (0, Some(0)), bonus, &GO).unwrap();
        let more = map(true).zip(&map(false), |a, b| a - b).unwrap();
        let diagonal: Vec<f32> = (0..45).map(|t| more.values()[46 * t]).collect();
        let diagonal = Array::vector(diagonal);
        assert!((diagonal.norm() - more.norm()).abs() < 1e-6, "{version}");
        let is_v7 = matches!(version, Version::V7 | Version::V7a);
        assert_eq!(diagonal.norm() > 1e-3, is_v7, "{version}");
    }
}

#[test]
fn the_modes_are_compared() {
    for (model, state) in models() {
        let cuts = crate::compare::Cuts { chunk: 7, hand_over: 20 };
        let found = model.compare_modes(&tokens(), &state, cuts, &GO).unwrap();
        assert_eq!(found.ways.len(), 3);
        for way in &found.ways {
            assert_eq!(
                (way.residual.shape(), way.logits.shape()),
                (&[model.n_layer(), 45][..], &[45][..])
            );
            let far = way.residual.max() / found.size.max();
            assert!(far < 1e-4, "{}, {}: {far:e}", model.rwkv.version(), way.name);
            assert!(way.states.iter().all(|far| far.cosine > 0.9999) && way.seconds > 0.0);
        }
        assert_eq!(found.cache_per_token, 8 * model.n_layer() * model.n_embd());
        assert_eq!(found.break_even(), found.state.bytes().div_ceil(found.cache_per_token));
    }
}
