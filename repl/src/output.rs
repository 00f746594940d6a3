//! The one way out: results to stdout, the rest to stderr, each on its own lines.

use crate::gallery::Gallery;
use crate::progress::Lamp;
use crate::term::Screen;
use crate::tty::Tty;
use rwkv_scripting::{Failure, Output, View};
use std::cell::Cell;
use std::io::{self, ErrorKind, Write};

/// Exit code after the reader of our output went away.
const BROKEN_PIPE: i32 = 141;

/// Writes for the whole program. A closed pipe ends the program quietly with 141.
pub struct Writer {
    out: Cell<Screen>,
    err: Cell<Screen>,
    tty: Tty,
    /// How pictures are shown.
    pub gallery: Gallery,
    /// Shows how far long works are.
    pub lamp: Lamp,
    /// Whether stdout stands inside a line of model text.
    inside: Cell<bool>,
}

impl Writer {
    /// A writer for two screens; `tty` is restored before a broken pipe ends the program.
    pub fn new(out: Screen, err: Screen, tty: Tty, gallery: Gallery) -> Self {
        let lamp = Lamp::new(&err);
        let (out, err) = (Cell::new(out), Cell::new(err));
        Self { out, err, tty, gallery, lamp, inside: Cell::new(false) }
    }

    /// What stdout can show.
    pub fn screen(&self) -> Screen {
        self.out.get()
    }

    /// Switches the plain style of screen readers on or off.
    pub fn set_plain(&self, plain: bool) {
        self.out.set(self.out.get().in_style(plain));
        self.err.set(self.err.get().in_style(plain));
    }

    /// Takes what a session says.
    pub fn send(&self, output: Output) {
        match output {
            Output::Print(line) => self.line(line),
            Output::Stream(piece) => self.stream(piece),
            Output::View(view) => self.view(view),
            Output::Note(text) => self.note(text),
        }
    }

    /// One line, or several, to stdout.
    pub fn line(&self, text: &str) {
        self.fresh_line();
        self.write(format!("{text}\n").as_bytes());
    }

    /// Text to stdout as it is.
    pub fn raw(&self, text: &str) {
        self.write(text.as_bytes());
    }

    /// A value to stdout.
    pub fn view(&self, view: &View) {
        let shown = self.lamp.aside(|| self.gallery.bytes(view, &self.screen()));
        if !shown.is_empty() {
            self.fresh_line();
            self.write(&shown);
        }
    }

    /// A line to stderr.
    pub fn note(&self, text: &str) {
        if self.screen().terminal {
            self.fresh_line();
        }
        // Without stderr there is nobody left to tell.
        self.lamp.aside(|| {
            let _ = writeln!(io::stderr().lock(), "{text}");
        });
    }

    /// A line to stderr that shall not draw the eye.
    pub fn aside(&self, text: &str) {
        match self.err.get().colour {
            true => self.note(&format!("\x1b[90m{text}\x1b[0m")),
            false => self.note(text),
        }
    }

    /// What went wrong, to stderr.
    pub fn failure(&self, failure: &Failure) {
        self.note(&failure.draw(&self.err.get().canvas()));
    }

    /// Ends a line of model text that was left open.
    pub fn fresh_line(&self) {
        if self.inside.replace(false) {
            self.lamp.open(false);
            self.write(b"\n");
        }
    }

    /// A session passes no control characters on, so the piece cannot command the terminal.
    fn stream(&self, piece: &str) {
        if !piece.is_empty() {
            let open = !piece.ends_with('\n');
            // A bar would be drawn into the line.
            self.lamp.open(open);
            self.inside.set(open);
            self.write(piece.as_bytes());
        }
    }

    fn write(&self, bytes: &[u8]) {
        let written = self.lamp.aside(|| {
            let mut out = io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        });
        let Err(error) = written else { return };
        if error.kind() == ErrorKind::BrokenPipe {
            self.tty.exit(BROKEN_PIPE);
        }
        let _ = writeln!(io::stderr().lock(), "error: stdout takes no more text: {error}.");
        self.tty.exit(1);
    }
}
