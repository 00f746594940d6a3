//! The names and orientations of other programs, turned into those of BlinkDL's checkpoints.
//!
//! A dialect is told by the names in a file and says, for every tensor, what it is called here and
//! how it is to be turned, cut or undone. Nothing is read for that.

mod fla;
mod gguf;
mod hugging_face;
mod prefixed;
mod rwkv_cpp;
mod web_rwkv;

use super::stored::Stored;
use super::{Container, Contents};
use anyhow::{Result, anyhow, bail, ensure};
use std::collections::BTreeMap;

/// What a dialect makes of one tensor: none, one or several of ours.
type Translated = Result<Vec<(String, Stored)>>;

/// What a dialect may have to know of the whole file.
struct About<'a> {
    metadata: &'a BTreeMap<String, String>,
    /// Channels of the residual stream.
    channels: usize,
    /// RWKV-5 and later normalise the heads.
    has_head_norm: bool,
    /// RWKV-6 has thin matrices for its blends, whatever they are called.
    has_thin_blends: bool,
}

/// A dialect: its name, and its tensors in ours.
struct Dialect {
    name: &'static str,
    translate: fn(&str, Stored, &About) -> Translated,
}

/// The contents in BlinkDL's names; those of no known dialect stay as they are.
pub(super) fn canonical(contents: Contents) -> Result<Contents> {
    let Some(dialect) = dialect(&contents)? else { return Ok(contents) };
    let tensors = &contents.tensors;
    let has = |part: &str| tensors.keys().any(|name| name.contains(part));
    let embedding = EMBEDDINGS.iter().find_map(|name| tensors.get(*name));
    let about = About {
        metadata: &contents.metadata,
        channels: embedding.and_then(|e| e.shape().last().copied()).unwrap_or(0),
        has_head_norm: has(".ln_x.") || has("time_mix_ln."),
        has_thin_blends: has(".time_maa_w1") || has(".time_mix_w1"),
    };
    let mut translated = BTreeMap::new();
    for (name, stored) in contents.tensors {
        let ours = (dialect.translate)(&name, stored, &about)
            .map_err(|error| anyhow!("has a bad tensor `{name}`: {error}; convert it again."))?;
        for (ours, stored) in ours {
            let twice = translated.insert(ours.clone(), stored).is_some();
            ensure!(!twice, "has two tensors that both mean `{ours}`; convert it again.");
        }
    }
    Ok(Contents { tensors: translated, dialect: Some(dialect.name), ..contents })
}

/// What the embedding is called.
const EMBEDDINGS: [&str; 4] =
    ["emb.weight", "rwkv.embeddings.weight", "model.embeddings.weight", "token_embd.weight"];

fn dialect(contents: &Contents) -> Result<Option<Dialect>> {
    let has = |start: &str| {
        contents
            .tensors
            .range(start.to_string()..)
            .next()
            .is_some_and(|(n, _)| n.starts_with(start))
    };
    let found = |name, translate| Ok(Some(Dialect { name, translate }));
    if contents.container == Container::Gguf {
        let family = contents.metadata.get("general.architecture").map_or("", String::as_str);
        return match family {
            "rwkv6" => found("llama.cpp", gguf::rwkv6),
            "rwkv7" => found("llama.cpp", gguf::rwkv7),
            "rwkv6qwen2" | "arwkv7" => bail!(
                "is a hybrid of RWKV and a transformer ({family}), which is not run here; load an \
                 RWKV-6 or RWKV-7 model."
            ),
            _ => bail!("is a GGUF of `{family:.60}`, not of an RWKV; give an rwkv6 or rwkv7 file."),
        };
    }
    if contents.container == Container::RwkvCpp {
        return found("rwkv.cpp", rwkv_cpp::translate);
    }
    if has("rwkv.embeddings.weight") {
        return found("Hugging Face", hugging_face::translate);
    }
    if has("model.layers.0.attn.r_k") {
        return found("flash-linear-attention", fla::rwkv7);
    }
    if has("model.layers.0.attn.x_proj.0.") {
        return found("flash-linear-attention", fla::rwkv6);
    }
    if prefixed::speaks(contents.tensors.keys()) {
        return found("BlinkDL behind a prefix", prefixed::translate);
    }
    if contents.container == Container::Safetensors && web_rwkv::speaks(contents) {
        return found("web-rwkv", web_rwkv::translate);
    }
    Ok(None)
}

/// A thin matrix the way it is multiplied here: the first of a pair `[C, D]`, the second `[D, C]`,
/// and so for several above each other. Where both sizes are equal, `turned` says what it is.
fn thin(stored: Stored, first: bool, channels: usize, turned: bool) -> Result<Stored> {
    let [.., rows, columns] = *stored.shape() else {
        bail!("its shape {:?} is no matrix", stored.shape());
    };
    let (wanted, other) = if first { (rows, columns) } else { (columns, rows) };
    match (wanted == channels, other == channels) {
        (true, true) if turned => stored.transposed(),
        (true, _) => Ok(stored),
        (_, true) => stored.transposed(),
        _ => bail!("its shape {:?} does not fit {channels} channels", stored.shape()),
    }
}

/// One vector of channels, as BlinkDL's files have it.
fn vector(stored: Stored) -> Result<Stored> {
    let channels = stored.elements();
    stored.reshaped(&[1, 1, channels])
}

/// Vectors that lie above each other, each under its own name.
fn cut(stored: Stored, prefix: &str, names: &[&str]) -> Translated {
    let rows = stored.shape().first().copied().unwrap_or(0);
    ensure!(rows == names.len(), "it holds {rows} vectors, not {}", names.len());
    let one = |(i, name): (usize, &&str)| {
        let row = stored.clone().narrowed(0, i, 1)?;
        Ok((format!("{prefix}{name}"), vector(row)?))
    };
    names.iter().enumerate().map(one).collect()
}

/// `start` `number` `.` `rest` → number and rest.
fn numbered<'a>(name: &'a str, start: &str) -> Option<(usize, &'a str)> {
    let (number, rest) = name.strip_prefix(start)?.split_once('.')?;
    Some((number.parse().ok()?, rest))
}

/// `rest` with one of the starts replaced, the longest that fits; none if there is no such start.
fn renamed(rest: &str, table: &[(&str, &str)]) -> Option<String> {
    let fits = table.iter().filter(|(theirs, _)| rest.starts_with(theirs));
    let (theirs, ours) = fits.max_by_key(|(theirs, _)| theirs.len())?;
    Some(format!("{ours}{}", &rest[theirs.len()..]))
}

fn one(name: impl Into<String>, stored: Stored) -> Translated {
    Ok(vec![(name.into(), stored)])
}

#[cfg(test)]
mod tests;
