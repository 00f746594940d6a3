//! Prompts that begin alike: what they share is read once, and each goes on from that state.

use anyhow::Result;

use super::rows::{Reader, Row, Seen};
use crate::state::State;

/// A row of tokens that is read from its beginning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt {
    /// What is read, at least one token.
    pub tokens: Vec<u32>,
    /// What came after each of the last of them, no more than there are.
    pub targets: Vec<u32>,
}

/// Tokens from which on it is worth keeping a state for the next prompt.
const SHARED: usize = 16;
/// Prompts of one length that are read at once.
const AT_ONCE: usize = 16;

impl Prompt {
    /// A context and what is to come after it: every token of `target` is scored.
    pub fn before(mut context: Vec<u32>, target: Vec<u32>) -> Self {
        context.extend(target.split_last().map_or(&[][..], |(_, rest)| rest));
        Self { tokens: context, targets: target }
    }

    fn row(&self, from: usize) -> Row<'_> {
        Row { tokens: &self.tokens[from..], targets: &self.targets }
    }

    /// Tokens that are read before anything has to be scored.
    fn free(&self) -> usize {
        self.tokens.len() - self.targets.len().max(1)
    }
}

/// Reads prompts in their order from `first` on and shows `each` what there is after every one of
/// them. Neighbours that begin alike share what they have read, and neighbours of one length are
/// read together. `read` counts the tokens that had to be read.
///
/// # Errors
/// As [`Reader::read`], and what `each` fails with.
pub fn read_prompts(
    reader: Reader,
    first: &State,
    prompts: &[Prompt],
    read: &mut u64,
    mut each: impl FnMut(usize, Seen, &State) -> Result<()>,
) -> Result<()> {
    let shared = shared(prompts);
    let mut kept = vec![(0, first.clone())];
    let mut at = 0;
    while at < prompts.len() {
        if at > 0 {
            kept.retain(|(length, _)| *length <= shared[at - 1]);
        }
        for length in cuts(&shared[at..], last(&kept).0) {
            let (from, mut state) = last(&kept);
            let tokens = &prompts[at].tokens[from..length];
            reader.read(&[Row { tokens, targets: &[] }], &mut state)?;
            *read += tokens.len() as u64;
            kept.push((length, state));
        }
        let (from, state) = last(&kept);
        let group = &prompts[at..at + alike(&prompts[at..], &shared[at..], from)];
        let rows: Vec<Row> = group.iter().map(|prompt| prompt.row(from)).collect();
        let mut state = state.repeated(rows.len());
        let seen = reader.read(&rows, &mut state)?;
        *read += rows.iter().map(|row| row.tokens.len() as u64).sum::<u64>();
        for (row, seen) in seen.into_iter().enumerate() {
            each(at + row, seen, &state.of_text(row))?;
        }
        at += group.len();
    }
    Ok(())
}

/// The longest beginning whose state is kept, and that state.
fn last(kept: &[(usize, State)]) -> (usize, State) {
    kept.last().cloned().expect("the state before the first token fits every prompt")
}

/// How many tokens each prompt shares with the one after it, always leaving some to read.
fn shared(prompts: &[Prompt]) -> Vec<usize> {
    let pair = |pair: &[Prompt]| {
        let [a, b] = [&pair[0], &pair[1]];
        let same = a.tokens.iter().zip(&b.tokens).take_while(|(a, b)| a == b).count();
        same.min(a.free()).min(b.free())
    };
    prompts.windows(2).map(pair).chain([0]).collect()
}

/// Where the prompt before `shared` has to leave a state for those after it, from short to long.
fn cuts(shared: &[usize], from: usize) -> Vec<usize> {
    let mut least = usize::MAX;
    let falling = shared.iter().map(|&length| {
        least = least.min(length);
        least
    });
    let mut found: Vec<usize> = falling.take_while(|least| *least >= from + SHARED).collect();
    found.reverse();
    let mut last = from;
    found.retain(|&length| {
        let far = length >= last + SHARED;
        last = if far { length } else { last };
        far
    });
    found
}

/// How many prompts can be read at once from a state after `from` tokens: of one length, and none
/// with a beginning of its own to keep.
fn alike(prompts: &[Prompt], shared: &[usize], from: usize) -> usize {
    let goes_on = |&at: &usize| {
        let same = prompts[at].tokens.len() == prompts[0].tokens.len();
        let no_cut = |at: usize| shared[at] < from + SHARED;
        same && shared[at - 1] >= from && no_cut(at - 1) && no_cut(at)
    };
    1 + (1..prompts.len().min(AT_ONCE)).take_while(goes_on).count()
}
