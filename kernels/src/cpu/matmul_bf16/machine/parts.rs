//! Products of f32 with weights as they are stored, on tiles: every number in parts that are bf16.
//!
//! An f32 is taken as the sum of two bf16, which have 16 of its 24 digits. A number in half precision is
//! exactly the sum of two, one in bf16 is one; one of 8 bits times its scale is an f32. All products of
//! parts are summed up in f32, but that of two small parts, which is below the last digit of both.

use super::amx::Tiles;
use super::pack_parts::{Parts, pack_columns, pack_halves, pack_panel, pack_rows};
use super::tiles::{self, Block, DEPTH, SIDE};
use super::{Unit, best};
use crate::cpu::packed::Stored;
use crate::cpu::place::Place;
use crate::cpu::team::{share, share_ranges};

/// All products of a row of `x` and a row of the weight, row after row of `x`; none where the machine
/// has no tiles, and where the weight is no whole number of them.
pub fn product(x: &[f32], weight: &Stored) -> Option<Vec<f32>> {
    let [out, width] = weight.dims();
    let fits = width.is_multiple_of(DEPTH) && out > 0 && !x.is_empty();
    if !fits || best() != Unit::Tiles(tiles::Unit::Amx) {
        return None;
    }
    let rows = x.len() / width;
    let left = strips(x, width);
    let mut y = Vec::with_capacity(rows * out);
    let place = Place::spare(&mut y);
    share_ranges(out.div_ceil(2 * SIDE), 2 * out * width, |blocks| {
        let (first, end) = (2 * SIDE * blocks.start, out.min(2 * SIDE * blocks.end));
        let right: Vec<Parts> =
            (first..end).step_by(SIDE).map(|strip| across(weight, strip)).collect();
        let (mut tiles, mut block) = (Tiles::begin(), Block::zero());
        for (top, left) in (0..rows).step_by(2 * SIDE).zip(left.chunks(2)) {
            for (column, right) in (first..).step_by(2 * SIDE).zip(right.chunks(2)) {
                let left = [&left[0], &left[left.len() - 1]];
                let right = [&right[0], &right[right.len() - 1]];
                multiply(&mut tiles, left, right, &mut block);
                // SAFETY: nobody else writes these columns, of which there are as many rows.
                unsafe { write(&block, &place, [top, column], [rows, out]) };
            }
        }
    });
    // SAFETY: all blocks have been written.
    unsafe { y.set_len(rows * out) };
    Some(y)
}

/// The rows of `x` in strips.
fn strips(x: &[f32], width: usize) -> Vec<Parts> {
    let count = (x.len() / width).div_ceil(SIDE);
    let mut strips: Vec<Parts> = Vec::with_capacity(count);
    let place = Place::spare(&mut strips);
    // SAFETY: the machine was asked for these instructions; there is room for all strips, and nobody
    // else writes this one.
    share(count, |i| unsafe { place.at(i).write(pack_rows(x, width, i * SIDE)) });
    // SAFETY: all strips have been written.
    unsafe { strips.set_len(count) };
    strips
}

/// Sixteen rows of a weight.
fn across(weight: &Stored, first: usize) -> Parts {
    // SAFETY: the machine was asked for these instructions.
    unsafe {
        match weight {
            Stored::Streams(weight) => pack_halves(*weight, first),
            Stored::Turned(matrix) => pack_columns(*matrix, first),
            Stored::Panels(weight) => pack_panel(*weight, first / SIDE),
        }
    }
}

/// Sets `block` to the products of two strips with two others.
fn multiply(tiles: &mut Tiles, left: [&Parts; 2], right: [&Parts; 2], block: &mut Block) {
    // Weights that are bf16 have no second parts.
    let count = if right[0][1].is_empty() { 2 } else { 3 };
    let products = [(0, 0), (1, 0), (0, 1)]
        .into_iter()
        .take(count)
        .map(|(l, r)| [[&left[0][l][..], &left[1][l][..]], [&right[0][r][..], &right[1][r][..]]]);
    tiles.multiply(products, block);
}

/// Writes what of a block lies in a matrix of so many rows and columns, from a place on.
///
/// # Safety
/// Nobody else may use that part of the matrix.
unsafe fn write(
    block: &Block,
    place: &Place<f32>,
    [top, column]: [usize; 2],
    [rows, columns]: [usize; 2],
) {
    for row in top..rows.min(top + 2 * SIDE) {
        for (side, column) in [column, column + SIDE].into_iter().enumerate() {
            if column < columns {
                let count = SIDE.min(columns - column);
                let from = &block.0[(row - top) / SIDE][side][(row - top) % SIDE];
                let to = place.at(row * columns + column);
                // SAFETY: the row has `columns` numbers.
                unsafe { from.as_ptr().copy_to_nonoverlapping(to, count) };
            }
        }
    }
}
