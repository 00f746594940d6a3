//! Documents in JSON, one on each line: texts and conversations.

use anyhow::{Result, anyhow, bail, ensure};
use serde_json::{Map, Value};

use super::emphasis::{Emphasis, document};
use super::shelf::Document;
use crate::chat::{Role, Template};
use crate::tokenizer::Tokenizer;

/// How objects are read: `text` is a text, and `messages` (of `role` and `content`) or
/// `conversations` (of `from` and `value`) a conversation, perhaps with a `system` beside it.
#[derive(Clone, Debug)]
pub struct Jsonl {
    /// The key of texts.
    pub text: String,
    /// What of a text is to be learnt; all of it without.
    pub emphasis: Option<Emphasis>,
    /// How conversations are written; with `bos` they begin with token 0.
    pub template: Template,
    /// How much everything but the answers counts in a conversation, from 0 to 1.
    pub elsewhere: f32,
}

impl Default for Jsonl {
    fn default() -> Self {
        let (text, template) = ("text".to_string(), Template::default());
        Self { text, emphasis: None, template, elsewhere: 0.0 }
    }
}

impl Jsonl {
    /// The document of a line.
    ///
    /// # Errors
    /// Says what was expected there.
    pub(super) fn document(&self, line: &str, tokenizer: &Tokenizer) -> Result<Document> {
        let object: Map<String, Value> = serde_json::from_str(line).map_err(|error| {
            // There is only one line, and its number is said elsewhere.
            let what = error.to_string().replace(" at line 1 column", " at column");
            anyhow!("an object in JSON is expected, but {what}")
        })?;
        if let Some(text) = object.get(&self.text) {
            let Value::String(text) = text else {
                bail!("`{}` must be a string, not {}", self.text, kind(text));
            };
            ensure!(!text.is_empty(), "`{}` is empty", self.text);
            return document(text, tokenizer, self.emphasis.as_ref());
        }
        let messages = ["messages", "conversations"].into_iter().find_map(|key| object.get(key));
        let Some(messages) = messages else {
            let known: Vec<_> = object.keys().take(8).map(|key| format!("`{key}`")).collect();
            bail!(
                "`{}`, `messages` or `conversations` is expected, but it has {}",
                self.text,
                if known.is_empty() { "nothing".into() } else { known.join(", ") }
            );
        };
        let mut said = messages_of(messages)?;
        if let Some(Value::String(system)) = object.get("system") {
            said.insert(0, (Role::System, system.clone()));
        }
        self.conversation(&said, tokenizer)
    }

    /// A conversation, each part cut into tokens as it is when people talk.
    fn conversation(&self, said: &[(Role, String)], tokenizer: &Tokenizer) -> Result<Document> {
        let mut document = Document::default();
        if self.template.bos {
            document.extend(&[0], self.elsewhere);
        }
        for part in self.template.transcript(said)? {
            let weight = if part.answer { 1.0 } else { self.elsewhere };
            document.extend(&tokenizer.encode(&part.text)?, weight);
        }
        document.extend(&[0], self.elsewhere);
        Ok(document)
    }
}

/// Who said what.
fn messages_of(messages: &Value) -> Result<Vec<(Role, String)>> {
    let Value::Array(messages) = messages else {
        bail!("messages must be an array, not {}", kind(messages));
    };
    let read = |(at, message): (usize, &Value)| {
        let text = |keys: [&str; 2]| keys.into_iter().find_map(|key| message.get(key)?.as_str());
        let (who, said) = (text(["role", "from"]), text(["content", "value"]));
        let (Some(who), Some(said)) = (who, said) else {
            bail!(
                "message {} must have `role` and `content`, or `from` and `value`, all strings",
                at + 1
            );
        };
        let Some(role) = Role::named(who) else {
            bail!(
                "message {} is of {who:?}; known are system, user (human), assistant (gpt)",
                at + 1
            );
        };
        Ok((role, said.to_string()))
    };
    messages.iter().enumerate().map(read).collect()
}

/// What a value is, in a word.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of a line, with what counts in brackets.
    fn read(line: &str) -> Result<String> {
        let document = Jsonl::default().document(line, &Tokenizer::bytes())?;
        let (mut text, mut inside) = (String::new(), false);
        for (at, &id) in document.tokens.iter().enumerate() {
            let counts = document.weights.get(at).is_none_or(|&weight| weight == 1.0);
            if counts != inside {
                text.push(if counts { '[' } else { ']' });
                inside = counts;
            }
            text.push(id as u8 as char);
        }
        Ok(text)
    }

    #[test]
    fn texts_and_conversations_are_read() {
        assert_eq!(read(r#"{"text": "a\nb", "id": 7}"#).unwrap(), "[a\nb\0");
        let talk = r#"{"messages": [{"role": "user", "content": "1?"},
                       {"role": "assistant", "content": "2"}]}"#;
        assert_eq!(read(talk).unwrap(), "User: 1?\n\nAssistant:[ 2\n\n]\0");
        let talk = r#"{"system": "S", "conversations": [{"from": "human", "value": "1?"},
                       {"from": "gpt", "value": "2"}]}"#;
        assert_eq!(read(talk).unwrap(), "System: S\n\nUser: 1?\n\nAssistant:[ 2\n\n]\0");
    }

    #[test]
    fn broken_lines_say_what_was_expected() {
        let cases = [
            (
                r#"{"text": "a""#,
                "an object in JSON is expected, but EOF while parsing an object at column 12",
            ),
            ("[1]", "an object in JSON is expected, but invalid type: sequence"),
            (
                r#"{"txt": "a"}"#,
                "`text`, `messages` or `conversations` is expected, but it has `txt`",
            ),
            ("{}", "but it has nothing"),
            (r#"{"text": 7}"#, "`text` must be a string, not a number"),
            (r#"{"text": ""}"#, "`text` is empty"),
            (r#"{"messages": "hi"}"#, "must be an array, not a string"),
            (r#"{"messages": [{"role": "user"}]}"#, "message 1 must have `role` and `content`"),
            (r#"{"messages": [{"role": "tool", "content": "x"}]}"#, "message 1 is of \"tool\""),
            (r#"{"messages": []}"#, "at least one question and an answer"),
        ];
        for (line, part) in cases {
            let error = format!("{:#}", read(line).unwrap_err());
            assert!(error.contains(part), "{error}");
        }
    }
}
