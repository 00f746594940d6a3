//! The zip that `torch.load` reads, also with `weights_only=True`: a pickle of an ordered
//! dictionary, and the numbers of each tensor as an entry of its own, uncompressed and aligned.

use super::Dtype;
use super::write::{Entry, write_values};
use anyhow::Result;
use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// Where numbers start in the file, so that they can be mapped.
const ALIGNMENT: u16 = 64;
/// Above this an entry needs the large form of the zip.
const LARGE: usize = u32::MAX as usize;

/// What holds the tensors together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    /// Names, as of a model.
    Dictionary,
    /// Places, as of a state.
    List,
}

/// Writes all entries; `numbers` gives those of each.
pub(super) fn write<'a>(
    out: &mut BufWriter<File>,
    stem: &str,
    root: Root,
    entries: &[&Entry],
    numbers: impl Fn(usize) -> Result<Cow<'a, [f32]>>,
) -> Result<()> {
    let mut zip = ZipWriter::new(out);
    match fill(&mut zip, stem, root, entries, numbers) {
        Ok(()) => zip.finish().map(drop)?,
        Err(error) => {
            // Dropped, it would try to finish the file and print that it could not.
            std::mem::forget(zip);
            return Err(error);
        }
    }
    Ok(())
}

fn fill<'a, W: Write + Seek>(
    zip: &mut ZipWriter<W>,
    stem: &str,
    root: Root,
    entries: &[&Entry],
    numbers: impl Fn(usize) -> Result<Cow<'a, [f32]>>,
) -> Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default()) // the same tensors, the same bytes
        .with_alignment(ALIGNMENT);
    put(zip, &format!("{stem}/data.pkl"), options, &pickle(root, entries))?;
    put(zip, &format!("{stem}/byteorder"), options, b"little")?;
    for (i, entry) in entries.iter().enumerate() {
        let large = entry.elements() * entry.dtype.size() >= LARGE;
        zip.start_file(format!("{stem}/data/{i}"), options.large_file(large))?;
        let mut block = BufWriter::with_capacity(1 << 20, &mut *zip);
        write_values(&mut block, &numbers(i)?, entry.dtype)?;
        block.flush()?;
    }
    put(zip, &format!("{stem}/version"), options, b"3\n")
}

fn put<W: Write + Seek>(
    zip: &mut ZipWriter<W>,
    name: &str,
    options: SimpleFileOptions,
    bytes: &[u8],
) -> Result<()> {
    zip.start_file(name, options)?;
    Ok(zip.write_all(bytes)?)
}

/// The dictionary, as a pickle of protocol 2.
fn pickle(root: Root, entries: &[&Entry]) -> Vec<u8> {
    let mut out = b"\x80\x02".to_vec();
    out.extend_from_slice(match root {
        Root::Dictionary => b"ccollections\nOrderedDict\n)R(",
        Root::List => b"](",
    });
    for (i, entry) in entries.iter().enumerate() {
        if root == Root::Dictionary {
            text(&mut out, &entry.name);
        }
        out.extend_from_slice(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        let kind = match entry.dtype {
            Dtype::BF16 => "BFloat16Storage",
            Dtype::F16 => "HalfStorage",
            _ => "FloatStorage",
        };
        out.extend_from_slice(format!("ctorch\n{kind}\n").as_bytes());
        text(&mut out, &i.to_string());
        text(&mut out, "cpu");
        number(&mut out, entry.elements());
        out.extend_from_slice(b"tQ");
        number(&mut out, 0); // the first number of the storage
        tuple(&mut out, entry.shape.iter().copied());
        let strides = (1..=entry.shape.len()).map(|axis| entry.shape[axis..].iter().product());
        tuple(&mut out, strides);
        out.extend_from_slice(b"\x89ccollections\nOrderedDict\n)RtR"); // no gradient, no hooks
    }
    out.extend_from_slice(if root == Root::List { b"e." } else { b"u." });
    out
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&[0x8a, 8]);
    out.extend_from_slice(&(number as i64).to_le_bytes());
}

fn tuple(out: &mut Vec<u8>, numbers: impl Iterator<Item = usize>) {
    out.push(b'(');
    numbers.for_each(|n| number(out, n));
    out.push(b't');
}
