//! Tokens on disk as Megatron and RWKV-LM keep them: all in `NAME.bin`, one after the other, and
//! where the documents lie in `NAME.idx`.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::checkpoint::write_bytes;
use crate::hash::hash;

/// What the index begins with.
const MAGIC: &[u8; 9] = b"MMIDIDX\0\0";

/// Bytes before the sizes of the documents: magic, version, type, two counts.
const HEADER: u64 = 9 + 8 + 1 + 8 + 8;

/// How tokens are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    /// `u16`, code 8.
    Two,
    /// `i32`, code 4.
    Four,
}

impl Width {
    fn bytes(self) -> u64 {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }
}

/// A part of such a pair of files.
#[derive(Clone, Debug)]
pub(super) struct Indexed {
    bin: PathBuf,
    width: Width,
    /// All tokens of the file.
    all: u64,
    /// The tokens that belong to this part.
    pub(super) range: Range<u64>,
}

/// The paths of index and tokens, whichever of the two is named, or what both begin with.
fn pair(path: &Path) -> [PathBuf; 2] {
    let named = path.extension().is_some_and(|end| end == "bin" || end == "idx");
    let stem = if named { path.with_extension("") } else { path.to_path_buf() };
    // `with_extension` would cut `v1.5` short.
    ["idx", "bin"].map(|end| PathBuf::from(format!("{}.{end}", stem.display())))
}

impl Indexed {
    /// Opens both files and checks that they belong together, without keeping the index.
    ///
    /// # Errors
    /// When one cannot be read, and when the index is none, is cut short or does not fit the tokens.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let [idx, bin] = pair(path);
        let size = std::fs::metadata(&bin).map(|about| about.len());
        let size = size.with_context(|| format!("cannot read {}", bin.display()))?;
        let checked = check(&idx, size);
        let width = checked.with_context(|| format!("cannot use {}", idx.display()))?;
        let all = size / width.bytes();
        ensure!(all > 0, "{} is empty; there is nothing to learn from.", bin.display());
        Ok(Self { bin, width, all, range: 0..all })
    }

    /// The tokens of this range of those that belong to this part.
    pub(super) fn part(&self, range: Range<u64>) -> Self {
        let start = self.range.start;
        Self { range: start + range.start..start + range.end, ..self.clone() }
    }

    pub(super) fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// What error messages and lists call it.
    pub(super) fn name(&self) -> String {
        self.bin.display().to_string()
    }

    /// A number that tells this part of these tokens from others.
    ///
    /// # Errors
    /// When the tokens cannot be read.
    pub(super) fn identity(&self) -> Result<u64> {
        const SOME: u64 = 1 << 16;
        let mut file = self.file()?;
        let mut tokens = self.read(&mut file, 0..SOME.min(self.len()))?;
        tokens.extend(self.read(&mut file, self.len().saturating_sub(SOME)..self.len())?);
        let ends = tokens.into_iter().flat_map(u32::to_le_bytes);
        Ok(hash(ends.chain(format!("{} {:?}", self.all, self.range).bytes())))
    }

    pub(super) fn file(&self) -> Result<File> {
        File::open(&self.bin).with_context(|| format!("cannot read {}", self.name()))
    }

    /// The tokens of a range of this part.
    ///
    /// # Errors
    /// When they cannot be read, and for numbers that are no tokens.
    pub(super) fn read(&self, file: &mut File, range: Range<u64>) -> Result<Vec<u32>> {
        let bytes = self.width.bytes();
        let first = self.range.start + range.start;
        let mut raw = vec![0; ((range.end - range.start) * bytes) as usize];
        file.seek(SeekFrom::Start(first * bytes))
            .and_then(|_| file.read_exact(&mut raw))
            .with_context(|| format!("cannot read token {first} of {}", self.name()))?;
        let two = |pair: &[u8]| u32::from(u16::from_le_bytes([pair[0], pair[1]]));
        let four = |four: &[u8]| u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
        let tokens: Vec<u32> = match self.width {
            Width::Two => raw.chunks_exact(2).map(two).collect(),
            Width::Four => raw.chunks_exact(4).map(four).collect(),
        };
        if let Some(at) = tokens.iter().position(|&id| id > i32::MAX as u32) {
            let (place, id) = (first + at as u64, tokens[at] as i32);
            bail!("token {place} of {} is {id}; a token is not negative.", self.name());
        }
        Ok(tokens)
    }
}

/// Reads the index once from end to end, a little at a time, whatever counts it claims.
fn check(path: &Path, size: u64) -> Result<Width> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut index = BufReader::with_capacity(1 << 16, file);
    let mut magic = [0; 9];
    let begins = index.read_exact(&mut magic).is_ok() && magic == *MAGIC && length >= HEADER;
    ensure!(begins, "it does not begin as an index of tokens does (MMIDIDX).");
    let version = u64::from_le_bytes(next(&mut index)?);
    ensure!(version == 1, "it is of version {version}; only version 1 is known.");
    let width = match next::<1>(&mut index)? {
        [8] => Width::Two,
        [4] => Width::Four,
        [other] => bail!("its tokens are of type {other}; known are 8 (u16) and 4 (i32)."),
    };
    let count = u64::from_le_bytes(next(&mut index)?);
    let documents = u64::from_le_bytes(next(&mut index)?);
    let expected = count.checked_mul(12).and_then(|all| all.checked_add(documents.checked_mul(8)?));
    let expected = expected.and_then(|all| all.checked_add(HEADER));
    ensure!(
        expected == Some(length),
        "it has {length} bytes, which are not those of {count} sizes and {documents} documents; \
         it may be cut short."
    );
    places(&mut index, path, count, size, width)?;
    Ok(width)
}

/// Checks that the documents lie one after the other and fill the file of tokens.
fn places(
    sizes: &mut BufReader<File>,
    path: &Path,
    count: u64,
    size: u64,
    width: Width,
) -> Result<()> {
    let mut pointers = BufReader::with_capacity(1 << 16, File::open(path)?);
    pointers.seek(SeekFrom::Start(HEADER + 4 * count))?;
    let mut end = 0_u64;
    for number in 0..count {
        let tokens = i32::from_le_bytes(next(sizes)?);
        ensure!(tokens >= 0, "its document {number} has {tokens} tokens.");
        let pointer = i64::from_le_bytes(next(&mut pointers)?);
        ensure!(
            u64::try_from(pointer).ok() == Some(end),
            "its document {number} begins at byte {pointer}, but the one before ends at {end}."
        );
        end += tokens as u64 * width.bytes();
    }
    ensure!(end == size, "its documents have {end} bytes together, but the tokens have {size}.");
    Ok(())
}

fn next<const N: usize>(index: &mut impl Read) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    index.read_exact(&mut bytes).context("it is cut short.")?;
    Ok(bytes)
}

/// Writes documents as `NAME.bin` and `NAME.idx`, each with token 0 at its end where it has none
/// there: in two bytes a token if all fit, else in four. Each file is replaced in one piece; an index
/// that does not fit its tokens is refused when it is opened.
///
/// # Errors
/// When there is nothing to write, or it cannot be written.
pub fn write_binidx(path: &Path, documents: &[Vec<u32>]) -> Result<()> {
    ensure!(!documents.is_empty(), "there are no documents to write.");
    let largest = documents.iter().flatten().max().copied().unwrap_or(0);
    ensure!(i32::try_from(largest).is_ok(), "{largest} is too large for a token.");
    let width = if u16::try_from(largest).is_ok() { Width::Two } else { Width::Four };
    let (mut tokens, mut sizes, mut pointers) = (Vec::new(), Vec::new(), Vec::new());
    for document in documents {
        let end: &[u32] = if document.last() == Some(&0) { &[] } else { &[0] };
        let size = i32::try_from(document.len() + end.len()).context("a document is too long")?;
        sizes.extend(size.to_le_bytes());
        pointers.extend((tokens.len() as i64).to_le_bytes());
        let token = |id: &u32| id.to_le_bytes().into_iter().take(width.bytes() as usize);
        tokens.extend(document.iter().chain(end).flat_map(token));
    }
    let count = documents.len() as u64;
    let mut index = MAGIC.to_vec();
    index.extend(1_u64.to_le_bytes());
    index.push(if width == Width::Two { 8 } else { 4 });
    // The list of documents has one entry more than there are documents.
    index.extend([count, count + 1].into_iter().flat_map(u64::to_le_bytes));
    index.extend(sizes.into_iter().chain(pointers));
    index.extend((0..=count).flat_map(u64::to_le_bytes));
    let [idx, bin] = pair(path);
    write_bytes(&bin, &tokens)?;
    write_bytes(&idx, &index)
}
