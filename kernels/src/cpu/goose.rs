//! Work on whole heads of RWKV-7: the unit key, and what is read out; forwards and backwards.

use super::norm::{back, moments};
use super::rows::{Block, Rows, dot, each_row};
use crate::fused::{Kept, Operation, Saved};

/// Inputs `k` `[.., C]` and a weight `[C]`: `k·weight`, scaled to length 1 in each head; see
/// [`crate::unit_key`].
#[derive(Debug)]
pub struct UnitKey {
    /// Channels of a head.
    pub n: usize,
}

/// A shorter key than this counts as this long.
const SHORTEST: f32 = 1e-12;

impl Operation for UnitKey {
    fn forward(&self, inputs: &[&[f32]], _: bool) -> (Vec<f32>, Kept) {
        let (k, c) = (inputs[0], inputs[1].len());
        let work = Unit { n: self.n, k, weight: inputs[1] };
        let ([y], _) = each_row(k.len() / c, [c], 0, &work);
        (y, vec![])
    }

    fn backward(&self, saved: Saved, grad: &[f32], _: &[bool]) -> Vec<Vec<f32>> {
        let (k, weight) = (saved.inputs[0], saved.inputs[1]);
        let c = weight.len();
        let work = UnitBack { forward: Unit { n: self.n, k, weight }, grad };
        let ([dk], dweight) = each_row(k.len() / c, [c], c, &work);
        vec![dk, dweight]
    }
}

struct Unit<'a> {
    n: usize,
    k: &'a [f32],
    weight: &'a [f32],
}

impl Unit<'_> {
    /// The key of a head before it is scaled, into `key`; returns the scale.
    #[inline(always)]
    fn key(&self, k: &[f32], at: usize, key: &mut [f32]) -> f32 {
        let n = self.n;
        let (weight, k, key) = (&self.weight[at..][..n], &k[..n], &mut key[..n]);
        for j in 0..n {
            key[j] = k[j] * weight[j];
        }
        1.0 / dot(key, key).sqrt().max(SHORTEST)
    }
}

impl Rows<1> for Unit<'_> {
    #[inline(always)]
    fn block(&self, block: Block<1>, _: &mut [f32]) {
        let (n, c) = (self.n, self.weight.len());
        let [out] = block.out;
        for (head, y) in out.chunks_exact_mut(n).enumerate() {
            let k = &self.k[block.first * c + head * n..][..n];
            let scale = self.key(k, head * n % c, y);
            y.iter_mut().for_each(|y| *y *= scale);
        }
    }
}

struct UnitBack<'a> {
    forward: Unit<'a>,
    grad: &'a [f32],
}

impl Rows<1> for UnitBack<'_> {
    #[inline(always)]
    fn block(&self, block: Block<1>, sums: &mut [f32]) {
        let Unit { n, k, weight } = self.forward;
        let c = weight.len();
        let mut key = vec![0.0; n];
        let key = &mut key[..n];
        let [out] = block.out;
        for (head, dk) in out.chunks_exact_mut(n).enumerate() {
            let (at, here) = (head * n % c, block.first * c + head * n);
            let (k, grad) = (&k[here..][..n], &self.grad[here..][..n]);
            let (weight, sums) = (&weight[at..][..n], &mut sums[at..][..n]);
            let scale = self.forward.key(k, at, key);
            // What would change the length is taken out of the gradient.
            let along = dot(key, grad) * scale * scale;
            for j in 0..n {
                let slope = (grad[j] - key[j] * along) * scale;
                dk[j] = slope * weight[j];
                sums[j] = slope.mul_add(k[j], sums[j]);
            }
        }
    }
}

/// Inputs `y r k v g` `[.., C]`, `r_k weight bias` `[C]`; see [`crate::read_out`].
#[derive(Debug)]
pub struct ReadOut {
    /// Channels of a head.
    pub n: usize,
    /// Added to the variance of a head.
    pub epsilon: f32,
}

impl Operation for ReadOut {
    fn forward(&self, inputs: &[&[f32]], _: bool) -> (Vec<f32>, Kept) {
        let c = inputs[5].len();
        let work = Read { own: self, inputs: std::array::from_fn(|i| inputs[i]) };
        let ([out], _) = each_row(inputs[0].len() / c, [c], 0, &work);
        (out, vec![])
    }

    fn backward(&self, saved: Saved, grad: &[f32], _: &[bool]) -> Vec<Vec<f32>> {
        let c = saved.inputs[5].len();
        let inputs = std::array::from_fn(|i| saved.inputs[i]);
        let work = ReadBack { forward: Read { own: self, inputs }, grad };
        let (found, mut sums) = each_row(grad.len() / c, [c; 5], 3 * c, &work);
        let dbias = sums.split_off(2 * c);
        let dweight = sums.split_off(c);
        found.into_iter().chain([sums, dweight, dbias]).collect()
    }
}

struct Read<'a> {
    own: &'a ReadOut,
    inputs: [&'a [f32]; 8],
}

/// How much of the value of this very token is read: `Σ r·k·r_k`.
#[inline(always)]
fn bonus(r: &[f32], k: &[f32], r_k: &[f32], kept: &mut [f32]) -> f32 {
    let n = r.len();
    let (k, r_k, kept) = (&k[..n], &r_k[..n], &mut kept[..n]);
    for j in 0..n {
        kept[j] = k[j] * r_k[j];
    }
    dot(r, kept)
}

impl Rows<1> for Read<'_> {
    #[inline(always)]
    fn block(&self, block: Block<1>, _: &mut [f32]) {
        let (n, c) = (self.own.n, self.inputs[5].len());
        let [out] = block.out;
        for (head, out) in out.chunks_exact_mut(n).enumerate() {
            let (at, here) = (head * n % c, block.first * c + head * n);
            let [y, r, k, v, g] = std::array::from_fn(|i| &self.inputs[i][here..][..n]);
            let [r_k, weight, bias] = std::array::from_fn(|i| &self.inputs[5 + i][at..][..n]);
            let bonus = bonus(r, k, r_k, out);
            let (mean, scale) = moments(y, self.own.epsilon);
            for j in 0..n {
                let normed = ((y[j] - mean) * scale).mul_add(weight[j], bias[j]);
                out[j] = v[j].mul_add(bonus, normed) * g[j];
            }
        }
    }
}

struct ReadBack<'a> {
    forward: Read<'a>,
    grad: &'a [f32],
}

impl Rows<5> for ReadBack<'_> {
    #[inline(always)]
    fn block(&self, mut block: Block<5>, sums: &mut [f32]) {
        let Read { own, inputs } = &self.forward;
        let (n, c) = (own.n, inputs[5].len());
        let mut rows = vec![0.0; 3 * n];
        let (hat, rest) = rows.split_at_mut(n);
        let (slope, open) = rest.split_at_mut(n);
        let (sum_r_k, rest) = sums.split_at_mut(c);
        let (sum_weight, sum_bias) = rest.split_at_mut(c);
        for head in 0..block.rows * (c / n) {
            let (at, here) = (head * n % c, block.first * c + head * n);
            let [y, r, k, v, g] = std::array::from_fn(|i| &inputs[i][here..][..n]);
            let [r_k, weight, bias] = std::array::from_fn(|i| &inputs[5 + i][at..][..n]);
            let grad = &self.grad[here..][..n];
            let outs = block.out.each_mut().map(|out| &mut out[head * n..][..n]);
            let [dy, dr, dk, dv, dg] = outs;
            let (hat, slope, open) = (&mut hat[..n], &mut slope[..n], &mut open[..n]);
            let (sum_weight, sum_bias) = (&mut sum_weight[at..][..n], &mut sum_bias[at..][..n]);
            let bonus = bonus(r, k, r_k, open);
            let (mean, scale) = moments(y, own.epsilon);
            for j in 0..n {
                hat[j] = (y[j] - mean) * scale;
                let shown = v[j].mul_add(bonus, hat[j].mul_add(weight[j], bias[j]));
                dg[j] = grad[j] * shown;
                open[j] = grad[j] * g[j]; // the gradient before the gate
                dv[j] = open[j] * bonus;
                slope[j] = open[j] * weight[j];
                sum_weight[j] = open[j].mul_add(hat[j], sum_weight[j]);
                sum_bias[j] += open[j];
            }
            let more = dot(open, v);
            let sum_r_k = &mut sum_r_k[at..][..n];
            for j in 0..n {
                dr[j] = more * k[j] * r_k[j];
                dk[j] = more * r[j] * r_k[j];
                sum_r_k[j] = (more * r[j]).mul_add(k[j], sum_r_k[j]);
            }
            back(hat, slope, scale, dy);
        }
    }
}
