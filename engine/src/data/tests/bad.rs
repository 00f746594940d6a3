//! Data that is broken, too little or too much.

use super::*;

/// What opening a file, and reading all of it, says.
fn failure(path: &Path, json: bool, bad: Bad) -> String {
    let (bytes, cut) = (Tokenizer::bytes(), cut(4, Order::Straight));
    let opened = match json {
        true => Dataset::jsonl(path, &bytes, Jsonl::default(), bad, &cut),
        false => Dataset::text_file(path, &bytes, bad, false, &cut),
    };
    let read = opened.and_then(|mut set| set.next_batch(500));
    format!("{:#}", read.unwrap_err())
}

#[test]
fn too_little_is_refused() {
    let cases = [
        ("", true, "lines.jsonl is empty"),
        ("", false, "is empty; there is nothing to learn from"),
        ("\n\n \n", true, "there is nothing to learn from in bytes 0 to 4"),
        ("x", false, "1 tokens are too few for one sample of 5"),
    ];
    for (content, json, part) in cases {
        let path = file("little", "lines.jsonl", content);
        let said = failure(&path, json, Bad::Skip);
        assert!(said.contains(part), "{said}");
    }
    let missing = failure(&place("little", "none"), true, Bad::Refuse);
    assert!(missing.contains("cannot read") && missing.contains("none"), "{missing}");
    let error = Dataset::text(vec![1, 2], &Cut::new(2, 0)).unwrap_err().to_string();
    assert!(error.contains("2 tokens are too few"), "{error}");
    assert!(Dataset::text(vec![1, 2, 3], &Cut::new(2, 0)).unwrap().split(0.99).is_err());
    assert!(Dataset::text(vec![1, 2, 3], &Cut::new(0, 0)).is_err());
    let none = Dataset::documents(&[], &Tokenizer::bytes(), None, &cut(4, Order::Shuffled));
    assert!(none.unwrap_err().to_string().contains("0 tokens are too few"));
}

#[test]
fn one_token_documents_are_enough_together() {
    let path = file("tiny", "lines.jsonl", "{\"text\": \"a\"}\n".repeat(9));
    let mut set = jsonl(&path, &cut(4, Order::Straight));
    assert_eq!(text(&rows(&mut set, 1)[0].0), "aaa");
}

#[test]
fn broken_lines_are_named() {
    let good = "{\"text\": \"hello\"}\n";
    let cases: [(&[u8], &str); 4] = [
        (b"{\"text\": \"a\n", "line 3: an object in JSON is expected"),
        (b"{\"text\": 5}\n", "line 3: `text` must be a string, not a number; mend it, or skip"),
        (b"{\"text\": \"\xff\"}\n", "line 3: its byte 11 is not UTF-8"),
        (b"{\"messages\": []}\n", "line 3: a conversation has at least one question"),
    ];
    for (line, part) in cases {
        let content = [good.as_bytes(), b"\n", line, good.as_bytes()].concat();
        let path = file("broken", "lines.jsonl", &content);
        let said = failure(&path, true, Bad::Refuse);
        assert!(said.contains(part) && said.contains("lines.jsonl"), "{said}");
        let bytes = Tokenizer::bytes();
        let cut = Cut { pack: false, ..cut(5, Order::Straight) };
        let mut set = Dataset::jsonl(&path, &bytes, Jsonl::default(), Bad::Skip, &cut).unwrap();
        let found: Vec<_> = rows(&mut set, 3).iter().map(|row| text(&row.0)).collect();
        assert_eq!(found, ["hello"; 3]);
        assert_eq!((set.epoch(), set.skipped()), (1, 1), "a second pass does not count again");
        let here = set.position().clone();
        set.go_to(&here).unwrap();
        set.next_batch(1).unwrap();
        assert_eq!(set.skipped(), 1);
    }
}

#[test]
fn a_line_beyond_all_measure_is_not_kept_in_memory() {
    let huge = format!("{{\"text\": \"{}\"}}\n", "x".repeat(17 << 20));
    let good = numbered(10, 5);
    let path = file("huge", "lines.jsonl", [&good, &huge, &good].map(String::as_str).concat());
    let said = failure(&path, true, Bad::Refuse);
    assert!(said.contains("line 11: it has more than 16 MB"), "{said}");
    let alone = Cut { pack: false, ..cut(20, Order::Straight) };
    let bytes = Tokenizer::bytes();
    let mut set = Dataset::jsonl(&path, &bytes, Jsonl::default(), Bad::Skip, &alone).unwrap();
    let found: Vec<String> =
        rows(&mut set, 20).iter().map(|row| text(&row.0)[..2].into()).collect();
    assert_eq!((set.skipped(), set.epoch()), (1, 0));
    assert!(found.iter().all(|start| start.starts_with('<')));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn bytes_that_are_no_text_are_named_or_left_out() {
    let content = b"one line\ncaf\xe9 and \xff\xfe more\n".repeat(5);
    let path = file("bytes", "text.txt", &content);
    let said = failure(&path, false, Bad::Refuse);
    assert!(said.contains("line 2 has a byte that is not UTF-8, byte 12 of the file"), "{said}");
    for stream in [false, true] {
        let (bytes, cut) = (Tokenizer::bytes(), cut(39, Order::Straight));
        let mut set = Dataset::text_file(&path, &bytes, Bad::Skip, stream, &cut).unwrap();
        let first = text(&rows(&mut set, 1)[0].0);
        assert_eq!(first, "one line\ncaf and  more\none line\ncaf and ");
        // Each byte by itself: none of them begins a character.
        assert_eq!((set.skipped(), set.fresh().skipped()), (15, if stream { 0 } else { 15 }));
    }
}

#[test]
fn a_mark_of_byte_order_is_no_text() {
    let path = file("mark", "text.txt", "\u{FEFF}abcde");
    let (bytes, cut) = (Tokenizer::bytes(), cut(4, Order::Straight));
    let mut set = Dataset::text_file(&path, &bytes, Bad::Refuse, false, &cut).unwrap();
    assert_eq!(text(&rows(&mut set, 1)[0].0), "abcde");
    let path = file("mark", "lines.jsonl", "\u{FEFF}{\"text\": \"abcde\"}\r\n");
    assert_eq!(text(&rows(&mut jsonl(&path, &cut), 1)[0].0), "abcde");
}

#[test]
fn nothing_that_counts_is_an_error_and_no_endless_search() {
    let emphasis = Emphasis { start: "A:".into(), end: ".".into(), elsewhere: 0.0 };
    let form = Jsonl { emphasis: Some(emphasis), ..Jsonl::default() };
    let path = file("silent", "lines.jsonl", numbered(30, 5));
    let cut = cut(8, Order::Shuffled);
    let mut set = Dataset::jsonl(&path, &Tokenizer::bytes(), form, Bad::Refuse, &cut).unwrap();
    let error = set.next_batch(2).unwrap_err().to_string();
    assert!(error.contains("there is nothing to learn in"), "{error}");
}

#[test]
fn broken_indexes_are_refused() {
    let path = place("index", "tokens");
    let (idx, bin) = (place("index", "tokens.idx"), place("index", "tokens.bin"));
    write_binidx(&path, &[(1..60).collect(), (1..40).collect()]).unwrap();
    let (index, tokens) = (std::fs::read(&idx).unwrap(), std::fs::read(&bin).unwrap());
    assert_eq!((index.len(), tokens.len()), (34 + 2 * 12 + 3 * 8, 200));
    let open = || Dataset::binidx(&path, &cut(8, Order::Usual)).map(drop);
    open().unwrap();
    let put = |at: usize, with: &[u8]| {
        let mut broken = index.clone();
        broken[at..at + with.len()].copy_from_slice(with);
        broken
    };
    let many = [i64::MAX.to_le_bytes(), [0xFF; 8]];
    let cases = [
        (put(0, b"X"), "does not begin as an index of tokens does"),
        (vec![], "does not begin as an index"),
        (put(9, &[2]), "it is of version 2"),
        (put(17, &[7]), "its tokens are of type 7"),
        (put(17, &[4]), "but the one before ends at 240"),
        (index[..60].to_vec(), "it may be cut short"),
        (put(18, &many[0]), "which are not those of 9223372036854775807 sizes"),
        (put(18, &many[1]), "it may be cut short"),
        (put(34, &(-1_i32).to_le_bytes()), "its document 0 has -1 tokens"),
        (put(38, &[41]), "its documents have 202 bytes together, but the tokens have 200"),
        (put(42, &[2]), "its document 0 begins at byte 2, but the one before ends at 0"),
    ];
    for (broken, part) in cases {
        std::fs::write(&idx, broken).unwrap();
        let said = format!("{:#}", open().unwrap_err());
        assert!(said.contains(part) && said.contains("tokens.idx"), "{part}: {said}");
    }
    std::fs::write(&idx, &index).unwrap();
    std::fs::write(&bin, &tokens[..150]).unwrap();
    let said = format!("{:#}", open().unwrap_err());
    assert!(said.contains("but the tokens have 150"), "{said}");
    std::fs::remove_file(&bin).unwrap();
    assert!(format!("{:#}", open().unwrap_err()).contains("cannot read"));
}

#[test]
fn negative_tokens_are_refused() {
    write_binidx(&place("negative", "tokens"), &[vec![70_000; 40]]).unwrap();
    let bin = place("negative", "tokens.bin");
    let mut tokens = std::fs::read(&bin).unwrap();
    tokens[20..24].copy_from_slice(&(-5_i32).to_le_bytes());
    std::fs::write(&bin, tokens).unwrap();
    let opened = Dataset::binidx(&place("negative", "tokens"), &cut(8, Order::Straight));
    let said = format!("{:#}", opened.unwrap_err());
    assert!(said.contains("token 5 of") && said.contains("is -5"), "{said}");
    assert!(write_binidx(&place("negative", "none"), &[]).is_err());
    assert!(write_binidx(&place("negative", "large"), &[vec![u32::MAX]]).is_err());
}
