//! Files: read anywhere, written only below the working folder and the temporary folder.

use crate::host::{Fallible, Host, fail};
use rhai::plugin::*;
use rhai::{Array, Module};

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// The whole text of a file; a relative path is looked up beside the script, then below the
    /// working folder.
    ///
    /// ```
    /// write_file(temp_path("note.txt"), "hello");
    /// assert(read_file(temp_path("note.txt")) == "hello");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn read_file(context: NativeCallContext, path: &str) -> Fallible<String> {
        let file = Host::of(&context).readable(path);
        std::fs::read_to_string(&file).map_err(|error| fail(format!("cannot read {path}: {error}")))
    }

    /// Writes a text to a file below the working folder or the temporary folder, over what was
    /// there before.
    ///
    /// ```
    /// write_file(temp_path("note.txt"), "hello");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn write_file(context: NativeCallContext, path: &str, content: &str) -> Fallible<()> {
        let file = Host::of(&context).writable(path)?;
        std::fs::write(file, content).map_err(|error| fail(format!("cannot write {path}: {error}")))
    }

    /// Whether there is a file or a folder at this path, looked up as `read_file` does.
    ///
    /// ```
    /// write_file(temp_path("note.txt"), "hello");
    /// assert(file_exists(temp_path("note.txt")) && !file_exists(temp_path("no such file")));
    /// ```
    #[rhai_fn(volatile)]
    pub fn file_exists(context: NativeCallContext, path: &str) -> bool {
        Host::of(&context).readable(path).exists()
    }

    /// Names of the files and folders in a folder, sorted; folders end in `/`.
    ///
    /// ```
    /// write_file(temp_path("note.txt"), "hello");
    /// assert("note.txt" in list_files(temp_path("")));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn list_files(context: NativeCallContext, folder: &str) -> Fallible<Array> {
        let entries = std::fs::read_dir(Host::of(&context).readable(folder))
            .map_err(|error| fail(format!("cannot list {folder}: {error}")))?;
        let name = |entry: std::fs::DirEntry| {
            let slash = if entry.path().is_dir() { "/" } else { "" };
            entry.file_name().to_string_lossy().into_owned() + slash
        };
        let mut names: Vec<String> = entries.flatten().map(name).collect();
        names.sort();
        Ok(names.into_iter().map(Dynamic::from).collect())
    }

    /// A path in a temporary folder that all calls of this process share.
    ///
    /// ```
    /// assert(temp_path("a.txt").ends_with("a.txt"));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn temp_path(name: &str) -> Fallible<String> {
        let folder = std::env::temp_dir().join(format!("rwkv-lab-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .map_err(|error| fail(format!("cannot make {}: {error}", folder.display())))?;
        Ok(folder.join(name).to_string_lossy().into_owned())
    }
}
