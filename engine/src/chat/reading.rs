//! Reading questions, and reading answers once more.

use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::generate::Piece;
use crate::model::Model;
use crate::state::State;
use crate::tensor::Array;
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
#[derive(Clone, Debug)]
pub(super) struct Half {
    /// The tokens read so far.
    pub(super) first: Vec<u32>,
    /// The tokens still to be read, at least one.
    pub(super) rest: Vec<u32>,
    /// The memory between the two, where it is known.
    pub(super) state: Option<Rc<State>>,
}

impl Half {
    /// Reads `text`, from `state` on, but the part that `lead` or an answer can change.
    pub(super) fn read(
        model: &Model,
        state: &Rc<State>,
        text: &str,
        lead: &str,
        begins: bool,
        interrupt: &AtomicBool,
    ) -> Result<Self> {
        let mut first = encode(model, &format!("{text}{lead}"), begins)?;
        let plain = encode(model, text, begins)?;
        let same = first.iter().zip(&plain).take_while(|(a, b)| a == b).count();
        let last = first.len().min(plain.len()).saturating_sub(1);
        let rest = first.split_off(same.min(last));
        let state = Some(after(model, state, &first, interrupt)?);
        Ok(Self { first, rest, state })
    }

    /// The memory after `text`, which begins as the question does, and how it came about; `before`
    /// is the memory before the question.
    pub(super) fn once_more(
        &self,
        model: &Model,
        before: &Rc<State>,
        text: &str,
        begins: bool,
    ) -> Result<(Rc<State>, Instead)> {
        let tokens = encode(model, text, begins)?;
        // An answer is soon read, and a memory half done is of no use: this is not interrupted.
        let never = AtomicBool::new(false);
        let half = self.state.as_ref().zip(tokens.strip_prefix(&self.first[..]));
        Ok(match half {
            Some((state, rest)) => {
                let instead = Instead { after_first: true, tokens: rest.to_vec() };
                (after(model, state, rest, &never)?, instead)
            }
            None => {
                let state = after(model, before, &tokens, &never)?;
                (state, Instead { after_first: false, tokens })
            }
        })
    }
}

/// How a turn was read; what is read again in the same way is the same memory, bit for bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Reading {
    /// The beginning of the question, read in one pass.
    pub(super) first: Vec<u32>,
    /// Its end and the first words of the answer, read in one pass.
    pub(super) rest: Vec<u32>,
    /// The answer, read token by token.
    pub(super) tokens: Vec<u32>,
    /// What later turns remember in place of all that.
    pub(super) instead: Option<Instead>,
}

/// Another form of a turn, read in one pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Instead {
    /// Whether it follows the beginning of the question, or replaces that too.
    after_first: bool,
    tokens: Vec<u32>,
}

/// Where a generation stopped, to go on from there.
#[derive(Clone, Debug)]
pub(super) struct End {
    /// The memory after all tokens.
    pub(super) raw: Rc<State>,
    /// Logits after all tokens, `[V]`.
    pub(super) logits: Array,
    /// The memory after the beginning of the question, where it is known.
    pub(super) half: Option<Rc<State>>,
}

impl Reading {
    /// The memory after the turn, read once more from the memory before it.
    pub(super) fn state(
        &self,
        model: &Model,
        before: &Rc<State>,
        interrupt: &AtomicBool,
    ) -> Result<Rc<State>> {
        match &self.instead {
            None => Ok(self.end(model, before, interrupt)?.raw),
            Some(Instead { after_first, tokens }) => {
                let first = if *after_first { &self.first[..] } else { &[] };
                let half = after(model, before, first, interrupt)?;
                after(model, &half, tokens, interrupt)
            }
        }
    }

    /// Where the answer stopped, read once more from the memory before the turn.
    pub(super) fn end(
        &self,
        model: &Model,
        before: &Rc<State>,
        interrupt: &AtomicBool,
    ) -> Result<End> {
        let half = after(model, before, &self.first, interrupt)?;
        let (mut logits, mut raw) = model.read(&self.rest, &half, interrupt)?;
        for &token in &self.tokens {
            (logits, raw) = model.read(&[token], &raw, interrupt)?;
        }
        Ok(End { raw: Rc::new(raw), logits, half: Some(half) })
    }

    /// Every token of the turn in any of its forms.
    pub(super) fn all(&self) -> impl Iterator<Item = &u32> {
        let instead = self.instead.iter().flat_map(|instead| &instead.tokens);
        self.first.iter().chain(&self.rest).chain(&self.tokens).chain(instead)
    }

    /// Tokens that the memory has read of this turn.
    pub(super) fn len(&self) -> usize {
        match &self.instead {
            None => self.first.len() + self.rest.len() + self.tokens.len(),
            Some(Instead { after_first: true, tokens }) => self.first.len() + tokens.len(),
            Some(Instead { tokens, .. }) => tokens.len(),
        }
    }
}

/// The memory after these tokens, which may be none.
fn after(
    model: &Model,
    state: &Rc<State>,
    tokens: &[u32],
    interrupt: &AtomicBool,
) -> Result<Rc<State>> {
    match tokens {
        [] => Ok(state.clone()),
        tokens => Ok(Rc::new(model.read(tokens, state, interrupt)?.1)),
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
        let empty = Rc::new(model.state());
        let half = Half::read(&model, &empty, "ask:", " <think", true, &go).unwrap();
        assert_eq!(half.first, [0, 97, 115, 107]);
        assert_eq!(model.tokenizer.decode(&half.rest), ": <think");
        let (once, instead) = half.once_more(&model, &empty, "ask: yes", true).unwrap();
        let whole = encode(&model, "ask: yes", true).unwrap();
        let (_, state) = model.read(&whole, &model.state(), &go).unwrap();
        assert!(once.distance(&state).unwrap().max_abs < 1e-5);
        let Half { first, rest, .. } = half;
        let reading = Reading { first, rest, tokens: vec![], instead: Some(instead) };
        assert_eq!(reading.len(), whole.len());
        assert!(reading.state(&model, &empty, &go).unwrap().equals(&once), "bit for bit");
        // Another beginning is read from the memory before it.
        let half = Half::read(&model, &empty, "ask:", "", false, &go).unwrap();
        let (other, instead) = half.once_more(&model, &empty, "no", false).unwrap();
        let (_, state) = model.read(&[110, 111], &model.state(), &go).unwrap();
        assert!(other.equals(&state) && !instead.after_first);
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
