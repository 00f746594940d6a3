//! Weights in fewer bits than they are computed with. They are read, not learnt: gradients pass
//! through them to what they are multiplied with.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use crate::cpu::packed::Stored;
use crate::cpu::packing;
use crate::cpu::turn::turned;

/// Bytes that stay where they are: a file in memory, or what was made from one.
pub type Bytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// How the numbers of a weight are stored, row after row, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// The upper half of an f32: eight significant bits.
    Bf16,
    /// Half precision: eleven significant bits.
    F16,
    /// Blocks of 32 numbers, ggml's Q8_0: a scale in half precision, then 8 bits each.
    Q8,
    /// Blocks of 32 numbers, ggml's Q4_0: a scale in half precision, then 4 bits each; number `i`
    /// shares a byte with number `i + 16`.
    Q4,
}

impl Storage {
    /// Numbers of a block and the bytes it takes.
    pub fn block(self) -> [usize; 2] {
        match self {
            Self::Bf16 | Self::F16 => [1, 2],
            Self::Q8 => [32, 34],
            Self::Q4 => [32, 18],
        }
    }

    /// Bits of a number.
    pub(crate) fn bits(self) -> usize {
        match self {
            Self::Bf16 | Self::F16 => 16,
            Self::Q8 => 8,
            Self::Q4 => 4,
        }
    }

    /// Bytes of a row of `width` numbers; none where it is no whole number of blocks.
    fn row(self, width: usize) -> Option<usize> {
        let [numbers, bytes] = self.block();
        width.is_multiple_of(numbers).then(|| width / numbers * bytes)
    }
}

/// A weight `[out, in]` as it is stored. Cloning it copies no numbers.
#[derive(Clone)]
pub struct Packed {
    bytes: Bytes,
    range: Range<usize>,
    dims: [usize; 2],
    storage: Storage,
    /// Whether its columns lie one after the other, not its rows.
    turned: bool,
}

impl Packed {
    /// The weight `dims` `[out, in]` in a range of `bytes`, as files have it; none where a row is no
    /// whole number of blocks, and where the range has another length. Blocks are put in the order in
    /// which they are multiplied; numbers that stand alone stay where they are.
    pub fn new(
        bytes: Bytes,
        range: Range<usize>,
        dims: [usize; 2],
        storage: Storage,
    ) -> Option<Self> {
        let wanted = storage.row(dims[1])?.checked_mul(dims[0])?;
        let found = (*bytes).as_ref().get(range.clone())?;
        (found.len() == wanted).then_some(())?;
        if storage.bits() == 16 {
            return Some(Self { bytes, range, dims, storage, turned: false });
        }
        Some(Self::made(packing::pack_ggml(found, dims, storage), dims, storage))
    }

    /// The weight `dims` `[out, in]` whose bytes lie in a range in the order of [`Packed::bytes`], and
    /// stay there; none where there are more or fewer than it has.
    pub fn laid(
        bytes: Bytes,
        range: Range<usize>,
        dims: [usize; 2],
        storage: Storage,
    ) -> Option<Self> {
        storage.row(dims[1])?;
        let found = (*bytes).as_ref().get(range.clone())?.len();
        let fits = Stored::of(&[], dims, storage).size() == Some(found);
        fits.then_some(Self { bytes, range, dims, storage, turned: false })
    }

    /// Its bytes in the order in which they are multiplied: numbers of 16 bits row after row (column
    /// after column where it is [`Packed::for_zeros`]), blocks in panels of 16 rows.
    pub fn bytes(&self) -> &[u8] {
        &(*self.bytes).as_ref()[self.range.clone()]
    }

    /// The weight `dims` `[out, in]` of these numbers, rounded to what `storage` can tell; none
    /// where a row is no whole number of blocks.
    pub fn of(values: &[f32], dims: [usize; 2], storage: Storage) -> Option<Self> {
        storage.row(dims[1])?;
        assert_eq!(values.len(), dims[0] * dims[1], "a weight has all of its numbers");
        Some(Self::made(packing::pack(values, dims, storage), dims, storage))
    }

    fn made(bytes: Vec<u8>, dims: [usize; 2], storage: Storage) -> Self {
        Self { range: 0..bytes.len(), bytes: Arc::new(bytes), dims, storage, turned: false }
    }

    /// The same weight for inputs of which many are zero: its columns lie one after the other, and
    /// products with few rows read only those that count. None where it stays as it is: blocks are
    /// shared by many columns.
    pub fn for_zeros(&self) -> Option<Self> {
        (self.storage.bits() == 16 && !self.turned).then_some(())?;
        let bytes = turned(self.bytes(), self.dims[1], 0..self.dims[1]);
        Some(Self { turned: true, ..Self::made(bytes, self.dims, self.storage) })
    }

    /// Rows and columns: `[out, in]`.
    pub fn dims(&self) -> [usize; 2] {
        self.dims
    }

    /// How its numbers are stored.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    pub(crate) fn stored(&self) -> Stored<'_> {
        let stored = Stored::of(self.bytes(), self.dims, self.storage);
        if self.turned { stored.turned() } else { stored }
    }

    /// Whether all its numbers are finite.
    pub fn is_finite(&self) -> bool {
        self.stored().is_finite()
    }

    /// Its numbers, row after row.
    pub fn values(&self) -> Vec<f32> {
        self.stored().values()
    }

    /// Its numbers `[out, in]` as a tensor that can be learnt.
    pub fn tensor(&self, device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(self.values(), self.dims), device)
    }

    /// The numbers of one of its rows.
    ///
    /// # Panics
    /// For a row that is not there.
    pub fn row(&self, row: usize) -> Vec<f32> {
        self.stored().rows(&[row])
    }

    /// Some of its rows, `[rows, in]`: how embeddings are looked up.
    ///
    /// # Panics
    /// For a row that is not there.
    pub fn rows(&self, rows: &[usize], device: &Device) -> Tensor<2> {
        let values = self.stored().rows(rows);
        Tensor::from_data(TensorData::new(values, [rows.len(), self.dims[1]]), device)
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [out, width] = self.dims;
        write!(f, "Packed [{out}, {width}] {:?}", self.storage)
    }
}

/// A weight of a projection, `[out, in]`.
#[derive(Clone, Debug)]
pub enum Weight {
    /// As a tensor, which can be learnt.
    Plain(Tensor<2>),
    /// As it is stored.
    Packed(Packed),
}

impl Weight {
    /// Rows and columns: `[out, in]`.
    pub fn dims(&self) -> [usize; 2] {
        match self {
            Self::Plain(weight) => weight.dims(),
            Self::Packed(weight) => weight.dims(),
        }
    }

    /// As a tensor.
    pub fn plain(self, device: &Device) -> Tensor<2> {
        match self {
            Self::Plain(weight) => weight,
            Self::Packed(weight) => weight.tensor(device),
        }
    }
}

impl From<Tensor<2>> for Weight {
    fn from(weight: Tensor<2>) -> Self {
        Self::Plain(weight)
    }
}

impl From<Packed> for Weight {
    fn from(weight: Packed) -> Self {
        Self::Packed(weight)
    }
}

#[cfg(test)]
mod tests;
