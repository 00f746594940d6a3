//! What can be measured of a tensor, and what logits are asked.

use crate::charts::short;
use crate::host::{Fallible, Host, engine_failure, fail};
use crate::options::OptionMap;
use crate::sampler::sampler_over;
use crate::tensor::Tensor;
use crate::{Table, View};
use rhai::plugin::*;
use rhai::{FLOAT, INT, Map, Module};
use rwkv_engine::sample::{Sampler, Sampling};

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

/// The numbers of a tensor of one axis.
fn vector(this: &Tensor, what: &str) -> Fallible<Vec<f32>> {
    match this.array.shape() {
        [size] if *size > 0 => Ok(this.array.values()),
        shape => Err(fail(format!(
            "`{what}` needs logits of one position, but the shape is {shape:?}; take a row: x[-1]"
        ))),
    }
}

/// Places by size, largest first; of equals the first.
fn ranked(values: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]).then(a.cmp(b)));
    order
}

/// Natural logarithms of the probabilities, in double precision.
fn log_probabilities(this: &Tensor, what: &str) -> Fallible<Vec<f64>> {
    vector(this, what)?;
    Ok(this.array.log_softmax().values().into_iter().map(f64::from).collect())
}

/// The text of a token, quoted; nothing where the numbers are not logits.
pub fn piece(this: &Tensor, id: usize) -> String {
    let piece = this.pieces.as_ref().map(|tokenizer| tokenizer.piece(id as u32));
    piece.map_or(String::new(), |bytes| format!("{:?}", String::from_utf8_lossy(&bytes)))
}

#[export_module]
mod functions {
    /// The sum of all numbers.
    ///
    /// ```
    /// assert(tensor([1, 2, 3]).sum() == 6);
    /// ```
    #[rhai_fn(pure)]
    pub fn sum(this: &mut Tensor) -> FLOAT {
        this.array.sum()
    }

    /// The mean of all numbers.
    ///
    /// ```
    /// assert(tensor([1, 2, 3]).mean() == 2);
    /// ```
    #[rhai_fn(pure)]
    pub fn mean(this: &mut Tensor) -> FLOAT {
        this.array.mean()
    }

    /// The standard deviation of all numbers, divided by their count.
    ///
    /// ```
    /// assert(tensor([1, 3]).std() == 1);
    /// ```
    #[rhai_fn(pure)]
    pub fn std(this: &mut Tensor) -> FLOAT {
        this.array.variance().sqrt()
    }

    /// The variance of all numbers, divided by their count.
    ///
    /// ```
    /// assert(tensor([1, 5]).variance() == 4);
    /// ```
    #[rhai_fn(pure)]
    pub fn variance(this: &mut Tensor) -> FLOAT {
        this.array.variance()
    }

    /// The smallest number.
    ///
    /// ```
    /// assert(tensor([3, 1, 2]).min() == 1);
    /// ```
    #[rhai_fn(pure)]
    pub fn min(this: &mut Tensor) -> FLOAT {
        this.array.min().into()
    }

    /// The largest number.
    ///
    /// ```
    /// assert(tensor([3, 1, 2]).max() == 3);
    /// ```
    #[rhai_fn(pure)]
    pub fn max(this: &mut Tensor) -> FLOAT {
        this.array.max().into()
    }

    /// The place of the largest number, counted row after row; of logits, the likeliest token.
    ///
    /// ```
    /// assert(tensor([[3, 1], [7, 2]]).argmax() == 2);
    /// ```
    #[rhai_fn(pure)]
    pub fn argmax(this: &mut Tensor) -> INT {
        this.array.argmax() as INT
    }

    /// The root of the sum of squares.
    ///
    /// ```
    /// assert(tensor([3, 4]).norm() == 5);
    /// ```
    #[rhai_fn(pure)]
    pub fn norm(this: &mut Tensor) -> FLOAT {
        this.array.norm()
    }

    /// Each number without its sign.
    ///
    /// ```
    /// assert(tensor([-1, 2]).abs().sum() == 3);
    /// ```
    #[rhai_fn(pure)]
    pub fn abs(this: &mut Tensor) -> Tensor {
        this.with(this.array.map(f32::abs))
    }

    /// e to the power of each number.
    ///
    /// ```
    /// assert(zeros([2]).exp().sum() == 2);
    /// ```
    #[rhai_fn(pure)]
    pub fn exp(this: &mut Tensor) -> Tensor {
        this.with(this.array.map(f32::exp))
    }

    /// The natural logarithm of each number.
    ///
    /// ```
    /// assert(ones([2]).log().sum() == 0);
    /// ```
    #[rhai_fn(pure)]
    pub fn log(this: &mut Tensor) -> Tensor {
        this.with(this.array.map(f32::ln))
    }

    /// Probabilities along the last axis: `e^x / Σ e^x`.
    ///
    /// ```
    /// assert(zeros([4]).softmax()[0] == 0.25);
    /// ```
    #[rhai_fn(pure)]
    pub fn softmax(this: &mut Tensor) -> Tensor {
        this.with(this.array.softmax())
    }

    /// Natural logarithms of the probabilities along the last axis.
    ///
    /// ```
    /// assert((zeros([4]).log_softmax()[0] + 4.ln()).abs() < 1e-6);
    /// ```
    #[rhai_fn(pure)]
    pub fn log_softmax(this: &mut Tensor) -> Tensor {
        this.with(this.array.log_softmax())
    }

    /// The cosine of the angle between two tensors of one shape, seen as long vectors.
    ///
    /// ```
    /// assert(tensor([1, 0]).cosine(tensor([0, 2])) == 0);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn cosine(this: &mut Tensor, other: Tensor) -> Fallible<FLOAT> {
        this.array.cosine(&other.array).map_err(engine_failure)
    }

    /// The largest distance between two numbers of the same place.
    ///
    /// ```
    /// assert(tensor([1, 2]).max_abs_diff(tensor([1, 5])) == 3);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn max_abs_diff(this: &mut Tensor, other: Tensor) -> Fallible<FLOAT> {
        this.array.max_abs_diff(&other.array).map_err(engine_failure)
    }

    /// The `k` likeliest tokens of the logits of one position: id, piece, probability, logit.
    ///
    /// ```
    /// show(load_model("toy:rwkv4").forward_gpt("The").last.top_k(3));
    /// assert(tensor([1, 3, 2]).top_k(1).rows[0].id == 1);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn top_k(this: &mut Tensor, k: INT) -> Fallible<View> {
        let values = vector(this, "top_k")?;
        let k = usize::try_from(k).map_err(|_| fail(format!("top_k needs a count, not {k}")))?;
        let probabilities = this.array.softmax().values();
        let row = |id: usize| {
            let [p, logit] = [probabilities[id], values[id]].map(|x| short(f64::from(x)));
            vec![id.to_string(), piece(this, id), p, logit]
        };
        let rows = ranked(&values).into_iter().take(k).map(row).collect();
        Ok(View::Table(Table::new(&["id", "piece", "prob", "logit"], rows)))
    }

    /// The uncertainty of the next token in nats, from the logits of one position.
    ///
    /// ```
    /// assert((zeros([4]).entropy() - 4.ln()).abs() < 1e-6);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn entropy(this: &mut Tensor) -> Fallible<FLOAT> {
        let logs = log_probabilities(this, "entropy")?;
        Ok(-logs.iter().filter(|l| l.is_finite()).map(|l| l.exp() * l).sum::<f64>())
    }

    /// How many tokens are likelier than `id`; 0 means it is the likeliest.
    ///
    /// ```
    /// assert(tensor([1, 3, 2]).rank(2) == 1);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn rank(this: &mut Tensor, id: INT) -> Fallible<INT> {
        let values = vector(this, "rank")?;
        let place = usize::try_from(id).ok();
        let found = ranked(&values).into_iter().position(|token| Some(token) == place);
        let missing = || fail(format!("there is no token {id}; there are {}", values.len()));
        found.map(|rank| rank as INT).ok_or_else(missing)
    }

    /// The Kullback-Leibler divergence in nats from these logits to `other`: what it costs to
    /// believe `other` where these are right.
    ///
    /// ```
    /// assert(tensor([1, 2]).kl(tensor([1, 2])) == 0);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn kl(this: &mut Tensor, other: Tensor) -> Fallible<FLOAT> {
        let (p, q) = (log_probabilities(this, "kl")?, log_probabilities(&other, "kl")?);
        if p.len() != q.len() {
            return Err(fail(format!("kl: there are {} and {} logits", p.len(), q.len())));
        }
        let terms = p.iter().zip(&q).filter(|(p, _)| p.is_finite());
        Ok(terms.map(|(p, q)| p.exp() * (p - q)).sum())
    }

    /// Draws a token from the logits of one position, with the usual settings.
    ///
    /// ```
    /// assert(tensor([0, 100]).sample() == 1);
    /// ```
    #[rhai_fn(name = "sample", return_raw, pure, volatile)]
    pub fn sample_default(context: NativeCallContext, this: &mut Tensor) -> Fallible<INT> {
        sample(context, this, Map::new())
    }

    /// Draws a token from the logits of one position.
    ///
    /// - `temperature`, `top_p`, `top_k`, `ban` and all the other settings of `generate` that say
    ///   how a token is chosen
    /// - `unused_ids` lets ids come that the tokenizer does not know
    /// - `seed` for the same draw again
    ///
    /// ```
    /// assert(tensor([0, 1]).sample(#{ temperature: 0 }) == 1);
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn sample(context: NativeCallContext, this: &mut Tensor, options: Map) -> Fallible<INT> {
        let host = Host::of(&context);
        let mut options = OptionMap::new("sample", options);
        let tokenizer = this.pieces.as_ref();
        let sampler = sampler_over(&mut options, Sampler::default(), tokenizer)?;
        let unused = options.flag("unused_ids", false)?;
        let seed =
            options.optional_integer("seed", ..)?.map_or_else(|| host.next_seed(), |s| s as u64);
        options.finish()?;
        let logits = vector(this, "sample")?;
        // Id 0 has no text but ends one.
        let known = |id| unused || id == 0 || tokenizer.is_none_or(|all| all.knows(id));
        let choice = Sampling::new(sampler, seed).next(&logits, known, |_| false);
        Ok(choice.map_err(engine_failure)?.token as INT)
    }
}
