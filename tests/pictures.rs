//! Pictures and progress as a terminal receives them.

use crate::terminal::Terminal;
use std::process::Command;
use vt100::Color;

/// Six runs of 0.4 seconds each.
const SLOW: &str =
    "bench(|| { let t = timestamp(); while t.elapsed < 0.4 {} }, #{ warmup: 0, iters: 6 }).n";
const SIZE: (u16, u16) = (80, 24);

#[test]
fn half_blocks_have_the_colours_of_the_numbers() {
    let terminal =
        Terminal::painted(SIZE, &["-e", "plot::heatmap([[0, 1], [1, 0]], #{ height: 1 })"], &[]);
    terminal.wait_text("▀");
    terminal.wait_text(" 1");
    let screen = terminal.screen();
    let row = screen.contents().lines().position(|line| line.contains('▀')).unwrap() as u16;
    let cells = (0..80).filter_map(|column| screen.cell(row, column));
    let cells: Vec<_> = cells.filter(|cell| cell.contents() == "▀").collect();
    let (dark, light) = (Color::Rgb(68, 1, 84), Color::Rgb(253, 231, 37));
    let colours: Vec<_> = cells.iter().map(|cell| (cell.fgcolor(), cell.bgcolor())).collect();
    assert_eq!(colours, [(dark, light), (light, dark)], "{}", screen.contents());
}

#[test]
fn a_mute_terminal_gets_half_blocks_and_keeps_what_was_typed() {
    let mut terminal = Terminal::painted(SIZE, &[], &[("RWKV_IMAGE", "auto")]);
    terminal.wait_prompt("rwkv> ");
    terminal.press("plot::heatmap([[0, 1]])\rlet kept = 41\rkept + 1\r111 * ");
    terminal.wait_text("\n42");
    terminal.wait_text("rwkv> 111 *");
    terminal.press("5\r");
    terminal.wait_text("\n555");
    assert!(terminal.text().contains('▀'));
    terminal.press("plot::bar([\"a\"], [1])\r");
    terminal.wait_text("█ 1");
    let asked = terminal.bytes().windows(3).filter(|part| part == b"\x1b[c").count();
    assert_eq!(asked, 1, "one question for the whole session");
}

#[test]
fn a_terminal_that_answers_gets_pictures() {
    for (answer, begin) in [
        ("\x1b_Gi=31;OK\x1b\\\x1b[?62;4c", "\x1b_Ga=T,f=100"),
        ("\x1b[?62;4;22c", "\x1bP"),
        ("\x1b[?62;22c", "▀"),
    ] {
        let mut terminal = Terminal::painted(SIZE, &[], &[("RWKV_IMAGE", "auto")]);
        terminal.enter("plot::heatmap([[0, 1]]); 1 + 1");
        terminal.press("plot::heatmap([[0, 1]])\r");
        terminal.wait_bytes("\x1b[c");
        terminal.press(answer);
        terminal.wait_bytes(begin);
        terminal.press("111 * 5\r");
        terminal.wait_text("555");
        assert!(!terminal.text().contains("62;"), "{}", terminal.text());
    }
}

#[test]
fn the_environment_and_the_option_decide_without_a_question() {
    for (args, environment, begin) in [
        (&["--image-protocol", "iterm"][..], &[("TERM", "xterm-kitty")][..], "\x1b]1337;File="),
        (&[], &[("TERM", "xterm-kitty"), ("RWKV_IMAGE", "auto")], "\x1b_Ga=T"),
        (&[], &[("TERM_PROGRAM", "WezTerm"), ("RWKV_IMAGE", "auto")], "\x1b]1337;File="),
        (&[], &[("TMUX", "1"), ("KITTY_WINDOW_ID", "1"), ("RWKV_IMAGE", "auto")], "▀"),
        (&["--image-protocol", "kitty"], &[("NO_COLOR", "1")], "░"),
        (&["--image-protocol", "kitty", "--plain"], &[], "0  0.5000"),
    ] {
        let code = ["-e", "plot::heatmap([[0, 0.5, 0.25, 1]])"];
        let mut terminal = Terminal::painted(SIZE, &[args, &code].concat(), environment);
        terminal.code();
        let bytes = String::from_utf8_lossy(&terminal.bytes()).into_owned();
        assert!(bytes.contains(begin), "{args:?} {environment:?}: {bytes:?}");
        assert!(!bytes.contains("\x1b[c"), "{args:?} {environment:?} asked");
    }
}

#[test]
fn long_works_show_a_bar_that_goes_away() {
    let mut terminal = Terminal::painted(SIZE, &["-e", SLOW], &[]);
    terminal.wait_text("measuring [");
    terminal.wait_text("left");
    terminal.code();
    assert_eq!(terminal.text().trim(), "6");
}

#[test]
fn short_works_show_nothing() {
    let quick = "bench(|| 1 + 1, #{ iters: 6 }).n";
    let mut terminal = Terminal::painted(SIZE, &["-e", quick], &[]);
    terminal.code();
    assert_eq!(String::from_utf8_lossy(&terminal.bytes()).trim(), "6");
}

#[test]
fn a_screen_reader_hears_of_every_tenth_and_a_pipe_of_none() {
    let mut terminal = Terminal::painted(SIZE, &["--plain", "-e", SLOW], &[]);
    terminal.code();
    let said = terminal.text();
    let tenths = said.lines().filter(|line| line.starts_with("measuring ") && line.ends_with(" %"));
    assert!(tenths.count() >= 2 && said.trim().ends_with('6'), "{said}");
    assert!(!terminal.bytes().contains(&0x1b), "no escape codes: {said:?}");
    let pipe = Command::new(env!("CARGO_BIN_EXE_rwkv-tested")).args(["-e", SLOW]).output().unwrap();
    assert_eq!((&pipe.stdout[..], &pipe.stderr[..]), (&b"6\n"[..], &b""[..]));
}
