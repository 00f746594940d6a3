//! How quick the prompt is on this machine, beside what it should be.

mod model;
mod train;

pub use model::model;
pub use train::training;

use crate::input::{self, Mode};
use crate::timing::words;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rwkv_scripting::{Session, Table, View};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Lines of the script that Enter has to look through.
const LINES: usize = 400;
/// Silence after which it has said everything, in milliseconds.
const QUIET: u16 = 20;
/// Longest wait for the program to say something, in milliseconds.
const PATIENCE: u16 = 10_000;

/// A table of figures: each the median of several runs.
///
/// # Errors
/// When there is no pseudo-terminal, or the program does not start in it.
pub fn prompt(session: &Session) -> io::Result<View> {
    let mut starts = Vec::new();
    let mut keys = Vec::new();
    let mut lists = Vec::new();
    let mut stops = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        let mut program = Program::start()?;
        program.until("rwkv> ")?;
        starts.push(start.elapsed());
        for _ in 0..8 {
            keys.push(program.answer("x")?);
        }
        program.answer("\x15")?;
        program.answer("mod")?;
        lists.push(program.answer("\t")?);
        stops.push(program.stopped("loop {}")?);
        program.leave()?;
    }
    let line =
        |n| format!("fn step_{n}(x) {{ if x > {n} {{ [x, 2 * x] }} else {{ #{{ a: x }} }} }}\n");
    let script: String = (0..LINES).map(line).collect();
    let enter = repeated(|| input::is_complete(session, &script, Mode::Code));
    let complete = repeated(|| session.complete("let a = [1, 2].", 15));
    let figures = [
        ("start to prompt, demo model loaded", starts, 100),
        ("key to screen", keys, 10),
        ("Tab to screen", lists, 10),
        ("Ctrl-C to prompt", stops, 100),
        ("completion alone", complete, 10),
        ("Enter's check of 400 lines", enter, 10),
    ];
    let rows = figures.into_iter().map(|(what, times, target)| {
        vec![what.to_owned(), words(median(times)), format!("{target} ms")]
    });
    Ok(View::Table(Table::new(&["what", "median", "target"], rows.collect())))
}

fn repeated<T>(work: impl Fn() -> T) -> Vec<Duration> {
    let once = |_| {
        let start = Instant::now();
        std::hint::black_box(work());
        start.elapsed()
    };
    (0..9).map(once).collect()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The program at a terminal of its own.
struct Program {
    child: Child,
    terminal: File,
}

impl Program {
    fn start() -> io::Result<Self> {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None)?;
        let end = || pair.slave.try_clone();
        let child = Command::new(std::env::current_exe()?)
            .arg("--no-init")
            .env("RWKV_NO_HISTORY", "1")
            .env("TERM", "xterm-256color")
            .stdin(end()?)
            .stdout(end()?)
            .stderr(end()?)
            .spawn()?;
        Ok(Self { child, terminal: File::from(pair.master) })
    }

    /// Reads until the program has written `text`.
    fn until(&mut self, text: &str) -> io::Result<()> {
        let mut seen = String::new();
        while !seen.contains(text) {
            seen += &self.read()?;
        }
        Ok(())
    }

    /// Whether it says something within some milliseconds.
    fn speaks(&self, patience: u16) -> io::Result<bool> {
        let mut ready = [PollFd::new(self.terminal.as_fd(), PollFlags::POLLIN)];
        Ok(poll(&mut ready, PollTimeout::from(patience))? > 0)
    }

    fn read(&mut self) -> io::Result<String> {
        let mut bytes = [0; 4096];
        if !self.speaks(PATIENCE)? {
            return Err(io::Error::other("it does not answer"));
        }
        let count = self.terminal.read(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes[..count]).into_owned())
    }

    /// Types keys, and how long it takes until something is seen.
    fn answer(&mut self, keys: &str) -> io::Result<Duration> {
        // What it still has to say is no answer.
        while self.speaks(QUIET)? {
            self.read()?;
        }
        let start = Instant::now();
        self.terminal.write_all(keys.as_bytes())?;
        self.read()?;
        Ok(start.elapsed())
    }

    /// Runs code without an end, and how long it takes from Ctrl-C to the next prompt.
    fn stopped(&mut self, code: &str) -> io::Result<Duration> {
        self.answer(&format!("\x15{code}\r"))?;
        while self.speaks(QUIET)? {
            self.read()?;
        }
        let start = Instant::now();
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT)?;
        self.until("rwkv> ")?;
        Ok(start.elapsed())
    }

    fn leave(mut self) -> io::Result<()> {
        self.terminal.write_all(b"\x15\x04")?;
        self.child.wait().map(drop)
    }
}
