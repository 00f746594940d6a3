//! What becomes of the rows of a tower: how many of them there are, where the class row stands, and
//! in which order blocks read the rest.

use anyhow::{Context, Result, ensure};
use burn::tensor::Tensor;
use burn::tensor::module::adaptive_avg_pool2d;
use serde::{Deserialize, Serialize};

use super::prompt::Placement;
use crate::rwkv::{Version, Way};
use crate::vision::Features;

/// What becomes of the rows of a tower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How many of them there are.
    pub pool: Pool,
    /// Whether the class row stands before the patches; else it stands behind them.
    pub class_first: bool,
    /// Whether the mean of all patches stands where a class row would, of a tower without one.
    pub mean_row: bool,
    /// In which order blocks read the patches.
    pub way: Way,
    /// Where in a conversation the picture stands.
    pub placement: Placement,
}

/// How many rows a picture becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pool {
    /// One for every patch, with the class row.
    All,
    /// The class row alone (`grid_size` 0).
    Class,
    /// The mean of all patches, with the class row (`grid_size` 1).
    Mean,
    /// The mean of every square of patches, so many squares to a side, with the class row
    /// (`grid_size` 2 and more).
    Grid(usize),
    /// So many in all, each the mean of the patches around it (`num_token_per_image`).
    Adaptive(usize),
}

impl Layout {
    /// As the released models of this version have it.
    pub fn released(version: Version) -> Self {
        let (class_first, way, placement) = match version {
            Version::V6 => (false, Way::Bidirection, Placement::Middle),
            Version::V50 | Version::V51 | Version::V52 => {
                (true, Way::Forwards, Placement::MiddleOfTurn)
            }
            _ => (false, Way::Forwards, Placement::Lines),
        };
        Self { pool: Pool::All, class_first, mean_row: false, way, placement }
    }

    /// How many rows `patches` become; how many of them stand before the patches, and how many
    /// those are. With `class` there is a class row among them.
    ///
    /// # Errors
    /// When the rows cannot be pooled like this.
    pub(super) fn sizes(&self, patches: usize, class: bool) -> Result<(usize, (usize, usize))> {
        let rows = match self.pool {
            Pool::All => patches,
            Pool::Class => return Ok((1, (0, 0))),
            Pool::Mean if self.class_first => return Ok((1, (0, 1))),
            Pool::Mean => 1,
            Pool::Grid(side) => squares_along(patches, side)?.pow(2),
            Pool::Adaptive(rows) => rows,
        };
        let before = usize::from(class && self.class_first);
        Ok((rows + usize::from(class), (before, rows)))
    }

    /// The rows for the language model, `[B, T, D]`.
    pub(super) fn lay(&self, features: Features) -> Result<Tensor<3>> {
        let Features { class, patches } = features;
        let class = class.or_else(|| self.mean_row.then(|| patches.clone().mean_dim(1)));
        let patches = match self.pool {
            Pool::All => patches,
            Pool::Class => {
                return class.context("the tower has no class row; choose another pooling.");
            }
            // The oldest models count the class row in, and show nothing else.
            Pool::Mean if self.class_first => {
                let all = class.into_iter().chain([patches]).collect();
                return Ok(Tensor::cat(all, 1).mean_dim(1));
            }
            Pool::Mean => patches.mean_dim(1),
            Pool::Grid(side) => squares(patches, side)?,
            Pool::Adaptive(rows) => around(patches, rows)?,
        };
        Ok(match class {
            None => patches,
            Some(class) if self.class_first => Tensor::cat(vec![class, patches], 1),
            Some(class) => Tensor::cat(vec![patches, class], 1),
        })
    }
}

/// How many squares fit along a side; where they do not cover the grid, there may be more of them
/// than `side`.
fn squares_along(patches: usize, side: usize) -> Result<usize> {
    let grid = patches.isqrt();
    ensure!(
        (1..=grid).contains(&side),
        "a picture of {grid} × {grid} patches has no {side} × {side} squares."
    );
    Ok(grid / (grid / side))
}

/// Means of squares, as many patches wide as `side` of them fit into a side of the picture.
fn squares(patches: Tensor<3>, side: usize) -> Result<Tensor<3>> {
    let [b, count, d] = patches.dims();
    let (grid, fit) = (count.isqrt(), squares_along(count, side)?);
    let wide = grid / side;
    let x = patches.reshape([b, grid, grid, d]);
    let x = x.narrow(1, 0, fit * wide).narrow(2, 0, fit * wide);
    let x = x.reshape([b, fit, wide, fit, wide, d]).mean_dim(4).mean_dim(2);
    Ok(x.reshape([b, fit * fit, d]))
}

/// As many means as `rows` says, each of the patches around its place.
fn around(patches: Tensor<3>, rows: usize) -> Result<Tensor<3>> {
    let [b, count, d] = patches.dims();
    let (grid, side) = (count.isqrt(), rows.isqrt());
    ensure!(side > 0 && side * side == rows, "{rows} rows are no square of rows.");
    let x = patches.swap_dims(1, 2).reshape([b, d, grid, grid]);
    Ok(adaptive_avg_pool2d(x, [side, side]).reshape([b, d, rows]).swap_dims(1, 2))
}
