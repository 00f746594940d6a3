//! Operations written as loops for the CPU: plain slices in, plain vectors out.

pub mod adamw;
pub mod attention;
pub mod blend;
mod exp;
pub mod gelu;
pub mod goose;
mod heads;
pub mod linear;
pub mod loss;
mod matmul_bf16;
pub mod matrix;
pub mod norm;
pub mod packed;
pub mod packing;
pub mod pointwise;
mod rows;
pub mod thin;
mod vectors;
pub mod wkv4;
pub mod wkv6;
pub mod wkv7;

pub use heads::Sizes;
