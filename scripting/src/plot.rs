//! Plots: `plot::line`, `scatter`, `bar`, `hist`, `heatmap`, `image`.

mod reading;

use crate::host::{Fallible, Value, fail};
use crate::options::OptionMap;
use crate::{Bars, Heatmap, Image, Line, View};
use reading::{curves, labels, matrix, numbers, pixels};
use rhai::plugin::*;
use rhai::{INT, Map, Module};

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

/// Options of curves, by which a map of options is told from a map of curves.
const OF_LINES: [&str; 6] = ["title", "x", "y", "width", "height", "labels"];

fn draw_line(
    what: &'static str,
    xs: Option<&Dynamic>,
    ys: &Dynamic,
    options: Map,
) -> Fallible<View> {
    let mut options = OptionMap::new(what, options);
    let title = options.text("title", "")?;
    let (x, y) = (options.text("x", "")?, options.text("y", "")?);
    let width = size(&mut options, "width", 500)?;
    let height = size(&mut options, "height", 200)?;
    let names = options.take("labels").map(|value| labels(&value, what)).transpose()?;
    options.finish()?;
    let mut curves = curves(xs, ys, what)?;
    if let Some(names) = names {
        if names.len() != curves.len() {
            let (names, curves) = (names.len(), curves.len());
            return Err(fail(format!("{what} has {names} labels but {curves} curves")));
        }
        curves.iter_mut().zip(names).for_each(|(curve, name)| curve.name = name);
    }
    let scattered = what == "plot::scatter";
    Ok(View::Line(Line { title, x, y, curves, width, height, scattered }))
}

/// Columns or rows of characters; 0 where nothing is said.
fn size(options: &mut OptionMap, key: &'static str, most: i64) -> Fallible<usize> {
    Ok(options.optional_integer(key, 1..=most)?.unwrap_or(0) as usize)
}

/// Whether a map holds curves rather than options.
fn holds_curves(map: &Map) -> bool {
    !map.is_empty()
        && map.keys().all(|key| !OF_LINES.contains(&key.as_str()))
        && map.values().all(|value| value.is_array() || value.is::<crate::tensor::Tensor>())
}

/// How many values fall into each of `bins` equal ranges, and the ranges in words.
fn histogram(values: &[f64], bins: usize) -> (Vec<String>, Vec<f64>) {
    let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let (low, high) = crate::charts::extent(finite.iter()).unwrap_or((0.0, 0.0));
    let step = if high > low { (high - low) / bins as f64 } else { 1.0 };
    let mut counts = vec![0.0; bins];
    finite.iter().for_each(|v| counts[(((v - low) / step) as usize).min(bins - 1)] += 1.0);
    let edge = |at: usize| crate::charts::short(low + step * at as f64);
    let labels = (0..bins).map(|at| format!("{} .. {}", edge(at), edge(at + 1))).collect();
    (labels, counts)
}

/// Least and greatest number of the colours; equal ones where the matrix decides.
fn range(options: &mut OptionMap) -> Fallible<(f64, f64)> {
    let Some(value) = options.take("range") else { return Ok((0.0, 0.0)) };
    match numbers(&value, "plot::heatmap: `range`")?[..] {
        [low, high] if low < high => Ok((low, high)),
        _ => Err(fail("plot::heatmap: `range` must be [least, greatest], two numbers")),
    }
}

#[export_module]
mod functions {
    /// A curve of `ys` over `xs`, both arrays or tensors of equal length; several curves where `ys`
    /// is a map of named ones, an array of arrays or a tensor of two axes.
    ///
    /// - `title` written above
    /// - `x` what the positions mean
    /// - `y` what the values mean
    /// - `labels` names of the curves, for the legend
    /// - `width` columns of characters; as many as there are
    /// - `height` rows of characters, 10
    ///
    /// ```
    /// show(plot::line([0, 1, 2], [0, 1, 4], #{ title: "squares", x: "n", height: 5 }));
    /// show(plot::line([0, 1, 2], #{ squares: [0, 1, 4], cubes: [0, 1, 8] }, #{ y: "n^k" }));
    /// ```
    #[rhai_fn(name = "line", return_raw)]
    pub fn line_options(xs: Value, ys: Value, options: Map) -> Fallible<View> {
        draw_line("plot::line", Some(&xs), &ys, options)
    }

    /// A curve of `ys` over `xs`.
    ///
    /// ```
    /// show(plot::line([0, 0.5, 1], [1, 3, 2]));
    /// ```
    #[rhai_fn(name = "line", return_raw)]
    pub fn line_places(xs: Value, ys: Value) -> Fallible<View> {
        draw_line("plot::line", Some(&xs), &ys, Map::new())
    }

    /// A curve of `ys` over 0, 1, 2 …, with the options of the longer form.
    ///
    /// ```
    /// show(plot::line([3, 2, 1], #{ title: "loss" }));
    /// show(plot::line([[3, 2, 1], [4, 2, 0]], #{ labels: ["old", "new"] }));
    /// ```
    #[rhai_fn(name = "line", return_raw)]
    pub fn line_values_options(ys: Value, options: Map) -> Fallible<View> {
        if holds_curves(&options) {
            return draw_line("plot::line", Some(&ys), &options.into(), Map::new());
        }
        draw_line("plot::line", None, &ys, options)
    }

    /// A curve of `ys` over 0, 1, 2 …, or several.
    ///
    /// ```
    /// show(plot::line([3, 2, 1]));
    /// show(plot::line(#{ before: [3, 2, 1], after: [4, 2, 0] }));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn line(ys: Value) -> Fallible<View> {
        draw_line("plot::line", None, &ys, Map::new())
    }

    /// Points at `xs` and `ys`, not joined; several sets of them as in `plot::line`.
    ///
    /// ```
    /// show(plot::scatter([1, 2, 3], [2, 1, 3]));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn scatter(xs: Value, ys: Value) -> Fallible<View> {
        draw_line("plot::scatter", Some(&xs), &ys, Map::new())
    }

    /// Points at `xs` and `ys`, not joined, with the options of `plot::line`.
    ///
    /// ```
    /// show(plot::scatter([1, 2, 3], #{ a: [2, 1, 3], b: [1, 1, 2] }, #{ title: "runs" }));
    /// ```
    #[rhai_fn(name = "scatter", return_raw)]
    pub fn scatter_options(xs: Value, ys: Value, options: Map) -> Fallible<View> {
        draw_line("plot::scatter", Some(&xs), &ys, options)
    }

    /// A bar for each value, with its label; bars of negative values go to the left.
    ///
    /// ```
    /// show(plot::bar(["cat", "dog"], [0.7, 0.3]));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn bar(labels: Value, values: Value) -> Fallible<View> {
        bar_options(labels, values, Map::new())
    }

    /// A bar for each value, with its label.
    ///
    /// - `title` written above
    /// - `width` characters of the longest bar
    ///
    /// ```
    /// show(plot::bar(["cat", "dog"], [0.7, -0.3], #{ title: "what is it", width: 20 }));
    /// ```
    #[rhai_fn(name = "bar", return_raw)]
    pub fn bar_options(labels: Value, values: Value, options: Map) -> Fallible<View> {
        let mut options = OptionMap::new("plot::bar", options);
        let title = options.text("title", "")?;
        let width = size(&mut options, "width", 500)?;
        options.finish()?;
        let values = numbers(&values, "plot::bar")?;
        let labels = reading::labels(&labels, "plot::bar")?;
        if labels.len() != values.len() {
            let (labels, values) = (labels.len(), values.len());
            return Err(fail(format!("plot::bar has {labels} labels but {values} values")));
        }
        Ok(View::Bars(Bars { title, labels, values, width }))
    }

    /// How many of the values fall into each of ten equal ranges.
    ///
    /// ```
    /// show(plot::hist([1, 1, 2, 5]));
    /// ```
    #[rhai_fn(name = "hist", return_raw)]
    pub fn hist_ten(values: Value) -> Fallible<View> {
        hist_options(values, 10, Map::new())
    }

    /// How many of the values fall into each of `bins` equal ranges.
    ///
    /// ```
    /// show(plot::hist([1, 1, 2, 5], 4));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn hist(values: Value, bins: INT) -> Fallible<View> {
        hist_options(values, bins, Map::new())
    }

    /// How many of the values fall into each of `bins` equal ranges.
    ///
    /// - `title` written above
    /// - `width` characters of the longest bar
    ///
    /// ```
    /// show(plot::hist([1, 1, 2, 5], 4, #{ title: "how often" }));
    /// ```
    #[rhai_fn(name = "hist", return_raw)]
    pub fn hist_options(values: Value, bins: INT, options: Map) -> Fallible<View> {
        let mut options = OptionMap::new("plot::hist", options);
        let title = options.text("title", "")?;
        let width = size(&mut options, "width", 500)?;
        options.finish()?;
        let values = numbers(&values, "plot::hist")?;
        let bins = usize::try_from(bins).ok().filter(|bins| (1..=200).contains(bins));
        let bins =
            bins.ok_or_else(|| fail("plot::hist: `bins` must be at least 1 and at most 200"))?;
        let (labels, values) = histogram(&values, bins);
        Ok(View::Bars(Bars { title, labels, values, width }))
    }

    /// A matrix as colours, an array of arrays or a tensor: dark to light, or cold to warm around
    /// a dark zero where numbers have both signs.
    ///
    /// ```
    /// show(plot::heatmap([[0, 1], [2, 3]]));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn heatmap(matrix: Value) -> Fallible<View> {
        heatmap_options(matrix, Map::new())
    }

    /// A matrix as colours, an array of arrays or a tensor.
    ///
    /// - `title` written above
    /// - `x` what the columns mean
    /// - `y` what the rows mean
    /// - `rows` names of the rows: an array or Tokens
    /// - `columns` names of the columns
    /// - `labels` names of both, for a square matrix
    /// - `range` least and greatest number of the colours, `[-1, 1]`
    /// - `width` columns of characters at most
    /// - `height` rows of characters at most
    /// - `numbers` true prints the numbers instead
    ///
    /// ```
    /// show(plot::heatmap([[0, 1], [2, 3]], #{ title: "m", numbers: true }));
    /// let tokens = load_model("toy:rwkv4").encode("ab");
    /// show(plot::heatmap([[1, 0], [-0.5, 1]], #{ labels: tokens, range: [-1, 1] }));
    /// ```
    #[rhai_fn(name = "heatmap", return_raw)]
    pub fn heatmap_options(values: Value, options: Map) -> Fallible<View> {
        let rows = matrix(&values, "plot::heatmap")?;
        let mut options = OptionMap::new("plot::heatmap", options);
        let sizes = (rows.len(), rows.first().map_or(0, Vec::len));
        let mut names = |key: &'static str, count: usize| -> Fallible<Vec<String>> {
            let Some(value) = options.take(key) else { return Ok(vec![]) };
            let names = labels(&value, "plot::heatmap")?;
            if names.len() == count {
                return Ok(names);
            }
            let (given, axis) = (names.len(), format!("`{key}` has"));
            Err(fail(format!("plot::heatmap: {axis} {given} names, but there are {count} of them")))
        };
        let both = if sizes.0 == sizes.1 { names("labels", sizes.0)? } else { vec![] };
        let (row_labels, column_labels) = (names("rows", sizes.0)?, names("columns", sizes.1)?);
        let or_both = |own: Vec<String>| if own.is_empty() { both.clone() } else { own };
        let map = Heatmap {
            title: options.text("title", "")?,
            x: options.text("x", "")?,
            y: options.text("y", "")?,
            row_labels: or_both(row_labels),
            column_labels: or_both(column_labels),
            range: range(&mut options)?,
            width: size(&mut options, "width", 500)?,
            height: size(&mut options, "height", 200)?,
            numbers: options.flag("numbers", false)?,
            bare: false,
            rows,
        };
        options.finish()?;
        Ok(View::Heatmap(map))
    }

    /// Numbers as a picture: a tensor `[height, width]` in shades of grey, `[height, width, 3]` or
    /// `[3, height, width]` in red, green and blue. Numbers between 0 and 1 are shown as they are,
    /// others are scaled to that.
    ///
    /// ```
    /// show(plot::image([[0, 1], [1, 0]]));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn image(tensor: Value) -> Fallible<View> {
        image_options(tensor, Map::new())
    }

    /// Numbers as a picture, a tensor or arrays of arrays.
    ///
    /// - `title` written above
    /// - `width` columns of characters at most
    ///
    /// ```
    /// show(plot::image(ones([4, 4, 3]) * 0.5, #{ title: "grey", width: 8 }));
    /// ```
    #[rhai_fn(name = "image", return_raw)]
    pub fn image_options(tensor: Value, options: Map) -> Fallible<View> {
        let mut options = OptionMap::new("plot::image", options);
        let title = options.text("title", "")?;
        let width = size(&mut options, "width", 500)?;
        options.finish()?;
        let (columns, pixels) = pixels(&tensor)?;
        Ok(View::Image(Image { title, columns, pixels, width }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_one_range() {
        let (labels, counts) = histogram(&[1.0, 1.0, 2.0, 5.0, f64::NAN], 4);
        assert_eq!(counts, [2.0, 1.0, 0.0, 1.0]);
        assert_eq!((labels[0].as_str(), labels.len()), ("1 .. 2", 4));
        assert_eq!(histogram(&[], 2).1, [0.0, 0.0]);
    }

    #[test]
    fn options_are_not_curves() {
        let map = |pairs: Vec<(&str, Dynamic)>| -> Map {
            pairs.into_iter().map(|(key, value)| (key.into(), value)).collect()
        };
        let list = || Dynamic::from(rhai::Array::new());
        assert!(holds_curves(&map(vec![("loss", list())])));
        assert!(!holds_curves(&map(vec![("labels", list())])));
        assert!(!holds_curves(&map(vec![("lable", 1.into())])) && !holds_curves(&Map::new()));
    }
}
