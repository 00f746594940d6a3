//! Matrices of 16 bits turned: their columns become rows.

use std::ops::Range;

use super::lanes::{Lanes, Unit, Work, soon};
use super::place::Place;
use super::team::share_ranges;

/// Rows and columns that are turned at a time: two cache lines of numbers hold as many.
const SIDE: usize = 32;

/// Numbers of a row that are asked for ahead.
const AHEAD: usize = 4 * SIDE;

/// A number of 16 bits.
type Half = [u8; 2];

/// Some columns of a matrix of this width, one after the other.
pub fn turned(bytes: &[u8], width: usize, columns: Range<usize>) -> Vec<u8> {
    let rows = bytes.len() / size_of::<Half>() / width.max(1);
    let mut turned = vec![0; rows * columns.len() * size_of::<Half>()];
    let (halves, out) = (bytes.as_chunks().0, turned.as_chunks_mut().0);
    let place = Place::of(out);
    let count = columns.len();
    share_ranges(count.div_ceil(SIDE), count * rows * size_of::<Half>(), |blocks| {
        let some = blocks.start * SIDE..count.min(blocks.end * SIDE);
        // SAFETY: these columns are nobody else's.
        #[allow(unsafe_code)]
        let out = unsafe { place.part(some.start * rows, some.len() * rows) };
        let columns = columns.start + some.start..columns.start + some.end;
        Unit::best().run(Turn { halves, width, columns, out });
    });
    turned
}

struct Turn<'a> {
    halves: &'a [Half],
    width: usize,
    columns: Range<usize>,
    out: &'a mut [Half],
}

impl Work for Turn<'_> {
    #[inline(always)]
    fn run(self, _: impl Lanes) {
        let Self { halves, width, columns, out } = self;
        let rows = halves.len() / width;
        let (mut block, mut other) =
            ([[Half::default(); SIDE]; SIDE], [[Half::default(); SIDE]; SIDE]);
        for (left, out) in columns.clone().step_by(SIDE).zip(out.chunks_mut(SIDE * rows)) {
            let across = SIDE.min(columns.end - left);
            for top in (0..rows).step_by(SIDE) {
                let down = SIDE.min(rows - top);
                let whole = across == SIDE && down == SIDE;
                for (i, block) in block.iter_mut().enumerate().take(down) {
                    let from = &halves[(top + i) * width + left..];
                    soon(from.as_ptr().wrapping_add(AHEAD));
                    match from.first_chunk().filter(|_| whole) {
                        Some(from) => *block = *from,
                        None => block[..across].copy_from_slice(&from[..across]),
                    }
                }
                turn(&mut block, &mut other);
                for (out, block) in out.chunks_exact_mut(rows).zip(&block) {
                    match out[top..].first_chunk_mut().filter(|_| whole) {
                        Some(out) => *out = *block,
                        None => out[top..top + down].copy_from_slice(&block[..down]),
                    }
                }
            }
        }
    }
}

type Block = [[Half; SIDE]; SIDE];

/// Turns a block. Where a number stands is ten bits, those of its row and those of its column; to
/// shuffle two halves into each other turns them round by one, or by five at once: then the bits of
/// rows and columns have changed places.
#[inline(always)]
fn turn(block: &mut Block, other: &mut Block) {
    shuffle(block, other);
    shuffle(other, block);
    shuffle(block, other);
    shuffle(other, block);
    shuffle(block, other);
    *block = *other;
}

#[inline(always)]
fn shuffle(from: &Block, to: &mut Block) {
    for i in 0..SIDE / 2 {
        let [first, second] = [&from[i], &from[i + SIDE / 2]];
        for half in 0..2 {
            for j in 0..SIDE / 2 {
                to[2 * i + half][2 * j] = first[half * SIDE / 2 + j];
                to[2 * i + half][2 * j + 1] = second[half * SIDE / 2 + j];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_rows() {
        for [rows, width] in [[1, 1], [3, 5], [32, 32], [31, 70], [100, 33], [65, 400]] {
            let number = |row: usize, column: usize| ((row * width + column) as u16).to_le_bytes();
            let bytes: Vec<u8> =
                (0..rows).flat_map(|row| (0..width).flat_map(move |c| number(row, c))).collect();
            for columns in [0..width, 0..1, width / 2..width, width..width] {
                let expected: Vec<u8> = columns
                    .clone()
                    .flat_map(|c| (0..rows).flat_map(move |row| number(row, c)))
                    .collect();
                assert_eq!(turned(&bytes, width, columns), expected, "{rows} {width}");
            }
        }
        assert!(turned(&[], 0, 0..0).is_empty());
    }
}
