//! Safetensors: a JSON header with names, types, shapes and ranges, then the numbers.

use super::stored::Stored;
use super::{Container, Contents, Dtype};
use ::safetensors::SafeTensors;
use ::safetensors::tensor::Dtype as Kind;
use anyhow::{Context, Result, anyhow};

/// The header's length stands in so many bytes before it.
pub(super) const LENGTH: usize = 8;

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
