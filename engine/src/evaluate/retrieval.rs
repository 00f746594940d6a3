//! What can be measured of matrices that are there already: similarities and logits.

use anyhow::{Result, bail, ensure};

use super::means::Mean;
use crate::tensor::Array;

/// How often the match is among the `k` most similar.
#[derive(Clone, Debug, PartialEq)]
pub struct Retrieval {
    /// How many may come first.
    pub k: usize,
    /// Over the rows: one of a row's columns is among its `k` most similar ones.
    pub rows: Mean,
    /// Over the columns: its row is among the `k` most similar ones.
    pub columns: Mean,
}

/// The cosine of every row of `a` with every row of `b`, `[N, D]`, `[M, D]` → `[N, M]`; 0 for a row
/// of zeros.
///
/// # Errors
/// When the two have no rows of one length.
pub fn similarity(a: &Array, b: &Array) -> Result<Array> {
    let (left, right) = (a.shape(), b.shape());
    let fit = matches!((left, right), ([_, c], [_, d]) if c == d);
    ensure!(fit, "similarity needs rows of one length, but the shapes are {left:?} and {right:?}.");
    unit_rows(a)?.matmul(&unit_rows(b)?.transpose()?)
}

/// Every row at length 1.
fn unit_rows(array: &Array) -> Result<Array> {
    let width = array.shape()[1].max(1);
    let unit = |row: &[f32]| {
        let norm = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let scale = if norm == 0.0 { 0.0 } else { 1.0 / norm };
        row.iter().map(|x| (f64::from(*x) * scale) as f32).collect::<Vec<f32>>()
    };
    Array::new(array.shape(), array.values().chunks(width).flat_map(unit).collect())
}

/// Recall at each of `ks` of a matrix `[N, M]` of similarities, in both directions. Column `j` belongs
/// to row `matches[j]`; without them, to row `j`. Of equals the match comes last.
///
/// # Errors
/// For another shape, numbers that are none, a `k` of 0, and columns that belong to no row.
pub fn recall_at_k(
    similarity: &Array,
    ks: &[usize],
    matches: Option<&[usize]>,
) -> Result<Vec<Retrieval>> {
    let [rows, columns] = *similarity.shape() else {
        bail!("recall needs a matrix of similarities, not the shape {:?}.", similarity.shape());
    };
    ensure!(rows > 0 && columns > 0, "recall needs at least one row and one column.");
    ensure!(!ks.contains(&0) && !ks.is_empty(), "recall needs how many may come first, 1 or more.");
    let own: Vec<usize> = match matches {
        Some(matches) => matches.to_vec(),
        None => {
            let square = "say to which row each column belongs, with `matches`";
            ensure!(rows == columns, "{rows} rows and {columns} columns do not pair up; {square}.");
            (0..columns).collect()
        }
    };
    ensure!(own.len() == columns, "there are {} matches for {columns} columns.", own.len());
    if let Some(row) = own.iter().find(|row| **row >= rows) {
        bail!("a column belongs to row {row}, but there are {rows} rows.");
    }
    let values = similarity.values();
    ensure!(values.iter().all(|x| !x.is_nan()), "the similarities hold NaN.");
    let at = |row: usize, column: usize| values[row * columns + column];
    let row_ranks: Vec<Option<usize>> = (0..rows)
        .map(|row| {
            let best = (0..columns).filter(|&c| own[c] == row).map(|c| at(row, c));
            let best = best.reduce(f32::max)?;
            Some((0..columns).filter(|&c| own[c] != row && at(row, c) >= best).count())
        })
        .collect();
    let column_rank = |column: usize| {
        let match_ = at(own[column], column);
        (0..rows).filter(|&r| r != own[column] && at(r, column) >= match_).count()
    };
    let column_ranks: Vec<usize> = (0..columns).map(column_rank).collect();
    let of = |&k: &usize| Retrieval {
        k,
        rows: row_ranks.iter().flatten().map(|rank| *rank < k).collect(),
        columns: column_ranks.iter().map(|rank| *rank < k).collect(),
    };
    Ok(ks.iter().map(of).collect())
}

/// How often the label is among the `k` largest logits of its row, `[N, V]`; of equals it comes last.
///
/// # Errors
/// For another shape, labels that are not one for each row or name no column, and logits that are
/// not numbers.
pub fn top_k_accuracy(logits: &Array, labels: &[u32], k: usize) -> Result<Mean> {
    let [rows, columns] = *logits.shape() else {
        bail!("top-k needs logits [N, V], not the shape {:?}.", logits.shape());
    };
    ensure!(labels.len() == rows, "there are {} labels for {rows} rows.", labels.len());
    ensure!(k > 0, "top-k needs a k of 1 or more.");
    let values = logits.values();
    let right = |(at, (row, &label)): (usize, (&[f32], &u32))| {
        let own = row.get(label as usize).copied();
        let Some(own) = own else {
            bail!("label {at} is {label}, but the columns are 0 to {}.", columns - 1);
        };
        ensure!(row.iter().all(|x| !x.is_nan()), "row {at} of the logits holds NaN.");
        Ok(row.iter().filter(|x| **x >= own).count() <= k)
    };
    values.chunks(columns.max(1)).zip(labels).enumerate().map(right).collect()
}
