use std::path::PathBuf;

use serde_json::Value;

use super::Tokenizer;
use crate::tests::fuzz;

/// Chosen rows of `shared/fixtures/lm/tokenizer/world.jsonl`, made with the PyPI package `rwkv`.
const GOLDEN: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/tokenizer_world.jsonl"));

fn ids(row: &Value) -> Vec<u32> {
    row["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn bytes(row: &Value) -> Vec<u8> {
    let hex = row["hex"].as_str().unwrap();
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// What the decoder gives for each token, then what it gives at the end.
fn stream(tokenizer: &Tokenizer, tokens: &[u32]) -> Vec<String> {
    let mut decoder = tokenizer.decoder();
    let mut pieces: Vec<String> = tokens.iter().map(|&token| decoder.push(token)).collect();
    pieces.push(decoder.finish());
    pieces
}

/// A file for one test, in a folder of its own.
fn file(name: &str, content: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rwkv-tokenizer-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), content).unwrap();
    folder.join(name)
}

/// Compares every row of a fixture file with the World tokenizer; how many there were.
fn check_world(fixture: &str) -> usize {
    let world = Tokenizer::world();
    for line in fixture.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let ids = ids(&row);
        match row["kind"].as_str().unwrap() {
            "encode" => {
                let text = row["text"].as_str().unwrap();
                assert_eq!(world.encode(text).unwrap(), ids, "{line}");
                assert_eq!(world.decode(&ids), text, "{line}");
            }
            "encode_bytes" => assert_eq!(world.encode_bytes(&bytes(&row)).unwrap(), ids, "{line}"),
            "decode" => {
                let whole: Vec<u8> = ids.iter().flat_map(|&id| world.piece(id)).collect();
                assert_eq!(whole, bytes(&row), "{line}");
                // `ref_text` is one U+FFFD for everything as soon as one byte is wrong; we keep what
                // can be read.
                assert_eq!(world.decode(&ids), row["lossy_text"].as_str().unwrap(), "{line}");
            }
            // The reference gives one U+FFFD for everything here too; we skip ids without text.
            "decode_unknown" => {
                let spaces = ids.iter().filter(|&&id| id == 33).count();
                assert_eq!(world.decode(&ids), " ".repeat(spaces), "{line}");
            }
            "stream" => {
                let mut pieces = stream(&world, &ids);
                assert_eq!(pieces.pop().unwrap(), "");
                let expected = row["pieces"].as_array().unwrap();
                assert!(pieces.iter().eq(expected.iter().map(|piece| piece.as_str().unwrap())));
            }
            kind => panic!("no test for rows of kind {kind}"),
        }
        assert_eq!(stream(&world, &ids).concat(), world.decode(&ids), "{line}");
    }
    fixture.lines().count()
}

#[test]
fn world_equals_the_reference() {
    assert!(check_world(GOLDEN) > 50);
}

#[test]
fn world_knows_the_ids_of_the_models() {
    let world = Tokenizer::world();
    assert_eq!((world.name(), world.size()), ("world", 65530));
    for (id, piece) in [(11, "\n"), (261, "\n\n"), (33, " "), (24281, "User"), (2423, "\u{80}")] {
        assert_eq!(world.piece(id), piece.as_bytes());
    }
    for byte in 0..=255 {
        assert_eq!(world.piece(u32::from(byte) + 1), [byte]);
    }
    assert_eq!([world.piece(0), world.piece(65530), world.piece(u32::MAX)].concat(), b"");
}

#[test]
fn every_world_token_but_none_other_is_its_own_longest_match() {
    let world = Tokenizer::world();
    for id in 1..65530 {
        assert_eq!(world.encode_bytes(&world.piece(id)).unwrap(), [id]);
    }
}

#[test]
fn a_stream_never_stalls() {
    let world = Tokenizer::world();
    let pieces = |bytes: &[u8]| {
        let tokens: Vec<u32> = bytes.iter().map(|&byte| u32::from(byte) + 1).collect();
        stream(&world, &tokens)
    };
    assert_eq!(pieces(b"\xFFa"), ["\u{FFFD}", "a", ""], "can never become valid: at once");
    assert_eq!(pieces(b"\xE6\x97a"), ["", "", "\u{FFFD}a", ""], "broken off by a letter");
    assert_eq!(pieces(b"\xE6\x97"), ["", "", "\u{FFFD}"], "broken off by the end");
    assert_eq!(pieces("\u{FFFD}a".as_bytes()), ["", "", "\u{FFFD}", "a", ""], "a genuine U+FFFD");
    assert_eq!(stream(&world, &[98, 0, 65535, 99]), ["a", "", "", "b", ""]);
}

#[test]
fn bytes_are_their_own_ids() {
    let tokenizer = Tokenizer::bytes();
    assert_eq!((tokenizer.name(), tokenizer.size()), ("bytes", 256));
    assert_eq!(tokenizer.encode("é").unwrap(), [0xC3, 0xA9]);
    assert_eq!(tokenizer.decode(&[0xC3, 0xA9, 256, 0xC3]), "é\u{FFFD}");
    assert_eq!(stream(&tokenizer, &[0xC3, 0xA9]), ["", "é", ""]);
}

#[test]
fn opens_a_vocabulary_file() {
    let path = file("vocab.txt", "1 'a' 1\r\n2 b'\\xff' 1\r\n5 '\\u00e9 \\'' 4\r\n6 \" '\" 2\r\n");
    let world = Tokenizer::open(&path).unwrap();
    assert_eq!(world.size(), 7);
    assert_eq!(world.encode_bytes(b"a\xFF").unwrap(), [1, 2]);
    assert_eq!(world.encode("é 'a '").unwrap(), [5, 1, 6]);
    assert_eq!(world.piece(3), b"", "a gap between the ids");
    let error = world.encode("ab").unwrap_err().to_string();
    assert!(error.contains("0x62 at position 1"), "{error}");
}

#[test]
fn names_the_broken_line() {
    for (number, line) in
        ["1 'a' 2", "1 'a", "0 'a' 1", "1 '' 0", "1 '\\q' 1", "9999999 'a' 1", "1 ' 1", "hello"]
            .iter()
            .enumerate()
    {
        let path = file(&format!("broken{number}.txt"), line);
        let error = format!("{:#}", Tokenizer::open(&path).unwrap_err());
        assert!(error.contains("broken") && error.contains("line 1 should be"), "{error}");
    }
    let error = format!("{:#}", Tokenizer::open(&file("empty.txt", "")).unwrap_err());
    assert!(error.contains("the vocabulary is empty"), "{error}");
    let error = Tokenizer::open(&file("broken.json", "{}")).unwrap_err().to_string();
    assert!(error.contains("is not a tokenizer.json"), "{error}");
    let error = Tokenizer::open("no/such/file".as_ref()).unwrap_err().to_string();
    assert!(error.contains("no/such/file"), "{error}");
}

/// Tokens as in the Pile tokenizer: 日 is spelled `æĹ¥`, cut after its first byte.
const BYTE_LEVEL: &str = r#"{
    "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
    "added_tokens": [
        {"id": 0, "content": "<end>", "single_word": false, "lstrip": false, "rstrip": false,
         "normalized": false, "special": true},
        {"id": 6, "content": "  ", "single_word": false, "lstrip": false, "rstrip": false,
         "normalized": false, "special": false}],
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
    "post_processor": null,
    "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "merges": ["Ĺ ¥"],
        "vocab": {"<end>": 0, "a": 1, "æ": 2, "Ĺ": 3, "¥": 4, "Ĺ¥": 5}}}"#;

#[test]
fn json_of_bytes_streams_whole_characters() {
    let tokenizer = Tokenizer::open(&file("bytes.json", BYTE_LEVEL)).unwrap();
    assert_eq!((tokenizer.name(), tokenizer.size()), ("tokenizer.json", 7));
    assert_eq!(tokenizer.encode("a日  <end>").unwrap(), [1, 2, 5, 6, 0]);
    assert_eq!(tokenizer.decode(&[1, 2, 5, 6, 0, 99]), "a日  ");
    assert_eq!(tokenizer.piece(5), b"\x97\xA5");
    assert_eq!(tokenizer.piece(6), b"  ");
    assert_eq!([tokenizer.piece(0), tokenizer.piece(99)].concat(), b"");
    assert!(tokenizer.encode_bytes(b"a").is_err());
    assert_eq!(stream(&tokenizer, &[1, 2, 5, 0, 6]), ["a", "", "日", "", "  ", ""]);
    assert_eq!(stream(&tokenizer, &[2, 3, 1]), ["", "", "\u{FFFD}a", ""]);
    assert_eq!(stream(&tokenizer, &[2]), ["", "\u{FFFD}"]);
    let long: Vec<u32> = [1, 2, 5, 2, 3, 4, 4, 6, 5, 2, 1].repeat(20);
    for start in 0..12 {
        assert_eq!(stream(&tokenizer, &long[start..]).concat(), tokenizer.decode(&long[start..]));
    }
}

#[test]
fn json_of_words_streams_the_spaces_between() {
    let text = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null,
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"<unk>": 0, "on": 1, "off": 2}, "unk_token": "<unk>"}}"#;
    let tokenizer = Tokenizer::open(&file("words.json", text)).unwrap();
    assert_eq!(tokenizer.encode("on off").unwrap(), [1, 2]);
    assert_eq!(stream(&tokenizer, &[1, 2, 1]), ["on", " off", " on", ""]);
    let long = [1, 2].repeat(20);
    assert_eq!(stream(&tokenizer, &long).concat(), tokenizer.decode(&long));
}

#[test]
fn the_vocabulary_of_a_gguf_is_read() {
    let spelled = ["<s>", "\\x00", "a", "\\n\\n", "it's", "\\xe6\\x97", "[PAD6]"];
    let tokens = spelled.map(str::to_string);
    let tokenizer = Tokenizer::from_gguf(&tokens).unwrap();
    assert_eq!(tokenizer.size(), 7);
    assert_eq!(tokenizer.encode_bytes(b"a\n\nit's\0").unwrap(), [2, 3, 4, 1]);
    assert_eq!([tokenizer.piece(5), tokenizer.piece(6)], [b"\xe6\x97".to_vec(), vec![]]);
    let world = Tokenizer::world();
    let spell = |byte: &u8| match byte {
        b'\\' => "\\\\".to_string(),
        b' '..=b'~' => char::from(*byte).to_string(),
        byte => format!("\\x{byte:02x}"),
    };
    let token = |id: u32| match world.piece(id).as_slice() {
        [] => format!("[PAD{id}]"),
        piece => piece.iter().map(spell).collect(),
    };
    let all: Vec<String> = (0..65536).map(token).collect();
    assert_eq!(Tokenizer::from_gguf(&all).unwrap().size(), world.size());
    let bad = Tokenizer::from_gguf(&["<s>", "\\q"].map(str::to_string)).unwrap_err();
    assert!(bad.to_string().contains("token 1, `\\q`"), "{bad}");
}

/// Opening a damaged vocabulary, and using it if it opens.
fn survives(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Ok(tokenizer) = Tokenizer::parse(&text, "it") else { return false };
    let tokens = tokenizer.encode("a日  <end> it's\n").unwrap_or_default();
    let mut decoder = tokenizer.decoder();
    tokens.iter().chain(&[0, 7, u32::MAX]).for_each(|token| drop(decoder.push(*token)));
    decoder.finish();
    true
}

#[test]
fn fuzz_vocabularies() {
    fuzz("tokenizer.json", BYTE_LEVEL.as_bytes(), survives);
    let listed = "1 'a' 1\n2 b'\\xe6\\x97' 2\n3 '\\n\\n' 2\n7 \"it's\" 4\n9 '\\u65e5' 3\n";
    fuzz("rwkv_vocab", listed.as_bytes(), survives);
    let spelled = "<s>|\\x00|a|\\n\\n|it's|\\xe6\\x97|[PAD6]";
    fuzz("tokens of a GGUF", spelled.as_bytes(), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let tokens: Vec<String> = text.split('|').map(str::to_string).collect();
        Tokenizer::from_gguf(&tokens).is_ok()
    });
}
