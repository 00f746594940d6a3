//! From logits to the tokens that can still be chosen.

use super::{Cut, Order, Sampler, mirostat};

/// Tokens that can be chosen and how likely each is; together 1, or none at all.
pub struct Candidates {
    tokens: Vec<u32>,
    p: Vec<f64>,
}

impl Candidates {
    /// What the rules leave of logits `[V]`: nothing if they hold NaN or +∞, or if every token is
    /// banned. `mu` is the surprise that mirostat allows, in bits.
    pub fn of(mut logits: Vec<f32>, sampler: &Sampler, mu: f64) -> Self {
        apply_bias(&mut logits, sampler);
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sound = max > f32::NEG_INFINITY && logits.iter().all(|&x| x < f32::INFINITY);
        if !sound {
            return Self { tokens: vec![], p: vec![] };
        }
        if sampler.temperature == 0.0 {
            let likeliest = logits.iter().position(|&x| x == max).unwrap_or_default();
            return Self { tokens: vec![likeliest as u32], p: vec![1.0] };
        }
        let temperature = f64::from(sampler.temperature);
        let warm_first = sampler.order == Order::HuggingFace || sampler.mirostat > 0;
        let sharpness = if warm_first { 1.0 / temperature } else { 1.0 };
        let candidates = Self::softmax(&logits, max, sharpness);
        match sampler.mirostat {
            0 => candidates.cut(sampler.order.cuts(), sampler),
            version => candidates.steer(version, mu, logits.len()),
        }
        .sharpen(if warm_first { 1.0 } else { 1.0 / temperature })
    }

    /// All tokens that are possible at all, in the order of their numbers.
    fn softmax(logits: &[f32], max: f32, sharpness: f64) -> Self {
        let weigh = |&x: &f32| ((f64::from(x) - f64::from(max)) * sharpness).exp();
        let mut candidates = Self {
            tokens: (0..).take(logits.len()).collect(),
            p: logits.iter().map(weigh).collect(),
        };
        candidates.normalise();
        candidates
    }

    /// Lets every rule that is on take its share.
    fn cut(mut self, cuts: &[Cut], sampler: &Sampler) -> Self {
        let on: Vec<&Cut> = cuts.iter().filter(|cut| (cut.on)(sampler)).collect();
        let Some(first) = on.first() else { return self };
        // Few of 65536 tokens are above the floor of the first rule: there is little to sort.
        let floor = (first.floor)(&self.p, sampler);
        self.sort(floor);
        for cut in on {
            let kept = (cut.keep)(&self.p, sampler);
            self.p.truncate(kept.end);
            self.tokens.truncate(kept.end);
            self.p.drain(..kept.start);
            self.tokens.drain(..kept.start);
            if cut.name == "top_p" && sampler.exact_top_p {
                trim(&mut self.p, sampler.top_p.into());
            }
            self.normalise();
        }
        self
    }

    /// Keeps what mirostat allows; `n` is the size of the vocabulary.
    fn steer(mut self, version: usize, mu: f64, n: usize) -> Self {
        // Version 2 keeps nothing that surprises by more than `mu` bits; a bit of slack for rounding.
        self.sort(if version == 2 { (-mu - 1e-6).exp2() } else { 0.0 });
        let count = match version {
            1 => mirostat::first(&self.p, mu, n),
            _ => mirostat::second(&self.p, mu),
        };
        self.p.truncate(count);
        self.tokens.truncate(count);
        self.normalise();
        self
    }

    /// Likeliest first, of equals the lowest number; without tokens below `floor`.
    fn sort(&mut self, floor: f64) {
        let floor = self.p.iter().copied().fold(0.0, f64::max).min(floor);
        let both = self.p.iter().copied().zip(self.tokens.iter().copied());
        let mut both: Vec<_> = both.filter(|&(p, _)| p >= floor && p > 0.0).collect();
        both.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        (self.p, self.tokens) = both.into_iter().unzip();
    }

    /// The temperature of the RWKV order: probabilities to the power of its inverse.
    fn sharpen(mut self, power: f64) -> Self {
        if power != 1.0 {
            // Relative to the best, because a small temperature makes p^(1/T) vanish for all tokens.
            let best = self.p.iter().copied().fold(0.0, f64::max);
            self.p.iter_mut().for_each(|p| *p = (*p / best).powf(power));
            self.normalise();
        }
        self
    }

    fn normalise(&mut self) {
        let sum: f64 = self.p.iter().sum();
        self.p.iter_mut().for_each(|p| *p /= sum);
    }

    /// The token at which the probabilities, in the order of the tokens' numbers, pass `uniform`,
    /// and its probability.
    pub fn draw(self, uniform: f64) -> Option<(u32, f64)> {
        let mut both: Vec<_> = self.tokens.into_iter().zip(self.p).collect();
        both.sort_unstable_by_key(|&(token, _)| token);
        let (mut left, mut chosen) = (uniform, None);
        for (token, p) in both.into_iter().filter(|&(_, p)| p > 0.0) {
            chosen = Some((token, p));
            left -= p;
            if left < 0.0 {
                break;
            }
        }
        chosen
    }

    /// The probability of every token of a vocabulary of `n`.
    pub fn spread(self, n: usize) -> Vec<f32> {
        let mut probabilities = vec![0.0; n];
        for (token, p) in self.tokens.into_iter().zip(self.p) {
            probabilities[token as usize] = p as f32;
        }
        probabilities
    }
}

/// Adds what the options add to single tokens and takes the banned ones out.
fn apply_bias(logits: &mut [f32], sampler: &Sampler) {
    let bans = sampler.ban.iter().map(|&token| (token, f32::NEG_INFINITY));
    for (token, bias) in sampler.bias.iter().map(|(&token, &bias)| (token, bias)).chain(bans) {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit += bias;
        }
    }
}

/// Weakens the last of the falling `p`, and what ties with it, until all sum to `share`.
fn trim(p: &mut [f64], share: f64) {
    let Some(&last) = p.last() else { return };
    let ties = p.iter().filter(|&&p| p == last).count();
    let each = (p.iter().sum::<f64>() - share) / ties as f64;
    if each < last {
        p.iter_mut().filter(|p| **p == last).for_each(|p| *p -= each);
    }
}
