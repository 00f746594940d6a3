//! Plain loops, which compilers know to turn into the vectors of their machine.

use half::f16;

use super::{LANES, Lanes, Word};

/// Any machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plain;

impl Lanes for Plain {
    type Numbers = [f32; LANES];
    type Bytes = [u8; 4 * LANES];
    type Sums = [i32; LANES];

    #[inline(always)]
    fn splat(self, number: f32) -> Self::Numbers {
        [number; LANES]
    }

    #[inline(always)]
    fn load(self, numbers: &[f32; LANES]) -> Self::Numbers {
        *numbers
    }

    #[inline(always)]
    fn f32(self, bytes: &[u8; 4 * LANES]) -> Self::Numbers {
        let mut numbers = [0.0; LANES];
        for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks().0) {
            *number = f32::from_le_bytes(*bytes);
        }
        numbers
    }

    #[inline(always)]
    fn store(self, numbers: Self::Numbers) -> [f32; LANES] {
        numbers
    }

    #[inline(always)]
    fn bf16(self, bytes: &[u8; 2 * LANES]) -> Self::Numbers {
        let mut numbers = [0.0; LANES];
        for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks().0) {
            *number = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
        }
        numbers
    }

    #[inline(always)]
    fn bf16_pairs(self, bytes: &[u8; 4 * LANES]) -> [Self::Numbers; 2] {
        let mut numbers = [[0.0; LANES]; 2];
        for (i, bytes) in bytes.as_chunks().0.iter().enumerate() {
            let pair = u32::from_le_bytes(*bytes);
            numbers[0][i] = f32::from_bits(pair << 16);
            numbers[1][i] = f32::from_bits(pair & 0xFFFF_0000);
        }
        numbers
    }

    #[inline(always)]
    fn f16(self, bytes: &[u8; 2 * LANES]) -> Self::Numbers {
        let mut numbers = [0.0; LANES];
        for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks().0) {
            *number = f16::from_le_bytes(*bytes).to_f32_const();
        }
        numbers
    }

    #[inline(always)]
    fn mul(self, a: Self::Numbers, b: Self::Numbers) -> Self::Numbers {
        let mut numbers = [0.0; LANES];
        for i in 0..LANES {
            numbers[i] = a[i] * b[i];
        }
        numbers
    }

    #[inline(always)]
    fn mul_add(self, a: Self::Numbers, b: Self::Numbers, mut sum: Self::Numbers) -> Self::Numbers {
        for i in 0..LANES {
            // Without an instruction for both, rounding once takes a hundred.
            sum[i] = match cfg!(any(not(target_arch = "x86_64"), target_feature = "fma")) {
                true => a[i].mul_add(b[i], sum[i]),
                false => a[i] * b[i] + sum[i],
            };
        }
        sum
    }

    #[inline(always)]
    fn bytes(self, bytes: &[u8; 4 * LANES]) -> Self::Bytes {
        *bytes
    }

    #[inline(always)]
    fn nibbles(self, bytes: &[u8; 4 * LANES]) -> [Self::Bytes; 2] {
        [bytes.map(|byte| byte & 15), bytes.map(|byte| byte >> 4)]
    }

    #[inline(always)]
    fn words(self, whole: &[i16; 2 * LANES]) -> [Word; LANES / 2] {
        let mut words = [Word::default(); LANES / 2];
        for (bytes, whole) in words.as_flattened_mut().as_chunks_mut().0.iter_mut().zip(whole) {
            *bytes = whole.to_le_bytes();
        }
        words
    }

    #[inline(always)]
    fn begin(self, start: i32) -> Self::Sums {
        [start; LANES]
    }

    #[inline(always)]
    fn dot(self, mut sums: Self::Sums, bytes: Self::Bytes, word: &Word) -> Self::Sums {
        for (sum, bytes) in sums.iter_mut().zip(bytes.as_chunks::<4>().0) {
            for (byte, whole) in bytes.iter().zip(word.as_chunks().0) {
                *sum += i32::from(*byte) * i32::from(i16::from_le_bytes(*whole));
            }
        }
        sums
    }

    #[inline(always)]
    fn finish(self, sums: Self::Sums) -> Self::Numbers {
        sums.map(|sum| sum as f32)
    }
}
