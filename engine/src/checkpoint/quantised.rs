//! Numbers in blocks: a few bits each, and a scale for all, as ggml packs them.
//!
//! `d` is a block's scale, `m` its minimum, `q` the small integer of a number: `x = d·q + m`. The
//! K-quants have 256 numbers in a block and a small scale for every 16 or 32 of them.

use half::f16;

/// Half precision at the start of `bytes`.
fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// The lower or the upper four bits.
fn nibble(byte: u8, upper: bool) -> u8 {
    if upper { byte >> 4 } else { byte & 15 }
}

pub(super) fn q8_0(block: &[u8], out: &mut [f32]) {
    let d = half(block);
    for (x, q) in out.iter_mut().zip(&block[2..]) {
        *x = d * f32::from(*q as i8);
    }
}

pub(super) fn q4_0(block: &[u8], out: &mut [f32]) {
    let d = half(block);
    for (i, x) in out.iter_mut().enumerate() {
        let q = nibble(block[2 + i % 16], i >= 16);
        *x = d * (f32::from(q) - 8.0);
    }
}

pub(super) fn q4_1(block: &[u8], out: &mut [f32]) {
    let (d, m) = (half(block), half(&block[2..]));
    for (i, x) in out.iter_mut().enumerate() {
        *x = d * f32::from(nibble(block[4 + i % 16], i >= 16)) + m;
    }
}

/// The fifth bits of all numbers lie together, one after the other.
fn fifth(bits: &[u8], i: usize) -> u8 {
    (bits[i / 8] >> (i % 8) & 1) << 4
}

pub(super) fn q5_0(block: &[u8], out: &mut [f32]) {
    let d = half(block);
    for (i, x) in out.iter_mut().enumerate() {
        let q = nibble(block[6 + i % 16], i >= 16) | fifth(&block[2..6], i);
        *x = d * (f32::from(q) - 16.0);
    }
}

pub(super) fn q5_1(block: &[u8], out: &mut [f32]) {
    let (d, m) = (half(block), half(&block[2..]));
    for (i, x) in out.iter_mut().enumerate() {
        let q = nibble(block[8 + i % 16], i >= 16) | fifth(&block[4..8], i);
        *x = d * f32::from(q) + m;
    }
}

/// Scales and minima of 4 bits for every 16 numbers, then 2 bits per number.
pub(super) fn q2_k(block: &[u8], out: &mut [f32]) {
    let (scales, q, d, m) = (&block[..16], &block[16..80], half(&block[80..]), half(&block[82..]));
    for (i, x) in out.iter_mut().enumerate() {
        let scale = scales[i / 16];
        *x = d * f32::from(scale & 15) * f32::from(two_bits(q, i)) - m * f32::from(scale >> 4);
    }
}

/// Numbers `i`, `i + 32`, `i + 64` and `i + 96` of each half share a byte.
fn two_bits(q: &[u8], i: usize) -> u8 {
    q[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3
}

/// Third bits, 2 bits per number, scales of 6 bits for every 16 numbers.
pub(super) fn q3_k(block: &[u8], out: &mut [f32]) {
    let (third, q, scales, d) =
        (&block[..32], &block[32..96], &block[96..108], half(&block[108..]));
    for (i, x) in out.iter_mut().enumerate() {
        let group = i / 16;
        let low = nibble(scales[group % 8], group >= 8);
        let high = scales[8 + group % 4] >> (group / 4 * 2) & 3;
        let scale = f32::from(low | high << 4) - 32.0;
        let third = third[i % 32] >> (i / 32) & 1;
        *x = d * scale * (f32::from(two_bits(q, i) | third << 2) - 4.0);
    }
}

/// Scale and minimum, 6 bits each, of the group of 32 numbers.
fn six_bits(scales: &[u8], group: usize) -> (f32, f32) {
    let (scale, min) = if group < 4 {
        (scales[group] & 63, scales[group + 4] & 63)
    } else {
        let both = scales[group + 4];
        (both & 15 | scales[group - 4] >> 6 << 4, both >> 4 | scales[group] >> 6 << 4)
    };
    (f32::from(scale), f32::from(min))
}

pub(super) fn q4_k(block: &[u8], out: &mut [f32]) {
    let (d, m, scales, q) = (half(block), half(&block[2..]), &block[4..16], &block[16..]);
    for (i, x) in out.iter_mut().enumerate() {
        let group = i / 32;
        let (scale, min) = six_bits(scales, group);
        let q = nibble(q[group / 2 * 32 + i % 32], group % 2 == 1);
        *x = d * scale * f32::from(q) - m * min;
    }
}

pub(super) fn q5_k(block: &[u8], out: &mut [f32]) {
    let (d, m, scales) = (half(block), half(&block[2..]), &block[4..16]);
    let (fifth, q) = (&block[16..48], &block[48..]);
    for (i, x) in out.iter_mut().enumerate() {
        let group = i / 32;
        let (scale, min) = six_bits(scales, group);
        let low = nibble(q[group / 2 * 32 + i % 32], group % 2 == 1);
        let high = (fifth[i % 32] >> group & 1) << 4;
        *x = d * scale * f32::from(low | high) - m * min;
    }
}

/// Lower 4 bits, upper 2 bits, scales of 8 bits for every 16 numbers.
pub(super) fn q6_k(block: &[u8], out: &mut [f32]) {
    let (low, high, scales, d) =
        (&block[..128], &block[128..192], &block[192..208], half(&block[208..]));
    for (i, x) in out.iter_mut().enumerate() {
        let (part, within) = (i / 128, i % 128);
        let low = nibble(low[part * 64 + within % 64], within >= 64);
        let high = high[part * 32 + within % 32] >> (within / 32 * 2) & 3;
        let scale = f32::from(scales[i / 16] as i8);
        *x = d * scale * (f32::from(low | high << 4) - 32.0);
    }
}
