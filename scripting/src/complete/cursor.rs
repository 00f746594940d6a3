//! Where the cursor stands: in which brackets, in which string.

/// A bracket that is still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bracket {
    /// `(`, `[`, `{`, `#` for `#{`, `$` for `${`.
    pub kind: char,
    /// Its byte.
    pub at: usize,
    /// Where the item begins that the cursor is in: after the bracket, or after the last comma.
    pub since: usize,
}

/// The surroundings of the end of a text.
#[derive(Debug)]
pub struct Cursor<'a> {
    /// The text up to the cursor.
    pub before: &'a str,
    /// Open brackets, outermost first.
    pub brackets: Vec<Bracket>,
    /// Byte of the quote that opens the string the cursor is in.
    pub quote: Option<usize>,
    /// Whether the cursor is in a comment or in the words of a back-quoted text.
    pub in_words: bool,
}

impl<'a> Cursor<'a> {
    /// Reads a text up to its end.
    pub fn new(before: &'a str) -> Self {
        let mut cursor = Self { before, brackets: Vec::new(), quote: None, in_words: false };
        let mut at = 0;
        while at < before.len() {
            at = cursor.step(at);
        }
        cursor
    }

    /// Reads what begins at `at`; where it ends.
    fn step(&mut self, at: usize) -> usize {
        let rest = &self.before[at..];
        let end = self.before.len();
        let letter = rest.chars().next().unwrap_or(' ');
        if rest.starts_with("//") || rest.starts_with("/*") {
            let close = if rest.starts_with("//") { "\n" } else { "*/" };
            let found = rest.find(close);
            self.in_words = found.is_none();
            return found.map_or(end, |length| at + length + close.len());
        }
        match letter {
            '"' => return self.string(at),
            '`' => return self.words(at + 1),
            '#' | '$' if rest[1..].starts_with('{') => {
                self.open(letter, at, 2);
                return at + 2;
            }
            '\'' if rest.chars().nth(2) == Some('\'') => {
                return at + rest.chars().take(3).map(char::len_utf8).sum::<usize>();
            }
            '(' | '[' | '{' => self.open(letter, at, 1),
            ')' | ']' => drop(self.brackets.pop()),
            '}' if self.brackets.pop().is_some_and(|bracket| bracket.kind == '$') => {
                return self.words(at + 1);
            }
            ',' | ';' => {
                if let Some(bracket) = self.brackets.last_mut() {
                    bracket.since = at + 1;
                }
            }
            _ => {}
        }
        at + letter.len_utf8()
    }

    fn open(&mut self, kind: char, at: usize, length: usize) {
        self.brackets.push(Bracket { kind, at, since: at + length });
    }

    /// A string ends at its quote or, unfinished, with its line.
    fn string(&mut self, quote: usize) -> usize {
        let mut escaped = false;
        for (at, letter) in self.before[quote + 1..].char_indices() {
            match letter {
                '"' if !escaped => return quote + at + 2,
                '\n' => return quote + at + 2,
                _ => escaped = letter == '\\' && !escaped,
            }
        }
        self.quote = Some(quote);
        self.before.len()
    }

    /// The words of a back-quoted text, up to its end or to its next `${`.
    fn words(&mut self, from: usize) -> usize {
        let rest = &self.before[from..];
        match (rest.find('`'), rest.find("${")) {
            (end, Some(code)) if end.is_none_or(|end| code < end) => {
                self.open('$', from + code, 2);
                from + code + 2
            }
            (Some(end), _) => from + end + 1,
            (None, _) => {
                self.in_words = true;
                self.before.len()
            }
        }
    }

    /// The name that stands before a bracket.
    pub fn name_before(&self, bracket: &Bracket) -> &'a str {
        let left = &self.before[..bracket.at];
        &left[word_start(left)..]
    }

    /// The byte of the innermost bracket, if it is that of a call.
    pub fn called(&self) -> Option<usize> {
        self.brackets.last().filter(|bracket| bracket.kind == '(').map(|bracket| bracket.at)
    }

    /// The key of the item of a map that the cursor is in.
    pub fn key(&self, map: &Bracket) -> Option<&'a str> {
        let (key, _) = self.before[map.since..].split_once(':').filter(|_| map.kind == '#')?;
        Some(key.trim().trim_matches('"'))
    }
}

/// Where the word at the end of `text` begins.
pub fn word_start(text: &str) -> usize {
    text.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len()
}

/// Where the path of names, properties and whole-number indexes at the end of `text` begins.
pub fn path_start(text: &str) -> usize {
    text.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || "_.[]-".contains(c)).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_strings_are_told_apart() {
        let kinds = |text: &str| {
            let cursor = Cursor::new(text);
            let kinds: String = cursor.brackets.iter().map(|bracket| bracket.kind).collect();
            (kinds, cursor.quote.is_some(), cursor.in_words)
        };
        for (text, brackets, string, words) in [
            ("f(#{ a: [1, 2], ", "(#", false, false),
            ("f(\"(#{\", ", "(", false, false),
            ("f(\"a\\\" (", "(", true, false),
            ("`a ${ f(", "$(", false, false),
            ("`a ${x} (", "", false, true),
            ("1 // (", "", false, true),
            ("/* ( */ {", "{", false, false),
            ("\"open\n[", "[", false, false),
        ] {
            assert_eq!(kinds(text), (brackets.to_string(), string, words), "{text}");
        }
    }

    #[test]
    fn items_begin_after_commas() {
        let text = "f(1, #{ a: [1, 2], sampler: #{ t";
        let cursor = Cursor::new(text);
        assert_eq!(cursor.key(&cursor.brackets[1]), Some("sampler"));
        assert_eq!(cursor.name_before(&cursor.brackets[0]), "f");
        assert_eq!(text[cursor.brackets[2].since..].trim(), "t");
        assert_eq!(Cursor::new("a.f(g(1), \")\", [2]").called(), Some(3));
        assert_eq!(Cursor::new("a[1").called(), None);
    }
}
