//! rwkv.cpp's `.bin`: six numbers about the model, then tensor after tensor.

use super::stored::Stored;
use super::{Container, Contents, Dtype};
use anyhow::{Context, Result, anyhow, bail, ensure};

/// `ggmf`, as a little-endian number.
pub(super) const MAGIC: &[u8] = b"fmgg";
/// Versions of the format; from 101 on the scales of blocks are half precision.
const VERSIONS: std::ops::RangeInclusive<u32> = 100..=101;

/// Reads the directory of such a file.
pub(super) fn read(file: &[u8]) -> Result<Contents> {
    let mut reader = Reader { rest: &file[MAGIC.len()..] };
    directory(&mut reader, file.len()).map_err(|error| {
        anyhow!("is a damaged or incomplete rwkv.cpp file: {error}; convert or copy it again.")
    })
}

fn directory(reader: &mut Reader, file_bytes: usize) -> Result<Contents> {
    let version = reader.u32()?;
    ensure!(VERSIONS.contains(&version), "its version is {version}, and 100 and 101 are known");
    let mut contents = Contents { container: Container::RwkvCpp, ..Contents::default() };
    for key in ["n_vocab", "n_embed", "n_layer", "dtype"] {
        contents.metadata.insert(format!("rwkv.cpp.{key}"), reader.u32()?.to_string());
    }
    while !reader.rest.is_empty() {
        let (axes, key_bytes, kind) = (reader.u32()?, reader.u32()? as usize, reader.u32()?);
        ensure!(axes <= 3, "a tensor has {axes} axes");
        let sizes = (0..axes).map(|_| Ok(reader.u32()? as usize));
        let mut shape: Vec<_> = sizes.collect::<Result<_>>()?;
        shape.reverse(); // the innermost stands first
        let name = String::from_utf8_lossy(reader.take(key_bytes)?).into_owned();
        let dtype = dtype(kind, version).with_context(|| format!("tensor `{name:.60}`"));
        let dtype = dtype.map_err(|error| anyhow!("{error:#}"))?;
        let count = shape.iter().try_fold(1usize, |n, size| n.checked_mul(*size));
        let row = shape.last().copied().unwrap_or(1);
        let bytes = count.and_then(|count| dtype.bytes_of(count, row));
        let bytes = bytes.with_context(|| format!("tensor `{name:.60}` has shape {shape:?}"))?;
        let start = file_bytes - reader.rest.len();
        reader.take(bytes)?;
        let stored = Stored::contiguous(dtype, shape, start..start + bytes, file_bytes)?;
        contents.tensors.insert(name, stored);
    }
    ensure!(!contents.tensors.is_empty(), "it holds no tensors");
    Ok(contents)
}

fn dtype(kind: u32, version: u32) -> Result<Dtype> {
    let packed = kind > 1;
    ensure!(!packed || version >= 101, "was packed by an rwkv.cpp too old; quantise it again");
    Ok(match kind {
        0 => Dtype::F32,
        1 => Dtype::F16,
        2 => Dtype::Q4_0,
        3 => Dtype::Q4_1,
        7 => Dtype::Q5_0,
        8 => Dtype::Q5_1,
        9 => Dtype::Q8_0,
        _ => bail!("has the unknown or withdrawn type {kind}; quantise it again"),
    })
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).context("it ends too early")?;
        self.rest = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32> {
        let (taken, rest) = self.rest.split_first_chunk::<4>().context("it ends too early")?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*taken))
    }
}
