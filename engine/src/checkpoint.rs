//! A checkpoint on disk, opened as named tensors.
//!
//! The file is memory-mapped and stays where it is: opening reads the directory of names only, and
//! a tensor becomes `f32` when it is asked for. What `torch.save` writes and once wrote (`.pth`),
//! safetensors, GGUF, rwkv.cpp's `.bin` and Hugging Face directories are read, and whatever the
//! program that wrote them calls its tensors, they have BlinkDL's names here. Other files that
//! people try are recognised, so that the refusal can say what they are.
//!
//! A file is a stranger. Every count, offset and name in it is checked before it is used; nothing
//! in it can run, make this program panic, or allocate much more than the file is long.

mod dialect;
mod directory;
mod dtype;
mod gguf;
mod legacy;
mod pickle;
mod pth;
mod quantised;
mod rwkv_cpp;
mod safetensors;
mod stored;
#[cfg(test)]
mod tests;
mod write;
mod write_pth;

pub use dtype::Dtype;
pub use write::{Entry, check_ending, save, write, write_bytes, write_list};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rwkv_kernels::{Mapped, Packed, Reading};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;
use stored::Stored;

/// How the name of a tuned initial state ends.
pub const TUNED: &str = ".att.time_state";

/// The word that says of a file of ours that its tuned states are `[head, value, key]`: without it
/// a safetensors of nothing else is taken for web-rwkv's.
pub const AXES: (&str, &str) = ("time_state", "head, value, key");

/// Named tensors of one file, read when asked for.
///
/// The file must not be cut short by another program while it is open: the operating system
/// answers reads beyond its new end by killing the process, as with every memory-mapped file.
#[derive(Debug)]
pub struct Checkpoint {
    source: String,
    /// One file, or the shards of a directory.
    files: Vec<Arc<Bytes>>,
    contents: Contents,
}

/// What a container's directory says: where each tensor lies, and words about the whole.
#[derive(Debug, Default)]
struct Contents {
    container: Container,
    tensors: BTreeMap<String, Stored>,
    metadata: BTreeMap<String, String>,
    /// The vocabulary, one token after the other, spelled as the container spells it.
    vocabulary: Option<Vec<String>>,
    /// Whose names the tensors had, where not BlinkDL's.
    dialect: Option<&'static str>,
}

/// What kind of file a checkpoint is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Container {
    /// The zip that `torch.save` writes since PyTorch 1.6.
    #[default]
    Pth,
    /// What `torch.save` wrote before.
    LegacyPth,
    /// A header of JSON, then the numbers.
    Safetensors,
    /// llama.cpp's.
    Gguf,
    /// rwkv.cpp's `.bin`.
    RwkvCpp,
    /// A Hugging Face directory.
    Directory,
}

impl Container {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pth => ".pth",
            Self::LegacyPth => "legacy .pth",
            Self::Safetensors => "safetensors",
            Self::Gguf => "GGUF",
            Self::RwkvCpp => "rwkv.cpp .bin",
            Self::Directory => "Hugging Face directory",
        }
    }
}

#[derive(Debug)]
enum Bytes {
    Mapped(Mapped),
    Embedded(&'static [u8]),
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Embedded(bytes) => bytes,
        }
    }
}

impl Bytes {
    fn expect(&self, reading: Reading) {
        if let Self::Mapped(map) = self {
            map.expect(reading);
        }
    }

    fn release(&self, part: Range<usize>) {
        if let Self::Mapped(map) = self {
            map.release(part);
        }
    }
}

impl Checkpoint {
    /// Opens a checkpoint of any kind, or a directory that holds one; what it is decides the
    /// content, not the name. Reads the directory only, so that a file of any size opens at once.
    ///
    /// # Errors
    /// When there is no such readable file, when it is damaged or cut short, and when it is of
    /// another kind, which is then named.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = path.is_dir();
        let paths = if folder { directory::files(path)? } else { directory::parts(path)? };
        let mut files = Vec::new();
        let mut contents: Option<Contents> = None;
        for (i, part) in paths.iter().enumerate() {
            let bytes = Bytes::Mapped(map(part)?);
            bytes.expect(Reading::Scattered);
            let found = read(&bytes).and_then(|contents| contents.checked(bytes.len()));
            bytes.expect(Reading::Onwards);
            let found = found.map_err(|error| said_of(&part.display().to_string(), &error))?;
            files.push(Arc::new(bytes));
            match &mut contents {
                None => contents = Some(found),
                Some(all) => all.join(found, i),
            }
        }
        let mut contents = contents.context("there is no file to open")?;
        if folder && path.join("config.json").is_file() {
            contents.container = Container::Directory;
        }
        Self::new(path.display().to_string(), files, contents)
    }

    /// Opens a checkpoint that is part of the program; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn from_bytes(name: &str, bytes: &'static [u8]) -> Result<Self> {
        let contents = read(bytes).and_then(|contents| contents.checked(bytes.len()));
        let contents = contents.map_err(|error| said_of(name, &error))?;
        Self::new(name.to_string(), vec![Arc::new(Bytes::Embedded(bytes))], contents)
    }

    fn new(source: String, files: Vec<Arc<Bytes>>, contents: Contents) -> Result<Self> {
        let contents = dialect::canonical(contents).map_err(|error| said_of(&source, &error))?;
        Ok(Self { source, files, contents })
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.contents.tensors.keys().map(String::as_str)
    }

    /// Whether there is a tensor of exactly this name.
    pub fn contains(&self, name: &str) -> bool {
        self.contents.tensors.contains_key(name)
    }

    /// Sizes of a tensor, outermost axis first; `[]` for a single number.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(self.contents.tensors.get(name)?.shape())
    }

    /// The type the numbers have in the file.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        Some(self.contents.tensors.get(name)?.dtype())
    }

    /// All numbers of a tensor, row after row, whatever order they have in the file.
    ///
    /// Wider types are rounded: an integer is exact up to 2²⁴. Infinities and NaN pass through.
    ///
    /// # Errors
    /// When there is no tensor of this name.
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        let stored = self.contents.tensors.get(name).with_context(|| {
            format!("{} has no tensor `{name}`; check that it is the right file.", self.source)
        })?;
        Ok(stored.values(|file| &self.files[file], |file, range| self.files[file].release(range)))
    }

    /// A matrix as it lies in the file, which stays open as long as it is used; none where its numbers
    /// are of a type, or in an order, in which they cannot be multiplied.
    pub fn packed(&self, name: &str) -> Option<Packed> {
        let (dims, dtype, file, range) = self.contents.tensors.get(name)?.matrix()?;
        let (bytes, storage) = (self.files[file].clone(), dtype.storage()?);
        match dtype.laid() {
            Some(_) => Packed::laid(bytes, range, dims, storage),
            None => Packed::new(bytes, range, dims, storage),
        }
    }

    /// Gives back the memory that reading a matrix where it lies has taken; it can be read again.
    pub fn release(&self, name: &str) {
        if let Some((_, _, file, range)) = self.contents.tensors.get(name).and_then(Stored::matrix)
        {
            self.files[file].release(range);
        }
    }

    /// Words about the whole file: `__metadata__` of safetensors, nothing in a `.pth`.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.contents.metadata
    }

    /// What kind of file this is.
    pub fn container(&self) -> Container {
        self.contents.container
    }

    /// The vocabulary that the file carries (GGUF does), spelled as it spells it.
    pub fn vocabulary(&self) -> Option<&[String]> {
        self.contents.vocabulary.as_deref()
    }

    /// Whose names and orientations the tensors have in the file, where they are not BlinkDL's.
    pub fn dialect(&self) -> Option<&'static str> {
        self.contents.dialect
    }

    /// What to call this checkpoint in errors: its path, or its name if it is embedded.
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl Contents {
    /// Adds what another file of the same model holds.
    fn join(&mut self, other: Self, file: usize) {
        let tensors = other.tensors.into_iter();
        self.tensors.extend(tensors.map(|(name, stored)| (name, stored.in_file(file))));
    }

    /// Refuses what each tensor may say for itself, but no honest file says as a whole.
    fn checked(self, file_bytes: usize) -> Result<Self> {
        // Expanded and shared storages let a small file speak of endless numbers.
        let total: u128 = self.tensors.values().map(|tensor| tensor.elements() as u128).sum();
        ensure!(
            total <= 8 * file_bytes as u128 + (1 << 20),
            "claims {total} numbers, far more than its {file_bytes} bytes hold; do not trust it."
        );
        // Names are printed later, and control characters would steer the terminal.
        let strange = self.tensors.keys().find(|name| name.chars().any(char::is_control));
        if let Some(name) = strange {
            bail!("has a tensor called {name:?}, which no model has; do not trust it.");
        }
        Ok(self)
    }
}

fn said_of(source: &str, error: &anyhow::Error) -> anyhow::Error {
    anyhow!("{source} {}", printable(error))
}

/// An error that may quote the file, safe to show on a terminal.
fn printable(error: &anyhow::Error) -> String {
    error.to_string().chars().filter(|c| !c.is_control()).take(400).collect()
}

/// Maps a file into memory after checking that it is one.
fn map(path: &Path) -> Result<Mapped> {
    let shown = path.display();
    let explain = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => anyhow!("{shown} does not exist; check the path."),
        ErrorKind::PermissionDenied => {
            anyhow!("{shown} may not be read by this user; change its permissions.")
        }
        _ => anyhow!("{shown} cannot be opened ({error}); check the path."),
    };
    let about = fs::metadata(path).map_err(explain)?;
    // Asked before opening: a pipe without a writer would block.
    ensure!(about.is_file(), "{shown} is a device or pipe; give a checkpoint file.");
    ensure!(about.len() > 0, "{shown} is empty; download or copy it again.");
    let file = File::open(path).map_err(explain)?;
    Mapped::new(&file).map_err(explain)
}

/// Errors of this function and below continue the sentence that begins with the file's name.
fn read(bytes: &[u8]) -> Result<Contents> {
    if bytes.starts_with(b"PK\x03\x04") {
        return pth::read(bytes);
    }
    // The header's length, which is moderate, and the header.
    if bytes.get(5..9) == Some(b"\0\0\0{") {
        return safetensors::read(bytes);
    }
    if bytes.starts_with(legacy::MAGIC) {
        return legacy::read(bytes);
    }
    if bytes.starts_with(b"GGUF") {
        return gguf::read(bytes);
    }
    if bytes.starts_with(rwkv_cpp::MAGIC) {
        return rwkv_cpp::read(bytes);
    }
    if let Some((_, what)) = REFUSED.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        bail!("is {what}.");
    }
    if looks_like_cbor(bytes) {
        bail!("is a web-rwkv prefab (quantised); load the .pth or .st that it was made from.");
    }
    bail!("is not a checkpoint of a known kind; give a .pth, .safetensors, .gguf or .bin file.")
}

/// First bytes of files that people try, what they are, and what to do.
const REFUSED: &[(&[u8], &str)] = &[
    (b"\x80", "a bare Python pickle, not a checkpoint; write it with torch.save"),
    (b"lmgg", "an old ggml file; load the .pth that it was made from"),
    (b"PK", "an empty or split zip, not a checkpoint; give a .pth or .safetensors file"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; run `git lfs pull`"),
    (b"<!DOCTYPE", "a web page; the download link led to a page, not to the file"),
    (b"<html", "a web page; the download link led to a page, not to the file"),
];

/// A CBOR map whose first key is a word, which is how a web-rwkv prefab begins.
fn looks_like_cbor(bytes: &[u8]) -> bool {
    let [map, key, rest @ ..] = bytes else { return false };
    let length = usize::from(key & 0x1f);
    matches!(map, 0xa1..=0xb7 | 0xbf)
        && matches!(key, 0x61..=0x77)
        && rest.get(..length).is_some_and(|word| word.iter().all(u8::is_ascii_alphanumeric))
}
