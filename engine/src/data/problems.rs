//! Problems made by chance, as many as anybody wants: each asks for something that a model has to
//! remember, to count or to look up.

mod hidden;
mod sequences;
mod stories;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::random::Random;

/// What a problem asks for, and how hard it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Task {
    /// `31415,` → `51413`: a string of digits backwards.
    Reverse {
        /// How many digits.
        digits: RangeInclusive<usize>,
    },
    /// `k:7 b:x q:2 ?b:` → `x`: the value that a key was given. No key occurs twice.
    Recall {
        /// How many keys.
        pairs: RangeInclusive<usize>,
        /// What keys and values are made of; a value is one character of it, a key as many as the
        /// largest number of pairs needs.
        alphabet: String,
    },
    /// `1011=` → `1`: whether the number of ones is odd.
    Parity {
        /// How many bits.
        bits: RangeInclusive<usize>,
    },
    /// `231 213=` → `321`: the row 123 after these moves, each of which says at which places of the
    /// row before the new one finds its digits.
    Permutations {
        /// How many digits are moved, from 2 to 9.
        of: usize,
        /// How many moves.
        steps: RangeInclusive<usize>,
    },
    /// A number said once in a long text that is about something else.
    Passkey {
        /// Characters of the prompt, at least as many as the number and the question need.
        length: RangeInclusive<usize>,
        /// Where the number is said, from 0 for the beginning to 1 for the end; by chance if not
        /// given.
        depth: Option<f64>,
        /// Digits of the number.
        digits: usize,
    },
    /// Numbers of several people, said here and there in a long text, and the question for one.
    Needle {
        /// Characters of the prompt, at least as many as all numbers and the question need.
        length: RangeInclusive<usize>,
        /// Where the number that is asked for is said, as for a passkey; the others are anywhere.
        depth: Option<f64>,
        /// How many people have a number.
        needles: usize,
        /// Digits of a number.
        digits: usize,
    },
    /// A small world in which people go places, take things and put them down, and a question
    /// where something is, or who has it.
    Stories {
        /// How many people.
        people: RangeInclusive<usize>,
        /// How many things.
        things: RangeInclusive<usize>,
        /// How many sentences.
        events: RangeInclusive<usize>,
        /// Whether the people have names that no other story has; one name in ten is such a name.
        held_out: bool,
    },
}

/// A question and its only right answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// All that is read before the answer.
    pub prompt: String,
    /// The answer with the line break that ends it.
    pub target: String,
}

impl Task {
    /// What options call the tasks, in the order of [`Task`].
    pub const NAMES: [&str; 7] =
        ["reverse", "recall", "parity", "permutations", "passkey", "needle", "stories"];

    /// A task with the settings that it has if nobody says otherwise.
    pub fn usual(name: &str) -> Option<Self> {
        Some(match name {
            "reverse" => Self::Reverse { digits: 1..=40 },
            "recall" => Self::Recall { pairs: 1..=16, alphabet: LETTERS.into() },
            "parity" => Self::Parity { bits: 1..=40 },
            "permutations" => Self::Permutations { of: 5, steps: 1..=20 },
            "passkey" => Self::Passkey { length: 200..=1000, depth: None, digits: 5 },
            "needle" => Self::Needle { length: 400..=1000, depth: None, needles: 4, digits: 4 },
            "stories" => {
                Self::Stories { people: 2..=3, things: 1..=3, events: 2..=10, held_out: false }
            }
            _ => return None,
        })
    }

    /// What options call it.
    pub fn name(&self) -> &'static str {
        let at = match self {
            Self::Reverse { .. } => 0,
            Self::Recall { .. } => 1,
            Self::Parity { .. } => 2,
            Self::Permutations { .. } => 3,
            Self::Passkey { .. } => 4,
            Self::Needle { .. } => 5,
            Self::Stories { .. } => 6,
        };
        Self::NAMES[at]
    }

    /// Checks that there are such problems.
    ///
    /// # Errors
    /// Says which setting allows none.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Reverse { digits } => span("digits", digits),
            Self::Recall { pairs, alphabet } => {
                span("pairs", pairs)?;
                sequences::key_length(alphabet, *pairs.end()).map(drop)
            }
            Self::Parity { bits } => span("bits", bits),
            Self::Permutations { of, steps } => {
                ensure!((2..=9).contains(of), "`of` must be 2 to 9 digits to move, not {of}.");
                span("steps", steps)
            }
            Self::Passkey { length, depth, digits } => {
                span("length", length)?;
                hidden::check(*length.start(), *depth, 1, *digits)
            }
            Self::Needle { length, depth, needles, digits } => {
                span("length", length)?;
                hidden::check(*length.start(), *depth, *needles, *digits)
            }
            Self::Stories { people, things, events, .. } => {
                span("people", people)?;
                span("things", things)?;
                span("events", events)?;
                stories::check(*people.end(), *things.end())
            }
        }
    }

    /// A problem; the same numbers by chance make the same one.
    ///
    /// # Panics
    /// For settings that [`Task::check`] refuses.
    pub fn problem(&self, random: &mut Random) -> Problem {
        match self {
            Self::Reverse { digits } => sequences::reverse(random.within(digits), random),
            Self::Recall { pairs, alphabet } => {
                let key = sequences::key_length(alphabet, *pairs.end());
                let key = key.expect("check() refuses an alphabet that is too small");
                sequences::recall(random.within(pairs), alphabet, key, random)
            }
            Self::Parity { bits } => sequences::parity(random.within(bits), random),
            Self::Permutations { of, steps } => {
                sequences::permutations(*of, random.within(steps), random)
            }
            Self::Passkey { length, depth, digits } => {
                hidden::passkey(random.within(length), *depth, *digits, random)
            }
            Self::Needle { length, depth, needles, digits } => {
                hidden::needle(random.within(length), *depth, *needles, *digits, random)
            }
            Self::Stories { people, things, events, held_out } => {
                let count = [people, things, events].map(|range| random.within(range));
                stories::story(count, *held_out, random)
            }
        }
    }

    /// The same task with the longest of its problems only.
    pub fn longest(&self) -> Self {
        let most = |range: &RangeInclusive<usize>| *range.end()..=*range.end();
        let mut task = self.clone();
        match &mut task {
            Self::Reverse { digits: span }
            | Self::Recall { pairs: span, .. }
            | Self::Parity { bits: span }
            | Self::Permutations { steps: span, .. }
            | Self::Passkey { length: span, .. }
            | Self::Needle { length: span, .. } => *span = most(span),
            Self::Stories { people, things, events, .. } => {
                [people, things, events].into_iter().for_each(|span| *span = most(span));
            }
        }
        task
    }

    /// The same task for measuring, where it keeps something for that: stories of people whose
    /// names no other story has.
    pub fn held_out(&self) -> Self {
        match self.clone() {
            Self::Stories { people, things, events, .. } => {
                Self::Stories { people, things, events, held_out: true }
            }
            task => task,
        }
    }
}

/// What keys and values are made of unless something else is said.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789";

/// More than any model reads, and few enough to be made.
const MOST: usize = 1 << 26;

/// Checks that a range has numbers, of which none is 0.
fn span(name: &str, range: &RangeInclusive<usize>) -> Result<()> {
    let (low, high) = (range.start(), range.end());
    ensure!(
        1 <= *low && low <= high && *high <= MOST,
        "`{name}` must go up from 1 or more to {MOST} or less, not from {low} to {high}."
    );
    Ok(())
}
