//! What a person sees: the prompt, the commands and the program `rwkv` around them.
//!
//! Results go to stdout, everything else to stderr. Whatever is typed ends up as Rhai code for a
//! `rwkv_scripting::Session`, so a session can be written down and run again.
#![allow(clippy::print_stderr)] // this crate is the one that prints

mod arguments;
mod bench;
mod chatting;
mod commands;
mod editor;
mod folders;
mod gallery;
mod helper;
mod history;
mod input;
mod lesson;
mod looking;
mod manual;
mod memory;
mod output;
mod papers;
mod progress;
mod protocol;
mod replay;
mod saving;
mod session;
mod showing;
mod tasks;
mod term;
mod timing;
mod tty;

use arguments::Arguments;
use clap::Parser;
use rwkv_scripting::STACK;
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;
use std::thread;

/// Reads the command line and does what it says; the exit code is 0 after success, 1 after a
/// failed script, 2 after wrong usage, 130 after Ctrl-C, 141 after a closed pipe, or the script's
/// own `exit(n)`.
pub fn main() -> ExitCode {
    memory::keep_freed();
    let arguments = Arguments::parse();
    panic::set_hook(Box::new(tell));
    let worker = thread::Builder::new().name("rwkv".into()).stack_size(STACK);
    let code = match worker.spawn(move || tasks::run(arguments)) {
        Ok(thread) => thread.join().unwrap_or(1),
        Err(error) => {
            eprintln!(
                "error: no thread with a {} MB stack: {error}; raise `ulimit -v`.",
                STACK >> 20
            );
            1
        }
    };
    ExitCode::from(code as u8)
}

/// A panic is a bug of ours: one sentence with what is needed to find it.
fn tell(panic: &PanicHookInfo) {
    let what = panic.payload_as_str().unwrap_or("no message").replace('\n', " ");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    eprintln!("error: a bug in rwkv-lab at {place}: {what}; please report it with what you typed.");
}
