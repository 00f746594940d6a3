//! Starting values for training: named tensors, made from a seed, loaded like any checkpoint.

use anyhow::{Result, bail, ensure};
use ndarray::{Array2, Axis};

use super::{Version, v4, v5, v6, v7};
use crate::random::Random;
use crate::weights::Named;

/// How large a new model is to be.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Number of blocks.
    pub n_layer: usize,
    /// Channels of the residual stream.
    pub n_embd: usize,
    /// Channels of one head; RWKV-4 has no heads and takes no notice.
    pub head_size: usize,
    /// Number of different tokens.
    pub vocab_size: usize,
    /// Channels inside channel-mix.
    pub dim_ffn: usize,
    /// Widths of the thin matrices of RWKV-7 in the order `w a v g`, of RWKV-6 in the order blend,
    /// decay; 0 for the official rule.
    pub ranks: [usize; 4],
}

impl Sizes {
    /// The named tensors of a new model.
    ///
    /// # Errors
    /// When a size is zero or the channels cannot be cut into heads.
    pub fn fresh(&self, version: Version, seed: u64) -> Result<Named> {
        self.started(version, Fresh::new(seed))
    }

    /// [`Sizes::fresh`] with zeros in the matrices that would be orthogonal, which takes no time: for
    /// those who put other numbers there.
    ///
    /// # Errors
    /// As [`Sizes::fresh`].
    pub fn outline(&self, version: Version) -> Result<Named> {
        self.started(version, Fresh { outline: true, ..Fresh::new(0) })
    }

    fn started(&self, version: Version, new: Fresh) -> Result<Named> {
        let Self { n_layer, n_embd, head_size, vocab_size, dim_ffn, .. } = *self;
        ensure!(
            [n_layer, n_embd, head_size, vocab_size, dim_ffn].iter().all(|&n| n > 0),
            "every size of a new model must be at least 1: {self:?}."
        );
        ensure!(
            version == Version::V4 || n_embd % head_size == 0,
            "n_embd {n_embd} is not a multiple of head_size {head_size}."
        );
        Ok(match version {
            Version::V4 => v4::fresh(self, new),
            Version::V50 | Version::V51 | Version::V52 => v5::fresh(version, self, new),
            Version::V6 => v6::fresh(self, new),
            Version::V7 => v7::fresh(self, new),
            Version::V4a | Version::V7a => bail!(
                "no starting values were ever published for {version}; load a trained checkpoint, \
                 or start with {}.",
                if version == Version::V4a { Version::V4 } else { Version::V7 }
            ),
        })
    }

    /// How deep a block lies, from 0 (first) to 1 (last), and the share of blocks from it on.
    pub(super) fn depth(&self, layer: usize) -> (f32, f32) {
        let last = (self.n_layer - 1).max(1);
        (layer as f32 / last as f32, 1.0 - layer as f32 / self.n_layer as f32)
    }

    /// The thin matrices of RWKV-7 with their widths; the official rule where none is given
    /// (RWKV-LM, RWKV-v5/src/model.py): 1.8·√C, 1.8·√C, 1.3·√C, 0.6·C^0.8, in steps of 32.
    pub(super) fn ranks(&self) -> [(&'static str, usize); 4] {
        let c = self.n_embd as f64;
        let official =
            [1.8 * c.sqrt(), 1.8 * c.sqrt(), 1.3 * c.sqrt(), 0.6 * c.powf(0.8)].map(steps_of_32);
        let rank = |i: usize| if self.ranks[i] == 0 { official[i] } else { self.ranks[i] };
        [("w", rank(0)), ("a", rank(1)), ("v", rank(2)), ("g", rank(3))]
    }

    /// Widths of the thin matrices of RWKV-6, of the blends and of the decay; the official rule is
    /// 32 and 64, twice that from 4096 channels on.
    pub(super) fn ranks_of_v6(&self) -> (usize, usize) {
        let double = if self.n_embd >= 4096 { 2 } else { 1 };
        let rank = |i: usize, official| if self.ranks[i] == 0 { official } else { self.ranks[i] };
        (rank(0, 32 * double), rank(1, 64 * double))
    }
}

fn steps_of_32(width: f64) -> usize {
    ((width / 32.0).round_ties_even() as usize * 32).max(32)
}

/// Collects the tensors of a new model.
pub struct Fresh {
    named: Named,
    random: Random,
    /// Whether orthogonal matrices stay zeros.
    outline: bool,
}

impl Fresh {
    pub(crate) fn new(seed: u64) -> Self {
        Self { named: Named::new(), random: Random::new(seed), outline: false }
    }

    pub(crate) fn done(self) -> Named {
        self.named
    }

    fn put(&mut self, name: &str, shape: &[usize], values: Vec<f32>) {
        self.named.insert(name.to_string(), (shape.to_vec(), values));
    }

    /// Each number by its place.
    pub(crate) fn each<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
        value: impl Fn(usize) -> f32,
    ) {
        let size = shape.iter().product();
        self.put(name, &shape, (0..size).map(value).collect());
    }

    /// `name.weight` of ones and `name.bias` of zeros.
    pub(crate) fn norm(&mut self, name: &str, channels: usize) {
        self.each(&format!("{name}.weight"), [channels], |_| 1.0);
        self.each(&format!("{name}.bias"), [channels], |_| 0.0);
    }

    /// Even between `-bound` and `bound`.
    pub(crate) fn uniform<const D: usize>(&mut self, name: &str, shape: [usize; D], bound: f32) {
        let size = shape.iter().product::<usize>();
        let values = (0..size).map(|_| (self.random.unit() * 2.0 - 1.0) * bound).collect();
        self.put(name, &shape, values);
    }

    /// Rows, or columns where there are fewer of them, at right angles and of length `gain`.
    pub(super) fn orthogonal(&mut self, name: &str, [rows, columns]: [usize; 2], gain: f32) {
        if self.outline {
            return self.each(name, [rows, columns], |_| 0.0);
        }
        let (long, short) = (rows.max(columns), rows.min(columns));
        let normal =
            Array2::from_shape_simple_fn((long, short), || f64::from(self.random.normal()));
        // Twice, because the first time rounding leaves them a little askew.
        let q = right_angles(right_angles(normal));
        let q = if rows >= columns { q } else { q.reversed_axes() };
        let values = q.iter().map(|&x| x as f32 * gain).collect();
        self.put(name, &[rows, columns], values);
    }
}

/// Columns of the same span at right angles, of length one: `A·L⁻ᵀ` where `AᵀA = L·Lᵀ`.
fn right_angles(a: Array2<f64>) -> Array2<f64> {
    let l = cholesky(a.t().dot(&a));
    a.dot(&inverse_of_lower(&l).t())
}

fn cholesky(mut a: Array2<f64>) -> Array2<f64> {
    for j in 0..a.nrows() {
        let (_, mut below) = a.view_mut().split_at(Axis(0), j);
        let pivot = below[[0, j]] - below.row(0).iter().take(j).map(|x| x * x).sum::<f64>();
        let pivot = pivot.sqrt();
        let row: Vec<f64> = below.row(0).iter().take(j).copied().collect();
        below[[0, j]] = pivot;
        for mut other in below.rows_mut().into_iter().skip(1) {
            let known: f64 = other.iter().zip(&row).map(|(x, y)| x * y).sum();
            other[j] = (other[j] - known) / pivot;
        }
    }
    for ((i, j), x) in a.indexed_iter_mut() {
        if j > i {
            *x = 0.0;
        }
    }
    a
}

fn inverse_of_lower(l: &Array2<f64>) -> Array2<f64> {
    let n = l.nrows();
    let mut inverse = Array2::<f64>::zeros((n, n));
    for i in 0..n {
        let mut row = vec![0.0; n];
        row[i] = 1.0;
        for k in 0..i {
            let factor = l[[i, k]];
            for (x, y) in row.iter_mut().zip(inverse.row(k)) {
                *x -= factor * y;
            }
        }
        for (x, y) in inverse.row_mut(i).iter_mut().zip(row) {
            *x = y / l[[i, i]];
        }
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes() -> Sizes {
        Sizes { n_layer: 2, n_embd: 8, head_size: 4, vocab_size: 6, dim_ffn: 32, ranks: [2; 4] }
    }

    #[test]
    fn orthogonal_rows_or_columns() {
        for shape in [[5, 3], [3, 5], [4, 4], [40, 1]] {
            let mut new = Fresh::new(1);
            new.orthogonal("x", shape, 2.0);
            let x = Array2::from_shape_vec((shape[0], shape[1]), new.named["x"].1.clone()).unwrap();
            let square = if shape[0] >= shape[1] { x.t().dot(&x) } else { x.dot(&x.t()) };
            for ((i, j), value) in square.indexed_iter() {
                let expected = if i == j { 4.0 } else { 0.0 };
                assert!((value - expected).abs() < 1e-5, "{shape:?} {square}");
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_model() {
        let known =
            [Version::V4, Version::V50, Version::V51, Version::V52, Version::V6, Version::V7];
        for version in known {
            let of = |seed| sizes().fresh(version, seed).unwrap();
            assert_eq!(of(3), of(3));
            assert_ne!(of(3), of(4));
        }
        for version in [Version::V4a, Version::V7a] {
            let error = sizes().fresh(version, 3).unwrap_err().to_string();
            assert!(error.contains("published"), "{error}");
        }
    }

    #[test]
    fn official_widths() {
        let of = |n_embd| Sizes { n_embd, ranks: [0; 4], ..sizes() }.ranks().map(|(_, n)| n);
        assert_eq!(of(768), [64, 64, 32, 128]);
        assert_eq!(of(2048), [96, 96, 64, 256]);
    }

    #[test]
    fn starting_values_checked_by_hand() {
        let new = sizes().fresh(Version::V7, 0).unwrap();
        let x_r = &new["blocks.0.att.x_r"].1;
        assert!((x_r[0] - 1.0).abs() < 1e-6 && (x_r[4] - (1.0 - 0.5f32.powf(0.2))).abs() < 1e-6);
        // First channel, first of its head: -6 + 0 + 0.5 - 2.5.
        assert!((new["blocks.0.att.w0"].1[0] + 8.0).abs() < 1e-6);
        assert!((new["blocks.1.att.ln_x.weight"].1[0] - 1.0).abs() < 1e-6);
        assert!(!new.contains_key("blocks.0.att.v0"));
        assert!(new["blocks.1.att.v0"].1[0] > 0.9);
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let odd = Sizes { head_size: 3, ..sizes() };
        assert!(odd.fresh(Version::V7, 0).unwrap_err().to_string().contains("multiple"));
        let none = Sizes { n_layer: 0, ..sizes() };
        assert!(none.fresh(Version::V4, 0).unwrap_err().to_string().contains("at least 1"));
    }
}
