//! Properties of the rules; `golden` compares them with other implementations.

mod golden;

use std::time::Instant;

use super::{
    Order, SETTINGS, Sampler, Sampling, exempt_from_frequency, log_softmax, probabilities,
};

/// All but temperature, top-p and top-k off.
fn plain(temperature: f32, top_p: f32, top_k: usize) -> Sampler {
    Sampler { temperature, top_p, top_k, ..Sampler::plain() }
}

fn kept(probabilities: &[f32]) -> Vec<usize> {
    (0..probabilities.len()).filter(|&i| probabilities[i] > 0.0).collect()
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
    let error = run.next(&[1.0], |_| true, |_| false).unwrap_err();
    assert!(error.to_string().contains("no token is left"), "{error}");
}

#[test]
fn broken_logits_are_errors_not_panics() {
    for broken in [f32::NAN, f32::INFINITY] {
        let error = Sampling::new(Sampler::default(), 0)
            .next(&[0.0, broken], |_| true, |_| false)
            .unwrap_err();
        assert!(error.to_string().contains("NaN or infinite"), "{error}");
        assert_eq!(probabilities(&[0.0, broken], &Sampler::default()), [0.0, 0.0]);
    }
    assert!(Sampling::new(Sampler::default(), 0).next(&[], |_| true, |_| false).is_err());
    let choice =
        Sampling::new(Sampler::default(), 0).next(&[0.0, f32::NEG_INFINITY], |_| true, |_| false);
    assert_eq!(choice.unwrap().token, 0);
}

#[test]
fn draws_each_token_as_often_as_its_probability_says() {
    let logits: Vec<f32> = [0.5f32, 0.3, 0.15, 0.05].iter().map(|p| p.ln()).collect();
    let mut run = Sampling::new(plain(1.0, 1.0, 0), 7);
    let mut counts = [0.0; 4];
    for _ in 0..20_000 {
        counts[run.next(&logits, |_| true, |_| false).unwrap().token as usize] += 1.0 / 20_000.0;
    }
    for (share, p) in counts.iter().zip(probabilities(&logits, &plain(1.0, 1.0, 0))) {
        assert!((share - f64::from(p)).abs() < 0.015, "{counts:?}");
    }
}

#[test]
fn a_seed_gives_the_same_tokens_everywhere() {
    let draw = |seed| -> Vec<u32> {
        let mut run = Sampling::new(plain(1.0, 1.0, 0), seed);
        (0..12).map(|_| run.next(&[0.0; 10], |_| true, |_| false).unwrap().token).collect()
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
        let choice = run.next(&logits, |_| true, |_| false).unwrap();
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
        ("repetition_penalty", Sampler { repetition_penalty: 0.0, ..Sampler::default() }),
        ("mirostat", Sampler { mirostat: 3, ..Sampler::default() }),
        ("the bias of token 7", Sampler { bias: [(7, f32::NAN)].into(), ..Sampler::default() }),
    ] {
        let error = sampler.check().unwrap_err().to_string();
        assert!(error.starts_with(name), "{error}");
    }
}

#[test]
fn every_setting_writes_what_it_reads_and_plain_cuts_nothing() {
    for setting in SETTINGS {
        let mut sampler = Sampler::plain();
        setting.write(&mut sampler, 1.0).unwrap();
        assert_eq!(setting.read(&sampler), 1.0, "{}", setting.name);
        let others = SETTINGS.iter().filter(|other| other.name != setting.name);
        others.for_each(|other| assert_eq!(other.read(&sampler), other.read(&Sampler::plain())));
        assert!(setting.write(&mut sampler, f64::NAN).is_err(), "{}", setting.name);
    }
    for order in [Order::Rwkv, Order::HuggingFace] {
        assert!(order.cuts().iter().all(|cut| !(cut.on)(&Sampler::plain())));
        for cut in order.cuts() {
            assert!(SETTINGS.iter().any(|setting| setting.name == cut.name), "{}", cut.name);
        }
    }
}

/// `count` logits, and the numbers behind them for choosing options.
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut run = Sampling::new(Sampler::plain(), seed);
    (0..count).map(|_| 12.0 * run.uniform().powi(3) as f32).collect()
}

/// One rule after the other switched on, with a number that cuts something.
fn one_rule_each(order: Order) -> Vec<Sampler> {
    let strong = |name: &str| match name {
        "top_k" => 5.0,
        "min_p" | "top_a" => 0.2,
        "epsilon_cutoff" | "eta_cutoff" => 0.01,
        _ => 0.5,
    };
    let rule = |cut: &super::Cut| {
        let setting = SETTINGS.iter().find(|setting| setting.name == cut.name).unwrap();
        let mut sampler = Sampler { order, ..Sampler::plain() };
        setting.write(&mut sampler, strong(cut.name)).unwrap();
        sampler
    };
    order.cuts().iter().map(rule).collect()
}

#[test]
fn every_rule_cuts_something_and_what_is_left_sums_to_one() {
    for (seed, order) in [(1, Order::Rwkv), (2, Order::HuggingFace), (3, Order::Rwkv)] {
        let logits = noise(seed, 300);
        for sampler in one_rule_each(order) {
            let p = probabilities(&logits, &sampler);
            assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{sampler:?}");
            assert!((1..300).contains(&kept(&p).len()), "{sampler:?}");
            let alone = probabilities(&[-3.0], &sampler);
            assert_eq!(alone, [1.0], "a single token always stays: {sampler:?}");
            let two = probabilities(&[1.0, 1.0], &sampler);
            assert!(kept(&two).contains(&0), "{sampler:?}");
        }
    }
}

#[test]
fn temperature_changes_what_is_kept_in_one_order_only() {
    let hot = |sampler: &Sampler, temperature| Sampler { temperature, ..sampler.clone() };
    for seed in 0..20 {
        let logits = noise(seed, 200);
        for sampler in one_rule_each(Order::Rwkv) {
            let of = |t| kept(&probabilities(&logits, &hot(&sampler, t)));
            assert_eq!(of(0.5), of(1.0), "{sampler:?}");
            assert_eq!(of(3.0), of(1.0), "{sampler:?}");
        }
    }
    let sampler = Sampler { order: Order::HuggingFace, top_p: 0.5, ..Sampler::plain() };
    let of = |t| kept(&probabilities(&noise(1, 200), &hot(&sampler, t))).len();
    assert!(of(0.5) < of(1.0) && of(1.0) < of(3.0));
}

#[test]
fn pruning_before_sorting_changes_nothing() {
    for seed in 0..20 {
        let logits = noise(seed, 400);
        for order in [Order::Rwkv, Order::HuggingFace] {
            for sampler in one_rule_each(order) {
                let cut = order.cuts().iter().find(|cut| (cut.on)(&sampler)).unwrap();
                let all: Vec<f64> = {
                    let p = probabilities(&logits, &Sampler { order, ..Sampler::plain() });
                    let mut p: Vec<f64> = p.iter().map(|&p| p.into()).collect();
                    p.sort_by(|a, b| b.total_cmp(a));
                    p
                };
                let expected = (cut.keep)(&all, &sampler).len();
                let got = kept(&probabilities(&logits, &sampler)).len();
                assert_eq!(got, expected, "{}", cut.name);
            }
        }
    }
}

#[test]
fn bias_and_masks_decide_what_can_be_drawn() {
    let sampler = Sampler { bias: [(2, 50.0), (0, f32::NEG_INFINITY)].into(), ..Sampler::plain() };
    assert!(probabilities(&[9.0, 0.0, 0.0, 0.0], &sampler)[2] > 0.999);
    for seed in 0..20 {
        for sampler in one_rule_each(Order::HuggingFace) {
            let mut run = Sampling::new(sampler, seed);
            let odd = |token| token % 2 == 1;
            assert!(odd(run.next(&noise(seed, 60), odd, |_| false).unwrap().token));
        }
    }
    let nothing = Sampling::new(Sampler::plain(), 0).next(&[0.0; 3], |_| false, |_| false);
    assert!(nothing.unwrap_err().to_string().contains("no token is left"));
}

#[test]
fn repetition_looks_back_as_far_as_it_is_told() {
    let sampler = Sampler {
        temperature: 0.0,
        repetition_penalty: 10.0,
        repetition_window: 2,
        ..Sampler::plain()
    };
    let mut run = Sampling::new(sampler, 0);
    run.read(&[2, 0]);
    let mut next = || run.next(&[3.0, 2.9, 2.8], |_| true, |_| false).unwrap().token;
    assert_eq!([next(), next(), next()], [1, 2, 0], "0 and 2 were read, then 0 and 1 are recent");
}

#[test]
fn mirostat_holds_the_surprise_it_aims_at() {
    let logits = noise(5, 1000);
    for version in [1, 2] {
        let sampler = Sampler { mirostat: version, mirostat_tau: 3.0, ..Sampler::plain() };
        let mut run = Sampling::new(sampler, 1);
        let mut total = 0.0;
        for _ in 0..2000 {
            let before = run.mu;
            run.next(&logits, |_| true, |_| false).unwrap();
            total += 3.0 - (run.mu - before) / 0.1;
        }
        assert!((total / 2000.0 - 3.0).abs() < 0.05, "version {version}: {}", total / 2000.0);
    }
}

#[test]
#[allow(clippy::print_stdout, reason = "the times are worth a look")]
fn a_large_vocabulary_is_sampled_quickly() {
    let logits = noise(9, 65_536);
    for order in [Order::Rwkv, Order::HuggingFace] {
        let all = [Sampler { order, ..Sampler::plain() }, Sampler { order, ..Sampler::default() }];
        for sampler in all.into_iter().chain(one_rule_each(order)) {
            let on: Vec<_> = order.cuts().iter().filter(|cut| (cut.on)(&sampler)).collect();
            let name = on.first().map_or("no rule", |cut| cut.name);
            let mut run = Sampling::new(sampler.clone(), 0);
            let start = Instant::now();
            for _ in 0..5 {
                run.next(&logits, |_| true, |_| false).unwrap();
            }
            let each = start.elapsed() / 5;
            println!("{order:?} {name}: {each:?}");
            // A debug build on a busy machine is slower by far; a mistake in the order of growth is
            // slower still.
            assert!(each.as_millis() < 500, "{name}: {each:?}");
        }
    }
}
