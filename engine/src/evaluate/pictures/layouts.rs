//! VQAv2, GQA, TextVQA and ScienceQA, whose questions stand in one document.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::super::items::Skips;
use super::reading::{Entries, UNANSWERED, answered, has_answers, id, llava, read};
use super::{Files, Found, PictureQuestion};

/// What LLaVA's questions end with, and the models that learned from its data expect.
pub const ENDING: &str = "Answer the question using a single word or phrase.";
const LETTER: &str = "Answer with the option's letter from the given choices directly.";

#[derive(Deserialize)]
struct VqaQuestions {
    data_subtype: Option<String>,
    questions: Entries<VqaQuestion>,
}

#[derive(Deserialize)]
struct VqaQuestion {
    image_id: u64,
    question: String,
    #[serde(deserialize_with = "id")]
    question_id: String,
}

#[derive(Deserialize)]
struct Annotations {
    annotations: Entries<Annotation>,
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(deserialize_with = "id")]
    question_id: String,
    answers: Vec<Given>,
    #[serde(default)]
    answer_type: String,
}

#[derive(Deserialize)]
struct Given {
    answer: String,
}

/// Pictures are called as in COCO: `COCO_val2014_000000000042.jpg`.
pub fn vqav2(files: &Files) -> Result<Found> {
    let asked = llava(&files.questions)?.map_or_else(|| vqav2_questions(&files.questions), Ok)?;
    let says = "annotations: [{question_id, answers: [{answer}], answer_type}]";
    let Annotations { annotations } = read(files.official()?, says)?;
    let known = annotations.0.into_iter().map(|(_, one)| (one.question_id.clone(), one));
    let known: HashMap<String, Annotation> = known.collect();
    Ok(answered(asked, |question| {
        let annotation = known.get(&question.id).ok_or(UNANSWERED)?;
        question.answers = annotation.answers.iter().map(|given| given.answer.clone()).collect();
        question.category.clone_from(&annotation.answer_type);
        has_answers(question)
    }))
}

fn vqav2_questions(path: &Path) -> Result<Found> {
    let says = "data_subtype and questions: [{image_id, question, question_id}]";
    let read: VqaQuestions = read(path, says)?;
    let part = read.data_subtype.as_deref().unwrap_or("val2014");
    let question = |(_, one): (String, VqaQuestion)| {
        asked(one.question_id, format!("COCO_{part}_{:012}.jpg", one.image_id), &one.question)
    };
    Ok((read.questions.0.into_iter().map(question).collect(), Skips::default()))
}

/// The questions of LLaVA, where they are, and the path of the official document.
fn sources(files: &Files) -> Result<(Option<Found>, &Path)> {
    let lines = llava(&files.questions)?;
    let path = if lines.is_some() { files.official()? } else { &files.questions };
    Ok((lines, path))
}

fn asked(id: String, image: String, question: &str) -> PictureQuestion {
    PictureQuestion { id, image, prompt: short(question), ..Default::default() }
}

/// A question that asks for a short answer.
pub fn short(question: &str) -> String {
    format!("{}\n{ENDING}", question.trim())
}

#[derive(Deserialize)]
struct GqaQuestion {
    question: String,
    #[serde(rename = "imageId", deserialize_with = "id")]
    image: String,
    answer: Option<String>,
    #[serde(rename = "isBalanced")]
    balanced: Option<bool>,
    types: Option<Types>,
}

#[derive(Deserialize)]
struct Types {
    structural: Option<String>,
}

/// Only the balanced questions count; those that ask for a name or a kind are `open`.
pub fn gqa(files: &Files) -> Result<Found> {
    let (lines, path) = sources(files)?;
    let Entries(entries) = read(path, "{\"<id>\": {question, imageId, answer}}")?;
    let question = |(id, one): &(String, GqaQuestion)| {
        asked(id.clone(), format!("{}.jpg", one.image), &one.question)
    };
    let all = || (entries.iter().map(question).collect(), Skips::default());
    let asked = lines.unwrap_or_else(all);
    let known: HashMap<String, GqaQuestion> = entries.into_iter().collect();
    Ok(answered(asked, |question| {
        let one = known.get(&question.id).ok_or(UNANSWERED)?;
        if one.balanced == Some(false) {
            return Err("outside the balanced set");
        }
        question.answers = vec![one.answer.clone().ok_or(UNANSWERED)?];
        let structural = one.types.as_ref().and_then(|types| types.structural.as_deref());
        let category = structural.map(|one| if one == "query" { "open" } else { "binary" });
        question.category = category.unwrap_or_default().into();
        Ok(())
    }))
}

#[derive(Deserialize)]
struct TextQuestions {
    data: Entries<TextQuestion>,
}

#[derive(Deserialize)]
struct TextQuestion {
    #[serde(deserialize_with = "id")]
    question_id: String,
    #[serde(deserialize_with = "id")]
    image_id: String,
    question: String,
    #[serde(default)]
    answers: Vec<String>,
}

/// LLaVA's lines are known by the picture, which stands there for the id, and by the question.
pub fn textvqa(files: &Files) -> Result<Found> {
    let (lines, path) = sources(files)?;
    let says = "data: [{question_id, image_id, question, answers: [10 texts]}]";
    let TextQuestions { data: Entries(entries) } = read(path, says)?;
    for (place, one) in &entries {
        let (path, count) = (path.display(), one.answers.len());
        let fits = count == 0 || count == 10;
        ensure!(fits, "{path}, {place} has {count} answers, but accuracy is defined for ten.");
    }
    let whole = |(_, one): (String, TextQuestion)| PictureQuestion {
        answers: one.answers,
        ..asked(one.question_id, format!("{}.jpg", one.image_id), &one.question)
    };
    let Some(lines) = lines else {
        let all = entries.into_iter().map(whole).collect();
        return Ok(answered((all, Skips::default()), has_answers));
    };
    let key = |one: &TextQuestion| (one.image_id.clone(), one.question.trim().to_lowercase());
    let known = entries.into_iter().map(|(_, one)| (key(&one), one));
    let known: HashMap<(String, String), TextQuestion> = known.collect();
    Ok(answered(lines, |question| {
        let words = words_of(&question.prompt).trim().to_lowercase();
        let one = known.get(&(question.id.clone(), words)).ok_or(UNANSWERED)?;
        question.id.clone_from(&one.question_id);
        question.answers.clone_from(&one.answers);
        has_answers(question)
    }))
}

/// The question without the hints at what is written in the picture, which some files add.
fn words_of(prompt: &str) -> &str {
    if prompt.starts_with("OCR tokens: ") {
        let inner =
            prompt.split_once("Question: ").and_then(|(_, to)| to.split_once(" Short answer:"));
        return inner.map_or(prompt, |(question, _)| question);
    }
    let hint = |line: &&str| line.starts_with("Reference OCR token:");
    prompt.lines().find(|line| !hint(line)).unwrap_or_default()
}

#[derive(Deserialize)]
struct Problem {
    question: String,
    choices: Vec<String>,
    answer: usize,
    #[serde(default)]
    hint: String,
    image: Option<String>,
    #[serde(default)]
    subject: String,
    split: Option<String>,
}

/// Problems without a picture are left out: what remains is called ScienceQA-IMG.
pub fn scienceqa(files: &Files) -> Result<Found> {
    let (lines, path) = sources(files)?;
    let Entries(problems) = read(path, "{\"<id>\": {question, choices, answer, hint, image}}")?;
    for (id, Problem { answer, choices, .. }) in &problems {
        let (path, count) = (path.display(), choices.len());
        let fits = *answer < count && count <= 26;
        ensure!(fits, "{path}, problem {id}: {answer} is none of {count} choices, counted from 0.");
    }
    let asked = lines.map_or_else(|| problems_of(&problems, files), Ok)?;
    let known: HashMap<String, Problem> = problems.into_iter().collect();
    Ok(answered(asked, |question| {
        let problem = known.get(&question.id).ok_or(UNANSWERED)?;
        question.answers = vec![letter(problem.answer).to_string()];
        question.category.clone_from(&problem.subject);
        if !question.prompt.contains(LETTER) {
            question.prompt += &format!("\n{LETTER}");
        }
        Ok(())
    }))
}

fn letter(choice: usize) -> char {
    char::from(b'A' + choice as u8)
}

/// The problems of the split that `pid_splits.json` lists or, without this file, they tell.
fn problems_of(problems: &[(String, Problem)], files: &Files) -> Result<Found> {
    let split = files.split.as_deref().unwrap_or("test");
    let path = files.questions.with_file_name("pid_splits.json");
    let mut listed = None;
    if path.exists() {
        let mut splits: HashMap<String, Vec<String>> = read(&path, "{\"<split>\": [ids]}")?;
        let ids = splits.remove(split);
        let ids = ids.with_context(|| format!("{} has no split `{split}`", path.display()))?;
        listed = Some(ids.into_iter().collect::<HashSet<_>>());
    }
    let (mut found, mut skips) = (Vec::new(), Skips::default());
    for (id, problem) in problems {
        let told = || problem.split.as_deref().is_none_or(|own| own == split);
        match (&listed, &problem.image) {
            (Some(ids), _) if !ids.contains(id) => {}
            (None, _) if !told() => {}
            (_, None) => skips.add("without a picture"),
            (_, Some(image)) => found.push(problem_of(id, problem, image, split)),
        }
    }
    Ok((found, skips))
}

fn problem_of(id: &str, problem: &Problem, image: &str, split: &str) -> PictureQuestion {
    let hint = problem.hint.trim();
    let mut prompt = if hint.is_empty() { String::new() } else { format!("Context: {hint}\n") };
    prompt += problem.question.trim();
    for (at, choice) in problem.choices.iter().enumerate() {
        prompt += &format!("\n{}. {choice}", letter(at));
    }
    let folder = problem.split.as_deref().unwrap_or(split);
    let image = format!("{folder}/{id}/{image}");
    PictureQuestion { id: id.into(), image, prompt, ..Default::default() }
}
