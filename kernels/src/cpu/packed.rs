//! Products with weights as they are stored, and their numbers.

use std::ops::Range;

use half::{bf16, f16};
use rayon::prelude::*;

use super::few::{self, Laid, MANY};
use super::lanes::{LANES, Lanes, Unit, Work};
use super::matmul_bf16::by_parts;
use super::matrix::{Matrix, Precision, product as product_of, product_by_strips};
use super::panels::Panels;
use super::streams::{Number, Streams};
use super::turn::turned;
use crate::packed::{Packed, Storage};

/// Rows of a strip: with the widest rows they stay in the second cache.
const STRIP: usize = 128;

/// The bytes of a weight, read as what they are.
pub enum Stored<'a> {
    /// `[out, in]`, row after row.
    Streams(Streams<'a>),
    /// The weight turned, `[in, out]`, row after row.
    Turned(Streams<'a>),
    Panels(Panels<'a>),
}

impl<'a> Stored<'a> {
    pub fn of(bytes: &'a [u8], [out, width]: [usize; 2], storage: Storage) -> Self {
        match storage.bits() {
            16 => {
                let number = if storage == Storage::F16 { Number::F16 } else { Number::Bf16 };
                Self::Streams(Streams { bytes, number, out, width })
            }
            bits => Self::Panels(Panels { bytes, bits, out, width }),
        }
    }

    /// The weight whose bytes lie turned.
    pub fn turned(self) -> Self {
        match self {
            Self::Streams(Streams { bytes, number, out, width }) => {
                Self::Turned(Streams { bytes, number, out: width, width: out })
            }
            other => other,
        }
    }

    /// Rows and columns.
    pub fn dims(&self) -> [usize; 2] {
        match self {
            Self::Streams(weight) => [weight.out, weight.width],
            Self::Turned(matrix) => [matrix.width, matrix.out],
            Self::Panels(weight) => [weight.out, weight.width],
        }
    }

    /// How few rows are multiplied with it, or with what it is when it is turned; none for panels then.
    pub fn laid(self, turned: bool) -> Option<Laid<'a>> {
        match (self, turned) {
            (Self::Streams(weight), false) | (Self::Turned(weight), true) => {
                Some(Laid::Rows(weight))
            }
            (Self::Streams(matrix), true) | (Self::Turned(matrix), false) => {
                Some(Laid::Columns(matrix))
            }
            (Self::Panels(weight), false) => Some(Laid::Panels(weight)),
            (Self::Panels(_), true) => None,
        }
    }

    /// Bytes of a weight of this shape; none where there are too many to count.
    pub fn size(&self) -> Option<usize> {
        match self {
            Self::Streams(weight) | Self::Turned(weight) => {
                weight.out.checked_mul(weight.width)?.checked_mul(2)
            }
            Self::Panels(weight) => weight.size(),
        }
    }

    /// Some of its rows.
    pub fn rows(&self, rows: &[usize]) -> Vec<f32> {
        match self {
            Self::Streams(weight) => {
                let row = |row: &usize| numbers_of(weight, *row, 1);
                rows.iter().flat_map(row).collect()
            }
            Self::Turned(matrix) => {
                let row = |row: &usize| columns_of(matrix, *row..*row + 1);
                rows.iter().flat_map(row).collect()
            }
            Self::Panels(weight) => rows.iter().flat_map(|row| weight.row(*row)).collect(),
        }
    }

    /// All its numbers, row after row.
    pub fn values(&self) -> Vec<f32> {
        match self {
            Self::Streams(weight) => numbers_of(weight, 0, weight.out),
            Self::Turned(matrix) => columns_of(matrix, 0..matrix.width),
            Self::Panels(weight) => {
                let rows = (0..weight.out).into_par_iter();
                rows.flat_map_iter(|row| weight.row(row).collect::<Vec<_>>()).collect()
            }
        }
    }

    /// Whether all its numbers are finite.
    pub fn is_finite(&self) -> bool {
        match self {
            Self::Streams(Streams { bytes, number, .. })
            | Self::Turned(Streams { bytes, number, .. }) => {
                // All bits of the exponent.
                let most = if *number == Number::F16 { 0x7C00 } else { 0x7F80 };
                bytes.as_chunks().0.par_chunks(1 << 16).all(|halves| {
                    let mut finite = true;
                    Unit::best().run(Finite { halves, most, finite: &mut finite });
                    finite
                })
            }
            Self::Panels(weight) => weight.is_finite(),
        }
    }
}

/// `x·Wᵀ`, `[M, out]`, of rows `x` `[M, in]`.
pub fn product(x: &[f32], weight: &Packed) -> Vec<f32> {
    product_by(x, weight, Unit::best())
}

/// [`product`] by what a machine has.
pub fn product_by(x: &[f32], weight: &Packed, unit: Unit) -> Vec<f32> {
    let stored = weight.stored();
    let [out, width] = stored.dims();
    let rows = x.len() / width.max(1);
    if rows >= MANY
        && let Some(found) = by_parts(x, &stored)
    {
        return found;
    }
    match stored {
        Stored::Panels(weight) => few::product(x, Laid::Panels(weight), unit),
        Stored::Streams(weight) if rows < MANY => few::product(x, Laid::Rows(weight), unit),
        Stored::Turned(matrix) if rows < MANY => few::product(x, Laid::Columns(matrix), unit),
        Stored::Streams(weight) => product_by_strips(Matrix::new(x, rows), out, STRIP, |some| {
            numbers_of(&weight, some.start, some.len())
        }),
        Stored::Turned(matrix) => {
            product_by_strips(Matrix::new(x, rows), out, STRIP, |some| columns_of(&matrix, some))
        }
    }
}

/// `x·W`, `[M, out]`, of rows `x` `[M, in]` and a thin matrix `[in, out]`.
pub fn thin_product(x: &[f32], matrix: &Packed) -> Vec<f32> {
    thin_product_by(x, matrix, Unit::best())
}

/// [`thin_product`] by what a machine has.
pub fn thin_product_by(x: &[f32], matrix: &Packed, unit: Unit) -> Vec<f32> {
    let stored = matrix.stored();
    let [width, _] = stored.dims();
    let rows = x.len() / width.max(1);
    match stored {
        Stored::Streams(matrix) if rows < MANY => few::product(x, Laid::Columns(matrix), unit),
        stored => {
            let numbers = stored.values();
            product_of(Matrix::new(x, rows), Matrix::new(&numbers, width), Precision::F32)
        }
    }
}

/// The numbers of some rows.
fn numbers_of(weight: &Streams, first: usize, rows: usize) -> Vec<f32> {
    let width = weight.width;
    let bytes = &weight.bytes[2 * first * width..][..2 * rows * width];
    let mut values = vec![0.0; rows * width];
    Unit::best().run(Unpack { bytes, f16: weight.number == Number::F16, values: &mut values });
    values
}

/// The numbers of some columns, one column after the other.
fn columns_of(matrix: &Streams, columns: Range<usize>) -> Vec<f32> {
    let bytes = turned(matrix.bytes, matrix.width, columns.clone());
    let weight = Streams { bytes: &bytes, out: columns.len(), width: matrix.out, ..*matrix };
    numbers_of(&weight, 0, columns.len())
}

/// Whether no number has all bits of the exponent.
struct Finite<'a> {
    halves: &'a [[u8; 2]],
    most: u16,
    finite: &'a mut bool,
}

impl Work for Finite<'_> {
    #[inline(always)]
    fn run(self, _: impl Lanes) {
        let mut found = 0;
        for half in self.halves {
            found |= u16::from(u16::from_le_bytes(*half) & self.most == self.most);
        }
        *self.finite = found == 0;
    }
}

struct Unpack<'a> {
    bytes: &'a [u8],
    f16: bool,
    values: &'a mut [f32],
}

impl Work for Unpack<'_> {
    #[inline(always)]
    fn run(self, lanes: impl Lanes) {
        let (whole, rest) = self.bytes.as_chunks::<{ 2 * LANES }>();
        let (values, last) = self.values.as_chunks_mut();
        for (bytes, values) in whole.iter().zip(values) {
            *values = lanes.store(if self.f16 { lanes.f16(bytes) } else { lanes.bf16(bytes) });
        }
        for (bytes, value) in rest.as_chunks().0.iter().zip(last) {
            *value = match self.f16 {
                true => f16::from_le_bytes(*bytes).to_f32(),
                false => bf16::from_le_bytes(*bytes).to_f32(),
            };
        }
    }
}
