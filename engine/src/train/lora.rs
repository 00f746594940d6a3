//! Low-rank tuning: two thin matrices beside each frozen one (LoRA, arXiv 2106.09685).
//!
//! They hang on the weight itself (Burn's `LoraAdapter`), so that the model is the same type with
//! and without them and the frozen numbers are shared with whoever else holds the model.

use burn::module::{LoraAdapter, Module, Param, ParamId, Reparameterizer};
use burn::tensor::{Tensor, TensorData};
use std::collections::HashMap;

use super::groups::Pattern;
use crate::random::Random;
use crate::rwkv::Rwkv;

/// Hangs new thin matrices on every matrix that a pattern means; `B` is zero, so that the model
/// computes what it did before.
pub fn attach(rwkv: Rwkv, rank: usize, alpha: f64, targets: &[Pattern], seed: u64) -> Rwkv {
    let meant = |name: &str| targets.iter().any(|pattern| pattern.means(name));
    let names = rwkv.parameters().into_iter();
    let names: HashMap<_, _> =
        names.filter(|p| p.is_projection() && meant(&p.name)).map(|p| (p.id, p.name)).collect();
    rwkv.apply_reparameterization(Attach { names, rank, alpha, seed })
}

/// A model with the thin matrices added to the others for good.
pub fn merge(rwkv: Rwkv) -> Rwkv {
    rwkv.materialize()
}

struct Attach {
    names: HashMap<ParamId, String>,
    rank: usize,
    alpha: f64,
    seed: u64,
}

impl Reparameterizer for Attach {
    type Reparam = LoraAdapter;

    fn reparameterize<const D: usize>(
        &mut self,
        _: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<LoraAdapter>) {
        let Some(name) = self.names.get(&param.id) else { return (param, None) };
        let base = param.base();
        let (dims, device, rank) = (base.dims(), base.device(), self.rank);
        let (out, input) = (dims[0], dims[D - 1]);
        // Each matrix has a stream of its own, so that one more target changes no other.
        let mut random =
            Random::new(name.bytes().fold(self.seed, |seed, byte| {
                (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            }));
        // As PEFT begins: even within ±1/√inputs.
        let bound = (input as f32).sqrt().recip();
        let mut even = || (2.0 * random.unit() - 1.0) * bound;
        let values: Vec<f32> = (0..rank * input).map(|_| even()).collect();
        let low = Tensor::<2>::from_data(TensorData::new(values, [rank, input]), &device);
        let adapter = LoraAdapter {
            a: Param::from_tensor(Tensor::zeros([out, rank], &device)),
            b: Param::from_tensor(low),
            scale: self.alpha / rank as f64,
        };
        (param, Some(adapter))
    }
}
