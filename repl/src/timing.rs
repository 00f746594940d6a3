//! Commands that measure.

use crate::session::{After, Prompt};
use std::time::{Duration, Instant};

/// `/time EXPR`: the value, and on stderr how long it took.
pub fn time(prompt: &mut Prompt, code: &str) -> After {
    let start = Instant::now();
    let after = prompt.evaluate(code);
    prompt.writer.note(&format!("took {}", words(start.elapsed())));
    after
}

/// `/bench EXPR`: median, fastest and slowest of five runs after one to warm up.
pub fn bench(prompt: &mut Prompt, code: &str) -> After {
    prompt.evaluate(&format!(
        "{{\n    let t = bench(|| {{ {code} }}, #{{ warmup: 1, iters: 5 }});\n    \
         let unit = if t.median < 0.001 {{ [1e6, \"µs\"] }} else {{ [1e3, \"ms\"] }};\n    \
         let text = |x| `${{(x * unit[0]).fixed(3)}} ${{unit[1]}}`;\n    \
         print(`median ${{text.call(t.median)}}   min ${{text.call(t.min)}}   \
         max ${{text.call(t.max)}}   of ${{t.n}} runs`);\n}}"
    ))
}

/// A duration with three figures and a unit that suits it.
pub fn words(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (value, unit) = match seconds {
        s if s >= 60.0 => {
            let minutes = (s / 60.0).floor();
            return format!("{minutes} min {:.0} s", s - 60.0 * minutes);
        }
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "µs"),
    };
    let digits = match value {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_figures() {
        for (seconds, expected) in [
            (0.000_001_5, "1.50 µs"),
            (0.012_34, "12.3 ms"),
            (0.25, "250 ms"),
            (3.456, "3.46 s"),
            (135.0, "2 min 15 s"),
        ] {
            assert_eq!(words(Duration::from_secs_f64(seconds)), expected);
        }
    }
}
