//! How well a model expects a text, as a whole and by position.

use super::sources::Source;
use super::{begin, concluded, count, figure, figures};
use crate::charts::short;
use crate::data::Dataset;
use crate::host::{Fallible, Host, Value, engine_failure, fail, words};
use crate::model::Model;
use crate::report::Report;
use crate::{Curve, Line, Table, View};
use rhai::plugin::*;
use rhai::{Array, INT, Map, Module};
use rwkv_engine::evaluate::{
    self, Bucket, Mean, Perplexity, Positions, Reader, Stretches, loss_by_position, perplexity,
    rows_of,
};
use std::collections::VecDeque;

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

/// Points of a curve; more cannot be told apart.
const POINTS: usize = 64;
/// Rows of a table of positions.
const BUCKETS: usize = 16;
/// Rows drawn from a data set unless somebody says how many.
const DRAWN: usize = 64;

fn measure(context: &NativeCallContext, model: &Model, text: &Value, map: Map) -> Fallible<Report> {
    let host = Host::of(context);
    let (mut options, start) = begin("metrics::perplexity", model, map)?;
    let chunk = options.integer("chunk", 256, 1..=1 << 20)? as usize;
    let carry = options.flag("carry", true)?;
    options.finish()?;
    let source = Source::of(&host, model, "metrics::perplexity", text)?;
    let (size, bos, state) = (source.bytes(), start.bos, start.state);
    let stretches = Stretches { chunk, carry, bos, state, size };
    let engine = model.engine();
    let reader = Reader { model: &engine, interrupt: &host.interrupt };
    let found = perplexity(reader, source.blocks(&engine.tokenizer), &stretches);
    let found = found.map_err(engine_failure)?;
    let report = perplexity_report(&found, &stretches);
    concluded(&host, report, found.complete, found.nll.count())
}

fn perplexity_report(found: &Perplexity, stretches: &Stretches) -> Report {
    let (tokens, nll) = (found.nll.count(), found.nll);
    let memory =
        if stretches.carry { "with the state carried on" } else { "each from a new state" };
    let chunks = format!("chunks of {}, {memory}", stretches.chunk);
    let bos = if stretches.bos { ", token 0 first" } else { "" };
    let title = format!("Perplexity of {tokens} tokens   {chunks}{bos}");
    let view = figures(vec![
        // The error of e^x is that of x times e^x.
        figure("perplexity", found.value(), nll.standard_error() * found.value()),
        figure("nats per token", nll.value(), nll.standard_error()),
        figure("bits per byte", found.bits_per_byte(), f64::NAN),
        figure("bytes", found.bytes as f64, f64::NAN),
    ]);
    let fields = vec![
        ("ppl", found.value().into()),
        ("nll", nll.value().into()),
        ("stderr", nll.standard_error().into()),
        ("bits_per_byte", found.bits_per_byte().into()),
        ("tokens", count(tokens)),
        ("bytes", count(found.bytes)),
    ];
    Report::new(title, view, fields).with("plot", Dynamic::from(along(found)))
}

/// The loss along the text.
fn along(found: &Perplexity) -> View {
    let width = found.chunks.len().div_ceil(POINTS).max(1);
    let joined = |part: &[Mean]| part.iter().fold(Mean::default(), |all, one| all.joined(*one));
    let (mut xs, mut ys, mut read) = (Vec::new(), Vec::new(), 0);
    for part in found.chunks.chunks(width) {
        let mean = joined(part);
        xs.push(read as f64 + mean.count() as f64 / 2.0);
        ys.push(mean.value());
        read += mean.count();
    }
    let curves = vec![Curve { name: String::new(), xs, ys }];
    let (x, y) = ("tokens read".into(), "nats per token".into());
    View::Line(Line { x, y, curves, title: "loss along the text".into(), ..Line::default() })
}

/// Rows to read, one after the other.
type Rows<'a> = Box<dyn Iterator<Item = anyhow::Result<evaluate::Line>> + 'a>;

fn by_position(
    context: &NativeCallContext,
    model: &Model,
    data: &Value,
    map: Map,
) -> Fallible<Report> {
    const WHAT: &str = "metrics::loss_by_position";
    let host = Host::of(context);
    let dataset = data.read_lock::<Dataset>().map(|data| data.fresh());
    // What is drawn from a data set goes on in the midst of a text.
    let told = map.contains_key("bos");
    let (mut options, mut start) = begin(WHAT, model, map)?;
    start.bos &= dataset.is_none() || told;
    let length = options.optional_integer("length", 2..=1 << 30)?.map(|length| length as usize);
    let most = options.optional_integer("rows", 1..)?.map(|rows| rows as usize);
    let width = options.optional_integer("bucket", 1..=1 << 30)?.map(|width| width as usize);
    let batch = options.integer("batch", 8, 1..=4096)? as usize;
    let trained = options.optional_integer("trained", 1..)?.map(|n| n as usize);
    options.finish()?;
    let engine = model.engine();
    let texts = data.read_lock::<Array>().filter(|list| list.iter().all(|x| !x.is_int()));
    let rows: Rows = match (dataset, texts) {
        (Some(data), _) => drawn(data, most.unwrap_or(DRAWN), batch),
        (_, Some(texts)) => rows_of_texts(model, &texts, length)?,
        _ => {
            let blocks = Source::of(&host, model, WHAT, data)?.blocks(&engine.tokenizer);
            let rows = rows_of(blocks, length.unwrap_or(1024));
            Box::new(rows.map(|tokens| Ok(tokens?.into())))
        }
    };
    let rows = rows.take(most.unwrap_or(usize::MAX));
    let reader = Reader { model: &engine, interrupt: &host.interrupt };
    let found = loss_by_position(reader, rows, &start.state, start.bos, batch);
    let found = found.map_err(engine_failure)?;
    let width = width.unwrap_or_else(|| found.places.len().div_ceil(BUCKETS).next_power_of_two());
    let report = positions_report(&found, width, trained.or(engine.ctx_len));
    concluded(&host, report, found.complete, found.rows)
}

/// Rows drawn from a data set, which never ends; only what is to be learnt counts.
fn drawn(mut data: rwkv_engine::data::Dataset, most: usize, batch: usize) -> Rows<'static> {
    let mut waiting: VecDeque<evaluate::Line> = VecDeque::new();
    let mut left = most;
    Box::new(std::iter::from_fn(move || {
        if waiting.is_empty() && left > 0 {
            let batch = match data.next_batch(batch.min(left)) {
                Ok(batch) => batch,
                Err(error) => return Some(Err(error)),
            };
            left -= batch.rows();
            let width = batch.targets() + 1;
            let mut counts = batch.weights().chunks(width);
            waiting.extend(batch.tokens().chunks(width).map(|tokens| {
                let counts = counts.next().unwrap_or_default().iter().map(|weight| *weight > 0.0);
                evaluate::Line { tokens: tokens.to_vec(), counts: counts.collect() }
            }));
        }
        waiting.pop_front().map(Ok)
    }))
}

/// A row for each text, cut where it is longer than asked.
fn rows_of_texts(model: &Model, texts: &Array, length: Option<usize>) -> Fallible<Rows<'static>> {
    let row = |text: &Dynamic| {
        if !text.is_string() {
            let got = words(text);
            return Err(fail(format!("metrics::loss_by_position needs texts, not {got}")));
        }
        let mut ids = model.ids(text)?;
        ids.truncate(length.unwrap_or(usize::MAX));
        Ok(ids)
    };
    let rows = texts.iter().map(row).collect::<Fallible<Vec<_>>>()?;
    Ok(Box::new(rows.into_iter().map(|tokens| Ok(tokens.into()))))
}

fn positions_report(found: &Positions, width: usize, trained: Option<usize>) -> Report {
    let buckets = found.buckets(width);
    let row = |one: &Bucket| {
        let (from, to) = (one.from.to_string(), (one.to - 1).to_string());
        let error = figure("", one.nll.value(), one.nll.standard_error());
        vec![from, to, error[1].clone(), error[2].clone(), one.nll.count().to_string()]
    };
    let columns = ["from", "to", "nats per token", "standard error", "tokens"];
    let table = View::Table(Table::new(&columns, buckets.iter().map(row).collect()));
    let plot = plot_of(&buckets, trained);
    let total = found.total();
    let title = format!(
        "Loss by position over {} rows   mean {} nats per token{}",
        found.rows,
        short(total.value()),
        trained.map_or(String::new(), |n| format!(", trained on {n} tokens"))
    );
    let mut fields = vec![
        ("buckets", Dynamic::from_array(buckets.iter().map(bucket_map).collect())),
        ("nll", total.value().into()),
        ("stderr", total.standard_error().into()),
        ("rows", count(found.rows)),
        ("tokens", count(total.count())),
        ("skipped", count(found.empty)),
    ];
    if let Some(trained) = trained {
        let mean = |places: &[Mean]| places.iter().fold(Mean::default(), |all, x| all.joined(*x));
        let (within, beyond) = found.places.split_at(trained.min(found.places.len()));
        fields.push(("trained", count(trained as u64)));
        fields.push(("within", mean(within).value().into()));
        fields.push(("beyond", mean(beyond).value().into()));
    }
    let view = View::Group(vec![table, plot.clone()]);
    Report::new(title, view, fields).with("plot", Dynamic::from(plot))
}

fn bucket_map(one: &Bucket) -> Dynamic {
    let map: Map = [
        ("from".into(), Dynamic::from(one.from as INT)),
        ("to".into(), Dynamic::from(one.to as INT - 1)),
        ("nll".into(), one.nll.value().into()),
        ("stderr".into(), one.nll.standard_error().into()),
        ("tokens".into(), count(one.nll.count())),
    ]
    .into();
    map.into()
}

/// The loss over the middle of each bucket; beyond the trained length as a curve of its own.
fn plot_of(buckets: &[Bucket], trained: Option<usize>) -> View {
    let curve = |name: &str, wanted: &dyn Fn(&Bucket) -> bool| {
        let of = buckets.iter().filter(|one| wanted(one) && one.nll.count() > 0);
        let points = of.map(|one| ((one.from + one.to - 1) as f64 / 2.0, one.nll.value()));
        let (xs, ys) = points.unzip();
        Curve { name: name.into(), xs, ys }
    };
    let curves = match trained {
        None => vec![curve("", &|_| true)],
        Some(trained) => vec![
            curve("as trained", &|one| one.from < trained),
            curve("beyond", &|one| one.from >= trained),
        ],
    };
    let curves = curves.into_iter().filter(|curve| !curve.xs.is_empty()).collect();
    let (x, y) = ("position".into(), "nats per token".into());
    View::Line(Line { x, y, curves, title: "loss by position".into(), ..Line::default() })
}

#[export_module]
mod functions {
    /// How well a model expects a text, with the usual settings: see the form with options.
    ///
    /// ```
    /// let found = metrics::perplexity(load_model("toy:rwkv7"), sample_text("pangrams"));
    /// print(found.bits_per_byte);
    /// ```
    #[rhai_fn(name = "perplexity", return_raw, volatile)]
    pub fn plain_perplexity(
        context: NativeCallContext,
        model: Model,
        text: Value,
    ) -> Fallible<Report> {
        measure(&context, &model, &text, Map::new())
    }

    /// How well a model expects a text of any length: a string, tokens, or a file that is read bit
    /// by bit, `#{ file: path }`. Fields: `ppl`, the perplexity; `nll`, nats per token, and its
    /// `stderr`, as if tokens were independent; `bits_per_byte`; `tokens` and `bytes` that were
    /// scored; `plot`, the loss along the text.
    ///
    /// - `chunk` tokens that are read in one pass, 256
    /// - `carry` whether a chunk begins with the state of those before it, true; else each is a text
    ///   of its own
    /// - `bos` whether token 0 is read first, so that the first token is scored, too; true unless a
    ///   state is given
    /// - `state` to start from; it is not changed
    ///
    /// ```
    /// let model = load_model("demo:tales");
    /// let whole = metrics::perplexity(model, sample_text("tales"), #{ chunk: 128 });
    /// let parts = metrics::perplexity(model, sample_text("tales"), #{ chunk: 32, carry: false });
    /// assert(whole.ppl < parts.ppl);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn perplexity(
        context: NativeCallContext,
        model: Model,
        text: Value,
        options: Map,
    ) -> Fallible<Report> {
        measure(&context, &model, &text, options)
    }

    /// Mean loss at every position, with the usual settings: see the form with options.
    ///
    /// ```
    /// let found = metrics::loss_by_position(load_model("toy:rwkv7"), ["The cat", "A dog sat"]);
    /// assert(found.rows == 2 && found.tokens == 16);
    /// ```
    #[rhai_fn(name = "loss_by_position", return_raw, volatile)]
    pub fn plain_loss_by_position(
        context: NativeCallContext,
        model: Model,
        data: Value,
    ) -> Fallible<Report> {
        by_position(&context, &model, &data, Map::new())
    }

    /// How well tokens are expected by their position in a text, also beyond the length that the
    /// model was trained on. The data are an array of texts, each a row from an empty state; one long
    /// text, tokens or `#{ file: path }`, cut into rows; or a Dataset as it was before its first
    /// batch, of which only the targets that are learnt are counted. Fields: `buckets`, an array of
    /// `#{from, to, nll, stderr, tokens}`; `nll` and `stderr` of all together; `rows`, `tokens`;
    /// `skipped`, rows with nothing to score; where the trained length is known `trained`, and the
    /// nats per token `within` and `beyond` it; `plot`, the curve.
    ///
    /// - `length` of a row; texts are cut there, a long text is cut into such rows, 1024
    /// - `rows` read at most; 64 of a Dataset, which never ends
    /// - `bucket` positions that share a mean; so many that there are 16 means at most
    /// - `batch` rows read at once, 8
    /// - `trained` tokens of the texts of the training, where the name of the model does not tell
    /// - `bos` whether token 0 is read first, so that the first token is scored, too; true unless a
    ///   state or a Dataset is given
    /// - `state` to start every row from; it is not changed
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// let text = sample_text("pangrams").repeat(4);
    /// let found = metrics::loss_by_position(model, text, #{ length: 64, bucket: 16, trained: 32 });
    /// assert(found.buckets.len() == 4 && found.buckets[1].from == 16);
    /// show(found.plot);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn loss_by_position(
        context: NativeCallContext,
        model: Model,
        data: Value,
        options: Map,
    ) -> Fallible<Report> {
        by_position(&context, &model, &data, options)
    }
}
