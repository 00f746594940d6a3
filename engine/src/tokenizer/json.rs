//! Tokenizers of the Hugging Face library, as RWKV-4 and the MIDI models use them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use tokenizers::DecoderWrapper;

use crate::constrain::Vocabulary;

/// A `tokenizer.json`, and whether its tokens are spelled in the byte alphabet of GPT-2.
#[derive(Debug)]
pub struct Json {
    tokenizer: tokenizers::Tokenizer,
    pub(super) byte_level: bool,
    pub(super) vocabulary: OnceLock<Vocabulary>,
}

impl Json {
    /// Reads the content of a `tokenizer.json`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let _: serde_json::Value = serde_json::from_str(text)?;
        let tokenizer = contained(|| text.parse::<tokenizers::Tokenizer>())?;
        let tokenizer = tokenizer.map_err(|e| anyhow!("{e}"))?;
        let byte_level = match tokenizer.get_decoder() {
            Some(DecoderWrapper::ByteLevel(_)) => true,
            Some(DecoderWrapper::Sequence(all)) => {
                all.get_decoders().iter().any(|one| matches!(one, DecoderWrapper::ByteLevel(_)))
            }
            _ => false,
        };
        Ok(Self { tokenizer, byte_level, vocabulary: OnceLock::new() })
    }

    /// How many ids there are, added tokens included.
    pub(super) fn size(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// Cuts text into ids, without the special tokens that some files add around it.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = contained(|| self.tokenizer.encode_fast(text, false))?;
        let encoding = encoding.map_err(|e| {
            anyhow!("the tokenizer.json cannot encode this text ({e}); try another tokenizer")
        })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of the tokens; special tokens and unknown ids have none.
    pub(super) fn decode(&self, tokens: &[u32]) -> String {
        // It fails only on a broken `decoder` section; then there is no text to show.
        let text = contained(|| self.tokenizer.decode(tokens, true).unwrap_or_default());
        text.unwrap_or_default()
    }

    /// The bytes of one token by itself.
    pub(super) fn piece(&self, token: u32) -> Vec<u8> {
        let text = self.decode(&[token]);
        if !self.byte_level || text.is_empty() {
            return text.into_bytes();
        }
        // `text` has lost the bytes of half characters; the spelling still has them. Added tokens
        // are spelled plainly, with characters outside the alphabet.
        let spelling = self.tokenizer.id_to_token(token).unwrap_or_default();
        let bytes: Option<Vec<u8>> = spelling.chars().map(byte_spelled).collect();
        bytes.unwrap_or_else(|| text.into_bytes())
    }
}

/// What the library does with a file that nobody checked; where it panics there is an error.
fn contained<T>(work: impl FnOnce() -> T) -> Result<T> {
    let outcome = catch_unwind(AssertUnwindSafe(work));
    outcome.map_err(|_| anyhow!("the parts of the tokenizer.json contradict each other"))
}

/// The byte a character stands for in GPT-2's alphabet: printable Latin-1 is itself, the other
/// bytes are numbered from U+0100 on in their order.
fn byte_spelled(c: char) -> Option<u8> {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    match u8::try_from(c) {
        Ok(byte) => Some(byte).filter(printable),
        Err(_) => (0..=255).filter(|byte| !printable(byte)).nth(c as usize - 256),
    }
}

#[cfg(test)]
mod tests {
    use super::byte_spelled;

    #[test]
    fn reads_the_byte_alphabet() {
        assert_eq!(byte_spelled('a'), Some(b'a'));
        assert_eq!(byte_spelled('Ġ'), Some(b' '));
        assert_eq!(byte_spelled('Ċ'), Some(b'\n'));
        assert_eq!(byte_spelled('Ń'), Some(0xAD), "the last of the unprintable bytes");
        assert_eq!(byte_spelled(' '), None);
        assert_eq!(byte_spelled('語'), None);
    }
}
