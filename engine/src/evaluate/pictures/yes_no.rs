//! POPE and MME, whose questions are answered with yes or no.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::super::items::{Item, read_items};
use super::layouts::{ENDING, short};
use super::reading::{UNANSWERED, answered, has_answers, line, llava};
use super::{Files, Found, PictureQuestion};

/// Official lines have a label. Those of LLaVA do not: they are known by category, picture and
/// question.
pub fn pope(files: &Files) -> Result<Found> {
    let asked = labelled(&files.questions)?;
    if asked.0.iter().all(|question| !question.answers.is_empty()) {
        return Ok(asked);
    }
    let key = |one: &PictureQuestion| [&one.category, &one.image, &one.prompt].map(String::clone);
    let known = labelled(files.official()?)?.0.into_iter().map(|one| (key(&one), one.answers));
    let known: HashMap<[String; 3], Vec<String>> = known.collect();
    Ok(answered(asked, |question| {
        question.answers.clone_from(known.get(&key(question)).ok_or(UNANSWERED)?);
        has_answers(question)
    }))
}

/// The questions of a file or of all in a folder that are called `.._pope_..`.
fn labelled(path: &Path) -> Result<Found> {
    let (mut found, mut skips) = Found::default();
    let paths = if path.is_dir() { files_of(path)? } else { vec![path.into()] };
    let is_pope = |one: &&PathBuf| !path.is_dir() || stem(one).contains("_pope_");
    for path in paths.iter().filter(is_pope) {
        for item in read_items(path)? {
            match line(&item)? {
                Some(question) => found.push(with_label(question, &item, path)?),
                None => skips.add("without a picture"),
            }
        }
    }
    Ok((found, skips))
}

fn with_label(mut question: PictureQuestion, item: &Item, path: &Path) -> Result<PictureQuestion> {
    if item.under(&["label"]).is_none() {
        return Ok(question);
    }
    let label = item.text("label", "it is yes or no")?.to_lowercase();
    ensure!(["yes", "no"].contains(&&*label), "{}: a label is yes or no, not {label}.", item.place);
    if question.category.is_empty() {
        question.category = stem(path).rsplit('_').next().unwrap_or_default().into();
    }
    question.id = format!("{}/{}", question.category, question.id);
    if !question.prompt.contains(ENDING) {
        question.prompt = short(&question.prompt);
    }
    question.answers = vec![label];
    Ok(question)
}

/// The categories of MME and whether they count to perception; the others count to cognition.
pub const CATEGORIES: [(&str, bool); 14] = [
    ("existence", true),
    ("count", true),
    ("position", true),
    ("color", true),
    ("posters", true),
    ("celebrity", true),
    ("scene", true),
    ("landmark", true),
    ("artwork", true),
    ("OCR", true),
    ("commonsense_reasoning", false),
    ("numerical_calculation", false),
    ("text_translation", false),
    ("code_reasoning", false),
];

/// A folder for each category. LLaVA's lines are known by category, name of the picture and
/// question.
pub fn mme(files: &Files) -> Result<Found> {
    if files.questions.is_dir() {
        return folders(&files.questions);
    }
    let asked = llava(&files.questions)?;
    let place = files.questions.display();
    let asked = asked.with_context(|| format!("{place} is neither a folder nor lines of JSON"))?;
    let key = |one: &PictureQuestion| {
        let (category, _) = one.id.split_once('/').unwrap_or_default();
        [category.into(), stem(Path::new(&one.id)), bare(&one.prompt)]
    };
    let known = folders(files.official()?)?.0.into_iter().map(|one| (key(&one), one.answers));
    let known: HashMap<[String; 3], Vec<String>> = known.collect();
    Ok(answered(asked, |question| {
        let key = key(question);
        question.answers.clone_from(known.get(&key).ok_or(UNANSWERED)?);
        [question.category, ..] = key;
        Ok(())
    }))
}

/// A question without what says how to answer it; LLaVA leaves the first of these sentences out.
fn bare(question: &str) -> String {
    question.replace("Please answer yes or no.", "").replace(ENDING, "").trim().into()
}

/// Some categories have their pictures and questions side by side, some in two folders.
fn folders(root: &Path) -> Result<Found> {
    let (mut found, mut skips) = Found::default();
    for (category, _) in CATEGORIES {
        let folder = root.join(category);
        let apart = folder.join("images").is_dir();
        let (inner, texts) = if apart { ("images/", "questions_answers_YN") } else { ("", "") };
        if !folder.is_dir() {
            continue;
        }
        let is_text = |path: &PathBuf| path.extension().is_some_and(|end| end == "txt");
        let images = files_of(&folder.join(inner))?.into_iter().filter(|path| !is_text(path));
        let images: HashMap<String, PathBuf> = images.map(|path| (stem(&path), path)).collect();
        for text in files_of(&folder.join(texts))?.iter().filter(|path| is_text(path)) {
            let name = images.get(&stem(text)).and_then(|image| image.file_name());
            let Some(name) = name.map(|name| name.to_string_lossy()) else {
                skips.add("without a picture");
                continue;
            };
            let (id, image) = (format!("{category}/{name}"), format!("{category}/{inner}{name}"));
            let category = category.into();
            let about = PictureQuestion { id, image, category, ..Default::default() };
            found.extend(questions_in(text, &about)?);
        }
    }
    let place = root.display();
    ensure!(!found.is_empty(), "{place} has no questions in folders like `existence`.");
    Ok((found, skips))
}

/// The lines of a text: question, tabulator, answer.
fn questions_in(path: &Path, about: &PictureQuestion) -> Result<Vec<PictureQuestion>> {
    let place = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {place}"))?;
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("{place}:{}", at + 1);
        let Some((question, answer)) = line.trim().split_once('\t') else {
            bail!("{place} must have a question, a tabulator and Yes or No.");
        };
        let answer = answer.trim().to_lowercase();
        ensure!(
            ["yes", "no"].contains(&&*answer),
            "{place}: an answer is Yes or No, not {answer}."
        );
        let (prompt, answers) = (short(&bare(question)), vec![answer]);
        found.push(PictureQuestion { prompt, answers, ..about.clone() });
    }
    Ok(found)
}

/// What a folder has, by name.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let wrong = || format!("cannot read the folder {}", folder.display());
    let entries = std::fs::read_dir(folder).with_context(wrong)?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>();
    let mut paths = paths.with_context(wrong)?;
    paths.sort();
    Ok(paths)
}

/// The name of a file without its ending.
fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into()
}
