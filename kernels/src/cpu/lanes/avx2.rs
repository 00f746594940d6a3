//! AVX2, with FMA and half precision.
//!
//! Here are instructions that the compiler cannot check. They rely on this: an [`Avx2`] is only made
//! after the machine was asked for them.
#![allow(unsafe_code)]

use std::arch::x86_64::*;
use std::mem::transmute;

use super::{LANES, Lanes, Word, Work};

/// A machine that has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Avx2(());

impl Avx2 {
    pub fn find() -> Option<Self> {
        let found = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        found.then_some(Self(()))
    }

    pub fn run(self, work: impl Work) {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn run(lanes: Avx2, work: impl Work) {
            work.run(lanes);
        }
        // SAFETY: the machine has these instructions.
        unsafe { run(self, work) }
    }
}

/// The first eight, and the others.
type Pair<T> = [T; 2];

impl Lanes for Avx2 {
    type Numbers = Pair<__m256>;
    /// Numbers of four rows each, in 16 bits.
    type Bytes = [__m256i; 4];
    /// Two sums for each row, of four rows each.
    type Sums = [__m256i; 4];

    #[inline(always)]
    fn splat(self, number: f32) -> Pair<__m256> {
        // SAFETY: the machine has these instructions. So have those below.
        unsafe { [_mm256_set1_ps(number); 2] }
    }

    #[inline(always)]
    fn load(self, numbers: &[f32; LANES]) -> Pair<__m256> {
        // SAFETY: sixteen numbers, whichever way they are named.
        unsafe { transmute(*numbers) }
    }

    #[inline(always)]
    fn f32(self, bytes: &[u8; 4 * LANES]) -> Pair<__m256> {
        // SAFETY: sixteen numbers of four bytes, whichever way they are named.
        unsafe { transmute(*bytes) }
    }

    #[inline(always)]
    fn store(self, numbers: Pair<__m256>) -> [f32; LANES] {
        // SAFETY: sixteen numbers, whichever way they are named.
        unsafe { transmute(numbers) }
    }

    #[inline(always)]
    fn bf16(self, bytes: &[u8; 2 * LANES]) -> Pair<__m256> {
        // SAFETY: twice 16 bytes.
        unsafe {
            let wide = |halves: &[u8; 16]| {
                let halves = _mm256_cvtepu16_epi32(_mm_loadu_si128(halves.as_ptr().cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(halves))
            };
            let [low, high] = transmute::<&[u8; 32], &[[u8; 16]; 2]>(bytes);
            [wide(low), wide(high)]
        }
    }

    #[inline(always)]
    fn bf16_pairs(self, bytes: &[u8; 4 * LANES]) -> [Pair<__m256>; 2] {
        // SAFETY: twice 32 bytes.
        unsafe {
            let [low, high] = transmute::<[u8; 64], [__m256i; 2]>(*bytes);
            let first = |pairs| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs));
            let mask = _mm256_set1_epi32(0xFFFF_0000u32.cast_signed());
            let second = |pairs| _mm256_castsi256_ps(_mm256_and_si256(pairs, mask));
            [[first(low), first(high)], [second(low), second(high)]]
        }
    }

    #[inline(always)]
    fn f16(self, bytes: &[u8; 2 * LANES]) -> Pair<__m256> {
        // SAFETY: twice 16 bytes.
        unsafe {
            let [low, high] = transmute::<&[u8; 32], &[[u8; 16]; 2]>(bytes);
            [
                _mm256_cvtph_ps(_mm_loadu_si128(low.as_ptr().cast())),
                _mm256_cvtph_ps(_mm_loadu_si128(high.as_ptr().cast())),
            ]
        }
    }

    #[inline(always)]
    fn mul(self, a: Pair<__m256>, b: Pair<__m256>) -> Pair<__m256> {
        unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn mul_add(self, a: Pair<__m256>, b: Pair<__m256>, sum: Pair<__m256>) -> Pair<__m256> {
        unsafe { [_mm256_fmadd_ps(a[0], b[0], sum[0]), _mm256_fmadd_ps(a[1], b[1], sum[1])] }
    }

    #[inline(always)]
    fn bytes(self, bytes: &[u8; 4 * LANES]) -> [__m256i; 4] {
        // SAFETY: four times 16 bytes.
        unsafe {
            let [a, b, c, d] = transmute::<[u8; 64], [__m128i; 4]>(*bytes);
            let wide = |x| _mm256_cvtepu8_epi16(x);
            [wide(a), wide(b), wide(c), wide(d)]
        }
    }

    #[inline(always)]
    fn nibbles(self, bytes: &[u8; 4 * LANES]) -> [[__m256i; 4]; 2] {
        let [mut low, mut high] = [self.bytes(bytes); 2];
        for (low, high) in low.iter_mut().zip(&mut high) {
            unsafe {
                *low = _mm256_and_si256(*low, _mm256_set1_epi16(15));
                *high = _mm256_srli_epi16::<4>(*high);
            }
        }
        [low, high]
    }

    #[inline(always)]
    fn words(self, whole: &[i16; 2 * LANES]) -> [Word; LANES / 2] {
        // SAFETY: numbers of two bytes, in the order of the machine.
        unsafe { transmute(*whole) }
    }

    #[inline(always)]
    fn begin(self, start: i32) -> [__m256i; 4] {
        unsafe { [_mm256_set1_epi64x(i64::from(start.cast_unsigned())); 4] }
    }

    #[inline(always)]
    fn dot(self, mut sums: [__m256i; 4], bytes: [__m256i; 4], word: &Word) -> [__m256i; 4] {
        unsafe {
            let word = _mm256_set1_epi64x(i64::from_le_bytes(*word));
            for i in 0..4 {
                sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(bytes[i], word));
            }
        }
        sums
    }

    #[inline(always)]
    fn finish(self, [a, b, c, d]: [__m256i; 4]) -> Pair<__m256> {
        unsafe {
            // Adding neighbours leaves rows 0 1 4 5 2 3 6 7.
            let sums = |x, y| {
                let rows = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(x, y));
                _mm256_cvtepi32_ps(rows)
            };
            [sums(a, b), sums(c, d)]
        }
    }
}
