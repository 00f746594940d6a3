//! What a model can do, in numbers: how well it expects a text, guesses a word, chooses an answer,
//! finds again what it has read.
//!
//! All of it is the probability of tokens that came. A [`Reader`] reads several rows at once;
//! [`read_prompts`] reads what prompts share only once and goes on from its state. On an interrupt
//! every measurement gives what it has so far and says so.

mod blocks;
mod choices;
mod cliff;
mod facts;
mod items;
mod layouts;
mod means;
mod perplexity;
mod pictures;
mod positions;
mod prompts;
mod retrieval;
mod rows;
#[cfg(test)]
mod tests;
mod words;

pub use blocks::{Block, Blocks, rows_of};
pub use choices::{Answer, Choices, Normalise, choose};
pub use cliff::{Cliff, cliff};
pub use facts::{Facts, sentences};
pub use items::{Item, Skips, read_items};
pub use layouts::{LAYOUTS, Question, questions};
pub use means::Mean;
pub use perplexity::{Perplexity, Stretches, perplexity};
pub use pictures::{
    BENCHMARKS, Benchmark, ENDING, Files, PictureQuestion, ScoreRow, Scores, Told,
    ask as ask_about_pictures,
};
pub use positions::{Bucket, Line, Positions, loss_by_position};
pub use prompts::{Prompt, read_prompts};
pub use retrieval::{Retrieval, recall_at_k, similarity, top_k_accuracy};
pub use rows::{Reader, Row, Scored, Seen};
pub use words::{Guess, Guesses, Target, guess, targets};

use anyhow::Result;

use crate::model::Interrupted;

/// Token 0, the end of the document before: what a text begins with.
pub const BEGINNING: u32 = 0;

/// Whether a work came to its end; an interrupt ends it early, and what it has is kept.
fn ended(outcome: Result<()>) -> Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.is::<Interrupted>() => Ok(false),
        Err(error) => Err(error),
    }
}
