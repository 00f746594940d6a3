//! Products of a few rows by tiles: weights are read where they lie, once for all rows.

use super::{Unit, best, tiles};
use crate::cpu::few::{Laid, MANY};
use crate::cpu::lanes;
use crate::cpu::streams::Number;
use crate::cpu::team::Pieces;

mod halves;
mod panels;

/// Rows from which on this pays.
const FROM: usize = 4;

/// Rows that share a tile with what is left of them.
const TOGETHER: usize = 8;

/// Begins the products of every row of `x` with every row of the weight; none where tiles are not
/// quicker, or not there, or not wanted.
pub fn begin<'a>(
    x: &[f32],
    weight: Laid<'a>,
    unit: lanes::Unit,
    y: &'a mut [f32],
) -> Result<Box<dyn Pieces + 'a>, &'a mut [f32]> {
    let wanted = matches!(unit, lanes::Unit::Avx512(_));
    if !wanted || best() != Unit::Tiles(tiles::Unit::Amx) {
        return Err(y);
    }
    let few = |width: usize| x.len().checked_div(width).is_some_and(|m| (FROM..MANY).contains(&m));
    match weight {
        Laid::Rows(weight)
            if weight.number == Number::Bf16
                && weight.width.is_multiple_of(tiles::DEPTH)
                && few(weight.width) =>
        {
            Ok(halves::begin(x, weight, y))
        }
        Laid::Panels(weight) if few(weight.width) => Ok(panels::begin(x, weight, unit, y)),
        _ => Err(y),
    }
}
