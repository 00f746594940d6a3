//! Operations written as loops for the CPU: plain slices in, plain vectors out.

pub mod adamw;
pub mod attention;
pub mod blend;
mod columns;
mod exp;
pub mod few;
pub mod gelu;
pub mod goose;
mod heads;
pub mod lanes;
pub mod linear;
pub mod loss;
mod matmul_bf16;
pub mod matrix;
pub mod norm;
pub mod packed;
pub mod packing;
mod panels;
mod place;
pub mod pointwise;
mod rows;
mod streams;
pub mod team;
pub mod thin;
pub mod turn;
mod vectors;
pub mod wkv4;
pub mod wkv6;
pub mod wkv7;

pub use heads::Sizes;
