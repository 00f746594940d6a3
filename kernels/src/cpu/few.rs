//! Products of a few rows, which cost what it costs to read the weights.

use super::columns;
use super::lanes::Unit;
use super::matmul_bf16::few_by_tiles;
use super::panels::{self, Panels};
use super::streams::{self, Streams};
use super::team::{Pieces, share_all};

/// Rows from which on products are made in another way: by tiles or strips.
pub const MANY: usize = 16;

/// Rows `x` `[M, in]` and what they are multiplied with.
#[derive(Clone, Copy)]
pub struct Few<'a> {
    pub x: &'a [f32],
    pub weight: Laid<'a>,
}

/// How a weight lies.
#[derive(Clone, Copy)]
pub enum Laid<'a> {
    /// `[out, in]`, row after row.
    Rows(Streams<'a>),
    /// `[in, out]`, row after row.
    Columns(Streams<'a>),
    /// `[out, in]`, in panels.
    Panels(Panels<'a>),
}

impl<'a> Few<'a> {
    /// How many numbers the product has.
    fn products(&self) -> usize {
        let (width, out) = match self.weight {
            Laid::Rows(weight) => (weight.width, weight.out),
            Laid::Columns(matrix) => (matrix.out, matrix.width),
            Laid::Panels(weight) => (weight.width, weight.out),
        };
        self.x.len().checked_div(width).unwrap_or(0) * out
    }

    /// Room for the product while it is made.
    fn room(&self) -> Vec<f32> {
        let products = self.products();
        match self.weight {
            Laid::Columns(matrix) => columns::room(matrix, products),
            Laid::Rows(_) | Laid::Panels(_) => vec![0.0; products],
        }
    }

    fn begin(self, unit: Unit, room: &'a mut [f32]) -> Box<dyn Pieces + 'a> {
        let room = match few_by_tiles(self.x, self.weight, unit, room) {
            Ok(begun) => return begun,
            Err(room) => room,
        };
        match self.weight {
            Laid::Rows(weight) => streams::begin(self.x, weight, unit, room),
            Laid::Columns(matrix) => columns::begin(self.x, matrix, unit, room),
            Laid::Panels(weight) => panels::begin(self.x, weight, unit, room),
        }
    }

    fn finish(&self, room: &mut Vec<f32>) {
        if let Laid::Columns(_) = self.weight {
            columns::finish(room, self.products());
        }
    }
}

/// All of these products, each `[M, out]`; threads meet once for all of them.
pub fn products(all: &[Few], unit: Unit) -> Vec<Vec<f32>> {
    let mut rooms: Vec<_> = all.iter().map(Few::room).collect();
    let begun = all.iter().zip(&mut rooms).map(|(few, room)| few.begin(unit, room));
    share_all(&begun.collect::<Vec<_>>());
    for (few, room) in all.iter().zip(&mut rooms) {
        few.finish(room);
    }
    rooms
}

/// A single product, `[M, out]`.
pub fn product(x: &[f32], weight: Laid, unit: Unit) -> Vec<f32> {
    products(&[Few { x, weight }], unit).pop().expect("as many products as there are weights")
}
