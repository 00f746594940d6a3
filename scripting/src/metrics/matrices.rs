//! Measurements of tensors that are there already: retrieval, classes, similarity.

use super::{count, figure, figures, share};
use crate::charts::short;
use crate::host::{Fallible, Value, engine_failure, fail, words};
use crate::options::OptionMap;
use crate::report::Report;
use crate::tensor::{Tensor, tensor_of};
use crate::tokens::ids_of;
use crate::{Bars, Curve, Line, Table, View};
use rhai::plugin::*;
use rhai::{Array, INT, Map, Module};
use rwkv_engine::evaluate::{self, Retrieval};
use rwkv_engine::tokenizer::Tokenizer;

/// The functions under `metrics::` in this file.
pub fn module() -> Module {
    exported_module!(measured)
}

/// Those without a module.
pub fn free() -> Module {
    exported_module!(functions)
}

/// Whole numbers from 0 on.
fn places(value: &Value, what: &str) -> Fallible<Vec<usize>> {
    let wrong = || fail(format!("{what} must be an array of whole numbers, not {}", words(value)));
    let list = value.read_lock::<Array>().ok_or_else(wrong)?;
    let place =
        |x: &Dynamic| x.as_int().ok().and_then(|x| usize::try_from(x).ok()).ok_or_else(wrong);
    list.iter().map(place).collect()
}

fn recall(similarity: &Value, ks: &Value, map: Map) -> Fallible<Report> {
    const WHAT: &str = "metrics::recall_at_k";
    let mut options = OptionMap::new(WHAT, map);
    let matches = options.take("matches");
    let matches = matches.map(|value| places(&value, "metrics::recall_at_k: `matches`"));
    let matches = matches.transpose()?;
    options.finish()?;
    let matrix = tensor_of(similarity)?.array;
    let ks = places(ks, "metrics::recall_at_k: how many may come first")?;
    let found = evaluate::recall_at_k(&matrix, &ks, matches.as_deref()).map_err(engine_failure)?;
    Ok(recall_report(&found))
}

fn recall_report(found: &[Retrieval]) -> Report {
    let row = |one: &Retrieval| {
        let cells = [one.rows, one.columns].map(|mean| [mean.value(), mean.standard_error()]);
        let mut row = vec![one.k.to_string()];
        row.extend(cells.concat().into_iter().map(short));
        row
    };
    let columns = ["k", "rows", "error of rows", "columns", "error of columns"];
    let table = Table::new(&columns, found.iter().map(row).collect());
    let counts = found.first().map_or((0, 0), |one| (one.rows.count(), one.columns.count()));
    let title = format!("Recall at k of {} rows and {} columns", counts.0, counts.1);
    let list = |number: &dyn Fn(&Retrieval) -> f64| {
        Dynamic::from_array(found.iter().map(|one| number(one).into()).collect())
    };
    let fields = vec![
        ("k", Dynamic::from_array(found.iter().map(|one| (one.k as INT).into()).collect())),
        ("rows", list(&|one| one.rows.value())),
        ("rows_stderr", list(&|one| one.rows.standard_error())),
        ("columns", list(&|one| one.columns.value())),
        ("columns_stderr", list(&|one| one.columns.standard_error())),
        ("items", count(counts.0)),
    ];
    let curve = |name: &str, number: &dyn Fn(&Retrieval) -> f64| Curve {
        name: name.into(),
        xs: found.iter().map(|one| one.k as f64).collect(),
        ys: found.iter().map(number).collect(),
    };
    let curves =
        vec![curve("rows", &|one| one.rows.value()), curve("columns", &|one| one.columns.value())];
    let (x, y) = ("k".into(), "recall at k".into());
    let plot = View::Line(Line { x, y, curves, ..Line::default() });
    Report::new(title, View::Table(table), fields).with("plot", Dynamic::from(plot))
}

#[export_module]
mod measured {
    /// How often the right partner is among the `k` most similar ones, for every k of `ks`, in a
    /// matrix of similarities in which row and column of one number belong together: see the form
    /// with options.
    ///
    /// ```
    /// let found = metrics::recall_at_k([[0.9, 0.4], [0.8, 0.3]], [1, 2]);
    /// assert(found.rows == [0.5, 1.0] && found.columns == [0.5, 1.0]);
    /// ```
    #[rhai_fn(name = "recall_at_k", return_raw)]
    pub fn plain_recall_at_k(similarity: Value, ks: Value) -> Fallible<Report> {
        recall(&similarity, &ks, Map::new())
    }

    /// How often the right partner is among the `k` most similar ones, for every k of `ks`, in a
    /// matrix of similarities `[N, M]`. Of equal ones the right one comes last. Fields, a number for
    /// each k: `rows`, how often a row finds one of its columns; `columns`, how often a column finds
    /// its row; `rows_stderr`, `columns_stderr`; `k`; `items`, the rows; `plot`.
    ///
    /// - `matches` to which row each column belongs, where that is not the one of its own number:
    ///   an image may have several captions
    ///
    /// ```
    /// let similarity = [[0.9, 0.8, 0.1], [0.2, 0.3, 0.7]];
    /// let found = metrics::recall_at_k(similarity, [1], #{ matches: [0, 0, 1] });
    /// assert(found.rows == [1.0] && found.columns == [1.0]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn recall_at_k(similarity: Value, ks: Value, options: Map) -> Fallible<Report> {
        recall(&similarity, &ks, options)
    }

    /// How often the label of a row is among the `k` largest of its logits `[N, V]`. Of equal ones
    /// it comes last. The labels are an array of whole numbers, Tokens, or a tensor `[N]`. Fields:
    /// `acc`, `stderr`, `items`, `k`, `plot`.
    ///
    /// ```
    /// let logits = [[3, 2, 1], [3, 2, 1]];
    /// assert(metrics::top_k_accuracy(logits, [0, 1], 1).acc == 0.5);
    /// assert(metrics::top_k_accuracy(logits, [0, 1], 2).acc == 1.0);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn top_k_accuracy(logits: Value, labels: Value, k: INT) -> Fallible<Report> {
        let ids = ids_of(&labels, &Tokenizer::bytes())?;
        let places = usize::try_from(k).unwrap_or(0);
        let array = tensor_of(&logits)?.array;
        let right = evaluate::top_k_accuracy(&array, &ids, places).map_err(engine_failure)?;
        let title = format!("Top-{k} accuracy of {} rows", right.count());
        let view = figures(vec![figure("accuracy", right.value(), right.standard_error())]);
        let [acc, stderr] = share(right, ["acc", "stderr"]);
        let fields = vec![acc, stderr, ("items", count(right.count())), ("k", k.into())];
        let plot = View::Bars(Bars {
            title: title.clone(),
            labels: vec!["accuracy".into()],
            values: vec![right.value()],
            width: 0,
        });
        Ok(Report::new(title, view, fields).with("plot", Dynamic::from(plot)))
    }
}

#[export_module]
mod functions {
    /// The cosine of every row of `a` with every row of `b`: tensors `[N, D]` and `[M, D]` give
    /// `[N, M]`. A row of zeros is similar to nothing, 0.
    ///
    /// ```
    /// let found = similarity([[3, 0], [1, 1]], [[0, 2], [5, 0]]);
    /// assert(found[0] == tensor([0, 1]) && found.shape == [2, 2]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn similarity(a: Value, b: Value) -> Fallible<Tensor> {
        let (a, b) = (tensor_of(&a)?.array, tensor_of(&b)?.array);
        Ok(evaluate::similarity(&a, &b).map_err(engine_failure)?.into())
    }
}
