//! Pictures of the program at work: lines are typed at a terminal, and its screen becomes an SVG.
//!
//! `cargo test --release --workspace captures -- --ignored` paints those in `scripts/pictures`
//! anew; look at them afterwards.

use crate::terminal::{Terminal, empty_screen};
use std::fmt::Write as _;
use std::path::Path;
use vt100::{Cell, Color, Screen};

/// What is typed for one picture.
struct Capture {
    /// Name of the file.
    name: &'static str,
    /// Columns and rows of the terminal.
    size: (u16, u16),
    /// Typed before the screen is cleared.
    before: &'static [&'static str],
    /// Typed and shown.
    lines: &'static [&'static str],
}

const CAPTURES: &[Capture] = &[
    Capture {
        name: "state",
        size: (88, 26),
        before: &[],
        lines: &[
            "let a = model.forward_gpt(\"Once upon a time there was a cat\").state",
            "a",
            "a[1].wkv",
        ],
    },
    Capture {
        name: "heatmap",
        size: (88, 30),
        before: &["let t = model.encode(\"Once upon a time there was a cat\")"],
        lines: &[
            "let wkv = model.forward_gpt(t).state[0].wkv",
            "let what = #{ title: \"what one head remembers\", x: \"key\", height: 16 }",
            "plot::heatmap(wkv[0], what)",
        ],
    },
    Capture {
        name: "attention",
        size: (88, 34),
        before: &["let t = model.encode(\"the cat sat on\")"],
        lines: &[
            "let map = model.attention_map(t, 1, #{ head: 0 });",
            "plot::heatmap(map, #{ title: \"what each letter reads\", labels: t })",
        ],
    },
    Capture {
        name: "error",
        size: (88, 24),
        before: &["let a = model.forward_gpt(\"Once\").state"],
        lines: &["a.summ()", "plot::line([1, 2], #{ titel: \"loss\" })"],
    },
    Capture { name: "lesson", size: (88, 52), before: &["/lesson 2", "", ""], lines: &["/next"] },
    Capture {
        name: "chat",
        size: (88, 30),
        before: &["> Mira puts the ball in the garden. Nela goes to the mill."],
        lines: &[
            "> Where is the ball?",
            "/jump 1",
            "> Where is Nela?",
            "/edit 1 Mira puts the ball in the tower.",
            "> Where is the ball?",
            "/tree",
        ],
    },
];

/// Pixels of a character, of the text in it, and around the screen.
const CELL: (usize, usize) = (9, 18);
const LETTERS: usize = 15;
const EDGE: usize = 16;
const BAR: usize = 34;

#[test]
#[ignore = "writes scripts/pictures"]
fn captures_are_painted_anew() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/pictures");
    std::fs::create_dir_all(&folder).unwrap();
    for capture in CAPTURES {
        let screen = typed(capture);
        let path = folder.join(format!("{}.svg", capture.name));
        std::fs::write(&path, svg(&screen, "rwkv")).unwrap();
    }
}

/// The screen after everything was typed.
fn typed(capture: &Capture) -> Screen {
    let mut terminal = Terminal::painted(capture.size, &["--seed", "1"], &[]);
    capture.before.iter().for_each(|line| terminal.enter(line));
    terminal.enter("/clear");
    capture.lines.iter().for_each(|line| terminal.enter(line));
    terminal.wait_prompt("rwkv> ");
    terminal.screen()
}

/// The screen as a window on a dark ground; rows below the last text are left out.
fn svg(screen: &Screen, title: &str) -> String {
    let (rows, cols) = screen.size();
    let (rows, cols) = (rows.get(), cols.get());
    let rows: Vec<Vec<&Cell>> =
        (0..rows).map(|row| (0..cols).filter_map(|col| screen.cell(row, col)).collect()).collect();
    let text = |row: &Vec<&Cell>| row.iter().map(|cell| cell.contents()).collect::<String>();
    let empty = |row: &Vec<&Cell>| ["", "rwkv>", "chat>"].contains(&text(row).trim());
    let used = rows.iter().rposition(|row| !empty(row)).map_or(1, |last| last + 1);
    let (width, height) = (usize::from(cols) * CELL.0 + 2 * EDGE, used * CELL.1 + BAR + EDGE);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"DejaVu Sans Mono, Menlo, Consolas, \
         monospace\" font-size=\"{LETTERS}\">\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"9\" fill=\"#181a1f\"/>\n"
    );
    for (at, fill) in ["#ff5f57", "#febc2e", "#28c840"].iter().enumerate() {
        let x = EDGE + 6 + at * 20;
        let _ = writeln!(svg, "<circle cx=\"{x}\" cy=\"17\" r=\"6\" fill=\"{fill}\"/>");
    }
    let middle = width / 2;
    let _ = writeln!(
        svg,
        "<text x=\"{middle}\" y=\"22\" text-anchor=\"middle\" fill=\"#8b909a\">{title}</text>"
    );
    for (row, cells) in rows.iter().take(used).enumerate() {
        line(&mut svg, cells, BAR + row * CELL.1);
    }
    svg + "</svg>\n"
}

/// A part of a row: from where, how high, and the colour of each cell there.
type Band<'a> = (usize, usize, &'a dyn Fn(&&Cell) -> Option<String>);

/// One row: first the grounds and blocks, which are rectangles, then the text above them.
fn line(svg: &mut String, cells: &[&Cell], top: usize) {
    let upper = |cell: &&Cell| match cell.contents() {
        "█" | "▀" => ink(cell),
        _ => ground(cell),
    };
    let lower = |cell: &&Cell| match cell.contents() {
        "█" | "▄" => ink(cell),
        _ => ground(cell),
    };
    let half = CELL.1 / 2;
    let plain = cells.iter().all(|cell| upper(cell) == lower(cell));
    let bands: &[Band] = if plain {
        &[(top, CELL.1, &upper)]
    } else {
        &[(top, half, &upper), (top + half, CELL.1 - half, &lower)]
    };
    for (y, height, colour) in bands {
        for (from, to, fill) in runs(cells, colour) {
            let (x, width) = (EDGE + from * CELL.0, (to - from) * CELL.0);
            let Some(fill) = fill else { continue };
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\" \
                 shape-rendering=\"crispEdges\"/>"
            );
        }
    }
    let style = |cell: &&Cell| {
        let drawn = ["█", "▀", "▄"].contains(&cell.contents());
        let blank = cell.contents().trim().is_empty() && !cell.is_wide_continuation();
        let colour = ink(cell).unwrap_or_else(|| "#d7dae0".into());
        (!drawn && !blank).then_some((colour, cell.bold(), cell.italic()))
    };
    for (from, to, style) in runs(cells, style) {
        let Some((fill, bold, italic)) = style else { continue };
        let text: String = cells[from..to].iter().map(|cell| cell.contents()).collect();
        let (x, y) = (EDGE + from * CELL.0, top + CELL.1 - 5);
        let width = (to - from) * CELL.0;
        let bold = if bold { " font-weight=\"bold\"" } else { "" };
        let italic = if italic { " font-style=\"italic\"" } else { "" };
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"{y}\" textLength=\"{width}\" lengthAdjust=\"spacingAndGlyphs\" \
             fill=\"{fill}\"{bold}{italic}>{}</text>",
            escaped(&text)
        );
    }
}

/// Neighbours that are alike: where they begin and end, and how they look.
fn runs<T: PartialEq>(cells: &[&Cell], look: impl Fn(&&Cell) -> T) -> Vec<(usize, usize, T)> {
    let mut runs: Vec<(usize, usize, T)> = Vec::new();
    for (at, cell) in cells.iter().enumerate() {
        let looks = look(cell);
        match runs.last_mut() {
            Some((_, end, same)) if *same == looks => *end = at + 1,
            _ => runs.push((at, at + 1, looks)),
        }
    }
    runs
}

fn ink(cell: &Cell) -> Option<String> {
    let colour = if cell.inverse() { cell.bgcolor() } else { cell.fgcolor() };
    let own = if cell.inverse() { Some("#181a1f".into()) } else { None };
    let ink = css(colour).or(own);
    // Grey text is told from white by the terminal, which mixes it with the ground.
    if cell.dim() { Some("#8b909a".into()) } else { ink.or_else(|| Some("#d7dae0".into())) }
}

fn ground(cell: &Cell) -> Option<String> {
    let colour = if cell.inverse() { cell.fgcolor() } else { cell.bgcolor() };
    css(colour).or_else(|| cell.inverse().then(|| "#d7dae0".into()))
}

/// The first sixteen as modern terminals draw them on dark ground, the others as all do.
fn css(colour: Color) -> Option<String> {
    const SIXTEEN: [&str; 16] = [
        "#21252b", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d7dae0",
        "#6b717d", "#ff7b86", "#b5e08f", "#ffd68a", "#7cc4ff", "#de8ff0", "#6fd3df", "#ffffff",
    ];
    match colour {
        Color::Default => None,
        Color::Rgb(r, g, b) => Some(format!("#{r:02x}{g:02x}{b:02x}")),
        Color::Idx(index @ 0..16) => Some(SIXTEEN[usize::from(index)].into()),
        Color::Idx(index @ 16..232) => {
            let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            let at = index - 16;
            let [r, g, b] = [at / 36, at / 6 % 6, at % 6].map(level);
            Some(format!("#{r:02x}{g:02x}{b:02x}"))
        }
        Color::Idx(index) => {
            let grey = 8 + 10 * (index - 232);
            Some(format!("#{grey:02x}{grey:02x}{grey:02x}"))
        }
    }
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    // SVG would join blanks.
    text.replace(' ', "\u{a0}")
}

#[test]
fn a_capture_has_the_text_and_the_colours_of_the_screen() {
    let mut parser = empty_screen((10, 4));
    parser.process(b"a<b \x1b[1;31mred\x1b[0m\r\n");
    parser.process("\x1b[38;2;1;2;3;48;2;4;5;6m▀▀\x1b[0m".as_bytes());
    let svg = svg(parser.screen(), "t");
    assert!(svg.contains(">a&lt;b</text>"), "{svg}");
    assert!(svg.contains("fill=\"#e06c75\" font-weight=\"bold\">red</text>"), "{svg}");
    let block = |y: usize, height: usize, fill: &str| {
        let y = BAR + CELL.1 + y;
        format!("x=\"16\" y=\"{y}\" width=\"18\" height=\"{height}\" fill=\"{fill}\"")
    };
    assert!(
        svg.contains(&block(0, 9, "#010203")) && svg.contains(&block(9, 9, "#040506")),
        "{svg}"
    );
    assert!(!svg.contains('▀') && svg.matches("<svg").count() == 1, "{svg}");
}
