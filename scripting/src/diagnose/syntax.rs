//! What to do about a text that is not a script.

use crate::error::Place;
use crate::suggest::nearest;
use rhai::{LexError, ParseErrorType};

/// Words that somebody may have meant where a statement does not end.
const WORDS: [&str; 14] = [
    "else", "if", "while", "loop", "for", "in", "switch", "return", "until", "catch", "import",
    "let", "const", "throw",
];

/// One piece of advice, where there is one, for what the parser stumbled over at a place.
pub fn hint(what: &ParseErrorType, place: Option<&Place>) -> Option<String> {
    let meant = place.and_then(meant);
    let odd = place.is_some_and(|place| !place.token().is_ascii());
    let advice = match what {
        ParseErrorType::MissingToken(..) | ParseErrorType::UnknownOperator(_)
            if meant.is_some() =>
        {
            return meant.map(|word| format!("did you mean `{word}`?"));
        }
        ParseErrorType::MissingToken(missing, _) => match missing.as_str() {
            ";" => "`;` stands between statements; or is an operator or a comma missing?",
            ")" | "]" | "}" => "a bracket that was opened before is still open here",
            _ => return None,
        },
        ParseErrorType::BadInput(LexError::UnterminatedString) => {
            "close it with a quote; a text of several lines stands between back-quotes"
        }
        ParseErrorType::BadInput(LexError::UnexpectedInput(_)) if odd => {
            "names are made of letters from a to z, digits and _; a text stands in quotes"
        }
        ParseErrorType::BadInput(LexError::UnexpectedInput(_)) => "is something missing before it?",
        ParseErrorType::Reserved(_) => "this word belongs to the language; choose another name",
        ParseErrorType::UnexpectedEOF => "the text ends too early; is a bracket still open?",
        ParseErrorType::VariableExpected => "a name has to stand here",
        ParseErrorType::ExprExpected(_) => "a value has to stand here",
        ParseErrorType::PropertyExpected => {
            "the name of a property or a method has to follow the dot"
        }
        ParseErrorType::FnMissingParams(_) => "brackets follow the name of a function: `fn f()`",
        ParseErrorType::WrongFnDefinition => "functions are defined outside of blocks",
        ParseErrorType::LoopBreak => "`break` and `continue` belong in a loop",
        _ => return None,
    };
    Some(advice.to_string())
}

/// The word of the language that the token, or the name before it, nearly is.
fn meant(place: &Place) -> Option<&'static str> {
    let before = place.text[..place.range.start].trim_end();
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = &before[before.trim_end_matches(word).len()..];
    let near = |token: &str| nearest(token, WORDS).filter(|word| *word != token);
    near(place.token()).or_else(|| near(name))
}
