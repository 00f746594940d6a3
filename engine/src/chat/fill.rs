//! Filling a gap in a text, as G1 models of 2025 and later learnt it.

use anyhow::{Result, ensure};

/// What parts the pieces, and ends what is filled in.
pub const FLOWER: &str = "✿";

/// The text after which a model writes what belongs between `prefix` and `suffix`; it ends with
/// [`FLOWER`].
///
/// The place for the prefix stays empty: it comes last, so that the model goes on from there.
///
/// # Errors
/// When there is nothing around the gap, and when a flower stands in the text.
pub fn fill_prompt(prefix: &str, suffix: &str) -> Result<String> {
    ensure!(
        !prefix.is_empty() || !suffix.is_empty(),
        "there is nothing around the gap; give what stands before it, or after it."
    );
    let [prefix, suffix] = [prefix, suffix].map(|text| text.replace("\r\n", "\n"));
    ensure!(
        !prefix.contains(FLOWER) && !suffix.contains(FLOWER),
        "the text holds {FLOWER}, which parts the pieces of the prompt; take it out first."
    );
    let mark = |word: &str| format!("{FLOWER}{word}{FLOWER}");
    Ok([mark("prefix"), mark("suffix"), suffix, mark("middle"), prefix].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_comes_last() {
        let prompt = fill_prompt("The sun ", " in the west.\r\n").unwrap();
        assert_eq!(prompt, "✿prefix✿✿suffix✿ in the west.\n✿middle✿The sun ");
        assert_eq!(fill_prompt("", "b").unwrap(), "✿prefix✿✿suffix✿b✿middle✿");
    }

    #[test]
    fn what_cannot_be_marked_is_refused() {
        assert!(fill_prompt("a ✿", "").unwrap_err().to_string().contains("take it out"));
        assert!(fill_prompt("", "").unwrap_err().to_string().contains("nothing around"));
    }
}
