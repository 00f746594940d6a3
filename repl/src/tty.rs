//! The terminal's input side: quiet while a line runs, restored whatever happens, and Ctrl-C.

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Two Ctrl-C within this time end the program, if the first did not stop the work.
const TWICE: Duration = Duration::from_secs(2);

/// How the terminal was when the program started; nothing if stdin is no terminal.
#[derive(Clone)]
pub struct Tty(Option<Termios>);

impl Tty {
    /// Remembers the terminal as it is now.
    pub fn new() -> Self {
        Self(tcgetattr(io::stdin()).ok())
    }

    /// Whether somebody types at stdin.
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Hides keys typed ahead and keeps them for the next prompt, until the guard is dropped.
    /// Ctrl-C and Ctrl-Z stay signals.
    pub fn quiet(&self) -> Quiet<'_> {
        if let Some(mut mode) = self.0.clone() {
            mode.local_flags &= !(LocalFlags::ECHO | LocalFlags::ICANON);
            set(&mode);
        }
        Quiet(self)
    }

    /// Leaves the program with the terminal as it was found.
    pub fn exit(&self, code: i32) -> ! {
        self.restore();
        std::process::exit(code)
    }

    fn restore(&self) {
        if let Some(mode) = &self.0 {
            set(mode);
        }
    }
}

/// Failing to set a mode leaves a terminal that echoes too much or too little: no reason to stop.
fn set(mode: &Termios) {
    let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, mode);
}

/// Restores the terminal when dropped, a panic included.
pub struct Quiet<'a>(&'a Tty);

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        self.0.restore();
    }
}

/// The work that Ctrl-C stops.
#[derive(Clone, Default)]
pub struct Work {
    /// Set by Ctrl-C, read by whatever computes.
    pub stop: Arc<AtomicBool>,
    /// Whether something computes at all.
    pub busy: Arc<AtomicBool>,
}

impl Work {
    /// Marks the work as running until the guard is dropped.
    pub fn start(&self) -> Busy<'_> {
        self.stop.store(false, Relaxed);
        self.busy.store(true, Relaxed);
        Busy(self)
    }

    /// Turns SIGINT into `stop`, a second one at once into exit code 130, and SIGTERM into a
    /// restored terminal.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn watch(&self, tty: &Tty) -> io::Result<()> {
        let (work, tty) = (self.clone(), tty.clone());
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let watch = move || {
            let mut last = None;
            for signal in signals.forever() {
                if signal == SIGTERM {
                    tty.exit(128 + SIGTERM);
                }
                last = work.interrupted(last, &tty);
            }
        };
        thread::Builder::new().name("signals".into()).spawn(watch).map(drop)
    }

    fn interrupted(&self, last: Option<Instant>, tty: &Tty) -> Option<Instant> {
        let again = last.is_some_and(|time| time.elapsed() < TWICE);
        if !self.busy.load(Relaxed) {
            return None;
        }
        // The flag is still up, so the first Ctrl-C went unheard.
        if self.stop.swap(true, Relaxed) && again {
            tty.exit(130);
        }
        Some(Instant::now())
    }
}

/// Marks the end of the work when dropped.
pub struct Busy<'a>(&'a Work);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Relaxed);
    }
}
