//! What a session forgets, and what it reads again.

use super::Session;
use crate::Failure;
use crate::editing::Lexed;
use rhai::Token;
use std::path::PathBuf;

impl Session {
    /// Makes everything that is printed, shown or evaluated one line of JSON.
    pub fn speak_json(&self) {
        self.host.json.set(true);
    }

    /// Drops a variable and what it holds; `false` if there is none of that name.
    pub fn forget(&mut self, name: &str) -> bool {
        let before = self.scope.len();
        self.keep(|other| other != name);
        self.host.globals.borrow_mut().remove(name);
        self.scope.len() < before
    }

    /// Imports again what an earlier line imported, if one of those files has changed since;
    /// the files that have.
    ///
    /// # Errors
    /// When the new text of one fails; what was imported before then stays.
    pub fn reload(&mut self) -> Result<Vec<PathBuf>, Failure> {
        let files = self.host.imported.borrow();
        let changed = files
            .iter()
            .filter(|(file, text)| std::fs::read_to_string(file).is_ok_and(|now| now != **text));
        let changed: Vec<PathBuf> = changed.map(|(file, _)| file.clone()).collect();
        drop(files);
        if !changed.is_empty() {
            let again = self.imports.join("\n");
            self.execute("import", &again).map(drop)?;
        }
        Ok(changed)
    }

    /// Remembers the imports of a text that ran; one for the same name takes the older one's place.
    pub(super) fn keep_imports(&mut self, text: &str) {
        for statement in imports(&Lexed::new(&self.engine, text), text) {
            self.imports.retain(|other| alias(other) != alias(&statement));
            self.imports.push(statement);
        }
    }
}

/// The `import` statements of a text that stand in no block.
fn imports(lexed: &Lexed, text: &str) -> Vec<String> {
    let mut depth = 0;
    let mut found = Vec::new();
    for (at, (token, range)) in lexed.tokens.iter().enumerate() {
        match token {
            Token::LeftBrace | Token::MapStart => depth += 1,
            Token::RightBrace => depth -= 1,
            Token::Import if depth == 0 => {
                let rest = &lexed.tokens[at..];
                let end = rest.iter().position(|(token, _)| matches!(token, Token::SemiColon));
                let last = end.map_or(rest.len(), |end| end) - 1;
                found.push(format!("{};", &text[range.start..rest[last].1.end]));
            }
            _ => {}
        }
    }
    found
}

/// The name that an `import` statement gives.
fn alias(statement: &str) -> &str {
    statement.rsplit(" as ").next().unwrap_or(statement).trim_end_matches(';').trim()
}
