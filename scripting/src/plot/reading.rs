//! From values of a script to numbers that can be drawn.

use crate::Curve;
use crate::charts::colour::Rgb;
use crate::host::{Fallible, fail, words};
use crate::lists::floats;
use crate::tensor::{Tensor, tensor_of};
use crate::tokens::Tokens;
use rhai::{Array, Dynamic, Map};

/// Pixels that can be drawn at most.
const PIXELS: usize = 1 << 24;

/// Numbers from an array or a tensor.
pub fn numbers(value: &Dynamic, what: &str) -> Fallible<Vec<f64>> {
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
pub fn matrix(value: &Dynamic, what: &str) -> Fallible<Vec<Vec<f64>>> {
    if let Some(tensor) = value.read_lock::<Tensor>() {
        return Ok(tensor.rows());
    }
    let rows = match nested(value) {
        Some(rows) => rows.iter().map(|row| numbers(row, what)).collect::<Fallible<Vec<_>>>()?,
        None => vec![numbers(value, what)?],
    };
    if rows.iter().any(|row| row.len() != rows[0].len()) {
        return Err(fail(format!("{what}: the rows differ in length")));
    }
    Ok(rows)
}

/// The items of an array of arrays or of tensors.
fn nested(value: &Dynamic) -> Option<Array> {
    let items = value.read_lock::<Array>()?;
    items.iter().any(|row| row.is_array() || row.is::<Tensor>()).then(|| items.clone())
}

/// Curves from numbers, rows of numbers or a map of named ones; over `xs` or over 0, 1, 2 …
pub fn curves(xs: Option<&Dynamic>, ys: &Dynamic, what: &str) -> Fallible<Vec<Curve>> {
    let named: Vec<(String, Vec<f64>)> = if let Some(map) = ys.read_lock::<Map>() {
        let curve =
            |(name, ys): (&rhai::Identifier, &Dynamic)| Ok((name.to_string(), numbers(ys, what)?));
        map.iter().map(curve).collect::<Fallible<_>>()?
    } else {
        let several = ys.read_lock::<Tensor>().is_some_and(|t| t.array.shape().len() > 1);
        let rows = match nested(ys) {
            Some(rows) => rows.iter().map(|row| numbers(row, what)).collect::<Fallible<_>>()?,
            None if several => matrix(ys, what)?,
            None => vec![numbers(ys, what)?],
        };
        let alone = rows.len() == 1;
        let name = |at: usize| if alone { String::new() } else { at.to_string() };
        rows.into_iter().enumerate().map(|(at, row)| (name(at), row)).collect()
    };
    let xs = xs.map(|xs| numbers(xs, what)).transpose()?;
    let curve = |(name, ys): (String, Vec<f64>)| {
        let xs = xs.clone().unwrap_or_else(|| (0..ys.len()).map(|at| at as f64).collect());
        if xs.len() != ys.len() {
            return Err(fail(format!("{what} has {} xs but {} ys", xs.len(), ys.len())));
        }
        Ok(Curve { name, xs, ys })
    };
    named.into_iter().map(curve).collect()
}

/// Names from an array of anything, or the pieces of Tokens.
pub fn labels(value: &Dynamic, what: &str) -> Fallible<Vec<String>> {
    if let Some(tokens) = value.read_lock::<Tokens>() {
        return Ok(tokens.pieces());
    }
    match value.read_lock::<Array>() {
        Some(items) => Ok(items.iter().map(ToString::to_string).collect()),
        None => {
            Err(fail(format!("{what}: names must be an array or Tokens, not {}", words(value))))
        }
    }
}

/// Width and colours of an image.
pub fn pixels(value: &Dynamic) -> Fallible<(usize, Vec<Rgb>)> {
    let array = tensor_of(value)?.array;
    let shape = array.shape().to_vec();
    let wrong = || {
        let shapes = "[height, width], [height, width, 3] or [3, height, width]";
        fail(format!("plot::image needs a tensor {shapes}, not {shape:?}"))
    };
    // How far the three colours of a pixel, and two pixels, are from each other.
    let (height, width, part, step) = match shape[..] {
        [height, width, 3] => (height, width, 1, 3),
        [3, height, width] => (height, width, height * width, 1),
        [height, width] | [height, width, 1] | [1, height, width] => (height, width, 0, 1),
        _ => return Err(wrong()),
    };
    if !(1..=PIXELS).contains(&(height * width)) {
        return Err(wrong());
    }
    let values: Vec<f64> = array.values().into_iter().map(f64::from).collect();
    let (low, high) = crate::charts::extent(values.iter()).unwrap_or((0.0, 1.0));
    let (low, high) = if low >= 0.0 && high <= 1.0 { (0.0, 1.0) } else { (low, high) };
    let byte = |value: f64| {
        let share = if high > low { (value - low) / (high - low) } else { 0.0 };
        (share.clamp(0.0, 1.0) * 255.0).round() as u8
    };
    let pixel = |at: usize| std::array::from_fn(|i| byte(values[at * step + i * part]));
    Ok((width, (0..height * width).map(pixel).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rwkv_engine::tensor::Array as Numbers;

    fn tensor(shape: &[usize], values: &[f32]) -> Dynamic {
        Dynamic::from(Tensor::from(Numbers::new(shape, values.to_vec()).unwrap()))
    }

    #[test]
    fn colours_may_come_last_or_first() {
        let last = pixels(&tensor(&[1, 2, 3], &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0])).unwrap();
        let first = pixels(&tensor(&[3, 1, 2], &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0])).unwrap();
        assert_eq!(last, (2, vec![[255, 0, 0], [0, 0, 255]]));
        assert_eq!(first, last);
        let grey = pixels(&tensor(&[1, 2], &[-3.0, 5.0])).unwrap();
        assert_eq!(grey, (2, vec![[0; 3], [255; 3]]));
        assert!(pixels(&tensor(&[2, 2, 2], &[0.0; 8])).is_err());
    }

    #[test]
    fn rows_of_a_tensor_are_curves_and_must_have_as_many_xs() {
        let both = curves(None, &tensor(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), "plot::line").unwrap();
        assert_eq!((both.len(), both[1].name.as_str()), (2, "1"));
        assert_eq!((both[1].xs.clone(), both[1].ys.clone()), (vec![0.0, 1.0], vec![3.0, 4.0]));
        let xs = tensor(&[3], &[0.0; 3]);
        assert!(curves(Some(&xs), &tensor(&[2], &[0.0; 2]), "plot::line").is_err());
    }
}
