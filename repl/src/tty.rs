//! The terminal's input side: quiet while a line runs, restored whatever happens; Ctrl-C, Ctrl-Z.

use nix::libc::termios;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// After a second Ctrl-C that went unheard, a third within this time ends the program.
const OFFER: Duration = Duration::from_secs(2);
/// Longest wait for a stop that does not come, because the system forbids it.
const PATIENCE: Duration = Duration::from_secs(1);

/// How the terminal was when the program started; nothing if stdin is no terminal.
#[derive(Clone)]
pub struct Tty {
    found: Option<termios>,
    /// How often `fg` brought the program back.
    resumed: Arc<AtomicUsize>,
}

impl Tty {
    /// Remembers the terminal as it is now.
    pub fn new() -> Self {
        Self { found: tcgetattr(io::stdin()).ok().map(Into::into), resumed: Arc::default() }
    }

    /// Whether somebody types at stdin.
    pub fn is_there(&self) -> bool {
        self.found.is_some()
    }

    /// Hides keys typed ahead and keeps them for the next prompt, until the guard is dropped.
    /// Ctrl-C and Ctrl-Z stay signals.
    pub fn quiet(&self) -> Quiet {
        let before = self.found.and_then(|_| tcgetattr(io::stdin()).ok());
        if let Some(mut mode) = before.clone() {
            mode.local_flags &= !(LocalFlags::ECHO | LocalFlags::ICANON);
            set(&mode);
        }
        Quiet(before)
    }

    /// Stops all programs of this job until `fg`, as Ctrl-Z does where the terminal itself takes
    /// it for a signal, and returns when this one goes on.
    pub fn stop_job(&self) {
        let before = self.resumed.load(Relaxed);
        if kill(Pid::from_raw(0), Signal::SIGTSTP).is_err() {
            return;
        }
        // The thread that watches the signals stops us all; this one must touch nothing before.
        let start = Instant::now();
        while self.resumed.load(Relaxed) == before && start.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops the program with the terminal as it was found; `fg` finds it as it is now.
    fn suspend(&self) {
        let now = tcgetattr(io::stdin());
        self.restore();
        // There is nothing to stop where the system knows no such signal.
        let _ = emulate_default_handler(SIGTSTP);
        now.iter().for_each(set);
        self.resumed.fetch_add(1, Relaxed);
    }

    /// Leaves the program with the terminal as it was found.
    pub fn exit(&self, code: i32) -> ! {
        self.restore();
        std::process::exit(code)
    }

    fn restore(&self) {
        if let Some(mode) = self.found.map(Termios::from) {
            set(&mode);
        }
    }
}

/// Failing to set a mode leaves a terminal that echoes too much or too little: no reason to stop.
fn set(mode: &Termios) {
    let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, mode);
}

/// Gives the terminal the mode it had before when dropped, a panic included; so guards nest.
pub struct Quiet(Option<Termios>);

impl Drop for Quiet {
    fn drop(&mut self) {
        self.0.iter().for_each(set);
    }
}

/// The work that Ctrl-C stops.
#[derive(Clone, Default)]
pub struct Work {
    /// Set by Ctrl-C, read by whatever computes.
    stop: Arc<AtomicBool>,
    /// Whether something computes at all.
    busy: Arc<AtomicBool>,
    /// Whether there is a session to lose, so that nothing ends it without asking.
    session: bool,
}

/// What a Ctrl-C does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The work is asked to stop.
    Stop,
    /// It was asked before and has not stopped: one may leave.
    Offer,
    /// The program ends.
    Leave,
}

impl Work {
    /// The work that `stop` stops; `session` tells whether there is something to lose with it.
    pub fn new(stop: Arc<AtomicBool>, session: bool) -> Self {
        Self { stop, session, ..Self::default() }
    }

    /// Marks the work as running until the guard is dropped.
    pub fn start(&self) -> Busy<'_> {
        self.stop.store(false, Relaxed);
        self.busy.store(true, Relaxed);
        Busy(self)
    }

    /// Turns SIGINT into `stop`, repeated ones into an offer to leave and exit code 130, SIGTSTP
    /// into a stop with the terminal restored, SIGTERM and SIGHUP into an end with it restored.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn watch(&self, tty: &Tty) -> io::Result<()> {
        let (work, tty) = (self.clone(), tty.clone());
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGTSTP])?;
        let watch = move || {
            let mut offered = None;
            for signal in signals.forever() {
                match signal {
                    SIGINT => offered = work.interrupted(offered, &tty),
                    SIGTSTP => tty.suspend(),
                    other => tty.exit(128 + other),
                }
            }
        };
        thread::Builder::new().name("signals".into()).spawn(watch).map(drop)
    }

    fn interrupted(&self, offered: Option<Instant>, tty: &Tty) -> Option<Instant> {
        if !self.busy.load(Relaxed) {
            return None;
        }
        let unheard = self.stop.swap(true, Relaxed);
        let recent = offered.is_some_and(|time| time.elapsed() < OFFER);
        match answer(unheard, self.session, recent) {
            Answer::Stop => None,
            Answer::Offer => {
                eprintln!(
                    "still in one long step; Ctrl-C once more leaves, and the session with it"
                );
                Some(Instant::now())
            }
            Answer::Leave => tty.exit(130),
        }
    }
}

/// The answer to a Ctrl-C, by whether an earlier one is still `unheard`, whether there is a
/// `session` to lose, and whether leaving was `offered` a moment ago.
fn answer(unheard: bool, session: bool, offered: bool) -> Answer {
    match (unheard, session && !offered) {
        (false, _) => Answer::Stop,
        (true, true) => Answer::Offer,
        (true, false) => Answer::Leave,
    }
}

/// Marks the end of the work when dropped.
pub struct Busy<'a>(&'a Work);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_is_offered_before_it_happens() {
        for (unheard, session, offered, expected) in [
            (false, true, false, Answer::Stop),
            (false, true, true, Answer::Stop),
            (true, true, false, Answer::Offer),
            (true, true, true, Answer::Leave),
            (false, false, false, Answer::Stop),
            (true, false, false, Answer::Leave),
        ] {
            assert_eq!(answer(unheard, session, offered), expected);
        }
    }
}
