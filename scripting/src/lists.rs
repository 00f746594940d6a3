//! Arrays of numbers: sums and statistics; sorting into a copy.

use crate::host::{Fallible, fail, words};
use rhai::plugin::*;
use rhai::{Array, Dynamic, FLOAT, INT, Module};
use std::cmp::Ordering;

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

/// The items of an array as floats; `what` names the function in the failure.
///
/// # Errors
/// When an item is not a number.
pub fn floats(items: &[Dynamic], what: &str) -> Fallible<Vec<f64>> {
    let read = |(index, item): (usize, &Dynamic)| {
        let float = item.as_float().or_else(|_| item.as_int().map(|whole| whole as f64));
        float.map_err(|_| fail(format!("{what} needs numbers; item {index} is {}", words(item))))
    };
    items.iter().enumerate().map(read).collect()
}

/// The same, but not of an empty array.
fn some_floats(items: &[Dynamic], what: &str) -> Fallible<Vec<f64>> {
    if items.is_empty() {
        return Err(fail(format!("{what} of an empty array has no value")));
    }
    floats(items, what)
}

/// Mean of the squared distances from the mean.
fn spread(xs: &[f64]) -> f64 {
    let mean = xs.iter().sum::<f64>() / xs.len() as f64;
    xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / xs.len() as f64
}

/// The item that `better` prefers to every other, and its index.
fn best(items: &[Dynamic], what: &str, better: Ordering) -> Fallible<(usize, Dynamic)> {
    let xs = some_floats(items, what)?;
    let mut at = 0;
    for (index, x) in xs.iter().enumerate() {
        // Of equal items the first one counts.
        if x.total_cmp(&xs[at]) == better {
            at = index;
        }
    }
    Ok((at, items[at].clone()))
}

/// Numbers by size, then strings by letters.
fn order(a: &Dynamic, b: &Dynamic) -> Ordering {
    let float = |x: &Dynamic| x.as_float().or_else(|_| x.as_int().map(|whole| whole as f64)).ok();
    match (float(a), float(b)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (None, None) => a.to_string().cmp(&b.to_string()),
        (a, _) => {
            if a.is_some() {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
    }
}

#[export_module]
mod functions {
    /// The sum of the numbers; an integer if all of them are.
    ///
    /// ```
    /// assert([1, 2, 3].sum() == 6);
    /// assert([1, 0.5].sum() == 1.5);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn sum(this: &mut Array) -> Fallible<Dynamic> {
        let whole: Option<INT> =
            this.iter().try_fold(0, |sum: INT, item| sum.checked_add(item.as_int().ok()?));
        match whole {
            Some(sum) => Ok(sum.into()),
            None => Ok(floats(this, "sum")?.iter().sum::<FLOAT>().into()),
        }
    }

    /// The mean of the numbers.
    ///
    /// ```
    /// assert([1, 2, 6].mean() == 3.0);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn mean(this: &mut Array) -> Fallible<FLOAT> {
        let xs = some_floats(this, "mean")?;
        Ok(xs.iter().sum::<f64>() / xs.len() as f64)
    }

    /// The standard deviation of the numbers, divided by their count.
    ///
    /// ```
    /// assert([1, 3].std() == 1.0);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn std(this: &mut Array) -> Fallible<FLOAT> {
        Ok(spread(&some_floats(this, "std")?).sqrt())
    }

    /// The variance of the numbers, divided by their count.
    ///
    /// ```
    /// assert([1, 5].variance() == 4.0);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn variance(this: &mut Array) -> Fallible<FLOAT> {
        Ok(spread(&some_floats(this, "variance")?))
    }

    /// The smallest number.
    ///
    /// ```
    /// assert([3, 1, 2].min() == 1);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn min(this: &mut Array) -> Fallible<Dynamic> {
        Ok(best(this, "min", Ordering::Less)?.1)
    }

    /// The largest number.
    ///
    /// ```
    /// assert([3, 1.5, 2].max() == 3);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn max(this: &mut Array) -> Fallible<Dynamic> {
        Ok(best(this, "max", Ordering::Greater)?.1)
    }

    /// The index of the smallest number; of equal ones the first.
    ///
    /// ```
    /// assert([3, 1, 1].argmin() == 1);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn argmin(this: &mut Array) -> Fallible<INT> {
        Ok(best(this, "argmin", Ordering::Less)?.0 as INT)
    }

    /// The index of the largest number; of equal ones the first.
    ///
    /// ```
    /// assert([3, 7, 2].argmax() == 1);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn argmax(this: &mut Array) -> Fallible<INT> {
        Ok(best(this, "argmax", Ordering::Greater)?.0 as INT)
    }

    /// A sorted copy: numbers by size, strings by letters; `sort` would change the variable.
    ///
    /// ```
    /// assert([3, 1, 2.5].sorted() == [1, 2.5, 3]);
    /// ```
    #[rhai_fn(pure)]
    pub fn sorted(this: &mut Array) -> Array {
        let mut copy = this.clone();
        copy.sort_by(order);
        copy
    }
}
