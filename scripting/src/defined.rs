//! The functions that scripts defined: what the manual says about them.

use crate::editing::Lexed;
use rhai::{AST, Engine, Token};
use std::collections::BTreeMap;
use std::ops::Range;

/// A function of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defined {
    /// `name(first, second)`
    pub signature: String,
    /// Its `///` lines without their slashes.
    pub doc: String,
    /// The text it was made from, doc comment included.
    pub source: String,
    arguments: usize,
}

/// All functions of a session by name; a name may stand for several numbers of arguments.
#[derive(Debug, Default)]
pub struct Definitions(BTreeMap<String, Vec<Defined>>);

impl Definitions {
    /// Adds what a compiled text defines, over what has the same name and number of arguments.
    pub fn add(&mut self, engine: &Engine, ast: &AST, text: &str) {
        let mut sources = sources(engine, text);
        for function in ast.iter_functions().filter(|f| !f.name.starts_with("anon$")) {
            let doc = function.comments.iter().map(|line| line.trim_start_matches("///").trim());
            let arguments = function.params.len();
            let written = sources.iter().position(|(name, ..)| *name == function.name);
            let written =
                sources.iter().position(|s| s.0 == function.name && s.1 == arguments).or(written);
            let defined = Defined {
                signature: format!("{}({})", function.name, function.params.join(", ")),
                doc: doc.collect::<Vec<_>>().join("\n"),
                source: written.map_or(String::new(), |at| text[sources.remove(at).2].to_string()),
                arguments,
            };
            let same_name = self.0.entry(function.name.into()).or_default();
            same_name.retain(|other| other.arguments != arguments);
            same_name.push(defined);
            same_name.sort_by_key(|defined| defined.arguments);
        }
    }

    /// Names in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The manual page of a function: signature and doc.
    pub fn page(&self, name: &str) -> Option<String> {
        let pages = self.0.get(name)?.iter().map(|one| format!("{}\n\n{}", one.signature, one.doc));
        Some(pages.map(|page| page.trim_end().to_string()).collect::<Vec<_>>().join("\n\n"))
    }

    /// The source of a function as it was written.
    pub fn source(&self, name: &str) -> Option<String> {
        let sources = self.0.get(name)?.iter().map(|one| one.source.as_str());
        Some(sources.collect::<Vec<_>>().join("\n\n"))
    }
}

/// Name, number of arguments and bytes of every `fn` of a text, its doc comment included.
fn sources(engine: &Engine, text: &str) -> Vec<(String, usize, Range<usize>)> {
    let tokens = Lexed::new(engine, text).tokens;
    let starts = tokens.iter().enumerate().filter(|(_, (token, _))| matches!(token, Token::Fn));
    starts.filter_map(|(at, _)| function(&tokens, at)).collect()
}

fn function(tokens: &[(Token, Range<usize>)], at: usize) -> Option<(String, usize, Range<usize>)> {
    let (Token::Identifier(name), _) = tokens.get(at + 1)? else { return None };
    let named = |(token, _): &&(Token, Range<usize>)| matches!(token, Token::Identifier(_));
    let rest = &tokens[at + 2..];
    let arguments = rest.iter().take_while(|(token, _)| !matches!(token, Token::LeftBrace));
    let mut depth = 0;
    let end = rest.iter().find(|(token, _)| {
        match token {
            Token::LeftBrace | Token::MapStart => depth += 1,
            Token::RightBrace => depth -= 1,
            _ => return false,
        }
        depth == 0
    })?;
    let before = |(token, _): &&(Token, Range<usize>)| match token {
        Token::Private => true,
        Token::Comment(text) => text.starts_with("///"),
        _ => false,
    };
    let first = tokens[..at].iter().rev().take_while(before).last().unwrap_or(&tokens[at]);
    Some((name.to_string(), arguments.filter(named).count(), first.1.start..end.1.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defined(text: &str) -> Definitions {
        let (engine, mut all) = (Engine::new(), Definitions::default());
        all.add(&engine, &engine.compile(text).unwrap(), text);
        all
    }

    #[test]
    fn a_function_keeps_its_text() {
        let text = "let a = 1;\n/// Doubles.\nfn twice(x) { #{ y: 2 * x }.y } // done\n\
                    fn twice(x, y) {\n    `${x}{`\n}\nprivate fn three() { 3 }";
        let all = defined(text);
        let first = "/// Doubles.\nfn twice(x) { #{ y: 2 * x }.y }";
        let second = "fn twice(x, y) {\n    `${x}{`\n}";
        assert_eq!(all.source("twice").unwrap(), format!("{first}\n\n{second}"));
        assert_eq!(all.page("twice").unwrap(), "twice(x)\n\nDoubles.\n\ntwice(x, y)");
        assert_eq!(all.source("three").unwrap(), "private fn three() { 3 }");
        assert_eq!(all.source("four"), None);
    }

    #[test]
    fn a_later_definition_replaces_the_one_of_its_kind() {
        let (engine, mut all) = (Engine::new(), defined("fn f() { 1 }\nfn f(x) { x }"));
        all.add(&engine, &engine.compile("fn f() { 2 }").unwrap(), "fn f() { 2 }");
        assert_eq!(all.source("f").unwrap(), "fn f() { 2 }\n\nfn f(x) { x }");
        assert_eq!(all.names().collect::<Vec<_>>(), ["f"]);
    }
}
