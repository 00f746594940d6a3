//! Questions with several answers, in the layouts that their files have.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::items::{Item, Skips};

/// A question and the texts that may follow it.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// What is read before the choices.
    pub prompt: String,
    /// Each is read after the prompt, with the blank that goes before it.
    pub choices: Vec<String>,
    /// Which of them is right.
    pub answer: usize,
    /// What it is about, where the file says so.
    pub subject: Option<String>,
}

/// A layout: its name, the keys it is known by, what a line has, and how it becomes a question.
pub struct Layout {
    /// What scripts call it.
    pub name: &'static str,
    /// Keys that all of its items have; other layouts may have them too.
    known_by: &'static [&'static str],
    /// What a line has, in words.
    pub says: &'static str,
    read: fn(&Item, &str) -> Result<Option<Question>>,
}

/// All layouts; the first whose keys an item has is its layout.
pub const LAYOUTS: [Layout; 7] = [
    Layout {
        name: "hellaswag",
        known_by: &["ctx", "endings"],
        says: "ctx, endings, label",
        read: hellaswag,
    },
    Layout {
        name: "piqa",
        known_by: &["goal", "sol1", "sol2"],
        says: "goal, sol1, sol2, label",
        read: piqa,
    },
    Layout {
        name: "openbookqa",
        known_by: &["question_stem", "choices"],
        says: "question_stem, choices {text, label}, answerKey",
        read: arc,
    },
    Layout {
        name: "arc",
        known_by: &["question", "choices", "answerKey"],
        says: "question, choices {text, label}, answerKey; or question {stem, choices}, answerKey",
        read: arc,
    },
    Layout {
        name: "arc",
        known_by: &["question", "answerKey"],
        says: "question {stem, choices}, answerKey",
        read: arc,
    },
    Layout {
        name: "mmlu",
        known_by: &["question", "choices", "answer"],
        says: "question, choices, answer",
        read: mmlu,
    },
    Layout { name: "plain", known_by: &["choices"], says: "prompt, choices, answer", read: plain },
];

/// The questions of items, in the layout of this name or, without one, in that which the keys of
/// each item tell; and how many have no answer.
///
/// # Errors
/// Names the first item that fits no layout or is not as its layout says.
pub fn questions(items: &[Item], layout: Option<&str>) -> Result<(Vec<Question>, Skips)> {
    let given = layout.map(named).transpose()?;
    let (mut found, mut skips) = (Vec::new(), Skips::default());
    for item in items {
        let layout = given.map_or_else(|| told(item), Ok)?;
        let says = format!("a line of the layout {} has {}", layout.name, layout.says);
        match (layout.read)(item, &says)? {
            Some(question) => found.push(question),
            None => skips.add("without an answer"),
        }
    }
    Ok((found, skips))
}

fn named(name: &str) -> Result<&'static Layout> {
    let mut names: Vec<&str> = LAYOUTS.iter().map(|layout| layout.name).collect();
    names.dedup();
    let found = LAYOUTS.iter().find(|layout| layout.name == name);
    found.with_context(|| format!("there is no layout `{name}`; there are {}", names.join(", ")))
}

fn told(item: &Item) -> Result<&'static Layout> {
    let has = |key: &&str| item.json.get(key).is_some();
    let found = LAYOUTS.iter().find(|layout| layout.known_by.iter().all(has));
    found.with_context(|| {
        let known = LAYOUTS.iter().map(|layout| format!("{} ({})", layout.name, layout.says));
        let known = known.collect::<Vec<_>>().join(", ");
        format!("{} fits no layout of questions; there are {known}", item.place)
    })
}

/// The activity and what has happened, without the marks that stand in texts of WikiHow.
fn hellaswag(item: &Item, layout: &str) -> Result<Option<Question>> {
    let clean = |text: &str| {
        let text = without_marks(&text.trim().replace(" [title]", ". "));
        text.replace("  ", " ")
    };
    let mut prompt = clean(item.text("ctx", layout)?);
    if let Some(Value::String(activity)) = item.under(&["activity_label"]) {
        prompt = format!("{}: {prompt}", clean(activity));
    }
    let endings = item.texts("endings", layout)?;
    let choices = endings.iter().map(|ending| format!(" {}", clean(ending))).collect();
    question(item, &["label"], layout, prompt, choices)
}

fn piqa(item: &Item, layout: &str) -> Result<Option<Question>> {
    let prompt = format!("Question: {}\nAnswer:", item.text("goal", layout)?);
    let choices = [item.text("sol1", layout)?, item.text("sol2", layout)?];
    let choices = choices.map(|text| format!(" {text}")).to_vec();
    question(item, &["label"], layout, prompt, choices)
}

/// ARC as it was published, `question: {stem, choices: [{text, label}]}`, and as it is in the hub,
/// `question` and `choices: {text: [..], label: [..]}`; OpenBookQA, in which the stem has another
/// name.
fn arc(item: &Item, layout: &str) -> Result<Option<Question>> {
    let inner = item.under(&["question"]).filter(|question| question.is_object());
    let inner = inner.map_or(item.clone(), |json| Item { json: json.clone(), ..item.clone() });
    let stem = ["stem", "question_stem"].into_iter().find(|key| inner.under(&[key]).is_some());
    let stem = inner.text(stem.unwrap_or("question"), layout)?;
    let wrong = || format!("{}: `choices` must have `text` and `label`; {layout}", item.place);
    let choices = inner.under(&["choices"]).with_context(wrong)?;
    let part = |key: &str| -> Option<Vec<String>> {
        let text = |value: &Value| value.as_str().map(str::to_string);
        match choices {
            Value::Array(list) => list.iter().map(|one| text(one.get(key)?)).collect(),
            lists => lists.get(key)?.as_array()?.iter().map(text).collect(),
        }
    };
    let (texts, labels) = (part("text").with_context(wrong)?, part("label").with_context(wrong)?);
    ensure!(texts.len() == labels.len(), wrong());
    let Some(key) = item.under(&["answerKey"]).and_then(Value::as_str) else { return Ok(None) };
    if key.is_empty() {
        return Ok(None);
    }
    let answer = labels.iter().position(|label| label == key);
    let answer = answer.with_context(|| {
        format!("{}: the answer is {key}, but the choices are {}", item.place, labels.join(", "))
    })?;
    let prompt = format!("Question: {stem}\nAnswer:");
    let choices = texts.iter().map(|text| format!(" {text}")).collect();
    checked(item, prompt, choices, answer).map(Some)
}

/// The choices are listed under letters and the model is to name the letter.
fn mmlu(item: &Item, layout: &str) -> Result<Option<Question>> {
    let texts = item.texts("choices", layout)?;
    let letter = |at: usize| char::from(b'A' + at as u8);
    ensure!(texts.len() <= 26, "{}: more than 26 choices have no letters.", item.place);
    let mut prompt = String::new();
    if let Some(subject) = subject(item) {
        let about = subject.replace('_', " ");
        prompt += &format!(
            "The following are multiple choice questions (with answers) about {about}.\n\n"
        );
    }
    prompt += item.text("question", layout)?.trim();
    for (at, text) in texts.iter().enumerate() {
        prompt += &format!("\n{}. {text}", letter(at));
    }
    prompt += "\nAnswer:";
    let choices = (0..texts.len()).map(|at| format!(" {}", letter(at))).collect();
    question(item, &["answer"], layout, prompt, choices)
}

/// Prompt and choices as they stand, blanks included.
fn plain(item: &Item, layout: &str) -> Result<Option<Question>> {
    let keys = ["prompt", "context", "question", "q"];
    let key = keys.into_iter().find(|key| item.under(&[key]).is_some()).unwrap_or("prompt");
    let prompt = item.text(key, layout)?.to_string();
    let choices = item.texts("choices", layout)?;
    question(item, &["answer", "label"], layout, prompt, choices)
}

/// A question whose answer stands under one of these keys: a number from 0, also as a text, or a
/// letter; none where the answer is kept secret: empty, or -1.
fn question(
    item: &Item,
    keys: &[&str],
    layout: &str,
    prompt: String,
    choices: Vec<String>,
) -> Result<Option<Question>> {
    let place = &item.place;
    let Some(value) = item.under(keys) else {
        ensure!(
            item.json.get(keys[0]).is_some(),
            "{place} has no `{}`, which tells the answer; {layout}.",
            keys[0]
        );
        return Ok(None);
    };
    let number = match value {
        Value::String(text) => match text.trim().as_bytes() {
            [] => return Ok(None),
            [letter] if letter.is_ascii_uppercase() => Some(i64::from(letter - b'A')),
            _ => text.trim().parse().ok(),
        },
        other => other.as_i64(),
    };
    let number = number.with_context(|| {
        format!("{place}: the answer must be a number from 0 or a letter, not {value}")
    })?;
    if number == -1 {
        return Ok(None);
    }
    let last = choices.len().saturating_sub(1);
    let answer = usize::try_from(number).ok().filter(|answer| *answer <= last);
    let Some(answer) = answer else {
        bail!("{place}: the answer is {number}, but the choices are 0 to {last}.");
    };
    checked(item, prompt, choices, answer).map(Some)
}

fn checked(item: &Item, prompt: String, choices: Vec<String>, answer: usize) -> Result<Question> {
    ensure!(choices.len() > 1, "{} has less than two choices.", item.place);
    Ok(Question { prompt, choices, answer, subject: subject(item) })
}

fn subject(item: &Item) -> Option<String> {
    item.under(&["subject"]).and_then(Value::as_str).map(str::to_string)
}

/// The text without what stands in square brackets.
fn without_marks(text: &str) -> String {
    let mut clean = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        let Some((_, behind)) = after.split_once(']') else { break };
        clean += before;
        rest = behind;
    }
    clean + rest
}
