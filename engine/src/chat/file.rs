//! A conversation on disk: the memories as safetensors, everything else as JSON in the header.
//!
//! What continues from a loaded conversation is bit for bit what would have continued from the
//! original. Without its memories the file is small, and they are read again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, anyhow, bail, ensure};
use burn::tensor::{Tensor, TensorData};

use super::Chat;
use super::reading::End;
use super::tree::Tree;
use super::turn::Turn;
use super::written::{Kept, Settings, Written};
use crate::checkpoint::{self, Checkpoint, Dtype, Entry};
use crate::model::{Interrupted, Model};
use crate::state::{LayerState, Past, State};
use crate::tensor::Array;

/// The first words of a chat file's header.
const FORMAT: &str = "rwkv-lab chat 1";

/// What a tensor of the file is taken from when its turn comes.
type Numbers<'a> = Box<dyn Fn() -> Array + 'a>;

/// The memories of a conversation, each once.
#[derive(Default)]
struct Shelf<'a>(Vec<&'a Rc<State>>);

impl<'a> Shelf<'a> {
    /// The number of this memory, which finds its place here.
    fn put(&mut self, state: &'a Rc<State>) -> usize {
        let known = self.0.iter().position(|known| Rc::ptr_eq(known, state));
        known.unwrap_or_else(|| {
            self.0.push(state);
            self.0.len() - 1
        })
    }
}

impl Chat {
    /// Writes the conversation as safetensors. Without `states` only those memories are in it that
    /// cannot be read again: edited ones, and those that were made elsewhere.
    ///
    /// # Errors
    /// When the file cannot be written; an older file of that name is then unchanged.
    pub fn save(&self, path: &Path, model: &Model, states: bool) -> Result<()> {
        let ending = path.extension().unwrap_or_default();
        ensure!(
            ending != "pth" && ending != "pt",
            "{} cannot be a chat file: PyTorch's have no place for words; end it in .safetensors.",
            path.display()
        );
        // Back at the start of a talk, the pictures that it began with wait again.
        let again = self.number() == 0 && !self.tree.turns.is_empty();
        if let Some(waiting) = self.shown().next().filter(|_| !again) {
            bail!("{waiting} was not asked about yet and would be lost; ask first, then save.");
        }
        let mut shelf = Shelf::default();
        let written = self.written(model, states, &mut shelf);
        let mut parts: Vec<(Entry, Numbers)> = vec![];
        for (number, state) in shelf.0.iter().enumerate() {
            parts.extend(parts_of(&format!("states.{number}"), state));
        }
        for (number, turn) in (1..).zip(&self.tree.turns) {
            if let Some(end) = turn.end.as_ref().filter(|_| states || turn.foreign) {
                let shape = vec![end.logits.len()];
                parts.push((entry(logits_of(number), shape), Box::new(|| end.logits.clone())));
            }
        }
        let origin = model.origin();
        let header = BTreeMap::from([
            ("format".to_string(), FORMAT.to_string()),
            ("version".to_string(), origin.version),
            ("model".to_string(), origin.model),
            ("fingerprint".to_string(), origin.fingerprint),
            ("chat".to_string(), serde_json::to_string(&written)?),
        ]);
        let (entries, numbers): (Vec<Entry>, Vec<Numbers>) = parts.into_iter().unzip();
        checkpoint::write(path, &entries, &header, |i| Ok(Cow::Owned(numbers[i]().values())))
    }

    fn written<'a>(&'a self, model: &Model, states: bool, shelf: &mut Shelf<'a>) -> Written {
        let Tree { start, turns, now, edited, visited, budget, .. } = &self.tree;
        let mut kept = |turn: &'a Turn| {
            let wanted = states || turn.foreign;
            let end = turn.end.as_ref().filter(|_| wanted);
            Kept {
                base: turn.asked.base.as_ref().map(|state| shelf.put(state)),
                state: turn.state.as_ref().filter(|_| wanted).map(|state| shelf.put(state)),
                raw: end.map(|end| shelf.put(&end.raw)),
                half: end.and_then(|end| end.half.as_ref()).map(|state| shelf.put(state)),
            }
        };
        Written {
            template: self.template.clone(),
            settings: Settings::of(&self.options),
            seed: self.seed,
            budget: *budget,
            now: *now,
            visited: visited.iter().map(|(&parent, &child)| (parent, child)).collect(),
            kept: turns.iter().map(&mut kept).collect(),
            turns: turns.clone(),
            start: (!start.equals(&model.state())).then(|| shelf.put(start)),
            edited: edited.as_ref().map(|state| shelf.put(state)),
            pasts: shelf.0.iter().map(|state| (state.past.tokens, state.past.edits())).collect(),
        }
    }

    /// Reads what [`Chat::save`] wrote; the memory of the present turn is read again if it is not
    /// in the file.
    ///
    /// # Errors
    /// When it is no chat file, is damaged, or is of another model, and when reading is
    /// interrupted.
    pub fn load(path: &Path, model: &Model, interrupt: &AtomicBool) -> Result<Self> {
        let file = Checkpoint::open(path)?;
        let word = |key: &str| file.metadata().get(key).cloned().unwrap_or_default();
        let shown = path.display();
        ensure!(
            word("format") == FORMAT,
            "{shown} is not a chat file of this program; chat.save(path) writes them."
        );
        ensure!(
            word("fingerprint") == model.origin().fingerprint,
            "{shown} is a chat with `{}`, whose weights are not those of `{}`; load that model.",
            printable(&word("model")),
            model.name
        );
        opened(&file, &word("chat"), model, interrupt).map_err(|error| {
            if error.is::<Interrupted>() {
                return error;
            }
            anyhow!("{shown} is a damaged chat file: {}.", printable(&format!("{error:#}")))
        })
    }
}

/// Words of a file, safe to show on a terminal.
fn printable(words: &str) -> String {
    let words = words.trim_end_matches('.').chars().filter(|c| !c.is_control());
    words.take(300).collect()
}

fn logits_of(number: usize) -> String {
    format!("logits.{number}")
}

fn entry(name: String, shape: Vec<usize>) -> Entry {
    Entry { name, shape, dtype: Dtype::F32 }
}

/// The tensors of a memory, by the names they get.
fn parts_of<'a>(name: &str, state: &'a State) -> Vec<(Entry, Numbers<'a>)> {
    let mut parts: Vec<(Entry, Numbers)> = vec![];
    for (i, layer) in state.layers.iter().enumerate() {
        let named = |part: &str, shape: &[usize]| {
            entry(format!("{name}.layers.{i}.{part}"), shape.to_vec())
        };
        let LayerState { att_x, ffn_x, wkv, tiny } = layer;
        let numbers: Numbers = Box::new(|| Array::of(att_x.clone()));
        parts.push((named("att_x", &att_x.dims()), numbers));
        parts.push((named("ffn_x", &ffn_x.dims()), Box::new(|| Array::of(ffn_x.clone()))));
        parts.push((named("wkv", &wkv.dims()), Box::new(|| Array::of(wkv.clone()))));
        if let Some(tiny) = tiny {
            parts.push((named("tiny", &tiny.dims()), Box::new(|| Array::of(tiny.clone()))));
        }
    }
    parts
}

/// The conversation in a file; errors continue a sentence about it.
fn opened(file: &Checkpoint, json: &str, model: &Model, interrupt: &AtomicBool) -> Result<Chat> {
    let written: Written = serde_json::from_str(json).context("its header is not understood")?;
    written.check(model)?;
    let states = states(file, &written, model)?;
    let state = |number: usize| states[number].clone();
    let Written { template, settings, seed, budget, now, visited, mut turns, kept, .. } = written;
    for ((number, turn), kept) in (1..).zip(&mut turns).zip(&kept) {
        turn.asked.base = kept.base.map(state);
        turn.state = kept.state.map(state);
        turn.end = match kept.raw {
            None => None,
            Some(raw) => {
                let logits = Array::vector(finite(file, &logits_of(number), model.vocab_size())?);
                Some(End { raw: state(raw), logits, half: kept.half.map(state) })
            }
        };
    }
    let start = written.start.map_or_else(|| Rc::new(model.state()), state);
    let (edited, visited) = (written.edited.map(state), visited.into_iter().collect());
    let (shown, given) = (Vec::new(), Vec::new());
    let mut tree = Tree { start, turns, now, edited, shown, given, visited, budget };
    tree.memory(model, now, interrupt)?;
    tree.thin_out();
    Ok(Chat { template, options: settings.options()?, seed, tree })
}

/// Every memory that the file speaks of.
fn states(file: &Checkpoint, written: &Written, model: &Model) -> Result<Vec<Rc<State>>> {
    let of_turns = written.kept.iter().flat_map(|kept| {
        let Kept { base, state, raw, half } = kept;
        [base, state, raw, half]
    });
    let numbers = of_turns.chain([&written.start, &written.edited]).flatten();
    let count = numbers.max().map_or(0, |most| most.saturating_add(1));
    let state = |number: usize| {
        let mut state = read(file, number, model)?;
        let (tokens, edits) = written.pasts.get(number).context("a memory has no past")?;
        state.past = Past::told(*tokens, edits.iter().map(|edit| printable(edit)).collect());
        Ok(Rc::new(state))
    };
    (0..count).map(state).collect()
}

fn read(file: &Checkpoint, number: usize, model: &Model) -> Result<State> {
    let mut state = model.state();
    for (i, layer) in state.layers.iter_mut().enumerate() {
        let data = |part: &str, shape: &[usize]| {
            let name = format!("states.{number}.layers.{i}.{part}");
            let values = finite(file, &name, shape.iter().product())?;
            let found = file.shape(&name).unwrap_or_default();
            ensure!(found == shape, "`{name}` has shape {found:?}, the model {shape:?}");
            Ok(TensorData::new(values, shape.to_vec()))
        };
        let device = layer.wkv.device();
        layer.att_x = Tensor::from_data(data("att_x", &layer.att_x.dims())?, &device);
        layer.ffn_x = Tensor::from_data(data("ffn_x", &layer.ffn_x.dims())?, &device);
        layer.wkv = Tensor::from_data(data("wkv", &layer.wkv.dims())?, &device);
        if let Some(tiny) = &mut layer.tiny {
            *tiny = Tensor::from_data(data("tiny", &tiny.dims())?, &device);
        }
    }
    Ok(state)
}

/// So many numbers, none of them infinite.
fn finite(file: &Checkpoint, name: &str, count: usize) -> Result<Vec<f32>> {
    let values = file.values(name)?;
    if values.len() != count || values.iter().any(|x| !x.is_finite()) {
        bail!("`{name}` is not what the model could have left");
    }
    Ok(values)
}
