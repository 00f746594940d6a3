//! This crate turns text into tokens, tokens into logits, logits into the next token, and back into
//! text, and lets everything an RWKV model remembers on the way be held as a value.
//!
//! The path of a token: [`tokenizer`] → [`rwkv`] (with a [`state`]) → [`sample`] → [`tokenizer`];
//! [`generate`] walks it again and again, [`beam`] on several ways at once, [`chat`] in turns;
//! [`constrain`] keeps it on ways to a given form and [`rank`] compares given ways. [`checkpoint`]
//! opens files, [`weights`] makes models of them, [`model`] keeps a model with its tokenizer and its
//! device, [`train`] changes it by what [`data`] brings, [`evaluate`] measures what it can do and
//! [`measure`] how quick it is.
//! An [`image`] goes through a tower of [`vision`] and becomes rows of a text in [`visual`]. What
//! happens inside while a model reads is seen through [`rwkv::Tap`]: [`activations`] keep it,
//! [`recurrence`] and [`segment`] make algebra of it, [`understand`] and [`compare`] ask questions.
//! Nothing here prints, parses scripts or knows of a terminal.

pub mod activations;
pub mod adapter;
pub mod beam;
pub mod chat;
pub mod checkpoint;
pub mod compare;
pub mod constrain;
pub mod data;
pub mod device;
pub mod evaluate;
pub mod generate;
mod hash;
pub mod image;
pub mod info;
pub mod layers;
pub mod measure;
pub mod model;
pub mod progress;
pub mod random;
pub mod rank;
pub mod recurrence;
pub mod rwkv;
pub mod sample;
pub mod segment;
pub mod state;
pub mod stop;
pub mod tensor;
#[cfg(test)]
mod tests;
pub mod tokenizer;
pub mod train;
pub mod understand;
pub mod vision;
pub mod visual;
pub mod weights;
