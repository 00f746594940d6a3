//! Texts that must have a form: one of a few choices, a regular expression, a JSON schema, a
//! grammar. Before every token it is worked out which ones can still lead to such a text.

use std::sync::Arc;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use llguidance::api::{StopReason, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{
    ApproximateTokEnv, InferenceCapabilities, SimpleVob, TokRxInfo, TokTrie,
};
use llguidance::{Matcher, ParserFactory};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::tokenizer::Tokenizer;

/// The form of a text, from its first to its last letter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Form {
    /// One of these texts.
    Choices(Vec<String>),
    /// What a regular expression matches: the syntax of the crate `regex`, without anchors.
    Regex(String),
    /// JSON that fits a schema.
    JsonSchema(Value),
    /// What a grammar derives from `start`: the syntax of Lark, as llguidance reads it.
    Grammar(String),
}

impl Form {
    /// JSON that fits a schema: a value that can be written as JSON, or a text of JSON.
    ///
    /// # Errors
    /// When it is neither.
    pub fn json_schema(schema: &impl serde::Serialize) -> Result<Self> {
        let schema = match serde_json::to_value(schema).context("`json_schema` is not JSON")? {
            Value::String(text) => {
                serde_json::from_str(&text).context("`json_schema` is not JSON")?
            }
            schema => schema,
        };
        Ok(Self::JsonSchema(schema))
    }

    /// What scripts call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Choices(_) => "choices",
            Self::Regex(_) => "regex",
            Self::JsonSchema(_) => "json_schema",
            Self::Grammar(_) => "grammar",
        }
    }

    fn grammar(&self) -> Result<TopLevelGrammar> {
        Ok(match self {
            Self::Choices(choices) => {
                ensure!(!choices.is_empty(), "`choices` is empty; give at least one text");
                ensure!(!choices.contains(&String::new()), "`choices` holds an empty text");
                // A string of the grammar is written as in JSON.
                let quoted = choices.iter().map(|text| Value::from(text.as_str()).to_string());
                let quoted: Vec<String> = quoted.collect();
                TopLevelGrammar::from_lark(format!("start: {}", quoted.join(" | ")))
            }
            Self::Regex(regex) => TopLevelGrammar::from_regex(regex),
            Self::JsonSchema(schema) => {
                let mut schema = schema.clone();
                if let Some(map) = schema.as_object_mut() {
                    // On one line: where white space is free, small models get lost in it.
                    let line = json!({
                        "whitespace_flexible": false,
                        "item_separator": ", ",
                        "key_separator": ": ",
                    });
                    map.entry("x-guidance").or_insert(line);
                }
                TopLevelGrammar::from_json_schema(schema)
            }
            Self::Grammar(lark) => TopLevelGrammar::from_lark(lark.clone()),
        })
    }
}

/// A vocabulary as the forms need it; making one takes a moment, copying it does not.
#[derive(Clone)]
pub struct Vocabulary(Arc<ParserFactory>);

impl Vocabulary {
    /// The tokens of a tokenizer by their bytes; those without text, and those that no text can
    /// hold, never come.
    ///
    /// # Errors
    /// When the text of its tokens is more than their bytes in a row.
    pub fn of(tokenizer: &Tokenizer) -> Result<Self> {
        ensure!(
            tokenizer.joins_bytes(),
            "this tokenizer.json puts spaces between its tokens or changes them when they meet, so \
             no form can be asked of their text; only byte-level ones can be held to a form"
        );
        let size = tokenizer.size() as u32;
        // This byte marks special tokens there and is part of no UTF-8 text.
        let text = |id| Some(tokenizer.piece(id)).filter(|piece| piece.first() != Some(&0xFF));
        let pieces: Vec<Vec<u8>> = (0..size).map(|id| text(id).unwrap_or_default()).collect();
        // Who ends the text is known to `generate`, not here.
        let trie = TokTrie::from(&TokRxInfo::new(size, u32::MAX), &pieces);
        let slices = SlicedBiasComputer::general_slices();
        let capabilities = InferenceCapabilities::default();
        let mut factory = ParserFactory::new(
            &(Arc::new(ApproximateTokEnv::new(trie)) as _),
            capabilities,
            &slices,
        )?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Self(Arc::new(factory)))
    }
}

impl std::fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Vocabulary({})", self.0.tok_env().tok_trie().vocab_size())
    }
}

/// A form and how far a text has come in it.
#[derive(Clone)]
pub struct Constraint {
    name: &'static str,
    matcher: Matcher,
    /// The tokens that can come next.
    next: SimpleVob,
    may_end: bool,
}

impl Constraint {
    /// Starts a text of this form.
    ///
    /// # Errors
    /// When the form is not well-formed itself, or no text can have it.
    pub fn new(form: &Form, vocabulary: &Vocabulary) -> Result<Self> {
        let name = form.name();
        let matcher = Matcher::new(vocabulary.0.create_parser(form.grammar()?));
        if let Some(error) = matcher.get_error() {
            bail!("`{name}` cannot be used: {}", tidy(&error));
        }
        let mut constraint = Self { name, matcher, next: SimpleVob::new(), may_end: false };
        constraint.advance(&[])?;
        Ok(constraint)
    }

    /// Reads a token that is allowed.
    ///
    /// # Errors
    /// When it is not, when no token can follow though the text is incomplete, and where the form
    /// is too complex.
    pub fn push(&mut self, token: u32) -> Result<()> {
        self.advance(&[token])
    }

    /// Whether a token may come next.
    pub fn allows(&self, token: u32) -> bool {
        (token as usize) < self.next.len() && self.next.is_allowed(token)
    }

    /// Whether the text has the form as it stands.
    pub fn may_end(&self) -> bool {
        self.may_end
    }

    /// Whether the text has the form and cannot go on.
    pub fn is_complete(&self) -> bool {
        self.may_end && self.next.is_zero()
    }

    fn advance(&mut self, tokens: &[u32]) -> Result<()> {
        let name = self.name;
        let lost =
            |error: Error| anyhow!("`{name}` cannot be followed: {}", tidy(&error.to_string()));
        self.matcher.consume_tokens(tokens).map_err(lost)?;
        self.may_end = self.matcher.is_accepting().map_err(lost)?;
        self.next = match self.matcher.stop_reason() {
            StopReason::NotStopped => match self.matcher.compute_mask() {
                // The library takes it for an error that nothing can follow.
                Err(error) if error.to_string().contains("NoExtensionBias") => SimpleVob::new(),
                mask => mask.map_err(lost)?,
            },
            _ => SimpleVob::new(),
        };
        ensure!(
            self.may_end || !self.next.is_zero(),
            "no token of this vocabulary leads on to a text that fits `{name}`; is it impossible?"
        );
        Ok(())
    }
}

/// The message of the library without what only its authors can use.
fn tidy(error: &str) -> &str {
    // A regular expression is wrapped into a grammar that nobody has written.
    let marks = ["<non-verbose/>", "\nStack backtrace", "\n   1 | start: /"];
    let end = marks.iter().filter_map(|mark| error.find(mark)).min();
    error[..end.unwrap_or(error.len())].trim_end()
}

#[cfg(test)]
mod tests;
