//! Work on tensors row by row: cut into blocks for threads, compiled for the machine's vectors.

use std::mem::MaybeUninit;

use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::exp::exp;
use super::place::zeroed;

/// Rows of a block: few enough for the first caches. The same for any number of threads, so that
/// sums over blocks have the same rounding.
const BLOCK: usize = 32;

/// A calculation on blocks of rows; what is not inlined into it does not get the wide vectors.
pub trait Rows<const N: usize>: Sync {
    /// Fills the rows of the block; `sums` gathers what is summed over all rows.
    fn block(&self, block: Block<N>, sums: &mut [f32]);
}

/// Some rows of every output.
pub struct Block<'a, const N: usize, T = f32> {
    /// The first of its rows.
    pub first: usize,
    /// How many rows.
    pub rows: usize,
    /// Rows of each output, one behind the other.
    pub out: [&'a mut [T]; N],
}

/// Runs `work` over `rows` rows of `N` new outputs, which are as wide as `widths` say. Returns the
/// outputs and `sums` numbers, summed over the blocks in order.
pub fn each_row<const N: usize>(
    rows: usize,
    widths: [usize; N],
    sums: usize,
    work: &impl Rows<N>,
) -> ([Vec<f32>; N], Vec<f32>) {
    let mut outs = widths.map(|width| Vec::with_capacity(rows * width));
    let mut spare = outs.each_mut().map(|out| out.spare_capacity_mut());
    for (spare, width) in spare.iter_mut().zip(widths) {
        *spare = &mut std::mem::take(spare)[..rows * width];
    }
    let part = |part: Block<N, MaybeUninit<f32>>| {
        let out = part.out.map(zeroed);
        run(work, Block { first: part.first, rows: part.rows, out }, sums)
    };
    let sums = if rows <= BLOCK {
        part(Block { first: 0, rows, out: spare })
    } else {
        in_order(cut(rows, widths, spare).into_par_iter().map(part).collect(), sums)
    };
    for (out, width) in outs.iter_mut().zip(widths) {
        // SAFETY: the blocks have all rows, and every number of them has been written.
        #[allow(unsafe_code)]
        unsafe {
            out.set_len(rows * width);
        }
    }
    (outs, sums)
}

/// [`each_row`] that changes `rows` rows of `outs` where they are.
pub fn change_each_row<const N: usize>(
    rows: usize,
    widths: [usize; N],
    outs: [&mut [f32]; N],
    work: &impl Rows<N>,
) {
    let blocks = cut(rows, widths, outs).into_par_iter();
    blocks.for_each(|block| drop(run(work, block, 0)));
}

/// All rows of the outputs, in blocks.
fn cut<T, const N: usize>(
    rows: usize,
    widths: [usize; N],
    mut outs: [&mut [T]; N],
) -> Vec<Block<'_, N, T>> {
    let blocks = (0..rows).step_by(BLOCK).map(|first| {
        let rows = BLOCK.min(rows - first);
        let mut part = |i: usize| {
            let part = outs[i].split_off_mut(..rows * widths[i]);
            part.expect("the outputs have all rows")
        };
        Block { first, rows, out: std::array::from_fn(&mut part) }
    });
    blocks.collect()
}

fn run<const N: usize>(work: &impl Rows<N>, block: Block<N>, sums: usize) -> Vec<f32> {
    let mut sums = vec![0.0; sums];
    widely(Task { work, block, sums: &mut sums });
    sums
}

fn in_order(parts: Vec<Vec<f32>>, sums: usize) -> Vec<f32> {
    parts.into_iter().reduce(added).unwrap_or_else(|| vec![0.0; sums])
}

/// A call as a type: only what is inlined into it is compiled for the machine's vectors.
struct Task<'a, 'b, R, const N: usize> {
    work: &'a R,
    block: Block<'b, N>,
    sums: &'a mut [f32],
}

impl<R: Rows<N>, const N: usize> NullaryFnOnce for Task<'_, '_, R, N> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.work.block(self.block, self.sums);
    }
}

fn added(mut sums: Vec<f32>, more: Vec<f32>) -> Vec<f32> {
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    sums
}

/// Runs `work` compiled for the machine's vectors.
pub fn widely<T>(work: impl NullaryFnOnce<Output = T>) -> T {
    Arch::new().dispatch(work)
}

/// The sum, in 16 running sums so that it fills vector registers.
#[inline(always)]
pub fn sum(x: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let x = x.chunks_exact(16);
    let rest: f32 = x.remainder().iter().sum();
    for x in x {
        for i in 0..16 {
            sums[i] += x[i];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// The sum of products, in 16 running sums.
#[inline(always)]
pub fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let (x, y) = (x.chunks_exact(16), y.chunks_exact(16));
    let rest: f32 = x.remainder().iter().zip(y.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in x.zip(y) {
        for i in 0..16 {
            sums[i] = x[i].mul_add(y[i], sums[i]);
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_do_not_depend_on_the_length() {
        for n in [0, 1, 15, 16, 17, 100] {
            let x: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let triangle = (n * n.max(1) - n) as f32 / 2.0;
            assert_eq!(sum(&x), triangle);
            assert_eq!(dot(&x, &vec![2.0; n]), 2.0 * triangle);
        }
    }
}
