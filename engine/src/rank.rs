//! Which of several continuations a model finds likeliest.

use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};

use crate::model::Model;
use crate::sample::log_softmax;
use crate::state::State;
use crate::tensor::Array;

/// What choices are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The log-probability of the whole text; longer ones have it harder.
    Sum,
    /// The same per token.
    Mean,
    /// The same less what it is after an empty prompt: how much the prompt speaks for it, not how
    /// common it is.
    Calibrated,
}

impl Measure {
    /// What scripts call them.
    pub const NAMES: &[(&str, Self)] =
        &[("sum", Self::Sum), ("mean", Self::Mean), ("calibrated", Self::Calibrated)];
}

/// A choice and how likely it is.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// Which of the choices it is, from 0 on.
    pub index: usize,
    /// Natural logarithm of the probability of all its tokens together.
    pub logprob: f64,
    /// The same per token.
    pub mean: f64,
    /// What it is ranked by.
    pub score: f64,
    /// Its share among the choices: softmax of the scores.
    pub probability: f64,
}

/// Reads `prompt` once from `state` on and every choice after it, likeliest first; of equals the
/// one named first. An empty prompt means token 0, the end of the document before.
///
/// # Errors
/// For no choices, an empty choice, and as [`Model::forward`].
pub fn rank(
    model: &Model,
    prompt: &[u32],
    choices: &[Vec<u32>],
    measure: Measure,
    state: &State,
    interrupt: &AtomicBool,
) -> Result<Vec<Ranked>> {
    ensure!(!choices.is_empty(), "there are no choices to rank; give at least one");
    if let Some(at) = choices.iter().position(Vec::is_empty) {
        anyhow::bail!("choice {} is empty; give every choice at least one token", at + 1);
    }
    let after = |prompt: &[u32]| -> Result<Vec<f64>> {
        let start = model.read(if prompt.is_empty() { &[0] } else { prompt }, state, interrupt)?;
        choices.iter().map(|choice| follow(model, choice, &start, interrupt)).collect()
    };
    let logprobs = after(prompt)?;
    let usual = match measure {
        Measure::Calibrated => after(&[])?,
        _ => vec![0.0; choices.len()],
    };
    let ranked = |index: usize| {
        let (logprob, mean) = (logprobs[index], logprobs[index] / choices[index].len() as f64);
        let score = if measure == Measure::Mean { mean } else { logprob - usual[index] };
        Ranked { index, logprob, mean, score, probability: 0.0 }
    };
    let mut all: Vec<Ranked> = (0..choices.len()).map(ranked).collect();
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    share(&mut all);
    Ok(all)
}

/// The log-probability of tokens after the logits and the state that a prompt has led to.
fn follow(
    model: &Model,
    tokens: &[u32],
    (logits, state): &(Array, State),
    interrupt: &AtomicBool,
) -> Result<f64> {
    model.check(tokens)?;
    let mut total = f64::from(log_softmax(&logits.values())[tokens[0] as usize]);
    let (read, next) = (&tokens[..tokens.len() - 1], &tokens[1..]);
    if !next.is_empty() {
        let (logits, _) = model.forward(read, state, interrupt)?;
        let logits = logits.values();
        for (row, &token) in logits.chunks(model.vocab_size()).zip(next) {
            total += f64::from(log_softmax(row)[token as usize]);
        }
    }
    Ok(total)
}

/// Gives every choice its share by its score; the best comes first.
fn share(all: &mut [Ranked]) {
    let best = all[0].score;
    let total: f64 = all.iter().map(|one| (one.score - best).exp()).sum();
    all.iter_mut().for_each(|one| one.probability = (one.score - best).exp() / total);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device;
    use crate::model::Loading;

    static GO: AtomicBool = AtomicBool::new(false);

    fn toy() -> Model {
        Model::load("toy:rwkv7", &Loading::default(), &device::choose("cpu").unwrap()).unwrap()
    }

    fn of(measure: Measure, prompt: &[u32], choices: &[&[u32]]) -> Vec<Ranked> {
        let (model, choices) = (toy(), choices.iter().map(|c| c.to_vec()).collect::<Vec<_>>());
        rank(&model, prompt, &choices, measure, &model.state(), &GO).unwrap()
    }

    #[test]
    fn single_tokens_are_ranked_by_the_logits() {
        let all: Vec<Vec<u32>> = (0..256).map(|token| vec![token]).collect();
        let model = toy();
        let ranked = rank(&model, &[72, 105], &all, Measure::Sum, &model.state(), &GO).unwrap();
        let (logits, _) = model.read(&[72, 105], &model.state(), &GO).unwrap();
        let expected = log_softmax(&logits.values());
        let largest = expected.iter().copied().fold(f32::MIN, f32::max);
        assert_eq!(expected[ranked[0].index], largest);
        for one in &ranked {
            assert!((one.logprob - f64::from(expected[one.index])).abs() < 1e-5);
            assert!((one.probability - one.logprob.exp()).abs() < 1e-4, "all choices there are");
        }
        assert!((ranked.iter().map(|one| one.probability).sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn longer_choices_are_the_product_of_their_tokens() {
        let model = toy();
        let ranked = of(Measure::Mean, &[72, 105], &[&[1, 2, 3], &[9]]);
        let (logits, _) = model.forward(&[72, 105, 1, 2, 3], &model.state(), &GO).unwrap();
        let rows: Vec<Vec<f32>> = logits.values().chunks(256).map(log_softmax).collect();
        let expected: f32 = (0..3).map(|at| rows[at + 1][at + 1]).sum();
        let long = ranked.iter().find(|one| one.index == 0).unwrap();
        assert!((long.logprob - f64::from(expected)).abs() < 1e-3, "{long:?} {expected}");
        assert!((long.mean - long.logprob / 3.0).abs() < 1e-12 && long.score == long.mean);
    }

    #[test]
    fn calibration_takes_off_what_an_empty_prompt_says() {
        let choices: &[&[u32]] = &[&[1, 2], &[9], &[200, 7]];
        let empty = of(Measure::Calibrated, &[], choices);
        assert!(empty.iter().all(|one| one.score == 0.0 && (one.probability - 1.0 / 3.0) < 1e-12));
        let (sum, before) = (of(Measure::Sum, &[72], choices), of(Measure::Sum, &[], choices));
        for one in of(Measure::Calibrated, &[72], choices) {
            let find = |all: &[Ranked]| all.iter().find(|x| x.index == one.index).unwrap().logprob;
            assert!((one.score - (find(&sum) - find(&before))).abs() < 1e-9);
        }
    }

    #[test]
    fn nothing_to_rank_is_said() {
        let model = toy();
        let of = |choices: &[Vec<u32>]| {
            let ranked = rank(&model, &[1], choices, Measure::Sum, &model.state(), &GO);
            ranked.unwrap_err().to_string()
        };
        assert!(of(&[]).contains("no choices"));
        assert!(of(&[vec![1], vec![]]).contains("choice 2 is empty"));
        assert!(of(&[vec![300]]).contains("token 300 is out of range"));
    }
}
