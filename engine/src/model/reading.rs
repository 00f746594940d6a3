//! How a model reads: many tokens at once, in stretches.

use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail};
use burn::tensor::{Int, Tensor, TensorData};

use super::prefixes::{Known, SHORTEST};
use super::{Model, STRETCH, go_on, inside};
use crate::rwkv::Tap;
use crate::state::State;
use crate::tensor::Array;

/// Tokens that are read where they are, not in the pool of threads.
const FEW: usize = 16;

impl Model {
    /// One pass (GPT mode): logits of every position, `[T, V]`, and the state after.
    ///
    /// # Errors
    /// For no tokens, a token beyond the vocabulary, the state of another model, and when
    /// `interrupt` is set, with [`Interrupted`](super::Interrupted).
    pub fn forward(
        &self,
        tokens: &[u32],
        state: &State,
        interrupt: &AtomicBool,
    ) -> Result<(Array, State)> {
        let mut logits = Vec::with_capacity(tokens.len() * self.vocab_size());
        let state = self.walk(tokens, state, interrupt, |hidden, _| {
            logits.extend(Array::of(inside(|| self.rwkv.logits(hidden))).values());
        })?;
        Ok((Array::new(&[tokens.len(), self.vocab_size()], logits)?, state))
    }

    /// Logits after the last token only, `[V]`, and the state after.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn read(
        &self,
        tokens: &[u32],
        state: &State,
        interrupt: &AtomicBool,
    ) -> Result<(Array, State)> {
        let keeps = self.knows(tokens, state);
        let known = keeps.then(|| self.prefixes.longest(tokens)).flatten();
        let Some(known) = known else { return self.read_on(tokens, 0, state, interrupt, keeps) };
        let begun = known.tokens.len();
        match known.logits.filter(|_| begun == tokens.len()) {
            Some(logits) => Ok((logits, known.state)),
            None => self.read_on(tokens, begun, &known.state, interrupt, keeps),
        }
    }

    /// Whether it is kept what is known after these tokens.
    fn knows(&self, tokens: &[u32], state: &State) -> bool {
        let long = tokens.len() >= SHORTEST;
        long && self.prefixes.standing().budget > 0 && state.is_same(&self.empty)
    }

    /// [`Model::read`] after so many tokens were read.
    fn read_on(
        &self,
        tokens: &[u32],
        begun: usize,
        state: &State,
        interrupt: &AtomicBool,
        keeps: bool,
    ) -> Result<(Array, State)> {
        let (mut last, mut done) = (None, begun);
        let known = |end: usize, state: State, logits| {
            if keeps {
                self.prefixes.keep(Known { tokens: tokens[..end].to_vec(), state, logits });
            }
        };
        let state = self.walk(&tokens[begun..], state, interrupt, |hidden, state| {
            done += hidden.dims()[1];
            last = Some(hidden);
            if done < tokens.len() {
                known(done, state.clone(), None);
            }
        })?;
        let Some(hidden) = last else { bail!("there is nothing to read.") };
        let count = hidden.dims()[1];
        let logits = self.rwkv.logits(hidden.narrow(1, count - 1, 1));
        let logits = Array::of(logits.flatten::<1>(0, 2));
        known(tokens.len(), state.clone(), Some(logits.clone()));
        Ok((logits, state))
    }

    fn walk(
        &self,
        tokens: &[u32],
        state: &State,
        interrupt: &AtomicBool,
        mut each: impl FnMut(Tensor<3>, &State),
    ) -> Result<State> {
        self.check(tokens)?;
        let mut state = self.own(state)?;
        let long = tokens.len() > STRETCH;
        let counter =
            long.then(|| self.progress.begin("reading".into(), "tokens", tokens.len() as u64));
        for stretch in tokens.chunks(STRETCH) {
            go_on(interrupt)?;
            let hidden = self.step(stretch, &mut state, Tap::none());
            state.past.tokens += stretch.len() as u64;
            each(hidden, &state);
            counter.iter().for_each(|counter| counter.add(stretch.len() as u64));
        }
        Ok(state)
    }

    /// What the output head reads after each of these tokens, `[1, T, C]`; the state moves on.
    pub(super) fn step(&self, tokens: &[u32], state: &mut State, tap: Tap) -> Tensor<3> {
        let ids: Vec<i32> = tokens.iter().map(|&id| id as i32).collect();
        let data = TensorData::new(ids, [1, tokens.len()]);
        let ids = Tensor::<2, Int>::from_data(data, &self.place.device);
        if tap.looks() {
            return self.rwkv.hidden_seen(ids, state, tap);
        }
        // For a few tokens the way into the pool is longer than what they ask of it.
        match tokens.len() {
            ..FEW => self.rwkv.hidden(ids, state),
            _ => inside(|| self.rwkv.hidden(ids, state)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::choose;
    use crate::model::{Loading, Standing};

    fn toy(cache: Option<usize>) -> Model {
        let loading = Loading { cache, ..Loading::default() };
        Model::load("toy:rwkv7", &loading, &choose("cpu").unwrap()).unwrap()
    }

    fn text(count: usize, last: u32) -> Vec<u32> {
        let mut tokens: Vec<u32> = (0..count).map(|i| (i * 7 % 250) as u32).collect();
        tokens[count - 1] = last;
        tokens
    }

    #[test]
    fn a_beginning_is_read_once_and_nothing_changes() {
        let (model, anew) = (toy(None), toy(Some(0)));
        let stop = AtomicBool::new(false);
        let same = |tokens: &[u32]| {
            let found = model.read(tokens, &model.state(), &stop).unwrap();
            let expected = anew.read(tokens, &anew.state(), &stop).unwrap();
            assert_eq!(found.0.values(), expected.0.values());
            assert!(found.1.is_same(&expected.1));
        };
        same(&text(700, 1));
        assert_eq!(model.prefixes.standing().texts, 3); // after 256, 512 and all
        same(&text(700, 2));
        let Standing { hits, saved, .. } = model.prefixes.standing();
        assert_eq!((hits, saved), (1, 512));
        same(&text(700, 2));
        assert_eq!(model.prefixes.standing().saved, 512 + 700);
        same(&text(300, 3)); // its first 256 tokens are those of the others
        assert_eq!(model.prefixes.standing().hits, 3);
        assert_eq!(anew.prefixes.standing(), Standing::default());
    }

    #[test]
    fn only_the_first_state_is_known_and_the_oldest_makes_room() {
        let model = toy(Some(200_000));
        let stop = AtomicBool::new(false);
        let (_, other) = model.read(&[1, 2], &model.state(), &stop).unwrap();
        model.read(&text(40, 1), &other, &stop).unwrap();
        assert_eq!(model.prefixes.standing().texts, 0, "it began somewhere else");
        for last in 0..20 {
            model.read(&text(40, last), &model.state(), &stop).unwrap();
        }
        let Standing { texts, bytes, budget, .. } = model.prefixes.standing();
        assert!(0 < texts && texts < 20 && bytes <= budget, "{texts} {bytes}");
        model.read(&text(40, 19), &model.state(), &stop).unwrap();
        model.read(&text(40, 0), &model.state(), &stop).unwrap();
        assert_eq!(model.prefixes.standing().hits, 1);
    }
}
