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
    fn word(self, whole: [i16; 4]) -> Word {
        // All high bytes, then all low ones; both have signs.
        let mut word = [0; 8];
        for (i, whole) in whole.into_iter().enumerate() {
            word[i] = ((i32::from(whole) + 128) >> 8) as u8;
            word[4 + i] = whole as u8;
        }
        word
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
