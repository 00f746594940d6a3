//! Items with a right answer: the last word of a text, one of several choices.

use super::sources::items_of;
use super::{begin, concluded, count, figure, figures, left_out, share};
use crate::charts::short;
use crate::host::{Fallible, Host, Value, engine_failure, fail};
use crate::model::Model;
use crate::report::Report;
use crate::{Bars, Table, View};
use rhai::plugin::*;
use rhai::{Array, INT, Map, Module};
use rwkv_engine::evaluate::{
    Choices, Guesses, Item, Mean, Normalise, Question, Reader, Target, choose, guess, questions,
    targets,
};
use std::collections::BTreeMap;

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

fn words(context: &NativeCallContext, model: &Model, items: &Value, map: Map) -> Fallible<Report> {
    const WHAT: &str = "metrics::last_word";
    let host = Host::of(context);
    let (mut options, start) = begin(WHAT, model, map)?;
    let limit = options.optional_integer("limit", 1..)?;
    options.finish()?;
    let items = items_of(context, WHAT, items, limit)?;
    let (asked, skips) = targets(&items).map_err(engine_failure)?;
    let engine = model.engine();
    let reader = Reader { model: &engine, interrupt: &host.interrupt };
    let mut found = guess(reader, &asked, &start.state, start.bos).map_err(engine_failure)?;
    found.skips.join(&skips);
    let report = words_report(&found, &asked);
    concluded(&host, report, found.complete, found.guesses.len() as u64)
}

fn words_report(found: &Guesses, asked: &[Target]) -> Report {
    let (right, nll) = (found.accuracy(), found.nll());
    let ppl = nll.value().exp();
    let title = format!("Last word of {} items{}", found.guesses.len(), left_out(&found.skips));
    let view = figures(vec![
        figure("accuracy", right.value(), right.standard_error()),
        figure("perplexity of the target", ppl, nll.standard_error() * ppl),
    ]);
    let [acc, stderr] = share(right, ["acc", "stderr"]);
    let fields = vec![
        acc,
        stderr,
        ("ppl", ppl.into()),
        ("nll", nll.value().into()),
        ("nll_stderr", nll.standard_error().into()),
        ("items", count(right.count())),
        ("skipped", count(found.skips.count())),
        ("asked", count(found.asked)),
        ("read", count(found.read)),
    ];
    let guesses = found.guesses.iter().map(|one| {
        let map: Map = [
            ("context".into(), Dynamic::from(asked[one.item].context.clone())),
            ("target".into(), asked[one.item].target.clone().into()),
            ("right".into(), one.right.into()),
            ("logprob".into(), one.logprob.into()),
        ]
        .into();
        Dynamic::from(map)
    });
    let plot = View::Bars(Bars {
        title: "last word".into(),
        labels: vec!["accuracy".into(), "mean probability".into()],
        values: vec![right.value(), (-nll.value()).exp()],
        width: 0,
    });
    let guesses = Dynamic::from_array(guesses.collect());
    Report::new(title, view, fields).with("guesses", guesses).with("plot", Dynamic::from(plot))
}

/// How multiple choice is asked.
struct Wishes {
    layout: Option<String>,
    normalise: Normalise,
    header: String,
    labels: Option<String>,
    limit: Option<i64>,
}

impl Wishes {
    fn of(options: &mut crate::options::OptionMap) -> Fallible<Self> {
        let some = |text: String| if text.is_empty() { None } else { Some(text) };
        let normalise = options.one_or_first("normalise", Normalise::NAMES)?;
        Ok(Self {
            layout: some(options.text("layout", "")?),
            normalise,
            header: options.text("header", "")?,
            labels: some(options.text("labels", "")?),
            limit: options.optional_integer("limit", 1..)?,
        })
    }
}

fn choices(
    context: &NativeCallContext,
    model: &Model,
    items: &Value,
    map: Map,
) -> Fallible<Report> {
    const WHAT: &str = "metrics::multiple_choice";
    let host = Host::of(context);
    let (mut options, start) = begin(WHAT, model, map)?;
    let wishes = Wishes::of(&mut options)?;
    options.finish()?;
    let mut items = items_of(context, WHAT, items, wishes.limit)?;
    if let Some(path) = &wishes.labels {
        label(&host, path, &mut items)?;
    }
    let (mut asked, skips) = questions(&items, wishes.layout.as_deref()).map_err(engine_failure)?;
    for question in &mut asked {
        question.prompt.insert_str(0, &wishes.header);
    }
    let engine = model.engine();
    let reader = Reader { model: &engine, interrupt: &host.interrupt };
    let found = choose(reader, &asked, wishes.normalise, &start.state, start.bos);
    let mut found = found.map_err(engine_failure)?;
    found.skips.join(&skips);
    let report = choices_report(&found, &asked, wishes.normalise);
    concluded(&host, report, found.complete, found.answers.len() as u64)
}

/// Gives the items the answers that stand in a file of their own, one on each line.
fn label(host: &Host, path: &str, items: &mut [Item]) -> Fallible<()> {
    let text = std::fs::read_to_string(host.readable(path));
    let text = text.map_err(|error| fail(format!("cannot read {path}: {error}")))?;
    let labels: Vec<&str> = text.lines().collect();
    if labels.len() < items.len() {
        let (labels, items) = (labels.len(), items.len());
        return Err(fail(format!("{path} has {labels} labels for {items} items")));
    }
    for (item, label) in items.iter_mut().zip(labels) {
        if let Some(object) = item.json.as_object_mut() {
            object.insert("label".into(), label.trim().into());
        }
    }
    Ok(())
}

/// Right answers by the likeliest choice, by the likeliest when lengths count, and by chance.
#[derive(Clone, Copy, Default)]
struct Score {
    plain: Mean,
    normal: Mean,
    chance: Mean,
}

impl Score {
    fn add(&mut self, question: &Question, guess: usize, normal: usize) {
        let right = |guess| f64::from(u8::from(guess == question.answer));
        self.plain.add(right(guess));
        self.normal.add(right(normal));
        self.chance.add(1.0 / question.choices.len() as f64);
    }
}

fn choices_report(found: &Choices, asked: &[Question], normalise: Normalise) -> Report {
    let mut all = Score::default();
    let mut subjects: BTreeMap<&str, Score> = BTreeMap::new();
    for answer in &found.answers {
        let question = &asked[answer.item];
        all.add(question, answer.guess, answer.normal);
        if let Some(subject) = &question.subject {
            subjects.entry(subject).or_default().add(question, answer.guess, answer.normal);
        }
    }
    let by = Normalise::NAMES.iter().find(|(_, it)| *it == normalise).map_or("", |(name, _)| name);
    let by = if normalise == Normalise::Calibrated {
        by.into()
    } else {
        format!("per {}", &by[..by.len() - 1])
    };
    let left_out = left_out(&found.skips);
    let title = format!("Multiple choice of {} questions{left_out}", found.answers.len());
    let table = figures(vec![
        figure("accuracy", all.plain.value(), all.plain.standard_error()),
        figure(&format!("accuracy, {by}"), all.normal.value(), all.normal.standard_error()),
        figure("by chance", all.chance.value(), f64::NAN),
    ]);
    let view =
        if subjects.is_empty() { table } else { View::Group(vec![table, listed(&subjects)]) };
    let [acc, stderr] = share(all.plain, ["acc", "stderr"]);
    let [acc_norm, stderr_norm] = share(all.normal, ["acc_norm", "stderr_norm"]);
    let mut fields = vec![
        acc,
        stderr,
        acc_norm,
        stderr_norm,
        ("chance", all.chance.value().into()),
        ("items", count(all.plain.count())),
        ("skipped", count(found.skips.count())),
        ("asked", count(found.asked)),
        ("read", count(found.read)),
    ];
    if !subjects.is_empty() {
        fields.push(("subjects", maps(&subjects)));
    }
    let report = Report::new(title, view, fields).with("answers", answers(found, asked));
    report.with("plot", Dynamic::from(bars(all, &subjects)))
}

fn listed(subjects: &BTreeMap<&str, Score>) -> View {
    let row = |(name, score): (&&str, &Score)| {
        let cells = [score.plain.value(), score.normal.value()].map(short);
        let [plain, normal] = cells;
        vec![name.to_string(), plain, normal, score.plain.count().to_string()]
    };
    let columns = ["subject", "accuracy", "normalised", "questions"];
    View::Table(Table::new(&columns, subjects.iter().map(row).collect()))
}

fn maps(subjects: &BTreeMap<&str, Score>) -> Dynamic {
    let map = |(name, score): (&&str, &Score)| {
        let map: Map = [
            ("subject".into(), Dynamic::from(name.to_string())),
            ("acc".into(), score.plain.value().into()),
            ("acc_norm".into(), score.normal.value().into()),
            ("items".into(), count(score.plain.count())),
        ]
        .into();
        Dynamic::from(map)
    };
    Dynamic::from_array(subjects.iter().map(map).collect())
}

fn answers(found: &Choices, asked: &[Question]) -> Dynamic {
    let logprobs = |all: &[f64]| all.iter().map(|x| Dynamic::from(*x)).collect::<Array>();
    let map = |one: &rwkv_engine::evaluate::Answer| {
        let map: Map = [
            ("prompt".into(), Dynamic::from(asked[one.item].prompt.clone())),
            ("answer".into(), Dynamic::from(asked[one.item].answer as INT)),
            ("guess".into(), Dynamic::from(one.guess as INT)),
            ("guess_norm".into(), Dynamic::from(one.normal as INT)),
            ("logprobs".into(), Dynamic::from_array(logprobs(&one.logprobs))),
        ]
        .into();
        Dynamic::from(map)
    };
    Dynamic::from_array(found.answers.iter().map(map).collect())
}

/// The shares of right answers beside chance, or those of every subject.
fn bars(all: Score, subjects: &BTreeMap<&str, Score>) -> View {
    let usual = [("accuracy", all.plain), ("normalised", all.normal), ("by chance", all.chance)];
    let (labels, values) = match subjects.len() {
        0 => usual.iter().map(|(name, mean)| (name.to_string(), mean.value())).unzip(),
        _ => subjects.iter().map(|(name, one)| (name.to_string(), one.plain.value())).unzip(),
    };
    View::Bars(Bars { title: "right answers".into(), labels, values, width: 0 })
}

#[export_module]
mod functions {
    /// How often a model guesses the last word of texts, with the usual settings: see the form with
    /// options.
    ///
    /// ```
    /// let items = [#{ context: "The cat sat on the", target: " mat" }];
    /// let found = metrics::last_word(load_model("toy:rwkv4"), items);
    /// assert(found.items == 1 && found.acc <= 1);
    /// ```
    #[rhai_fn(name = "last_word", return_raw, volatile)]
    pub fn plain_last_word(
        context: NativeCallContext,
        model: Model,
        items: Value,
    ) -> Fallible<Report> {
        words(&context, &model, &items, Map::new())
    }

    /// How often a model guesses the last word of texts (LAMBADA), or what a problem asks for. The
    /// items are an array of maps, or the path of a file with one on each line: `#{context, target}`,
    /// `#{prompt, target}`, or `#{text}`, whose last word is the target. An item is right if all
    /// tokens of the target are the likeliest. Fields: `acc` and its `stderr`; `ppl`, the perplexity
    /// of a whole target; `nll` and `nll_stderr`; `items`; `skipped`, how many could not be measured;
    /// `asked`, tokens of all prompts, and `read`, how many of them were read, less where neighbours
    /// begin alike; `guesses`, what became of every item; `plot`.
    ///
    /// - `limit` only so many of the items
    /// - `bos` whether token 0 is read first; true unless a state is given
    /// - `state` to start from; it is not changed
    ///
    /// ```
    /// write_file(temp_path("words.jsonl"), "{\"text\": \"Nela has the key.\"}\n{\"text\": \"one\"}\n");
    /// let found = metrics::last_word(load_model("demo:tales"), temp_path("words.jsonl"), #{ limit: 2 });
    /// assert(found.items == 1 && found.skipped == 1 && found.guesses[0].target == " key.");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn last_word(
        context: NativeCallContext,
        model: Model,
        items: Value,
        options: Map,
    ) -> Fallible<Report> {
        words(&context, &model, &items, options)
    }

    /// How often a model chooses the right answer, with the usual settings: see the form with
    /// options.
    ///
    /// ```
    /// let items = [#{ prompt: "A fox is a kind of", choices: [" animal", " planet"], answer: 0 }];
    /// show(metrics::multiple_choice(load_model("toy:rwkv4"), items));
    /// ```
    #[rhai_fn(name = "multiple_choice", return_raw, volatile)]
    pub fn plain_multiple_choice(
        context: NativeCallContext,
        model: Model,
        items: Value,
    ) -> Fallible<Report> {
        choices(&context, &model, &items, Map::new())
    }

    /// How often a model finds the right answer likeliest. A prompt is read once and each choice is
    /// read from its state; what neighbouring prompts share is read once, too. The items are an
    /// array of maps, or the path of a file with one on each line. Fields: `acc` and `stderr`;
    /// `acc_norm` and `stderr_norm`, when choices are compared with regard to their length; `chance`;
    /// `items`; `skipped`, how many could not be measured; `asked`, tokens of all prompts, each with
    /// each of its choices, and `read`, how many were read; `subjects`, where items have one;
    /// `answers`, what became of every question; `plot`.
    ///
    /// - `layout` `"hellaswag"` (ctx, endings, label), `"piqa"` (goal, sol1, sol2, label),
    ///   `"openbookqa"` (question_stem, choices {text, label}, answerKey), `"arc"` (question, choices,
    ///   answerKey), `"mmlu"` (question, choices, answer: the letter is asked for) or `"plain"`
    ///   (prompt, choices, answer: read as they stand); told by the keys unless it is given
    /// - `normalise` what `acc_norm` compares: log-probability per `"bytes"`, `"characters"` or
    ///   `"tokens"` of the choice, or `"calibrated"`, less what it is without the prompt; `"bytes"`
    /// - `header` text before every prompt, such as examples; it is read once
    /// - `labels` path of a file with the answers, one on each line (PIQA)
    /// - `limit` only so many of the items
    /// - `bos` whether token 0 is read first; true unless a state is given
    /// - `state` to start from; it is not changed
    ///
    /// ```
    /// let items = [
    ///     #{ question: "What is wet?", choices: ["Sand", "Rain"], answer: "B", subject: "weather" },
    ///     #{ question: "What burns?", choices: ["Wood", "Water"], answer: 0, subject: "things" },
    /// ];
    /// let options = #{ layout: "mmlu", normalise: "tokens" };
    /// let found = metrics::multiple_choice(load_model("toy:rwkv7"), items, options);
    /// assert(found.items == 2 && found.chance == 0.5 && found.subjects.len() == 2);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn multiple_choice(
        context: NativeCallContext,
        model: Model,
        items: Value,
        options: Map,
    ) -> Fallible<Report> {
        choices(&context, &model, &items, options)
    }
}
