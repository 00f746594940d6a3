//! Data to learn from, as scripts see it.

use super::Desk;

/// A desk with a tokenizer and a file of JSON lines, one of them broken; tests that run at the same time
/// have files of different names.
fn desk(name: &str) -> Desk {
    let mut desk = Desk::new();
    desk.line("let bytes = load_model(\"toy:rwkv4\").tokenizer;");
    desk.line(&format!("let file = temp_path(\"{name}.jsonl\");"));
    desk.line("write_file(file, \"{\\\"text\\\": \\\"one\\\"}\\n{\\n\" + \"{\\\"text\\\": \\\"two\\\"}\\n\".repeat(8));");
    desk
}

#[test]
fn what_cannot_be_used_is_an_error_or_told_once() {
    let mut desk = desk("unusable");
    let said = desk.refusal("data::jsonl(file, bytes, #{ ctx_len: 4 })");
    assert!(said.contains("line 2: an object in JSON is expected"), "{said}");
    desk.heard();
    desk.line("let d = data::jsonl(file, bytes, #{ ctx_len: 4, bad: \"skip\", shuffle: false });");
    desk.line("for i in 0..30 { d.next_batch(2); }");
    let notes = desk.heard();
    assert_eq!(notes.iter().filter(|note| note.contains("is left out")).count(), 1, "{notes:?}");
    assert_eq!(desk.line("d.skipped == 1 && d.epoch > 3"), "true");
}

#[test]
fn options_are_read_strictly() {
    let mut desk = desk("strict");
    let cases = [
        ("data::jsonl(file, bytes, #{ bad: \"skipp\" })", "`bad` must be error or skip, not skipp"),
        ("data::jsonl(file, bytes, #{ format: \"wrld\" })", "`format` must be world or g1 or"),
        ("data::jsonl(file, bytes, #{ order: \"on\" })", "`order` must be continue, not on"),
        ("data::jsonl(file, bytes, #{ shuffle: 1 })", "`shuffle` must be true or false"),
        (
            "data::jsonl(file, bytes, #{ shuffle: true, order: \"continue\" })",
            "rows that continue cannot be shuffled",
        ),
        ("data::jsonl(file, bytes, #{ learn: \"A:\" })", "`learn` must be two texts"),
        ("data::jsonl(file, bytes, #{ elsewhere: -0.5 })", "`elsewhere` must be at least 0"),
        ("data::jsonl(file, bytes, #{ text: \"body\", bad: \"skip\" })", "nothing to learn from"),
        ("data::text(file, bytes, #{ packed: true })", "has no option `packed`"),
        ("data::reverse(#{ digits: [9, 1] })", "or two as [least, most]"),
        ("data::reverse(#{ digits: 0 })", "`digits` must go up from 1 or more"),
        (
            "data::reverse(#{ digits: 90, ctx_len: 100 })",
            "has 183 tokens, more than a sample of 101",
        ),
        (
            "data::reverse(#{ tokenizer: \"bytes\" })",
            "must be a Tokenizer, such as model.tokenizer",
        ),
        ("data::passkey(#{ depth: 2, ctx_len: 2000 })", "`depth` must be 0 to 1, not 2"),
        ("data::problems(\"revers\", 1, #{})", "did you mean `reverse`?"),
        ("data::problems(\"reverse\", -1, #{})", "cannot make -1 problems"),
        ("data::write_binidx(temp_path(\"b\"), [\"text\"])", "encode it with a tokenizer first"),
        ("data::write_binidx(temp_path(\"b\"), [])", "there are no documents to write"),
        ("data::binidx(temp_path(\"none\"), #{})", "cannot read"),
        ("data::parity(#{}).go_to(\"x\")", "this is no position of a data set"),
    ];
    for (code, part) in cases {
        let said = desk.refusal(code);
        assert!(said.contains(part), "{code}: {said}");
    }
}

#[test]
fn conversations_are_learnt_by_their_answers() {
    let mut desk = desk("answers");
    desk.line(
        "write_file(file, `{\"messages\": [{\"role\": \"user\", \"content\": \"1+1?\"}, \
         {\"role\": \"assistant\", \"content\": \"2\"}]}`);",
    );
    desk.line(
        "let b = data::jsonl(file, bytes, #{ ctx_len: 40, pack: false, format: \"raven\" })\
         .next_batch(1);",
    );
    desk.line("let row = b.tokens[0]; let w = b.weights[0]; let learnt = [];");
    desk.line("for i in 0..row.len() { if w[i] == 1.0 { learnt.push(row[i]); } }");
    assert_eq!(desk.line("bytes.decode(learnt)"), "\" 2\\n\\n\"");
    assert_eq!(desk.line("bytes.decode(row).contains(\"Bob: 1+1?\\n\\nAlice: 2\")"), "true");
}

#[test]
fn a_position_is_kept_in_a_file() {
    let mut desk = desk("position");
    desk.line("let options = #{ bad: \"skip\", ctx_len: 6, seed: 4 };");
    desk.line("let d = data::jsonl(file, bytes, options); d.next_batch(3);");
    desk.line("write_file(temp_path(\"here\"), d.position); let next = d.next_batch(3).tokens;");
    desk.line("let again = data::jsonl(file, bytes, options);");
    desk.line("again.go_to(read_file(temp_path(\"here\")));");
    assert_eq!(desk.line("again.next_batch(3).tokens == next"), "true");
    desk.line("let other = data::jsonl(file, bytes, options + #{ seed: 5 });");
    desk.line("let parts = d.split(0.5); let mixed = d.shuffle(1);");
    assert_eq!(desk.line("parts.train.len + parts.valid.len > 30 && mixed.epoch == 0"), "true");
}

#[test]
fn tokens_that_a_model_does_not_have_are_refused() {
    let mut desk = desk("foreign");
    desk.line("data::write_binidx(temp_path(\"wide\"), [[1, 2, 3, 70000, 5, 6, 7, 8]]);");
    desk.line("let d = data::binidx(temp_path(\"wide\"), #{ ctx_len: 4, shuffle: false });");
    desk.line("let m = init_model(\"rwkv4\", #{ n_layer: 1, n_embd: 16 });");
    let said = desk.refusal("new_trainer(m, #{}).train_step(d.next_batch(1))");
    assert!(said.contains("token 70000 is out of range"), "{said}");
}
