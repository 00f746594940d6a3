//! The set-up of the engine: comparisons, sessions, interrupts, limits, imports.

use super::{Desk, deep};
use crate::FailureKind;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

#[test]
fn comparisons_are_ieee() {
    let mut desk = Desk::new();
    let table = [
        ("1.0 < inf", true),
        ("inf == inf", true),
        ("-inf < 0.0", true),
        ("-inf < 0", true),
        ("5 < inf", true),
        ("inf > 5", true),
        ("nan == nan", false),
        ("nan != nan", true),
        ("nan < 1", false),
        ("1e-20 == 0.0", false),
        ("1.0 == 1", true),
        ("2 >= 2.0", true),
        ("1 < 1e400", true),
        ("1.0 < 1e400", true),
        ("0.1 + 0.2 == 0.3", false),
        ("3 < 4", true),
        ("1 == 2", false),
        ("\"a\" == 1", false),
        ("() == ()", true),
    ];
    for (code, expected) in table {
        assert_eq!(desk.line(code), expected.to_string(), "{code}");
        let computed = code.split(' ').collect::<Vec<_>>();
        if let [a, op, b] = computed[..] {
            assert_eq!(
                desk.line(&format!("let a = {a}; let b = {b}; a {op} b")),
                expected.to_string(),
                "{code}"
            );
        }
    }
    assert_eq!(desk.line("let best = inf; if 3.5 < best { best = 3.5; } best"), "3.5");
}

#[test]
fn integers_mix_with_floats() {
    let mut desk = Desk::new();
    let table = [
        ("max(1, 2.5)", "2.5"),
        ("max(3.0, 2)", "3.0"),
        ("min(1, 2.5)", "1.0"),
        ("max(inf, 1)", "inf"),
        ("sqrt(4)", "2.0"),
        ("exp(0)", "1.0"),
        ("2.exp().fixed(3)", "\"7.389\""),
        ("3 / 10.0", "0.3"),
        ("1/2*2.0", "0.0"),
    ];
    for (code, expected) in table {
        assert_eq!(desk.line(code), expected, "{code}");
    }
}

#[test]
fn lines_follow_each_other() {
    let mut desk = Desk::new();
    desk.line("let a = 1; fn f(x) { x + 1 }");
    assert_eq!(desk.line("f(a)"), "2");
    desk.line("fn f(x) { x + 10 }");
    assert_eq!(desk.line("f(a)"), "11");
    desk.line("let g = |x| x * a;");
    desk.line("a = 5;");
    assert_eq!(desk.line("g.call(2)"), "10");
    desk.line("const K = 7;");
    assert_eq!(desk.line("fn k() { K } k()"), "7");
    assert_eq!(desk.line("fn k2() { global::K } k2()"), "7");
    assert_eq!(desk.line("let a = \"text\"; a"), "\"text\"");
    assert_eq!(desk.session.variables().iter().filter(|(name, ..)| name == "a").count(), 1);
}

#[test]
fn the_last_value_is_ans_and_a_semicolon_is_silent() {
    let mut desk = Desk::new();
    assert_eq!(desk.line("40 + 2"), "42");
    assert_eq!(desk.line("ans + 1"), "43");
    assert_eq!(desk.line("[2, 1].sorted();"), "");
    assert_eq!(desk.line("ans // still there;"), "[1, 2]");
    assert_eq!(desk.line("let x = 1"), "");
}

#[test]
fn functions_see_the_variables_of_the_session() {
    let mut desk = Desk::new();
    desk.line("let scale = 3;");
    desk.line("fn scaled(x) { x * scale }");
    assert_eq!(desk.line("scaled(2)"), "6");
    desk.line("scale = 4;");
    assert_eq!(desk.line("scaled(2)"), "8");
    // The value is the present one, also in the middle of a line.
    desk.line("let n = 0; fn seen() { n } let all = [];");
    assert_eq!(desk.line("for i in 0..3 { n += 1; all.push(seen()); } all"), "[1, 2, 3]");
    let one_line = "let m = 0; fn look() { m } for i in 0..3 { m += 1; all.push(look()); } all";
    assert_eq!(desk.line(one_line), "[1, 2, 3, 1, 2, 3]");
    assert_eq!(desk.line("fn local(scale) { scale } local(1)"), "1");
    let refused = desk.refusal("let list = [1]; fn grow() { list.push(2) } grow()");
    assert!(
        refused.contains("`push` would change a value that can only be read here"),
        "{refused}"
    );
    assert!(refused.contains("in `grow`, called from"), "{refused}");
}

#[test]
fn a_failing_line_keeps_what_came_before() {
    let mut desk = Desk::new();
    desk.failure("let kept = 1; missing_function(); let lost = 2;");
    assert_eq!(desk.line("kept"), "1");
    assert_eq!(desk.failure("lost").kind, FailureKind::Script);
}

#[test]
fn values_are_copies() {
    let mut desk = Desk::new();
    assert_eq!(desk.line("let a = [1, 2]; let b = a; b[0] = 9; a"), "[1, 2]");
    assert_eq!(desk.line("let m = #{ x: [1] }; let n = m; n.x[0] = 5; m.x[0]"), "1");
    assert_eq!(desk.line("fn change(a) { a[0] = 7; a } change(b); b[0]"), "9");
}

fn interrupted(code: &'static str) {
    let mut desk = Desk::new();
    desk.line("let kept = 1;");
    let flag = desk.session.interrupt();
    let waiter = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        flag.store(true, Ordering::Relaxed);
    });
    let start = Instant::now();
    assert_eq!(desk.failure(code).kind, FailureKind::Interrupted, "{code}");
    assert!(start.elapsed() < Duration::from_secs(5), "{code}");
    waiter.join().unwrap();
    assert_eq!(desk.line("kept + 1"), "2");
}

#[test]
fn nothing_swallows_an_interrupt() {
    interrupted("loop {}");
    interrupted("try { loop {} } catch { }");
    interrupted("loop { try { loop {} } catch (e) { print(e); } }");
    interrupted("fn f() { loop { } } f()");
    interrupted("[1].map(|x| { loop {} })");
    interrupted("bench(|| 1, #{ iters: 1000000 }); loop {}");
}

#[test]
fn limits_end_the_line_not_the_process() {
    deep(|| {
        let mut desk = Desk::new();
        let sum = vec!["1"; 200].join(" + ");
        assert_eq!(desk.line(&sum), "200");
        assert_eq!(
            desk.line("fn down(n) { if n == 0 { 0 } else { 1 + down(n - 1) } } down(200)"),
            "200"
        );
        let refused = desk.refusal("fn endless(n) { endless(n + 1) } endless(0)");
        assert!(refused.contains("more than 256 levels deep"), "{refused}");
        assert!(refused.lines().count() < 30, "{refused}");
        let nested = format!("{}1{}", "(".repeat(2000), ")".repeat(2000));
        assert_eq!(desk.failure(&nested).kind, FailureKind::Syntax);
        assert_eq!(desk.line("1 + 1"), "2");
    });
}

#[test]
fn compiling_runs_nothing() {
    let mut desk = Desk::new();
    let code = "write_file(temp_path(\"must-not-exist\"), \"x\")";
    desk.session.check("t", code).unwrap();
    assert!(desk.session.is_complete(code));
    assert_eq!(desk.line("\"must-not-exist\" in list_files(temp_path(\"\"))"), "false");
}

#[test]
fn scripts_have_a_shebang_arguments_and_an_exit_code() {
    let mut desk = Desk::new();
    assert_eq!(
        desk.session
            .run("a.rhai", "#!/usr/bin/env -S rwkv run\nprint(args(0, 1) + args(1, 2));")
            .unwrap(),
        0
    );
    assert_eq!(desk.heard(), ["first2"]);
    assert_eq!(desk.session.run("a.rhai", "exit(3); print(1);").unwrap(), 3);
    assert_eq!(desk.session.run("a.rhai", "fn f() { exit(4) } f();").unwrap(), 4);
    assert_eq!(desk.session.run("a.rhai", "exit_code(5); print(1);").unwrap(), 5);
    assert_eq!(desk.session.run("a.rhai", "1").unwrap(), 0);
    assert_eq!(desk.failure("exit(2)").kind, FailureKind::Exit(2));
    let refused = desk.session.run("b.rhai", "#!x\nlet a = ;").unwrap_err();
    assert_eq!(refused.place.unwrap().address(), "b.rhai:2:9");
}

#[test]
fn imports_stay_in_the_folder() {
    let root = std::env::temp_dir().join(format!("rwkv-imports-{}", std::process::id()));
    let folder = root.join("inside");
    std::fs::create_dir_all(folder.join("sub")).unwrap();
    std::fs::write(folder.join("tools.rhai"), "fn twice(x) { x * 2 }\nfn bad() { nope() }")
        .unwrap();
    std::fs::write(folder.join("sub/more.rhai"), "fn three() { 3 }").unwrap();
    std::fs::write(folder.join("me.rhai"), "import \"me\" as me;").unwrap();
    std::fs::write(root.join("outside.rhai"), "fn evil() { 1 }").unwrap();
    let mut desk = Desk::in_folder(folder.clone());
    desk.line("import \"tools\" as t;");
    assert_eq!(desk.line("t::twice(4)"), "8");
    assert_eq!(desk.line("import \"sub/more\" as m; m::three()"), "3");
    for path in ["../outside", root.join("outside").to_str().unwrap(), "sub/../../outside"] {
        let refused = desk.refusal(&format!("import \"{path}\" as o;"));
        assert!(refused.contains("imports stay below"), "{refused}");
    }
    assert!(desk.refusal("import \"nothing\" as n;").contains("no such file"));
    assert!(desk.refusal("import \"me\" as n;").contains("it imports itself"));
    let refused = desk.refusal("t::bad()");
    assert!(refused.contains("tools:2:12"), "{refused}");
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_changed_import_is_read_again() {
    let folder = std::env::temp_dir().join(format!("rwkv-reload-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("inner.rhai", "fn n() { 1 }");
    write("outer.rhai", "import \"inner\" as i; fn twice() { 2 * i::n() }");
    let mut desk = Desk::in_folder(folder.clone());
    desk.line("let kept = 5; import \"outer\" as o; o::twice()");
    assert_eq!(desk.session.reload().unwrap(), Vec::<std::path::PathBuf>::new());
    write("inner.rhai", "fn n() { 10 }");
    let changed = desk.session.reload().unwrap();
    assert_eq!(changed.len(), 1);
    assert_eq!(desk.line("o::twice() + kept"), "25");
    write("inner.rhai", "fn n() { ");
    assert!(desk.session.reload().is_err());
    assert_eq!(desk.line("o::twice()"), "20", "what was there stays");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn json_has_only_what_json_can_say() {
    let mut desk = Desk::new();
    desk.session.speak_json();
    desk.line("print(\"a\\nb\"); print(`{ \"a\": [1] }`); show([1, nan, inf, ()]);");
    assert_eq!(desk.heard(), ["\"a\\nb\"", "{\"a\":[1]}", "[1,null,null,null]"]);
    for (code, json) in [
        ("0.1 + 0.2", "0.30000000000000004"),
        ("tensor([[0.1, 2], [3, 4]])", "[[0.1,2.0],[3.0,4.0]]"),
        ("#{ b: true, a: 'x' }", "{\"a\":\"x\",\"b\":true}"),
        ("table([#{ n: 1, t: \"x\" }])", "[{\"n\":1,\"t\":\"x\"}]"),
        ("load_model(\"toy:rwkv4\").encode(\"ab\")", "[97,98]"),
        ("plot::bar([\"a\"], [1.5])", "{\"a\":1.5}"),
    ] {
        assert_eq!(desk.line(code), json, "{code}");
    }
}

#[test]
fn files_are_written_only_where_they_may() {
    let mut desk = Desk::new();
    for path in ["/etc/rwkv-test", "../../../../../../etc/rwkv-test"] {
        let refused = desk.refusal(&format!("write_file(\"{path}\", \"x\")"));
        assert!(refused.contains("only below the working folder"), "{refused}");
    }
    let link = std::env::temp_dir().join(format!("rwkv-link-{}", std::process::id()));
    std::os::unix::fs::symlink("/etc", &link).unwrap();
    let refused = desk.refusal(&format!("write_file(\"{}/rwkv-test\", \"x\")", link.display()));
    std::fs::remove_file(link).unwrap();
    assert!(refused.contains("only below the working folder"), "{refused}");
}

#[test]
fn output_goes_to_the_callback() {
    let mut desk = Desk::new();
    desk.line("print(1); print(`a ${[1.5, \"x\"]}`);");
    desk.line("show(plot::bar([\"a\"], [1], #{ width: 3 })); show(2);");
    assert_eq!(desk.heard(), ["1", "a [1.5, \"x\"]", "a │███ 1", "2"]);
}

#[test]
fn records_are_shown_as_a_table() {
    let mut desk = Desk::new();
    let table = desk.line("[#{ a: 1, b: \"x\" }, #{ a: 2.5, b: \"y\" }]");
    let words: Vec<&str> = table.split_whitespace().filter(|word| word.is_ascii()).collect();
    assert_eq!(words, ["a", "b", "1", "\"x\"", "2.5000", "\"y\""], "{table}");
    for other in ["[#{ a: 1 }, #{ b: 1 }]", "[#{}]", "[]", "[#{ a: [1] }]", "[1, #{ a: 1 }]"] {
        assert!(desk.line(other).starts_with('['), "{other}");
    }
}
