//! Towers: what turns a picture into rows of features that a language model can read.
//!
//! [`vit`] is the one encoder that CLIP, SigLIP and DINOv2 share, [`tower`] tells those apart by
//! the names in their files.

pub mod facts;
mod names;
pub mod sam;
#[cfg(test)]
pub(crate) mod tests;
pub mod tower;
pub mod vit;

pub use facts::Facts;
pub use tower::{Features, Kind, Tower};
