//! Every kind of case in `tests/golden/sampler.json`, whose rows other implementations agree on.

use serde_json::Value;

use crate::sample::candidates::Candidates;
use crate::sample::{Order, Sampler, Sampling, mirostat, probabilities, repetition_penalty};

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

fn tokens(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as u32).collect()
}

/// The cases of one kind with their logits; never none.
fn cases(kind: &str) -> Vec<(Value, Vec<f32>)> {
    let golden = golden();
    let all = golden["cases"].as_array().unwrap().iter().filter(|case| case["kind"] == *kind);
    let logits = |case: &Value| floats(&golden["logits"][case["logits"].as_str().unwrap()]);
    let found: Vec<_> = all.map(|case| (case.clone(), logits(case))).collect();
    assert!(!found.is_empty(), "{kind}");
    found
}

/// That the same tokens are left with the same probabilities.
fn agree(case: &Value, p: &[f32]) {
    let kept: Vec<u32> = (0..).zip(p).filter(|(_, p)| **p > 0.0).map(|(token, _)| token).collect();
    assert_eq!(kept, tokens(&case["kept"]), "{case}");
    let Some(expected) = case["probs"].as_array() else { return };
    for (token, expected) in kept.into_iter().zip(expected) {
        let (p, expected) = (p[token as usize], float(expected));
        assert!((p - expected).abs() < 1e-5, "{case}: token {token} has {p}, not {expected}");
    }
}

/// Hugging Face's order with the steps of a case.
fn chain(case: &Value) -> Sampler {
    let order = Order::HuggingFace;
    let mut sampler =
        Sampler { order, temperature: float(&case["temperature"]), ..Sampler::plain() };
    for step in case["steps"].as_array().unwrap() {
        let value = float(&step[1]);
        match step[0].as_str().unwrap() {
            "top_k" => sampler.top_k = value as usize,
            "top_p" => sampler.top_p = value,
            "min_p" => sampler.min_p = value,
            "typical" => sampler.typical_p = value,
            "epsilon" => sampler.epsilon_cutoff = value,
            "eta" => sampler.eta_cutoff = value,
            "top_a" => sampler.top_a = value,
            "top_p_x" => (sampler.top_p, sampler.top_p_x) = (value, float(&step[2])),
            "tfs_webui" => sampler.tail_free = value,
            "tfs_llamacpp" => sampler.tail_free_llama = value,
            unknown => panic!("{unknown}"),
        }
    }
    sampler
}

fn blink(case: &Value) -> Sampler {
    Sampler {
        temperature: float(&case["temperature"]),
        top_p: float(&case["top_p"]),
        top_k: case["top_k"].as_u64().unwrap() as usize,
        ..Sampler::plain()
    }
}

#[test]
fn chains_equal_hugging_face() {
    for (case, logits) in cases("chain") {
        agree(&case, &probabilities(&logits, &chain(&case)));
    }
}

#[test]
fn ties_are_kept_or_cut_by_their_value() {
    let golden = golden();
    let logits = floats(&golden["logits_ties"]);
    for case in golden["ties"].as_array().unwrap() {
        let of_blink = case["kind"] == "blink_ties";
        let sampler = if of_blink { blink(case) } else { chain(case) };
        let p = probabilities(&logits, &sampler);
        let kept: Vec<u32> = (0..).zip(&p).filter(|(_, p)| **p > 0.0).map(|x| x.0).collect();
        let expected = if of_blink { &case["kept"] } else { &case["kept_hf"] };
        assert_eq!(kept, tokens(expected), "{case}");
    }
}

#[test]
fn the_order_of_the_reference() {
    for (case, logits) in cases("blink_pipeline") {
        agree(&case, &probabilities(&logits, &blink(&case)));
    }
    for (case, logits) in cases("blink_v7_demo") {
        let sampler = Sampler { exact_top_p: true, ..blink(&case) };
        agree(&case, &probabilities(&logits, &sampler));
    }
}

#[test]
fn mirostat_steers_like_the_reference() {
    for (kind, version) in [("mirostat_v1", 1), ("mirostat_v2", 2)] {
        for (case, logits) in cases(kind) {
            let (tau, eta) = (float(&case["tau"]), float(&case["eta"]));
            let sampler = Sampler {
                mirostat: version,
                mirostat_tau: tau,
                mirostat_eta: eta,
                ..Sampler::plain()
            };
            let mu = case["mu"].as_f64().unwrap();
            let p = Candidates::of(logits.clone(), &sampler, mu).spread(logits.len());
            agree(&case, &p);
            let mut run = Sampling::new(sampler, 0);
            run.mu = mu;
            let picked = case["picked"].as_u64().unwrap() as u32;
            run.remember(picked, p[picked as usize].into(), false);
            assert!(
                (run.mu - case["mu_after"].as_f64().unwrap()).abs() < 1e-5,
                "{case}: {}",
                run.mu
            );
            if version == 1 {
                let mut p: Vec<f64> =
                    probabilities(&logits, &Sampler::plain()).iter().map(|&p| p.into()).collect();
                p.sort_by(|a, b| b.total_cmp(a));
                let s = mirostat::exponent(&p);
                assert!((s - case["s_hat"].as_f64().unwrap()).abs() < 1e-5, "{case}: {s}");
            }
        }
    }
}

#[test]
fn repetition_is_penalised_once_per_token() {
    for (case, logits) in cases("repetition_penalty") {
        let mut changed = logits.clone();
        repetition_penalty(&mut changed, &tokens(&case["seen"]), float(&case["penalty"]));
        let expected = case["changed"].as_object().unwrap();
        for (token, (before, after)) in logits.iter().zip(&changed).enumerate() {
            let expected = expected.get(&token.to_string()).map_or(*before, float);
            assert!((after - expected).abs() < 1e-5, "{case}: token {token}");
        }
    }
}

#[test]
fn penalties_follow_the_reference_step_by_step() {
    let all = golden();
    let golden = &all["blink_penalty"];
    let params = &golden["params"];
    let sampler = Sampler {
        presence_penalty: float(&params["alpha_presence"]),
        frequency_penalty: float(&params["alpha_frequency"]),
        penalty_decay: float(&params["alpha_decay"]),
        ban: tokens(&params["token_ban"]),
        ..Sampler::plain()
    };
    assert_eq!(probabilities(&[0.0; 4], &sampler)[sampler.ban[0] as usize], 0.0);
    let exempt = tokens(&params["weight_zero_tokens"]);
    let logits = floats(&all["logits"][golden["base"].as_str().unwrap()]);
    let mut run = Sampling::new(sampler, 0);
    for step in golden["trace"].as_array().unwrap() {
        let before = step["before"].as_object().unwrap();
        assert_eq!(run.occurrences.len(), before.len(), "{step}");
        for (token, count) in &run.occurrences {
            assert!((*count as f32 - float(&before[&token.to_string()])).abs() < 1e-6, "{step}");
        }
        let Some(token) = step["token"].as_u64().map(|token| token as u32) else { continue };
        let penalised = run.penalised(&logits);
        for (token, logit) in step["adjusted"].as_object().unwrap() {
            let token: usize = token.parse().unwrap();
            assert!((penalised[token] - float(logit)).abs() < 1e-5, "{step}");
        }
        run.remember(token, 1.0, exempt.contains(&token));
    }
}
