//! Tokens to text one at a time: never half a character, never waiting for one that cannot come.

use super::Tokenizer;

/// Turns a stream of tokens into pieces of text that concatenate to the decoded whole.
#[derive(Clone, Debug)]
pub struct Decoder {
    tokenizer: Tokenizer,
    /// The start of a character whose end has not come yet, at most three bytes.
    bytes: Vec<u8>,
    /// For `tokenizer.json` only: the last tokens, because text can depend on its neighbours.
    window: Vec<u32>,
    /// How much of the text of the window has been given out, in bytes.
    shown: usize,
}

/// Tokens kept as neighbours: four reach back beyond any unfinished character.
const NEIGHBOURS: usize = 4;

impl Decoder {
    pub(super) fn new(tokenizer: Tokenizer) -> Self {
        Self { tokenizer, bytes: vec![], window: vec![], shown: 0 }
    }

    /// Takes one token and returns the text that is certain now, often empty inside a character.
    pub fn push(&mut self, token: u32) -> String {
        if matches!(self.tokenizer, Tokenizer::Json(_)) {
            return self.push_to_window(token);
        }
        self.bytes.extend(self.tokenizer.piece(token));
        let whole = self.bytes.len() - unfinished(&self.bytes);
        let text = String::from_utf8_lossy(&self.bytes[..whole]).into_owned();
        self.bytes.drain(..whole);
        text
    }

    /// Ends the stream: a character that stayed unfinished becomes U+FFFD. The decoder is then as new.
    pub fn finish(&mut self) -> String {
        let mut text = String::from_utf8_lossy(&std::mem::take(&mut self.bytes)).into_owned();
        let window = self.tokenizer.decode(&std::mem::take(&mut self.window));
        text.push_str(window.get(std::mem::take(&mut self.shown)..).unwrap_or_default());
        text
    }

    /// The library decodes only whole token lists, so decode the window and return what is new.
    fn push_to_window(&mut self, token: u32) -> String {
        self.window.push(token);
        let text = self.tokenizer.decode(&self.window);
        let certain = certain(&text);
        let new = certain.get(self.shown..).unwrap_or_default().to_owned();
        self.shown = self.shown.max(certain.len());
        if self.window.len() > 4 * NEIGHBOURS {
            self.window.drain(..self.window.len() - NEIGHBOURS);
            self.shown = self::certain(&self.tokenizer.decode(&self.window)).len();
        }
        new
    }
}

/// How many bytes at the end are a correct but incomplete character.
fn unfinished(bytes: &[u8]) -> usize {
    match bytes.utf8_chunks().last().map(|chunk| chunk.invalid()) {
        Some(end) if std::str::from_utf8(end).is_err_and(|e| e.error_len().is_none()) => end.len(),
        _ => 0,
    }
}

/// Text without a U+FFFD at its end: the next token may turn it into a character.
fn certain(text: &str) -> &str {
    text.strip_suffix(char::REPLACEMENT_CHARACTER).unwrap_or(text)
}
