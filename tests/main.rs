//! Tests of the whole, in one program, so that Burn is linked once.

mod asking;
mod captures;
mod chat;
mod contract;
mod interop;
mod messages;
mod pictures;
mod prompt;
mod repl;
mod scripts;
mod terminal;
mod tidy;
mod training;
