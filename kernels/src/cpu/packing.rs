//! Numbers rounded to what a storage can tell.

use half::{bf16, f16};
use rayon::prelude::*;

use super::packed::{BLOCK, LANES};
use crate::packed::Storage;

/// Blocks that a thread packs at a time.
const PACKED_AT_ONCE: usize = 1024;

/// Whole blocks of numbers in the bytes of a storage.
pub fn pack(values: &[f32], storage: Storage) -> Vec<u8> {
    let blocks = |pack: fn(&[f32; BLOCK]) -> Vec<u8>| {
        let blocks = values.as_chunks().0.par_chunks(PACKED_AT_ONCE);
        let packed: Vec<Vec<u8>> =
            blocks.map(|some| some.iter().flat_map(pack).collect()).collect();
        packed.concat()
    };
    match storage {
        Storage::Bf16 => values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect(),
        Storage::F16 => values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
        Storage::Q8 => blocks(pack_q8),
        Storage::Q4 => blocks(pack_q4),
    }
}

/// The largest number becomes 127.
fn pack_q8(values: &[f32; BLOCK]) -> Vec<u8> {
    let most = values.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let scale = f16::from_f32(most / 127.0);
    let inverse = if scale == f16::ZERO { 0.0 } else { 1.0 / scale.to_f32() };
    let whole = values.map(|x| (x * inverse).round_ties_even().clamp(-127.0, 127.0) as i8 as u8);
    scale.to_le_bytes().into_iter().chain(whole).collect()
}

/// Of several scales the one that changes the numbers least: -8 to 7 reach farther on one side.
fn pack_q4(values: &[f32; BLOCK]) -> Vec<u8> {
    let far = values.iter().fold(0.0f32, |far, x| if x.abs() > far.abs() { *x } else { far });
    let scales = [6.6, 7.0, 7.4, 7.8, 8.0, 8.4, 8.8].map(|far_as| f16::from_f32(-far / far_as));
    let mut best = (f32::INFINITY, f16::ZERO, [0.0; BLOCK]);
    for scale in scales {
        let (wide, mut whole, mut error) = (scale.to_f32(), [0.0; BLOCK], 0.0);
        let inverse = if wide == 0.0 { 0.0 } else { 1.0 / wide };
        for (q, x) in whole.iter_mut().zip(values) {
            *q = (x * inverse).round_ties_even().clamp(-8.0, 7.0);
            error += (x - *q * wide) * (x - *q * wide);
        }
        if error < best.0 {
            best = (error, scale, whole);
        }
    }
    let (_, scale, whole) = best;
    let q = whole.map(|q| (q + 8.0) as u8);
    let bytes = (0..LANES).map(|i| q[i] | q[LANES + i] << 4);
    scale.to_le_bytes().into_iter().chain(bytes).collect()
}
