//! What every version shows of its inside, and what replacing it does.

use std::cell::RefCell;

use rwkv_engine::rwkv::{Activation, Look, Seen, Tap};

use super::*;

/// Everything that was shown: layer, name, `[T, ..]`.
type Shown = Vec<(usize, &'static str, Array)>;

use rwkv_engine::tensor::Array;

/// Logits of the tokens in parts, shown to `look`.
fn seen<'a>(
    golden: &Golden,
    parts: impl Iterator<Item = &'a [i64]>,
    state: &mut State,
    look: &Look,
) -> Vec<f32> {
    let mut first = 0;
    let part = |part: &[i64]| {
        let tap = Tap::new(look, first);
        first += part.len();
        let hidden = golden.model.hidden_seen(ids(&[part], &golden.device), state, tap);
        numbers(golden.model.logits(hidden))
    };
    parts.flat_map(part).collect()
}

/// What is shown of the tokens in parts, each activation along all tokens.
fn shown<'a>(golden: &Golden, parts: impl Iterator<Item = &'a [i64]>) -> Shown {
    let all: RefCell<Shown> = RefCell::default();
    let look = |seen: &Seen| {
        let (mut all, part) = (all.borrow_mut(), seen.array());
        let known = all.iter_mut().find(|(l, name, _)| (*l, *name) == (seen.layer, seen.name));
        match known {
            Some((_, _, whole)) => *whole = joined(whole, &part),
            None => all.push((seen.layer, seen.name, part)),
        }
        None
    };
    seen(golden, parts, &mut golden.empty(), &look);
    all.into_inner()
}

fn joined(a: &Array, b: &Array) -> Array {
    let shape = [&[a.shape()[0] + b.shape()[0]], &a.shape()[1..]].concat();
    Array::new(&shape, [a.values(), b.values()].concat()).unwrap()
}

#[test]
fn looking_and_putting_back_change_nothing() {
    for golden in goldens() {
        let tokens = golden.tokens();
        let mut state = golden.empty();
        let expected = golden.feed([&tokens[..]].into_iter(), &mut state);
        for look in [|_: &Seen| None, |seen: &Seen| Some(seen.values.clone())] {
            let mut watched = golden.empty();
            let found = seen(&golden, [&tokens[..]].into_iter(), &mut watched, &look);
            assert_eq!(found, expected, "{}", golden.version);
            assert_eq!(remembered(&watched), remembered(&state), "{}", golden.version);
        }
    }
}

#[test]
fn one_pass_and_token_by_token_show_the_same() {
    for golden in goldens() {
        let (tokens, version) = (golden.tokens(), golden.model.version());
        let one = shown(&golden, [&tokens[..]].into_iter());
        let many = shown(&golden, tokens.chunks(1));
        assert_eq!(one.len(), many.len(), "{version}");
        for ((layer, name, a), (l, n, b)) in one.iter().zip(&many) {
            assert_eq!((layer, name, a.shape()), (l, n, b.shape()), "{version}");
            let far = apart(&a.values(), &b.values());
            assert!(far < 1e-5, "{version}, blocks.{layer}.{name}: {far:e}");
        }
        let mut listed: Vec<_> =
            Activation::of(version).iter().map(|a| (a.name, a.by_head)).collect();
        let mut found: Vec<_> =
            one.iter().map(|(_, name, a)| (*name, a.shape().len() == 3)).collect();
        listed.sort();
        found.sort();
        found.dedup();
        assert_eq!(found, listed, "{version}");
    }
}

#[test]
fn a_silenced_output_is_a_projection_of_zeros() {
    for golden in goldens() {
        for (name, weight) in [("att", "att.output.weight"), ("ffn", "ffn.value.weight")] {
            let silence = |seen: &Seen| {
                (seen.layer == 1 && seen.name == name).then(|| seen.values.zeros_like())
            };
            let tokens = golden.tokens();
            let found = seen(&golden, [&tokens[..]].into_iter(), &mut golden.empty(), &silence);

            let deaf = |(name, shape, mut values): (String, Vec<usize>, Vec<f32>)| {
                if name == format!("blocks.1.{weight}") {
                    values.fill(0.0);
                }
                (name, (shape, values))
            };
            let named: Named = golden.model.parameters().into_iter().map(named).map(deaf).collect();
            let model = Rwkv::load(&Weights::new(Source::Made(&named), &golden.device)).unwrap();
            let expected =
                numbers(model.forward(ids(&[&tokens], &golden.device), &mut golden.empty()));
            let far = apart(&found, &expected);
            assert!(far < 1e-6, "{}, {name}: {far:e}", golden.version);
            assert!(apart(&expected, &golden.values("logits")) > 1e-3, "{}", golden.version);
        }
    }
}
