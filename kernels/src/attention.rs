//! Rows that look at each other (arXiv 1706.03762, section 3.2.1), as in vision transformers.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;

use crate::cpu::attention::Attention;
use crate::fused::{available, run};

/// softmax(q·kᵀ / √N)·v in each of `heads` heads: three times `[B, T, C] → [B, T, C]`. Every row sees
/// all of them, whatever their order.
pub fn attention([q, k, v]: [Tensor<3>; 3], heads: usize) -> Tensor<3> {
    if !available(&q.device()) {
        return attention_plain([q, k, v], heads);
    }
    let [b, tokens, channels] = q.dims();
    let inputs = [q, k, v].map(Tensor::into_dispatch).into();
    run(Attention { tokens, channels, heads }, inputs, [b, tokens, channels])
}

/// The definition of [`attention`] in ordinary tensor operations; runs on every device.
pub fn attention_plain([q, k, v]: [Tensor<3>; 3], heads: usize) -> Tensor<3> {
    let [b, t, c] = q.dims();
    let n = c / heads;
    let [q, k, v] = [q, k, v].map(|x| x.reshape([b, t, heads, n]).swap_dims(1, 2));
    let seen = softmax((q / (n as f64).sqrt()).matmul(k.swap_dims(2, 3)), 3);
    seen.matmul(v).swap_dims(1, 2).reshape([b, t, c])
}
