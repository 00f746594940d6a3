//! AVX-512 with products of bytes.
//!
//! Here are instructions that the compiler cannot check. They rely on this: an [`Avx512`] is only made
//! after the machine was asked for them.
#![allow(unsafe_code)]

use std::arch::x86_64::*;
use std::mem::transmute;

use super::{LANES, Lanes, Word, Work};

/// A machine that has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Avx512(());

impl Avx512 {
    pub fn find() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vnni");
        found.then_some(Self(()))
    }

    pub fn run(self, work: impl Work) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
        fn run(lanes: Avx512, work: impl Work) {
            work.run(lanes);
        }
        // SAFETY: the machine has these instructions.
        unsafe { run(self, work) }
    }
}

impl Lanes for Avx512 {
    type Numbers = __m512;
    type Bytes = __m512i;
    /// Those of high and of low bytes.
    type Sums = [__m512i; 2];

    #[inline(always)]
    fn splat(self, number: f32) -> __m512 {
        // SAFETY: the machine has these instructions. So have those below.
        unsafe { _mm512_set1_ps(number) }
    }

    #[inline(always)]
    fn load(self, numbers: &[f32; LANES]) -> __m512 {
        // SAFETY: sixteen numbers.
        unsafe { _mm512_loadu_ps(numbers.as_ptr()) }
    }

    #[inline(always)]
    fn f32(self, bytes: &[u8; 4 * LANES]) -> __m512 {
        // SAFETY: sixteen numbers of four bytes.
        unsafe { _mm512_loadu_ps(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, numbers: __m512) -> [f32; LANES] {
        // SAFETY: sixteen numbers, whichever way they are named.
        unsafe { transmute(numbers) }
    }

    #[inline(always)]
    fn bf16(self, bytes: &[u8; 2 * LANES]) -> __m512 {
        // SAFETY: 32 bytes.
        unsafe {
            let halves = _mm256_loadu_si256(bytes.as_ptr().cast());
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
        }
    }

    #[inline(always)]
    fn bf16_pairs(self, bytes: &[u8; 4 * LANES]) -> [__m512; 2] {
        let pairs = self.bytes(bytes);
        unsafe {
            let second = _mm512_and_si512(pairs, _mm512_set1_epi32(0xFFFF_0000u32.cast_signed()));
            [_mm512_slli_epi32::<16>(pairs), second].map(|half| _mm512_castsi512_ps(half))
        }
    }

    #[inline(always)]
    fn f16(self, bytes: &[u8; 2 * LANES]) -> __m512 {
        // SAFETY: 32 bytes.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(bytes.as_ptr().cast())) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, sum: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, sum) }
    }

    #[inline(always)]
    fn bytes(self, bytes: &[u8; 4 * LANES]) -> __m512i {
        // SAFETY: 64 bytes.
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn nibbles(self, bytes: &[u8; 4 * LANES]) -> [__m512i; 2] {
        let both = self.bytes(bytes);
        unsafe {
            let low = _mm512_set1_epi8(15);
            let high = _mm512_srli_epi16::<4>(both);
            [_mm512_and_si512(both, low), _mm512_and_si512(high, low)]
        }
    }

    #[inline(always)]
    fn words(self, whole: &[i16; 2 * LANES]) -> [Word; LANES / 2] {
        // In each word all high bytes, then all low ones; both have signs.
        // SAFETY: 64 bytes, whichever way they are named.
        unsafe {
            let order = _mm_setr_epi8(1, 3, 5, 7, 0, 2, 4, 6, 9, 11, 13, 15, 8, 10, 12, 14);
            let whole = transmute::<[i16; 2 * LANES], __m512i>(*whole);
            let rounded = _mm512_add_epi16(whole, _mm512_set1_epi16(128));
            let sorted = _mm512_shuffle_epi8(rounded, _mm512_broadcast_i32x4(order));
            let low = _mm512_set1_epi64(0x8080_8080_0000_0000u64.cast_signed());
            transmute(_mm512_xor_si512(sorted, low))
        }
    }

    #[inline(always)]
    fn begin(self, start: i32) -> [__m512i; 2] {
        unsafe { [_mm512_setzero_si512(), _mm512_set1_epi32(start)] }
    }

    #[inline(always)]
    fn dot(self, [high, low]: [__m512i; 2], bytes: __m512i, word: &Word) -> [__m512i; 2] {
        let [a, b, c, d, low_word @ ..] = *word;
        unsafe {
            let part = |word| _mm512_set1_epi32(i32::from_le_bytes(word));
            let high = _mm512_dpbusd_epi32(high, bytes, part([a, b, c, d]));
            [high, _mm512_dpbusd_epi32(low, bytes, part(low_word))]
        }
    }

    #[inline(always)]
    fn finish(self, [high, low]: [__m512i; 2]) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32::<8>(high), low)) }
    }
}
