//! What an editor asks of a session.

use super::Desk;

fn offered(desk: &Desk, text: &str) -> Vec<String> {
    desk.session.complete(text, text.len()).1
}

#[test]
fn names_members_modules_and_options_are_completed() {
    let mut desk = Desk::new();
    desk.line(
        "let lengths = [1, 2]; let point = #{ depth: 1, inner: #{ deeper: 2 } }; fn lens() { 1 }",
    );
    let has = |text: &str, word: &str| {
        let all = offered(&desk, text);
        assert!(all.iter().any(|name| name == word), "{text}: {all:?}");
    };
    has("len", "lengths");
    has("1 + lens", "lens(");
    has("ta", "table(");
    has("pl", "plot::");
    has("plot::h", "heatmap(");
    has("lengths.so", "sorted(");
    has("point.de", "depth");
    has("point.inner.", "deeper");
    has("plot::line([1], #{ ti", "title: ");
    has("bench(|| 1, #{ warmup: 1, it", "iters: ");
    assert!(!offered(&desk, "lengths.").iter().any(|name| name == "trimmed("));
    assert_eq!(desk.session.complete("1 + lengths.sor", 15).0, 12);
}

#[test]
fn paths_are_completed_inside_quotes() {
    let folder = std::env::temp_dir().join(format!("rwkv-complete-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("models")).unwrap();
    std::fs::write(folder.join("models/a.safetensors"), "").unwrap();
    let desk = Desk::in_folder(folder.clone());
    assert_eq!(offered(&desk, "read_file(\"mo"), ["models/"]);
    let text = "read_file(\"models/";
    assert_eq!(
        desk.session.complete(text, text.len()),
        (text.len(), vec!["a.safetensors".to_string()])
    );
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn completion_calls_nothing() {
    let mut desk = Desk::new();
    desk.line("let a = 1;");
    offered(&desk, "print(1).");
    offered(&desk, "panic_for_tests().");
    assert!(desk.heard().is_empty());
}

#[test]
fn variables_are_listed() {
    let mut desk = Desk::new();
    desk.line("let b = [1, 2]; let a = 1.5; const C = \"x\";");
    let expected = [("C", "String", "\"x\""), ("a", "Float", "1.5"), ("b", "Array", "[1, 2]")];
    let listed = desk.session.variables();
    let listed: Vec<_> =
        listed.iter().map(|(n, t, v)| (n.as_str(), t.as_str(), v.as_str())).collect();
    assert_eq!(listed, expected);
}

#[test]
fn no_text_however_odd_is_too_much() {
    let mut desk = Desk::new();
    desk.line("let list = [1];");
    let odd = "é.list[0].`${x\u{1F600}}` \"\\é /* ü #{ ti::ö \n|x| 'c' ]])}} r#\"x\"# 1e 0x";
    let ends = odd.char_indices().map(|(at, _)| at).chain([odd.len()]);
    for end in ends {
        let text = &odd[..end];
        desk.session.complete(text, end);
        desk.session.is_complete(text);
        for (range, _) in desk.session.colours(text) {
            assert!(text.get(range.clone()).is_some(), "{text}: {range:?}");
        }
        if let Err(failure) = desk.session.check("odd", text) {
            failure.draw(&crate::Canvas::default());
        }
    }
    desk.session.complete("é", 1);
}
