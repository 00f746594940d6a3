//! How many tokens the parallel forms take at once, and which of them sees which.

use burn::tensor::TensorData;

/// Tokens of a chunk; 16 as in the official training kernels.
pub const CHUNK: usize = 16;

/// The chunks of so many tokens, each with its start and size; the last may be shorter.
pub fn split(tokens: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..tokens).step_by(CHUNK).map(move |start| (start, CHUNK.min(tokens - start)))
}

/// A matrix of constants, one for each row and column.
pub fn weights(rows: usize, columns: usize, weight: impl Fn(usize, usize) -> f32) -> TensorData {
    let cells = (0..rows * columns).map(|cell| weight(cell / columns, cell % columns));
    TensorData::new(cells.collect::<Vec<_>>(), [rows, columns])
}
