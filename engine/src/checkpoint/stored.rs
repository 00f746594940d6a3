//! One tensor as it lies in a file, or in several.

use super::Dtype;
use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use rwkv_kernels::{Packed, Storage};
use std::ops::Range;
use std::sync::Arc;

/// More axes than any model has; bounds what a hostile shape costs.
pub(super) const MAX_RANK: usize = 8;
/// Numbers that one thread converts at a time.
const BLOCK: usize = 1 << 16;
/// Numbers after which the pages of the file that held them are given back.
const STRETCH: usize = 64 * BLOCK;

/// Where the numbers of a tensor are; checked on construction, so that reading cannot fail.
///
/// A view: it can be cut, turned and joined without looking at a number, which is how the names and
/// orientations of other programs become those of this one.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    shape: Vec<usize>,
    /// What lies one after the other along `axis`; one part where nothing is joined.
    parts: Vec<Strided>,
    axis: usize,
    change: Change,
}

/// What is done to every number when it is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Nothing,
    Times(f32),
    /// Undoes what another program did before it wrote the number.
    Each(fn(f32) -> f32),
}

/// Numbers of one range of one file, in steps.
#[derive(Clone, Debug)]
struct Strided {
    dtype: Dtype,
    shape: Vec<usize>,
    /// Numbers to skip per step along each axis.
    strides: Vec<usize>,
    /// Numbers before the first one.
    offset: usize,
    /// Which of the checkpoint's files, and the bytes of the storage in it.
    file: usize,
    bytes: Range<usize>,
}

impl Stored {
    /// A tensor whose numbers lie row after row from the start of `bytes`, a range of the file.
    pub(super) fn contiguous(
        dtype: Dtype,
        shape: Vec<usize>,
        bytes: Range<usize>,
        file_bytes: usize,
    ) -> Result<Self> {
        ensure!(shape.len() <= MAX_RANK, "it has {} axes", shape.len());
        ensure!(
            bytes.start <= bytes.end && bytes.end <= file_bytes,
            "it lies beyond the end of the file"
        );
        Self::strided(dtype, &shape, &row_major(&shape)?, 0, bytes)
    }

    /// A tensor that steps through the numbers of `storage`, a range of the file, from `offset` on.
    pub(super) fn strided(
        dtype: Dtype,
        shape: &[usize],
        strides: &[usize],
        offset: usize,
        storage: Range<usize>,
    ) -> Result<Self> {
        ensure!(shape.len() == strides.len(), "its shape and strides differ in length");
        let elements = product(shape)?;
        if elements > 0 {
            let beyond = "its shape and strides lead beyond its storage";
            let end = end(shape, strides, offset).context(beyond)?;
            ensure!(end <= dtype.numbers_in(storage.len()), beyond);
        }
        let (shape, strides) = (shape.to_vec(), strides.to_vec());
        let part =
            Strided { dtype, shape: shape.clone(), strides, offset, file: 0, bytes: storage };
        Ok(Self { shape, parts: vec![part], axis: 0, change: Change::Nothing })
    }

    /// Several tensors as one, one after the other along `axis`; their other sizes must agree.
    pub(super) fn joined(parts: Vec<Self>, axis: usize) -> Result<Self> {
        let first = parts.first().context("it is joined from nothing")?;
        let mut shape = first.shape.clone();
        let change = first.change;
        ensure!(axis < shape.len(), "it is joined along an axis that it does not have");
        shape[axis] = 0;
        for part in &parts {
            let others = |s: &[usize]| [&s[..axis], &s[axis + 1..]].concat();
            let fits = part.shape.len() == shape.len() && others(&part.shape) == others(&shape);
            ensure!(fits && part.parts.len() == 1, "its pieces do not fit together");
            shape[axis] += part.shape[axis];
        }
        let parts = parts.into_iter().flat_map(|part| part.parts).collect();
        Ok(Self { shape, parts, axis, change })
    }

    /// The same tensor in another file of the checkpoint.
    pub(super) fn in_file(mut self, file: usize) -> Self {
        self.parts.iter_mut().for_each(|part| part.file = file);
        self
    }

    /// Axis `i` of the result is axis `order[i]`.
    pub(super) fn permuted(mut self, order: &[usize]) -> Result<Self> {
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        let rank = self.shape.len();
        ensure!(sorted.into_iter().eq(0..rank), "its {rank} axes cannot be ordered as {order:?}");
        let turn = |sizes: &[usize]| order.iter().map(|&axis| sizes[axis]).collect::<Vec<_>>();
        self.axis = order.iter().position(|&axis| axis == self.axis).unwrap_or(0);
        self.shape = turn(&self.shape);
        for part in &mut self.parts {
            (part.shape, part.strides) = (turn(&part.shape), turn(&part.strides));
        }
        Ok(self)
    }

    /// The last two axes exchanged.
    pub(super) fn transposed(self) -> Result<Self> {
        let rank = self.shape.len();
        ensure!(rank >= 2, "it has no two axes to exchange");
        let mut order: Vec<_> = (0..rank).collect();
        order.swap(rank - 2, rank - 1);
        self.permuted(&order)
    }

    /// `size` steps of `axis` from `start` on.
    pub(super) fn narrowed(mut self, axis: usize, start: usize, size: usize) -> Result<Self> {
        let whole = self.shape.get(axis).copied().unwrap_or(0);
        let inside = start.checked_add(size).is_some_and(|end| end <= whole);
        ensure!(
            inside && self.parts.len() == 1,
            "it cannot be cut at {start} to {size} of {whole}"
        );
        let part = &mut self.parts[0];
        part.offset += if size == 0 { 0 } else { start * part.strides[axis] };
        part.shape[axis] = size;
        self.shape[axis] = size;
        Ok(self)
    }

    /// The same numbers row after row under another shape; not for a turned or joined tensor, except
    /// that axes of size one may always come and go.
    pub(super) fn reshaped(mut self, shape: &[usize]) -> Result<Self> {
        let strides = row_major(shape)?;
        let fits = product(shape)? == self.elements() && shape.len() <= MAX_RANK;
        ensure!(fits, "its shape {:?} cannot be seen as {shape:?}", self.shape);
        let [part] = &mut self.parts[..] else { anyhow::bail!("it cannot be seen as {shape:?}") };
        // Rows tell where numbers lie in panels.
        ensure!(
            part.dtype.laid().is_none() || shape == part.shape,
            "its panels cannot be seen as {shape:?}"
        );
        let bare = |shape: &[usize]| shape.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
        if is_row_major(&part.shape, &part.strides) {
            part.strides = strides;
        } else {
            ensure!(bare(shape) == bare(&part.shape), "it cannot be seen as {shape:?}");
            let steps = part.shape.iter().zip(&part.strides).filter(|(size, _)| **size != 1);
            let mut steps = steps.map(|(_, stride)| *stride).collect::<Vec<_>>().into_iter();
            let step = |size: &usize| if *size == 1 { 1 } else { steps.next().unwrap_or(1) };
            part.strides = shape.iter().map(step).collect();
        }
        part.shape = shape.to_vec();
        self.shape = shape.to_vec();
        Ok(self)
    }

    /// The same tensor with every number changed when it is read.
    pub(super) fn changed(mut self, change: Change) -> Self {
        self.change = change;
        self
    }

    pub(super) fn dtype(&self) -> Dtype {
        self.parts[0].dtype
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(super) fn elements(&self) -> usize {
        self.shape.iter().product() // was checked not to overflow
    }

    /// Where the numbers of a matrix are if they lie row after row in one piece: its sizes, their type,
    /// the file and the bytes in it.
    pub(super) fn matrix(&self) -> Option<([usize; 2], Dtype, usize, Range<usize>)> {
        let ([part], Change::Nothing) = (&self.parts[..], self.change) else { return None };
        let dims = *self.shape.as_array()?;
        let skipped = match part.dtype.is_packed() {
            true => (part.offset == 0).then_some(0)?,
            false => part.offset * part.dtype.size(),
        };
        is_row_major(&part.shape, &part.strides).then_some(())?;
        let start = part.bytes.start + skipped;
        let size = self.elements() / part.dtype.numbers() * part.dtype.size();
        Some((dims, part.dtype, part.file, start..start + size))
    }

    /// All numbers, row after row; `files` gives those this was made for. `done` is told of long
    /// ranges of a file as soon as they have been read.
    pub(super) fn values<'a>(
        &self,
        files: impl Fn(usize) -> &'a [u8],
        done: impl Fn(usize, Range<usize>),
    ) -> Vec<f32> {
        let read = |part: &Strided| part.values(files(part.file), |range| done(part.file, range));
        let mut values = match &self.parts[..] {
            [part] => read(part),
            parts => self.join(parts.iter().map(read).collect()),
        };
        match self.change {
            Change::Nothing => {}
            Change::Times(factor) => values.par_iter_mut().for_each(|x| *x *= factor),
            Change::Each(f) => values.par_iter_mut().for_each(|x| *x = f(*x)),
        }
        values
    }

    fn join(&self, parts: Vec<Vec<f32>>) -> Vec<f32> {
        let rows: usize = self.shape[..self.axis].iter().product();
        let mut joined = Vec::with_capacity(self.elements());
        for row in 0..rows {
            for part in &parts {
                let width = part.len() / rows;
                joined.extend_from_slice(&part[row * width..(row + 1) * width]);
            }
        }
        joined
    }
}

impl Strided {
    fn values(&self, file: &[u8], done: impl Fn(Range<usize>)) -> Vec<f32> {
        let elements = self.shape.iter().product();
        if elements == 0 {
            return Vec::new();
        }
        let bytes = &file[self.bytes.clone()];
        let size = self.dtype.size();
        let in_rows = is_row_major(&self.shape, &self.strides);
        let read = |start: usize, elements| {
            let done = |part: Range<usize>| {
                let start = self.bytes.start + start;
                done(start + part.start..start + part.end);
            };
            decode(self.dtype, &bytes[start..], elements, done)
        };
        if self.dtype.is_packed() {
            let count = self.dtype.numbers_in(bytes.len());
            let all = match self.dtype.laid() {
                Some(storage) => self.panels(bytes, count, storage),
                None => read(0, count),
            };
            return match in_rows && self.offset == 0 && all.len() == elements {
                true => all,
                false => self.places(elements).map(|at| all[at]).collect(),
            };
        }
        if in_rows {
            return read(self.offset * size, elements);
        }
        let mut gathered = Vec::with_capacity(elements * size);
        let places = self.places(elements);
        places.for_each(|at| gathered.extend_from_slice(&bytes[at * size..][..size]));
        decode(self.dtype, &gathered, elements, |_| {})
    }

    /// All numbers of a matrix in panels, row after row.
    fn panels(&self, bytes: &[u8], count: usize, storage: Storage) -> Vec<f32> {
        // However it is turned or cut, one axis steps from row to row.
        let width = self.strides.iter().copied().max().unwrap_or(1).max(1);
        let all =
            Packed::laid(Arc::new(bytes.to_vec()), 0..bytes.len(), [count / width, width], storage);
        all.expect("a matrix in panels is whole, and never seen as another").values()
    }

    /// Where each number is, row after row, in numbers from the start of the storage.
    fn places(&self, elements: usize) -> impl Iterator<Item = usize> {
        let mut index = vec![0; self.shape.len()];
        (0..elements).map(move |_| {
            let skipped: usize = index.iter().zip(&self.strides).map(|(i, step)| i * step).sum();
            self.advance(&mut index);
            self.offset + skipped
        })
    }

    /// Moves on to the next number of the row, or to the next row, as an odometer does.
    fn advance(&self, index: &mut [usize]) {
        for (i, size) in index.iter_mut().zip(&self.shape).rev() {
            *i += 1;
            if *i < *size {
                return;
            }
            *i = 0;
        }
    }
}

/// So many numbers from the start of `bytes`, on several threads where that pays; `done` is told
/// of every long stretch that has been read.
fn decode(dtype: Dtype, bytes: &[u8], elements: usize, done: impl Fn(Range<usize>)) -> Vec<f32> {
    let mut values = vec![0.0; elements];
    if elements <= BLOCK {
        dtype.decode(bytes, &mut values);
        return values;
    }
    let bytes_of = |numbers: usize| numbers / dtype.numbers() * dtype.size();
    for (i, values) in values.chunks_mut(STRETCH).enumerate() {
        let start = bytes_of(i * STRETCH);
        let range = start..start + bytes_of(values.len());
        let blocks = bytes[range.clone()].par_chunks(bytes_of(BLOCK));
        let values = values.par_chunks_mut(BLOCK).zip(blocks);
        values.for_each(|(values, bytes)| dtype.decode(bytes, values));
        done(range);
    }
    values
}

fn product(shape: &[usize]) -> Result<usize> {
    let product = shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
    product.with_context(|| format!("its shape {shape:?} is too large"))
}

fn row_major(shape: &[usize]) -> Result<Vec<usize>> {
    (1..=shape.len()).map(|axis| product(&shape[axis..])).collect()
}

/// Whether the numbers lie row after row; the stride of an axis of size one does not matter.
fn is_row_major(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(size, stride)| {
        let fits = *size == 1 || *stride == expected;
        expected *= size; // cannot overflow: the product of all sizes was checked
        fits
    })
}

/// One past the number furthest from the start of the storage; `None` on overflow.
fn end(shape: &[usize], strides: &[usize], offset: usize) -> Option<usize> {
    let last = shape.iter().zip(strides).try_fold(offset, |last, (size, stride)| {
        last.checked_add(size.checked_sub(1)?.checked_mul(*stride)?)
    });
    last?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 … 5 as `[2, 3]`, in a file that starts with one strange byte.
    fn numbers() -> (Vec<u8>, Stored) {
        let file: Vec<u8> = [9, 0, 1, 2, 3, 4, 5].into();
        let stored = Stored::contiguous(Dtype::U8, vec![2, 3], 1..7, 7).unwrap();
        (file, stored)
    }

    #[test]
    fn views_cut_turn_join_and_change() {
        let (file, all) = numbers();
        let read =
            |stored: &Stored| (stored.shape().to_vec(), stored.values(|_| &file[..], |_, _| {}));
        let turned = all.clone().transposed().unwrap();
        assert_eq!(read(&turned), (vec![3, 2], vec![0., 3., 1., 4., 2., 5.]));
        let column = turned.clone().narrowed(0, 1, 1).unwrap();
        assert_eq!(read(&column), (vec![1, 2], vec![1., 4.]));
        let bare = column.clone().reshaped(&[2]).unwrap();
        assert_eq!(read(&bare), (vec![2], vec![1., 4.]));
        let last = turned.clone().narrowed(0, 2, 1).unwrap();
        let joined = Stored::joined(vec![last, column], 0).unwrap();
        assert_eq!(read(&joined), (vec![2, 2], vec![2., 5., 1., 4.]));
        let back = joined.transposed().unwrap().changed(Change::Times(2.0));
        assert_eq!(read(&back), (vec![2, 2], vec![4., 2., 10., 8.]));
        assert_eq!(read(&all.reshaped(&[3, 1, 2]).unwrap()).0, [3, 1, 2]);
        assert!(turned.reshaped(&[6]).is_err(), "turned numbers do not lie in rows");
    }

    #[test]
    fn a_view_beyond_the_tensor_is_refused() {
        let (_, all) = numbers();
        assert!(all.clone().narrowed(0, 1, 2).is_err());
        assert!(all.clone().narrowed(2, 0, 1).is_err());
        assert!(all.clone().permuted(&[0, 0]).is_err());
        assert!(all.clone().reshaped(&[7]).is_err());
        assert!(Stored::joined(vec![all.clone(), all.reshaped(&[6]).unwrap()], 0).is_err());
    }
}
