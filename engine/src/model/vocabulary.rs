//! Which tokenizer goes with a model: the one given, the one found beside it, the one in the file,
//! or the usual one of a vocabulary of this size.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::checkpoint::Checkpoint;
use crate::tokenizer::Tokenizer;

/// Vocabulary files by their usual names, in a model's directory or beside its file.
const NAMES: [&str; 6] = [
    "tokenizer.json",
    "20B_tokenizer.json",
    "tokenizer-midi.json",
    "rwkv_vocab_v20230424.txt",
    "rwkv_vocab.txt",
    "vocab.txt",
];

/// The tokenizer for a checkpoint, and a warning where something is doubtful.
///
/// # Errors
/// When the one given, or the one found, cannot be read.
pub(super) fn choose(
    given: Option<&Path>,
    model: &Path,
    file: &Checkpoint,
    vocabulary: usize,
) -> Result<(Tokenizer, Option<String>)> {
    if let Some(path) = given {
        return self::given(path, vocabulary);
    }
    if let Some(tokens) = file.vocabulary() {
        let tokenizer = Tokenizer::from_gguf(tokens).with_context(|| {
            format!("{} carries a vocabulary that cannot be used", file.source())
        })?;
        return Ok(with_doubts(tokenizer, vocabulary));
    }
    match beside(model) {
        // The World vocabulary is in the program; a file beside the model may be any other one.
        Some(path) if !is_world(vocabulary) || model.is_dir() => {
            Ok(with_doubts(Tokenizer::open(&path)?, vocabulary))
        }
        _ => Ok(by_size(vocabulary)),
    }
}

/// The tokenizer of a file that somebody named.
pub(super) fn given(path: &Path, vocabulary: usize) -> Result<(Tokenizer, Option<String>)> {
    Ok(with_doubts(Tokenizer::open(path)?, vocabulary))
}

fn beside(model: &Path) -> Option<PathBuf> {
    let folder = if model.is_dir() { model } else { model.parent()? };
    NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// Tokens of models that learnt from `data::shapes`.
const SHAPES: usize = 455;

fn is_world(size: usize) -> bool {
    (65529..=65536).contains(&size)
}

/// What cuts text into tokens for a vocabulary of this size, by the sizes of the released models.
pub fn expected_tokenizer(size: usize) -> &'static str {
    match size {
        65529..=65536 => "world",
        256 => "bytes",
        SHAPES => "shapes (every word of data::shapes)",
        50277..=65528 => "GPT-NeoX-20B (20B_tokenizer.json)",
        20096..=50276 => "MIDI (tokenizer-midi.json)",
        2176..=20095 => "MIDI piano (tokenizer-midi.json)",
        129..=2175 => "REMI (a tokenizer.json of its own)",
        1..=128 => "ABC notation, one byte each",
        _ => "none known",
    }
}

/// The usual tokenizer of a vocabulary of this size, and a warning where it is a guess.
pub(super) fn by_size(size: usize) -> (Tokenizer, Option<String>) {
    let expected = expected_tokenizer(size);
    match size {
        65529..=65536 => (Tokenizer::world(), None),
        256 => (Tokenizer::bytes(), None),
        SHAPES => (Tokenizer::shapes(), None),
        1..=128 => (
            Tokenizer::bytes(),
            Some(format!(
                "a vocabulary of {size} is taken for bytes, as ABC models have it; characters \
                 beyond it cannot be read. #{{ tokenizer: PATH }} gives another."
            )),
        ),
        _ => (
            Tokenizer::bytes(),
            Some(format!(
                "a vocabulary of {size} is that of {expected}; put the file beside the model or \
                 give #{{ tokenizer: PATH }}. Until then text is read byte by byte, which is wrong."
            )),
        ),
    }
}

/// A tokenizer that was given or found, and a warning where it cannot be the model's own.
fn with_doubts(tokenizer: Tokenizer, vocabulary: usize) -> (Tokenizer, Option<String>) {
    let known = tokenizer.size();
    // Released models round the size of their head up: 65530 to 65536, 50277 to 50304 or 50432.
    let doubt = if known > vocabulary {
        Some(format!("knows {known} tokens but the model only {vocabulary}"))
    } else if vocabulary - known > 256 {
        Some(format!("knows only {known} tokens of the model's {vocabulary}"))
    } else {
        None
    };
    let name = tokenizer.name().to_string();
    let doubt = doubt.map(|doubt| {
        format!(
            "the tokenizer {name} {doubt}; they may not belong together, and text may be wrong."
        )
    });
    (tokenizer, doubt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_tell_the_usual_tokenizer() {
        for (size, name) in [(65536, "world"), (256, "bytes"), (100, "bytes")] {
            assert_eq!(by_size(size).0.name(), name);
        }
        let (_, warning) = by_size(50304);
        assert!(warning.unwrap().contains("20B_tokenizer.json"));
        assert!(by_size(20096).1.unwrap().contains("tokenizer-midi.json"));
        assert!(by_size(65536).1.is_none());
        assert_eq!(by_size(SHAPES).0.size(), SHAPES);
    }

    #[test]
    fn a_tokenizer_of_another_model_is_doubted() {
        assert!(with_doubts(Tokenizer::world(), 256).1.unwrap().contains("only 256"));
        assert!(with_doubts(Tokenizer::bytes(), 65536).1.unwrap().contains("only 256 tokens"));
        assert!(with_doubts(Tokenizer::world(), 65536).1.is_none());
    }
}
