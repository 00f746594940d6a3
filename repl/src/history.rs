//! The lines typed in earlier sessions.
//!
//! Code and commands are kept, what is said to a model is not; a line that starts with a blank is
//! not kept either.

use crate::folders;
use crate::term::variable;
use rustyline::Config;
use rustyline::history::{FileHistory, History, SearchDirection};
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
        let path = folders::state(&variable)?.join("history");
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

/// What was typed in all sessions, this one included, oldest first; nothing where none is kept.
pub fn all() -> Vec<String> {
    let Some(log) = Log::open(&Config::default()) else { return Vec::new() };
    let mut lines = FileHistory::new();
    // A first session has no history yet.
    let _ = lines.load(&log.path);
    let line = |index| lines.get(index, SearchDirection::Forward).ok().flatten();
    (0..lines.len()).filter_map(line).map(|found| found.entry.into_owned()).collect()
}
