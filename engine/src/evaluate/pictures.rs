//! Questions about pictures: the benchmarks that people have on disk, and how each is scored.
//!
//! The files of a user become [`PictureQuestion`]s. Whoever asks them hands the texts of the model
//! back, as they came; what an answer is in a text is for [`Benchmark::score`] to say, which counts
//! like the official evaluation. Most benchmarks are also handed on as questions in the layout of
//! LLaVA's evaluation, without answers; these then come from the official file.

mod asking;
mod layouts;
mod normal;
mod reading;
mod scores;
#[cfg(test)]
mod tests;
mod yes_no;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::items::Skips;
pub use asking::{Told, ask};
pub use layouts::ENDING;
pub use scores::{ScoreRow, Scores};

/// A question, its picture, and the answers that count.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PictureQuestion {
    /// What its file calls it; with the category before it where files number from 0 each.
    pub id: String,
    /// The file of the picture, within the folder of pictures.
    pub image: String,
    /// What is put to the model beside the picture, with the sentence that asks for a short answer.
    pub prompt: String,
    /// The answers people gave, ten of them in VQAv2 and TextVQA; otherwise the right one.
    pub answers: Vec<String>,
    /// The row of the table of scores to which it counts as well; empty where there is none.
    pub category: String,
}

/// Where a benchmark lies on disk.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The questions: a file; of POPE also the folder of its files, of MME that of its categories.
    pub questions: PathBuf,
    /// The official file or folder with the answers, where the questions come without.
    pub answers: Option<PathBuf>,
    /// The split of ScienceQA; `test` where none is given.
    pub split: Option<String>,
}

/// Questions, and how many were left out and why.
type Found = (Vec<PictureQuestion>, Skips);

/// A question and what the model said.
type Said<'a> = (&'a PictureQuestion, &'a str);

/// A benchmark: its name, its files, and how its answers are counted.
pub struct Benchmark {
    /// What scripts call it.
    pub name: &'static str,
    /// The files it is read from, in words.
    pub files: &'static str,
    questions: fn(&Files) -> Result<Found>,
    score: fn(&[Said]) -> Scores,
}

/// All benchmarks.
pub const BENCHMARKS: [Benchmark; 6] = [
    Benchmark {
        name: "vqav2",
        files: "v2_OpenEnded_mscoco_val2014_questions.json, answers in \
                v2_mscoco_val2014_annotations.json",
        questions: layouts::vqav2,
        score: scores::vqav2,
    },
    Benchmark {
        name: "gqa",
        files: "testdev_balanced_questions.json, which has the answers",
        questions: layouts::gqa,
        score: scores::gqa,
    },
    Benchmark {
        name: "scienceqa",
        files: "problems.json, which has the answers, and beside it pid_splits.json",
        questions: layouts::scienceqa,
        score: scores::scienceqa,
    },
    Benchmark {
        name: "textvqa",
        files: "TextVQA_0.5.1_val.json, which has the answers",
        questions: layouts::textvqa,
        score: scores::textvqa,
    },
    Benchmark {
        name: "pope",
        files: "coco_pope_random.json, coco_pope_popular.json, coco_pope_adversarial.json or their \
                folder, with the answers",
        questions: yes_no::pope,
        score: scores::pope,
    },
    Benchmark {
        name: "mme",
        files: "the folder of the categories, with the answers",
        questions: yes_no::mme,
        score: scores::mme,
    },
];

impl Benchmark {
    /// The benchmark of this name.
    ///
    /// # Errors
    /// When there is none; names those that there are.
    pub fn named(name: &str) -> Result<&'static Self> {
        let found = BENCHMARKS.iter().find(|benchmark| benchmark.name == name);
        found.with_context(|| {
            let names = BENCHMARKS.map(|benchmark| benchmark.name).join(", ");
            format!("there is no benchmark `{name}`; there are {names}")
        })
    }

    /// Its questions, in the order of the file, and how many were left out and why.
    ///
    /// # Errors
    /// Names the file and the item that cannot be read; also when answers are missing and when
    /// nothing is left to ask.
    pub fn questions(&self, files: &Files) -> Result<(Vec<PictureQuestion>, Skips)> {
        let (found, skips) = (self.questions)(files).with_context(|| {
            format!(
                "{} is read from {}, or from questions as LLaVA has them",
                self.name, self.files
            )
        })?;
        let place = files.questions.display();
        let why = if skips.count() == 0 { "no questions".into() } else { skips.words() };
        ensure!(!found.is_empty(), "{place} has nothing to ask: {why}.");
        Ok((found, skips))
    }

    /// The table of scores for what the model said to these questions.
    pub fn score(&self, said: &[(&PictureQuestion, &str)]) -> Scores {
        (self.score)(said)
    }
}

impl Files {
    /// The answers, for questions that come without.
    fn official(&self) -> Result<&Path> {
        let place = self.questions.display();
        self.answers.as_deref().with_context(|| {
            format!("{place} has no answers; give the official file that has them")
        })
    }
}
