//! Choosing tokens as scripts see it.

use super::Desk;

fn desk() -> Desk {
    let mut desk = Desk::new();
    desk.line("let m = load_model(\"toy:rwkv7\"); let logits = m.forward_gpt(\"The cat\").last;");
    desk
}

/// Each line must be true.
fn all_true(desk: &mut Desk, lines: &[&str]) {
    for line in lines {
        assert_eq!(desk.line(line), "true", "{line}");
    }
}

#[test]
fn logits_and_texts_are_sampled_with_the_same_options() {
    all_true(
        &mut desk(),
        &[
            "let options = #{ order: \"hf\", min_p: 0.1, mirostat: 2, seed: 3 }; true",
            "let id = logits.sample(options); id >= 0 && id < 256",
            "options.max_tokens = 1; options.stream = false; m.generate(\"The cat\", options).tokens[0] == id",
            "logits.sample(#{ logit_bias: #{ x: 500 } }) == 120",
            "logits.sample(#{ logit_bias: [[\"x\", 500], [121, 600]] }) == 121",
            "let best = logits.argmax(); logits.sample(#{ temperature: 0, ban: [best] }) != best",
            "logits.sample(#{ top_k: 1, order: \"hf\" }) == best",
        ],
    );
}

#[test]
fn penalties_see_the_prompt_and_ends_can_be_chosen() {
    let mut desk = desk();
    desk.line("let plain = #{ temperature: 0, max_tokens: 30, stream: false };");
    desk.line("let text = m.generate(\"a\", plain); plain.repetition_penalty = 100;");
    desk.line("let other = m.generate(\"a\", plain); let seen = other.tokens.to_array();");
    all_true(
        &mut desk,
        &[
            "seen != text.tokens.to_array()",
            "let first = text.tokens[0]; plain.end = [first]; plain.repetition_penalty = 1; true",
            "m.generate(\"a\", plain).finish_reason == \"eos\"",
        ],
    );
    assert!(desk.refusal("m.generate(\"a\", #{ end: 0 })").contains("`end` must be an array"));
}

#[test]
fn beams_are_generations_and_the_best_comes_first() {
    let mut desk = desk();
    desk.line("let beams = m.beam_search(\"The cat\", #{ beams: 3, max_tokens: 4 });");
    all_true(
        &mut desk,
        &[
            "beams.len() == 3 && beams[0].logprob >= beams[1].logprob",
            "let all = m.encode(\"The cat\") + beams[1].tokens; let read = m.forward_gpt(all); true",
            "read.state.max_abs_diff(beams[1].state) < 0.001",
            "m.beam_search(\"a\", #{ beams: 1, max_tokens: 3 })[0].text == \
             m.generate(\"a\", #{ temperature: 0, max_tokens: 3, stream: false }).text",
        ],
    );
    assert!(desk.refusal("m.beam_search(\"a\", #{ beams: 0 })").contains("at least 1"));
    assert!(desk.refusal("m.beam_search(\"a\", #{ top_p: 1 })").contains("no option `top_p`"));
}

#[test]
fn choices_are_ranked() {
    let mut desk = desk();
    desk.line("let ranked = m.rank(\"The cat\", [\" sat\", \"!\", \" flew away\"]);");
    all_true(
        &mut desk,
        &[
            "ranked[0].probability >= ranked[2].probability && ranked[0].score == ranked[0].logprob",
            "let one = ranked.filter(|x| x.text == \" sat\")[0]; one.tokens == 4",
            "(one.mean * 4 - one.logprob).abs() < 0.0001",
            "let state = m.forward(\"The\", m.new_state()).state; \
             let again = m.rank(\" cat\", [\" sat\"], #{ state: state })[0]; \
             (again.logprob - one.logprob).abs() < 0.001",
            "m.rank(\"\", [\"a\", \"b\"], #{ normalise: \"calibrated\" })[0].score == 0",
        ],
    );
    for (code, said) in [
        ("m.rank(\"a\", [])", "there are no choices"),
        ("m.rank(\"a\", [\"\"])", "choice 1 is empty"),
        ("m.rank(\"a\", [1])", "a choice is a string, not an integer"),
        (
            "m.rank(\"a\", [\"b\"], #{ normalise: \"max\" })",
            "one of sum, mean, calibrated, not max",
        ),
    ] {
        let drawn = desk.refusal(code);
        assert!(drawn.contains(said), "{code}\n{drawn}");
    }
}

#[test]
fn texts_keep_the_form_they_are_given() {
    let mut desk = desk();
    desk.line(
        "fn of(m, o) { o.max_tokens = 500; o.stream = false; o.seed = 1; m.generate(\"x\", o) }",
    );
    all_true(
        &mut desk,
        &[
            "let out = of(m, #{ choices: [\"yes\", \"no\"] }); \
             out.text in [\"yes\", \"no\"] && out.finish_reason == \"complete\"",
            "let digits = of(m, #{ regex: \"[0-9]{4}\" }).text; parse_int(digits) >= 0",
            "let schema = #{ type: \"object\", properties: #{ n: #{ type: \"integer\", minimum: 1, \
             maximum: 9 } }, required: [\"n\"], additionalProperties: false }; \
             let n = parse_json(of(m, #{ json_schema: schema }).text).n; n >= 1 && n <= 9",
            "parse_json(of(m, #{ json_schema: `{\"enum\": [7]}` }).text) == 7",
            "of(m, #{ grammar: `start: \"a\" b \"a\"\nb: \"b\" | \"bb\"` }).text in [\"aba\", \"abba\"]",
            "let c = m.new_chat(#{ choices: [\"hm\"] }); c.say(\"?\", #{ stream: false }).text == \"hm\"",
        ],
    );
    for (code, said) in [
        ("m.generate(\"a\", #{ regex: \"(\" })", "`regex` cannot be used"),
        ("m.generate(\"a\", #{ regex: 1 })", "`regex` must be a string, not an integer"),
        ("m.generate(\"a\", #{ choices: [] })", "`choices` is empty"),
        ("m.generate(\"a\", #{ choices: [1] })", "`choices` must be an array of strings"),
        ("m.generate(\"a\", #{ json_schema: \"{\" })", "`json_schema` is not JSON"),
        ("m.generate(\"a\", #{ regex: \"a\", choices: [\"a\"] })", "exclude each other"),
    ] {
        let drawn = desk.refusal(code);
        assert!(drawn.contains(said), "{code}\n{drawn}");
    }
}
