//! Questions about pictures, as a person at a terminal and as a pipe meet them.

use crate::terminal::{Folder, RWKV, Terminal, pipe};
use portable_pty::CommandBuilder;
use rwkv_engine::image::Image;
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use vt100::Color;

/// The colours of the four quarters of the picture, row after row.
const QUARTERS: [[u8; 3]; 4] = [[220, 40, 40], [40, 160, 60], [50, 80, 220], [235, 215, 50]];
const SIDE: usize = 80;
const MODEL: [&str; 4] = ["--model", "toy:visualrwkv7", "--max-tokens", "3"];

/// A home with a picture of four quarters.
fn home(name: &str) -> Folder {
    let pixel = |i: usize| QUARTERS[2 * (i / SIDE / (SIDE / 2)) + i % SIDE / (SIDE / 2)];
    let pixels = (0..SIDE * SIDE).flat_map(pixel).collect();
    let image = Image::new(name, SIDE, SIDE, pixels).unwrap();
    let home = Folder::new();
    fs::write(home.0.join(name), image.png().unwrap()).unwrap();
    home
}

/// A terminal in which the question about the picture was asked.
fn asked(protocol: &str) -> Terminal {
    let mut command = CommandBuilder::new(RWKV);
    command.args(["ask", "quarters.png", "What is it?", "--image-protocol", protocol]);
    command.args(MODEL);
    command.env("COLORTERM", "truecolor");
    let mut terminal = Terminal::start(home("quarters.png"), command);
    assert_eq!(terminal.code(), 0, "{}", terminal.text());
    terminal
}

/// The middles of the quarters of a picture of this size.
fn middles(width: usize, height: usize) -> [[usize; 2]; 4] {
    let at = |i: usize, side: usize| side * (2 * i + 1) / 4;
    [0, 1, 2, 3].map(|quarter| [at(quarter % 2, width), at(quarter / 2, height)])
}

fn assert_quarters(
    what: &str,
    [width, height]: [usize; 2],
    colour: impl Fn(usize, usize) -> [u8; 3],
) {
    for (expected, [x, y]) in QUARTERS.into_iter().zip(middles(width, height)) {
        let found = colour(x, y);
        let far = found.iter().zip(expected).map(|(a, b)| a.abs_diff(b)).max().unwrap();
        // Sixels have few colours, in percent.
        assert!(far <= 8, "{what} at {x}, {y}: {found:?}, not {expected:?}");
    }
}

#[test]
fn half_blocks_are_the_picture() {
    let terminal = asked("blocks");
    let screen = terminal.screen();
    let lines = screen.contents();
    let rows: Vec<usize> =
        (0..24).filter(|row| lines.lines().nth(*row).unwrap_or("").contains('▀')).collect();
    assert!(rows.len() >= 10, "{lines}");
    let columns = lines.lines().nth(rows[0]).unwrap().chars().filter(|c| *c == '▀').count();
    let rgb = |colour: Color| match colour {
        Color::Rgb(r, g, b) => [r, g, b],
        other => panic!("{other:?}"),
    };
    let half = |x: usize, y: usize| {
        let cell = screen.cell((rows[0] + y / 2) as u16, x as u16).unwrap();
        rgb(if y.is_multiple_of(2) { cell.fgcolor() } else { cell.bgcolor() })
    };
    assert_quarters("half blocks", [columns, 2 * rows.len()], half);
}

#[test]
fn kitty_is_sent_the_picture() {
    let bytes = String::from_utf8_lossy(&asked("kitty").bytes()).into_owned();
    let parts = bytes.split("\x1b_G").skip(1).map(|part| part.split("\x1b\\").next().unwrap());
    let data: String = parts.map(|part| part.split_once(';').unwrap().1).collect();
    let image = Image::of_url(&format!("data:image/png;base64,{data}")).unwrap();
    assert_quarters("kitty", [image.width, image.height], |x, y| {
        let at = (y * image.width + x) * 3;
        image.pixels[at..at + 3].try_into().unwrap()
    });
}

#[test]
fn sixels_are_the_picture() {
    let bytes = String::from_utf8_lossy(&asked("sixel").bytes()).into_owned();
    let start = bytes.find("\x1bP").expect("a sixel picture");
    let data = bytes[start..].split_once('q').unwrap().1.split("\x1b\\").next().unwrap();
    let pixels = of_sixels(data);
    let (width, height) = pixels.keys().fold((0, 0), |(w, h), (x, y)| (w.max(x + 1), h.max(y + 1)));
    assert!(width >= 40 && height >= 40, "{width} x {height}");
    assert_quarters("sixel", [width, height], |x, y| pixels[&(x, y)]);
}

/// The pixels of sixel data: `#n;2;r;g;b` names a colour in percent, `#n` chooses it, `!n` repeats,
/// `$` goes back to the left, `-` to the next six rows, and other letters are six pixels each.
fn of_sixels(data: &str) -> BTreeMap<(usize, usize), [u8; 3]> {
    let (mut pixels, mut palette) = (BTreeMap::new(), BTreeMap::new());
    let (mut x, mut band, mut colour, mut times) = (0, 0, 0, 1);
    let mut rest = data.chars().peekable();
    let numbers = |rest: &mut std::iter::Peekable<std::str::Chars>| {
        let mut text = String::new();
        while let Some(c) = rest.next_if(|c| c.is_ascii_digit() || *c == ';') {
            text.push(c);
        }
        text.split(';').filter_map(|n| n.parse::<usize>().ok()).collect::<Vec<_>>()
    };
    while let Some(c) = rest.next() {
        match c {
            '#' => match numbers(&mut rest)[..] {
                [number, 2, r, g, b] => {
                    palette.insert(number, [r, g, b].map(|part| (part * 255 / 100) as u8));
                    colour = number;
                }
                [number] => colour = number,
                ref other => panic!("{other:?}"),
            },
            '"' => drop(numbers(&mut rest)),
            '!' => times = numbers(&mut rest)[0],
            '$' => x = 0,
            '-' => (x, band) = (0, band + 1),
            '?'..='~' => {
                let bits = c as usize - '?' as usize;
                for column in x..x + times {
                    for row in (0..6).filter(|row| bits >> row & 1 == 1) {
                        pixels.insert((column, band * 6 + row), palette[&colour]);
                    }
                }
                (x, times) = (x + times, 1);
            }
            _ => {}
        }
    }
    pixels
}

#[test]
fn the_demo_answers_with_no_model_on_disk() {
    let known = [
        ("What colour is the circle?", "red"),
        ("What shape is the blue object?", "square"),
        ("How many objects are there?", "three"),
        ("Is there a green triangle?", "yes"),
        ("Is there a yellow circle?", "no"),
        ("Which is larger, the circle or the square?", "the circle"),
    ];
    let questions: String = known.iter().map(|(question, _)| format!("{question}\n")).collect();
    let (out, err, code) = pipe(&Folder::new().0, &["ask", "sample:shapes"], &questions);
    assert_eq!((err.as_str(), code), ("", 0));
    let answers: Vec<_> = known.iter().map(|(_, answer)| *answer).collect();
    assert_eq!(out.lines().collect::<Vec<_>>(), answers);
}

#[test]
fn a_pipe_gets_answers_only_a_line_for_each_question() {
    let home = home("a b.png");
    let ask = |args: &[&str], input: &[u8]| {
        let mut child = Command::new(RWKV)
            .args([&["ask"], args, &MODEL].concat())
            .current_dir(&home.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input).unwrap();
        let out = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&out.stdout), text(&out.stderr), out.status.code())
    };
    let (one, err, code) = ask(&["a b.png", "What?"], b"");
    assert_eq!((one.lines().count(), err.as_str(), code), (1, "", Some(0)));
    let (two, _, _) = ask(&["a b.png"], b"What?\n\nWhat?\n");
    assert_eq!(two.lines().count(), 2);
    assert_eq!(two.lines().next(), one.lines().next(), "the same question");
    let bytes = fs::read(home.0.join("a b.png")).unwrap();
    assert_eq!(ask(&["-", "What?"], &bytes).0, one);
    let url = format!("data:image/png;base64,{}", rwkv_engine::image::base64(&bytes));
    assert_eq!(ask(&[&url, "What?"], b"").0, one);
    for (args, said) in [
        (&["none.png", "What?"][..], "there is no picture none.png"),
        (&["-", "What?"], "what came through the pipe is empty"),
        (&["a b.png", "What?", "--vision", "none"], "it takes no other tower"),
    ] {
        let (out, err, code) = ask(args, b"");
        assert!(out.is_empty() && err.contains(said) && code == Some(1), "{args:?}: {err}");
    }
}

#[test]
fn a_picture_is_shown_to_the_chat() {
    let mut terminal = Terminal::open_in(home("my picture.png"), &["--image-protocol", "blocks"]);
    terminal.press("/image my");
    terminal.press("\t\r");
    terminal.wait_text("my picture.png, 80 x 80, is `img`");
    terminal.enter("img");
    terminal.wait_text("Image 80 x 80");
    terminal.enter("/load toy:visualrwkv7");
    terminal.enter("/image \"my picture.png\"");
    terminal.wait_text("my picture.png, 80 x 80, is 16 rows");
    terminal.enter("chat.max_tokens = 2");
    terminal.enter("> What is it?");
    terminal.enter("chat.turns[0].images[0].ends_with(\"my picture.png\")");
    terminal.wait("true");
    terminal.enter("/image none.png");
    terminal.wait_text("there is no picture none.png");
    assert_eq!(terminal.leave(), 0);
    // The commands are code, which runs again.
    let home = home("a.png");
    let typed = "/load toy:visualrwkv7\n/image a.png\n> What?\nchat.turns.len()\n/save all.rhai\n";
    let (said, err, _) = pipe(&home.0, &[], typed);
    let (again, failure, code) = pipe(&home.0, &["run", "all.rhai"], "");
    assert_eq!(code, 0, "{err} {failure}");
    assert_eq!(again.lines().last(), said.lines().last());
    let (_, err, _) = pipe(&home.0, &[], "/chat\n/image a.png\n");
    assert!(err.contains("cannot be shown pictures"), "{err}");
}
