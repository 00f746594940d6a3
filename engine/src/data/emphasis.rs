//! What of a text is to be learnt.

use std::ops::Range;

use super::shelf::Document;
use crate::tokenizer::Tokenizer;
use anyhow::Result;

/// What of a document is to be learnt: all from after `start` to the end of `end`, each time; the
/// rest counts only `elsewhere`.
#[derive(Clone, Debug)]
pub struct Emphasis {
    /// Text that goes before what counts, such as `Assistant:`.
    pub start: String,
    /// Text that ends it and still counts, such as a blank line.
    pub end: String,
    /// Weight of everything else, from 0 to 1.
    pub elsewhere: f32,
}

impl Emphasis {
    /// The weight of each of `tokens`, which `text` was cut into.
    fn weights(&self, text: &str, tokens: &[u32], tokenizer: &Tokenizer) -> Vec<f32> {
        let spans = self.spans(text);
        let mut spans = spans.iter().peekable(); // they are in order
        let mut at = 0;
        let weight = |&id: &u32| {
            while spans.next_if(|span| span.end <= at).is_some() {}
            let inside = spans.peek().is_some_and(|span| span.start <= at);
            at += tokenizer.piece(id).len();
            if inside { 1.0 } else { self.elsewhere }
        };
        tokens.iter().map(weight).collect()
    }

    fn spans(&self, text: &str) -> Vec<Range<usize>> {
        let mut spans = Vec::new();
        let mut at = 0;
        while let Some(found) = text[at..].find(&self.start) {
            let from = at + found + self.start.len();
            let to = text[from..].find(&self.end).map_or(text.len(), |n| from + n + self.end.len());
            spans.push(from..to);
            at = to;
        }
        spans
    }
}

/// A text as a document: its tokens, and token 0 that ends it.
///
/// # Errors
/// When the vocabulary has no token for some of it.
pub(super) fn document(
    text: &str,
    tokenizer: &Tokenizer,
    emphasis: Option<&Emphasis>,
) -> Result<Document> {
    let mut tokens = tokenizer.encode(text)?;
    let mut weights = Vec::new();
    if let Some(emphasis) = emphasis {
        weights = emphasis.weights(text, &tokens, tokenizer);
        weights.push(emphasis.elsewhere);
    }
    tokens.push(0);
    Ok(Document { tokens, weights })
}
