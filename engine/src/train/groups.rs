//! Which parameter learns how: RWKV-LM's groups, what is frozen, and rates of one's own.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::settings::{Settings, Tune};
use crate::rwkv::Parameter;

/// Names of parameters: `blocks.0` is all of the first block, `*` stands for anything, so that
/// `*.att.*` is every time-mix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern(pub String);

/// How a parameter learns.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name in checkpoints.
    pub name: String,
    /// How many times as fast as the schedule says; 0 is frozen.
    pub rate: f64,
    /// Whether a share of it is taken away at every step.
    pub decays: bool,
}

impl Pattern {
    /// Whether the pattern means this parameter.
    pub fn means(&self, name: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else {
            let below = name.strip_prefix(&self.0);
            return below.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        };
        let Some(mut left) = name.strip_prefix(first) else { return false };
        let mut parts: Vec<&str> = rest.split('*').collect();
        let last = parts.pop().unwrap_or_default();
        for part in parts {
            let Some(at) = left.find(part) else { return false };
            left = &left[at + part.len()..];
        }
        left.ends_with(last)
    }
}

/// The group of every parameter, in the order of the model.
///
/// # Errors
/// When a pattern means no parameter at all, and when nothing is left to learn.
pub fn groups(parameters: &[Parameter], settings: &Settings) -> Result<Vec<Group>> {
    let patterns = settings.freeze.iter().chain(settings.rates.iter().map(|(pattern, _)| pattern));
    for pattern in patterns {
        ensure!(
            parameters.iter().any(|p| pattern.means(&p.name)),
            "`{}` means no parameter of this model; model.tensors() lists their names, and `*` \
             stands for any part of one.",
            pattern.0
        );
    }
    let groups: Vec<_> = parameters.iter().map(|p| group(p, settings)).collect();
    ensure!(
        groups.iter().any(|group| group.rate > 0.0) || settings.learns_start(),
        "everything is frozen; nothing is left to learn."
    );
    Ok(groups)
}

fn group(p: &Parameter, settings: &Settings) -> Group {
    let trained = match settings.tune {
        Tune::Full => true,
        Tune::Lora { .. } => p.is_factor(),
        Tune::State => false,
    };
    let frozen = !trained || settings.freeze.iter().any(|pattern| pattern.means(&p.name));
    let own = settings.rates.iter().find(|(pattern, _)| pattern.means(&p.name));
    let own = own.map_or(1.0, |(_, rate)| *rate);
    let times = times(&p.name);
    Group {
        name: p.name.clone(),
        rate: if frozen { 0.0 } else { own * times.unwrap_or(1.0) },
        decays: times.is_none() && is_matrix(p),
    }
}

/// Weight decay is for what a checkpoint calls a weight and is a matrix: no norms, no vectors, and
/// none of the thin matrices.
fn is_matrix(p: &Parameter) -> bool {
    p.name.ends_with(".weight") && p.shape.iter().filter(|&&n| n != 1).count() >= 2
}

/// How many times as fast as the others a parameter learns, where it does (RWKV-LM, trainer groups).
fn times(name: &str) -> Option<f64> {
    let fast = [(".att.w0", 2.0), (".att.time_decay", 2.0), (".att.time_first", 3.0)];
    fast.into_iter().find(|(end, _)| name.ends_with(end)).map(|(_, times)| times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_look_like() {
        let means = |pattern: &str, name: &str| Pattern(pattern.to_string()).means(name);
        assert!(means("blocks.0", "blocks.0.att.w0") && !means("blocks.0", "blocks.01.att.w0"));
        assert!(means("emb", "emb.weight") && means("emb.weight", "emb.weight"));
        assert!(means("*.att.*", "blocks.3.att.key.weight") && !means("*.att.*", "emb.weight"));
        assert!(means("*.weight", "head.weight") && !means("*.weight", "blocks.0.att.w0"));
        assert!(means("blocks.*.ffn.key*", "blocks.1.ffn.key.weight"));
        assert!(means("*", "anything") && !means("att", "blocks.0.att.w0"));
    }
}
