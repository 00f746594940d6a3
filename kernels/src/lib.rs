//! The wkv recurrences: the only part of RWKV that is not a matrix product; and matrix products
//! that round what they multiply.
//!
//! Each function turns what a block wants to read and write (`r w k v …`, many tokens or one) and
//! the state before into what it reads and the state after. The plain versions are written with
//! ordinary tensor operations and are the definition. A chunked version reads many tokens at once,
//! on any device; a fused one is a loop written for one kind of device. Both must agree with the
//! plain one, forwards and backwards. Models, weights and devices are none of this crate's business.
//!
//! `B` batch, `T` tokens, `C` channels, `H` heads, `N` channels of one head, `C = H·N`.

mod chunks;
mod cpu;
mod fused;
mod linear_bf16;
#[cfg(test)]
mod tests;
mod wkv4;
mod wkv6;
mod wkv7;

pub use chunks::CHUNK;
pub use linear_bf16::{linear_bf16, linear_bf16_plain};
pub use wkv4::{wkv4, wkv4_chunked, wkv4_plain};
pub use wkv6::{wkv6, wkv6_chunked, wkv6_plain};
pub use wkv7::{wkv7, wkv7_chunked, wkv7_plain};
