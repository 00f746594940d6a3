//! The program on a pseudo-terminal and behind a pipe, for the tests of what a person meets.

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The program under test.
pub const RWKV: &str = env!("CARGO_BIN_EXE_rwkv-tested");
pub const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
/// Loading a model on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);
/// After so long nothing more comes from a program that has ended.
const QUIET: Duration = Duration::from_millis(500);

/// An empty folder, removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("rwkv-repl-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a terminal received, and what it shows now.
struct Received {
    bytes: Vec<u8>,
    parser: vt100::Parser,
}

/// Columns and rows of a terminal.
type Size = (u16, u16);

/// The program and the terminal it runs on.
pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    master: Box<dyn MasterPty + Send>,
    received: Arc<Mutex<Received>>,
    reader: JoinHandle<()>,
    pub home: Folder,
}

impl Terminal {
    pub fn open(args: &[&str]) -> Self {
        Self::open_in(Folder::new(), args)
    }

    /// The program in a home where there is something already.
    pub fn open_in(home: Folder, args: &[&str]) -> Self {
        let mut command = CommandBuilder::new(RWKV);
        command.args(args);
        let terminal = Self::start(home, command);
        terminal.wait_prompt("rwkv> ");
        terminal
    }

    /// Any program, such as a shell, on 80 columns and 24 rows.
    pub fn start(home: Folder, mut command: CommandBuilder) -> Self {
        let own = ["TERM", "NO_COLOR", "RWKV_PLAIN"].map(|name| {
            let set = command.get_env(name) != std::env::var_os(name).as_deref();
            if set { name } else { "" }
        });
        let known = environment(&home.0).map(|(name, value)| (name, value.as_os_str().to_owned()));
        for (name, value) in known.chain([("TERM", "xterm-256color".into())]) {
            // What the test has set before wins.
            if !own.contains(&name) {
                command.env(name, value);
            }
        }
        Self::on((80, 24), home, command)
    }

    /// The program in full colour, with half blocks for pictures unless `variables` say otherwise.
    pub fn painted(size: Size, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let home = Folder::new();
        let mut command = CommandBuilder::new(RWKV);
        command.args(args);
        environment(&home.0).for_each(|(name, value)| command.env(name, value));
        let known = [("TERM", "xterm-256color"), ("COLORTERM", "truecolor")];
        let others = ["TMUX", "KITTY_WINDOW_ID", "KONSOLE_VERSION", "TERM_PROGRAM"];
        let usual = known.into_iter().chain(others.map(|name| (name, "")));
        let usual = usual.chain([("RWKV_IMAGE", "blocks")]);
        for (name, value) in usual.chain(variables.iter().copied()) {
            command.env(name, value);
        }
        Self::on(size, home, command)
    }

    fn on((cols, rows): Size, home: Folder, mut command: CommandBuilder) -> Self {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        command.cwd(&home.0);
        let child = pair.slave.spawn_command(command).unwrap();
        let received = Received { bytes: Vec::new(), parser: empty_screen((cols, rows)) };
        let received = Arc::new(Mutex::new(received));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let heard = received.clone();
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                let mut heard = heard.lock().unwrap();
                heard.bytes.extend_from_slice(&bytes[..count]);
                heard.parser.process(&bytes[..count]);
            }
        });
        Self { child, keys, master: pair.master, received, reader, home }
    }

    /// Gives the terminal another size, as dragging its corner does.
    pub fn resize(&self, rows: u16, cols: u16) {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        self.master.resize(size).unwrap();
        let [rows, cols] = [rows, cols].map(|size| size.try_into().unwrap());
        self.received().parser.screen_mut().set_size(rows, cols);
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Types a line at a fresh prompt.
    pub fn enter(&mut self, line: &str) {
        self.wait_prompt("rwkv> ");
        self.press(&format!("{line}\r"));
        // Until the line is on the screen and the prompt there is not the one it was typed at.
        thread::sleep(Duration::from_millis(400));
    }

    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap()
    }

    /// The screen as it is now.
    pub fn screen(&self) -> vt100::Screen {
        self.received().parser.screen().clone()
    }

    pub fn text(&self) -> String {
        self.received().parser.screen().contents()
    }

    /// All bytes so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.received().bytes.clone()
    }

    /// Whether any letter on the screen has a colour.
    pub fn has_colours(&self) -> bool {
        let screen = self.screen();
        let (rows, columns) = screen.size();
        let (rows, columns) = (rows.get(), columns.get());
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let mut found = cells.filter_map(|(row, column)| screen.cell(row, column));
        found.any(|cell| cell.fgcolor() != vt100::Color::Default)
    }

    /// Waits until a line of the screen begins with `line`.
    pub fn wait(&self, line: &str) {
        self.wait_until(line, |text| text.lines().any(|shown| shown.starts_with(line)));
    }

    /// Waits until the cursor stands behind a fresh prompt.
    pub fn wait_prompt(&self, prompt: &str) {
        let fresh = |text: &str| text.trim_end().lines().last() == Some(prompt.trim_end());
        self.wait_until(prompt, fresh);
    }

    /// Waits until the screen has this text.
    pub fn wait_text(&self, part: &str) {
        self.wait_until(part, |text| text.contains(part));
    }

    /// Waits until the bytes so far have this text in them.
    pub fn wait_bytes(&self, part: &str) {
        let found = |bytes: &[u8]| bytes.windows(part.len()).any(|some| some == part.as_bytes());
        self.wait_until(part, |_| found(&self.bytes()));
    }

    /// Waits until the text of the screen is as it should be.
    pub fn wait_until(&self, what: &str, holds: impl Fn(&str) -> bool) {
        let start = Instant::now();
        while !holds(&self.text()) {
            assert!(start.elapsed() < PATIENCE, "no {what:?} in:\n{}", self.text());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends a session by Ctrl-D at a fresh prompt, whatever its name. Pressed any earlier, while
    /// the terminal still collects lines, the key would be lost.
    pub fn end(&mut self) {
        let fresh = |text: &str| text.trim_end().ends_with('>');
        self.wait_until("a fresh prompt", fresh);
        self.press(CTRL_D);
    }

    pub fn leave(mut self) -> u32 {
        self.end();
        self.code()
    }

    /// Waits until the program has ended and what it wrote was read.
    pub fn code(&mut self) -> u32 {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end:\n{}", self.text());
            thread::sleep(Duration::from_millis(10));
        };
        // The reader need not hear of the end: a program that another test began at the same moment
        // may hold this terminal open, too.
        let (mut count, mut since) = (self.bytes().len(), Instant::now());
        while !self.reader.is_finished() && since.elapsed() < QUIET {
            thread::sleep(Duration::from_millis(10));
            if self.bytes().len() != count {
                (count, since) = (self.bytes().len(), Instant::now());
            }
        }
        status.exit_code()
    }
}

/// A screen on which nothing is written.
pub fn empty_screen((cols, rows): Size) -> vt100::Parser {
    let size = |cells: u16| cells.try_into().expect("a terminal has a size");
    vt100::Parser::new(size(rows), size(cols), 0)
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// Its own home, a known locale, and nothing that decides about colour or width.
fn environment(home: &Path) -> impl Iterator<Item = (&'static str, &Path)> {
    let empty = ["NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "RWKV_PLAIN", "COLUMNS"];
    let known = [("RWKV_HOME", home), ("LC_ALL", Path::new("C.UTF-8"))];
    known.into_iter().chain(empty.map(|name| (name, Path::new(""))))
}

/// What the program writes to stdout and stderr, and its exit code.
pub fn pipe(folder: &Path, args: &[&str], input: &str) -> (String, String, i32) {
    let mut child = Command::new(RWKV)
        .args(args)
        .current_dir(folder)
        .envs(environment(folder))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read its stdin may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}
