//! What RWKV does to many numbers at a time: the wkv recurrences, and what stands around them.
//!
//! Each function turns what a block wants to read and write (`r w k v …`, many tokens or one) and
//! the state before into what it reads and the state after, or is one of the equations before and
//! after that: norms, blended projections, keys, the loss; and what vision transformers need. The
//! plain versions are written with ordinary tensor operations and are the definition. A chunked
//! version reads many tokens at once, on any device; a fused one is a loop written for one kind of
//! device, which keeps little for the way back and makes the rest again. Both must agree with the
//! plain one, forwards and backwards.
//! Models and devices are none of this crate's business.
//!
//! `B` batch, `T` tokens, `C` channels, `H` heads, `N` channels of one head, `C = H·N`.

mod adamw;
mod attention;
mod chunks;
mod cpu;
mod fused;
mod gelu;
mod goose;
mod limits;
mod linear;
mod loss;
mod map;
mod norm;
mod packed;
mod precision;
#[cfg(test)]
mod tests;
mod wkv4;
mod wkv6;
mod wkv7;

pub use adamw::{AdamW, adamw, adamw_plain};
pub use attention::{attention, attention_plain};
pub use chunks::CHUNK;
pub use cpu::lanes::unit;
pub use fused::available as fuses;
pub use gelu::{Gelu, gelu, gelu_plain};
pub use goose::{
    decay, decay_plain, edit_key, edit_key_plain, lend, lend_plain, read_out, read_out_plain,
    thin_sigmoid, thin_sigmoid_plain, unit_key, unit_key_plain,
};
pub use limits::read as read_memory;
pub use linear::{
    Stream, affine, affine_plain, linear, linear_plain, relu_squared_linear, thin_linear,
};
pub use loss::{head_loss, head_loss_plain};
pub use map::{Mapped, Reading};
pub use norm::{norm, norm_plain};
pub use packed::{Bytes, Packed, Storage, Weight};
pub use precision::{Precision, with_precision};
pub use wkv4::{wkv4, wkv4_chunked, wkv4_plain};
pub use wkv6::{wkv6, wkv6_chunked, wkv6_plain};
pub use wkv7::{wkv7, wkv7_chunked, wkv7_plain};
