//! Conversations about pictures as models were taught them: where a picture stands in its turn, the
//! words around the turns, and which tokens are learnt.
//!
//! Samples have LLaVA's layout: turns of `human` and `gpt`, with `<image>` where a picture is meant.

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// What stands for a picture in a text.
pub const PICTURE: &str = "<image>";

/// Said to the model in the picture's own turn only.
const SHORT: &str = "Answer the question using a single word or phrase.";

/// Begins what the model says; nobody has to learn it.
const HEADER: &str = "Assistant:";

/// What somebody says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Whether it is the person; else it is the model.
    pub human: bool,
    /// The words, which may have pictures among them.
    pub text: String,
}

/// Where a picture stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// Before the words of its turn.
    First,
    /// Behind them.
    Last,
    /// Between the words of all the person's turns and those of its own again: a model of RWKV-6
    /// knows what is asked before it looks.
    Middle,
    /// Between the words of its turn and the same again, in RWKV-5, which also learnt `Assistant:`.
    MiddleOfTurn,
    /// Before the words of its turn, one picture on each line, as many as there are: RWKV-7.
    Lines,
}

/// A conversation as a model reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Tokens; none where a picture stands.
    pub ids: Vec<Option<u32>>,
    /// Which of them are learnt.
    pub learnt: Vec<bool>,
}

impl Placement {
    /// The turns with their pictures in place, and no empty lines inside.
    pub fn arranged(self, turns: &[Turn]) -> Vec<Turn> {
        let asked: Vec<String> = turns.iter().filter(|turn| turn.human).map(asked).collect();
        let asked = asked.join("\n");
        let arranged = |turn: &Turn| Turn { human: turn.human, text: self.placed(turn, &asked) };
        turns.iter().map(arranged).collect()
    }

    fn placed(self, turn: &Turn, asked: &str) -> String {
        let count = turn.text.matches(PICTURE).count();
        let words = squashed(turn.text.replace(PICTURE, "").trim());
        if count == 0 || self == Self::Lines && !turn.human {
            return words;
        }
        let text = match self {
            Self::First => format!("{PICTURE}\n{words}"),
            Self::Last => format!("{words}\n{PICTURE}"),
            Self::Middle => format!("{asked}\n{PICTURE}\n{words}"),
            Self::MiddleOfTurn => format!("{words}\n{PICTURE}\n{words}"),
            Self::Lines => format!("{}\n{words}", [PICTURE].repeat(count).join("\n")),
        };
        text.trim().to_string()
    }

    /// Tokens of the turns, and which are learnt: the model's words with the end of its turn. A turn
    /// of the model without words is its to say.
    ///
    /// # Errors
    /// When the text cannot be cut into tokens.
    pub fn prompt(
        self,
        turns: &[Turn],
        encode: impl Fn(&str) -> Result<Vec<u32>>,
    ) -> Result<Prompt> {
        let header = if self == Self::MiddleOfTurn { 0 } else { encode(HEADER)?.len() };
        let mut prompt = Prompt::default();
        for turn in self.arranged(turns) {
            let first = prompt.ids.len();
            for (i, part) in said(&turn).split(PICTURE).enumerate() {
                prompt.ids.extend((i > 0).then_some(None));
                prompt.ids.extend(encode(part)?.into_iter().map(Some));
            }
            let told = |at| !turn.human && at >= first + header;
            prompt.learnt.extend((first..prompt.ids.len()).map(told));
        }
        Ok(prompt)
    }
}

/// A turn as it is read.
pub fn said(turn: &Turn) -> String {
    let speaker = if turn.human { "User" } else { "Assistant" };
    match turn.text.as_str() {
        "" => format!("{speaker}:"),
        text => format!("{speaker}: {text}\n\n"),
    }
}

/// What is asked in a turn, without what is said about the answer.
fn asked(turn: &Turn) -> String {
    match turn.text.contains(PICTURE) {
        true => squashed(turn.text.replace(PICTURE, "").trim().replace(SHORT, "").trim()),
        false => turn.text.trim().to_string(),
    }
}

/// Lines without empty ones between them: an empty line ends a turn.
fn squashed(text: &str) -> String {
    let mut found = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(line) = rest.find('\n') {
        found.push_str(&rest[..=line]);
        let after = &rest[line + 1..];
        let blank = &after[..after.len() - after.trim_start().len()];
        rest = &after[blank.rfind('\n').map_or(0, |last| last + 1)..];
    }
    found + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::Tokenizer;
    use serde_json::Value;

    #[test]
    fn conversations_are_those_of_the_reference() {
        let text = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/visual_prompts.json");
        let golden: Value = serde_json::from_str(&std::fs::read_to_string(text).unwrap()).unwrap();
        let world = Tokenizer::world();
        for case in golden.as_array().unwrap() {
            let way = case["way"].as_str().unwrap();
            let (placement, picture, times) = match way {
                "v6_first" => (Placement::First, &[-200][..], 1),
                "v6_middle" => (Placement::Middle, &[-200][..], 1),
                "v6_last" => (Placement::Last, &[-200][..], 1),
                "v5_middle" => (Placement::MiddleOfTurn, &[-200][..], 1),
                "v7" => (Placement::Lines, &[65535; 4][..], 1),
                _ => (Placement::Lines, &[65535; 4][..], 2),
            };
            let turn = |turn: &Value| Turn {
                human: turn[0] == "human",
                text: turn[1].as_str().unwrap().replace(PICTURE, &PICTURE.repeat(times)),
            };
            let turns: Vec<Turn> =
                case["conversation"].as_array().unwrap().iter().map(turn).collect();
            let text: String = placement.arranged(&turns).iter().map(said).collect();
            assert_eq!(text, case["text"].as_str().unwrap(), "{way}");

            let prompt = placement.prompt(&turns, |text| world.encode(text)).unwrap();
            let (mut ids, mut learnt) = (Vec::new(), Vec::new());
            for (id, told) in prompt.ids.iter().zip(&prompt.learnt) {
                if *told {
                    learnt.push(ids.len());
                }
                match id {
                    Some(id) => ids.push(i64::from(*id)),
                    None => ids.extend(picture),
                }
            }
            assert_eq!(Value::from(ids), case["ids"], "{way}: {text}");
            assert_eq!(Value::from(learnt), case["learnt"], "{way}: {text}");
        }
    }

    #[test]
    fn empty_lines_vanish_inside_of_a_turn() {
        for (text, expected) in [
            ("a\n\nb", "a\nb"),
            ("a\n \t\n\n  b", "a\n  b"),
            ("a\nb\n c", "a\nb\n c"),
            ("one line", "one line"),
        ] {
            assert_eq!(squashed(text), expected);
        }
    }
}
