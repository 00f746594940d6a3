//! Products of f32 with weights as they are stored, on tiles: every number in parts that are bf16.
//!
//! An f32 is taken as the sum of two bf16, which have 16 of its 24 digits. A number in half precision is
//! exactly the sum of two, one in bf16 is one; one of 8 bits times its scale is an f32. All products of
//! parts are summed up in f32, but that of two small parts, which is below the last digit of both.

use std::mem::MaybeUninit;

use super::amx::{self, Tiles};
use super::pack_parts::{Parts, pack_halves, pack_panel, pack_rows};
use super::tiles::{Block, DEPTH, SIDE, Tile};
use crate::cpu::packed::Stored;
use crate::cpu::place::Place;
use crate::cpu::team::share;

/// Bytes of a weight that stay in a core's cache while all rows pass.
const NEAR: usize = 1 << 19;

/// Parts of a weight for each thread: one may be slower than another.
const SOME: usize = 4;

/// All products of a row of `x` and a row of the weight, row after row of `x`; none where the machine
/// has no tiles, and where the weight is no whole number of them.
pub fn product(x: &[f32], weight: &Stored) -> Option<Vec<f32>> {
    let [out, width] = weight.dims();
    if !width.is_multiple_of(DEPTH) || out == 0 || x.is_empty() || !amx::found() {
        return None;
    }
    let rows = x.len() / width;
    let left = strips(x, width);
    let mut y = Vec::with_capacity(rows * out);
    let (place, threads) = (Place::spare(&mut y), rayon::current_num_threads());
    let most = (NEAR / (2 * width)).min(out.div_ceil(threads * SOME));
    let per = most.next_multiple_of(2 * SIDE);
    share(out.div_ceil(per), |piece| {
        let first = piece * per;
        let count = per.min(out - first);
        let right = (0..count.div_ceil(SIDE)).map(|strip| across(weight, first + strip * SIDE));
        let right: Vec<Parts> = right.collect();
        let _tiles = Tiles::begin();
        for (top, left) in (0..rows).step_by(2 * SIDE).zip(left.chunks(2)) {
            for (column, right) in (first..).step_by(2 * SIDE).zip(right.chunks(2)) {
                let block = multiply(
                    [&left[0], &left[left.len() - 1]],
                    [&right[0], &right[right.len() - 1]],
                );
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
            Stored::Panels(weight) => pack_panel(*weight, first / SIDE),
        }
    }
}

/// The products of two strips with two others.
fn multiply(left: [&Parts; 2], right: [&Parts; 2]) -> Block {
    let part =
        |of: [&Parts; 2], i: usize| -> [*const Tile; 2] { of.map(|parts| parts[i].as_ptr()) };
    let depth = left[0][0].len();
    let same = |parts: &Parts| parts[0].len() == depth && [0, depth].contains(&parts[1].len());
    assert!(depth > 0 && left.iter().chain(&right).all(|parts| same(parts)));
    assert!(left.iter().all(|parts| parts[1].len() == depth));
    let mut block = MaybeUninit::uninit();
    // SAFETY: the strips have `depth` tiles each, and the tiles are configured; the block is written
    // whole, and read again after that only.
    unsafe {
        let to = block.as_mut_ptr();
        amx::multiply_parts([part(left, 0), part(left, 1)], part(right, 0), depth, to);
        if right.iter().all(|parts| !parts[1].is_empty()) {
            amx::add_product(part(left, 0), part(right, 1), depth, to);
        }
        block.assume_init()
    }
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
