//! Reading questions, and reading answers once more.

use std::sync::atomic::AtomicBool;

use anyhow::Result;

use crate::generate::Piece;
use crate::model::Model;
use crate::state::State;
use crate::tokenizer::Tokenizer;

/// The token that ends one text and so begins the next.
const END_OF_TEXT: u32 = 0;

/// A blank line, and the two line ends it is made of, in the 20B vocabulary.
const BLANK_LINE: (u32, [u32; 2]) = (535, [187, 187]);

/// The tokens of a prompt; `begins` puts token 0 before them.
///
/// A blank line at the end becomes two tokens where the 20B vocabulary would make it one: the texts
/// the models saw went on after it, and are cut differently then.
///
/// # Errors
/// When the vocabulary has no token for some of the text.
pub fn encode(model: &Model, text: &str, begins: bool) -> Result<Vec<u32>> {
    let mut tokens = if begins { vec![END_OF_TEXT] } else { vec![] };
    tokens.extend(model.tokenizer.encode(text)?);
    let (one, two) = BLANK_LINE;
    if tokens.last() == Some(&one) && is_20b(&model.tokenizer) {
        tokens.pop();
        tokens.extend(two);
    }
    Ok(tokens)
}

/// Whether these ids are line ends, as in no other vocabulary.
fn is_20b(tokenizer: &Tokenizer) -> bool {
    let (one, [two, _]) = BLANK_LINE;
    tokenizer.piece(one) == b"\n\n" && tokenizer.piece(two) == b"\n"
}

/// A question read as far as it is the same with and without the first words of the answer, so
/// that to read the answer otherwise is to read little again.
pub(super) struct Half {
    /// The tokens read so far.
    read: Vec<u32>,
    /// The memory after them.
    pub(super) state: State,
    /// The tokens still to be read, at least one.
    pub(super) rest: Vec<u32>,
}

impl Half {
    /// Reads `text`, from `state` on, but the part that `lead` or an answer can change.
    pub(super) fn read(
        model: &Model,
        state: &State,
        text: &str,
        lead: &str,
        begins: bool,
        interrupt: &AtomicBool,
    ) -> Result<Self> {
        let mut read = encode(model, &format!("{text}{lead}"), begins)?;
        let plain = encode(model, text, begins)?;
        let same = read.iter().zip(&plain).take_while(|(a, b)| a == b).count();
        let last = read.len().min(plain.len()).saturating_sub(1);
        let rest = read.split_off(same.min(last));
        let state = match read.is_empty() {
            true => state.clone(),
            false => model.read(&read, state, interrupt)?.1,
        };
        Ok(Self { read, state, rest })
    }

    /// The memory after `text`, which begins as the question does; `before` is that before it.
    pub(super) fn once_more(
        self,
        model: &Model,
        before: &State,
        text: &str,
        begins: bool,
    ) -> Result<State> {
        let tokens = encode(model, text, begins)?;
        // An answer is soon read, and a memory half done is of no use: this is not interrupted.
        let never = AtomicBool::new(false);
        Ok(match tokens.strip_prefix(&self.read[..]) {
            Some([]) => self.state,
            Some(rest) => model.read(rest, &self.state, &never)?.1,
            None => model.read(&tokens, before, &never)?.1,
        })
    }
}

/// Lets a listener hear `lead` before the first piece, as a part of it.
pub(super) fn prefixed<'a>(
    lead: &'a str,
    mut each: impl FnMut(&Piece) -> Result<bool> + 'a,
) -> impl FnMut(&Piece) -> Result<bool> + 'a {
    let mut lead = lead;
    move |piece| {
        let text = std::mem::take(&mut lead).to_string() + piece.text;
        each(&Piece { text: &text, ..*piece })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device;
    use crate::model::Loading;

    /// A `tokenizer.json` that knows single bytes and, as id 535, the blank line.
    fn with_20b_ids() -> Tokenizer {
        let mut vocabulary: Vec<String> = (0..600).map(|id| format!("\"<{id}>\":{id}")).collect();
        for (id, spelling) in [(187, "Ċ"), (535, "ĊĊ"), (66, "a")] {
            vocabulary[id] = format!("\"{spelling}\":{id}");
        }
        let text = format!(
            "{{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,\"truncation\":null,\
             \"padding\":null,\"post_processor\":null,\
             \"pre_tokenizer\":{{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\
             \"trim_offsets\":true,\"use_regex\":true}},\
             \"decoder\":{{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\
             \"trim_offsets\":true,\"use_regex\":true}},\
             \"model\":{{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\
             \"continuing_subword_prefix\":\"\",\"end_of_word_suffix\":\"\",\"fuse_unk\":false,\
             \"vocab\":{{{}}},\"merges\":[\"Ċ Ċ\"]}}}}",
            vocabulary.join(",")
        );
        let place = std::env::temp_dir().join(format!("rwkv-20b-{}.json", std::process::id()));
        std::fs::write(&place, text).unwrap();
        let tokenizer = Tokenizer::open(&place).unwrap();
        std::fs::remove_file(place).unwrap();
        tokenizer
    }

    fn toy() -> Model {
        Model::load("toy:rwkv7", &Loading::default(), &device::choose("cpu").unwrap()).unwrap()
    }

    #[test]
    fn a_blank_line_at_the_end_is_two_line_ends_in_the_20b_vocabulary() {
        let mut model = toy();
        assert_eq!(encode(&model, "a\n\n", true).unwrap(), [0, 97, 10, 10]);
        model.tokenizer = with_20b_ids();
        assert_eq!(model.tokenizer.encode("a\n\n").unwrap(), [66, 535]);
        assert_eq!(encode(&model, "a\n\n", false).unwrap(), [66, 187, 187]);
        assert_eq!(encode(&model, "\n\na", false).unwrap(), [187, 187, 66], "as it always was");
    }

    #[test]
    fn a_question_read_in_halves_is_the_question() {
        let (model, go) = (toy(), AtomicBool::new(false));
        let half = Half::read(&model, &model.state(), "ask:", " <think", true, &go).unwrap();
        assert_eq!(half.read, [0, 97, 115, 107]);
        assert_eq!(model.tokenizer.decode(&half.rest), ": <think");
        let once = half.once_more(&model, &model.state(), "ask: yes", true).unwrap();
        let whole = encode(&model, "ask: yes", true).unwrap();
        let (_, state) = model.read(&whole, &model.state(), &go).unwrap();
        assert!(once.distance(&state).unwrap().max_abs < 1e-5);
        // Another beginning is read from the memory before it.
        let half = Half::read(&model, &model.state(), "ask:", "", false, &go).unwrap();
        let other = half.once_more(&model, &model.state(), "no", false).unwrap();
        let (_, state) = model.read(&[110, 111], &model.state(), &go).unwrap();
        assert!(other.equals(&state));
    }

    #[test]
    fn a_lead_is_heard_once() {
        let mut heard = Vec::new();
        let mut each = prefixed("<think", |piece| {
            heard.push(piece.text.to_string());
            Ok(true)
        });
        for text in ["", ">"] {
            each(&Piece { token: 1, text, logprob: 0.0 }).unwrap();
        }
        drop(each);
        assert_eq!(heard, ["<think", ">"]);
    }
}
