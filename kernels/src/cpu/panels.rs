//! Weights of 8 and of 4 bits in panels of 16 rows, multiplied as whole numbers.
//!
//! Numbers of 16 rows that are multiplied with the same thing lie side by side: one instruction takes
//! them all, and nothing is summed up across a register. What they are multiplied with is rounded to
//! 16 bits, block by block; within a block sums are exact. A product so differs from that of f32 by
//! some 2⁻¹⁶ of its largest terms.
//!
//! A panel has, for block after block of 32 columns, eight words: four columns of all its rows. With 4
//! bits two words share their bytes, the first in the low halves. Behind the blocks are their scales,
//! those of all rows for block after block, in half precision. Numbers are stored above [`offset`],
//! so that none is negative. Rows that fill up the last panel are zeros.

use half::f16;

use super::lanes::{LANES, Lanes, Unit, Work};
use super::place::Place;
use super::team::share;

mod product;

pub use product::{Inputs, begin, inputs};

/// Rows of a panel.
pub const ROWS: usize = LANES;

/// Columns that share a scale.
pub const BLOCK: usize = 32;

/// Columns of a word.
const COLUMNS: usize = 4;

/// Words of a block.
pub const WORDS: usize = BLOCK / COLUMNS;

/// Bytes that are read at once: a word of 8 bits.
pub const SIDE: usize = ROWS * COLUMNS;

/// Added to a number between ±2²² it is rounded, and the last bits are those of the whole number.
pub const WHOLE: f32 = 12_582_912.0;

/// What numbers of so many bits are stored above.
pub const fn offset(bits: usize) -> i32 {
    1 << (bits - 1)
}

/// A weight `[out, width]` in numbers of 8 or 4 bits.
#[derive(Clone, Copy)]
pub struct Panels<'a> {
    pub bytes: &'a [u8],
    pub bits: usize,
    pub out: usize,
    pub width: usize,
}

/// 32 numbers: their scale, and whole numbers from −[`offset`] on.
pub type Block = (f16, [i8; BLOCK]);

impl<'a> Panels<'a> {
    /// Bytes of a weight of this shape; none where there are too many to count.
    pub fn size(&self) -> Option<usize> {
        let panel = (self.width / BLOCK).checked_mul(self.block() + 2 * ROWS)?;
        self.out.div_ceil(ROWS).checked_mul(panel)
    }

    /// Bytes of a panel.
    fn panel(&self) -> usize {
        self.width / BLOCK * (self.block() + 2 * ROWS)
    }

    /// The blocks of a panel, and their scales.
    pub fn part(&self, panel: usize) -> (&'a [u8], &'a [u8]) {
        self.bytes[panel * self.panel()..][..self.panel()]
            .split_at(self.width / BLOCK * self.block())
    }

    /// Bytes of a block of all rows of a panel, without its scales.
    pub fn block(&self) -> usize {
        BLOCK * ROWS * self.bits / 8
    }

    /// The bytes of blocks that are told row after row.
    pub fn pack(self, blocks: impl Tell) -> Vec<u8> {
        let mut bytes = vec![0; self.out.div_ceil(ROWS) * self.panel()];
        let place = Place::of(&mut bytes);
        share(self.out.div_ceil(ROWS), |panel| {
            // SAFETY: every panel has bytes of its own.
            #[allow(unsafe_code)]
            let bytes = unsafe { place.part(panel * self.panel(), self.panel()) };
            Unit::best().run(Pack { shape: self, panel, blocks: &blocks, bytes });
        });
        bytes
    }

    /// Puts a block of a row in its places.
    #[inline(always)]
    fn put(&self, whole: &[i8; BLOCK], row: usize, numbers: &mut [u8]) {
        for (word, whole) in whole.as_chunks::<COLUMNS>().0.iter().enumerate() {
            let (at, shift) = if self.bits == 8 { (word, 0) } else { (word / 2, word % 2 * 4) };
            let bytes = &mut numbers[at * SIDE + row * COLUMNS..][..COLUMNS];
            for (byte, whole) in bytes.iter_mut().zip(whole) {
                *byte |= ((i32::from(*whole) + offset(self.bits)) as u8) << shift;
            }
        }
    }

    /// Whether all its scales are finite.
    pub fn is_finite(&self) -> bool {
        let finite = |scale: &[u8; 2]| f16::from_le_bytes(*scale).is_finite();
        let panels = 0..self.out.div_ceil(ROWS);
        panels.into_iter().all(|panel| self.part(panel).1.as_chunks().0.iter().all(finite))
    }

    /// A block of a row.
    fn get(&self, row: usize, b: usize) -> Block {
        let ((numbers, scales), row) = (self.part(row / ROWS), row % ROWS);
        let at = 2 * (b * ROWS + row);
        let numbers = &numbers[b * self.block()..];
        let mut whole = [0; BLOCK];
        for (i, whole) in whole.iter_mut().enumerate() {
            let (word, column) = (i / COLUMNS, row * COLUMNS + i % COLUMNS);
            let stored = match self.bits {
                8 => numbers[word * SIDE + column],
                _ => numbers[word / 2 * SIDE + column] >> (word % 2 * 4) & 15,
            };
            *whole = (i32::from(stored) - offset(self.bits)) as i8;
        }
        (f16::from_le_bytes([scales[at], scales[at + 1]]), whole)
    }

    /// The numbers of a row.
    pub fn row(&self, row: usize) -> impl Iterator<Item = f32> + '_ {
        (0..self.width / BLOCK).flat_map(move |b| {
            let (scale, whole) = self.get(row, b);
            whole.map(|whole| f32::from(whole) * scale.to_f32())
        })
    }
}

/// Those who know what the blocks of a weight are.
pub trait Tell: Sync {
    /// The block of this number, row after row.
    fn block(&self, i: usize) -> Block;
}

/// The work on a panel.
struct Pack<'a, T> {
    shape: Panels<'a>,
    panel: usize,
    blocks: &'a T,
    bytes: &'a mut [u8],
}

impl<T: Tell> Work for Pack<'_, T> {
    #[inline(always)]
    fn run(self, _: impl Lanes) {
        let Self { shape, panel, blocks, bytes } = self;
        let (wide, first) = (shape.width / BLOCK, panel * ROWS);
        let (numbers, scales) = bytes.split_at_mut(wide * shape.block());
        for (b, numbers) in numbers.chunks_exact_mut(shape.block()).enumerate() {
            for row in 0..ROWS.min(shape.out - first) {
                let (scale, whole) = blocks.block((first + row) * wide + b);
                scales.as_chunks_mut().0[b * ROWS + row] = scale.to_le_bytes();
                shape.put(&whole, row, numbers);
            }
        }
    }
}
