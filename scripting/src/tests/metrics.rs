//! Measurements from a script: reports, files, options, failures, interrupts.

use super::Desk;

fn desk() -> Desk {
    let mut desk = Desk::new();
    desk.line("let m = load_model(\"toy:rwkv7\"); let tales = load_model(\"demo:tales\");");
    desk
}

fn all_true(desk: &mut Desk, lines: &[&str]) {
    for line in lines {
        assert_eq!(desk.line(line), "true", "{line}");
    }
}

#[test]
fn perplexity_is_that_of_the_logits() {
    all_true(
        &mut desk(),
        &[
            "let text = sample_text(\"pangrams\"); let ids = m.encode(text);\
             let logits = m.forward_gpt([0] + ids.to_array()).logits.log_softmax();\
             let sum = 0.0; for t in 0..ids.len { sum -= logits[t][ids[t]]; }\
             let p = metrics::perplexity(m, text, #{ chunk: 100 });\
             (p.nll - sum / ids.len).abs() < 1e-4 && (p.ppl - (sum / ids.len).exp()).abs() < 0.1",
            "p.tokens == ids.len && p.bytes == text.len()",
            "(p.bits_per_byte - p.nll / 2.ln()).abs() < 1e-9",
            "write_file(temp_path(\"pangrams.txt\"), text);\
             let f = metrics::perplexity(m, #{ file: temp_path(\"pangrams.txt\") }, #{ chunk: 64 });\
             (f.nll - p.nll).abs() < 1e-4 && f.bytes == p.bytes",
            "let t = metrics::perplexity(m, ids); (t.nll - p.nll).abs() < 1e-4",
            // From a state on there is no token 0, and nothing is said of the first token.
            "let s = m.forward_gpt(\"The cat\").state;\
             let c = metrics::perplexity(m, \" sat\", #{ state: s }); c.tokens == 3",
            "(parse_json(p.to_json()).ppl - p.ppl).abs() < 1e-9 && !p.to_json().contains(\"plot\")",
        ],
    );
}

#[test]
fn rows_come_from_texts_files_and_data_sets() {
    all_true(
        &mut desk(),
        &[
            "let text = sample_text(\"pangrams\"); write_file(temp_path(\"rows.txt\"), text);\
             let o = #{ length: 100, bucket: 50 };\
             let a = metrics::loss_by_position(m, text, o);\
             let b = metrics::loss_by_position(m, #{ file: temp_path(\"rows.txt\") }, o);\
             a.tokens == text.len() && a.nll == b.nll && a.buckets.len() == 2",
            "a.rows == (text.len() + 99) / 100",
            "let d = data::text(temp_path(\"rows.txt\"), m.tokenizer, #{ ctx_len: 16, seed: 1 });\
             let c = metrics::loss_by_position(m, d, #{ rows: 5, batch: 2 });\
             c.rows == 5 && c.tokens == 80",
            "c.nll == metrics::loss_by_position(m, d, #{ rows: 5, batch: 2 }).nll",
            "let rows = [\"ab\", \"\", \"abcdef\"];\
             let r = metrics::loss_by_position(m, rows, #{ length: 4, trained: 3 });\
             r.tokens == 6 && r.skipped == 1 && r.trained == 3 && r.buckets.len() == 4",
            "(r.nll * 6 - r.within * 5 - r.beyond).abs() < 1e-9",
        ],
    );
}

#[test]
fn reports_are_tables_json_and_plots() {
    let mut desk = desk();
    let shown = desk.line("metrics::perplexity(m, \"The cat sat on the mat.\", #{ chunk: 8 })");
    assert!(
        shown.contains("Perplexity of 23 tokens") && shown.contains("bits per byte"),
        "{shown}"
    );
    assert!(shown.contains("token 0 first"), "{shown}");
    let plot = desk.line("metrics::perplexity(m, \"The cat sat.\", #{ chunk: 4 }).plot");
    assert!(plot.contains("loss along the text"), "{plot}");
    let shown =
        desk.line("metrics::loss_by_position(m, [\"abc\", \"\"], #{ trained: 2, bucket: 1 })");
    assert!(shown.contains("over 1 rows") && shown.contains("beyond"), "{shown}");
    let shown = desk.line(
        "metrics::multiple_choice(m, [#{ question: \"?\", choices: [\"a\", \"b\"], answer: 0, \
         subject: \"letters\" }])",
    );
    assert!(shown.contains("letters") && shown.contains("accuracy, per byte"), "{shown}");
    let shown = desk.line("metrics::passkey(m, #{ lengths: [200], depths: [0, 1], samples: 1 })");
    assert!(shown.contains("200 characters") && shown.contains("share found"), "{shown}");
    let shown = desk.line("metrics::capacity(m, #{ most: 2, samples: 2, threshold: 0 })");
    assert!(shown.contains("solved up to size 2, the largest tried"), "{shown}");
}

#[test]
fn the_demo_model_finds_what_it_was_told() {
    all_true(
        &mut desk(),
        &[
            "let facts = #{ fact: \"The {key} is in the {value}.\",\
             question: \"\\n\\nUser: Where is the {key}?\\n\\nAssistant:\",\
             answer: \" The {key} is in the {value}.\",\
             keys: [\"ball\", \"lamp\", \"key\"], values: [\"garden\", \"mill\", \"tower\"] };\
             let n = metrics::needle(tales, #{ facts: facts, lengths: [100], samples: 3, depths: [0, 1] });\
             n.acc == 1 && n.items == 6 && n.accuracy == tensor([[1], [1]])",
            "n.tokens[0] > 60 && n.tokens[0] <= 101",
            "let r = metrics::recall(tales, #{ facts: facts, pairs: [1, 3], samples: 6 });\
             r.accuracy[0] == 1 && r.pairs == [1, 3] && r.items == 12",
            "let c = metrics::capacity(tales, #{ facts: facts, samples: 4 });\
             c.cliff >= 1 && c.sizes[0] == 1 && c.sizes.len() == c.accuracy.len()",
            // Made with a seed: the same problems each time.
            "r.logprob == metrics::recall(tales, #{ facts: facts, pairs: [1, 3], samples: 6 }).logprob",
        ],
    );
}

#[test]
fn files_of_items_are_read_and_what_is_wrong_is_said() {
    let mut desk = desk();
    desk.line(
        "fn lines(list) { let text = \"\"; for x in list { text += x.to_json() + \"\\n\"; } text }\
         let h = temp_path(\"h.jsonl\");\
         write_file(h, lines([#{ ctx: \"A\", endings: [\"b\", \"c\"], label: \"1\" },\
                              #{ ctx: \"A\", endings: [\"b\", \"c\"], label: \"\" }]));\
         let piqa = temp_path(\"piqa.jsonl\"); let labels = temp_path(\"piqa.lst\");\
         write_file(piqa, lines([#{ goal: \"g\", sol1: \"a\", sol2: \"b\" }])); write_file(labels, \"1\\n\");",
    );
    all_true(
        &mut desk,
        &[
            "let f = metrics::multiple_choice(m, h); f.items == 1 && f.skipped == 1 && f.chance == 0.5",
            "let p = metrics::multiple_choice(m, piqa, #{ labels: labels }); p.answers[0].answer == 1",
            "metrics::multiple_choice(m, h, #{ limit: 1 }).skipped == 0",
            "let a = metrics::multiple_choice(m, h, #{ header: \"Choose. \" });\
             a.answers[0].prompt == \"Choose. A\" && a.read < a.asked",
        ],
    );
    let refused = [
        ("metrics::multiple_choice(m, piqa)", "piqa.jsonl:1 has no `label`"),
        ("metrics::multiple_choice(m, h, #{ layout: \"mmlu\" })", "h.jsonl:1 has no `choices`"),
        ("metrics::multiple_choice(m, h, #{ layout: \"squad\" })", "no layout `squad`"),
        ("metrics::multiple_choice(m, h, #{ normalise: \"bits\" })", "must be one of bytes"),
        ("metrics::multiple_choice(m, 3)", "needs items: an array of maps, or the path"),
        ("metrics::last_word(m, [1])", "item 1 must be a map, not an integer"),
        ("metrics::last_word(m, [])", "nothing to measure: there are no items"),
        ("metrics::last_word(m, [#{ text: \"one\" }])", "nothing to measure"),
        ("metrics::last_word(m, \"nowhere.jsonl\")", "cannot read"),
        ("metrics::perplexity(m, \"\")", "at least one token"),
        ("metrics::perplexity(m, #{ file: \"nowhere.txt\" })", "cannot read nowhere.txt"),
        ("metrics::perplexity(m, #{ fil: \"x\" })", "no option `fil`; did you mean `file`?"),
        ("metrics::perplexity(m, \"a\", #{ chunk: 0 })", "`chunk` must be at least 1"),
        ("metrics::loss_by_position(m, [1.5])", "needs texts, not a float"),
        ("metrics::passkey(m, #{ lengths: [20] })", "`length` must be at least"),
        ("metrics::passkey(m, #{ depths: [2] })", "numbers from 0 to 1, not 2"),
        ("metrics::recall(m, #{ facts: #{ fact: \"a\" } })", "facts need keys"),
        ("metrics::capacity(m, #{ task: \"revers\" })", "must be one of reverse, recall"),
        ("metrics::recall_at_k([[1, 2]], [1])", "do not pair up"),
        ("metrics::top_k_accuracy([[1, 2]], [2], 1)", "label 0 is 2, but the columns are 0 to 1"),
        ("similarity([[1, 2]], [[1]])", "rows of one length"),
        ("sample_text(\"tale\")", "did you mean `tales`?"),
    ];
    for (code, part) in refused {
        let said = desk.refusal(code);
        assert!(said.contains(part), "{code}\n{said}");
    }
}

#[test]
fn an_interrupted_measurement_is_kept() {
    let mut desk = desk();
    let flag = desk.session.interrupt();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(400));
        flag.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let failure = desk.failure("metrics::perplexity(m, \"abc \".repeat(1000000), #{ chunk: 16 })");
    stopper.join().unwrap();
    assert_eq!(failure.kind, crate::FailureKind::Interrupted);
    let shown = desk.line("ans");
    assert!(shown.contains("interrupted") && shown.contains("Perplexity of"), "{shown}");
    assert_eq!(desk.line("ans.tokens > 0 && ans.tokens < 4000000"), "true");
}
