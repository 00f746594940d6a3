//! What a person reads when something goes wrong.

use super::Desk;
use crate::{Canvas, FailureKind};

/// Code, and what the drawing must contain.
const SAID: [(&str, &[&str]); 20] = [
    ("let layers = 1; layrs + 1", &["there is no variable `layrs`", "did you mean `layers`?"]),
    ("[1, 2].summ()", &["Array has no method `summ`", "did you mean `sum`?", "?Array"]),
    ("[1, 2].sorte()", &["did you mean `sorted`?"]),
    ("tabel([])", &["there is no function `tabel`", "did you mean `table`?"]),
    ("plot::lin([1])", &["there is no function `plot::lin`", "did you mean `plot::line`?"]),
    ("\"a\" - 1", &["`-` does not work between String and Integer"]),
    ("\"a\".fixed(1)", &["must be a number, not a string"]),
    (
        "1.5.fixed(\"a\")",
        &["`fixed` of Float cannot take (String)", "it is Number.fixed(digits: Integer) -> String"],
    ),
    (
        "plot::line([1], #{ titel: \"x\" })",
        &[
            "no option `titel`",
            "did you mean `title`?",
            "It knows: title, x, y, width, height, labels",
        ],
    ),
    ("plot::line([1], #{ height: 0 })", &["`height` must be at least 1 and at most 200, not 0"]),
    ("[1, \"a\"].mean()", &["mean needs numbers; item 1 is a string"]),
    ("[].max()", &["max of an empty array has no value"]),
    ("assert(1 > 2, \"upside down\")", &["assertion failed: upside down"]),
    ("throw \"mine\"", &["error: mine"]),
    ("const C = 1; C = 2", &["`C` is a constant"]),
    ("[1, 2][5]", &["there is no item 5 in an array of 2"]),
    (
        "let m = #{ a: [1, 2], q: 1 }; m.a.map(|x| x + m.q)",
        &["Rhai: a data race", "copy what the closure needs first"],
    ),
    ("table", &["`table` is a function", "call it: `table(..)`"]),
    ("read_file(\"/no/such\")", &["cannot read /no/such"]),
    ("let n = 5; for x in n { }", &["`for` needs an array"]),
];

#[test]
fn failures_say_what_and_what_to_do() {
    for (code, parts) in SAID {
        let drawn = Desk::new().refusal(code);
        for part in parts {
            assert!(drawn.contains(part), "{code}\nshould say: {part}\n{drawn}");
        }
    }
}

#[test]
fn carets_stand_under_the_token() {
    let table = [
        ("[1, 2].summ()", "1 | [1, 2].summ()\n  |        ^^^^"),
        ("let b = 1;\nlet a = missing + b;", "2 | let a = missing + b;\n  |         ^^^^^^^"),
        ("let a = [1,, 2]", "1 | let a = [1,, 2]\n  |            ^"),
        ("print(tabel([]))", "1 | print(tabel([]))\n  |       ^^^^^"),
    ];
    for (code, carets) in table {
        let drawn = Desk::new().refusal(code);
        assert!(drawn.contains(carets), "{drawn}");
    }
}

#[test]
fn calls_are_listed_with_their_own_texts() {
    let mut desk = Desk::new();
    desk.line("fn inner(x) { x.nope() }");
    desk.line("fn outer(x) {\n    inner(x)\n}");
    let drawn = desk.refusal("1; outer(1)");
    assert!(drawn.contains("--> line 1:1:17"), "{drawn}");
    assert!(drawn.contains("fn inner(x) { x.nope() }"), "{drawn}");
    assert!(drawn.contains("in `inner`, called from line 2:2:5"), "{drawn}");
    assert!(drawn.contains("in `outer`, called from line 3:1:4"), "{drawn}");
    let drawn = desk.refusal("[1].map(|x| x.nope())");
    assert!(drawn.contains("in a closure"), "{drawn}");
}

#[test]
fn a_panic_ends_the_line_only() {
    let mut desk = Desk::new();
    desk.line("let kept = 1;");
    let failure = desk.failure("panic_for_tests()");
    assert_eq!(failure.kind, FailureKind::Internal);
    let drawn = failure.draw(&Canvas::default());
    assert!(drawn.contains("on purpose") && drawn.contains("a bug of rwkv-lab"), "{drawn}");
    assert_eq!(desk.line("kept"), "1");
    assert_eq!(
        desk.failure("let boom = 2; fn f() { panic_for_tests() } f()").kind,
        FailureKind::Internal
    );
    assert_eq!(desk.line("boom + kept"), "3");
}

#[test]
fn syntax_failures_have_their_kind() {
    let mut desk = Desk::new();
    assert_eq!(desk.failure("let = 1").kind, FailureKind::Syntax);
    assert_eq!(desk.session.check("x.rhai", "fn (").unwrap_err().kind, FailureKind::Syntax);
    desk.session.check("x.rhai", "#!/usr/bin/rwkv\nlet a = 1;").unwrap();
}
