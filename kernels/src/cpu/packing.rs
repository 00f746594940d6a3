//! Numbers rounded to what a storage can tell.

use half::{bf16, f16};

use super::panels::{BLOCK, Block, Panels, Tell, WHOLE};
use crate::packed::Storage;

/// Whole rows of numbers in the bytes of a storage.
pub fn pack(values: &[f32], [out, width]: [usize; 2], storage: Storage) -> Vec<u8> {
    let panels = |bits| Panels { bytes: &[], bits, out, width };
    match storage {
        Storage::Bf16 => values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect(),
        Storage::F16 => values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
        Storage::Q8 => panels(8).pack(Rounded::<8>(values.as_chunks().0)),
        Storage::Q4 => panels(4).pack(Rounded::<4>(values.as_chunks().0)),
    }
}

/// Blocks as GGUF files have them (ggml's Q8_0 and Q4_0), in the bytes of a storage.
pub fn pack_ggml(bytes: &[u8], [out, width]: [usize; 2], storage: Storage) -> Vec<u8> {
    let panels = |bits| Panels { bytes: &[], bits, out, width };
    match storage {
        Storage::Q8 => panels(8).pack(Q8(bytes.as_chunks().0)),
        Storage::Q4 => panels(4).pack(Q4(bytes.as_chunks().0)),
        Storage::Bf16 | Storage::F16 => bytes.to_vec(),
    }
}

/// A scale in half precision, then 8 bits for each number.
struct Q8<'a>(&'a [[u8; 34]]);

impl Tell for Q8<'_> {
    #[inline(always)]
    fn block(&self, i: usize) -> Block {
        let [low, high, numbers @ ..] = self.0[i];
        (f16::from_le_bytes([low, high]), numbers.map(u8::cast_signed))
    }
}

/// A scale in half precision, then 4 bits for each number, which shares a byte with that 16 further
/// on.
struct Q4<'a>(&'a [[u8; 18]]);

impl Tell for Q4<'_> {
    #[inline(always)]
    fn block(&self, i: usize) -> Block {
        let [low, high, both @ ..] = self.0[i];
        let mut whole = [0; BLOCK];
        for (i, both) in both.into_iter().enumerate() {
            whole[i] = (both & 15).cast_signed() - 8;
            whole[i + BLOCK / 2] = (both >> 4).cast_signed() - 8;
        }
        (f16::from_le_bytes([low, high]), whole)
    }
}

/// Numbers that are rounded to so many bits.
struct Rounded<'a, const BITS: usize>(&'a [[f32; BLOCK]]);

impl<const BITS: usize> Tell for Rounded<'_, BITS> {
    #[inline(always)]
    fn block(&self, i: usize) -> Block {
        let values = &self.0[i];
        let far = farthest(values);
        if BITS == 8 {
            let scale = f16::from_f32(far.abs() / 127.0);
            return (scale, rounded::<BITS>(values, scale.to_f32()).0);
        }
        // Of several scales the one that changes the numbers least: -8 to 7 reach farther on one side.
        let mut best = (f32::INFINITY, (f16::NAN, [0; BLOCK]));
        for far_as in [6.6, 7.0, 7.4, 7.8, 8.0, 8.4, 8.8] {
            let scale = f16::from_f32(-far / far_as);
            let (whole, error) = rounded::<BITS>(values, scale.to_f32());
            if error < best.0 {
                best = (error, (scale, whole));
            }
        }
        best.1
    }
}

/// The number that is farthest from zero; what is not a number is farther than all.
#[inline(always)]
fn farthest(values: &[f32; BLOCK]) -> f32 {
    // The bits of positive numbers have their order.
    let mut most = 0;
    for x in values {
        most = most.max(x.abs().to_bits());
    }
    let mut above = false;
    for x in values {
        above |= x.to_bits() == most;
    }
    if above { f32::from_bits(most) } else { -f32::from_bits(most) }
}

/// Numbers as multiples of a scale, and the square of what that changes.
#[inline(always)]
fn rounded<const BITS: usize>(values: &[f32; BLOCK], scale: f32) -> ([i8; BLOCK], f32) {
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let most = ((1 << (BITS - 1)) - 1) as f32;
    let least = if BITS == 8 { -most } else { -most - 1.0 };
    let (mut whole, mut far) = ([0; BLOCK], [0.0; BLOCK]);
    for i in 0..BLOCK {
        let near = (values[i] * inverse).round_ties_even().clamp(least, most);
        whole[i] = (near + WHOLE).to_bits() as i8;
        far[i] = values[i] - near * scale;
    }
    // Side by side: one after the other, each sum would wait for the one before.
    let mut sums = [0.0; 8];
    for far in far.as_chunks::<8>().0 {
        for i in 0..8 {
            sums[i] += far[i] * far[i];
        }
    }
    let mut error = 0.0;
    for sum in sums {
        error += sum;
    }
    (whole, error)
}
