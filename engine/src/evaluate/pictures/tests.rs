//! Small files of each layout, and scores that can be counted by hand.

mod layouts;
mod llava;
mod normal;
mod scores;

use std::path::PathBuf;

use super::*;

/// A folder of a test of its own, gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let name = format!("rwkv-pictures-{test}-{}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        std::fs::create_dir_all(&folder.0).unwrap();
        folder
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn read(name: &str, questions: PathBuf, answers: Option<PathBuf>) -> Result<Found> {
    Benchmark::named(name)?.questions(&Files { questions, answers, split: None })
}

fn refused(name: &str, questions: PathBuf, answers: Option<PathBuf>) -> String {
    format!("{:#}", read(name, questions, answers).unwrap_err())
}

fn question(image: &str, category: &str, answers: &[&str]) -> PictureQuestion {
    let answers = answers.iter().map(|answer| answer.to_string()).collect();
    let (image, category) = (image.into(), category.into());
    PictureQuestion { image, category, answers, ..Default::default() }
}

fn row(scores: &Scores, name: &str) -> (usize, Vec<f64>) {
    let row = scores.rows.iter().find(|row| row.name == name).unwrap();
    (row.count, row.figures.iter().map(|figure| (figure * 100.0).round() / 100.0).collect())
}
