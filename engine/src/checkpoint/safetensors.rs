//! Safetensors: a JSON header with names, types, shapes and ranges, then the numbers.

use super::dtype::panels as is_whole;
use super::stored::Stored;
use super::{Container, Contents, Dtype};
use ::safetensors::SafeTensors;
use ::safetensors::tensor::Dtype as Kind;
use anyhow::{Context, Error, Result, anyhow, ensure};
use std::collections::BTreeMap;
use std::ops::Range;

/// The header's length stands in so many bytes before it.
pub(super) const LENGTH: usize = 8;

/// Reads the header; the crate checks that the ranges are in order and cover the file exactly.
pub(super) fn read(file: &[u8]) -> Result<Contents> {
    let (header, directory) = SafeTensors::read_metadata(file).map_err(|error| {
        anyhow!("is a damaged or incomplete .safetensors ({error}); download or copy it again.")
    })?;
    let mut contents = Contents { container: Container::Safetensors, ..Contents::default() };
    contents.metadata.extend(directory.metadata().clone().unwrap_or_default());
    let panels = panels(&contents.metadata)?;
    for (name, info) in directory.tensors() {
        let (start, end) = info.data_offsets;
        let range = LENGTH + header + start..LENGTH + header + end;
        if let Some((dtype, shape)) = panels.get(&name).filter(|_| info.dtype == Kind::U8) {
            let stored = in_panels(dtype, shape, range, file.len());
            contents.tensors.insert(name.clone(), stored.map_err(|error| bad(&name, &error))?);
            continue;
        }
        let dtype = dtype(info.dtype).with_context(|| {
            format!("holds `{name}` as {}, which is not read; convert it to BF16.", info.dtype)
        })?;
        let stored = Stored::contiguous(dtype, info.shape.clone(), range, file.len());
        let stored = stored.map_err(|error| bad(&name, &error))?;
        contents.tensors.insert(name, stored);
    }
    Ok(contents)
}

fn bad(name: &str, error: &Error) -> Error {
    anyhow!("has a bad tensor `{name}`: {error}; download or save the file again.")
}

/// The word that tells, in JSON, of bytes that are matrices in panels: their type and shape by name.
pub(super) const PANELS: &str = "panels";

/// The type and the shape of a matrix in panels.
pub(super) type Panels = (String, [usize; 2]);

fn panels(words: &BTreeMap<String, String>) -> Result<BTreeMap<String, Panels>> {
    let told = words.get(PANELS).map_or("{}", String::as_str);
    serde_json::from_str(told).map_err(|error| {
        anyhow!("says of its panels what is not understood ({error}); convert it again.")
    })
}

fn in_panels(
    dtype: &str,
    shape: &[usize; 2],
    range: Range<usize>,
    file_bytes: usize,
) -> Result<Stored> {
    let dtype = [Dtype::Q8, Dtype::Q4].into_iter().find(|known| known.to_string() == dtype);
    let dtype = dtype.context("its panels are of no known type")?;
    let count = shape[0].checked_mul(shape[1]).context("its shape is too large")?;
    let fits = is_whole(shape) && dtype.bytes_of(count, shape[1]) == Some(range.len());
    ensure!(fits, "its panels do not have the shape {shape:?}");
    Stored::contiguous(dtype, shape.to_vec(), range, file_bytes)
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
