//! What a model reads: a row for every token, and rows that stand for a picture among them.

use std::ops::Range;

use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

/// Rows on their way into the first block.
#[derive(Clone, Debug)]
pub struct Rows {
    /// What was looked up or came out of a projector, before the first norm, `[B, T, C]`.
    pub x: Tensor<3>,
    /// The tokens, `[B, T]`; any number where a row is of none.
    pub tokens: Tensor<2, Int>,
    /// Which of them show a picture, and in which order blocks look at it.
    pub scan: Scan,
}

/// Order in which blocks read the patches of a square picture (VisualRWKV, arXiv 2406.13362).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Places of the patches in the text, row after row of the picture.
    pub patches: Range<usize>,
    /// From where to where.
    pub way: Way,
}

/// Ways to go over a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// In every block from the first to the last patch.
    #[default]
    Forwards,
    /// In every second block from the last to the first.
    Bidirection,
    /// Row after row in two blocks, then column after column in two, and each second one backwards.
    Multidirection,
}

impl Way {
    /// Whether a block reads backwards, and whether column after column.
    fn of(self, layer: usize) -> (bool, bool) {
        match self {
            Self::Forwards => (false, false),
            Self::Bidirection => (!layer.is_multiple_of(2), false),
            Self::Multidirection => (!layer.is_multiple_of(2), layer % 4 >= 2),
        }
    }
}

impl Scan {
    /// Rows `[B, T, C]` in the order in which this block reads them.
    pub fn turned(&self, layer: usize, x: Tensor<3>) -> Tensor<3> {
        let (backwards, columns) = self.way.of(layer);
        let change = |x: Tensor<3>| {
            let x = if columns { across(x) } else { x };
            if backwards { x.flip([1]) } else { x }
        };
        self.changed(backwards || columns, x, change)
    }

    /// Rows out of a block in the order of the text again.
    pub fn back(&self, layer: usize, x: Tensor<3>) -> Tensor<3> {
        let (backwards, columns) = self.way.of(layer);
        let change = |x: Tensor<3>| {
            let x = if backwards { x.flip([1]) } else { x };
            if columns { across(x) } else { x }
        };
        self.changed(backwards || columns, x, change)
    }

    fn changed(
        &self,
        any: bool,
        x: Tensor<3>,
        change: impl Fn(Tensor<3>) -> Tensor<3>,
    ) -> Tensor<3> {
        let Range { start, end } = self.patches;
        if !any || start == end {
            return x;
        }
        let part = |place: Range<usize>| {
            (!place.is_empty()).then(|| x.clone().narrow(1, place.start, place.len()))
        };
        let seen = part(start..end).map(change);
        let parts = [part(0..start), seen, part(end..x.dims()[1])];
        Tensor::cat(parts.into_iter().flatten().collect(), 1)
    }
}

/// A square grid, column after column; twice is as before.
fn across(x: Tensor<3>) -> Tensor<3> {
    let [b, patches, c] = x.dims();
    let side = patches.isqrt();
    x.reshape([b, side, side, c]).swap_dims(1, 2).reshape([b, patches, c])
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn row(way: Way, layer: usize) -> (Vec<f32>, Vec<f32>) {
        let x = Tensor::<1>::from_floats([0., 1., 2., 3., 4., 5.], &Device::flex());
        let scan = Scan { patches: 1..5, way };
        let turned = scan.turned(layer, x.reshape([1, 6, 1]));
        let numbers = |x: Tensor<3>| x.into_data().try_to_vec::<f32>().unwrap();
        (numbers(turned.clone()), numbers(scan.back(layer, turned)))
    }

    #[test]
    fn blocks_read_a_picture_in_turns() {
        let text = [0., 1., 2., 3., 4., 5.];
        for (way, layer, expected) in [
            (Way::Forwards, 1, text),
            (Way::Bidirection, 0, text),
            (Way::Bidirection, 3, [0., 4., 3., 2., 1., 5.]),
            (Way::Multidirection, 1, [0., 4., 3., 2., 1., 5.]),
            (Way::Multidirection, 2, [0., 1., 3., 2., 4., 5.]),
            (Way::Multidirection, 3, [0., 4., 2., 3., 1., 5.]),
        ] {
            let (turned, back) = row(way, layer);
            assert_eq!(turned, expected, "{way:?} {layer}");
            assert_eq!(back, text, "{way:?} {layer}");
        }
    }
}
