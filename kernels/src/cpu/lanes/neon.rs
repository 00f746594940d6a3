//! NEON.
//!
//! Here are instructions that the compiler cannot check. They rely on this: a [`Neon`] is only made
//! after the machine was asked for them.
#![allow(unsafe_code)]

use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;
use std::mem::transmute;

use super::{LANES, Lanes, Word, Work};

/// A machine that has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neon(());

impl Neon {
    pub fn find() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Self(()))
    }

    pub fn run(self, work: impl Work) {
        #[target_feature(enable = "neon")]
        fn run(lanes: Neon, work: impl Work) {
            work.run(lanes);
        }
        // SAFETY: the machine has these instructions.
        unsafe { run(self, work) }
    }
}

/// Four at a time.
type Quarters<T> = [T; 4];

impl Lanes for Neon {
    type Numbers = Quarters<float32x4_t>;
    /// Column by column the numbers of eight rows and of the others, in 16 bits.
    type Bytes = [[int16x8_t; 2]; 4];
    type Sums = Quarters<int32x4_t>;

    #[inline(always)]
    fn splat(self, number: f32) -> Quarters<float32x4_t> {
        // SAFETY: the machine has these instructions. So have those below.
        unsafe { [vdupq_n_f32(number); 4] }
    }

    #[inline(always)]
    fn load(self, numbers: &[f32; LANES]) -> Quarters<float32x4_t> {
        // SAFETY: sixteen numbers, whichever way they are named.
        unsafe { transmute(*numbers) }
    }

    #[inline(always)]
    fn f32(self, bytes: &[u8; 4 * LANES]) -> Quarters<float32x4_t> {
        // SAFETY: sixteen numbers of four bytes, whichever way they are named.
        unsafe { transmute(*bytes) }
    }

    #[inline(always)]
    fn store(self, numbers: Quarters<float32x4_t>) -> [f32; LANES] {
        // SAFETY: sixteen numbers, whichever way they are named.
        unsafe { transmute(numbers) }
    }

    #[inline(always)]
    fn bf16(self, bytes: &[u8; 2 * LANES]) -> Quarters<float32x4_t> {
        // SAFETY: four times four halves, whichever way they are named.
        unsafe {
            let quarters = transmute::<[u8; 32], Quarters<uint16x4_t>>(*bytes);
            quarters.map(|halves| vreinterpretq_f32_u32(vshll_n_u16::<16>(halves)))
        }
    }

    #[inline(always)]
    fn bf16_pairs(self, bytes: &[u8; 4 * LANES]) -> [Quarters<float32x4_t>; 2] {
        // SAFETY: four times four pairs, whichever way they are named.
        unsafe {
            let quarters = transmute::<[u8; 64], Quarters<uint32x4_t>>(*bytes);
            let mask = vdupq_n_u32(0xFFFF_0000);
            let first = |pairs| vreinterpretq_f32_u32(vshlq_n_u32::<16>(pairs));
            let second = |pairs| vreinterpretq_f32_u32(vandq_u32(pairs, mask));
            [quarters.map(first), quarters.map(second)]
        }
    }

    #[inline(always)]
    fn f16(self, bytes: &[u8; 2 * LANES]) -> Quarters<float32x4_t> {
        // SAFETY: four times four halves, whichever way they are named.
        unsafe {
            let quarters = transmute::<[u8; 32], Quarters<float16x4_t>>(*bytes);
            quarters.map(|halves| vcvt_f32_f16(halves))
        }
    }

    #[inline(always)]
    fn mul(self, a: Quarters<float32x4_t>, b: Quarters<float32x4_t>) -> Quarters<float32x4_t> {
        [0, 1, 2, 3].map(|i| unsafe { vmulq_f32(a[i], b[i]) })
    }

    #[inline(always)]
    fn mul_add(
        self,
        a: Quarters<float32x4_t>,
        b: Quarters<float32x4_t>,
        sum: Quarters<float32x4_t>,
    ) -> Quarters<float32x4_t> {
        [0, 1, 2, 3].map(|i| unsafe { vfmaq_f32(sum[i], a[i], b[i]) })
    }

    #[inline(always)]
    fn bytes(self, bytes: &[u8; 4 * LANES]) -> [[int16x8_t; 2]; 4] {
        columns(bytes).map(wide)
    }

    #[inline(always)]
    fn nibbles(self, bytes: &[u8; 4 * LANES]) -> [[[int16x8_t; 2]; 4]; 2] {
        let columns = columns(bytes);
        unsafe {
            let low = columns.map(|column| wide(vandq_u8(column, vdupq_n_u8(15))));
            [low, columns.map(|column| wide(vshrq_n_u8::<4>(column)))]
        }
    }

    #[inline(always)]
    fn words(self, whole: &[i16; 2 * LANES]) -> [Word; LANES / 2] {
        // SAFETY: numbers of two bytes, in the order of the machine.
        unsafe { transmute(*whole) }
    }

    #[inline(always)]
    fn begin(self, start: i32) -> Quarters<int32x4_t> {
        unsafe { [vdupq_n_s32(start); 4] }
    }

    #[inline(always)]
    fn dot(
        self,
        sums: Quarters<int32x4_t>,
        [a, b, c, d]: [[int16x8_t; 2]; 4],
        word: &Word,
    ) -> Quarters<int32x4_t> {
        // SAFETY: four numbers of two bytes, whichever way they are named.
        let word = unsafe { transmute::<Word, int16x4_t>(*word) };
        let sums = add::<0>(sums, a, word);
        let sums = add::<1>(sums, b, word);
        let sums = add::<2>(sums, c, word);
        add::<3>(sums, d, word)
    }

    #[inline(always)]
    fn finish(self, sums: Quarters<int32x4_t>) -> Quarters<float32x4_t> {
        sums.map(|sums| unsafe { vcvtq_f32_s32(sums) })
    }
}

/// The first bytes of all rows, then the second, and so on.
#[inline(always)]
fn columns(bytes: &[u8; 4 * LANES]) -> [uint8x16_t; 4] {
    // SAFETY: 64 bytes.
    let uint8x16x4_t(a, b, c, d) = unsafe { vld4q_u8(bytes.as_ptr()) };
    [a, b, c, d]
}

#[inline(always)]
fn wide(column: uint8x16_t) -> [int16x8_t; 2] {
    unsafe {
        let (low, high) = (vmovl_u8(vget_low_u8(column)), vmovl_high_u8(column));
        [vreinterpretq_s16_u16(low), vreinterpretq_s16_u16(high)]
    }
}

/// Adds to the sum of each row its number of a column times that of a word.
#[inline(always)]
fn add<const COLUMN: i32>(
    [a, b, c, d]: Quarters<int32x4_t>,
    [first, second]: [int16x8_t; 2],
    word: int16x4_t,
) -> Quarters<int32x4_t> {
    unsafe {
        [
            vmlal_lane_s16::<COLUMN>(a, vget_low_s16(first), word),
            vmlal_high_lane_s16::<COLUMN>(b, first, word),
            vmlal_lane_s16::<COLUMN>(c, vget_low_s16(second), word),
            vmlal_high_lane_s16::<COLUMN>(d, second, word),
        ]
    }
}
