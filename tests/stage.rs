//! The program on a terminal, for tests that look at colours, raw bytes and what is left out.

use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};
use vt100::Screen;

/// Longer than anything that is waited for takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a terminal received, and what it shows now.
struct Received {
    bytes: Vec<u8>,
    parser: vt100::Parser,
}

/// A program and the terminal it runs on.
pub struct Stage {
    child: Box<dyn Child + Send + Sync>,
    keys: Arc<Mutex<Box<dyn Write + Send>>>,
    received: Arc<Mutex<Received>>,
    home: PathBuf,
}

impl Stage {
    /// Starts the program on a terminal of this many columns and rows, in colour; `environment`
    /// comes on top.
    pub fn open((cols, rows): (u16, u16), args: &[&str], environment: &[(&str, &str)]) -> Self {
        let home = new_home();
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_rwkv-tested"));
        command.args(args);
        command.cwd(&home);
        let known = [("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), ("LC_ALL", "C.UTF-8")];
        let empty = ["NO_COLOR", "FORCE_COLOR", "CLICOLOR", "RWKV_PLAIN", "COLUMNS", "TMUX"];
        let others = ["KITTY_WINDOW_ID", "KONSOLE_VERSION", "TERM_PROGRAM"];
        let empty = empty.into_iter().chain(others).map(|name| (name, ""));
        let usual = known.into_iter().chain(empty).chain([("RWKV_IMAGE", "blocks")]);
        for (name, value) in usual.chain(environment.iter().copied()) {
            command.env(name, value);
        }
        command.env("RWKV_HOME", &home);
        let child = pair.slave.spawn_command(command).unwrap();
        let keys = Arc::new(Mutex::new(pair.master.take_writer().unwrap()));
        let received = Received { bytes: Vec::new(), parser: terminal(rows, cols) };
        let received = Arc::new(Mutex::new(received));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let heard = received.clone();
        thread::spawn(move || {
            // The terminal lives as long as its reader.
            let _master = pair.master;
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                let mut heard = heard.lock().unwrap();
                heard.bytes.extend_from_slice(&bytes[..count]);
                heard.parser.process(&bytes[..count]);
            }
        });
        Self { child, keys, received, home }
    }

    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap()
    }

    /// Types keys, or answers what the program asks the terminal.
    pub fn press(&self, keys: &str) {
        let mut keyboard = self.keys.lock().unwrap();
        keyboard.write_all(keys.as_bytes()).unwrap();
        keyboard.flush().unwrap();
    }

    /// Types a line at a fresh prompt.
    pub fn enter(&self, line: &str) {
        self.wait_prompt();
        self.press(&format!("{line}\r"));
        // Until the line is on the screen and the prompt there is not the one it was typed at.
        thread::sleep(Duration::from_millis(400));
    }

    /// The screen as it is now.
    pub fn screen(&self) -> Screen {
        self.received().parser.screen().clone()
    }

    /// All bytes so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.received().bytes.clone()
    }

    /// Waits until the bytes so far have this text in them.
    pub fn wait_bytes(&self, text: &str) {
        let found = || self.bytes().windows(text.len()).any(|part| part == text.as_bytes());
        self.wait_until(text, found);
    }

    /// Waits until the screen has this text.
    pub fn wait_text(&self, text: &str) {
        self.wait_until(text, || self.screen().contents().contains(text));
    }

    /// Waits for a fresh prompt.
    pub fn wait_prompt(&self) {
        self.wait_until("a prompt", || {
            let text = self.screen().contents();
            let last = text.trim_end().lines().last().unwrap_or_default();
            ["rwkv>", "chat>"].contains(&last.trim_end())
        });
    }

    /// Waits for the end of the program.
    pub fn wait_end(&mut self) {
        let start = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < PATIENCE, "no end:\n{}", self.screen().contents());
            thread::sleep(Duration::from_millis(20));
        }
        // The reader may be a little behind.
        thread::sleep(Duration::from_millis(100));
    }

    fn wait_until(&self, what: &str, holds: impl Fn() -> bool) {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < PATIENCE, "no {what:?} in:\n{}", self.screen().contents());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

fn new_home() -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let home = std::env::temp_dir().join(format!("rwkv-stage-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&home).unwrap();
    home
}

/// An empty screen.
pub fn terminal(rows: u16, cols: u16) -> vt100::Parser {
    let size = |cells: u16| cells.try_into().expect("a terminal has a size");
    vt100::Parser::new(size(rows), size(cols), 0)
}
