//! Tensors: making, indexing, arithmetic, shape.

use crate::host::{Fallible, Number, Value, engine_failure, fail, number, words};
use crate::{Heatmap, View};
use rhai::plugin::*;
use rhai::{Array as List, FLOAT, FuncRegistration, INT, Module};
use rwkv_engine::tensor::Array;
use rwkv_engine::tokenizer::Tokenizer;
use std::ops::{Range, RangeInclusive};

/// Rows and columns of a tensor that is printed number by number; lines of a small picture.
const FEW: usize = 8;
/// Longest vector that is drawn as a strip; of more, a strip shows nothing.
const STRIP: usize = 4096;

/// Numbers with a shape; logits also know the tokenizer that names their last axis.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// The numbers.
    pub array: Array,
    /// What the places of the last axis are called.
    pub pieces: Option<Tokenizer>,
}

impl Tensor {
    /// The same meaning of the last axis, other numbers.
    pub fn with(&self, array: Array) -> Self {
        Self { array, pieces: self.pieces.clone() }
    }

    /// Shape, type and statistics in one line; all numbers if there are few.
    pub fn describe(&self) -> String {
        let array = &self.array;
        let shape = array.shape();
        if array.len() <= 8 && shape.len() <= 1 {
            let values: Vec<String> = array.values().iter().map(|x| short(*x)).collect();
            return format!("Tensor {shape:?} f32  [{}]", values.join(", "));
        }
        let [mean, std] = [array.mean(), array.variance().sqrt()].map(|x| short(x as f32));
        let [low, high] = [array.min(), array.max()].map(short);
        format!("Tensor {shape:?} f32  mean {mean}  std {std}  min {low}  max {high}")
    }

    /// What it is, and the numbers where they are few, else a small picture of them.
    pub fn view(&self) -> View {
        let words = View::Words(self.describe());
        let (axes, rows) = (self.array.shape().len(), self.rows());
        let columns = rows.first().map_or(0, Vec::len);
        let few = rows.len() <= FEW && columns <= FEW;
        if axes == 0 || columns == 0 || axes == 1 && (few || columns > STRIP) {
            return words;
        }
        let height = if axes == 1 { 1 } else { FEW };
        let map = Heatmap { rows, height, numbers: few, bare: true, ..Heatmap::default() };
        View::Group(vec![words, View::Heatmap(map)])
    }

    /// Its rows, for plots; a vector is one row, more axes than two are laid out below each other.
    pub fn rows(&self) -> Vec<Vec<f64>> {
        let columns = self.array.shape().last().copied().unwrap_or(1).max(1);
        let values: Vec<f64> = self.array.values().into_iter().map(f64::from).collect();
        values.chunks(columns).map(<[f64]>::to_vec).collect()
    }
}

impl From<Array> for Tensor {
    fn from(array: Array) -> Self {
        Self { array, pieces: None }
    }
}

fn short(x: f32) -> String {
    crate::charts::short(f64::from(x))
}

/// Name of an operator, and what it does.
type Operator = (&'static str, fn(f32, f32) -> f32);

/// The module of this file.
pub fn module() -> Module {
    let mut module = exported_module!(functions);
    let operators: [Operator; 4] =
        [("+", |a, b| a + b), ("-", |a, b| a - b), ("*", |a, b| a * b), ("/", |a, b| a / b)];
    for (name, f) in operators {
        let operator = || FuncRegistration::new(name).in_global_namespace();
        operator().set_into_module(&mut module, move |a: Tensor, b: Tensor| {
            a.array.zip(&b.array, f).map(|array| a.with(array)).map_err(engine_failure)
        });
        operator().set_into_module(&mut module, move |a: Tensor, b: FLOAT| scalar(&a, b, f));
        operator().set_into_module(&mut module, move |a: Tensor, b: INT| scalar(&a, b as f64, f));
        let swapped = move |a: FLOAT, b: &Tensor| b.with(b.array.map(|x| f(a as f32, x)));
        operator().set_into_module(&mut module, move |a: FLOAT, b: Tensor| swapped(a, &b));
        operator().set_into_module(&mut module, move |a: INT, b: Tensor| swapped(a as f64, &b));
    }
    module
}

fn scalar(a: &Tensor, b: FLOAT, f: fn(f32, f32) -> f32) -> Tensor {
    a.with(a.array.map(|x| f(x, b as f32)))
}

/// A shape from an array of sizes or a single size.
pub fn shape_of(value: &Dynamic) -> Fallible<Vec<usize>> {
    let sizes = match value.read_lock::<List>() {
        Some(sizes) => sizes.clone(),
        None => vec![value.clone()],
    };
    let size = |size: &Dynamic| {
        let whole = size.as_int().ok().and_then(|size| usize::try_from(size).ok());
        whole.ok_or_else(|| fail(format!("a shape is made of whole numbers, not {}", words(size))))
    };
    let shape: Vec<usize> = sizes.iter().map(size).collect::<Fallible<_>>()?;
    match shape.iter().try_fold(1usize, |all, size| all.checked_mul(*size)) {
        Some(places) if places <= 1 << 30 => Ok(shape),
        _ => Err(fail(format!("a tensor of shape {shape:?} is too large"))),
    }
}

/// A tensor from a number, an array of numbers, or arrays of arrays of equal shape.
pub fn tensor_of(value: &Dynamic) -> Fallible<Tensor> {
    if let Some(tensor) = value.read_lock::<Tensor>() {
        return Ok(tensor.clone());
    }
    let Some(items) = value.read_lock::<List>() else {
        return Ok(Array::full(&[], number(value, "an item of a tensor")? as f32).into());
    };
    if items.iter().any(|item| item.is_array() || item.is::<Tensor>()) {
        let parts = items.iter().map(|item| Ok(tensor_of(item)?.array));
        let parts = parts.collect::<Fallible<Vec<_>>>()?;
        return Ok(Array::stack(&parts).map_err(engine_failure)?.into());
    }
    let values = crate::lists::floats(&items, "a tensor")?;
    Ok(Array::vector(values.into_iter().map(|x| x as f32).collect()).into())
}

/// A float where there is one number, a tensor where there are axes.
fn unwrapped(part: Tensor) -> Dynamic {
    match part.array.item() {
        Some(x) => f64::from(x).into(),
        None => Dynamic::from(part),
    }
}

/// Nested arrays of floats.
fn nested(array: &Array) -> Fallible<Dynamic> {
    if let Some(x) = array.item() {
        return Ok(f64::from(x).into());
    }
    let parts = (0..array.shape()[0] as i64).map(|i| nested(&array.at(i).map_err(engine_failure)?));
    parts.collect::<Fallible<List>>().map(Dynamic::from)
}

/// A range with both ends within the first axis; negative ends count from the end.
pub fn bounds(range: Range<INT>, size: usize) -> Fallible<Range<usize>> {
    let end = |at: INT| usize::try_from(if at < 0 { at + size as INT } else { at }).ok();
    match (end(range.start), end(range.end)) {
        (Some(start), Some(end)) if start <= end && end <= size => Ok(start..end),
        _ => Err(fail(format!("{}..{} reaches beyond {size} items", range.start, range.end))),
    }
}

#[export_module]
mod functions {
    /// Numbers with a shape.
    pub type Tensor = super::Tensor;

    /// A tensor of zeros; the shape is an array of sizes.
    ///
    /// ```
    /// assert(zeros([2, 3]).sum() == 0);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn zeros(shape: Value) -> Fallible<Tensor> {
        Ok(Array::full(&shape_of(&shape)?, 0.0).into())
    }

    /// A tensor of ones; the shape is an array of sizes.
    ///
    /// ```
    /// assert(ones([2, 3]).sum() == 6);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn ones(shape: Value) -> Fallible<Tensor> {
        Ok(Array::full(&shape_of(&shape)?, 1.0).into())
    }

    /// A tensor from an array of numbers, or from arrays of arrays.
    ///
    /// ```
    /// assert(tensor([[1, 2], [3, 4]]).shape == [2, 2]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn tensor(values: Value) -> Fallible<Tensor> {
        tensor_of(&values)
    }

    /// The sizes of the axes, outermost first.
    ///
    /// ```
    /// assert(zeros([2, 3]).shape == [2, 3]);
    /// ```
    #[rhai_fn(get = "shape", pure)]
    pub fn shape(this: &mut Tensor) -> List {
        this.array.shape().iter().map(|size| (*size as INT).into()).collect()
    }

    /// The type of the numbers, always `f32`.
    ///
    /// ```
    /// assert(zeros([1]).dtype == "f32");
    /// ```
    #[rhai_fn(get = "dtype", pure)]
    pub fn dtype(_this: &mut Tensor) -> String {
        "f32".into()
    }

    /// How many numbers there are.
    ///
    /// ```
    /// assert(zeros([2, 3]).len == 6);
    /// ```
    #[rhai_fn(get = "len", pure)]
    pub fn len(this: &mut Tensor) -> INT {
        this.array.len() as INT
    }

    #[rhai_fn(index_get, return_raw, pure)]
    pub fn at(this: &mut Tensor, index: INT) -> Fallible<Dynamic> {
        let part = this.array.at(index).map_err(engine_failure)?;
        // The rows of a vector have no pieces left to name.
        let pieces = this.pieces.clone().filter(|_| !part.shape().is_empty());
        Ok(unwrapped(Tensor { array: part, pieces }))
    }

    #[rhai_fn(index_get, return_raw, pure)]
    pub fn slice(this: &mut Tensor, range: Range<INT>) -> Fallible<Tensor> {
        let range = bounds(range, this.array.shape().first().copied().unwrap_or(0))?;
        let part = this.array.slice(range).map_err(engine_failure)?;
        let pieces = this.pieces.clone().filter(|_| part.shape().len() > 1);
        Ok(Tensor { array: part, pieces })
    }

    #[rhai_fn(index_get, return_raw, pure)]
    pub fn slice_inclusive(this: &mut Tensor, range: RangeInclusive<INT>) -> Fallible<Tensor> {
        slice(this, *range.start()..*range.end() + 1)
    }

    #[rhai_fn(index_set, return_raw)]
    pub fn set(this: &mut Tensor, index: INT, value: Value) -> Fallible<()> {
        let value = tensor_of(&value)?;
        this.array.set(index, &value.array).map_err(engine_failure)
    }

    #[rhai_fn(name = "-")]
    pub fn negative(this: Tensor) -> Tensor {
        this.with(this.array.map(|x| -x))
    }

    #[rhai_fn(name = "==", pure)]
    pub fn same(this: &mut Tensor, other: Tensor) -> bool {
        this.array == other.array
    }

    #[rhai_fn(name = "!=", pure)]
    pub fn different(this: &mut Tensor, other: Tensor) -> bool {
        this.array != other.array
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_text(this: &mut Tensor) -> String {
        this.describe()
    }

    /// The same numbers, row after row, under another shape.
    ///
    /// ```
    /// assert(zeros([2, 3]).reshape([3, 2]).shape == [3, 2]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn reshape(this: &mut Tensor, shape: Value) -> Fallible<Tensor> {
        Ok(this.array.reshape(&shape_of(&shape)?).map_err(engine_failure)?.into())
    }

    /// The last two axes swapped.
    ///
    /// ```
    /// assert(zeros([2, 3]).transpose().shape == [3, 2]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn transpose(this: &mut Tensor) -> Fallible<Tensor> {
        Ok(this.array.transpose().map_err(engine_failure)?.into())
    }

    /// The product of two matrices; a vector counts as one row or one column.
    ///
    /// ```
    /// assert(ones([2, 3]).matmul(ones([3, 4])).shape == [2, 4]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn matmul(this: &mut Tensor, other: Tensor) -> Fallible<Tensor> {
        Ok(this.array.matmul(&other.array).map_err(engine_failure)?.into())
    }

    /// The numbers as an array, or arrays of arrays; slow for many, so keep tensors where you can.
    ///
    /// ```
    /// assert(ones([2]).to_array() == [1, 1]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn to_array(this: &mut Tensor) -> Fallible<Dynamic> {
        nested(&this.array)
    }

    /// The number at a place of a one-axis tensor replaced by itself plus `x`, as a copy; on logits
    /// it makes a token likelier or, below zero, less likely.
    ///
    /// ```
    /// assert(zeros([3]).bias(1, 2.5)[1] == 2.5);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn bias(this: &mut Tensor, index: INT, x: Number) -> Fallible<Tensor> {
        let x = number(&x, "the bias")? as f32;
        let new = this.array.at(index).map_err(engine_failure)?.map(|old| old + x);
        let mut copy = this.clone();
        copy.array.set(index, &new).map_err(engine_failure)?;
        Ok(copy)
    }
}
