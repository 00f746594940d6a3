//! Matrix products of numbers rounded to bf16, summed up in f32.
//!
//! Where the machine multiplies bf16 itself, both factors are cut into strips of 16 vectors and
//! those into tiles of 16 × 32 rounded numbers; nothing rounded outlives the product. Elsewhere
//! rounded f32 are multiplied as f32: the results differ by the order of summation only.

use machine::Unit;

mod machine;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub use machine::{by_parts, few_by_tiles};

/// Elsewhere there are no tiles.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub fn few_by_tiles<'a>(
    _: &[f32],
    _: super::few::Laid<'a>,
    _: super::lanes::Unit,
    y: &'a mut [f32],
) -> Result<Box<dyn super::team::Pieces + 'a>, &'a mut [f32]> {
    Err(y)
}

/// Elsewhere there are no tiles.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub fn by_parts(_: &[f32], _: &super::packed::Stored) -> Option<Vec<f32>> {
    None
}

/// A factor of a product, as a row of vectors: what is multiplied and summed up runs along each.
#[derive(Clone, Copy)]
pub struct Factor<'a> {
    numbers: &'a [f32],
    /// Numbers in a stored row.
    width: usize,
    /// Whether the vectors are the stored rows; else they are the columns.
    rows: bool,
}

impl<'a> Factor<'a> {
    /// The rows of a matrix of this width.
    pub fn rows(numbers: &'a [f32], width: usize) -> Self {
        Self { numbers, width, rows: true }
    }

    /// The columns of a matrix of this width.
    pub fn columns(numbers: &'a [f32], width: usize) -> Self {
        Self { numbers, width, rows: false }
    }

    /// How many vectors there are, and how long they are.
    fn size(self) -> (usize, usize) {
        let height = self.numbers.len() / self.width.max(1);
        if self.rows { (height, self.width) } else { (self.width, height) }
    }
}

/// All products of a vector of `left` and one of `right`: `[vectors of left, vectors of right]`.
///
/// Each number is rounded to the nearest bf16, of two to the even one. Numbers below 1.2e-38, the
/// smallest with all its digits, may count as zero.
pub fn matmul(left: Factor, right: Factor) -> Vec<f32> {
    multiply(left, right, machine::best())
}

fn multiply(left: Factor, right: Factor, unit: Unit) -> Vec<f32> {
    let ((m, depth), (n, same)) = (left.size(), right.size());
    assert_eq!(depth, same, "vectors of a product are equally long");
    if m * n * depth == 0 {
        return vec![0.0; m * n];
    }
    match unit {
        #[cfg(target_arch = "x86_64")]
        Unit::Tiles(unit) => machine::tiled(left, right, unit),
        Unit::Numbers => machine::numbers(left, right),
    }
}

/// The nearest bf16, as f32.
#[inline(always)]
fn round(x: f32) -> f32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1));
    // Rounding up could make a number of what is not a number.
    f32::from_bits(if x.is_nan() { bits | 0x0040_0000 } else { rounded } & 0xFFFF_0000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_goes_to_the_nearest_and_then_to_the_even() {
        // Between 1 and 2 a bf16 has steps of 1/128.
        for (x, expected) in [
            (1.0, 1.0),
            (1.0 + 0.49 / 128.0, 1.0),
            (1.0 + 0.5 / 128.0, 1.0),
            (1.0 + 0.51 / 128.0, 1.0 + 1.0 / 128.0),
            (1.0 + 1.5 / 128.0, 1.0 + 2.0 / 128.0),
            (-1.0 - 0.51 / 128.0, -1.0 - 1.0 / 128.0),
            (0.0, 0.0),
            (f32::INFINITY, f32::INFINITY),
            (f32::MAX, f32::INFINITY),
        ] {
            assert_eq!(round(x), expected, "{x}");
        }
        assert!(round(f32::NAN).is_nan());
        assert!(round(f32::from_bits(0x7F80_0001)).is_nan());
    }

    /// Numbers that need rounding, the same at every run.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        let number = |i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.3 - 1.0;
        (0..count).map(number).collect()
    }

    /// Whole blocks, one more, one less, single vectors, several threads.
    const SIZES: [[usize; 3]; 9] = [
        [1, 1, 1],
        [16, 16, 32],
        [32, 32, 64],
        [17, 33, 31],
        [1, 40, 65],
        [64, 16, 96],
        [65, 15, 100],
        [130, 70, 7],
        [200, 300, 129],
    ];

    /// The matrix turned: rows become columns.
    fn turned(x: &[f32], width: usize) -> Vec<f32> {
        let height = x.len() / width;
        (0..x.len()).map(|i| x[i % height * width + i / height]).collect()
    }

    #[test]
    fn every_unit_and_layout_gives_the_products_of_rounded_numbers() {
        let rounded = |x: &f32| f64::from(round(*x));
        for [m, n, depth] in SIZES {
            let (left, right) = (numbers(m * depth, 1), numbers(n * depth, 2));
            let (left_turned, right_turned) = (turned(&left, depth), turned(&right, depth));
            let product = |i: usize| -> f64 {
                let (left, right) = (&left[i / n * depth..], &right[i % n * depth..]);
                left.iter().zip(right).take(depth).map(|(x, y)| rounded(x) * rounded(y)).sum()
            };
            let expected: Vec<f64> = (0..m * n).map(product).collect();
            for unit in machine::units() {
                for x in [Factor::rows(&left, depth), Factor::columns(&left_turned, m)] {
                    for y in [Factor::rows(&right, depth), Factor::columns(&right_turned, n)] {
                        let found = multiply(x, y, unit);
                        let far = found.iter().zip(&expected);
                        let far = far.map(|(x, y)| (f64::from(*x) - y).abs()).fold(0.0, f64::max);
                        assert!(far < 1e-6 * depth as f64, "{unit:?} {m} {n} {depth}: {far:e}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_numbers_have_no_products_and_what_is_not_a_number_stays_so() {
        assert!(matmul(Factor::rows(&[], 8), Factor::rows(&numbers(16, 1), 8)).is_empty());
        assert_eq!(matmul(Factor::columns(&[], 2), Factor::columns(&[], 1)), [0.0, 0.0]);
        let mut left = numbers(40, 1);
        left[3] = f32::NAN;
        for unit in machine::units() {
            let right = numbers(40, 2);
            let found = multiply(Factor::rows(&left, 20), Factor::rows(&right, 20), unit);
            let found: Vec<_> = found.iter().map(|x| x.is_nan()).collect();
            assert_eq!(found, [true, true, false, false], "{unit:?}");
        }
    }
}
