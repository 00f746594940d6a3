//! Recurrences written as loops for the CPU: plain slices in, plain vectors out.

pub mod wkv7;
