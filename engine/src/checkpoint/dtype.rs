//! The number types a checkpoint may hold.

use super::quantised;
use anyhow::{Context, Result, anyhow};
use half::f16;
use half::slice::HalfFloatSliceExt;
use rwkv_kernels::Storage;
use std::fmt;

/// Type of the numbers of a tensor as they lie in the file; all little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// Double precision.
    F64,
    /// Single precision, what this program computes with.
    F32,
    /// Half precision: eleven significant bits, largest number 65504.
    F16,
    /// The upper half of an `F32`: eight significant bits. Most released models.
    BF16,
    /// Signed, eight bytes.
    I64,
    /// Signed, four bytes.
    I32,
    /// Signed, two bytes.
    I16,
    /// Signed, one byte.
    I8,
    /// Unsigned, one byte.
    U8,
    /// One byte, zero or not: read as 0 or 1.
    Bool,
    /// Blocks of 32 numbers in panels of 16 rows, which this program multiplies as they lie: 8 bits
    /// each and a scale.
    Q8,
    /// 4 bits and a scale.
    Q4,
    /// ggml's blocks of 32 numbers: 4 bits each and a scale.
    Q4_0,
    /// 4 bits, a scale and a minimum.
    Q4_1,
    /// 5 bits and a scale.
    Q5_0,
    /// 5 bits, a scale and a minimum.
    Q5_1,
    /// 8 bits and a scale.
    Q8_0,
    /// ggml's blocks of 256 numbers with scales of their own within: 2 bits each.
    Q2K,
    /// 3 bits.
    Q3K,
    /// 4 bits.
    Q4K,
    /// 5 bits.
    Q5K,
    /// 6 bits.
    Q6K,
}

/// Reads one block of packed numbers.
type Unpack = fn(&[u8], &mut [f32]);

impl Dtype {
    /// Bytes that one number takes; of a packed type, that a block takes.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
            packed => packed.block().map_or(1, |(_, bytes)| bytes),
        }
    }

    /// Numbers and bytes of a block; none where every number stands alone.
    fn block(self) -> Option<(usize, usize)> {
        match (self.laid(), self.packing()) {
            (Some(storage), _) => Some(storage.block().into()),
            (None, packing) => packing.map(|(numbers, bytes, _)| (numbers, bytes)),
        }
    }

    /// How blocks are multiplied that lie in panels.
    pub(super) fn laid(self) -> Option<Storage> {
        match self {
            Self::Q8 => Some(Storage::Q8),
            Self::Q4 => Some(Storage::Q4),
            _ => None,
        }
    }

    /// Numbers and bytes of a block that lies alone, and how it is read.
    fn packing(self) -> Option<(usize, usize, Unpack)> {
        Some(match self {
            Self::Q4_0 => (32, 18, quantised::q4_0),
            Self::Q4_1 => (32, 20, quantised::q4_1),
            Self::Q5_0 => (32, 22, quantised::q5_0),
            Self::Q5_1 => (32, 24, quantised::q5_1),
            Self::Q8_0 => (32, 34, quantised::q8_0),
            Self::Q2K => (256, 84, quantised::q2_k),
            Self::Q3K => (256, 110, quantised::q3_k),
            Self::Q4K => (256, 144, quantised::q4_k),
            Self::Q5K => (256, 176, quantised::q5_k),
            Self::Q6K => (256, 210, quantised::q6_k),
            _ => return None,
        })
    }

    /// The type that a checkpoint is saved with when its own cannot be written: what is packed or
    /// whole fits into half precision or single.
    pub fn to_save(self) -> Self {
        match self {
            Self::F32 | Self::BF16 | Self::F16 => self,
            packed if packed.is_packed() => Self::F16,
            _ => Self::F32,
        }
    }

    /// The type that a checkpoint may be saved with and that is called so.
    ///
    /// # Errors
    /// For every other name.
    pub fn named(name: &str) -> Result<Self> {
        let found = [Self::F32, Self::BF16, Self::F16].into_iter().find(|d| d.to_string() == name);
        found
            .with_context(|| format!("weights cannot be saved as {name}; choose f32, bf16 or f16."))
    }

    /// The type that a checkpoint may be converted to and that is called so.
    ///
    /// # Errors
    /// For every other name.
    pub fn converted(name: &str) -> Result<Self> {
        match name {
            "q8" => Ok(Self::Q8),
            "q4" => Ok(Self::Q4),
            _ => Self::named(name).map_err(|_| {
                anyhow!("weights cannot be converted to {name}; choose f32, bf16, f16, q8 or q4.")
            }),
        }
    }

    /// What a tensor of type `own` becomes in a file of this type: in blocks only large matrices of the
    /// language model, in whole panels.
    pub fn of_tensor(self, name: &str, shape: &[usize], own: Self) -> Self {
        let sees = name.starts_with("vit.") || name.starts_with("proj.");
        match (self.laid(), shape) {
            (None, _) => self,
            (_, shape @ [_, _]) if name.ends_with(".weight") && !sees && panels(shape) => self,
            _ => own.to_save(),
        }
    }

    /// How numbers of this type are multiplied as they lie, where they can be.
    pub fn storage(self) -> Option<Storage> {
        Some(match self {
            Self::BF16 => Storage::Bf16,
            Self::F16 => Storage::F16,
            Self::Q8 | Self::Q8_0 => Storage::Q8,
            Self::Q4 | Self::Q4_0 => Storage::Q4,
            _ => return None,
        })
    }

    /// Whether numbers come in blocks.
    pub(super) fn is_packed(self) -> bool {
        self.block().is_some()
    }

    /// Numbers that `size` bytes hold.
    pub(super) fn numbers(self) -> usize {
        self.block().map_or(1, |(numbers, _)| numbers)
    }

    /// How many numbers fit into so many bytes.
    pub(super) fn numbers_in(self, bytes: usize) -> usize {
        bytes / self.size() * self.numbers()
    }

    /// Bytes of `count` numbers in rows of `row`; none when blocks do not fit the rows.
    pub(super) fn bytes_of(self, count: usize, row: usize) -> Option<usize> {
        let whole = row.is_multiple_of(self.numbers());
        whole.then(|| (count / self.numbers()).checked_mul(self.size())).flatten()
    }

    /// Reads as many numbers as `out` has room for from the start of `bytes`.
    pub(super) fn decode(self, bytes: &[u8], out: &mut [f32]) {
        match self {
            Self::F64 => fill(bytes, out, |b| f64::from_le_bytes(b) as f32),
            Self::F32 => fill(bytes, out, f32::from_le_bytes),
            Self::F16 => {
                let halves = bytes.as_chunks::<2>().0[..out.len()].iter();
                let halves: Vec<f16> = halves.map(|b| f16::from_le_bytes(*b)).collect();
                halves.convert_to_f32_slice(out); // the processor does eight at once
            }
            // By hand: `half` looks at every number for NaN, which costs three times the rest.
            Self::BF16 => fill(bytes, out, |[a, b]| f32::from_le_bytes([0, 0, a, b])),
            Self::I64 => fill(bytes, out, |b| i64::from_le_bytes(b) as f32),
            Self::I32 => fill(bytes, out, |b| i32::from_le_bytes(b) as f32),
            Self::I16 => fill(bytes, out, |b| f32::from(i16::from_le_bytes(b))),
            Self::I8 => fill(bytes, out, |b| f32::from(i8::from_le_bytes(b))),
            Self::U8 => fill(bytes, out, |[b]| f32::from(b)),
            Self::Bool => fill(bytes, out, |[b]| f32::from(b != 0)),
            packed => {
                if let Some((numbers, bytes_of_block, unpack)) = packed.packing() {
                    let blocks = bytes.chunks_exact(bytes_of_block);
                    out.chunks_exact_mut(numbers).zip(blocks).for_each(|(x, b)| unpack(b, x));
                }
            }
        }
    }
}

/// Whether a matrix has whole panels of 16 rows and blocks of 32 columns.
pub(super) fn panels(shape: &[usize]) -> bool {
    matches!(shape, [rows, columns] if rows.is_multiple_of(16) && columns.is_multiple_of(32))
}

fn fill<const N: usize>(bytes: &[u8], out: &mut [f32], number: impl Fn([u8; N]) -> f32) {
    for (value, element) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *value = number(*element);
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::I16 => "i16",
            Self::I8 => "i8",
            Self::U8 => "u8",
            Self::Bool => "bool",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
            Self::Q4_0 => "q4_0",
            Self::Q4_1 => "q4_1",
            Self::Q5_0 => "q5_0",
            Self::Q5_1 => "q5_1",
            Self::Q8_0 => "q8_0",
            Self::Q2K => "q2_k",
            Self::Q3K => "q3_k",
            Self::Q4K => "q4_k",
            Self::Q5K => "q5_k",
            Self::Q6K => "q6_k",
        })
    }
}
