//! Tests of the whole, in one program, so that Burn is linked once.

mod contract;
mod repl;
mod scripts;
mod tidy;
