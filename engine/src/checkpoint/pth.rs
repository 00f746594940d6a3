//! The zip that `torch.save` writes since PyTorch 1.6.
//!
//! `<stem>/data.pkl` is a pickle of a dictionary; its tensors refer to the entries
//! `<stem>/data/<key>`, which hold the numbers uncompressed and can therefore be mapped. A tensor is
//! a view of such a storage: an offset, sizes and strides, and several may share one.

use super::pickle::{Global, Id, Pickle, Value};
use super::stored::{MAX_RANK, Stored};
use super::{Contents, Dtype};
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::io::Cursor;
use std::ops::Range;
use zip::{CompressionMethod, ZipArchive};

/// Room for some twenty thousand tensors; bounds what a hostile pickle costs.
const MAX_PICKLE: usize = 4 << 20;
/// Keys under which training programs keep the tensors when they save more than those.
const WRAPPERS: [&str; 3] = ["state_dict", "module", "model"];

/// Reads the directory of a `.pth`.
pub(super) fn read(file: &[u8]) -> Result<Contents> {
    let mut archive = Archive::open(file)?;
    let pickle = archive.entry("data.pkl").map_err(|error| unreadable(&error))?;
    ensure!(
        pickle.len() <= MAX_PICKLE,
        "has a data.pkl of {} bytes, too large; save only the model's state dict.",
        pickle.len()
    );
    if let Ok(order) = archive.entry("byteorder") {
        ensure!(&file[order] == b"little", "was saved big-endian; save it on another computer.");
    }
    let pickle = Pickle::read(&file[pickle]).map_err(|error| unreadable(&error))?;
    tensors(&pickle, |key, bytes| {
        let range = archive.entry(&format!("data/{key}"))?;
        ensure!(bytes <= range.len(), "its storage is shorter than it claims");
        Ok(range.start..range.start + bytes)
    })
}

/// All tensors of a pickle; `find` gives the place in the file of a storage of so many bytes.
pub(super) fn tensors(
    pickle: &Pickle<'_>,
    mut find: impl FnMut(&str, usize) -> Result<Range<usize>>,
) -> Result<Contents> {
    let mut contents = Contents::default();
    for (name, value) in named_values(pickle)? {
        let tensor = tensor(pickle, value, &mut find);
        if let Some(stored) = tensor.map_err(|error| damaged(&name, &error))? {
            contents.tensors.insert(name, stored);
        }
    }
    ensure!(!contents.tensors.is_empty(), "holds no tensors; save the model's state dict.");
    Ok(contents)
}

/// What may be a tensor, by its name in a dictionary or its place in a list; saved states are lists.
fn named_values(pickle: &Pickle<'_>) -> Result<Vec<(String, Id)>> {
    let numbered = |items: &[Id]| {
        let number = |(i, &id): (usize, &Id)| (i.to_string(), id);
        items.iter().enumerate().map(number).collect()
    };
    Ok(match pickle.root() {
        Value::List(items) | Value::Tuple(items) => numbered(items),
        Value::Call(Global::Tensor | Global::Parameter, _) => numbered(&[pickle.root_id()]),
        _ => {
            let text = |(key, value): &(Id, Id)| match pickle.at(*key) {
                Value::Text(name) => Some(((*name).to_string(), *value)),
                _ => None,
            };
            tensor_dict(pickle)?.iter().filter_map(text).collect()
        }
    })
}

pub(super) fn unreadable(error: &anyhow::Error) -> anyhow::Error {
    anyhow!(
        "has a pickle that cannot be read: {error}; write the plain state dict with torch.save."
    )
}

fn damaged(name: &str, error: &anyhow::Error) -> anyhow::Error {
    anyhow!("has a bad tensor `{name}`: {error}; download or save the file again.")
}

/// The dictionary that holds the tensors, unwrapped from what a training program put around it.
fn tensor_dict<'p>(pickle: &'p Pickle<'_>) -> Result<&'p [(Id, Id)]> {
    let mut value = pickle.root();
    for _ in 0..=WRAPPERS.len() {
        let Value::Dict(entries) = value else { break };
        let inner = entries.iter().find(|(key, value)| {
            matches!(pickle.at(*key), Value::Text(name) if WRAPPERS.contains(name))
                && matches!(pickle.at(*value), Value::Dict(_))
        });
        match inner {
            Some((_, inside)) => value = pickle.at(*inside),
            None => return Ok(entries),
        }
    }
    bail!("does not hold a dictionary of tensors; save the model's state dict.")
}

/// The tensor that a value describes; `None` for an epoch counter and the like.
fn tensor(
    pickle: &Pickle<'_>,
    mut value: Id,
    find: &mut impl FnMut(&str, usize) -> Result<Range<usize>>,
) -> Result<Option<Stored>> {
    if let Value::Call(Global::Parameter, arguments) = pickle.at(value) {
        value = *tuple(pickle, *arguments)?.first().context("it is an empty parameter")?;
    }
    let Value::Call(Global::Tensor, arguments) = pickle.at(value) else { return Ok(None) };
    let [storage, offset, shape, strides, ..] = tuple(pickle, *arguments)? else {
        bail!("its description is incomplete");
    };
    let (dtype, storage) = self::storage(pickle, *storage, find)?;
    let (shape, strides) = (sizes(pickle, *shape)?, sizes(pickle, *strides)?);
    Stored::strided(dtype, &shape, &strides, size(pickle, *offset)?, storage).map(Some)
}

/// Type and place in the file of a storage.
fn storage(
    pickle: &Pickle<'_>,
    id: Id,
    find: &mut impl FnMut(&str, usize) -> Result<Range<usize>>,
) -> Result<(Dtype, Range<usize>)> {
    let (dtype, key, elements) = describe_storage(pickle, pickle.at(id))?;
    let bytes = elements.checked_mul(dtype.size()).context("its storage is too large")?;
    Ok((dtype, find(key, bytes)?))
}

/// Type, key and size of a storage: `('storage', type, key, device, elements)`.
pub(super) fn describe_storage<'p>(
    pickle: &Pickle<'p>,
    value: &Value<'p>,
) -> Result<(Dtype, &'p str, usize)> {
    let Value::Persistent(id) = value else { bail!("it has no storage") };
    let [_, kind, key, _, elements, ..] = tuple(pickle, *id)? else {
        bail!("its storage is described incompletely");
    };
    let (Value::Global(Global::Storage(dtype)), Value::Text(key)) =
        (pickle.at(*kind), pickle.at(*key))
    else {
        bail!("its storage has no type or no key");
    };
    Ok((*dtype, key, size(pickle, *elements)?))
}

pub(super) fn tuple<'p>(pickle: &'p Pickle<'_>, id: Id) -> Result<&'p [Id]> {
    let Value::Tuple(parts) = pickle.at(id) else { bail!("its description is no tuple") };
    Ok(parts)
}

fn sizes(pickle: &Pickle<'_>, id: Id) -> Result<Vec<usize>> {
    let parts = tuple(pickle, id)?;
    ensure!(parts.len() <= MAX_RANK, "it has {} axes", parts.len());
    parts.iter().map(|part| size(pickle, *part)).collect()
}

fn size(pickle: &Pickle<'_>, id: Id) -> Result<usize> {
    let Value::Int(number) = pickle.at(id) else { bail!("one of its sizes is no number") };
    usize::try_from(*number).map_err(|_| anyhow!("one of its sizes is {number}"))
}

/// The directory of the zip; the crate finds the entries, their bytes are read from the mapping.
struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    file_bytes: usize,
    /// What stands before `data.pkl` and every other name: the file's stem when it was saved.
    stem: String,
}

impl<'a> Archive<'a> {
    fn open(file: &'a [u8]) -> Result<Self> {
        let zip = ZipArchive::new(Cursor::new(file)).map_err(|error| {
            anyhow!("is a damaged or incomplete .pth ({error}); download or copy it again.")
        })?;
        let stems = zip.file_names().flatten();
        let stems = stems.filter_map(|name| Some(name.strip_suffix("data.pkl")?.to_string()));
        let stem = stems.filter(|stem| stem.ends_with('/')).min_by_key(String::len);
        let stem = stem.context("is a zip, but not one of torch.save; give a .pth file.")?;
        Ok(Self { zip, file_bytes: file.len(), stem })
    }

    /// Bytes of an entry in the file.
    fn entry(&mut self, name: &str) -> Result<Range<usize>> {
        let index = self.zip.index_for_name(&format!("{}{name}", self.stem));
        let index = index.with_context(|| format!("`{name}` is missing"))?;
        let entry = self.zip.by_index_raw(index);
        let entry = entry.map_err(|error| anyhow!("`{name}` is damaged ({error})"))?;
        let stored = entry.compression() == CompressionMethod::Stored && !entry.encrypted();
        ensure!(stored, "`{name}` is compressed or encrypted, which torch.save does not do");
        let start = entry.data_start().and_then(|start| usize::try_from(start).ok());
        let end = start.zip(usize::try_from(entry.size()).ok());
        let end = end.and_then(|(start, size)| start.checked_add(size));
        match start.zip(end) {
            Some((start, end)) if end <= self.file_bytes => Ok(start..end),
            _ => bail!("`{name}` lies beyond the end of the file"),
        }
    }
}
