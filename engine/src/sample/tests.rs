use serde_json::Value;

use super::{Sampler, Sampling, exempt_from_frequency, log_softmax, probabilities};

/// Made from `shared/fixtures/lm/sampler/golden.json`: the rows in the order of the reference.
fn golden() -> Value {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/sampler.json"));
    serde_json::from_str(text).unwrap()
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

fn float(value: &Value) -> f32 {
    value.as_f64().unwrap() as f32
}

/// No penalties: all but temperature, top-p and top-k off.
fn plain(temperature: f32, top_p: f32, top_k: usize) -> Sampler {
    let (presence_penalty, frequency_penalty) = (0.0, 0.0);
    Sampler { temperature, top_p, top_k, presence_penalty, frequency_penalty, ..Sampler::default() }
}

fn kept(probabilities: &[f32]) -> Vec<usize> {
    (0..probabilities.len()).filter(|&i| probabilities[i] > 0.0).collect()
}

fn indices(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as usize).collect()
}

fn sampler_of(case: &Value) -> Sampler {
    let top_k = case["top_k"].as_u64().unwrap() as usize;
    plain(float(&case["temperature"]), float(&case["top_p"]), top_k)
}

#[test]
fn equals_the_reference() {
    let golden = golden();
    for case in golden["cases"].as_array().unwrap() {
        let logits = floats(&golden["logits"][case["logits"].as_str().unwrap()]);
        let p = probabilities(&logits, &sampler_of(case));
        assert_eq!(kept(&p), indices(&case["kept"]), "{case}");
        for (token, expected) in kept(&p).into_iter().zip(floats(&case["probs"])) {
            assert!((p[token] - expected).abs() < 1e-6, "{case}: token {token} has {}", p[token]);
        }
    }
    for case in golden["ties"].as_array().unwrap() {
        let p = probabilities(&floats(&golden["logits_ties"]), &sampler_of(case));
        assert_eq!(kept(&p), indices(&case["kept"]), "{case}");
    }
}

#[test]
fn penalties_follow_the_reference_step_by_step() {
    let golden = &golden()["blink_penalty"];
    let params = &golden["params"];
    let sampler = Sampler {
        presence_penalty: float(&params["alpha_presence"]),
        frequency_penalty: float(&params["alpha_frequency"]),
        penalty_decay: float(&params["alpha_decay"]),
        ..Sampler::default()
    };
    let exempt = indices(&params["weight_zero_tokens"]);
    let logits = floats(&self::golden()["logits"][golden["base"].as_str().unwrap()]);
    let mut run = Sampling::new(sampler, 0);
    for step in golden["trace"].as_array().unwrap() {
        let before = step["before"].as_object().unwrap();
        assert_eq!(run.occurrences.len(), before.len(), "{step}");
        for (token, count) in &run.occurrences {
            assert!((*count as f32 - float(&before[&token.to_string()])).abs() < 1e-6, "{step}");
        }
        let Some(token) = step["token"].as_u64() else { continue };
        let penalised = run.penalised(&logits);
        for (token, logit) in step["adjusted"].as_object().unwrap() {
            let token: usize = token.parse().unwrap();
            assert!((penalised[token] - float(logit)).abs() < 1e-5, "{step}");
        }
        run.remember(token as u32, exempt.contains(&(token as usize)));
    }
}

#[test]
fn one_keeps_all_and_equal_logits_stay_equal() {
    // The reference falls into greedy here: its float sum never reaches 1.
    assert_eq!(probabilities(&[0.5; 10], &plain(1.0, 1.0, 0)), [0.1; 10]);
    assert_eq!(
        probabilities(&[0.5; 10], &plain(1.0, 0.3, 0)),
        [0.1; 10],
        "all tie with the cutoff"
    );
    assert_eq!(kept(&probabilities(&[0.5; 10], &plain(1.0, 1.0, 3))), [0, 1, 2], "exactly k");
}

#[test]
fn temperature_comes_last() {
    let logits = [2f32.ln(), 1f32.ln(), 1f32.ln()]; // probabilities 1/2, 1/4, 1/4
    assert_eq!(probabilities(&logits, &plain(100.0, 0.5, 0)), [1.0, 0.0, 0.0]);
    let p = probabilities(&logits, &plain(0.5, 1.0, 0)); // squares 4 : 1 : 1
    assert!((p[0] - 4.0 / 6.0).abs() < 1e-6 && (p[2] - 1.0 / 6.0).abs() < 1e-6, "{p:?}");
    assert_eq!(
        probabilities(&logits, &plain(1e-6, 1.0, 0)),
        [1.0, 0.0, 0.0],
        "no underflow to NaN"
    );
    assert_eq!(probabilities(&[1.0, 3.0, 3.0], &plain(0.0, 1.0, 0)), [0.0, 1.0, 0.0], "greedy");
}

#[test]
fn banned_tokens_have_no_probability() {
    let sampler = Sampler { ban: vec![1, 99], ..plain(0.0, 1.0, 0) };
    assert_eq!(probabilities(&[1.0, 3.0, 2.0], &sampler), [0.0, 0.0, 1.0]);
    let mut run = Sampling::new(Sampler { ban: vec![0], ..Sampler::default() }, 0);
    let error = run.next(&[1.0], |_| false).unwrap_err();
    assert!(error.to_string().contains("no token is left"), "{error}");
}

#[test]
fn broken_logits_are_errors_not_panics() {
    for broken in [f32::NAN, f32::INFINITY] {
        let error =
            Sampling::new(Sampler::default(), 0).next(&[0.0, broken], |_| false).unwrap_err();
        assert!(error.to_string().contains("NaN or infinite"), "{error}");
        assert_eq!(probabilities(&[0.0, broken], &Sampler::default()), [0.0, 0.0]);
    }
    assert!(Sampling::new(Sampler::default(), 0).next(&[], |_| false).is_err());
    let choice = Sampling::new(Sampler::default(), 0).next(&[0.0, f32::NEG_INFINITY], |_| false);
    assert_eq!(choice.unwrap().token, 0);
}

#[test]
fn draws_each_token_as_often_as_its_probability_says() {
    let logits: Vec<f32> = [0.5f32, 0.3, 0.15, 0.05].iter().map(|p| p.ln()).collect();
    let mut run = Sampling::new(plain(1.0, 1.0, 0), 7);
    let mut counts = [0.0; 4];
    for _ in 0..20_000 {
        counts[run.next(&logits, |_| false).unwrap().token as usize] += 1.0 / 20_000.0;
    }
    for (share, p) in counts.iter().zip(probabilities(&logits, &plain(1.0, 1.0, 0))) {
        assert!((share - f64::from(p)).abs() < 0.015, "{counts:?}");
    }
}

#[test]
fn a_seed_gives_the_same_tokens_everywhere() {
    let draw = |seed| -> Vec<u32> {
        let mut run = Sampling::new(plain(1.0, 1.0, 0), seed);
        (0..12).map(|_| run.next(&[0.0; 10], |_| false).unwrap().token).collect()
    };
    assert_eq!(
        draw(42),
        [6, 9, 4, 6, 2, 1, 3, 8, 7, 2, 5, 9],
        "written down once; a change breaks every seeded script"
    );
    assert_ne!(draw(42), draw(43));
}

#[test]
fn the_logprob_is_that_of_the_model() {
    let logits = [2f32.ln(), 1f32.ln(), 1f32.ln()];
    let sampler = Sampler { ban: vec![0], presence_penalty: 5.0, ..plain(0.3, 0.1, 1) };
    let mut run = Sampling::new(sampler, 0);
    for token in [1, 2] {
        let choice = run.next(&logits, |_| false).unwrap();
        assert_eq!(choice.token, token, "the penalty makes the other one likelier");
        assert!((choice.logprob - 0.25f32.ln()).abs() < 1e-6);
        assert_eq!(choice.logprob, log_softmax(&logits)[token as usize]);
    }
}

#[test]
fn numbers_and_blanks_may_repeat() {
    for (piece, exempt) in [
        (" ", true),
        ("7", true),
        ("12", true),
        ("21", false),
        ("\t0", true),
        ("\n", false),
        ("a", false),
        ("", false),
    ] {
        assert_eq!(exempt_from_frequency(piece.as_bytes()), exempt, "{piece:?}");
    }
}

#[test]
fn numbers_out_of_range_are_named() {
    Sampler::default().check().unwrap();
    plain(0.0, 0.0, 0).check().unwrap();
    for (name, sampler) in [
        ("temperature", plain(-1.0, 0.5, 0)),
        ("temperature", plain(f32::NAN, 0.5, 0)),
        ("top_p", plain(1.0, 85.0, 0)),
        ("penalty_decay", Sampler { penalty_decay: 1.1, ..Sampler::default() }),
        ("presence_penalty", Sampler { presence_penalty: f32::NAN, ..Sampler::default() }),
        ("frequency_penalty", Sampler { frequency_penalty: f32::INFINITY, ..Sampler::default() }),
    ] {
        let error = sampler.check().unwrap_err().to_string();
        assert!(error.starts_with(name), "{error}");
    }
}
