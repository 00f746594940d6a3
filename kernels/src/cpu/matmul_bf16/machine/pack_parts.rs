//! Numbers of more digits than bf16 has, cut into tiles of parts that are bf16.

use std::arch::x86_64::{
    __m256i, __m512, __m512i, _mm256_loadu_si256, _mm512_and_si512, _mm512_castsi512_ps,
    _mm512_castsi512_si256, _mm512_cvtepi32_ps, _mm512_cvtepu16_epi32, _mm512_cvtph_ps,
    _mm512_extracti64x4_epi64, _mm512_loadu_si512, _mm512_mul_ps, _mm512_or_si512,
    _mm512_set1_epi32, _mm512_setzero_si512, _mm512_slli_epi32, _mm512_srli_epi32,
    _mm512_srlv_epi32, _mm512_sub_epi32, _mm512_sub_ps,
};
use std::mem::transmute;

use super::pack::{load, round, tile, turn};
use super::tiles::{DEPTH, SIDE, Strip};
use crate::cpu::panels::{self, Panels, WORDS};
use crate::cpu::streams::{Number, Streams};

/// Strips of large parts, and of what those leave; the second is empty where nothing is left.
pub type Parts = [Strip; 2];

/// Sixteen rows of `x`, from `first` on, beside; its width is that of whole tiles. Rows that are not
/// there are zeros. Only for machines with tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub fn pack_rows(x: &[f32], width: usize, first: usize) -> Parts {
    let mut strips = [(); 2].map(|()| Vec::with_capacity(width / DEPTH));
    let x = &x[first * width..];
    for left in (0..width).step_by(DEPTH) {
        let mut words = [[_mm512_setzero_si512(); SIDE]; 2];
        let [large, small] = &mut words;
        for (row, (large, small)) in x.chunks_exact(width).zip(large.iter_mut().zip(small)) {
            let (low, high) = row[left..][..DEPTH].split_at(SIDE);
            [*large, *small] = parts(load(low), load(high));
        }
        for (strip, words) in strips.iter_mut().zip(words) {
            strip.push(tile(words));
        }
    }
    strips
}

/// Sixteen rows of a weight in 16 bits, from `first` on, across; its width is that of whole tiles. A
/// second strip has what the first leaves of numbers that are no bf16. Only for machines with tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub fn pack_halves(weight: Streams, first: usize) -> Parts {
    let Streams { bytes, number, out, width } = weight;
    let f16 = number == Number::F16;
    let tiles = width / DEPTH;
    let mut strips = [Vec::with_capacity(tiles), Vec::with_capacity(if f16 { tiles } else { 0 })];
    for left in (0..width).step_by(DEPTH) {
        let mut words = [[_mm512_setzero_si512(); SIDE]; 2];
        let [large, small] = &mut words;
        let rows = bytes[2 * first * width..2 * out * width].chunks_exact(2 * width);
        for (row, (large, small)) in rows.zip(large.iter_mut().zip(small)) {
            let row = row[2 * left..].first_chunk().expect("rows have whole tiles");
            // SAFETY: 64 bytes, whichever way they are named.
            let row = unsafe { transmute::<[u8; 2 * DEPTH], __m512i>(*row) };
            [*large, *small] = match f16 {
                false => [row, row],
                true => parts(
                    _mm512_cvtph_ps(_mm512_castsi512_si256(row)),
                    _mm512_cvtph_ps(_mm512_extracti64x4_epi64::<1>(row)),
                ),
            };
        }
        strips[0].push(tile(turn(words[0])));
        if f16 {
            strips[1].push(tile(turn(words[1])));
        }
    }
    strips
}

/// Sixteen columns of a matrix in 16 bits, from `first` on, across, as [`pack_halves`] of what it is
/// turned; it has as many rows as whole tiles have. Only for machines with tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub fn pack_columns(matrix: Streams, first: usize) -> Parts {
    let Streams { bytes, number, out: depth, width } = matrix;
    let (f16, count) = (number == Number::F16, SIDE.min(width - first));
    let tiles = depth / DEPTH;
    let mut strips = [Vec::with_capacity(tiles), Vec::with_capacity(if f16 { tiles } else { 0 })];
    let row = |row: usize| {
        let row = &bytes[2 * (row * width + first)..][..2 * count];
        let mut all = [0; 2 * SIDE];
        all[..row.len()].copy_from_slice(row);
        // SAFETY: 32 bytes, whichever way they are named.
        unsafe { transmute::<[u8; 2 * SIDE], __m256i>(all) }
    };
    for top in (0..depth).step_by(DEPTH) {
        let mut words = [[_mm512_setzero_si512(); SIDE]; 2];
        let [large, small] = &mut words;
        for (i, (large, small)) in large.iter_mut().zip(small).enumerate() {
            let pair = [row(top + 2 * i), row(top + 2 * i + 1)];
            if f16 {
                let [low, high] = parts(_mm512_cvtph_ps(pair[0]), _mm512_cvtph_ps(pair[1]));
                [*large, *small] = [between(halves(low)), between(halves(high))];
            } else {
                *large = between(pair);
            }
        }
        strips[0].push(tile(words[0]));
        if f16 {
            strips[1].push(tile(words[1]));
        }
    }
    strips
}

/// The first sixteen numbers of 16 bits, and the others.
#[target_feature(enable = "avx512f")]
fn halves(numbers: __m512i) -> [__m256i; 2] {
    [_mm512_castsi512_si256(numbers), _mm512_extracti64x4_epi64::<1>(numbers)]
}

/// Pairs of numbers of 16 bits, the first of each from the first sixteen.
#[target_feature(enable = "avx512f")]
fn between([first, second]: [__m256i; 2]) -> __m512i {
    let second = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(second));
    _mm512_or_si512(_mm512_cvtepu16_epi32(first), second)
}

/// The numbers rounded, and what that leaves of them rounded.
#[target_feature(enable = "avx512f,avx512bf16")]
fn parts(low: __m512, high: __m512) -> [__m512i; 2] {
    let large = round(low, high);
    let [low, high] = left([low, high], large);
    [large, round(low, high)]
}

/// What rounding leaves of numbers.
#[target_feature(enable = "avx512f")]
pub fn left([low, high]: [__m512; 2], rounded: __m512i) -> [__m512; 2] {
    let wide = |half| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(half)));
    let [first, second] = halves(rounded);
    [_mm512_sub_ps(low, wide(first)), _mm512_sub_ps(high, wide(second))]
}

/// A panel of a weight, across. Only for machines with tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub fn pack_panel(weight: Panels, panel: usize) -> Parts {
    let (numbers, scales) = weight.part(panel);
    let tiles = weight.width / DEPTH;
    let mut strips = [(); 2].map(|()| Vec::with_capacity(tiles));
    let blocks = numbers.chunks_exact(weight.block()).zip(scales.as_chunks::<{ 2 * SIDE }>().0);
    for (block, scales) in blocks {
        // SAFETY: 32 bytes.
        let scales = unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(scales.as_ptr().cast())) };
        let mut words = [[_mm512_setzero_si512(); SIDE]; 2];
        for word in 0..WORDS {
            // Columns of a word are next to each other, and so are those of a pair.
            let bits = stored(block, weight.bits, word);
            for pair in 0..2 {
                let column = |i: i32| {
                    let whole = _mm512_srlv_epi32(bits, _mm512_set1_epi32(8 * i));
                    let whole = _mm512_and_si512(whole, _mm512_set1_epi32(0xFF));
                    let offset = _mm512_set1_epi32(panels::offset(weight.bits));
                    _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(whole, offset)), scales)
                };
                let found = parts(column(2 * pair), column(2 * pair + 1));
                for (words, part) in words.iter_mut().zip(found) {
                    words[2 * word + pair as usize] = between(halves(part));
                }
            }
        }
        for (strip, words) in strips.iter_mut().zip(words) {
            strip.push(tile(words));
        }
    }
    strips
}

/// A word of a block: four columns of each row, a byte for each.
#[target_feature(enable = "avx512f")]
fn stored(block: &[u8], bits: usize, word: usize) -> __m512i {
    let words = block.as_chunks::<{ panels::SIDE }>().0;
    let at = if bits == 8 { word } else { word / 2 };
    // SAFETY: 64 bytes.
    let bytes = unsafe { _mm512_loadu_si512(words[at].as_ptr().cast()) };
    let low = _mm512_set1_epi32(0x0F0F_0F0F);
    match (bits, word % 2) {
        (8, _) => bytes,
        (_, 0) => _mm512_and_si512(bytes, low),
        _ => _mm512_and_si512(_mm512_srli_epi32::<4>(bytes), low),
    }
}
