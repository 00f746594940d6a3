//! Benchmarks of questions about pictures.

use rhai::plugin::*;
use rhai::{INT, Map, Module};
use rwkv_engine::evaluate::{
    Benchmark, ENDING, Files, PictureQuestion, ScoreRow, Scores, Told, ask_about_pictures,
};

use super::{concluded, count, left_out};
use crate::charts::short;
use crate::host::{Fallible, Host, engine_failure, fail};
use crate::model::Model;
use crate::options::OptionMap;
use crate::report::Report;
use crate::{Bars, Table, View};

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

/// Tokens of an answer, as VisualRWKV is evaluated.
const LONGEST: i64 = 128;

fn measured(
    context: &NativeCallContext,
    model: &Model,
    name: &str,
    path: &str,
    map: Map,
) -> Fallible<Report> {
    let host = Host::of(context);
    let benchmark = Benchmark::named(name).map_err(engine_failure)?;
    let mut options = OptionMap::new("metrics::pictures", map);
    let some = |text: String| (!text.is_empty()).then_some(text);
    let answers = some(options.text("answers", "")?).map(|path| host.readable(&path));
    let split = some(options.text("split", "")?);
    let folder = some(options.text("folder", "")?).map(|path| host.readable(&path));
    let ending = options.text("ending", ENDING)?;
    let limit = options.integer("limit", i64::MAX, 1..)? as usize;
    let max_tokens = options.integer("max_tokens", LONGEST, 1..=1 << 20)? as usize;
    options.finish()?;
    let files = Files { questions: host.readable(path), answers, split };
    let (mut asked, skips) = benchmark.questions(&files).map_err(engine_failure)?;
    asked.truncate(limit);
    for question in &mut asked {
        question.prompt = question.prompt.replace(ENDING, &ending).trim().to_string();
    }
    let beside =
        if files.questions.is_dir() { Some(&*files.questions) } else { files.questions.parent() };
    let folder = folder.unwrap_or_else(|| beside.unwrap_or(&files.questions).to_path_buf());
    let engine = model.engine();
    let told = ask_about_pictures(&engine, &asked, &folder, max_tokens, &host.interrupt);
    let mut told = told.map_err(engine_failure)?;
    if let Some(why) = told.missing.as_ref().filter(|_| told.texts.is_empty()) {
        return Err(fail(format!("no picture of {path} can be read: {why}; give `folder`")));
    }
    told.skips.join(&skips);
    let said: Vec<_> = told.texts.iter().map(|(at, text)| (&asked[*at], text.as_str())).collect();
    let report = report(name, &benchmark.score(&said), &told, &said);
    concluded(&host, report, told.complete, told.texts.len() as u64)
}

fn report(name: &str, scores: &Scores, told: &Told, said: &[(&PictureQuestion, &str)]) -> Report {
    let cells = |row: &ScoreRow| {
        let figures = row.figures.iter().map(|figure| short(*figure));
        [row.name.clone(), row.count.to_string()].into_iter().chain(figures).collect()
    };
    let columns: Vec<_> = ["", "questions"].iter().chain(scores.columns).copied().collect();
    let table = View::Table(Table::new(&columns, scores.rows.iter().map(cells).collect()));
    let title = format!("{name}: {} questions{}", said.len(), left_out(&told.skips));
    let rows = scores.rows.iter().map(|row| {
        let figures = scores.columns.iter().zip(&row.figures);
        let mut map: Map = figures.map(|(name, x)| ((*name).into(), (*x).into())).collect();
        map.insert("name".into(), row.name.clone().into());
        map.insert("questions".into(), (row.count as INT).into());
        Dynamic::from(map)
    });
    let fields = vec![
        ("benchmark", name.to_string().into()),
        ("scores", Dynamic::from_array(rows.collect())),
        ("questions", count(said.len() as u64)),
        ("pictures", count(told.looked as u64)),
        ("skipped", count(told.skips.count())),
    ];
    let plot = View::Bars(Bars {
        title: format!("{name}, {}", scores.columns[0]),
        labels: scores.rows.iter().map(|row| row.name.clone()).collect(),
        values: scores.rows.iter().map(|row| row.figures[0]).collect(),
        width: 0,
    });
    let answers = said.iter().map(|(question, text)| {
        let map: Map = [
            ("question_id".into(), question.id.clone().into()),
            ("image".into(), question.image.clone().into()),
            ("prompt".into(), question.prompt.clone().into()),
            ("text".into(), (*text).to_string().into()),
        ]
        .into();
        Dynamic::from(map)
    });
    let answers = Dynamic::from_array(answers.collect());
    Report::new(title, table, fields).with("answers", answers).with("plot", Dynamic::from(plot))
}

#[export_module]
mod functions {
    /// Asks a model that sees the questions of a benchmark (`benchmark`): `"vqav2"`, `"gqa"`,
    /// `"scienceqa"`, `"textvqa"`, `"pope"` or `"mme"`. Its official files lie at `path`, or its
    /// questions as LLaVA has them. Answers are the likeliest ones, and are normalised and counted
    /// as in the official evaluation; figures are percentages. A picture that several questions in
    /// a row are about is looked at once. `.answers` has every text, to be written with `to_json`.
    ///
    /// - `folder` that the pictures lie in; else that of the questions
    /// - `answers` the official file that has them, where the questions come without
    /// - `split` of ScienceQA, "test"
    /// - `ending` of questions that want few words, in place of LLaVA's "Answer the question using a
    ///   single word or phrase."; "" for none
    /// - `limit` how many questions at most
    /// - `max_tokens` of an answer, 128
    ///
    /// ```
    /// let folder = temp_path("pope");
    /// write_file(folder + ".json", `{"question_id": 1, "image": "a.png", "text": "Is it red?", "label": "no"}`);
    /// load_image("sample:gradient").save(temp_path("a.png"));
    /// let vlm = load_model("toy:visualrwkv7");
    /// let found = metrics::pictures(vlm, "pope", folder + ".json", #{ max_tokens: 3 });
    /// assert(found.questions == 1 && found.pictures == 1);
    /// ```
    #[rhai_fn(name = "pictures", return_raw, volatile)]
    pub fn pictures_of_benchmark(
        context: NativeCallContext,
        model: Model,
        benchmark: &str,
        path: &str,
        options: Map,
    ) -> Fallible<Report> {
        measured(&context, &model, benchmark, path, options)
    }
}
