//! Operations written as loops for the CPU: plain slices in, plain vectors out.

mod exp;
mod heads;
pub mod matmul_bf16;
mod vectors;
pub mod wkv4;
pub mod wkv6;
pub mod wkv7;

pub use heads::Sizes;
