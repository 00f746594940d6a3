//! How many directions a memory uses: the singular values of a head's matrix.

use anyhow::{Result, ensure};
use burn::tensor::{Device, Tensor, TensorData};
use burn_linalg::svd;

use super::State;
use crate::tensor::Array;

/// The singular values of a matrix, largest first, and what they say of its rank.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    /// Singular values, largest first.
    pub values: Vec<f64>,
    /// How many numbers the matrix has.
    numbers: usize,
}

impl Spectrum {
    /// The spectrum of `[value, key]`.
    ///
    /// # Errors
    /// When it is no matrix or holds a number that is not finite.
    pub fn of(matrix: &Array) -> Result<Self> {
        let [_, values, _] = singular(matrix)?;
        let values = values.values().into_iter().map(f64::from).collect();
        Ok(Self { values, numbers: matrix.len() })
    }

    fn squares(&self) -> f64 {
        self.values.iter().map(|s| s * s).sum()
    }

    /// Root of the mean square of the numbers of the matrix.
    pub fn rms(&self) -> f64 {
        (self.squares() / self.numbers as f64).sqrt()
    }

    /// `‖S‖² / σ₁²`: 1 where one direction holds everything; 0 for an empty memory.
    pub fn stable_rank(&self) -> f64 {
        let first = self.values.first().copied().unwrap_or_default();
        or_zero(self.squares() / (first * first))
    }

    /// `exp(−Σ p ln p)` with `p = σ / Σσ` (Roy and Vetterli 2007): directions in use.
    pub fn effective_rank(&self) -> f64 {
        let sum: f64 = self.values.iter().sum();
        let shares = self.values.iter().map(|s| s / sum).filter(|p| *p > 0.0);
        if sum > 0.0 { (-shares.map(|p| p * p.ln()).sum::<f64>()).exp() } else { 0.0 }
    }

    /// `(Σσ²)² / Σσ⁴`: as the effective rank, but small values count less.
    pub fn participation_ratio(&self) -> f64 {
        or_zero(self.squares().powi(2) / self.values.iter().map(|s| s.powi(4)).sum::<f64>())
    }
}

/// 0 in place of 0 / 0.
fn or_zero(x: f64) -> f64 {
    if x.is_nan() { 0.0 } else { x }
}

/// `S = U·diag(σ)·Vᵀ` with σ from large to small: U `[value, rank]`, σ `[rank]`, V `[key, rank]`.
///
/// # Errors
/// When it is no matrix or holds a number that is not finite.
pub fn singular(matrix: &Array) -> Result<[Array; 3]> {
    let &[rows, columns] = matrix.shape() else {
        anyhow::bail!("singular values are of a matrix, not of shape {:?}.", matrix.shape());
    };
    let values = matrix.values();
    ensure!(values.iter().all(|x| x.is_finite()), "the matrix holds a number that is not finite.");
    let s = Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), &Device::flex());
    let (u, sigma, v) = svd::<2, 1>(s, SWEEPS);
    Ok([Array::of(u), Array::of(sigma), Array::of(v.transpose())])
}

/// Rounds after which the algorithm gives up; it needs two or three per singular value.
const SWEEPS: usize = 1000;

impl State {
    /// The matrix of one head of one layer, `[value, key]`.
    ///
    /// # Errors
    /// When there is no such layer or head, and in RWKV-4, which has no matrices.
    pub fn head(&self, layer: usize, head: usize) -> Result<Array> {
        ensure!(
            !self.is_v4(),
            "RWKV-4 keeps sums (aa, bb, pp), not a matrix per head; take an RWKV-5, 6 or 7."
        );
        let wkv = self.part(layer, "wkv")?;
        let heads = wkv.shape()[0];
        ensure!(head < heads, "layer {layer} has no head {head}; it has {heads}.");
        wkv.at(head as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spectrum(rows: usize, values: &[f32]) -> Spectrum {
        Spectrum::of(&Array::new(&[rows, values.len() / rows], values.to_vec()).unwrap()).unwrap()
    }

    #[test]
    fn ranks_of_matrices_known_by_hand() {
        let even = spectrum(3, &[2., 0., 0., 0., 2., 0., 0., 0., -2.]);
        for rank in [even.stable_rank(), even.effective_rank(), even.participation_ratio()] {
            assert!((rank - 3.0).abs() < 1e-6, "{even:?}");
        }
        assert!((even.rms() - (12.0f64 / 9.0).sqrt()).abs() < 1e-6);
        let one = spectrum(2, &[1., 2., 3., 2., 4., 6.]); // an outer product
        assert!((one.stable_rank() - 1.0).abs() < 1e-6 && one.values[1] < 1e-6);
        let empty = spectrum(2, &[0.0; 4]);
        assert_eq!([empty.stable_rank(), empty.effective_rank()], [0.0, 0.0]);
        assert_eq!(empty.participation_ratio(), 0.0);
    }

    #[test]
    fn the_pieces_make_the_matrix_again() {
        let values: Vec<f32> = (0..12).map(|i| (i as f32 * 1.7).sin()).collect();
        for shape in [[3, 4], [4, 3], [2, 6]] {
            let matrix = Array::new(&shape, values.clone()).unwrap();
            let [u, sigma, v] = singular(&matrix).unwrap();
            let again = u.zip(&sigma, |u, s| u * s).unwrap().matmul(&v.transpose().unwrap());
            assert!(again.unwrap().max_abs_diff(&matrix).unwrap() < 1e-6);
            assert!(sigma.values().is_sorted_by(|a, b| a >= b));
        }
        assert!(singular(&Array::vector(values)).is_err());
        assert!(singular(&Array::full(&[2, 2], f32::NAN)).is_err());
    }
}
