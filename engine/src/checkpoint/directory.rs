//! Checkpoints in several files: Hugging Face directories, and models cut into parts.

use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a directory of one model may hold, the first that is there.
const WHOLE: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
const INDICES: [&str; 2] = ["model.safetensors.index.json", "pytorch_model.bin.index.json"];
const ENDINGS: [&str; 6] = ["pth", "pt", "safetensors", "st", "gguf", "bin"];
/// More than any model has.
const MAX_SHARDS: usize = 1000;

/// The files of the model that a directory holds.
///
/// # Errors
/// When there is none or more than one, and when an index names what is not there.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let shown = folder.display();
    if let Some(index) = INDICES.iter().map(|name| folder.join(name)).find(|path| path.is_file()) {
        return shards(&index);
    }
    if let Some(file) = WHOLE.iter().map(|name| folder.join(name)).find(|path| path.is_file()) {
        return Ok(vec![file]);
    }
    let entries = fs::read_dir(folder).with_context(|| format!("{shown} cannot be read"))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let fits = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        path.is_file() && ending.is_some_and(|ending| ENDINGS.contains(&ending))
    };
    let mut found: Vec<_> = paths.filter(fits).collect();
    found.sort();
    match &found[..] {
        [] => bail!("{shown} is a directory without a model; give a checkpoint file."),
        [one] => Ok(vec![one.clone()]),
        several => {
            let names = several.iter().filter_map(|path| path.file_name()).take(6);
            let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
            bail!("{shown} holds several models ({}); give one of them.", names.join(", "))
        }
    }
}

/// The files that an index names.
fn shards(index: &Path) -> Result<Vec<PathBuf>> {
    let shown = index.display();
    let text = fs::read_to_string(index).with_context(|| format!("{shown} cannot be read"))?;
    let json: serde_json::Value = serde_json::from_str(&text)
        .with_context(|| format!("{shown} is damaged; download it again"))?;
    let map = json.get("weight_map").and_then(|map| map.as_object());
    let map = map.with_context(|| format!("{shown} has no weight_map; download it again"))?;
    let names: BTreeSet<_> = map.values().filter_map(|file| file.as_str()).collect();
    ensure!(!names.is_empty() && names.len() <= MAX_SHARDS, "{shown} names {} files.", names.len());
    let folder = index.parent().unwrap_or(Path::new("."));
    let shard = |name: &str| {
        // Nothing outside the directory is opened on the word of a file.
        let plain = Path::new(name).file_name().is_some_and(|own| own == name);
        ensure!(plain, "{shown} names {name:?}, which is no file beside it; do not trust it.");
        let path = folder.join(name);
        ensure!(path.is_file(), "{} is missing; download the whole model.", path.display());
        Ok(path)
    };
    names.into_iter().map(shard).collect()
}

/// All parts of a GGUF that was split (`…-00001-of-00003.gguf`), or the file alone.
///
/// # Errors
/// When a part is missing.
pub(super) fn parts(path: &Path) -> Result<Vec<PathBuf>> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((start, count)) = split_name(name) else { return Ok(vec![path.to_path_buf()]) };
    let part = |i: usize| {
        let part = path.with_file_name(format!("{start}-{i:05}-of-{count:05}.gguf"));
        ensure!(part.is_file(), "{} is missing; download the whole model.", part.display());
        Ok(part)
    };
    (1..=count).map(part).collect()
}

fn split_name(name: &str) -> Option<(&str, usize)> {
    let (start, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (start, part) = start.rsplit_once('-')?;
    let (part, count): (usize, usize) = (part.parse().ok()?, count.parse().ok()?);
    ((1..=count).contains(&part) && count <= MAX_SHARDS).then_some((start, count))
}
