//! Safetensors: a JSON header with names, types, shapes and ranges, then the numbers.

use super::stored::Stored;
use super::{Container, Contents, Dtype};
use ::safetensors::SafeTensors;
use ::safetensors::tensor::{Dtype as Kind, TensorInfo};
use anyhow::{Context, Result, anyhow, bail, ensure};
use half::{bf16, f16};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// The header's length stands in so many bytes before it.
const LENGTH: usize = 8;

/// Reads the header; the crate checks that the ranges are in order and cover the file exactly.
pub(super) fn read(file: &[u8]) -> Result<Contents> {
    let (header, directory) = SafeTensors::read_metadata(file).map_err(|error| {
        anyhow!("is a damaged or incomplete .safetensors ({error}); download or copy it again.")
    })?;
    let mut contents = Contents { container: Container::Safetensors, ..Contents::default() };
    contents.metadata.extend(directory.metadata().clone().unwrap_or_default());
    for (name, info) in directory.tensors() {
        let dtype = dtype(info.dtype).with_context(|| {
            format!("holds `{name}` as {}, which is not read; convert it to BF16.", info.dtype)
        })?;
        let (start, end) = info.data_offsets;
        let range = LENGTH + header + start..LENGTH + header + end;
        let stored = Stored::contiguous(dtype, info.shape.clone(), range, file.len());
        let stored = stored.map_err(|error| {
            anyhow!("has a bad tensor `{name}`: {error}; download or save the file again.")
        })?;
        contents.tensors.insert(name, stored);
    }
    Ok(contents)
}

fn dtype(kind: Kind) -> Option<Dtype> {
    Some(match kind {
        Kind::F64 => Dtype::F64,
        Kind::F32 => Dtype::F32,
        Kind::F16 => Dtype::F16,
        Kind::BF16 => Dtype::BF16,
        Kind::I64 => Dtype::I64,
        Kind::I32 => Dtype::I32,
        Kind::I16 => Dtype::I16,
        Kind::I8 => Dtype::I8,
        Kind::U8 => Dtype::U8,
        Kind::BOOL => Dtype::Bool,
        _ => return None,
    })
}

/// Writes named tensors (name, shape, numbers row after row) as safetensors.
///
/// The same tensors give the same bytes, whatever their order. The file is written beside `path`
/// and renamed when it is complete: on any error, a full disk included, `path` is what it was.
/// `dtype` is `F32`, `BF16` or `F16`; narrower types round to nearest, `F16` above 65504 to infinity.
///
/// # Errors
/// When the file cannot be written, when a shape does not fit its numbers, when a name occurs twice
/// and for any other `dtype`.
pub fn save(
    path: &Path,
    tensors: &[(String, Vec<usize>, Vec<f32>)],
    dtype: Dtype,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let kind = match dtype {
        Dtype::F32 => Kind::F32,
        Dtype::BF16 => Kind::BF16,
        Dtype::F16 => Kind::F16,
        other => bail!("a checkpoint cannot be saved as {other}; choose f32, bf16 or f16."),
    };
    let mut sorted: Vec<_> = tensors.iter().collect();
    sorted.sort_by_key(|(name, _, _)| name);
    let header = header(&sorted, kind, dtype.size(), metadata)?;
    write_beside(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        sorted.iter().try_for_each(|(_, _, values)| write_values(out, values, dtype))
    })
    .map_err(|error| {
        anyhow!(
            "{} cannot be written ({error}) and is unchanged; check the folder and the disk.",
            path.display()
        )
    })
}

#[derive(Serialize)]
struct Header<'a> {
    #[serde(rename = "__metadata__", skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
    #[serde(flatten)]
    tensors: BTreeMap<&'a str, TensorInfo>,
}

/// Written here because the crate's own writer shuffles the metadata, and takes all numbers at once.
fn header(
    tensors: &[&(String, Vec<usize>, Vec<f32>)],
    dtype: Kind,
    size: usize,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let mut header = Header { metadata, tensors: BTreeMap::new() };
    let mut start = 0;
    for (name, shape, values) in tensors {
        let count: usize = shape.iter().product();
        ensure!(count == values.len(), "`{name}` of shape {shape:?} has {} values.", values.len());
        let end = start + count * size;
        let info = TensorInfo { dtype, shape: shape.clone(), data_offsets: (start, end) };
        let twice = header.tensors.insert(name, info).is_some();
        ensure!(!twice && name != "__metadata__", "two tensors cannot both be saved as `{name}`.");
        start = end;
    }
    let mut bytes = serde_json::to_vec(&header)?;
    bytes.resize(bytes.len().next_multiple_of(LENGTH), b' '); // the numbers start aligned
    Ok(bytes)
}

fn write_values(out: &mut impl Write, values: &[f32], dtype: Dtype) -> io::Result<()> {
    values.iter().try_for_each(|value| match dtype {
        Dtype::F16 => out.write_all(&f16::from_f32(*value).to_le_bytes()),
        Dtype::BF16 => out.write_all(&bf16::from_f32(*value).to_le_bytes()),
        _ => out.write_all(&value.to_le_bytes()),
    })
}

/// Lets `write` fill a new file next to `path`, then puts it in its place; on error it disappears.
pub(super) fn write_beside(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    // Through a link: replace what it points to, not the link.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_string_lossy();
    let part = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
    let file = File::create_new(&part)?;
    let written = fill(file, write).and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        // The first error is the one to report; a second one here would hide it.
        let _ = fs::remove_file(&part);
    }
    written
}

fn fill(file: File, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    write(&mut out)?;
    out.into_inner()?.sync_all()
}
