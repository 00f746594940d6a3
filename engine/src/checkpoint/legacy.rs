//! What `torch.save` wrote before PyTorch 1.6: pickles one after the other, then the storages.
//!
//! A magic number, the version, facts about the machine, the dictionary, the keys of the storages
//! in the order in which they follow, and each storage behind its number of elements.

use super::pickle::{Pickle, Value};
use super::pth::{describe_storage, tensors, tuple, unreadable};
use super::{Container, Contents, Dtype};
use anyhow::{Context, Result, anyhow, ensure};
use std::collections::HashMap;
use std::ops::Range;

/// The first pickle, a number of ten bytes.
pub(super) const MAGIC: &[u8] =
    &[0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];
/// What the second pickle has always held.
const VERSION: i64 = 1001;

/// Reads the directory of such a file.
pub(super) fn read(file: &[u8]) -> Result<Contents> {
    let rest = &file[MAGIC.len()..];
    let next = |rest| Pickle::read_first(rest).map_err(|error| unreadable(&error));
    let (version, rest) = next(rest)?;
    ensure!(
        matches!(version.root(), Value::Int(VERSION)),
        "is a legacy .pth of an unknown version; load and torch.save it with a newer PyTorch."
    );
    let (machine, rest) = next(rest)?;
    ensure!(!big_endian(&machine), "was saved big-endian; save it on another computer.");
    let (pickle, rest) = next(rest)?;
    let (keys, rest) = next(rest)?;
    let places = places(&pickle, &keys, rest, file.len() - rest.len())
        .map_err(|error| anyhow!("is a damaged legacy .pth: {error}; download it again."))?;
    let contents = tensors(&pickle, |key, bytes| {
        let place: &Range<usize> = places.get(key).context("its storage is missing")?;
        ensure!(bytes <= place.len(), "its storage is shorter than it claims");
        Ok(place.start..place.start + bytes)
    })?;
    Ok(Contents { container: Container::LegacyPth, ..contents })
}

fn big_endian(machine: &Pickle<'_>) -> bool {
    let Value::Dict(entries) = machine.root() else { return false };
    entries.iter().any(|(key, value)| {
        matches!(machine.at(*key), Value::Text("little_endian"))
            && matches!(machine.at(*value), Value::Flag(false))
    })
}

/// Where each storage lies in the file; `rest` is the part of it from byte `start` on.
fn places(
    pickle: &Pickle<'_>,
    keys: &Pickle<'_>,
    mut rest: &[u8],
    mut start: usize,
) -> Result<HashMap<String, Range<usize>>> {
    let types = types(pickle)?;
    let Value::List(ids) = keys.root() else {
        anyhow::bail!("the keys of its storages are no list");
    };
    let mut places = HashMap::new();
    for id in ids {
        let Value::Text(key) = keys.at(*id) else { anyhow::bail!("a storage has no key") };
        let dtype = types.get(*key).with_context(|| format!("nothing uses storage {key:.40}"))?;
        let (count, numbers) = rest.split_first_chunk::<8>().context("it ends too early")?;
        let count = usize::try_from(i64::from_le_bytes(*count)).context("a size is negative")?;
        let bytes = count.checked_mul(dtype.size()).filter(|bytes| *bytes <= numbers.len());
        let bytes = bytes.context("it ends too early")?;
        places.insert((*key).to_string(), start + 8..start + 8 + bytes);
        (rest, start) = (&numbers[bytes..], start + 8 + bytes);
    }
    Ok(places)
}

/// The type of the numbers of every storage that the pickle mentions.
fn types<'p>(pickle: &Pickle<'p>) -> Result<HashMap<&'p str, Dtype>> {
    let mut types = HashMap::new();
    for value in pickle.values() {
        let Value::Persistent(id) = value else { continue };
        // A window on another storage, which no PyTorch has written since 0.4.
        let window = tuple(pickle, *id)?.get(5).map(|id| pickle.at(*id));
        ensure!(matches!(window, None | Some(Value::Other)), "a storage is part of another one");
        let (dtype, key, _) = describe_storage(pickle, value)?;
        types.insert(key, dtype);
    }
    Ok(types)
}
