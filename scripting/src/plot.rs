//! Plots: `plot::line`, `plot::bar`, `plot::hist`, `plot::heatmap`.

use crate::host::{Fallible, Value, fail, words};
use crate::lists::floats;
use crate::options::OptionMap;
use crate::tensor::Tensor;
use crate::{Bars, Heatmap, Line, View};
use rhai::plugin::*;
use rhai::{Array, INT, Map, Module};

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

/// Numbers from an array or a tensor.
fn numbers(value: &Dynamic, what: &str) -> Fallible<Vec<f64>> {
    if let Some(tensor) = value.read_lock::<Tensor>() {
        return Ok(tensor.rows().concat());
    }
    match value.read_lock::<Array>() {
        Some(items) => floats(&items, what),
        None => {
            Err(fail(format!("{what} needs an array of numbers or a tensor, not {}", words(value))))
        }
    }
}

/// Rows of numbers from an array of arrays or a tensor; a flat array is one row.
fn matrix(value: &Dynamic, what: &str) -> Fallible<Vec<Vec<f64>>> {
    if let Some(tensor) = value.read_lock::<Tensor>() {
        return Ok(tensor.rows());
    }
    let nested = value.read_lock::<Array>().filter(|rows| rows.iter().any(Dynamic::is_array));
    let rows = match nested {
        Some(rows) => rows.iter().map(|row| numbers(row, what)).collect::<Fallible<Vec<_>>>()?,
        None => vec![numbers(value, what)?],
    };
    if rows.iter().any(|row| row.len() != rows[0].len()) {
        return Err(fail(format!("{what}: the rows differ in length")));
    }
    Ok(rows)
}

fn curve(xs: Vec<f64>, ys: Vec<f64>, options: Map) -> Fallible<View> {
    if xs.len() != ys.len() {
        return Err(fail(format!("plot::line has {} xs but {} ys", xs.len(), ys.len())));
    }
    let mut options = OptionMap::new("plot::line", options);
    let title = options.text("title", "")?;
    let x = options.text("x", "")?;
    let height = options.integer("height", 10, 1..=200)? as usize;
    options.finish()?;
    Ok(View::Line(Line { title, x, xs, ys, height }))
}

/// 0, 1, 2 … for values without positions.
fn places(ys: &[f64]) -> Vec<f64> {
    (0..ys.len()).map(|at| at as f64).collect()
}

/// How many values fall into each of `bins` equal ranges, and the ranges in words.
fn histogram(values: &[f64], bins: usize) -> (Vec<String>, Vec<f64>) {
    let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let low = finite.iter().copied().fold(f64::INFINITY, f64::min);
    let high = finite.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let step = if high > low { (high - low) / bins as f64 } else { 1.0 };
    let mut counts = vec![0.0; bins];
    finite.iter().for_each(|v| counts[(((v - low) / step) as usize).min(bins - 1)] += 1.0);
    let edge = |at: usize| crate::charts::short(low + step * at as f64);
    let labels = (0..bins).map(|at| format!("{} .. {}", edge(at), edge(at + 1))).collect();
    (labels, counts)
}

#[export_module]
mod functions {
    /// A curve of `ys` over `xs`, both arrays or tensors of equal length.
    ///
    /// - `title` written above
    /// - `x` what the positions mean, written below
    /// - `height` rows of characters, 10
    ///
    /// ```
    /// show(plot::line([0, 1, 2], [0, 1, 4], #{ title: "squares", x: "n", height: 5 }));
    /// ```
    #[rhai_fn(name = "line", return_raw)]
    pub fn line_options(xs: Value, ys: Value, options: Map) -> Fallible<View> {
        curve(numbers(&xs, "plot::line")?, numbers(&ys, "plot::line")?, options)
    }

    /// A curve of `ys` over `xs`.
    ///
    /// ```
    /// show(plot::line([0, 0.5, 1], [1, 3, 2]));
    /// ```
    #[rhai_fn(name = "line", return_raw)]
    pub fn line_places(xs: Value, ys: Value) -> Fallible<View> {
        curve(numbers(&xs, "plot::line")?, numbers(&ys, "plot::line")?, Map::new())
    }

    /// A curve of `ys` over 0, 1, 2 …, with the options of the longer form.
    ///
    /// ```
    /// show(plot::line([3, 2, 1], #{ title: "loss" }));
    /// ```
    #[rhai_fn(name = "line", return_raw)]
    pub fn line_values_options(ys: Value, options: Map) -> Fallible<View> {
        let ys = numbers(&ys, "plot::line")?;
        curve(places(&ys), ys, options)
    }

    /// A curve of `ys` over 0, 1, 2 …
    ///
    /// ```
    /// show(plot::line([3, 2, 1]));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn line(ys: Value) -> Fallible<View> {
        line_values_options(ys, Map::new())
    }

    /// A bar for each value, with its label.
    ///
    /// ```
    /// show(plot::bar(["cat", "dog"], [0.7, 0.3]));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn bar(labels: Array, values: Value) -> Fallible<View> {
        bar_options(labels, values, Map::new())
    }

    /// A bar for each value, with its label.
    ///
    /// - `title` written above
    /// - `width` characters of the longest bar
    ///
    /// ```
    /// show(plot::bar(["cat", "dog"], [0.7, 0.3], #{ title: "what is it", width: 20 }));
    /// ```
    #[rhai_fn(name = "bar", return_raw)]
    pub fn bar_options(labels: Array, values: Value, options: Map) -> Fallible<View> {
        let mut options = OptionMap::new("plot::bar", options);
        let title = options.text("title", "")?;
        let width = options.integer("width", 0, 0..=500)? as usize;
        options.finish()?;
        let values = numbers(&values, "plot::bar")?;
        if labels.len() != values.len() {
            let (labels, values) = (labels.len(), values.len());
            return Err(fail(format!("plot::bar has {labels} labels but {values} values")));
        }
        let labels = labels.iter().map(ToString::to_string).collect();
        Ok(View::Bars(Bars { title, labels, values, width }))
    }

    /// How many of the values fall into each of `bins` equal ranges.
    ///
    /// ```
    /// show(plot::hist([1, 1, 2, 5], 4));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn hist(values: Value, bins: INT) -> Fallible<View> {
        let values = numbers(&values, "plot::hist")?;
        let bins = usize::try_from(bins).ok().filter(|bins| (1..=200).contains(bins));
        let bins =
            bins.ok_or_else(|| fail("plot::hist: `bins` must be at least 1 and at most 200"))?;
        let (labels, values) = histogram(&values, bins);
        Ok(View::Bars(Bars { labels, values, ..Bars::default() }))
    }

    /// A matrix as shades, dark to light; an array of arrays or a tensor.
    ///
    /// ```
    /// show(plot::heatmap([[0, 1], [2, 3]]));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn heatmap(matrix: Value) -> Fallible<View> {
        heatmap_options(matrix, Map::new())
    }

    /// A matrix as shades, dark to light; an array of arrays or a tensor.
    ///
    /// - `title` written above
    /// - `height` rows of characters
    /// - `numbers` true prints the numbers instead
    ///
    /// ```
    /// show(plot::heatmap([[0, 1], [2, 3]], #{ title: "m", numbers: true }));
    /// ```
    #[rhai_fn(name = "heatmap", return_raw)]
    pub fn heatmap_options(values: Value, options: Map) -> Fallible<View> {
        let mut options = OptionMap::new("plot::heatmap", options);
        let title = options.text("title", "")?;
        let height = options.integer("height", 0, 0..=200)? as usize;
        let numbers = options.flag("numbers", false)?;
        options.finish()?;
        let rows = matrix(&values, "plot::heatmap")?;
        Ok(View::Heatmap(Heatmap { title, rows, height, numbers }))
    }
}
