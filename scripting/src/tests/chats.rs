//! Conversations in the formats that models learnt.

use super::Desk;

/// A session with a toy model `m` and a function that makes answers short.
fn desk() -> Desk {
    let mut desk = Desk::new();
    desk.line("let m = load_model(\"toy:rwkv7\");");
    desk.line("fn short(options) { options + #{ max_tokens: 4, seed: 1 } }");
    desk
}

/// Each line must be true.
fn all_true(desk: &mut Desk, lines: &[&str]) {
    for line in lines {
        assert_eq!(desk.line(line), "true", "{line}");
    }
}

#[test]
fn a_format_is_told_or_chosen() {
    all_true(
        &mut desk(),
        &[
            "m.new_chat().format == \"world\" && m.new_chat().to_string().ends_with(\"world\")",
            "let pile = init_model(\"rwkv4\", #{ vocab_size: 50277, n_layer: 1, n_embd: 8 });
             pile.new_chat().format == \"plain\" && pile.new_chat().prompt(\" Hi \") == \" Hi \"",
            "pile.new_chat(#{ user: \"Q\" }).format == \"world\"",
            "m.new_chat(#{ format: \"raven\" }).prompt(\"Hi\") == \"\\nBob: Hi\\n\\nAlice:\"",
            "m.new_chat(#{ user: \"Q\", assistant: \"A\" }).prompt(\"Hi\") == \"Q: Hi\\n\\nA:\"",
            "m.new_chat(#{ format: \"g1\", effort: \"low\" }).prompt(\"Hi\")
                == \"User: Hi (think a bit)\\n\\nAssistant: <think\"",
            "let c = m.new_chat(#{ format: \"world\", bos: true });
             c.prompt_tokens(\"Hi\").to_array() == [0] + m.encode(c.prompt(\"Hi\")).to_array()",
            "c.to_string().ends_with(\"0 turns  format world, token 0 first\")",
        ],
    );
}

#[test]
fn world_models_begin_with_token_0_where_they_begin_anew() {
    let mut desk = desk();
    desk.line("let w = init_model(\"rwkv7\", #{ vocab_size: 65536, n_layer: 1, n_embd: 32 });");
    desk.line("let g1 = #{ format: \"g1\", think: \"on\" };");
    all_true(
        &mut desk,
        &[
            "w.new_chat().format == \"world\" && w.new_chat().prompt_tokens(\"Hi\")[0] == 0",
            "let begun = w.forward_gpt(\"a\").state;
             w.new_chat(#{ state: begun }).prompt_tokens(\"Hi\")[0] == 24281",
            "w.new_chat(g1).prompt_tokens(\"Hi\").to_array()
                == [0] + w.encode(\"User: Hi\\n\\nAssistant: <think\").to_array()",
            "w.new_chat(g1).prompt_tokens(\"Hi\").to_array().contains(261)",
        ],
    );
}

#[test]
fn a_stop_of_ones_own_does_not_confuse_the_next_turn() {
    let mut desk = Desk::new();
    desk.line("let o = #{ stop: \".\", sampler: #{ temperature: 0 } };");
    desk.line("let c = load_model(\"demo:tales\").new_chat(o);");
    desk.line("c.say(\"Mira puts the ball in the garden. Nela goes to the mill.\");");
    desk.line("c.say(\"Where is the ball?\");");
    assert_eq!(desk.line("c.turns[1].reply"), "\"The ball is in the garden\"");
}

#[test]
fn what_a_format_cannot_do_is_said() {
    let said = [
        ("m.new_chat(#{ format: \"g2\" })", "`format` must be one of world, g1, raven"),
        ("m.new_chat(#{ think: \"on\" })", "give format: \"g1\""),
        ("m.new_chat(#{ format: \"g1\", think: \"yes\" })", "must be one of off, on, fast"),
        ("m.new_chat(#{ format: \"g1\", think: \"fast\", effort: \"low\" })", "think: \"on\""),
        ("m.new_chat().say(\"x\", #{ input: \"y\" })", "no place for `input`"),
        ("m.new_chat().tool_result(\"x\")", "this chat has no tools"),
        ("m.new_chat().regenerate(#{})", "there is no answer yet"),
        ("m.new_chat(#{ forma: 1 })", "did you mean `format`?"),
        ("m.fill(\"✿\", \"\")", "take it out first"),
    ];
    let mut desk = desk();
    for (code, words) in said {
        let drawn = desk.refusal(code);
        assert!(drawn.contains(words), "{code}\n{drawn}");
    }
}

#[test]
fn thoughts_are_shown_and_then_forgotten() {
    let mut desk = desk();
    desk.line("let c = m.new_chat(short(#{ format: \"g1\", think: \"on\" }));");
    desk.line("let out = c.say(\"Hi\");");
    assert!(desk.heard().concat().starts_with("<think"));
    all_true(
        &mut desk,
        &[
            "out.text.starts_with(\"<think\") && c.turns[0].reply == \"\"",
            "c.turns[0].thoughts.len() > 0 && c.state != out.state",
            "c.state.max_abs_diff(m.forward_gpt(\"User: Hi\\n\\nAssistant:\").state) < 1e-4",
            "c.prompt(\"Ho\").starts_with(\"\\n\\nUser: Ho\")",
        ],
    );
}

#[test]
fn tools_are_called_and_answer() {
    let mut desk = desk();
    desk.line("let c = m.new_chat(short(#{ format: \"g1\", tools: [\"dice()\"] }));");
    all_true(
        &mut desk,
        &[
            "c.prompt(\"Roll\") == \"System: Tools:\\n- dice()\\nReturn only a JSON function call.\
             \\n\\nUser: Roll\\n\\nAssistant: ```json\"",
            "c.say(\"Roll\").text.starts_with(\"```json\") && c.turns[0].tool",
            "c.tool_result(`{\"eyes\": 4}`); c.turns[1].user == \"Function output:\\n{\\\"eyes\\\": 4}\"",
            "!c.turns[1].tool && c.say(\"So?\", #{ tool: false }).text.contains(\"```\") == false",
        ],
    );
}

#[test]
fn a_seed_repeats_a_conversation_and_a_turn() {
    let mut desk = desk();
    desk.line("let o = #{ seed: 5, max_tokens: 9, sampler: #{ top_p: 1.0 } };");
    desk.line("let c = m.new_chat(o); let d = m.new_chat(o);");
    all_true(
        &mut desk,
        &[
            "c.say(\"a\"); let out = c.say(\"b\"); d.say(\"a\").seed == 5",
            "d.say(\"b\").tokens == out.tokens",
            "c.regenerate(#{}); c.regenerate(#{ seed: out.seed }).tokens == out.tokens",
        ],
    );
}

#[test]
fn gaps_are_filled() {
    let code = "let o = #{ max_tokens: 5, temperature: 0, stream: false };
        let prompt = \"✿prefix✿✿suffix✿ end✿middle✿start \";
        m.fill(\"start \", \" end\", o).tokens == m.generate(prompt, o).tokens";
    all_true(&mut desk(), &[code]);
    all_true(&mut desk(), &["m.fill(\"a\", \"b\", #{ max_tokens: 1, bos: true }).tokens.len == 1"]);
}

#[test]
fn a_callback_may_not_look_at_a_chat_that_answers() {
    let mut desk = desk();
    desk.line("let c = m.new_chat(short(#{})); let d = c;");
    let drawn = desk.refusal("c.say(\"x\", #{ on_token: |t| { d.turns.len() < 9 } })");
    assert!(drawn.contains("in the middle of an answer"), "{drawn}");
    assert_eq!(desk.line("c.turns.len()"), "0");
}

#[test]
fn a_chat_is_a_tree() {
    let mut desk = desk();
    desk.line("let c = m.new_chat(#{ max_tokens: 4, seed: 1 });");
    all_true(
        &mut desk,
        &[
            "c.say(\"a\"); c.say(\"b\"); let after = c.state; c.undo() && c.turn == 1",
            "c.redo() && c.state == after && !c.redo()",
            "let first = c.turns[1].reply; c.regenerate().seed != 2 && c.turn == 3",
            "c.jump(2); c.turns[1].reply == first && c.turns[1].number == 2",
            "c.edit(1, \"x\").seed == 1 && c.turns.len() == 1 && c.turn == 4",
            "c.to_string().contains(\"  1 turn, at 4 of 4  format\")",
            "let d = c.branch(); d.say(\"y\"); d.turn == 5 && c.turn == 4",
            "let read = c.tokens_read; c.undo(); c.tokens_read == 0 && read > 4",
            "c.reset(); c.turn == 0 && !c.redo()",
        ],
    );
    let drawn = desk.line("d.jump(3); d.tree()");
    assert!(drawn.starts_with("● 0  start\n├─○ 4  x → "), "{drawn}");
    assert!(drawn.contains("\n│ ○ 5  y → ") && drawn.contains("\n● 1  a → "), "{drawn}");
    assert!(drawn.contains("\n├─○ 2  b → ") && drawn.contains("\n▶ 3  b → "), "{drawn}");
    let page = [desk.refusal("d.jump(-1)"), desk.refusal("d.jump(6)")].concat();
    assert!(page.contains("no turn -1") && page.contains("no turn 6; this chat has 5"), "{page}");
}

#[test]
fn an_answer_goes_on_after_any_cut() {
    let mut desk = desk();
    desk.line("let o = #{ max_tokens: 4, seed: 1, sampler: #{ presence_penalty: 0.5 } };");
    desk.line("let whole = m.new_chat(o + #{ max_tokens: 12 }).say(\"a\");");
    desk.line("let c = m.new_chat(o); let stream = #{ stream: true };");
    all_true(
        &mut desk,
        &[
            "c.say(\"a\", #{ on_token: |t| false }).tokens.len == 1",
            "c.continue_reply().tokens.len == 5 && c.turns[0].finish_reason == \"length\"",
            "c.continue_reply(#{ max_tokens: 7 }).tokens == whole.tokens && c.state == whole.state",
        ],
    );
    desk.heard();
    desk.line("let more = c.continue_reply(stream + #{ max_tokens: 3, temperature: 2.0 });");
    let heard = desk.heard().concat();
    assert_eq!(desk.line("more.seed == whole.seed && more.tokens.len == 15"), "true");
    assert!(!heard.is_empty() && heard.len() < 10, "only what is new streams: {heard:?}");
    let said = desk.refusal("m.new_chat().continue_reply()");
    assert!(said.contains("there is no answer yet"), "{said}");
}

#[test]
fn what_was_not_said_draws_no_seed() {
    let mut desk = desk();
    desk.line("let c = m.new_chat(#{ max_tokens: 4, sampler: #{ top_p: 1.0 } }); seed(3);");
    let seed = desk.line("let a = c.say(\"a\"); a.seed");
    desk.line("c.reset(); seed(3);");
    desk.refusal("c.say(\" \")");
    desk.refusal("c.regenerate()");
    desk.refusal("c.say(\"a\", #{ on_token: |t| throw \"no\" })");
    assert_eq!(desk.line("c.say(\"a\").seed"), seed);
}

#[test]
fn settings_are_shown_and_changed() {
    let mut desk = desk();
    desk.line("let c = m.new_chat(#{ system: \"Be kind.\", max_tokens: 2 });");
    assert_eq!(
        desk.line("c.sampler"),
        "#{\"frequency_penalty\": 0.0, \"presence_penalty\": 0.0, \"temperature\": 1.0, \
         \"top_k\": 0, \"top_p\": 0.3}"
    );
    all_true(
        &mut desk,
        &[
            "c.sampler = #{ temperature: 0.7, ban: [3], order: \"hf\", logit_bias: [[4, -1]] };
             c.sampler.temperature == 0.7 && c.sampler.ban == [3] && c.sampler.order == \"hf\"",
            "c.sampler = #{ top_k: 5 }; c.sampler.top_k == 5 && c.sampler.temperature == 0.7",
            "let before = c.sampler; c.sampler = before; c.sampler == before",
            "c.system == \"Be kind.\" && c.seed == () && c.budget == 1073741824",
            "c.max_tokens = 3; c.seed = 9; c.say(\"a\").seed == 9 && c.max_tokens == 3",
            "c.undo(); c.system = \"\"; c.prompt(\"Hi\") == \"User: Hi\\n\\nAssistant:\"",
            "c.budget = 0; c.say(\"a\"); c.say(\"b\"); c.bytes < 4 * c.state.bytes",
            "c.turns[0].state == () && c.turns[1].state == c.state",
        ],
    );
    for (code, words) in [
        ("c.system = \"x\"", "chat.jump(0) goes back there"),
        ("c.sampler = #{ temperatur: 1 }", "did you mean `temperature`?"),
        ("c.sampler = #{ top_p: 2 }", "top_p is 2"),
        ("c.max_tokens = -1", "must be at least 0"),
        ("c.budget = -1", "must be at least 0"),
    ] {
        let drawn = desk.refusal(code);
        assert!(drawn.contains(words), "{code}\n{drawn}");
    }
}

#[test]
fn a_prompt_is_told_where_the_chat_stands() {
    let mut desk = desk();
    desk.line("let c = m.new_chat(#{ max_tokens: 2 }); c.say(\"a\");");
    let standing = desk.session.standing("c").unwrap();
    assert_eq!((standing.model.as_str(), standing.turn, standing.answer), ("rwkv7", 1, 2));
    assert!(standing.finish == "length" && standing.speed > 0.0);
    assert_eq!(standing.tokens.to_string(), desk.line("c.tokens_read"));
    assert!(desk.session.standing("m").is_none() && desk.session.standing("none").is_none());
}

#[test]
fn a_chat_is_saved_and_loaded() {
    let mut desk = desk();
    desk.line("let file = temp_path(\"chat-test.safetensors\");");
    desk.line("let c = m.new_chat(#{ max_tokens: 3, seed: 5, system: \"Be kind.\" });");
    desk.line("c.say(\"a\"); c.say(\"b\"); c.regenerate(); c.undo();");
    for options in ["", ", #{ states: false }"] {
        desk.line(&format!("c.save(file{options}); let d = load_chat(file, m);"));
        all_true(
            &mut desk,
            &[
                "d.state == c.state && d.turn == c.turn && d.seed == 5 && d.system == c.system",
                "let e = c.branch(); e.redo() && d.redo() && e.state == d.state",
                "e.say(\"c\").tokens == d.say(\"c\").tokens && e.state == d.state",
            ],
        );
    }
    let drawn = desk.refusal("load_chat(file, load_model(\"toy:rwkv4\"))");
    assert!(drawn.contains("is a chat with `toy:rwkv7`"), "{drawn}");
    let drawn = desk.refusal("c.save(file, #{ state: false })");
    assert!(drawn.contains("did you mean `states`?"), "{drawn}");
}
