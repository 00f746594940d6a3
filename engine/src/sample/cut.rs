//! The rules that leave only some tokens to choose from.
//!
//! Each looks at the probabilities of what is left, likeliest first, and says which stretch of them
//! stays; never none. A rule is off where its option says so.

use std::ops::Range;

use super::Sampler;

/// One way to leave tokens out.
pub struct Cut {
    /// The option that sets it.
    pub name: &'static str,
    /// Whether the options ask for it.
    pub on: fn(&Sampler) -> bool,
    /// Which of these probabilities stay; they fall from first to last and sum to 1.
    pub keep: fn(&[f64], &Sampler) -> Range<usize>,
    /// A probability below which it keeps nothing, told without sorting; 0 where there is none.
    pub floor: fn(&[f64], &Sampler) -> f64,
}

/// In the order of BlinkDL: top-p keeps what ties with its last token, top-k keeps exactly k.
pub const RWKV: &[Cut] = &[
    Cut { keep: |p, s| 0..tied(p, top_p(p, s.top_p, s.top_p_x)), ..TOP_P },
    Cut { keep: |p, s| 0..s.top_k.min(p.len()), ..TOP_K },
    MIN_P,
    TYPICAL,
    TAIL_FREE,
    TAIL_FREE_LLAMA,
    TOP_A,
    EPSILON,
    ETA,
];

/// In the order of Hugging Face: top-k keeps what ties with its last token, top-p does not.
pub const HUGGING_FACE: &[Cut] =
    &[TOP_K, TOP_P, MIN_P, TYPICAL, EPSILON, ETA, TAIL_FREE, TAIL_FREE_LLAMA, TOP_A];

const TOP_P: Cut = Cut {
    name: "top_p",
    on: |s| s.top_p < 1.0,
    keep: |p, s| 0..top_p(p, s.top_p, s.top_p_x),
    floor: top_p_floor,
};
const TOP_K: Cut = Cut {
    name: "top_k",
    on: |s| s.top_k > 0,
    keep: |p, s| 0..tied(p, s.top_k.min(p.len())),
    floor: |p, s| largest(p, s.top_k),
};
const MIN_P: Cut =
    Cut { name: "min_p", on: |s| s.min_p > 0.0, keep: |p, s| above(p, min_p(p, s)), floor: min_p };
const TYPICAL: Cut = Cut {
    name: "typical_p",
    on: |s| s.typical_p < 1.0,
    keep: |p, s| typical(p, s.typical_p.into()),
    floor: |_, _| 0.0,
};
const TAIL_FREE: Cut = Cut {
    name: "tail_free",
    on: |s| s.tail_free < 1.0,
    keep: |p, s| tail_free(p, s.tail_free.into()),
    floor: |_, _| 0.0,
};
const TAIL_FREE_LLAMA: Cut = Cut {
    name: "tail_free_llama",
    on: |s| s.tail_free_llama < 1.0,
    keep: |p, s| tail_free_llama(p, s.tail_free_llama.into()),
    floor: |_, _| 0.0,
};
const TOP_A: Cut =
    Cut { name: "top_a", on: |s| s.top_a > 0.0, keep: |p, s| above(p, top_a(p, s)), floor: top_a };
const EPSILON: Cut = Cut {
    name: "epsilon_cutoff",
    on: |s| s.epsilon_cutoff > 0.0,
    keep: |p, s| above(p, s.epsilon_cutoff.into()),
    floor: |_, s| s.epsilon_cutoff.into(),
};
const ETA: Cut = Cut {
    name: "eta_cutoff",
    on: |s| s.eta_cutoff > 0.0,
    keep: |p, s| above(p, eta(p, s)),
    // The entropy has to be that of all tokens.
    floor: |_, _| 0.0,
};

/// The likeliest tokens until they sum to `share`, the one that crosses it too; and all that are
/// likelier than `x`, unless that is 0.
fn top_p(p: &[f64], share: f32, x: f32) -> usize {
    let mut mass = 0.0;
    let inside = |p: &&f64| {
        let before = mass;
        mass += **p;
        before < f64::from(share)
    };
    let count = p.iter().take_while(inside).count().max(1);
    let likely = if x > 0.0 { p.partition_point(|&p| p > f64::from(x)) } else { 0 };
    count.max(likely)
}

/// Tokens this unlikely sum to less than 1 − `top_p` even if all are, so top-p cuts them anyway.
fn top_p_floor(p: &[f64], sampler: &Sampler) -> f64 {
    let floor = (1.0 - f64::from(sampler.top_p)).max(0.0) / (2 * p.len()) as f64;
    if sampler.top_p_x > 0.0 { floor.min(sampler.top_p_x.into()) } else { floor }
}

/// A share of the likeliest.
fn min_p(p: &[f64], sampler: &Sampler) -> f64 {
    best(p) * f64::from(sampler.min_p)
}

/// A share of the square of the likeliest: the surer the model, the fewer stay.
fn top_a(p: &[f64], sampler: &Sampler) -> f64 {
    best(p).powi(2) * f64::from(sampler.top_a)
}

/// The number itself, or less where the model is unsure: √ε · exp(−entropy).
fn eta(p: &[f64], sampler: &Sampler) -> f64 {
    let epsilon = f64::from(sampler.eta_cutoff);
    epsilon.min(epsilon.sqrt() * (-entropy(p)).exp())
}

/// The tokens whose surprise is nearest to the expected one, until they sum to `share`; those as
/// near as the last one too. Surprise grows along `p`, so they are a stretch of it.
fn typical(p: &[f64], share: f64) -> Range<usize> {
    let expected = entropy(p);
    let far = |at: usize| p.get(at).map_or(f64::INFINITY, |p| (-p.ln() - expected).abs());
    // Before the first token, `start - 1` wraps around and is far away.
    let left = |stretch: &Range<usize>| far(stretch.start.wrapping_sub(1));
    let middle = p.partition_point(|p| -p.ln() < expected);
    let (mut stretch, mut mass, mut last) = (middle..middle, 0.0, 0.0);
    while stretch.len() < p.len() {
        let next = left(&stretch).min(far(stretch.end));
        if mass >= share && next > last {
            break;
        }
        last = next;
        if left(&stretch) <= far(stretch.end) {
            stretch.start -= 1;
            mass += p[stretch.start];
        } else {
            mass += p[stretch.end];
            stretch.end += 1;
        }
    }
    stretch
}

/// Tail-free as in text-generation-webui: centred on the bend, and always without the last token.
fn tail_free(p: &[f64], share: f64) -> Range<usize> {
    match bends(p) {
        Some(bends) => 0..bends.partition_point(|&sum| sum <= share) + 1,
        None => 0..p.len(),
    }
}

/// Tail-free as in llama.cpp, which usually keeps one token fewer.
fn tail_free_llama(p: &[f64], share: f64) -> Range<usize> {
    match bends(p) {
        Some(bends) if bends.last().is_some_and(|&sum| sum > share) => {
            0..bends.partition_point(|&sum| sum <= share).max(1)
        }
        _ => 0..p.len(),
    }
}

/// Running sums of how sharply the falling curve bends at each inner token, as shares of all its
/// bending; none where there is nothing to bend.
fn bends(p: &[f64]) -> Option<Vec<f64>> {
    let sharp: Vec<f64> = p.windows(3).map(|w| (w[2] - 2.0 * w[1] + w[0]).abs()).collect();
    let total: f64 = sharp.iter().sum();
    let mut sum = 0.0;
    let running = sharp.iter().map(|bend| {
        sum += bend / total;
        sum
    });
    (total > 0.0).then(|| running.collect())
}

/// All that are at least this likely.
fn above(p: &[f64], least: f64) -> Range<usize> {
    0..p.partition_point(|&p| p >= least).max(1)
}

/// `count` tokens and those that tie with the last of them.
fn tied(p: &[f64], count: usize) -> usize {
    let cutoff = p[count - 1];
    count + p[count..].iter().take_while(|&&p| p >= cutoff).count()
}

/// The `k`-th largest of numbers in any order, or 0 where there are fewer.
fn largest(p: &[f64], k: usize) -> f64 {
    let mut p = p.to_vec();
    if k > p.len() {
        return 0.0;
    }
    *p.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a)).1
}

fn best(p: &[f64]) -> f64 {
    p.iter().copied().fold(0.0, f64::max)
}

/// The expected surprise, in nats.
fn entropy(p: &[f64]) -> f64 {
    -p.iter().filter(|&&p| p > 0.0).map(|p| p * p.ln()).sum::<f64>()
}
