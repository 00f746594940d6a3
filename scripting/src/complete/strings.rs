//! What may stand in a string: files, models, tensors of a model, values of an option.

use super::Completer;
use super::cursor::{Cursor, path_start};
use crate::model::Model;
use rwkv_engine::model::embedded_names;
use std::path::Path;

/// Endings of files that may hold a model.
const ENDINGS: [&str; 5] = [".pth", ".safetensors", ".st", ".gguf", ".bin"];

/// Models of the program, then files and folders of `folder` that begin with `typed` and may hold
/// one; folders end in `/`.
pub fn models(folder: &Path, typed: &str) -> Vec<String> {
    let embedded = embedded_names().iter().filter(|name| name.starts_with(typed));
    let (cut, files) = files(folder, typed);
    let may = |name: &&String| name.ends_with('/') || ENDINGS.iter().any(|end| name.ends_with(end));
    let files = files.iter().filter(may).map(|name| format!("{}{name}", &typed[..cut]));
    embedded.map(ToString::to_string).chain(files).collect()
}

/// Where the last part of a path begins, and the names that it could become.
fn files(folder: &Path, typed: &str) -> (usize, Vec<String>) {
    let cut = typed.rfind('/').map_or(0, |slash| slash + 1);
    let (parent, stem) = typed.split_at(cut);
    let entries = std::fs::read_dir(folder.join(parent)).into_iter().flatten().flatten();
    let shown =
        |name: &String| name.starts_with(stem) && (!name.starts_with('.') || stem.starts_with('.'));
    let named = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        Some(if entry.path().is_dir() { name + "/" } else { name })
    });
    let mut names: Vec<String> = named.filter(shown).collect();
    names.sort();
    (cut, names)
}

/// The words between back-quotes.
pub fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

impl Completer<'_> {
    /// Completes the string that begins at `start`.
    pub(super) fn inside_string(&self, cursor: &Cursor, start: usize) -> (usize, Vec<String>) {
        let typed = &cursor.before[start..];
        let left = cursor.before[..start - 1].trim_end();
        if let Some(names) = self.values(cursor, typed).or_else(|| self.tensors(left, typed)) {
            return (start, names);
        }
        if left.ends_with("load_model(") {
            return (start, models(self.folder, typed));
        }
        let (cut, names) = files(self.folder, typed);
        if left.ends_with("import") {
            let module = |name: String| match name.strip_suffix(".rhai") {
                Some(stem) => Some(stem.to_string()),
                None => name.ends_with('/').then_some(name),
            };
            return (start + cut, names.into_iter().filter_map(module).collect());
        }
        (start + cut, names)
    }

    /// Values that the manual names for the option whose value begins here.
    fn values(&self, cursor: &Cursor, typed: &str) -> Option<Vec<String>> {
        let (map, outer) = cursor.brackets.split_last()?;
        let key = cursor.key(map)?;
        let (_, about) = self.options(cursor, outer).into_iter().find(|(name, _)| name == key)?;
        if about.starts_with("path") {
            return None;
        }
        let words = quoted(&about).into_iter().filter(|word| word.starts_with(typed));
        let words: Vec<String> = words.map(ToString::to_string).collect();
        (!words.is_empty()).then_some(words)
    }

    /// Tensors of the model whose method `weights` is called.
    fn tensors(&self, left: &str, typed: &str) -> Option<Vec<String>> {
        let path = left.strip_suffix(".weights(")?;
        let (value, _) = (self.value_of)(&path[path_start(path)..])?;
        let model = value.read_lock::<Model>()?;
        let names = model.engine().tensors().into_iter().map(|(name, _)| name);
        Some(names.filter(|name| name.starts_with(typed)).collect())
    }
}
