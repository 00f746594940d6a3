//! States: what led to them, what can be done to them, what is refused.

use super::Desk;

fn desk(version: &str) -> Desk {
    let mut desk = Desk::new();
    desk.line(&format!(
        "let m = load_model(\"toy:{version}\"); let a = m.forward_gpt(\"It rained.\").state; \
         let b = m.forward_gpt(\"The sun\").state;"
    ));
    desk
}

#[test]
fn a_state_says_what_led_to_it() {
    let mut desk = desk("rwkv7");
    let shown = desk.line("a");
    assert!(shown.contains("of toy:rwkv7, 10 tokens read\n"), "{shown}");
    let shown = desk.line("let c = a * 0.5; c[1].att_x = 0; c[1].att_x = 1; c.lerp(b, 0.25)");
    let edits = "; edits: scale by 0.5, set att_x of layer 1 (2 times), mix with weight 0.25 of a state of 7";
    assert!(shown.contains(edits), "{shown}");
    assert_eq!(desk.line("c.tokens"), "10");
    assert_eq!(desk.line("m.forward_rnn(5, c).state.tokens"), "11");
    assert_eq!(desk.line("m.forward_rnn(5, c).state.edits.len()"), "2");
    desk.line("c.save(temp_path(\"past.safetensors\"))");
    assert_eq!(
        desk.line("load_state(temp_path(\"past.safetensors\"), m).edits == c.edits"),
        "true"
    );
    assert_eq!(desk.line("load_state(temp_path(\"past.safetensors\"), m).tokens"), "10");
    assert!(desk.line("for i in 0..9 { c = c + b; c = c - b; } c").contains("edits, then "));
}

#[test]
fn a_state_outlives_its_model() {
    let mut desk = Desk::new();
    let shown = desk.line("let s = load_model(\"toy:rwkv7\").forward_gpt(\"Hi\").state; s");
    assert!(shown.contains("State RWKV-7") && shown.contains("of toy:rwkv7, 2 tokens"), "{shown}");
    desk.line("s.save(temp_path(\"orphan.safetensors\"))");
    let code = "load_state(temp_path(\"orphan.safetensors\"), load_model(\"toy:rwkv7\")) == s";
    assert_eq!(desk.line(code), "true");
    let other = "load_state(temp_path(\"orphan.safetensors\"), load_model(\"toy:rwkv6\"))";
    assert!(desk.refusal(other).contains("is the state of `toy:rwkv7`"));
}

#[test]
fn an_empty_rwkv4_has_no_exponents() {
    let mut desk = desk("rwkv4");
    assert!(desk.line("m.new_state()").contains("empty"));
    let shown = desk.line("a");
    assert!(!shown.contains("empty") && !shown.contains("e30"), "{shown}");
}

#[test]
fn surgery_refuses_in_words() {
    let refusals = [
        ("rwkv7", "a.with_head(9, 0, b)", "there is no layer 9"),
        ("rwkv7", "a.with_head(0, 9, b)", "has no head 9; it has"),
        ("rwkv7", "a.with_head(-1, 0, b)", "count from 0"),
        ("rwkv7", "a.toward(b, #{ ranc: 1 })", "did you mean `rank`?"),
        ("rwkv7", "a.steer([], b, 1)", "the mean of no states"),
        ("rwkv7", "a.steer([1], b, 1)", "must be a State, not an integer"),
        ("rwkv7", "a.rounded(\"f8\")", "there are f16, bf16, int8"),
        ("rwkv7", "memory_query(a, 0, 0, [1, 2])", "have"),
        ("rwkv7", "a.noise(1.0 / 0.0)", "must be finite"),
        ("rwkv7", "tensor([1, 2]).svd()", "of a matrix"),
        ("rwkv4", "a.spectrum()", "RWKV-4 keeps sums (aa, bb, pp)"),
        ("rwkv4", "a.with_head(0, 0, b)", "RWKV-4 keeps sums"),
        ("rwkv4", "a.with_layer(0, load_model(\"toy:rwkv7\").new_state())", "another model"),
    ];
    for (version, code, words) in refusals {
        let drawn = desk(version).refusal(code);
        assert!(drawn.contains(words), "{code}\n{drawn}");
    }
}
