use serde_json::Value;

use super::*;
use crate::device;
use crate::model::Loading;

static GO: AtomicBool = AtomicBool::new(false);

fn options(beams: usize, max_tokens: usize) -> Options {
    let (stop, end) = (vec![], vec![]);
    Options { beams, max_tokens, length_penalty: 1.0, stop, end, unused_ids: false }
}

/// A model that looks at the last token only: the row of each token holds its logits.
fn bigram(rows: &[Vec<f32>], start: usize, options: &Options) -> Vec<Beam<usize>> {
    let step =
        |token: usize| Step { memory: token, logprobs: log_softmax(&rows[token]), ended: false };
    search(step(start), options, |_, token| Ok(step(token as usize))).unwrap()
}

/// Every text of at most `options.max_tokens` tokens, best first.
fn exhaustive(rows: &[Vec<f32>], start: usize, options: &Options) -> Vec<(f64, Vec<u32>)> {
    let (mut open, mut done) = (vec![(0.0, vec![])], vec![]);
    while let Some((logprob, tokens)) = open.pop() {
        let last = tokens.last().map_or(start, |&token: &u32| token as usize);
        let ended = tokens.last().is_some_and(|token| options.end.contains(token));
        if ended || tokens.len() == options.max_tokens {
            done.push((options.score(logprob, tokens.len()), tokens));
            continue;
        }
        for (token, next) in (0..).zip(log_softmax(&rows[last])) {
            open.push((logprob + f64::from(next), [&tokens[..], &[token]].concat()));
        }
    }
    done.sort_by(|a, b| b.0.total_cmp(&a.0));
    done
}

fn golden() -> (Value, Vec<Vec<f32>>) {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/sampler.json"));
    let golden = serde_json::from_str::<Value>(text).unwrap()["beam"].clone();
    let rows = golden["transition_logits"].as_array().unwrap().iter();
    let floats =
        |row: &Value| row.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect();
    let rows = rows.map(floats).collect();
    (golden, rows)
}

#[test]
fn equals_the_reference_and_the_search_of_everything() {
    let (golden, rows) = golden();
    let number = |key: &str| golden[key].as_u64().unwrap() as usize;
    let (start, steps, width) = (number("start"), number("steps"), number("width"));
    let agree = |beam: &Beam<usize>, expected: &Value| {
        let tokens: Vec<u64> = beam.tokens.iter().map(|&token| token.into()).collect();
        let all = [vec![start as u64], tokens].concat();
        assert_eq!(serde_json::json!(all), expected["tokens"]);
        assert!((beam.logprob - expected["logprob"].as_f64().unwrap()).abs() < 1e-5);
        assert_eq!(*beam.tokens.last().unwrap() as usize, beam.step.memory, "its own memory");
    };
    let found = bigram(&rows, start, &options(width, steps));
    assert_eq!(found.len(), width);
    for (beam, expected) in found.iter().zip(golden["hypotheses"].as_array().unwrap()) {
        agree(beam, expected);
    }
    agree(&found[0], &golden["exhaustive_best"]);
    agree(&bigram(&rows, start, &options(1, steps))[0], &golden["greedy"]);
}

#[test]
fn wide_beams_find_the_best_text_that_ends() {
    let (_, rows) = golden();
    for length_penalty in [-1.0, 0.0, 1.0, 3.0] {
        for end in [7, 10] {
            let options = Options { length_penalty, end: vec![end], ..options(40, 4) };
            let found = bigram(&rows, 3, &options);
            let all = exhaustive(&rows, 3, &options);
            for (beam, (score, tokens)) in found.iter().zip(&all).take(3) {
                let own = options.score(beam.logprob, beam.tokens.len());
                assert!((own - score).abs() < 1e-6, "{length_penalty} {end}");
                assert_eq!(beam.tokens, *tokens, "{length_penalty} {end}");
            }
        }
    }
}

#[test]
fn every_beam_stands_where_its_tokens_lead() {
    let model =
        Model::load("toy:rwkv7", &Loading::default(), &device::choose("cpu").unwrap()).unwrap();
    let search =
        |options: &Options| beam_search(&model, &[72, 105], &model.state(), options, &GO).unwrap();
    let found = search(&options(3, 4));
    assert_eq!(found.len(), 3);
    for beam in &found {
        let all = [vec![72, 105], beam.tokens.clone()].concat();
        let (logits, state) = model.read(&all, &model.state(), &GO).unwrap();
        assert!(state.distance(&beam.state).unwrap().max_abs < 1e-4);
        assert!(logits.max_abs_diff(&beam.logits).unwrap() < 1e-3);
        assert_eq!((beam.finish, beam.tokens.len()), (Finish::Length, 4));
    }
    assert!(found.windows(2).all(|pair| pair[0].logprob() >= pair[1].logprob()));
    let greedy = &search(&options(1, 4))[0];
    assert!(found[0].logprob() >= greedy.logprob() - 1e-6);

    let end = Options { end: vec![greedy.tokens[0]], ..options(1, 4) };
    let ended = &search(&end)[0];
    assert_eq!((ended.finish, ended.tokens.len()), (Finish::End, 1));
    let text = greedy.text.chars().next().unwrap().to_string();
    let stopped = &search(&Options { stop: vec![text], ..options(1, 4) })[0];
    assert_eq!((stopped.finish, stopped.text.as_str()), (Finish::Stop, ""));
    assert!(beam_search(&model, &[1], &model.state(), &options(0, 4), &GO).is_err());
}
