//! GGUF, versions 2 and 3: words about the model, a directory of tensors, the tensors.
//!
//! Written here because the bytes stay mapped and every count in them is a stranger's: nothing is
//! allocated that the file is not long enough for.

use super::stored::Stored;
use super::{Container, Contents, Dtype};
use anyhow::{Context, Result, anyhow, bail, ensure};

/// More axes than GGUF has.
const MAX_AXES: u32 = 4;
/// Where the tokens of the vocabulary stand among the words.
const TOKENS: &str = "tokenizer.ggml.tokens";

/// Reads the directory of a GGUF file.
pub(super) fn read(file: &[u8]) -> Result<Contents> {
    let mut reader = Reader { rest: &file[4..] };
    let version = reader.u32().map_err(|error| damaged(&error))?;
    match version {
        2 | 3 => {}
        1 => bail!("is a GGUF of version 1; convert the model again with a newer llama.cpp."),
        _ if version.swap_bytes() <= 3 => bail!("is a big-endian GGUF; convert it here again."),
        _ => bail!("is a GGUF of version {version}, and 2 and 3 are known; convert it again."),
    }
    directory(reader, file.len()).map_err(|error| damaged(&error))
}

fn damaged(error: &anyhow::Error) -> anyhow::Error {
    anyhow!("is a damaged or incomplete GGUF: {error}; download or copy it again.")
}

fn directory(mut reader: Reader, file_bytes: usize) -> Result<Contents> {
    let (tensors, words) = (reader.u64()?, reader.u64()?);
    let mut contents = Contents { container: Container::Gguf, ..Contents::default() };
    for _ in 0..words {
        let key = reader.text()?;
        let kind = reader.u32()?;
        let value = match reader.word(kind, 0)? {
            Word::Texts(tokens) if key == TOKENS => {
                contents.vocabulary = Some(tokens);
                continue;
            }
            word => word.in_words(),
        };
        contents.metadata.insert(key, value);
    }
    let entries: Vec<_> = (0..tensors).map(|_| reader.entry()).collect::<Result<_>>()?;
    let alignment = match contents.metadata.get("general.alignment") {
        Some(text) => text.parse::<usize>().ok().filter(|n| n.is_power_of_two()),
        None => Some(32),
    };
    let alignment = alignment.context("its alignment is no power of two")?;
    let start = (file_bytes - reader.rest.len()).next_multiple_of(alignment);
    for (name, shape, kind, offset) in entries {
        let stored = tensor(shape, kind, offset, start, file_bytes);
        let stored = stored.with_context(|| format!("tensor `{name}`"));
        contents.tensors.insert(name, stored.map_err(|error| anyhow!("{error:#}"))?);
    }
    ensure!(!contents.tensors.is_empty(), "it holds no tensors");
    Ok(contents)
}

fn tensor(shape: Vec<usize>, kind: u32, offset: u64, start: usize, file: usize) -> Result<Stored> {
    let dtype = KINDS.iter().find(|(number, _)| *number == kind).map(|(_, dtype)| *dtype);
    let dtype = dtype.with_context(|| {
        format!("is packed in a way that is not read (ggml type {kind}); take the F16 or Q8_0 file")
    })?;
    let offset = usize::try_from(offset).ok().and_then(|offset| start.checked_add(offset));
    let begin = offset.context("lies beyond the end of the file")?;
    let count = shape.iter().try_fold(1usize, |n, size| n.checked_mul(*size));
    let bytes = count.and_then(|count| dtype.bytes_of(count, shape.last().copied().unwrap_or(1)));
    let end = bytes.and_then(|bytes| begin.checked_add(bytes));
    let end = end.context("has a shape that does not fit its type")?;
    Stored::contiguous(dtype, shape, begin..end, file)
}

/// ggml's numbers for the types that are read.
const KINDS: [(u32, Dtype); 18] = [
    (0, Dtype::F32),
    (1, Dtype::F16),
    (2, Dtype::Q4_0),
    (3, Dtype::Q4_1),
    (6, Dtype::Q5_0),
    (7, Dtype::Q5_1),
    (8, Dtype::Q8_0),
    (10, Dtype::Q2K),
    (11, Dtype::Q3K),
    (12, Dtype::Q4K),
    (13, Dtype::Q5K),
    (14, Dtype::Q6K),
    (24, Dtype::I8),
    (25, Dtype::I16),
    (26, Dtype::I32),
    (27, Dtype::I64),
    (28, Dtype::F64),
    (30, Dtype::BF16),
];

/// A value among the words about the model.
enum Word {
    One(String),
    Texts(Vec<String>),
    /// A list of something else, of so many items.
    Many(u64),
}

impl Word {
    fn in_words(self) -> String {
        match self {
            Self::One(text) => text,
            Self::Texts(texts) => format!("[{} texts]", texts.len()),
            Self::Many(count) => format!("[{count} values]"),
        }
    }
}

/// Lists within lists deeper than this are no model's.
const MAX_DEPTH: usize = 4;

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().context("it ends too early")?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    fn text(&mut self) -> Result<String> {
        let length = usize::try_from(self.u64()?)?;
        let (text, rest) = self.rest.split_at_checked(length).context("it ends too early")?;
        self.rest = rest;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// A value of the type with this number; numbers become decimal text.
    fn word(&mut self, kind: u32, depth: usize) -> Result<Word> {
        Ok(Word::One(match kind {
            0 => self.take::<1>()?[0].to_string(),
            1 => i8::from_le_bytes(self.take()?).to_string(),
            2 => u16::from_le_bytes(self.take()?).to_string(),
            3 => i16::from_le_bytes(self.take()?).to_string(),
            4 => self.u32()?.to_string(),
            5 => i32::from_le_bytes(self.take()?).to_string(),
            6 => f32::from_le_bytes(self.take()?).to_string(),
            7 => (self.take::<1>()?[0] != 0).to_string(),
            8 => self.text()?,
            9 => return self.list(depth),
            10 => self.u64()?.to_string(),
            11 => i64::from_le_bytes(self.take()?).to_string(),
            12 => f64::from_le_bytes(self.take()?).to_string(),
            _ => bail!("one of its words has the unknown type {kind}"),
        }))
    }

    fn list(&mut self, depth: usize) -> Result<Word> {
        ensure!(depth < MAX_DEPTH, "its lists are nested too deep");
        let (kind, count) = (self.u32()?, self.u64()?);
        // Every item takes a byte at least, a text eight.
        ensure!(count <= self.rest.len() as u64, "a list in it is longer than the file");
        if kind == 8 {
            return Ok(Word::Texts((0..count).map(|_| self.text()).collect::<Result<_>>()?));
        }
        for _ in 0..count {
            self.word(kind, depth + 1)?;
        }
        Ok(Word::Many(count))
    }

    /// Name, sizes (outermost first; the file has the innermost first), type and offset.
    fn entry(&mut self) -> Result<(String, Vec<usize>, u32, u64)> {
        let name = self.text()?;
        let axes = self.u32()?;
        ensure!(axes <= MAX_AXES, "tensor `{name:.60}` has {axes} axes");
        let sizes = (0..axes).map(|_| Ok(usize::try_from(self.u64()?)?));
        let mut shape: Vec<_> = sizes.collect::<Result<_>>()?;
        shape.reverse();
        Ok((name, shape, self.u32()?, self.u64()?))
    }
}
