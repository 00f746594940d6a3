//! Models, states, tokens and training as scripts see them.

use super::Desk;
use crate::{FailureKind, View};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A session with a toy model `m` and its output `a` for a short text.
fn desk(version: &str) -> Desk {
    let mut desk = Desk::new();
    desk.line(&format!(
        "let m = load_model(\"toy:{version}\"); let a = m.forward_gpt(\"The cat\");"
    ));
    desk
}

/// Each line must be true.
fn all_true(desk: &mut Desk, lines: &[&str]) {
    for line in lines {
        assert_eq!(desk.line(line), "true", "{line}");
    }
}

#[test]
fn whatever_may_stand_for_tokens_gives_the_same_logits() {
    all_true(
        &mut desk("rwkv4"),
        &[
            "let t = m.encode(\"The cat\"); m.forward_gpt(t).logits == a.logits",
            "m.forward_gpt(t.to_array()).logits == a.logits",
            "m.forward_gpt(tensor(t.to_array())).logits == a.logits",
            "m.forward_gpt(t[0..3] + t[3..=6]).logits == a.logits",
            "m.decode(t) == \"The cat\" && m.decode(116) == \"t\" && t[-1] == 116",
            "m.forward(t, m.new_state()).logits.max_abs_diff(a.last) < 1e-4",
        ],
    );
}

#[test]
fn tokens_that_are_none_are_refused_in_words() {
    let mut desk = desk("rwkv4");
    let said = [
        ("m.forward_gpt(1.5)", "not a float"),
        ("m.forward_gpt([1, \"a\"])", "a token is a whole number"),
        ("m.forward_gpt([999])", "token 999 is out of range"),
        ("m.forward_gpt(\"\")", "the prompt is empty"),
        ("m.forward_rnn(\"ab\", m.new_state())", "reads one token, not 2; forward_gpt reads many"),
        ("m.forward_gpt(\"a\", load_model(\"toy:rwkv7\").new_state())", "belongs to another model"),
        ("load_model(\"toy:rwkv9\")", "there is no model `toy:rwkv9`"),
        ("load_model(\"toy:rwkv4\", #{ devise: \"cpu\" })", "did you mean `device`?"),
        ("init_model(\"rwkv7\", #{ ranks: [8, 0, 8, 8, 8] })", "`ranks` must be four"),
        ("init_model(\"rwkv7\", #{ ranks: [8, 0, 8, 8] })", "`ranks` must be four"),
        ("a.logitz", "did you mean `logits`?"),
        ("a.state.norm", "`norm` is a method of State"),
        ("m.encode(\"a\").len()", "`len` is a property of Tokens"),
    ];
    for (code, words) in said {
        let drawn = desk.refusal(code);
        assert!(drawn.contains(words), "{code}\n{drawn}");
    }
}

#[test]
fn states_are_edited_through_chains_and_snapshots_stay() {
    all_true(
        &mut desk("rwkv4"),
        &[
            "let s = a.state; let before = s; s[1].aa *= 0.0; s[1].aa.norm() == 0",
            "before.equals(a.state) && !s.equals(before)",
            "s[0].aa == before[0].aa && s[1].bb == before[1].bb",
            "s[-1].bb[3] = 7.5; s[1].bb[3] == 7.5",
            "s[0].att_x = 2; s[0].att_x.min() == 2",
            "s[0].reset(); s[0].norm() == 0 && s[0].pp.max() < -1e29",
            "s = before; s[0].scale(2); (s[0].norm() / before[0].norm() - 2).abs() < 1e-5",
            "fn cut(s) { s[0].reset(); s } cut(before); before.equals(a.state)",
            "let many = [before, before]; many[0][0].reset(); many[1].equals(a.state)",
        ],
    );
    let mut desk = desk("rwkv7");
    all_true(
        &mut desk,
        &[
            "let s = a.state; s[1].wkv[2] = zeros([16, 16]); s[1].wkv[2].norm() == 0",
            "s[1].wkv[1] == a.state[1].wkv[1] && s.tensor(\"wkv\").shape == [2, 4, 16, 16]",
        ],
    );
    assert!(desk.refusal("s[0].aa").contains(
        "only RWKV-4 keeps sums, later versions a matrix per head; it has att_x, wkv, ffn_x"
    ));
    assert!(desk.refusal("s[5]").contains("there is no layer 5; this state has 2"));
    assert!(desk.refusal("s[0].wkv = zeros([3])").contains("has shape"));
}

#[test]
fn states_are_mixed_and_compared() {
    all_true(
        &mut desk("rwkv4"),
        &[
            "let b = m.forward_gpt(\"sun\").state; let s = a.state; s != b",
            "s.lerp(b, 1).max_abs_diff(b) < 1e-5 && s.lerp(b, 0.0).max_abs_diff(s) < 1e-5",
            "(s + b - b).max_abs_diff(s) < 1e-4 && (s * 2 - s).max_abs_diff(s) < 1e-4",
            "(0.5 * s + s * 0.5).max_abs_diff(s) < 1e-4",
            "s.diff(b).rows.len() == 2 && s.diff(s).rows[1].cosine > 0.999",
            "s.cosine(b) < 1 && s.stats().norm > 0 && s == s.fork()",
        ],
    );
}

#[test]
fn session_functions_use_the_model() {
    let mut desk = desk("rwkv4");
    desk.line("fn next(text) { m.forward_gpt(text).last.argmax() }");
    assert_eq!(desk.line("next(\"The cat\") == a.last.argmax()"), "true");
    assert_eq!(desk.line("[\"The cat\"].map(|text| next(text)) == [a.last.argmax()]"), "true");
}

#[test]
fn callbacks_see_tokens_stop_them_and_may_fail() {
    let mut desk = desk("rwkv4");
    desk.line("let seen = []; let options = #{ max_tokens: 9, seed: 4 };");
    desk.line("options.on_token = |t| { seen.push(t.id); seen.len() < 3 };");
    desk.line("let out = m.generate(\"a\", options);");
    assert!(desk.heard().is_empty(), "a callback takes the place of the stream");
    all_true(
        &mut desk,
        &["seen == out.tokens.to_array() && seen.len() == 3", "out.finish_reason == \"callback\""],
    );
    let drawn = desk.refusal("m.generate(\"a\", #{ on_token: |t| t.nothing.at_all })");
    assert!(drawn.contains("in a closure"), "{drawn}");
    assert!(desk.refusal("m.generate(\"a\", #{ on_token: 1 })").contains("must be a function"));
    assert!(desk.refusal("m.generate(\"a\", #{ top_p: 2 })").contains("top_p is 2"));
}

#[test]
fn text_streams_and_seeds_repeat_it() {
    let mut desk = desk("rwkv4");
    let view = desk.line("m.generate(\"a\", #{ max_tokens: 8, seed: 1 })");
    assert!(view.starts_with('[') && view.contains("seed 1"), "seen already: {view}");
    assert!(!desk.heard().concat().is_empty());
    let quiet = desk.line("m.generate(\"a\", #{ max_tokens: 8, seed: 1, stream: false })");
    assert!(quiet.contains('\n') && desk.heard().is_empty(), "{quiet}");
    desk.line("let twice = || m.generate(\"a\", #{ max_tokens: 8, stream: false }).tokens;");
    all_true(
        &mut desk,
        &[
            "seed(5); let x = twice.call(); seed(5); x == twice.call()",
            "let likeliest = m.forward_gpt(\"a\").last.argmax(); likeliest >= 0",
            "m.generate(\"a\", #{ temperature: 0, max_tokens: 3 }).tokens[0] == likeliest",
        ],
    );
}

#[test]
fn an_interrupted_text_is_kept() {
    let mut desk = desk("rwkv7");
    let code = "m.generate(\"a\", #{ max_tokens: 1000000, ban: [0], stream: false })";
    let code = format!("loop {{ try {{ {code} }} catch {{ }} }}");
    // On a busy machine the first tries may come before the first token.
    let found = [200, 1000, 5000].into_iter().any(|wait| {
        let flag = desk.session.interrupt();
        let waiter = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(wait));
            flag.store(true, Ordering::Relaxed);
        });
        assert_eq!(desk.failure(&code).kind, FailureKind::Interrupted);
        waiter.join().unwrap();
        desk.session.eval("ans").is_ok()
    });
    assert!(found);
    assert_eq!(desk.line("ans.finish_reason"), "\"interrupted\"");
}

#[test]
fn chats_go_back_branch_and_repeat() {
    let mut desk = desk("rwkv4");
    desk.line("let c = m.new_chat(#{ max_tokens: 4, seed: 3, sampler: #{ temperature: 0.5 } });");
    desk.line("let start = c.state; c.say(\"one\", #{ stream: false }); let b = c.branch();");
    desk.line("b.say(\"two\", #{ stream: false });");
    all_true(
        &mut desk,
        &[
            "c.turns.len() == 1 && b.turns.len() == 2 && b.turns[1].before == c.state",
            "let kept = c.turns[0].reply; c.regenerate(#{ seed: 3 }); c.turns[0].reply == kept",
            "c.undo() && c.state == start && !c.undo()",
            "b.reset(); b.turns.len() == 0 && b.state == start",
            "b.state = c.state * 0.5; b.state == c.state * 0.5",
        ],
    );
    assert!(desk.refusal("c.say(\" \")").contains("there is nothing to say"));
    let busy = desk.refusal("let d = c; c.say(\"x\", #{ on_token: |t| { d.undo(); true } })");
    assert!(busy.contains("in the middle of an answer"), "{busy}");
    assert!(
        desk.refusal("m.new_chat(#{ sampler: #{ heat: 1 } })").contains("sampler has no option")
    );
}

#[test]
fn what_a_model_says_cannot_command_the_terminal() {
    let mut desk = Desk::new();
    desk.line("print(\"a\\x1b[31mb\\tc\")");
    assert_eq!(desk.heard(), ["a[31mb\tc"]);
}

#[test]
fn a_trained_model_has_learnt() {
    let mut desk = Desk::new();
    desk.line(
        "seed(1); let m = init_model(\"rwkv7\", #{ n_layer: 1, n_embd: 32, head_size: 16 });",
    );
    desk.line("let d = data::tokens(m.encode(\"abcd\".repeat(40)), #{ ctx_len: 16 });");
    desk.line(
        "let t = new_trainer(m, #{ schedule: optim::cosine(#{ lr_init: 0.01, steps: 60 }) });",
    );
    desk.line("let first = t.evaluate(d).loss; let copy = m;");
    desk.line("while t.step < 60 { t.train_step(d.next_batch(4)); }");
    all_true(
        &mut desk,
        &[
            "t.evaluate(d).loss < first / 2 && t.evaluate(d).loss == t.evaluate(d).loss",
            "copy.generate(\"abc\", #{ temperature: 0, max_tokens: 1 }).text == \"d\"",
        ],
    );
    assert!(
        desk.refusal("new_trainer(m, #{ optimiser: 1 })").contains("did you mean `optimizer`?")
    );
}

#[test]
fn values_are_pictured() {
    let mut desk = desk("rwkv4");
    let state = desk.line("a.state");
    assert!(state.starts_with("State RWKV-4   2 layers x 64   2.5 KiB\n"), "{state}");
    assert!(state.contains("pp range"), "{state}");
    assert!(desk.line("a").starts_with("Output  logits [7, 256]  next: \""), "{}", desk.line("a"));
    assert!(desk.line("m.encode(\"ab\")").starts_with("Tokens [2]  \"a\" \"b\""));
    assert_eq!(desk.line("tensor([1, 2.5])"), "Tensor [2] f32  [1, 2.5000]");
    assert!(matches!(desk.session.eval("a.logits").unwrap(), Some(View::Group(_))));
    let variables = desk.session.variables();
    assert!(variables.iter().any(|(name, of, _)| name == "m" && of == "Model"), "{variables:?}");
}

#[test]
fn the_example_scripts_run_as_they_stand() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    let scripts = [
        ("01_gpt_vs_rnn", "toy:rwkv7"),
        ("02_state_surgery", "toy:rwkv4"),
        ("07_head_ablation", "toy:rwkv7"),
    ];
    for (name, model) in scripts {
        let code = std::fs::read_to_string(folder.join(format!("{name}.rhai"))).unwrap();
        let outcome = Desk::start(folder.clone(), model).session.run(name, &code);
        assert_eq!(outcome.map_err(|f| f.draw(&crate::Canvas::default())), Ok(0), "{name}");
    }
}
