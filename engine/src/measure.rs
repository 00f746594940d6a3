//! How quick a model reads on this machine, beside what no program can exceed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Result, bail};
use burn::tensor::{Int, Tensor, TensorData};
use rwkv_kernels::{Storage, read_memory};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{self, AXES, Dtype, Entry};
use crate::device::Place;
use crate::model::{Loading, Model, inside, random};
use crate::rwkv::{Parameter, Sizes, Version};
use crate::state::State;
use crate::train::{Precision, Product};
use crate::weights::Keep;

/// Bytes that are read to see how fast memory is: more than any cache holds.
const LARGE: usize = 256 << 20;

/// How often each thing is measured; the best counts, for other programs only take away.
const TIMES: usize = 5;

/// Tokens that are decoded at a time.
const DECODED: usize = 32;

/// Texts that are decoded side by side.
const TEXTS: usize = 8;

/// Tokens that are read in one pass.
const PROMPT: usize = 512;

/// Sizes of released models: their name, blocks and channels.
const SIZES: [(&str, [usize; 2]); 3] =
    [("0.1b", [12, 768]), ("0.4b", [24, 1024]), ("1.5b", [24, 2048])];

/// Writes a model of random numbers in bf16: `0.1b`, `0.4b` or `1.5b`, with 65536 tokens.
///
/// # Errors
/// For another size, for a version that cannot be made, and when the file cannot be written.
pub fn write_random(path: &Path, version: Version, size: &str) -> Result<()> {
    let found = SIZES.iter().find(|(name, _)| *name == size);
    let Some((_, [n_layer, n_embd])) = found.copied() else {
        let names = SIZES.map(|(name, _)| name).join(", ");
        bail!("there is no size `{size}`; choose one of {names}.");
    };
    let (vocab_size, dim_ffn) = (1 << 16, version.dim_ffn(n_embd));
    let sizes = Sizes { n_layer, n_embd, head_size: 64, vocab_size, dim_ffn, ranks: [0; 4] };
    let named = random(version, &sizes)?;
    let entry = |(name, (shape, _)): (&String, &(Vec<usize>, _))| Entry {
        name: name.clone(),
        shape: shape.clone(),
        dtype: Dtype::BF16,
    };
    let entries: Vec<_> = named.iter().map(entry).collect();
    let words = BTreeMap::from([AXES].map(|(key, value)| (key.to_string(), value.to_string())));
    checkpoint::write(path, &entries, &words, |i| {
        let (_, numbers) = &named[&entries[i].name];
        Ok(Cow::Borrowed(numbers.as_slice()))
    })
}

/// What this machine does, at its best.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes that one thread reads from memory in a second.
    pub read_by_one: f64,
    /// Bytes that all threads together read.
    pub read: f64,
    /// Operations in products of f32 that all threads do in a second.
    pub f32: f64,
    /// Those in products of bf16.
    pub bf16: f64,
}

impl Limits {
    /// The better of two measurements.
    pub fn or(self, other: Self) -> Self {
        Self {
            read_by_one: self.read_by_one.max(other.read_by_one),
            read: self.read.max(other.read),
            f32: self.f32.max(other.f32),
            bf16: self.bf16.max(other.bf16),
        }
    }

    /// Measures for about a second.
    pub fn measure() -> Self {
        let bytes = vec![1u8; LARGE];
        let shortest = |work: &dyn Fn()| {
            let Ok(seconds) = shortest::<Infallible>(4 * TIMES, || {
                work();
                Ok(())
            });
            seconds
        };
        let read = |alone| LARGE as f64 / shortest(&|| read_memory(&bytes, alone));
        let products = |precision| {
            let product = Product::new(precision);
            product.multiply();
            Product::WORK / shortest(&|| product.multiply())
        };
        Self {
            read_by_one: read(true),
            read: read(false),
            f32: products(Precision::F32),
            bf16: products(Precision::Bf16),
        }
    }
}

/// What a model does, kept in one way, at its best.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Speeds {
    /// Seconds to load it.
    pub load: f64,
    /// Seconds from there to the logits after the first token.
    pub first: f64,
    /// Tokens that are decoded in a second.
    pub decode: f64,
    /// Those of eight texts side by side, all together.
    pub texts: f64,
    /// Tokens of a prompt of 512 that are read in a second.
    pub prefill: f64,
    /// Bytes that decoding a token must read and write.
    pub bytes: f64,
    /// Multiplications and additions for a token of a prompt, in its matrices.
    pub work: f64,
    /// The most memory that the process has had, in bytes; 0 where the system does not tell.
    pub memory: f64,
}

/// What was measured in one run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What the model is called.
    pub model: String,
    /// How many threads worked on it.
    pub threads: usize,
    /// What the machine does at most.
    pub limits: Limits,
    /// Seconds from the start of the program to the first token.
    pub start_to_first: f64,
    /// The model kept in different ways.
    pub kept: BTreeMap<&'static str, Speeds>,
}

impl Report {
    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("names and numbers can be told")
    }
}

impl Speeds {
    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers can be told")
    }

    /// From what [`Speeds::to_json`] told.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_json(text: &str) -> Result<Self> {
        Ok(serde_json::from_str(text)?)
    }

    /// Loads the model and measures it for some seconds. For the memory to be its own, nothing else
    /// should have gone on in this process.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn of(name: &str, keep: Keep, sparse: bool, place: &Place) -> Result<Self> {
        let start = Instant::now();
        let loading = Loading { keep, sparse, cache: Some(0), ..Loading::default() };
        let model = Model::load(name, &loading, place)?;
        let load = start.elapsed().as_secs_f64();
        let stop = AtomicBool::new(false);
        let read = |token, state: &_| model.read(&[token], state, &stop);
        let start = Instant::now();
        let (mut logits, mut state) = read(0, &model.state())?;
        let first = start.elapsed().as_secs_f64();
        let decode = shortest(TIMES, || {
            for _ in 0..DECODED {
                (logits, state) = read(logits.argmax() as u32, &state)?;
            }
            anyhow::Ok(())
        })?;
        let memory = memory();
        let prompt: Vec<u32> = (0..PROMPT).map(|i| (i % model.vocab_size()) as u32).collect();
        let prefill = shortest(TIMES, || model.read(&prompt, &model.state(), &stop).map(drop))?;
        let mut several = model.rwkv.state(TEXTS, &place.device);
        let texts = shortest(TIMES, || {
            inside(|| side_by_side(&model, &mut several));
            anyhow::Ok(())
        })?;
        let (bytes, work) = cost(&model, keep);
        Ok(Self {
            load,
            first,
            decode: DECODED as f64 / decode,
            texts: TEXTS as f64 / texts,
            prefill: PROMPT as f64 / prefill,
            bytes,
            work,
            memory,
        })
    }
}

/// Reads a token of each of several texts.
fn side_by_side(model: &Model, state: &mut State) {
    let tokens = TensorData::new(vec![0i32; TEXTS], [TEXTS, 1]);
    let tokens = Tensor::<2, Int>::from_data(tokens, &model.place.device);
    let hidden = model.rwkv.hidden(tokens, state);
    black_box(model.rwkv.logits(hidden).into_data());
}

/// The least seconds that something takes, done so often.
fn shortest<E>(times: usize, mut work: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut shortest = f64::INFINITY;
    for _ in 0..times {
        let start = Instant::now();
        work()?;
        shortest = shortest.min(start.elapsed().as_secs_f64());
    }
    Ok(shortest)
}

/// Bytes that a token must read and write, and operations for a token of a prompt. Of embeddings one
/// row is read, and the output head is asked after the last token of a prompt only.
fn cost(model: &Model, keep: Keep) -> (f64, f64) {
    let (mut bytes, mut work) = (0.0, 0.0);
    for parameter in model.parameters() {
        let all = bytes_of(&parameter, model, keep);
        match parameter.name.as_str() {
            "emb.weight" => bytes += all / parameter.shape[0] as f64,
            name => {
                bytes += all;
                if parameter.shape.len() == 2 && name != "head.weight" {
                    work += 2.0 * parameter.shape.iter().product::<usize>() as f64;
                }
            }
        }
    }
    (bytes + 2.0 * model.state().bytes() as f64, work)
}

/// Bytes that the weights of a model take.
pub fn bytes_held(model: &Model) -> usize {
    let keep = match &model.source {
        Some((name, loading)) if !name.starts_with("toy:") => loading.keep,
        _ => Keep::F32,
    };
    let parameters = model.parameters();
    parameters.iter().map(|parameter| bytes_of(parameter, model, keep)).sum::<f64>() as usize
}

/// Bytes that a parameter takes.
fn bytes_of(parameter: &Parameter, model: &Model, keep: Keep) -> f64 {
    let numbers = parameter.shape.iter().product::<usize>();
    let blocks = |storage: &Storage| storage.block()[0] > 1;
    let stored = model.dtypes.get(&parameter.name).copied().unwrap_or(model.dtype).storage();
    let wanted = if keep == Keep::AsStored { stored } else { keep.storage() };
    let storage = match parameter.name.as_str() {
        "emb.weight" => wanted,
        _ if parameter.is_projection() => wanted,
        _ if !parameter.is_thin() => None,
        _ if wanted.is_some_and(|wanted| blocks(&wanted)) => stored.filter(|s| !blocks(s)),
        _ => wanted,
    };
    let row = parameter.shape.last().copied().unwrap_or(1);
    let [count, bytes] = match storage.map(Storage::block) {
        None => [1, 4],
        Some([count, _]) if !row.is_multiple_of(count) => Storage::Bf16.block(),
        Some(block) => block,
    };
    (numbers * bytes) as f64 / count as f64
}

/// The most memory that this process has had, in bytes.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) * 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::choose;
    use crate::info::{Conversion, convert};

    #[test]
    fn a_toy_is_measured_in_every_way_it_can_be_kept() {
        let place = choose("cpu").unwrap();
        let mut bytes = vec![];
        let name = format!("rwkv-measured-{}.safetensors", std::process::id());
        let path = std::env::temp_dir().join(name);
        let toy = Model::load("toy:rwkv7", &Loading::default(), &place).unwrap();
        toy.save(&path, Dtype::BF16).unwrap();
        for keep in [Keep::F32, Keep::Bf16, Keep::Q8, Keep::Q4] {
            let speeds = Speeds::of(&path.to_string_lossy(), keep, false, &place).unwrap();
            for speed in [speeds.decode, speeds.texts, speeds.prefill, speeds.load, speeds.first] {
                assert!(speed.is_finite() && speed > 0.0, "{speeds:?}");
            }
            bytes.push(speeds.bytes);
        }
        assert!(bytes.is_sorted_by(|more, less| more > less), "{bytes:?}");
        std::fs::remove_file(path).unwrap();
        assert!(Speeds::of("toy:rwkv9", Keep::F32, false, &place).is_err());
    }

    /// Thin matrices stay as they are in a file that is rounded, and are counted so.
    #[test]
    fn what_is_loaded_is_what_is_counted() {
        let place = choose("cpu").unwrap();
        let name = format!("rwkv-counted-{}.safetensors", std::process::id());
        let path = std::env::temp_dir().join(name);
        let toy = Model::load("toy:rwkv7", &Loading::default(), &place).unwrap();
        toy.save(&path, Dtype::BF16).unwrap();
        let load = |name: &str, keep| {
            Model::load(name, &Loading { keep, ..Loading::default() }, &place).unwrap()
        };
        let rounded = load(&path.to_string_lossy(), Keep::Q8);
        let small = path.with_extension("q8.safetensors");
        let conversion = Conversion { dtype: Some(Dtype::Q8), ..Conversion::default() };
        convert(&path, &small, &conversion, &AtomicBool::new(false)).unwrap();
        let mapped = load(&small.to_string_lossy(), Keep::AsStored);
        assert_eq!(bytes_held(&mapped), bytes_held(&rounded));
        std::fs::remove_file(path).unwrap();
        std::fs::remove_file(small).unwrap();
    }

    /// Two blocks of 64 channels, worked out by hand.
    #[test]
    fn a_token_costs_what_the_equations_say() {
        let model = Model::load("toy:rwkv4", &Loading::default(), &choose("cpu").unwrap()).unwrap();
        let matrices = 2 * (4 * 64 * 64 + 64 * 64 + 2 * 64 * 256);
        let (bytes, work) = cost(&model, Keep::Bf16);
        assert_eq!(work, 2.0 * matrices as f64);
        let vectors = 64 * (2 + 2 + 2 * (4 + 5 + 2)); // norms around the blocks; in each: norms, time, channel
        let head = 256 * 64;
        let state = 2 * 5 * 64 * 4;
        assert_eq!(bytes as usize, 2 * (matrices + head + 64) + 4 * vectors + 2 * state);
    }
}
