//! The lines typed in earlier sessions.
//!
//! Code and commands are kept, what is said to a model is not; a line that starts with a blank is
//! not kept either.

use crate::term::variable;
use rustyline::Config;
use rustyline::history::{FileHistory, History};
use std::fs;
use std::path::PathBuf;

/// The history file; only its owner may read it.
pub struct Log {
    path: PathBuf,
    /// Holds only what goes to the file; the editor remembers more.
    lines: FileHistory,
    /// Why nothing is written any more.
    broken: bool,
}

impl Log {
    /// The history of this person; none if `RWKV_NO_HISTORY` is set.
    pub fn open(config: &Config) -> Option<Self> {
        if variable("RWKV_NO_HISTORY").is_some() {
            return None;
        }
        let path = folder(&variable)?.join("history");
        Some(Self { path, lines: FileHistory::with_config(config), broken: false })
    }

    /// The file.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Adds a line to the file; returns one warning, the first time that fails.
    pub fn add(&mut self, line: &str) -> Option<String> {
        if self.broken {
            return None;
        }
        let error = self.append(line).err()?;
        self.broken = true;
        let path = self.path.display();
        Some(format!("warning: no history is kept: {path}: {error}; RWKV_NO_HISTORY=1 is quiet."))
    }

    fn append(&mut self, line: &str) -> rustyline::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        self.lines.add(line)?;
        self.lines.append(&self.path)
    }
}

/// `RWKV_HOME`, or the place for state that the desktop rules name.
fn folder(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let state = || variable("XDG_STATE_HOME").map(PathBuf::from);
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let own = variable("RWKV_HOME").map(PathBuf::from);
    own.or_else(|| state().or_else(home).map(|state| state.join("rwkv-lab")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_variable_names_the_folder() {
        let all = [("RWKV_HOME", "/r"), ("XDG_STATE_HOME", "/s"), ("HOME", "/h")];
        for (skipped, expected) in [
            (0, Some("/r")),
            (1, Some("/s/rwkv-lab")),
            (2, Some("/h/.local/state/rwkv-lab")),
            (3, None),
        ] {
            let known = &all[skipped..];
            let variable =
                |name: &str| known.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned());
            assert_eq!(folder(&variable), expected.map(PathBuf::from));
        }
    }
}
