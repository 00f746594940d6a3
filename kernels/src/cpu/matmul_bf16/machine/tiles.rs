//! Products of tiles of rounded numbers.

use std::mem::MaybeUninit;

use super::super::Factor;
#[cfg(target_os = "linux")]
use super::amx::Tiles;
use super::{pack::pack, pairs};
use crate::cpu::heads::each;

/// Vectors in a strip.
pub const SIDE: usize = 16;

/// Numbers of each vector in a tile.
pub const DEPTH: usize = 32;

/// Strips that one thread packs at a time; of the first factor also those that it multiplies at a
/// time, so that the second is read once for all of them.
const STRIPS: usize = 4;

/// [`DEPTH`] numbers of each of [`SIDE`] vectors, rounded. Two numbers that follow each other in
/// their vector share a word, the first in its low half. Word by word either a vector after the
/// other (beside), or the first pair of all vectors, then their second (across).
#[derive(Clone)]
#[repr(C, align(64))]
pub struct Tile(pub [[u32; SIDE]; SIDE]);

/// Tiles that follow each other along the same [`SIDE`] vectors.
pub type Strip = Vec<Tile>;

/// Products of two strips with two others: `[left][right][row][column]`.
#[repr(C, align(64))]
pub struct Block(pub [[[[f32; SIDE]; SIDE]; 2]; 2]);

impl Block {
    pub fn zero() -> Self {
        Self([[[[0.0; SIDE]; SIDE]; 2]; 2])
    }
}

/// What multiplies tiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unit {
    /// Whole tiles at a time.
    #[cfg(target_os = "linux")]
    Amx,
    /// Registers of pairs: AVX-512 with bf16.
    Pairs,
}

/// Products by a unit that this machine has; no factor is empty.
pub fn tiled(left: Factor, right: Factor, unit: Unit) -> Vec<f32> {
    let ((m, depth), (n, _)) = (left.size(), right.size());
    // Tiles multiply so fast that threads pay later than elsewhere.
    let work = m * n * depth / 32;
    let mut packed: Vec<Strip> = vec![vec![]; n.div_ceil(SIDE)];
    each(packed.chunks_mut(STRIPS).collect(), work, |i, strips| {
        let count = strips.len();
        let found = pack(right, i * STRIPS * SIDE, count, true);
        strips.iter_mut().zip(found).for_each(|(to, strip)| *to = strip);
    });
    let mut product = Vec::with_capacity(m * n);
    let room = &mut product.spare_capacity_mut()[..m * n];
    each(room.chunks_mut(STRIPS * SIDE * n).collect(), work, |i, rows| {
        let count = (rows.len() / n).div_ceil(SIDE);
        let left = pack(left, i * STRIPS * SIDE, count, false);
        fill(rows, n, &left, &packed, unit);
    });
    // SAFETY: `fill` has written every chunk, and those are all there is room for.
    unsafe { product.set_len(m * n) };
    product
}

/// Products of some strips with all of `right`, written to rows of `n` numbers: to all of them.
fn fill(rows: &mut [MaybeUninit<f32>], n: usize, left: &[Strip], right: &[Strip], unit: Unit) {
    #[cfg(target_os = "linux")]
    let mut tiles = (unit == Unit::Amx).then(Tiles::begin);
    let mut multiply = |left: [&[Tile]; 2], right: [&[Tile]; 2], block: &mut Block| {
        #[cfg(target_os = "linux")]
        if let Some(tiles) = &mut tiles {
            return tiles.multiply([[left, right]].into_iter(), block);
        }
        let depth = left[0].len();
        assert!(depth > 0 && [left[1], right[0], right[1]].iter().all(|x| x.len() == depth));
        // SAFETY: the machine was asked for these instructions.
        unsafe { pairs::multiply(left, right, block) };
    };
    let mut block = Block::zero();
    for (column, right) in right.chunks(2).enumerate() {
        for (left, rows) in left.chunks(2).zip(rows.chunks_mut(2 * SIDE * n)) {
            multiply(pair(left), pair(right), &mut block);
            // SAFETY: the machine was asked for these instructions.
            unsafe { write(&block, rows, n, column * 2 * SIDE) };
        }
    }
}

/// The first and the last of one or two strips: a single one is worked on twice, and written once.
fn pair(strips: &[Strip]) -> [&[Tile]; 2] {
    [&strips[0], &strips[strips.len() - 1]]
}

/// Writes as much as there is room for to rows of `n`, from column `first` on.
#[target_feature(enable = "avx512f")]
fn write(block: &Block, rows: &mut [MaybeUninit<f32>], n: usize, first: usize) {
    let second = (first + SIDE).min(n);
    for (i, row) in rows.chunks_exact_mut(n).enumerate() {
        let [beside, after] = &block.0[i / SIDE];
        let (left, right) = row[first..].split_at_mut(second - first);
        put(&beside[i % SIDE], left);
        put(&after[i % SIDE], right);
    }
}

/// Writes as many numbers as there is room for.
#[inline(always)]
fn put(from: &[f32; SIDE], to: &mut [MaybeUninit<f32>]) {
    match to.first_chunk_mut() {
        Some(all) => *all = from.map(MaybeUninit::new),
        None => to.iter_mut().zip(from).for_each(|(to, from)| _ = to.write(*from)),
    }
}
