//! The program as a person at a terminal and as a pipe meet it.

use crate::terminal::{CTRL_C, Folder, RWKV, Terminal, pipe};
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

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
