//! How values look on screens of 40 and 80 columns, with and without colour and Unicode.
//!
//! `RWKV_RENEW_SCREENS=1 cargo test --release --workspace screens` writes the golden files anew;
//! read what has changed before you keep it.

use super::Desk;
use crate::view::wide;
use crate::{Canvas, Depth};
use std::path::{Path, PathBuf};

/// A value of every kind that is shown, and the line that makes it.
const SHOWN: &[(&str, &str)] = &[
    ("model", "load_model(\"toy:rwkv4\")"),
    ("tokens", "load_model(\"toy:rwkv4\").encode(\"The cat\\nsat <on> the mat\")"),
    ("state-4", "load_model(\"toy:rwkv4\").forward_gpt(\"The cat sat on the\").state"),
    ("state-7", "load_model(\"toy:rwkv7\").forward_gpt(\"The cat sat on the\").state"),
    ("summary", "load_model(\"toy:rwkv7\").summary()"),
    ("output", "load_model(\"toy:rwkv4\").forward_gpt(\"The cat\").last.top_k(3)"),
    ("tensor-small", "tensor([[1, 2.5], [-3, 1000]])"),
    ("tensor-vector", "tensor([1, -2, 0.5])"),
    ("tensor-large", "tensor(each(12, |i| each(20, |j| i * j % 17 - 8)))"),
    (
        "generation",
        "load_model(\"toy:rwkv4\").generate(\"Once\", #{ choices: [\"upon a time\"], seed: 7, stream: false })",
    ),
    ("list", "each(400, |i| i * i)"),
    ("records", "[#{ name: \"cat\", legs: 4, kg: 4.25 }, #{ name: \"猫\", legs: 4, kg: 12.5 }]"),
    (
        "line",
        "plot::line(each(40, |x| (x / 6.0).sin()), #{ title: \"sine\", x: \"step\", height: 7 })",
    ),
    (
        "lines",
        "plot::line(#{ up: [1, 2, 4, 8], down: [8, 4, 2, nan] }, #{ y: \"size\", height: 5 })",
    ),
    ("scatter", "plot::scatter([1, 2, 3, 4], [2, 1, 4, 3], #{ height: 5 })"),
    (
        "bar",
        "plot::bar([\"cat\", \"a dog\", \"猫\"], [0.7, -0.3, 0.05], #{ title: \"what is it\" })",
    ),
    ("hist", "plot::hist([1, 1, 2, 5, 2.5, 2.25], 4)"),
    (
        "heatmap",
        "plot::heatmap(each(6, |i| each(9, |j| i * j)), #{ title: \"times\", x: \"j\", y: \"i\" })",
    ),
    (
        "attention",
        "plot::heatmap([[1, 0, 0], [0.5, 1, 0], [-0.25, 0.75, 1]], #{ labels: [\"The\", \" cat\", \" sat\"] })",
    ),
    ("image", "plot::image(each(4, |i| each(8, |j| (i + j) / 10.0)), #{ title: \"slope\" })"),
];

/// A session with a loop that makes an array.
fn desk() -> Desk {
    let mut desk = Desk::new();
    desk.line("fn each(n, f) { let a = []; for i in 0..n { a.push(f.call(i)); } a }");
    desk
}

fn canvases(width: usize) -> [(&'static str, Canvas); 5] {
    let plain = Canvas { width, plain: true, ..Canvas::default() };
    [
        ("no colour", Canvas { width, ..Canvas::default() }),
        ("colour", Canvas { width, colour: true, depth: Depth::Indexed, ..Canvas::default() }),
        ("ASCII", Canvas { width, unicode: false, ..Canvas::default() }),
        ("pipe", plain),
        ("screen reader", Canvas { spoken: true, ..plain }),
    ]
}

/// The speed of a generation is another one every time.
fn timeless(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(" tokens/s") {
        Some((before, after)) => {
            format!("{} N tokens/s{after}", before.rsplit_once([' ', '\n']).unwrap().0)
        }
        None => line.to_string(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn golden(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/screens");
    folder.join(format!("{name}.txt"))
}

/// The value on every canvas of these widths, escape codes made visible.
fn screens(desk: &mut Desk, code: &str, widths: &[usize]) -> String {
    let view = desk.session.eval(code);
    let view = view.unwrap_or_else(|f| panic!("{code}\n{}", f.draw(&Canvas::default()))).unwrap();
    let mut text = format!("{code}\n");
    for (name, canvas) in widths.iter().flat_map(|width| canvases(*width)) {
        let drawn = timeless(&view.draw(&canvas)).replace('\u{1b}', "␛");
        text += &format!("\n--- {} columns, {name}\n{drawn}\n", canvas.width);
    }
    text
}

#[test]
fn values_look_as_they_did() {
    super::deep(|| {
        let renew = std::env::var_os("RWKV_RENEW_SCREENS").is_some();
        let mut changed = Vec::new();
        let mut desk = desk();
        for (name, code) in SHOWN {
            let now = screens(&mut desk, code, &[40, 80]);
            let path = golden(name);
            if renew {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, &now).unwrap();
            }
            let before = std::fs::read_to_string(&path).unwrap_or_default();
            if !is_alike(&before, &now) {
                changed.push(format!("=== {name} was\n{before}\n=== and is\n{now}"));
            }
        }
        let how = "RWKV_RENEW_SCREENS=1 writes them anew";
        assert!(changed.is_empty(), "{}\n{how}", changed.join("\n"));
    });
}

/// Whether two screens differ in nothing but the last digits of numbers: processors add in other
/// orders.
fn is_alike(before: &str, now: &str) -> bool {
    let (before, now) = (parts(before), parts(now));
    let same = |(a, b): (&&str, &&str)| a == b || is_near(a, b);
    before.len() == now.len() && before.iter().zip(&now).all(same)
}

/// A text cut where numbers begin and end.
fn parts(text: &str) -> Vec<&str> {
    let digit = |c: char| c.is_ascii_digit() || c == '.';
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let cuts = chars.windows(2).filter(|pair| digit(pair[0].1) != digit(pair[1].1));
    let cuts: Vec<usize> =
        [0].into_iter().chain(cuts.map(|p| p[1].0)).chain([text.len()]).collect();
    cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect()
}

/// Whether two numbers of as many digits differ by one in the last; whole ones only where they are
/// shades of a colour, from 20 on.
fn is_near(a: &str, b: &str) -> bool {
    let value = |text: &str| text.replace('.', "").parse::<i64>().ok();
    let (Some(x), Some(y)) = (value(a), value(b)) else { return false };
    a.len() == b.len() && a.find('.') == b.find('.') && (x - y).abs() <= 1 && x >= 20
}

#[test]
fn only_last_digits_may_differ() {
    assert!(is_alike("|wkv| 138.620 at 3", "|wkv| 138.621 at 3"));
    for (a, b) in
        [("1.25 a", "1.25 b"), ("layer 3", "layer 4"), ("1.250", "1.252"), ("1.2", "1.20")]
    {
        assert!(!is_alike(a, b), "{a} {b}");
    }
}

#[test]
fn no_line_is_wider_than_the_screen() {
    super::deep(|| {
        let mut desk = desk();
        for (name, code) in SHOWN {
            let view = desk.session.eval(code).map_err(|_| *name).unwrap().unwrap();
            for width in [40, 80, 300] {
                for (kind, canvas) in canvases(width).into_iter().filter(|(_, c)| !c.plain) {
                    for line in view.draw(&canvas).lines().map(bare) {
                        assert!(wide(&line) <= width, "{name} {width} {kind}: {line}");
                        // What a text or a name has in it is not ours to change.
                        let drawn = line.replace(['猫', '\u{fffd}'], "");
                        assert!(canvas.unicode || drawn.is_ascii(), "{name}: {line}");
                    }
                }
            }
        }
    });
}

#[test]
fn colour_is_spent_only_where_it_is_welcome() {
    super::deep(|| {
        let mut desk = desk();
        for (name, code) in SHOWN {
            let view = desk.session.eval(code).map_err(|_| *name).unwrap().unwrap();
            for (kind, canvas) in canvases(80) {
                let drawn = view.draw(&canvas);
                assert!(canvas.colour || !drawn.contains('\u{1b}'), "{name} {kind}");
                let ends = drawn.matches("\u{1b}[0m").count();
                assert!(
                    !drawn.contains('\u{1b}') || ends > 0,
                    "{name} {kind} leaves its colour on"
                );
            }
        }
    });
}

/// The line without escape codes.
fn bare(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
}
