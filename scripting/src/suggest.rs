//! "Did you mean": the known word that is closest to a mistaken one.

/// The known word nearest to `word`, if one is near enough to be meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let score = |other: &str| {
        let prefix = other.starts_with(word);
        // A shortened word such as `summ` for `summary` is a likelier slip than its edit distance.
        strsim::jaro_winkler(&word.to_lowercase(), &other.to_lowercase())
            + if prefix && word.len() > 2 { 0.1 } else { 0.0 }
    };
    known
        .into_iter()
        .map(|other| (score(other), other))
        .filter(|(score, _)| *score > 0.84)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let known = ["summary", "sum", "softmax", "reset"];
        assert_eq!(nearest("sumary", known), Some("summary"));
        assert_eq!(nearest("softmx", known), Some("softmax"));
        assert_eq!(nearest("rset", known), Some("reset"));
        assert_eq!(nearest("banana", known), None);
    }
}
