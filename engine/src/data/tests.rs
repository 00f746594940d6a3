//! Data sets as a whole: what they hand out, in what order, and where they go back to.

mod bad;
mod made;
mod orders;

use std::cell::RefCell;
use std::path::PathBuf;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::*;

/// The folders of a test, removed when its thread ends.
struct Folders(Vec<PathBuf>);

impl Drop for Folders {
    fn drop(&mut self) {
        for folder in &self.0 {
            std::fs::remove_dir_all(folder).ok();
        }
    }
}

thread_local! {
    static FOLDERS: RefCell<Folders> = const { RefCell::new(Folders(Vec::new())) };
}

/// A path of this test in a folder of its own.
fn place(test: &str, name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rwkv-data-{}-{test}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    FOLDERS.with_borrow_mut(|folders| folders.0.push(folder.clone()));
    folder.join(name)
}

fn file(test: &str, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = place(test, name);
    std::fs::write(&path, content).unwrap();
    path
}

/// A JSON line for each number, with a text as long as `filler` and a little more.
fn numbered(count: usize, filler: usize) -> String {
    let line = |n: usize| format!("{{\"text\": \"<{n}>{}\"}}\n", "-".repeat(filler));
    (0..count).map(line).collect()
}

fn cut(ctx_len: usize, order: Order) -> Cut {
    Cut { order, ..Cut::new(ctx_len, 3) }
}

fn jsonl(path: &Path, cut: &Cut) -> Dataset {
    Dataset::jsonl(path, &Tokenizer::bytes(), Jsonl::default(), Bad::Refuse, cut).unwrap()
}

/// The text of tokens, without the zeros.
fn text(tokens: &[u32]) -> String {
    tokens.iter().filter(|&&id| id > 0).map(|&id| id as u8 as char).collect()
}

/// The next rows, each with what its tokens count.
fn rows(set: &mut Dataset, count: usize) -> Vec<(Vec<u32>, Vec<f32>)> {
    let batch = set.next_batch(count).unwrap();
    let width = batch.targets() + 1;
    let weights = match batch.weights() {
        [] => vec![1.0; batch.tokens().len()],
        weights => weights.to_vec(),
    };
    let pairs = batch.tokens().chunks(width).zip(weights.chunks(width));
    pairs.map(|(tokens, weights)| (tokens.to_vec(), weights.to_vec())).collect()
}

/// A data set of every kind in every order it has.
fn all(test: &str) -> Vec<Dataset> {
    let bytes = Tokenizer::bytes();
    let lines = file(test, "lines.jsonl", numbered(300, 20));
    let talks = file(
        test,
        "talks.jsonl",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"1+1?\"}, {\"role\": \"assistant\", \
         \"content\": \"2\"}]}\n{\"text\": \"and another\"}\n"
            .repeat(60),
    );
    let book = file(test, "book.txt", "one two three four five\nsix seven\n".repeat(300));
    let texts: Vec<String> = (0..200).map(|n| format!("document {n}")).collect();
    let tokens: Vec<Vec<u32>> = (0..40).map(|n| (n..n + 90).collect()).collect();
    write_binidx(&place(test, "tokens"), &tokens).unwrap();
    let mut sets = Vec::new();
    for order in [Order::Usual, Order::Straight, Order::Shuffled, Order::Continue] {
        let (cut, alone) = (cut(16, order), Cut { pack: false, ..cut(16, order) });
        sets.push(Dataset::text((0..5000).collect(), &cut));
        sets.push(Dataset::documents(&texts, &bytes, None, &cut));
        sets.push(Dataset::documents(&texts, &bytes, None, &alone));
        sets.push(Dataset::text_file(&book, &bytes, Bad::Refuse, true, &cut));
        for path in [&lines, &talks] {
            sets.push(Dataset::jsonl(path, &bytes, Jsonl::default(), Bad::Refuse, &cut));
            sets.push(Dataset::jsonl(path, &bytes, Jsonl::default(), Bad::Refuse, &alone));
        }
        sets.push(Dataset::binidx(&place(test, "tokens"), &cut));
        let task = Task::Reverse { digits: 1..=7 };
        sets.push(Dataset::problems(task, &bytes, 0.0, &cut));
    }
    sets.into_iter().map(|set| set.unwrap()).collect()
}

#[test]
fn every_set_goes_back_to_where_it_was() {
    for (mut set, mut again) in all("back").into_iter().zip(all("back")) {
        assert_eq!(set.fingerprint(), again.fingerprint(), "opened again it is the same data");
        // More than a pass over most of them, in batches that were not expected.
        for count in [3, 3, 40, 3] {
            set.next_batch(count).unwrap();
        }
        let here = set.position().clone();
        let batches = |set: &mut Dataset| (0..5).map(|_| rows(set, 3)).collect::<Vec<_>>();
        let expected = batches(&mut set);
        assert_ne!(*set.position(), here);
        set.go_to(&here).unwrap();
        assert_eq!(batches(&mut set), expected, "{set:?}");
        let written = serde_json::to_string(&here).unwrap();
        assert!(written.len() < 1000, "{written}");
        again.go_to(&serde_json::from_str(&written).unwrap()).unwrap();
        assert_eq!(*again.position(), here);
        let batch = again.clone().next_batch(3).unwrap();
        assert_eq!(batches(&mut again), expected, "{again:?}");
        let (fingerprint, after) = batch.origin().unwrap();
        again.go_to(after).unwrap();
        assert_eq!(
            (fingerprint.as_str(), rows(&mut again, 3)),
            (set.fingerprint(), expected[1].clone())
        );
        let mut first = set.fresh();
        assert_eq!(first.position().samples, 0);
        first.next_batch(3).unwrap();
        assert_eq!(set.fresh().next_batch(3).unwrap().tokens(), all_of(first.fresh(), 3));
    }
}

fn all_of(mut set: Dataset, rows: usize) -> Vec<u32> {
    set.next_batch(rows).unwrap().tokens().to_vec()
}

#[test]
fn fingerprints_tell_data_apart() {
    let of = |tokens: u32, ctx_len, seed| {
        let set = Dataset::text((0..tokens).collect(), &Cut::new(ctx_len, seed)).unwrap();
        set.fingerprint().to_string()
    };
    let moved = ["here", "there"].map(|folder| file(folder, "lines.jsonl", numbered(9, 5)));
    let [one, two] = moved.map(|path| jsonl(&path, &cut(8, Order::Usual)));
    assert_eq!(one.fingerprint(), two.fingerprint(), "where the file lies does not matter");
    let kinds = [of(90, 8, 1), of(91, 8, 1), of(90, 9, 1), of(90, 8, 2)];
    let mut different: Vec<_> = kinds.to_vec();
    different.extend(all("kinds").iter().map(|set| set.fingerprint().to_string()));
    let count = different.len();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), count);
}

#[test]
fn batches_are_cut_from_one_row_of_samples() {
    for (mut small, mut large) in all("sizes").into_iter().zip(all("sizes")) {
        if small.cut.order == Order::Continue {
            continue; // there each row has its own way
        }
        let pieces: Vec<_> = [1, 5, 5, 2].into_iter().flat_map(|n| rows(&mut small, n)).collect();
        assert_eq!(pieces, rows(&mut large, 13), "{small:?}");
        assert_eq!(small.position(), large.position());
    }
}

#[test]
fn places_are_drawn_as_they_always_were() {
    let mut set = Dataset::text((0..1000).collect(), &Cut::new(4, 7)).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for (tokens, _) in [rows(&mut set, 8), rows(&mut set, 90)].concat() {
        let start = (random.next_u64() % 996) as u32;
        assert_eq!(tokens, (start..start + 5).collect::<Vec<_>>());
    }
}

#[test]
fn samples_start_where_documents_do() {
    let documents = ["abc", "defg", "hi"].map(str::to_string);
    let mut data =
        Dataset::documents(&documents, &Tokenizer::bytes(), None, &Cut::new(4, 7)).unwrap();
    for row in data.next_batch(50).unwrap().tokens().chunks(5) {
        let row: Vec<u8> = row.iter().map(|&id| id as u8).collect();
        assert!(row == *b"abc\0d" || row == *b"defg\0", "{row:?}");
    }
}

#[test]
fn only_what_is_said_in_answer_counts() {
    let emphasis = Emphasis { start: "A:".into(), end: ".".into(), elsewhere: 0.5 };
    let text = ["Q A: x. B A: y".to_string()];
    let bytes = Tokenizer::bytes();
    let mut data = Dataset::documents(&text, &bytes, Some(&emphasis), &Cut::new(14, 0)).unwrap();
    let counted: Vec<_> = data.next_batch(1).unwrap().weights().iter().map(|&w| w == 1.0).collect();
    let expected = "....***.....**.".bytes().map(|b| b == b'*');
    assert_eq!(counted, expected.collect::<Vec<_>>());
}

#[test]
fn a_set_takes_what_it_prepares_along_when_it_ends() {
    let path = file("ends", "lines.jsonl", numbered(9000, 500));
    for order in [Order::Shuffled, Order::Continue] {
        let mut set = jsonl(&path, &cut(64, order));
        let source = set.source.clone();
        for _ in 0..3 {
            set.next_batch(4).unwrap();
        }
        // A copy begins where its model stands, not where that one's thread is.
        assert_eq!(rows(&mut set.clone(), 4), rows(&mut set, 4));
        drop(set);
        assert_eq!(Arc::strong_count(&source), 1, "no thread has it any more");
    }
}

#[test]
fn positions_of_other_data_do_no_harm() {
    let far = Place { document: 3, token: u64::MAX };
    let lanes = vec![Place { document: 0, token: u64::MAX }; 3];
    let strange = Position { place: far, lanes, samples: 7, epoch: 2, ..Position::default() };
    for mut set in all("strange") {
        assert!(set.go_to(&Position { part: 1 << 40, ..Position::default() }).is_err());
        set.go_to(&strange).unwrap();
        assert_eq!(rows(&mut set, 3).len(), 3, "{set:?}");
    }
}

#[test]
fn a_failure_leaves_the_set_where_it_was() {
    let path = file("change", "lines.jsonl", numbered(40, 5));
    let mut set = jsonl(&path, &cut(16, Order::Straight));
    let first = rows(&mut set, 2);
    let here = set.position().clone();
    assert!(set.next_batch(0).is_err());
    std::fs::write(&path, "{}").unwrap();
    set.go_to(&here).unwrap();
    let error = format!("{:#}", set.next_batch(2).unwrap_err());
    assert!(error.contains("now has 2; open it again"), "{error}");
    assert_eq!(*set.position(), here);
    std::fs::write(&path, numbered(40, 5)).unwrap();
    assert_ne!(rows(&mut set, 2), first);
    set.go_to(&Position::default()).unwrap();
    assert_eq!(rows(&mut set, 2), first);
}
