//! What an editor asks while somebody types: is it complete, what colour is it.

use crate::error::offset;
use rhai::{Engine, LexError, ParseErrorType, Position, Token};
use std::ops::Range;

/// Classes of tokens for colouring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// A word of the language, such as `let`.
    Keyword,
    /// An integer or a float.
    Number,
    /// A string or a character.
    Text,
    /// A comment of any kind.
    Comment,
    /// A name that is called.
    Function,
    /// Any other name.
    Variable,
    /// Operators and brackets.
    Symbol,
    /// Something the lexer refuses.
    Mistake,
}

/// Whether Enter should run the text; `false` where more lines could make it whole.
pub fn is_complete(engine: &Engine, text: &str) -> bool {
    // The compiler takes an open comment for a whole one.
    if text.contains("/*") && Lexed::new(engine, text).open_comment {
        return false;
    }
    let Err(error) = engine.compile(text) else { return true };
    let start = Lines::new(text).byte(error.1);
    if matches!(*error.0, ParseErrorType::BadInput(LexError::UnterminatedString)) {
        return !opens_raw_text(text, start);
    }
    start < text.trim_end().len()
}

/// Whether the string that begins near `at` may run over several lines.
fn opens_raw_text(text: &str, at: usize) -> bool {
    // The engine points at the opening quote, or at the end of what it could read.
    let opening = text[at..].chars().next();
    let raw = matches!(opening, Some('`' | '#'));
    raw || at >= text.trim_end().len()
        && !text.lines().next_back().unwrap_or_default().contains('"')
}

/// Byte ranges of `text` and their classes, in order.
pub fn colours(engine: &Engine, text: &str) -> Vec<(Range<usize>, Colour)> {
    let tokens = Lexed::new(engine, text).tokens;
    let next_is_call = |index: usize| {
        tokens
            .get(index + 1)
            .is_some_and(|(token, _)| matches!(token, Token::LeftParen | Token::Unit))
    };
    let class = |index: usize, token: &Token| match token {
        Token::IntegerConstant(_) | Token::FloatConstant(_) => Colour::Number,
        Token::StringConstant(_) | Token::CharConstant(_) | Token::InterpolatedString(_) => {
            Colour::Text
        }
        Token::Comment(_) => Colour::Comment,
        Token::LexError(_) => Colour::Mistake,
        Token::Identifier(_) if next_is_call(index) => Colour::Function,
        Token::Identifier(_) => Colour::Variable,
        Token::Reserved(_) | Token::Custom(_) => Colour::Keyword,
        token if token.literal_syntax().starts_with(|c: char| c.is_ascii_alphabetic()) => {
            Colour::Keyword
        }
        _ => Colour::Symbol,
    };
    let coloured =
        tokens.iter().enumerate().map(|(at, (token, range))| (range.clone(), class(at, token)));
    coloured.filter(|(range, _)| !range.is_empty()).collect()
}

/// A text cut into tokens.
pub struct Lexed {
    /// Tokens, comments among them, and their bytes.
    pub tokens: Vec<(Token, Range<usize>)>,
    /// Whether a block comment is still open at the end.
    pub open_comment: bool,
}

impl Lexed {
    /// Cuts a text; follows back-quoted strings in and out of their `${ .. }`.
    pub fn new(engine: &Engine, text: &str) -> Self {
        let (inputs, lines) = ([text], Lines::new(text));
        let (mut stream, control) = engine.lex(&inputs);
        stream.state.include_comments = true;
        let mut braces: Vec<bool> = Vec::new();
        let mut starts: Vec<(Token, usize)> = Vec::new();
        let mut interpolating = false;
        // At an open end the stream repeats itself for ever, but a token has a letter at least.
        while let Some((token, position)) = stream.next().filter(|_| starts.len() <= text.len()) {
            match &token {
                Token::EOF => break,
                Token::InterpolatedString(_) => interpolating = true,
                Token::LeftBrace | Token::MapStart => {
                    braces.push(interpolating);
                    interpolating = false;
                }
                Token::RightBrace => {
                    control.borrow_mut().is_within_text = braces.pop() == Some(true);
                }
                _ => {}
            }
            starts.push((token, lines.byte(position)));
        }
        let open_comment = stream.state.comment_level > 0;
        Self { tokens: ranges(text, starts), open_comment }
    }
}

/// A token ends where the next one begins, less the blanks between.
fn ranges(text: &str, starts: Vec<(Token, usize)>) -> Vec<(Token, Range<usize>)> {
    let ends: Vec<usize> = starts.iter().skip(1).map(|(_, at)| *at).chain([text.len()]).collect();
    let cut = |((token, start), end): ((Token, usize), usize)| {
        let piece = text.get(start..end.max(start)).unwrap_or_default();
        let kept = if matches!(token, Token::InterpolatedString(_)) {
            piece.len()
        } else {
            piece.trim_end().len()
        };
        (token, start..start + kept)
    };
    starts.into_iter().zip(ends).map(cut).collect()
}

/// A text and where its lines begin, for the many positions of a long one.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// The byte a position of the engine means; the end of the text if it has none.
    fn byte(&self, position: Position) -> usize {
        let start = position.line().and_then(|line| self.starts.get(line - 1));
        let Some(&start) = start else { return self.text.len() };
        start + offset(&self.text[start..], 1, position.position().unwrap_or(1).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: [&str; 19] = [
        "",
        "1 + 1",
        "let a = 1",
        "let a = 1;",
        "fn f(x) { x + 1 }",
        "if a { 1 } else { 2 }",
        "[1, 2, 3]",
        "#{ a: 1 }",
        "`one\ntwo`",
        "`a ${1 + 1} b`",
        "\"open",
        "1 + )",
        "let let = 1",
        "// a comment",
        "/* closed */ 1",
        "f(|x| x * 2)",
        "}",
        "a.b.c",
        "let é = 1",
    ];

    const OPEN: [&str; 17] = [
        "fn f(x) {",
        "fn f(x) {\n    x + 1",
        "if a {",
        "if a { 1 } else",
        "if a { 1 } else {",
        "[1, 2,",
        "[1, 2",
        "#{ a: 1,",
        "f(1,",
        "f(",
        "1 +",
        "let a =",
        "`one\ntwo",
        "`a ${",
        "/* open",
        "a.",
        "while true { if b {\n}",
    ];

    #[test]
    fn enter_knows_what_is_whole() {
        let engine = Engine::new();
        for text in COMPLETE {
            assert!(is_complete(&engine, text), "should run: {text:?}");
        }
        for text in OPEN {
            assert!(!is_complete(&engine, text), "should wait: {text:?}");
        }
    }

    #[test]
    fn tokens_have_colours_and_exact_bytes() {
        let engine = Engine::new();
        let text = "let é = f(1.5, `a ${x} b`) // note";
        let all = colours(&engine, "let a = f(1.5, `b ${x} c`) // note");
        let shown: Vec<_> = all
            .iter()
            .map(|(r, c)| (&"let a = f(1.5, `b ${x} c`) // note"[r.clone()], *c))
            .collect();
        assert!(shown.contains(&("let", Colour::Keyword)), "{shown:?}");
        assert!(shown.contains(&("f", Colour::Function)), "{shown:?}");
        assert!(shown.contains(&("1.5", Colour::Number)), "{shown:?}");
        assert!(shown.contains(&("x", Colour::Variable)), "{shown:?}");
        assert!(shown.contains(&("// note", Colour::Comment)), "{shown:?}");
        let text_parts = shown.iter().filter(|(_, colour)| *colour == Colour::Text).count();
        assert_eq!(text_parts, 2, "{shown:?}");
        // Bytes stay on character borders even in a text the lexer refuses.
        colours(&engine, text)
            .iter()
            .for_each(|(range, _)| assert!(text.get(range.clone()).is_some()));
    }
}
