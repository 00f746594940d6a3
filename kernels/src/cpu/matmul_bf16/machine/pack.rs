//! Factors cut into tiles.

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_permutexvar_epi16, _mm512_setzero_si512,
    _mm512_shuffle_i32x4, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
    _mm512_unpacklo_epi64,
};
use std::mem::transmute;

use super::super::Factor;
use super::tiles::{DEPTH, SIDE, Strip, Tile};

/// Rounds `count` strips of a factor, from vector `first` on; there are zeros where it has no
/// numbers. Only for machines with tiles.
pub fn pack(factor: Factor, first: usize, count: usize, across: bool) -> Vec<Strip> {
    let tiles = factor.size().1.div_ceil(DEPTH);
    let mut strips: Vec<Strip> = (0..count).map(|_| Vec::with_capacity(tiles)).collect();
    // SAFETY: the machine was asked for these instructions.
    unsafe { fill(factor, first, across, &mut strips) };
    strips
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn fill(factor: Factor, first: usize, across: bool, strips: &mut [Strip]) {
    let depth = factor.size().1;
    if factor.rows {
        for (top, strip) in (first..).step_by(SIDE).zip(strips) {
            for left in (0..depth).step_by(DEPTH) {
                let words = along(Window { factor, top, left });
                strip.push(tile(if across { turn(words) } else { words }));
            }
        }
    } else {
        // What lies side by side in memory is read one after the other.
        for top in (0..depth).step_by(DEPTH) {
            for (left, strip) in (first..).step_by(SIDE).zip(&mut *strips) {
                let words = between(Window { factor, top, left });
                strip.push(tile(if across { words } else { turn(words) }));
            }
        }
    }
}

/// A place in a factor, as it is stored.
#[derive(Clone, Copy)]
struct Window<'a> {
    factor: Factor<'a>,
    top: usize,
    left: usize,
}

impl<'a> Window<'a> {
    /// At most `most` numbers of its row `i`, none below the last row.
    #[inline(always)]
    fn row(self, i: usize, most: usize) -> &'a [f32] {
        let Factor { numbers, width, .. } = self.factor;
        let start = (self.top + i) * width;
        if start >= numbers.len() {
            return &[];
        }
        &numbers[start + self.left..start + (self.left + most).min(width)]
    }
}

#[inline(always)]
pub fn tile(words: [__m512i; SIDE]) -> Tile {
    // SAFETY: sixteen times sixteen words, whichever way they are named.
    Tile(unsafe { transmute::<[__m512i; SIDE], [[u32; SIDE]; SIDE]>(words) })
}

/// Where a row is a vector: a part of it makes up a register.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn along(window: Window) -> [__m512i; SIDE] {
    let mut words = [_mm512_setzero_si512(); SIDE];
    for (i, words) in words.iter_mut().enumerate() {
        let (low, high) = match window.row(i, DEPTH).as_chunks::<SIDE>() {
            ([low, high], _) => (load(low), load(high)),
            ([low], rest) => (load(low), load(rest)),
            (_, rest) => (load(rest), load(&[])),
        };
        *words = round(low, high);
    }
    words
}

/// Where a row has one number of each vector: two of them make up a register.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn between(window: Window) -> [__m512i; SIDE] {
    // From all of the first, then all of the second, to one of each in turn.
    const ZIP: [u16; DEPTH] = {
        let mut order = [0; DEPTH];
        let mut i = 0;
        while i < DEPTH {
            order[i] = (i / 2 + i % 2 * SIDE) as u16;
            i += 1;
        }
        order
    };
    // SAFETY: a register of numbers, whichever way they are named.
    let order = unsafe { transmute::<[u16; DEPTH], __m512i>(ZIP) };
    let mut words = [_mm512_setzero_si512(); SIDE];
    for (i, words) in words.iter_mut().enumerate() {
        let first = load(window.row(2 * i, SIDE));
        let second = load(window.row(2 * i + 1, SIDE));
        *words = _mm512_permutexvar_epi16(order, round(first, second));
    }
    words
}

/// Up to sixteen numbers, then zeros.
#[target_feature(enable = "avx512f")]
pub fn load(numbers: &[f32]) -> __m512 {
    let numbers = match numbers.first_chunk() {
        Some(all) => *all,
        None => {
            let mut all = [0.0; SIDE];
            all[..numbers.len()].copy_from_slice(numbers);
            all
        }
    };
    // SAFETY: sixteen numbers, whichever way they are named.
    unsafe { transmute::<[f32; SIDE], __m512>(numbers) }
}

/// All of `low`, then all of `high`, rounded.
#[target_feature(enable = "avx512f,avx512bf16")]
pub fn round(low: __m512, high: __m512) -> __m512i {
    // SAFETY: a register of numbers, whichever way they are named.
    unsafe { transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
}

/// Rows become columns: words, then pairs of words, then quarters of registers change places.
#[target_feature(enable = "avx512f")]
pub fn turn(x: [__m512i; SIDE]) -> [__m512i; SIDE] {
    let mut words = x;
    for i in 0..SIDE / 2 {
        words[2 * i] = _mm512_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
        words[2 * i + 1] = _mm512_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
    }
    let mut pairs = x;
    for i in 0..SIDE / 4 {
        let [a, b, c, d] = [0, 1, 2, 3].map(|j| words[4 * i + j]);
        pairs[4 * i] = _mm512_unpacklo_epi64(a, c);
        pairs[4 * i + 1] = _mm512_unpackhi_epi64(a, c);
        pairs[4 * i + 2] = _mm512_unpacklo_epi64(b, d);
        pairs[4 * i + 3] = _mm512_unpackhi_epi64(b, d);
    }
    // Register 4i + j now holds, in quarter q, column 4q + j of rows 4i to 4i + 3.
    let mut turned = x;
    for j in 0..4 {
        let [a, b, c, d] = [0, 4, 8, 12].map(|i| pairs[i + j]);
        let even = [_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0x88>(c, d)];
        let odd = [_mm512_shuffle_i32x4::<0xDD>(a, b), _mm512_shuffle_i32x4::<0xDD>(c, d)];
        turned[j] = _mm512_shuffle_i32x4::<0x88>(even[0], even[1]);
        turned[j + 8] = _mm512_shuffle_i32x4::<0xDD>(even[0], even[1]);
        turned[j + 4] = _mm512_shuffle_i32x4::<0x88>(odd[0], odd[1]);
        turned[j + 12] = _mm512_shuffle_i32x4::<0xDD>(odd[0], odd[1]);
    }
    turned
}
