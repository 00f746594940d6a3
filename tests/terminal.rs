//! The program on a pseudo-terminal and behind a pipe, for the tests of what a person meets.

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The program under test.
pub const RWKV: &str = env!("CARGO_BIN_EXE_rwkv-tested");
pub const CTRL_C: &str = "\x03";
pub const CTRL_D: &str = "\x04";
/// Loading a model on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(30);

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

/// The program on a terminal of 80 columns and 24 rows.
pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    master: Box<dyn MasterPty + Send>,
    screen: Arc<Mutex<vt100::Parser>>,
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

    /// Any program, such as a shell.
    pub fn start(home: Folder, mut command: CommandBuilder) -> Self {
        let own = ["TERM", "NO_COLOR", "RWKV_PLAIN"].map(|name| {
            let set = command.get_env(name) != std::env::var_os(name).as_deref();
            if set { name } else { "" }
        });
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        command.cwd(&home.0);
        let known = environment(&home.0).map(|(name, value)| (name, value.as_os_str().to_owned()));
        for (name, value) in known.chain([("TERM", "xterm-256color".into())]) {
            // What the test has set before wins.
            if !own.contains(&name) {
                command.env(name, value);
            }
        }
        let child = pair.slave.spawn_command(command).unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::default()));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let shown = screen.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                shown.lock().unwrap().process(&bytes[..count]);
            }
        });
        Self { child, keys, master: pair.master, screen, home }
    }

    /// Gives the terminal another size, as dragging its corner does.
    pub fn resize(&self, rows: u16, cols: u16) {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        self.master.resize(size).unwrap();
        let [rows, cols] = [rows, cols].map(|size| size.try_into().unwrap());
        self.screen.lock().unwrap().screen_mut().set_size(rows, cols);
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    pub fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Whether any letter on the screen has a colour.
    pub fn has_colours(&self) -> bool {
        let parser = self.screen.lock().unwrap();
        let (rows, columns) = parser.screen().size();
        let (rows, columns) = (rows.get(), columns.get());
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let mut found = cells.filter_map(|(row, column)| parser.screen().cell(row, column));
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

    /// Waits until the text of the screen is as it should be.
    pub fn wait_until(&self, what: &str, holds: impl Fn(&str) -> bool) {
        let start = Instant::now();
        while !holds(&self.text()) {
            assert!(start.elapsed() < PATIENCE, "no {what:?} in:\n{}", self.text());
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn leave(mut self) -> u32 {
        self.press(CTRL_D);
        self.code()
    }

    pub fn code(&mut self) -> u32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.exit_code();
            }
            assert!(start.elapsed() < PATIENCE, "it does not end:\n{}", self.text());
            thread::sleep(Duration::from_millis(10));
        }
    }
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
