//! What a script can say: the Rhai engine of rwkv-lab, its functions, its help and its views.
//!
//! Nothing in here prints. A [`Session`] sends what it has to say to one callback as [`Output`];
//! values and failures are drawn on a [`Canvas`] that the caller describes. Run it on a thread
//! with [`STACK`] bytes of stack, or deep scripts end the process instead of the line.

// Ours would be found by tests/tidy.rs.
#![allow(clippy::unwrap_used, reason = "the code that #[export_module] makes unwraps")]

mod charts;
mod chat;
mod checkpoints;
mod complete;
mod data;
mod defined;
mod diagnose;
mod editing;
mod engine;
mod error;
mod facts;
mod files;
mod form;
mod generate;
mod help;
mod hooks;
mod host;
mod ieee;
mod image;
mod imports;
mod json;
mod layer;
mod lists;
mod looks;
mod measure;
mod metrics;
mod model;
mod numbers;
mod options;
mod output;
mod panics;
mod picture;
mod plot;
mod reading;
mod recording;
mod report;
mod sampler;
mod samples;
mod search;
mod seeing;
mod segment;
mod session;
mod show;
mod speed;
mod state;
mod suggest;
mod system;
mod table;
mod tensor;
mod text;
mod tokens;
mod train;
mod understand;
mod view;

#[cfg(test)]
mod tests;

pub use chat::Standing;
pub use checkpoints::{Changes, convert, describe};
pub use editing::Colour;
pub use engine::STACK;
pub use error::{Failure, FailureKind, Place};
pub use help::wrapped;
pub use picture::{Picture, is_picture};
pub use rwkv_engine::image::base64;
pub use rwkv_engine::progress::{Job, Progress};
pub use rwkv_engine::train::{Precision, Product};
pub use session::{Options, Output, Session};
pub use speed::{Measured, speeds, ways, write_random};
pub use view::{Bars, Canvas, Curve, Depth, Heatmap, Image, Line, Table, View};
