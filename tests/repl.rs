//! The program as a person at a terminal and as a pipe meet it.

use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const RWKV: &str = env!("CARGO_BIN_EXE_rwkv-tested");
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
/// Loading a model on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// An empty folder, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
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
struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    screen: Arc<Mutex<vt100::Parser>>,
    home: Folder,
}

impl Terminal {
    fn open(args: &[&str]) -> Self {
        let home = Folder::new();
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(RWKV);
        command.args(args);
        command.cwd(&home.0);
        for (name, value) in environment(&home.0) {
            command.env(name, value);
        }
        command.env("TERM", "xterm-256color");
        let child = pair.slave.spawn_command(command).unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::default()));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let shown = screen.clone();
        thread::spawn(move || {
            // The terminal lives as long as its reader.
            let _master = pair.master;
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                shown.lock().unwrap().process(&bytes[..count]);
            }
        });
        let terminal = Self { child, keys, screen, home };
        terminal.wait_prompt("rwkv> ");
        terminal
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Waits until a line of the screen begins with `line`.
    fn wait(&self, line: &str) {
        self.wait_until(line, |text| text.lines().any(|shown| shown.starts_with(line)));
    }

    /// Waits until the cursor stands behind a fresh prompt.
    fn wait_prompt(&self, prompt: &str) {
        let fresh = |text: &str| text.trim_end().lines().last() == Some(prompt.trim_end());
        self.wait_until(prompt, fresh);
    }

    fn wait_until(&self, what: &str, holds: impl Fn(&str) -> bool) {
        let start = Instant::now();
        while !holds(&self.text()) {
            assert!(start.elapsed() < PATIENCE, "no {what:?} in:\n{}", self.text());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn leave(mut self) -> u32 {
        self.press(CTRL_D);
        self.code()
    }

    fn code(&mut self) -> u32 {
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
fn pipe(folder: &Path, args: &[&str], input: &str) -> (String, String, i32) {
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

#[test]
fn the_prompt_opens_and_ctrl_d_leaves() {
    let terminal = Terminal::open(&[]);
    assert!(terminal.text().starts_with("rwkv-lab "), "{}", terminal.text());
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn enter_continues_what_is_incomplete() {
    let mut terminal = Terminal::open(&[]);
    terminal.press("let x = {\r100\r+ 11 }\r");
    terminal.press("x * 3\r");
    terminal.wait("333");
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn pasted_lines_all_run() {
    let mut terminal = Terminal::open(&[]);
    terminal.press("let a = 111\rlet b = a * 2\ra + b\r");
    terminal.wait("333");
    terminal.press("\x1b[200~let c = b * 2\n/history let c\nc + b\x1b[201~\r");
    terminal.wait("   4  let c = b * 2");
    terminal.wait("666");
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn ctrl_c_stops_the_work_and_keeps_the_session() {
    let mut terminal = Terminal::open(&[]);
    for (round, endless) in ["loop {}", "try { loop {} } catch { }"].into_iter().enumerate() {
        terminal.press(&format!("let kept = {round}; print(\"begun {round}\"); {endless}\r"));
        terminal.wait(&format!("begun {round}"));
        terminal.press(CTRL_C);
        terminal.wait_prompt("rwkv> ");
        terminal.press("print(\"kept \" + kept)\r");
        terminal.wait(&format!("kept {round}"));
    }
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn ctrl_c_at_the_prompt_drops_the_line() {
    let mut terminal = Terminal::open(&[]);
    terminal.press("let x = {\rdropped");
    terminal.wait("dropped");
    terminal.press(CTRL_C);
    terminal.wait_prompt("rwkv> ");
    terminal.press("111 * 3\r");
    terminal.wait("333");
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn keys_typed_ahead_wait_for_the_prompt() {
    let mut terminal = Terminal::open(&[]);
    terminal.press("print(\"begun\"); for i in 0..300000 { i * i }\r");
    terminal.wait("begun");
    terminal.press("111 * 3\r444 ");
    terminal.wait("333");
    terminal.press("+ 111\r");
    terminal.wait("555");
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn chat_mode_talks_and_ctrl_d_steps_out() {
    let mut terminal = Terminal::open(&[]);
    terminal.press("/chat\r");
    terminal.wait_prompt("chat> ");
    terminal.press("hello there\r");
    terminal.wait("chat> hello there");
    terminal.wait_prompt("chat> ");
    terminal.press(CTRL_D);
    terminal.wait_prompt("rwkv> ");
    terminal.press("111 * 3\r");
    terminal.wait("333");
    let history = fs::read_to_string(terminal.home.0.join("history")).unwrap();
    assert!(history.contains("/chat") && history.contains("111 * 3"), "{history}");
    assert!(!history.contains("hello there"), "talk is private: {history}");
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn the_history_is_private_and_skips_blanks() {
    use std::os::unix::fs::PermissionsExt;
    let mut terminal = Terminal::open(&[]);
    terminal.press(" 111 * 3\r");
    terminal.press("111 * 5\r");
    terminal.wait("555");
    let path = terminal.home.0.join("history");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!fs::read_to_string(&path).unwrap().contains("111 * 3"));
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn a_pipe_gets_plain_results_only() {
    let folder = Folder::new();
    let input = "let a = 20\n{\n  a + 1\n}\nprint(\"x\")\n// a note\n/frobnicate\na * 2;\n";
    let (out, err, code) = pipe(&folder.0, &[], input);
    assert_eq!(out, "21\nx\n");
    assert_eq!(err, "error: there is no command /frobnicate; /help lists them.\n");
    assert_eq!(code, 1);
}

#[test]
fn help_fits_the_screen() {
    let folder = Folder::new();
    let (out, err, code) = pipe(&folder.0, &[], "/help\n");
    assert_eq!((err.as_str(), code), ("", 0));
    assert!(out.contains("/save FILE") && out.contains("plot::"), "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    let (out, _, _) = pipe(&folder.0, &["help", "run"], "");
    assert!(out.contains("Usage: rwkv run"), "{out}");
    let (out, _, _) = pipe(&folder.0, &["help", "seed"], "");
    assert!(out.contains("seed(") && out.contains("random"), "{out}");
}

#[test]
fn exit_codes_tell_what_happened() {
    let folder = Folder::new();
    fs::write(folder.0.join("good.rhai"), "#!/usr/bin/env -S rwkv run\nprint(args(0, \"-\"));")
        .unwrap();
    fs::write(folder.0.join("bad.rhai"), "let x = ;").unwrap();
    for (args, input, expected, code) in [
        (&["-e", "1 + 2"][..], "", "3\n", 0),
        (&["-e", "1 + 2;"], "", "", 0),
        (&["run", "-e", "args(0, \"none\")", "--", "one"], "", "\"one\"\n", 0),
        (&["run", "-"], "print(5)", "5\n", 0),
        (&["run", "good.rhai"], "", "-\n", 0),
        (&["run", "good.rhai", "word"], "", "word\n", 0),
        (&["run", "good.rhai", "--", "--word"], "", "--word\n", 0),
        (&["run", "--check", "good.rhai"], "", "", 0),
        (&["run", "--check", "bad.rhai"], "", "", 1),
        (&["run", "bad.rhai"], "", "", 1),
        (&["run", "-e", "throw \"no\""], "", "", 1),
        (&["run", "-"], "exit(7)", "", 7),
        (&["-e", "exit(7)"], "", "", 7),
        (&[], "exit(7)\nprint(1)", "", 7),
        (&["run", "missing.rhai"], "", "", 2),
        (&["frobnicate"], "", "", 2),
        (&["--device", "abacus"], "", "", 2),
    ] {
        let (out, err, found) = pipe(&folder.0, args, input);
        assert_eq!((out.as_str(), found), (expected, code), "{args:?}: {err}");
        assert_eq!(err.is_empty(), matches!(code, 0 | 7), "{args:?}: {err}");
    }
}

#[test]
fn a_saved_session_says_the_same_again() {
    let folder = Folder::new();
    let input = "let a = 20 // twenty\na + 1 // shown\nfn twice(x) { 2 * x }\nfail()\n\
                 let m = #{ k: twice(a) }; m.k\nans + 1\nprint(`${a}`)\na;\n/save saved.rhai\n";
    let (said, err, _) = pipe(&folder.0, &["--seed", "3"], input);
    assert!(err.contains("wrote 7 inputs to saved.rhai"), "{err}");
    let (again, err, code) = pipe(&folder.0, &["run", "saved.rhai"], "");
    assert_eq!((again.as_str(), code), (said.as_str(), 0), "{err}");
    let (_, err, code) = pipe(&folder.0, &[], "1\n/save saved.rhai\n");
    assert!(code == 1 && err.contains("/save! replaces it"), "{err}");
}

#[test]
fn a_saved_talk_says_the_same_again() {
    let folder = Folder::new();
    let input = "> Once upon a time\n/undo\n/regen\n> Once\n/regen\n/save talk.rhai\n";
    let (said, err, _) = pipe(&folder.0, &["--seed", "3"], input);
    assert!(err.starts_with("error: there is no answer yet"), "{err}");
    let (again, err, code) = pipe(&folder.0, &["run", "talk.rhai"], "");
    assert_eq!((timeless(&again), code), (timeless(&said), 0), "{err}");
    assert!(again.contains(" tokens/s"), "{again}");
}

/// Without the numbers that differ from run to run.
fn timeless(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(" tokens/s") {
        Some((before, after)) => format!("{}{after}\n", before.rsplit_once(' ').unwrap().0),
        None => format!("{line}\n"),
    });
    lines.collect()
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let mut child = Command::new(RWKV)
        .args(["run", "-e", "for i in 0..1000000 { print(i) }"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut bytes = [0; 4];
    child.stdout.take().unwrap().read_exact(&mut bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((&bytes, output.status.code()), (b"0\n1\n", Some(141)));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn an_interrupted_script_ends_with_130() {
    let mut child = Command::new(RWKV)
        .args(["run", "-e", "print(1); loop {}"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 2]).unwrap();
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
