//! The number types a checkpoint may hold.

use half::f16;
use half::slice::HalfFloatSliceExt;
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
}

impl Dtype {
    /// Bytes that one number takes.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// How many numbers fit into so many bytes.
    pub(super) fn numbers_in(self, bytes: usize) -> usize {
        bytes / self.size()
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
        }
    }
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
        })
    }
}
