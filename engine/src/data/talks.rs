//! Conversations about pictures: read from files as LLaVA has them, or made.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::lines::Bad;
use super::pictures::{Pictures, Shown};
use super::position::{Permutation, Position, mix};
use super::shapes::{Asked, Shapes};
use super::{Batch, Cut};
use crate::hash::hash;
use crate::image::Image;
use crate::random::Random;
use crate::tokenizer::Tokenizer;
use crate::visual::Reads;
use crate::visual::prompt::{PICTURE, Placement, Prompt, Turn};

/// Conversations, and how a model reads them.
#[derive(Clone, Debug)]
pub(super) struct Talks {
    pub(super) samples: Samples,
    pub(super) tokenizer: Tokenizer,
    pub(super) reads: Reads,
    pub(super) bad: Bad,
}

/// Where conversations come from.
#[derive(Clone, Debug)]
pub(super) enum Samples {
    /// Those of a file between two numbers, with pictures below a folder.
    File(Arc<Vec<Sample>>, Range<usize>, PathBuf),
    /// Pictures of shapes, without end, of a seed.
    Shapes(Shapes, u64),
}

/// A conversation of a file.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    id: String,
    pictures: Vec<String>,
    turns: Vec<Turn>,
}

/// A conversation with its pictures.
struct Talk {
    pictures: Vec<Image>,
    turns: Vec<Turn>,
}

/// A row of a batch on its way.
struct Row {
    prompt: Prompt,
    /// Number of its first picture in the batch, and how many it has.
    pictures: Range<usize>,
}

/// A turn as it stands in a file.
#[derive(Deserialize)]
struct Said {
    from: String,
    value: String,
}

/// One picture or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Paths {
    One(String),
    Several(Vec<String>),
}

impl Samples {
    /// A list of conversations in JSON, or one on each line.
    pub(super) fn open(path: &Path, folder: &Path) -> Result<Self> {
        let name = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        let list: Vec<Value> = match text.trim_start().starts_with('[') {
            true => serde_json::from_str(&text).with_context(|| format!("{name} is not JSON"))?,
            false => {
                let line = |(i, line): (usize, &str)| {
                    let place = || format!("line {} of {name} is not JSON", i + 1);
                    serde_json::from_str(line).with_context(place)
                };
                let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
                lines.map(line).collect::<Result<_>>()?
            }
        };
        ensure!(!list.is_empty(), "{name} has no conversations.");
        let sample = |(i, value): (usize, Value)| {
            Sample::of(value).with_context(|| format!("conversation {i} of {name}"))
        };
        let samples: Vec<_> = list.into_iter().enumerate().map(sample).collect::<Result<_>>()?;
        let all = 0..samples.len();
        Ok(Self::File(Arc::new(samples), all, folder.to_path_buf()))
    }

    /// How many there are; none where they never end.
    pub(super) fn len(&self) -> Option<u64> {
        match self {
            Self::File(_, range, _) => Some(range.len() as u64),
            Self::Shapes(..) => None,
        }
    }

    /// The conversation of this number.
    fn talk(&self, number: u64) -> Result<Talk> {
        match self {
            Self::File(samples, range, folder) => {
                let sample = &samples[range.start + number as usize];
                let open = |path: &String| Image::open(&folder.join(path));
                let pictures = sample.pictures.iter().map(open).collect::<Result<_>>();
                let pictures = pictures.with_context(|| format!("conversation {}", sample.id))?;
                Ok(Talk { pictures, turns: sample.turns.clone() })
            }
            Self::Shapes(shapes, seed) => {
                let (image, asked) = shapes.sample(&mut Random::new(mix(*seed, number)));
                Ok(Talk { pictures: vec![image], turns: turns(&asked) })
            }
        }
    }
}

/// Questions and answers as turns, with the picture in the first one.
fn turns(asked: &[Asked]) -> Vec<Turn> {
    let turn = |(i, asked): (usize, &Asked)| {
        let picture = if i == 0 { format!("{PICTURE}\n") } else { String::new() };
        let question = Turn { human: true, text: picture + &asked.question };
        [question, Turn { human: false, text: asked.answer.clone() }]
    };
    asked.iter().enumerate().flat_map(turn).collect()
}

impl Sample {
    fn of(value: Value) -> Result<Self> {
        let id = match &value["id"] {
            Value::String(id) => id.clone(),
            other => other.to_string(),
        };
        let said: Vec<Said> =
            Deserialize::deserialize(&value["conversations"]).map_err(|error| {
                anyhow!("`conversations` is no list of `from` and `value`: {error}")
            })?;
        let pictures = match &value["image"] {
            Value::Null => Vec::new(),
            image => match Deserialize::deserialize(image) {
                Ok(Paths::One(path)) => vec![path],
                Ok(Paths::Several(paths)) => paths,
                Err(_) => bail!("`image` is no path and no list of paths"),
            },
        };
        let turn = |said: Said| {
            let human = match said.from.to_lowercase().as_str() {
                "human" | "user" => true,
                "gpt" | "assistant" => false,
                other => bail!("`from` is \"{other}\", not \"human\" or \"gpt\""),
            };
            Ok(Turn { human, text: said.value })
        };
        let turns = said.into_iter().map(turn).collect::<Result<Vec<_>>>()?;
        let meant: usize = turns.iter().map(|turn| turn.text.matches(PICTURE).count()).sum();
        ensure!(
            meant == pictures.len(),
            "{meant} times {PICTURE} in its text, but {} in `image`",
            pictures.len()
        );
        Ok(Self { id, pictures, turns })
    }
}

impl Talks {
    /// The next `count` conversations as rows; those that cannot be used are left out and counted
    /// where that is allowed.
    pub(super) fn batch(&self, at: &mut Position, count: usize, cut: &Cut) -> Result<Batch> {
        let mut pictures = Pictures::new(&self.reads);
        // How many could not be used one after the other.
        let (mut rows, mut failed) = (Vec::new(), 0);
        while rows.len() < count {
            let number = self.number(at, cut);
            at.samples += 1;
            if let Some(len) = self.samples.len() {
                at.epoch = at.samples / len;
            }
            match self.row(number, &mut pictures) {
                Ok(row) => {
                    failed = 0;
                    rows.push(row);
                }
                Err(error) if self.bad == Bad::Refuse => return Err(error),
                Err(error) => {
                    failed += 1;
                    at.skipped += u64::from(at.epoch == 0);
                    let most = self.samples.len().unwrap_or(1 << 20);
                    ensure!(failed < most, "no conversation can be used: {error:#}");
                }
            }
        }
        self.put_together(rows, pictures, cut.ctx_len + 1)
    }

    /// Which conversation comes next.
    fn number(&self, at: &Position, cut: &Cut) -> u64 {
        match self.samples.len() {
            None => at.samples,
            Some(len) if cut.mixes() => {
                Permutation::new(len, mix(cut.seed, at.samples / len)).at(at.samples % len)
            }
            Some(len) => at.samples % len,
        }
    }

    fn row(&self, number: u64, pictures: &mut Pictures) -> Result<Row> {
        let Talk { pictures: images, turns } = self.samples.talk(number)?;
        ensure!(
            images.len() < 2 || self.reads.placement == Placement::Lines,
            "conversation {number} has {} pictures; this model was taught one at a time.",
            images.len()
        );
        let encode = |text: &str| self.tokenizer.encode(text);
        let prompt = self.reads.placement.prompt(&turns, encode)?;
        let first = pictures.count();
        let numbers = images.iter().map(|image| self.reads.numbers(image));
        let numbers = numbers.collect::<Result<Vec<_>>>()?;
        numbers.into_iter().for_each(|numbers| _ = pictures.add(numbers));
        Ok(Row { prompt, pictures: first..pictures.count() })
    }

    /// Rows of `width` tokens. Where blocks read pictures backwards, they all stand at one place:
    /// token 0 fills up what comes before them, and zeros take the place of a picture in rows
    /// without one.
    fn put_together(&self, rows: Vec<Row>, mut pictures: Pictures, width: usize) -> Result<Batch> {
        let before = |row: &Row| row.prompt.ids.iter().position(Option::is_none);
        let widest = rows.iter().filter_map(before).max().filter(|_| self.reads.aligned);
        let (mut tokens, mut weights) = (Vec::new(), Vec::new());
        for row in rows {
            let spread = self.spread(row, widest);
            let (ids, counts, shown) = cut_to(spread, width)?;
            tokens.extend(ids);
            weights.extend(counts);
            pictures.rows.push(shown);
        }
        Batch::weighted(tokens, weights, width)?.illustrated(pictures)
    }

    /// The tokens of a row, how much each counts, and what is shown in it.
    fn spread(&self, row: Row, widest: Option<usize>) -> Spread {
        let n = self.reads.rows;
        let Row { prompt: Prompt { ids, learnt }, mut pictures } = row;
        let mut spread = Spread::default();
        if let Some(widest) = widest {
            let first = ids.iter().position(Option::is_none);
            spread.push(&vec![0; widest - first.unwrap_or(0)], 0.0);
            if first.is_none() {
                spread.show(None, n);
            }
        }
        let count = learnt.iter().filter(|learnt| **learnt).count().max(1) as f32;
        let each = if self.reads.placement == Placement::MiddleOfTurn { 1.0 } else { 1.0 / count };
        for (id, learnt) in ids.into_iter().zip(learnt) {
            match id {
                Some(id) => spread.push(&[id], if learnt { each } else { 0.0 }),
                None => spread.show(pictures.next(), n),
            }
        }
        spread
    }

    /// What tells these conversations from others.
    pub(super) fn identity(&self) -> u64 {
        let about = format!("{:?} {} {:?}", self.reads, self.tokenizer.size(), self.bad);
        match &self.samples {
            Samples::Shapes(shapes, seed) => hash(format!("{about} {shapes:?} {seed}").bytes()),
            Samples::File(samples, range, _) => {
                let texts = samples[range.clone()].iter().flat_map(|sample| {
                    let turns = sample.turns.iter().map(|turn| turn.text.as_str());
                    sample.pictures.iter().map(String::as_str).chain(turns)
                });
                hash(about.bytes().chain(texts.flat_map(|text| text.bytes().chain([0]))))
            }
        }
    }

    /// What error messages call them.
    pub(super) fn name(&self) -> String {
        match &self.samples {
            Samples::File(_, range, _) => format!("{} conversations", range.len()),
            Samples::Shapes(..) => "pictures of shapes".to_string(),
        }
    }

    /// Two parts: the first `share` of the conversations and the rest. Pictures of shapes go on
    /// without end; those of the second part are others, and asked about in other words.
    pub(super) fn split(&self, share: f64) -> Result<(Self, Self)> {
        let part = |samples: Samples| Self { samples, ..self.clone() };
        match &self.samples {
            Samples::File(samples, range, folder) => {
                let at = range.start + (range.len() as f64 * share).round() as usize;
                ensure!(
                    range.start < at && at < range.end,
                    "a split at {share} leaves nothing on one side of {}.",
                    self.name()
                );
                let of = |range| part(Samples::File(samples.clone(), range, folder.clone()));
                Ok((of(range.start..at), of(at..range.end)))
            }
            Samples::Shapes(shapes, seed) => {
                let other = Shapes { held_out: true, ..shapes.clone() };
                let seed = mix(*seed, u64::MAX / 2);
                Ok((self.clone(), part(Samples::Shapes(other, seed))))
            }
        }
    }

    /// The same with another seed.
    pub(super) fn seeded(&self, seed: u64) -> Self {
        let samples = match &self.samples {
            Samples::Shapes(shapes, _) => Samples::Shapes(shapes.clone(), seed),
            file => file.clone(),
        };
        Self { samples, ..self.clone() }
    }
}

/// A row as long as it comes.
#[derive(Default)]
struct Spread {
    tokens: Vec<u32>,
    weights: Vec<f32>,
    shown: Vec<Shown>,
}

impl Spread {
    fn push(&mut self, tokens: &[u32], weight: f32) {
        self.tokens.extend(tokens);
        self.weights.resize(self.tokens.len(), weight);
    }

    fn show(&mut self, picture: Option<usize>, rows: usize) {
        self.shown.push(Shown { at: self.tokens.len(), rows: 0..rows, picture });
        self.push(&vec![0; rows], 0.0);
    }
}

/// The first `width` tokens, filled up with token 0; or the last ones, if nothing that is learnt is
/// among the first.
fn cut_to(row: Spread, width: usize) -> Result<(Vec<u32>, Vec<f32>, Vec<Shown>)> {
    let Spread { mut tokens, mut weights, shown } = row;
    let learnt = |weights: &[f32]| weights.iter().skip(1).any(|weight| *weight > 0.0);
    let length = tokens.len();
    let from = match length <= width || learnt(&weights[..width]) {
        true => 0,
        false => length - width,
    };
    tokens.resize(length.max(width), 0);
    weights.resize(length.max(width), 0.0);
    let (tokens, weights) =
        (tokens[from..from + width].to_vec(), weights[from..from + width].to_vec());
    ensure!(learnt(&weights), "there is nothing to learn in {width} tokens of a conversation.");
    // The last token of a row is a target only.
    let within = |shown: Shown| {
        let (first, end) =
            (shown.at.max(from), (shown.at + shown.rows.len()).min(from + width - 1));
        (first < end).then(|| Shown {
            at: first - from,
            rows: first - shown.at..end - shown.at,
            picture: shown.picture,
        })
    };
    Ok((tokens, weights, shown.into_iter().filter_map(within).collect()))
}

#[cfg(test)]
mod tests;
