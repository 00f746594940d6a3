//! rwkv.cpp: BlinkDL's names, with some of the work of loading already done.

use super::super::stored::{Change, Stored};
use super::{About, Translated, cut, one, thin};

pub(super) fn translate(name: &str, stored: Stored, about: &About) -> Translated {
    let Some((prefix, last)) = name.rsplit_once(".att.") else { return one(name, stored) };
    let at = |ours: &str| format!("{prefix}.att.{ours}");
    let first = |ours: &str| ours.ends_with('1');
    match last {
        "x_rwkvag" => cut(stored, &at("x_"), &["r", "w", "k", "v", "a", "g"]),
        "w1" | "w2" | "a1" | "a2" | "v1" | "v2" | "g1" | "g2" | "time_maa_w1" | "time_maa_w2"
        | "time_decay_w1" | "time_decay_w2" => {
            one(at(last), thin(stored, first(last), about.channels, true)?)
        }
        // RWKV-6 keeps it as trained.
        "time_decay" if !about.has_thin_blends => {
            let undo: fn(f32) -> f32 =
                if about.has_head_norm { |w| (-w.ln()).ln() } else { |w| (-w).ln() };
            one(at(last), stored.changed(Change::Each(undo)))
        }
        // An axis was added; with one head there would be two that could be left out.
        "time_faaaa" => match *stored.shape() {
            [heads, size, 1] => one(name, stored.reshaped(&[heads, size])?),
            _ => one(name, stored),
        },
        // Its exponential was taken, which makes it the bonus itself.
        "time_first" if about.has_head_norm => one(at("time_faaaa"), stored),
        _ => one(name, stored),
    }
}
