//! Equations of single numbers, one weight for each channel: one pass forwards, one backwards.

use std::fmt::Debug;
use std::marker::PhantomData;

use super::exp::exp;
use super::rows::{Block, Rows, each_row, sigmoid};
use crate::fused::{Kept, Operation, Saved};

/// What one channel of one token becomes.
pub trait Equation<const N: usize>: Debug + Send + Sync {
    /// From its `N` numbers and the weight of the channel.
    fn value(x: [f32; N], weight: f32) -> f32;

    /// How the value changes with each of the numbers, and with the weight.
    fn slopes(x: [f32; N], weight: f32) -> ([f32; N], f32);
}

/// An equation over tensors `[.., C]`, `N` of them, and behind them the weights `[C]`.
pub struct Pointwise<E, const N: usize>(pub PhantomData<E>);

impl<E, const N: usize> Debug for Pointwise<E, N> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}", std::any::type_name::<E>())
    }
}

impl<E: Equation<N>, const N: usize> Operation for Pointwise<E, N> {
    fn forward(&self, inputs: &[&[f32]], _: bool) -> (Vec<f32>, Kept) {
        let c = inputs[N].len();
        let x = std::array::from_fn(|i| inputs[i]);
        let work = Forward::<E, N> { x, weight: inputs[N], equation: PhantomData };
        let ([y], _) = each_row(inputs[0].len() / c, [c], 0, &work);
        (y, vec![])
    }

    fn backward(&self, saved: Saved, grad: &[f32], _: &[bool]) -> Vec<Vec<f32>> {
        let (weight, c) = (saved.inputs[N], saved.inputs[N].len());
        let x = std::array::from_fn(|i| saved.inputs[i]);
        let work = Backward::<E, N> { x, weight, grad, equation: PhantomData };
        let (found, dweight) = each_row(grad.len() / c, [c; N], c, &work);
        found.into_iter().chain([dweight]).collect()
    }
}

/// The numbers of one channel. A loop: the closure of an array's `map` is not always inlined, and
/// then is no vector code.
#[inline(always)]
fn numbers<const N: usize>(x: &[&[f32]; N], j: usize) -> [f32; N] {
    let mut numbers = [0.0; N];
    for i in 0..N {
        numbers[i] = x[i][j];
    }
    numbers
}

struct Forward<'a, E, const N: usize> {
    x: [&'a [f32]; N],
    weight: &'a [f32],
    equation: PhantomData<E>,
}

impl<E: Equation<N>, const N: usize> Rows<1> for Forward<'_, E, N> {
    #[inline(always)]
    fn block(&self, block: Block<1>, _: &mut [f32]) {
        let c = self.weight.len();
        let [out] = block.out;
        for (row, y) in out.chunks_exact_mut(c).enumerate() {
            let at = (block.first + row) * c;
            let x = self.x.map(|x| &x[at..][..c]);
            for (j, y) in y.iter_mut().enumerate() {
                *y = E::value(numbers(&x, j), self.weight[j]);
            }
        }
    }
}

struct Backward<'a, E, const N: usize> {
    x: [&'a [f32]; N],
    weight: &'a [f32],
    grad: &'a [f32],
    equation: PhantomData<E>,
}

impl<E: Equation<N>, const N: usize> Rows<N> for Backward<'_, E, N> {
    #[inline(always)]
    fn block(&self, mut block: Block<N>, sums: &mut [f32]) {
        let c = self.weight.len();
        let sums = &mut sums[..c];
        for row in 0..block.rows {
            let at = (block.first + row) * c;
            let (x, grad) = (self.x.map(|x| &x[at..][..c]), &self.grad[at..][..c]);
            let out = block.out.each_mut().map(|out| &mut out[row * c..][..c]);
            for j in 0..c {
                let (slopes, along) = E::slopes(numbers(&x, j), self.weight[j]);
                for i in 0..N {
                    out[i][j] = grad[j] * slopes[i];
                }
                sums[j] = grad[j].mul_add(along, sums[j]);
            }
        }
    }
}

/// `sigmoid(x + weight)`.
#[derive(Debug)]
pub struct Sigmoid;

impl Equation<1> for Sigmoid {
    #[inline(always)]
    fn value([x]: [f32; 1], weight: f32) -> f32 {
        sigmoid(x + weight)
    }

    #[inline(always)]
    fn slopes([x]: [f32; 1], weight: f32) -> ([f32; 1], f32) {
        let y = sigmoid(x + weight);
        let slope = y * (1.0 - y);
        ([slope], slope)
    }
}

/// The decay of RWKV-7, `exp(−e^−½·sigmoid(x + weight))`.
#[derive(Debug)]
pub struct Decay;

/// `−e^−½`: the logarithm of the strongest decay.
const STRONGEST: f32 = -0.606_530_66;

impl Equation<1> for Decay {
    #[inline(always)]
    fn value([x]: [f32; 1], weight: f32) -> f32 {
        exp(STRONGEST * sigmoid(x + weight))
    }

    #[inline(always)]
    fn slopes([x]: [f32; 1], weight: f32) -> ([f32; 1], f32) {
        let share = sigmoid(x + weight);
        let slope = exp(STRONGEST * share) * STRONGEST * share * (1.0 - share);
        ([slope], slope)
    }
}

/// `v + (first − v)·sigmoid(x + weight)`.
#[derive(Debug)]
pub struct Lend;

impl Equation<3> for Lend {
    #[inline(always)]
    fn value([v, first, x]: [f32; 3], weight: f32) -> f32 {
        (first - v).mul_add(sigmoid(x + weight), v)
    }

    #[inline(always)]
    fn slopes([v, first, x]: [f32; 3], weight: f32) -> ([f32; 3], f32) {
        let share = sigmoid(x + weight);
        let slope = (first - v) * share * (1.0 - share);
        ([1.0 - share, share, slope], slope)
    }
}

/// `k·(1 + (a − 1)·weight)`.
#[derive(Debug)]
pub struct EditKey;

impl Equation<2> for EditKey {
    #[inline(always)]
    fn value([k, a]: [f32; 2], weight: f32) -> f32 {
        k * (a - 1.0).mul_add(weight, 1.0)
    }

    #[inline(always)]
    fn slopes([k, a]: [f32; 2], weight: f32) -> ([f32; 2], f32) {
        ([(a - 1.0).mul_add(weight, 1.0), k * weight], k * (a - 1.0))
    }
}
