//! Writing checkpoints: safetensors, or the `.pth` that `torch.load` reads.

use super::dtype::panels;
use super::safetensors::{LENGTH, PANELS, Panels};
use super::{Dtype, write_pth};
use ::safetensors::tensor::{Dtype as Kind, TensorInfo};
use anyhow::{Result, anyhow, bail, ensure};
use half::{bf16, f16};
use rwkv_kernels::{Packed, Storage};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// A tensor to be written.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name in the file.
    pub name: String,
    /// Its sizes, outermost first.
    pub shape: Vec<usize>,
    /// The type its numbers get: `F32`, `BF16` or `F16`, or in a safetensors `Q8` or `Q4`, where its
    /// shape allows. They round to nearest, in `F16` above 65504 to infinity.
    pub dtype: Dtype,
}

impl Entry {
    pub(super) fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// How its numbers lie in panels, where they do.
    fn panels(&self) -> Option<(Storage, [usize; 2])> {
        Some((self.dtype.laid()?, *self.shape.as_array()?))
    }
}

/// Writes named tensors (name, shape, numbers row after row), all of one type.
///
/// # Errors
/// As [`write()`].
pub fn save(
    path: &Path,
    tensors: &[(String, Vec<usize>, Vec<f32>)],
    dtype: Dtype,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    writable(dtype)?;
    let entry = |(name, shape, _): &(String, Vec<usize>, Vec<f32>)| Entry {
        name: name.clone(),
        shape: shape.clone(),
        dtype,
    };
    let entries: Vec<_> = tensors.iter().map(entry).collect();
    write(path, &entries, metadata, |i| Ok(Cow::Borrowed(&tensors[i].2)))
}

/// Writes tensors one after the other, as a `.pth` where the path ends so, else as safetensors;
/// `read` gives the numbers of the entry with this index, row after row. Words about the whole find
/// no place in a `.pth`.
///
/// The same tensors give the same bytes, whatever their order. The file is written beside `path`
/// and renamed when it is complete: on any error, a full disk included, `path` is what it was.
///
/// # Errors
/// When the file cannot be written, when a shape does not fit its numbers, when a name occurs twice,
/// for any other type, and what `read` returns.
pub fn write<'a>(
    path: &Path,
    entries: &[Entry],
    metadata: &BTreeMap<String, String>,
    read: impl Fn(usize) -> Result<Cow<'a, [f32]>>,
) -> Result<()> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|&i| &entries[i].name);
    let sorted: Vec<&Entry> = order.iter().map(|&i| &entries[i]).collect();
    check(&sorted)?;
    let numbers = |i: usize| {
        let (values, entry) = (read(order[i])?, sorted[i]);
        let (found, wanted) = (values.len(), entry.elements());
        let (name, shape) = (&entry.name, &entry.shape);
        ensure!(found == wanted, "`{name}` of shape {shape:?} has {found} values.");
        Ok(values)
    };
    let pth = path.extension().is_some_and(|ending| ending == "pth" || ending == "pt");
    if let Some(entry) = sorted.iter().find(|entry| pth && entry.dtype.laid().is_some()) {
        bail!(
            "{} cannot be saved as {}, which only a .safetensors holds.",
            path.display(),
            entry.dtype
        );
    }
    write_beside(path, |out| {
        if pth {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            return write_pth::write(out, &stem, write_pth::Root::Dictionary, &sorted, numbers);
        }
        let header = header(&sorted, metadata)?;
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        sorted.iter().enumerate().try_for_each(|(i, entry)| match entry.panels() {
            None => Ok(write_values(out, &numbers(i)?, entry.dtype)?),
            Some((storage, dims)) => {
                let packed = Packed::of(&numbers(i)?, dims, storage);
                Ok(out.write_all(packed.expect("panels were checked to be whole").bytes())?)
            }
        })
    })
}

/// Checks that the ending of a path says one of the kinds that a model is written as. Others, such
/// as `.gguf` or web-rwkv's `.st`, would promise what the file is not.
///
/// # Errors
/// For every ending but `.pth`, `.pt` and `.safetensors`.
pub fn check_ending(path: &Path) -> Result<()> {
    let ending = path.extension().unwrap_or_default();
    ensure!(
        ["pth", "pt", "safetensors"].iter().any(|known| ending == *known),
        "{} must end in .pth (for PyTorch) or .safetensors: models are written as these.",
        path.display()
    );
    Ok(())
}

/// Writes tensors as the list that `torch.load` gives back in this order; names are not kept.
///
/// # Errors
/// As [`write()`].
pub fn write_list<'a>(
    path: &Path,
    entries: &[Entry],
    read: impl Fn(usize) -> Result<Cow<'a, [f32]>>,
) -> Result<()> {
    entries.iter().try_for_each(|entry| writable(entry.dtype))?;
    let entries: Vec<&Entry> = entries.iter().collect();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    write_beside(path, |out| write_pth::write(out, &stem, write_pth::Root::List, &entries, read))
}

/// Writes a file of any content, whole or not at all.
///
/// # Errors
/// As [`write()`].
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    write_beside(path, |out| Ok(out.write_all(bytes)?))
}

fn writable(dtype: Dtype) -> Result<()> {
    if !matches!(dtype, Dtype::F32 | Dtype::BF16 | Dtype::F16) {
        bail!("a checkpoint cannot be saved as {dtype}; choose f32, bf16 or f16.");
    }
    Ok(())
}

fn check(sorted: &[&Entry]) -> Result<()> {
    let whole = |entry: &Entry| entry.dtype.laid().is_some() && panels(&entry.shape);
    let mut others = sorted.iter().filter(|entry| !whole(entry));
    others.try_for_each(|entry| writable(entry.dtype))?;
    let twice = sorted.windows(2).find(|pair| pair[0].name == pair[1].name);
    let reserved = sorted.iter().find(|entry| entry.name == "__metadata__");
    if let Some(entry) = twice.map(|pair| pair[0]).or(reserved.copied()) {
        bail!("two tensors cannot both be saved as `{}`.", entry.name);
    }
    Ok(())
}

#[derive(Serialize)]
struct Header<'a> {
    #[serde(rename = "__metadata__", skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    #[serde(flatten)]
    tensors: BTreeMap<&'a str, TensorInfo>,
}

/// Written here because the crate's own writer shuffles the metadata, and takes all numbers at once.
fn header(entries: &[&Entry], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let mut header = Header { metadata: metadata.clone(), tensors: BTreeMap::new() };
    let laid = entries.iter().filter_map(|entry| {
        let (_, dims) = entry.panels()?;
        Some((entry.name.clone(), (entry.dtype.to_string(), dims)))
    });
    let laid: BTreeMap<String, Panels> = laid.collect();
    if !laid.is_empty() {
        header.metadata.insert(PANELS.to_string(), serde_json::to_string(&laid)?);
    }
    let mut start = 0;
    for entry in entries {
        let size = entry.elements() / entry.dtype.numbers() * entry.dtype.size();
        let end = start + size;
        let (dtype, shape) = match entry.dtype {
            Dtype::BF16 => (Kind::BF16, entry.shape.clone()),
            Dtype::F16 => (Kind::F16, entry.shape.clone()),
            Dtype::Q8 | Dtype::Q4 => (Kind::U8, vec![size]),
            _ => (Kind::F32, entry.shape.clone()),
        };
        let info = TensorInfo { dtype, shape, data_offsets: (start, end) };
        header.tensors.insert(&entry.name, info);
        start = end;
    }
    let mut bytes = serde_json::to_vec(&header)?;
    bytes.resize(bytes.len().next_multiple_of(LENGTH), b' '); // the numbers start aligned
    Ok(bytes)
}

pub(super) fn write_values(out: &mut impl Write, values: &[f32], dtype: Dtype) -> io::Result<()> {
    // A call for every number would take longer than the disk.
    let mut bytes = Vec::with_capacity(4 * BLOCK);
    values.chunks(BLOCK).try_for_each(|block| {
        bytes.clear();
        match dtype {
            Dtype::F16 => bytes.extend(block.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes())),
            Dtype::BF16 => {
                bytes.extend(block.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()));
            }
            _ => bytes.extend(block.iter().flat_map(|x| x.to_le_bytes())),
        }
        out.write_all(&bytes)
    })
}

/// Numbers that are turned into bytes at a time.
const BLOCK: usize = 1 << 14;

/// Lets `write` fill a new file next to `path`, then puts it in its place; on error it disappears.
pub(super) fn write_beside(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<()>,
) -> Result<()> {
    replace(path, write).map_err(|error| match error.chain().any(|cause| cause.is::<io::Error>()) {
        true => anyhow!(
            "{} cannot be written ({error}) and is unchanged; check the folder and the disk.",
            path.display()
        ),
        false => error,
    })
}

fn replace(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    // Through a link: replace what it points to, not the link.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let name = path.file_name().ok_or(io::Error::from(io::ErrorKind::InvalidFilename))?;
    let name = name.to_string_lossy();
    // Two threads may write the same file: the last one to end stays.
    let writer = format!("{}-{:?}", std::process::id(), std::thread::current().id());
    let part = path.with_file_name(format!(".{name}.{writer}.part"));
    let file = File::create_new(&part)?;
    let written = fill(file, write).and_then(|()| Ok(fs::rename(&part, path)?));
    if written.is_err() {
        // The first error is the one to report; a second one here would hide it.
        let _ = fs::remove_file(&part);
    }
    written
}

fn fill(file: File, write: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    write(&mut out)?;
    Ok(out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?)
}
