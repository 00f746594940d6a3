//! Looking inside a model from a script: hooks, knock-outs, lenses, segments, modes.

use super::Desk;

const VERSIONS: [&str; 6] = ["rwkv4", "rwkv5.0", "rwkv5.1", "rwkv5.2", "rwkv6", "rwkv7"];

fn desk(version: &str) -> Desk {
    let mut desk = Desk::new();
    desk.line(&format!(
        "let m = load_model(\"toy:{version}\"); let s = m.forward_gpt(\"Hi!\").state;"
    ));
    desk.line("let text = \"The cat sat\"; let plain = m.forward_gpt(text, s);");
    desk
}

fn all_true(version: &str, lines: &[&str]) {
    let mut desk = desk(version);
    for line in lines {
        assert_eq!(desk.line(line), "true", "{version}: {line}");
    }
}

#[test]
fn both_modes_take_the_same_options_and_agree() {
    for version in VERSIONS {
        all_true(
            version,
            &[
                "let o = #{ state: s, hidden: true, hooks: #{ \"blocks.0.o\": |o| o * 0.5 } };\
                 let gpt = m.forward_gpt(text, o); gpt.hidden.shape == [2, 11, 64]",
                "let state = s; let far = 0.0; let hidden = ();\
                 for id in m.encode(text) {\
                     o.state = state;\
                     let out = m.forward_rnn(id, o);\
                     state = out.state;\
                     hidden = out.hidden;\
                 }\
                 hidden.shape == [2, 64]",
                "state.max_abs_diff(gpt.state) < 1e-4",
                "hidden[1].max_abs_diff(gpt.hidden[1][-1]) < 1e-4",
                "gpt.last.max_abs_diff(plain.last) > 1e-3",
                "m.forward_gpt(text, #{ state: s }).logits == plain.logits",
            ],
        );
    }
}

#[test]
fn hooks_see_replace_and_fill() {
    all_true(
        "rwkv7",
        &[
            "let seen = []; let look = |x, at| { seen.push([x.shape, at]); };\
             let out = m.forward_gpt(text, #{ state: s, hooks: #{ \"blocks.*.k\": look } });\
             out.logits == plain.logits && seen == [[[11, 4, 16], 0], [[11, 4, 16], 0]]",
            "seen = []; m.forward_gpt(\"a\".repeat(300), #{ hooks: #{ \"blocks.1.att\": look } });\
             seen == [[[256, 64], 0], [[44, 64], 256]]",
            "let a = m.forward_gpt(text, #{ hooks: #{ \"blocks.1.att\": 0 } });\
             let b = m.forward_gpt(text, #{ hooks: #{ \"blocks.1.att\": |x| x * 0 } });\
             a.logits == b.logits && a.logits != m.forward_gpt(text).logits",
            "m.activations(text, #{ state: s, names: \"k\" }).keys() == [\"blocks.0.k\", \"blocks.1.k\"]",
            "m.activations(\"a\".repeat(300))[\"blocks.0.ffn.k\"].shape == [300, 256]",
            "m.activation_names().rows.map(|row| row.name).contains(\"kappa\")",
        ],
    );
}

#[test]
fn the_past_of_a_state_tells_what_was_replaced_and_left_out() {
    let mut desk = desk("rwkv7");
    desk.line("let hooks = #{ \"blocks.*.att\": 0, \"blocks.0.k\": |k| () };");
    let drawn = desk.line("m.forward_gpt(text, #{ hooks: hooks }).state");
    assert!(drawn.contains("replaced att while reading") && !drawn.contains(" k "), "{drawn}");
    let drawn = desk.line("m.forward_gpt(text, #{ knock_out: #{ positions: [1, 2] } }).state");
    assert!(drawn.contains("left out the writes of 2 tokens"), "{drawn}");
}

#[test]
fn what_cannot_be_hooked_is_refused_in_words() {
    let mut desk = desk("rwkv7");
    for (code, words) in [
        ("m.forward_gpt(text, #{ hooks: #{ \"blocks.2.k\": |x| x } })", "there are 0 to 1"),
        ("m.forward_gpt(text, #{ hooks: #{ \"blocks.1.kapa\": |x| x } })", "you mean `kappa`?"),
        ("m.forward_gpt(text, #{ hooks: #{ k: |x| x } })", "write blocks.0.k"),
        ("m.forward_gpt(text, #{ hooks: #{ \"blocks.1.k\": |x| x[0] } })", "has shape [11, 4, 16]"),
        ("m.forward_gpt(text, #{ hooks: #{ \"blocks.1.k\": |x| throw \"no\" } })", "no"),
        ("m.forward_gpt(text, #{ hooks: 3 })", "must be a map"),
        (
            "m.forward_gpt(text, #{ knock_out: #{ positions: 11 } })",
            "there is no 11; it goes from 0 to 10",
        ),
        ("m.forward_gpt(text, #{ knock_out: [1] })", "must be #{ positions: [..] }"),
        ("m.forward_gpt(text, #{ hiden: true })", "did you mean `hidden`?"),
        ("m.forward_gpt(text).hidden", "forward_gpt(tokens, #{ hidden: true })"),
        ("m.surprise(text).bit", "did you mean `bits`?"),
        ("m.attention_map(text, 2)", "there is no 2; it goes from 0 to 1"),
        ("m.surprise(\"a\")", "needs two tokens"),
        ("m.merge(s, load_model(\"toy:rwkv7\").segment(text))", "another model"),
        ("load_model(\"toy:rwkv4\").segment(text).matrices(0, 0)", "sums per channel"),
    ] {
        let drawn = desk.refusal(code);
        assert!(drawn.contains(words), "{code}: {drawn}");
    }
}

#[test]
fn knocked_out_tokens_leave_nothing_in_the_memory() {
    for version in VERSIONS {
        all_true(
            version,
            &[
                "let all = #{ positions: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10] };\
                 let none = m.forward_gpt(text, #{ knock_out: all });\
                 none.state[0].norm() > 0",
                if version == "rwkv4" {
                    "none.state[0].bb.norm() == 0 && none.state[1].aa.norm() == 0"
                } else {
                    "none.state[0].wkv.norm() == 0 && none.state[1].wkv.norm() == 0"
                },
                "let one = m.forward_gpt(text, #{ state: s, knock_out: #{ positions: -1 } });\
                 one.last.max_abs_diff(plain.last) < 1e-4 && one.state != plain.state",
                "let first = #{ positions: [0], layers: [1] };\
                 m.forward_gpt(text, #{ state: s, knock_out: first }).state[0].norm() > 0",
            ],
        );
    }
}

#[test]
fn lenses_maps_and_surprises_agree_with_the_logits() {
    for version in VERSIONS {
        all_true(
            version,
            &[
                "let lens = m.logit_lens(text, #{ state: s });\
                 lens.logits.shape == [2, 11, 256] && lens.rank[1].max() == 0",
                "lens.logits[1].max_abs_diff(plain.logits) < 1e-4",
                "lens.top[1][-1] == plain.last.argmax() && lens.hidden.shape == [2, 11, 64]",
                "m.logit_lens(text, #{ layers: -1, logits: false }).fields \
                 == [\"hidden\", \"prob\", \"rank\", \"top\"]",
                "let found = m.surprise(text, #{ state: s });\
                 let nats = -plain.logits[3].log_softmax()[m.encode(text)[4]];\
                 (found.bits[3] - nats / 2.ln()).abs() < 1e-4 && found.bits.shape == [10]",
                "found.rank[3] == plain.logits[3].rank(m.encode(text)[4])",
                "(found.entropy[3] - plain.logits[3].entropy() / 2.ln()).abs() < 1e-3",
                "m.half_lives(text).shape == [m.n_layer, m.n_head]",
                "let map = m.attention_map(text, 0, #{ state: s }); map.shape == [11, 11]",
                "m.head_says(text, 1, 0).shape == [256] && m.head_says(s, 1, 0).shape == [256]",
            ],
        );
    }
}

#[test]
fn segments_recordings_and_modes_work_in_every_version() {
    for version in VERSIONS {
        all_true(
            version,
            &[
                "let a = m.segment(\"The cat\", s); let b = m.segment(\" sat\", a.apply(s));\
                 a.then(b).apply(s).max_abs_diff(plain.state) < 1e-3",
                "a.error < 1e-5 && a.then(b).error < 1e-5 && a.tokens.len == 7",
                "let r = m.record(text, s); r.len == 11 && r.state.max_abs_diff(plain.state) < 1e-3",
                "r.segment(3..7).then(r.segment(7..11)).error < 1e-5",
                "let back = r.rewind(2, #{ tolerance: 1.0 }); back.undone && back.error <= 1.0",
                "r.rewind(11, #{ tolerance: 0 }).undone == false",
                "let merged = m.merge(s, m.segment(text)); merged.error > 0",
                "merged.truth.max_abs_diff(plain.state) < 1e-3",
                "merged.to_string().contains(\"APPROXIMATE\")",
                "let modes = m.compare_modes(text, #{ state: s, hand_over: 4, chunk: 3 });\
                 modes.rnn.shape == [2, 11] && modes.rnn.max() < 1e-3",
                "modes.handed_over.max() < 1e-3 && modes.chunks.max() < 1e-3",
                "modes.state.max_abs_diff(plain.state) < 1e-3 && modes.seconds.rnn > 0",
                "modes.cache_bytes == 11 * 2 * 4 * 2 * 64",
            ],
        );
    }
}

#[test]
fn a_report_shows_itself() {
    let mut desk = desk("rwkv7");
    let drawn = desk.line("m.surprise(text)");
    assert!(drawn.contains("Surprise of 10 tokens") && drawn.contains("expected bits"), "{drawn}");
    let drawn = desk.line("m.compare_modes(text)");
    assert!(
        drawn.contains("token by token") && drawn.contains("The state stands after 11"),
        "{drawn}"
    );
}
