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
fn options_are_completed_wherever_they_stand() {
    let desk = Desk::new();
    let has = |text: &str, word: &str| {
        let all = offered(&desk, text);
        assert!(all.iter().any(|name| name == word), "{text}: {all:?}");
    };
    has("bench(|| { 1 }, #{ wa", "warmup: ");
    has("plot::line([1], #{ title: [#{ a: 1 }][0].a, he", "height: ");
    has("plot::line([1], #{ title: \"a, #{\", he", "height: ");
    has("m.new_chat(#{ max_tokens: 3, sampler: #{ top_k: 1, temp", "temperature: ");
    has("load_model(\"a\", #{ dev", "device: ");
    has("load_model(\"a\", #{ device: \"nd", "ndarray");
    has("bench(|| 1, #{ warmup: se", "seed(");
    let used = offered(&desk, "bench(|| 1, #{ warmup: 1, ");
    assert_eq!(used, ["iters: "], "a key is given once");
}

#[test]
fn members_follow_the_type_of_a_call() {
    let mut desk = Desk::new();
    desk.line("let m = load_model(\"toy:rwkv7\");");
    for (text, word, not) in [
        ("m.", "forward_gpt(", "sorted("),
        ("m.new_state().", "lerp(", "forward_gpt("),
        ("load_model(\"a (\").", "forward_gpt(", "lerp("),
        ("\"text\".", "trimmed(", "forward_gpt("),
        ("table([#{ a: 1 }]).ro", "rows", "forward_gpt("),
    ] {
        let all = offered(&desk, text);
        assert!(all.iter().any(|name| name == word), "{text}: {all:?}");
        assert!(!all.iter().any(|name| name == not), "{text}: {all:?}");
    }
}

#[test]
fn tensors_and_models_are_completed_by_name() {
    let mut desk = Desk::new();
    desk.line("let m = load_model(\"toy:rwkv7\");");
    let tensors = offered(&desk, "m.weights(\"blocks.1.ffn.");
    assert!(tensors.contains(&"blocks.1.ffn.key.weight".to_string()), "{tensors:?}");
    assert!(tensors.iter().all(|name| name.starts_with("blocks.1.ffn.")), "{tensors:?}");
    assert_eq!(offered(&desk, "load_model(\"demo:"), ["demo:tales", "demo:reverse", "demo:shapes"]);
    assert_eq!(desk.session.models("toy:rwkv5.1"), ["toy:rwkv5.1"]);
}

#[test]
fn nothing_is_offered_in_comments() {
    let desk = Desk::new();
    for text in ["1 // loa", "/* loa", "`loa"] {
        assert!(offered(&desk, text).is_empty(), "{text}");
    }
    assert!(!offered(&desk, "`${loa").is_empty());
}

#[test]
fn a_dropped_variable_is_gone() {
    let mut desk = Desk::new();
    desk.line("let a = 1; let b = 2; fn f() { a }");
    assert!(desk.session.forget("a") && !desk.session.forget("a"));
    assert_eq!(desk.line("b"), "2");
    assert!(desk.refusal("a").contains("there is no variable `a`"));
    assert!(desk.refusal("f()").contains("there is no variable `a`"));
}

#[test]
fn paths_are_completed_inside_quotes() {
    let folder = std::env::temp_dir().join(format!("rwkv-complete-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("models")).unwrap();
    std::fs::write(folder.join("models/a.safetensors"), "").unwrap();
    std::fs::write(folder.join("models/notes.txt"), "").unwrap();
    std::fs::write(folder.join("tools.rhai"), "").unwrap();
    let desk = Desk::in_folder(folder.clone());
    assert_eq!(offered(&desk, "read_file(\"mo"), ["models/"]);
    let text = "read_file(\"models/a";
    assert_eq!(
        desk.session.complete(text, text.len()),
        (text.len() - 1, vec!["a.safetensors".to_string()])
    );
    assert_eq!(offered(&desk, "load_model(\"models/"), ["models/a.safetensors"]);
    assert_eq!(offered(&desk, "import \"to"), ["tools"]);
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
