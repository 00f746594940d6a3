use super::*;
use crate::data::{Dataset, Order};
use crate::image::Preprocess;
use crate::visual::Beside;

/// A model that reads bytes, two rows for a picture of 4 × 4 pixels.
fn reads(placement: Placement, aligned: bool) -> Reads {
    Reads {
        preprocess: vec![Preprocess::siglip(4)],
        beside: Beside::Nothing,
        rows: 2,
        placement,
        aligned,
    }
}

struct Files(PathBuf);

impl Files {
    fn new(name: &str, text: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("rwkv-talks-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("talks.json"), text).unwrap();
        fs::write(folder.join("a.png"), Image::gradient(8, 8).png().unwrap()).unwrap();
        Self(folder)
    }

    fn open(&self, reads: Reads, bad: Bad, cut: &Cut) -> Result<Dataset> {
        let path = self.0.join("talks.json");
        Dataset::talks(&path, &self.0, &Tokenizer::bytes(), reads, bad, cut)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn straight(ctx_len: usize) -> Cut {
    Cut { order: Order::Straight, ..Cut::new(ctx_len, 0) }
}

/// A conversation in LLaVA's layout.
fn said(image: &str, human: &str, gpt: &str) -> String {
    let image = if image.is_empty() { String::new() } else { format!("\"image\": {image}, ") };
    format!(
        "{{\"id\": 7, {image}\"conversations\": [{{\"from\": \"human\", \"value\": \"{human}\"}}, \
         {{\"from\": \"gpt\", \"value\": \"{gpt}\"}}]}}"
    )
}

/// A row as text, `#` where a picture is and `_` for token 0; what is learnt.
fn shown(batch: &Batch, row: usize) -> (String, String) {
    let width = batch.targets() + 1;
    let span = row * width..(row + 1) * width;
    let (tokens, weights) = (&batch.tokens()[span.clone()], &batch.weights()[span]);
    let mut text: Vec<char> =
        tokens.iter().map(|&id| if id == 0 { '_' } else { char::from(id as u8) }).collect();
    for place in batch.pictures().iter().flat_map(|pictures| &pictures.rows[row]) {
        let sign = if place.picture.is_some() { '#' } else { '0' };
        text[place.at..place.at + place.rows.len()].fill(sign);
    }
    let learnt = text.iter().zip(weights).filter(|(_, weight)| **weight > 0.0);
    (text.iter().collect(), learnt.map(|(letter, _)| letter).collect())
}

#[test]
fn a_conversation_becomes_a_row() {
    let files = Files::new("row", &format!("[{}]", said("\"a.png\"", "<image>\\nWhat?", "Red.")));
    let mut set = files.open(reads(Placement::Lines, false), Bad::Refuse, &straight(39)).unwrap();
    let batch = set.next_batch(1).unwrap();
    let (text, learnt) = shown(&batch, 0);
    assert_eq!(text, "User: ##\nWhat?\n\nAssistant: Red.\n\n_______");
    assert_eq!(learnt, " Red.\n\n");
    let sum: f32 = batch.weights().iter().sum();
    assert!((sum - 1.0).abs() < 1e-6, "each conversation counts the same");
    assert_eq!(batch.pictures().unwrap().count(), 1);
    assert_eq!(set.len(), Some(1));
}

#[test]
fn pictures_that_are_read_backwards_stand_in_one_column() {
    let all = [
        said("\"a.png\"", "What is it?\\n<image>", "A"),
        said("\"a.png\"", "<image>\\nWho?", "B"),
        said("", "Hi", "C"),
    ];
    let files = Files::new("columns", &all.join("\n"));
    let mut set = files.open(reads(Placement::First, true), Bad::Refuse, &straight(42)).unwrap();
    let batch = set.next_batch(3).unwrap();
    let rows: Vec<_> = (0..3).map(|row| shown(&batch, row).0).collect();
    assert!(rows[0].starts_with("User: ##\nWhat is it?\n\nAssistant: A\n\n"), "{rows:?}");
    assert!(rows[1].starts_with("User: ##\nWho?\n\nAssistant: B\n\n"), "{rows:?}");
    // Nothing stands before the place of a picture that is not there.
    assert!(rows[2].starts_with("______00User: Hi\n\nAssistant: C\n\n"), "{rows:?}");
    let mut set = files.open(reads(Placement::Middle, true), Bad::Refuse, &straight(60)).unwrap();
    let batch = set.next_batch(2).unwrap();
    let rows: Vec<_> = (0..2).map(|row| shown(&batch, row).0).collect();
    assert!(rows[0].starts_with("User: What is it?\n##\nWhat is it?"), "{rows:?}");
    assert!(rows[1].starts_with("_______User: Who?\n##\nWho?"), "{rows:?}");
}

#[test]
fn long_conversations_are_cut_where_something_is_learnt() {
    let files = Files::new("cut", &said("\"a.png\"", "<image>\\nWhat is there?", "Much more"));
    let mut set = files.open(reads(Placement::Lines, false), Bad::Refuse, &straight(37)).unwrap();
    let (text, learnt) = shown(&set.next_batch(1).unwrap(), 0);
    assert_eq!(
        (text.as_str(), learnt.as_str()),
        ("User: ##\nWhat is there?\n\nAssistant: Mu", " Mu")
    );
    // The first 30 tokens have nothing to learn; the picture is cut off with them.
    let mut set = files.open(reads(Placement::Lines, false), Bad::Refuse, &straight(29)).unwrap();
    let batch = set.next_batch(1).unwrap();
    let (text, learnt) = shown(&batch, 0);
    assert_eq!(text, "there?\n\nAssistant: Much more\n\n");
    assert_eq!(learnt, " Much more\n\n");
    assert!(batch.pictures().unwrap().rows[0].is_empty());
}

#[test]
fn what_cannot_be_used_is_named_or_left_out() {
    let all = [said("\"none.png\"", "<image>", "A"), said("\"a.png\"", "<image>", "B")];
    let files = Files::new("bad", &all.join("\n"));
    let mut set = files.open(reads(Placement::Lines, false), Bad::Refuse, &straight(30)).unwrap();
    let error = format!("{:#}", set.next_batch(1).unwrap_err());
    assert!(error.contains("conversation 7") && error.contains("none.png"), "{error}");
    let mut set = files.open(reads(Placement::Lines, false), Bad::Skip, &straight(30)).unwrap();
    let batch = set.next_batch(2).unwrap();
    assert!((0..2).all(|row| shown(&batch, row).1 == " B\n\n"));
    assert_eq!((set.skipped(), set.epoch()), (1, 2));
    fs::remove_file(files.0.join("a.png")).unwrap();
    let mut set = files.open(reads(Placement::Lines, false), Bad::Skip, &straight(30)).unwrap();
    let error = set.next_batch(1).unwrap_err().to_string();
    assert!(error.contains("no conversation can be used"), "{error}");
}

#[test]
fn files_that_are_none_are_refused() {
    for (text, part) in [
        ("[]", "has no conversations"),
        ("nonsense", "line 1"),
        ("[{\"id\": 1}]", "`conversations`"),
        ("[{\"id\": 1, \"image\": 5, \"conversations\": []}]", "`image`"),
        ("[{\"conversations\": [{\"from\": \"cat\", \"value\": \"\"}]}]", "\"cat\""),
        (
            "[{\"image\": \"a.png\", \"conversations\": [{\"from\": \"human\", \"value\": \"x\"}]}]",
            "0 times <image>",
        ),
    ] {
        let files = Files::new("refused", text);
        let opened = files.open(reads(Placement::Lines, false), Bad::Skip, &straight(9));
        let error = format!("{:#}", opened.unwrap_err());
        assert!(error.contains(part), "{text}: {error}");
    }
    let two = said("[\"a.png\", \"a.png\"]", "<image><image>Same?", "Yes");
    let files = Files::new("two", &two);
    let mut set = files.open(reads(Placement::Middle, true), Bad::Refuse, &straight(60)).unwrap();
    assert!(set.next_batch(1).unwrap_err().to_string().contains("one at a time"));
    let mut set = files.open(reads(Placement::Lines, false), Bad::Refuse, &straight(60)).unwrap();
    let (text, _) = shown(&set.next_batch(1).unwrap(), 0);
    assert!(text.starts_with("User: ##\n##\nSame?"), "{text}");
}

#[test]
fn a_position_is_gone_back_to() {
    let all: Vec<_> = ["A", "B", "C", "D", "E"].map(|a| said("\"a.png\"", "<image>", a)).into();
    let files = Files::new("position", &all.join("\n"));
    let cut = Cut::new(30, 3);
    let mut set = files.open(reads(Placement::Lines, false), Bad::Refuse, &cut).unwrap();
    let learnt = |set: &mut Dataset| {
        let batch = set.next_batch(5).unwrap();
        (0..5).map(|row| shown(&batch, row).1.trim().to_string()).collect::<Vec<_>>()
    };
    let (first, position) = (learnt(&mut set), set.position().clone());
    let second = learnt(&mut set);
    assert_ne!(first, second, "each pass has its own order");
    let sorted = |mut all: Vec<String>| {
        all.sort();
        all.concat()
    };
    assert_eq!((sorted(first).as_str(), sorted(second.clone()).as_str()), ("ABCDE", "ABCDE"));
    set.go_to(&position).unwrap();
    assert_eq!(learnt(&mut set), second);
    let (train, valid) = set.split(0.6).unwrap();
    assert_eq!((train.len(), valid.len()), (Some(3), Some(2)));
}
