//! Text to token ids and back: the World vocabulary, `tokenizer.json` files and plain bytes.

mod decoder;
mod json;
#[cfg(test)]
mod tests;
mod trie;
mod world;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, bail};

use crate::constrain::Vocabulary;
pub use decoder::Decoder;
pub use json::Json;
pub use world::World;

/// The three ways to cut text into tokens; cloning copies a pointer, not the vocabulary.
#[derive(Clone, Debug)]
pub enum Tokenizer {
    /// Greedy longest match in a `rwkv_vocab` list: RWKV-5 and later "World" models.
    World(Arc<World>),
    /// A Hugging Face `tokenizer.json`: RWKV-4 "Pile" and MIDI models.
    Json(Arc<Json>),
    /// One id per byte: ABC music and experiments.
    Bytes,
}

impl Tokenizer {
    /// The World tokenizer with the vocabulary built into the program, unpacked at the first call.
    pub fn world() -> Self {
        static WORLD: OnceLock<Arc<World>> = OnceLock::new();
        Self::World(WORLD.get_or_init(|| Arc::new(World::embedded())).clone())
    }

    /// Opens a `tokenizer.json` or a `rwkv_vocab` text file; the content tells which of the two.
    ///
    /// # Errors
    /// The file cannot be read, or is neither of the two.
    pub fn open(path: &Path) -> Result<Self> {
        let place = path.display();
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the tokenizer {place} as text"))?;
        Self::parse(&text, &place.to_string())
    }

    /// Reads the text of a vocabulary file; `place` is what errors call it.
    fn parse(text: &str, place: &str) -> Result<Self> {
        if text.trim_start().starts_with('{') {
            let json = Json::parse(text).with_context(|| {
                format!("{place} is not a tokenizer.json of the Hugging Face `tokenizers` library")
            })?;
            return Ok(Self::Json(Arc::new(json)));
        }
        let world = World::parse(text).with_context(|| {
            format!("{place} is neither a tokenizer.json nor a rwkv_vocab text file")
        })?;
        Ok(Self::World(Arc::new(world)))
    }

    /// The vocabulary in a GGUF of llama.cpp: token 0 ends a text, the others are spelled as Python
    /// spells bytes, `\x0a` or `\n`, without quotes.
    ///
    /// # Errors
    /// Names the first token that is spelled otherwise.
    pub fn from_gguf(tokens: &[String]) -> Result<Self> {
        let listed = World::spelled(tokens)?;
        let world = Self::world();
        Ok(match &world {
            Self::World(own) if own.has_the_same_pieces(&listed) => world,
            _ => Self::World(Arc::new(listed)),
        })
    }

    /// The tokenizer of models that learn from pictures of shapes: every byte is a token, and every
    /// word that is asked or answered about them.
    pub fn shapes() -> Self {
        let text = include_str!("../assets/shapes_vocab.txt");
        Self::World(Arc::new(World::parse(text).expect("the embedded vocabulary is well-formed")))
    }

    /// The tokenizer whose 256 ids are the bytes of the text.
    pub fn bytes() -> Self {
        Self::Bytes
    }

    /// What kind it is: `"world"`, `"tokenizer.json"` or `"bytes"`.
    pub fn name(&self) -> &str {
        match self {
            Self::World(_) => "world",
            Self::Json(_) => "tokenizer.json",
            Self::Bytes => "bytes",
        }
    }

    /// How many ids it knows; a model may have more logits than that (World: 65530 of 65536).
    pub fn size(&self) -> usize {
        match self {
            Self::World(world) => world.size(),
            Self::Json(json) => json.size(),
            Self::Bytes => 256,
        }
    }

    /// Cuts text into token ids; nothing is added before or after it.
    ///
    /// # Errors
    /// The vocabulary has no token for some of the text (never with the built-in one).
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        match self {
            Self::Json(json) => json.encode(text),
            Self::World(_) | Self::Bytes => self.encode_bytes(text.as_bytes()),
        }
    }

    /// Cuts any bytes into token ids, also bytes that are not UTF-8.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`], and always with a `tokenizer.json`, which reads only text.
    pub fn encode_bytes(&self, bytes: &[u8]) -> Result<Vec<u32>> {
        match self {
            Self::World(world) => world.encode(bytes),
            Self::Json(_) => bail!(
                "a tokenizer.json encodes text, not bytes; encode a string, or use the world or \
                 the bytes tokenizer"
            ),
            Self::Bytes => Ok(bytes.iter().map(|&byte| u32::from(byte)).collect()),
        }
    }

    /// The text of whole tokens; bytes that are not UTF-8 become U+FFFD, ids without text nothing.
    pub fn decode(&self, tokens: &[u32]) -> String {
        match self {
            Self::Json(json) => json.decode(tokens),
            Self::World(_) | Self::Bytes => {
                let bytes: Vec<u8> = tokens.iter().flat_map(|&token| self.piece(token)).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
        }
    }

    /// The bytes of one token, perhaps half a character; empty if the id has no text.
    pub fn piece(&self, token: u32) -> Vec<u8> {
        match self {
            Self::World(world) => world.piece(token).to_vec(),
            Self::Json(json) => json.piece(token),
            Self::Bytes => u8::try_from(token).into_iter().collect(),
        }
    }

    /// Whether the vocabulary has this id. Bytes know every id: they also stand in for tokenizers
    /// that were not found.
    pub fn knows(&self, token: u32) -> bool {
        match self {
            Self::World(world) => !world.piece(token).is_empty(),
            Self::Json(json) => (token as usize) < json.size(),
            Self::Bytes => true,
        }
    }

    /// Whether the text of tokens is nothing but their pieces one after the other.
    pub fn joins_bytes(&self) -> bool {
        match self {
            Self::World(_) | Self::Bytes => true,
            Self::Json(json) => json.byte_level,
        }
    }

    /// Its tokens as [`crate::constrain`] needs them, worked out at the first call and kept.
    ///
    /// # Errors
    /// As [`Vocabulary::of`].
    pub fn vocabulary(&self) -> Result<Vocabulary> {
        let kept = match self {
            Self::World(world) => &world.vocabulary,
            Self::Json(json) => &json.vocabulary,
            Self::Bytes => return Vocabulary::of(self),
        };
        if let Some(vocabulary) = kept.get() {
            return Ok(vocabulary.clone());
        }
        let made = Vocabulary::of(self)?;
        Ok(kept.get_or_init(|| made).clone())
    }

    /// A decoder that takes one token at a time and gives the text as soon as it is certain.
    pub fn decoder(&self) -> Decoder {
        Decoder::new(self.clone())
    }
}
