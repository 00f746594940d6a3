//! The `rwkv_vocab` tokenizer: a list of byte strings, matched greedily from left to right.

use std::str::Chars;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

use super::trie::Trie;
use crate::constrain::Vocabulary;

/// See `engine/assets/README.md` for where it comes from.
const VOCABULARY: &str = include_str!("../../assets/rwkv_vocab_v20230424.txt");

/// Ids beyond this are a broken file; no RWKV model comes near.
const MOST_IDS: usize = 1 << 20;

/// A vocabulary: the bytes of every id and the tree that finds them.
#[derive(Debug)]
pub struct World {
    pieces: Pieces,
    trie: Trie,
    pub(super) vocabulary: OnceLock<Vocabulary>,
}

/// All pieces in one array; piece `id` ends at `ends[id]`, where the next one starts.
#[derive(Debug)]
struct Pieces {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl World {
    /// The vocabulary that is part of the program.
    pub(super) fn embedded() -> Self {
        Self::parse(VOCABULARY).expect("the embedded vocabulary is well-formed")
    }

    /// Reads lines `<id> <python literal> <length in bytes>`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        // Id 0 is never in the file; it marks the end of a text.
        let mut pieces = Pieces { bytes: Vec::with_capacity(text.len()), ends: vec![0] };
        for (number, line) in text.lines().enumerate() {
            pieces.add(line).with_context(|| {
                format!(
                    "line {} should be a higher id than the line before, a Python literal and its \
                     length in bytes, but is `{}`",
                    number + 1,
                    line.chars().take(60).collect::<String>()
                )
            })?;
        }
        Self::of(pieces)
    }

    /// Reads the tokens of a GGUF: see [`super::Tokenizer::from_gguf`].
    pub(super) fn spelled(tokens: &[String]) -> Result<Self> {
        ensure!(tokens.len() <= MOST_IDS, "it has {} tokens, more than any RWKV", tokens.len());
        let mut pieces = Pieces { bytes: vec![], ends: vec![0] };
        for (id, token) in tokens.iter().enumerate().skip(1) {
            // A vocabulary is filled up to the size of the model with tokens that nothing means.
            if *token != format!("[PAD{id}]") {
                unescape(token, true, &mut pieces.bytes).with_context(|| {
                    format!("token {id}, `{token:.60}`, is not spelled as Python spells bytes")
                })?;
            }
            pieces.ends.push(pieces.bytes.len());
        }
        Self::of(pieces)
    }

    fn of(pieces: Pieces) -> Result<Self> {
        ensure!(!pieces.bytes.is_empty(), "the vocabulary is empty");
        let ids = (1..pieces.ends.len() as u32).map(|id| (pieces.piece(id), id));
        let trie = Trie::new(ids.filter(|(piece, _)| !piece.is_empty()).collect());
        Ok(Self { pieces, trie, vocabulary: OnceLock::new() })
    }

    /// Whether both cut every text alike; one may have more ids without text.
    pub(super) fn has_the_same_pieces(&self, other: &Self) -> bool {
        let most = self.size().max(other.size()) as u32;
        (0..most).all(|id| self.piece(id) == other.piece(id))
    }

    /// How many ids there are, id 0 included.
    pub(super) fn size(&self) -> usize {
        self.pieces.ends.len()
    }

    /// The bytes of a token; empty for id 0 and ids beyond the vocabulary.
    pub(super) fn piece(&self, token: u32) -> &[u8] {
        self.pieces.piece(token)
    }

    /// Takes the longest token that fits, again and again.
    pub(super) fn encode(&self, bytes: &[u8]) -> Result<Vec<u32>> {
        let (mut tokens, mut at) = (vec![], 0);
        while at < bytes.len() {
            let (length, token) = self.trie.longest(&bytes[at..]).with_context(|| {
                format!(
                    "the vocabulary has no token for byte {:#04x} at position {at} of the text; \
                     add it to the vocabulary file or use the built-in one",
                    bytes[at]
                )
            })?;
            tokens.push(token);
            at += length;
        }
        Ok(tokens)
    }
}

impl Pieces {
    fn piece(&self, id: u32) -> &[u8] {
        let id = id as usize;
        match self.ends.get(id) {
            Some(&end) if id > 0 => &self.bytes[self.ends[id - 1]..end],
            _ => &[],
        }
    }

    /// Adds one line of the file; `None` if it is malformed.
    fn add(&mut self, line: &str) -> Option<()> {
        // The literal may contain spaces itself.
        let (id, rest) = line.split_once(' ')?;
        let (literal, length) = rest.rsplit_once(' ')?;
        let (id, length): (usize, usize) = (id.parse().ok()?, length.parse().ok()?);
        let start = self.bytes.len();
        if id < self.ends.len() || id >= MOST_IDS {
            return None;
        }
        unquote(literal, &mut self.bytes)?;
        self.ends.resize(id, start);
        self.ends.push(self.bytes.len());
        (length > 0 && self.bytes.len() == start + length).then_some(())
    }
}

/// Appends the bytes of a Python literal `'…'`, `"…"` or `b'…'`.
fn unquote(literal: &str, bytes: &mut Vec<u8>) -> Option<()> {
    let raw = literal.starts_with('b');
    let quoted = literal.strip_prefix('b').unwrap_or(literal);
    let quote = if quoted.starts_with('"') { '"' } else { '\'' };
    unescape(quoted.strip_prefix(quote)?.strip_suffix(quote)?, raw, bytes)
}

/// Appends what stands between the quotes of a Python literal; `raw` if it is one of bytes.
fn unescape(mut rest: &str, raw: bool, bytes: &mut Vec<u8>) -> Option<()> {
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let mut chars = escape.chars();
        let c = escaped(&mut chars)?;
        // '\x80' is the character U+0080, two bytes of UTF-8; b'\x80' is one byte.
        if raw {
            bytes.push(u8::try_from(c).ok()?);
        } else {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        rest = chars.as_str();
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(())
}

/// The character that an escape stands for, after its backslash.
fn escaped(chars: &mut Chars) -> Option<char> {
    let digits = match chars.next()? {
        'n' => return Some('\n'),
        't' => return Some('\t'),
        'r' => return Some('\r'),
        same @ ('\\' | '\'' | '"') => return Some(same),
        'x' => 2,
        'u' => 4,
        _ => return None,
    };
    let (hex, rest) = chars.as_str().split_at_checked(digits)?;
    *chars = rest.chars();
    char::from_u32(u32::from_str_radix(hex, 16).ok()?)
}
