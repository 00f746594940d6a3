//! Comparisons of floats as IEEE 754 has them.
//!
//! Rhai compares floats with a relative epsilon, so that nothing compares with infinity and
//! `best = inf; if loss < best` never fires. These exact ones replace them; the engine must have
//! its fast operators off or it does not ask.

use rhai::{Engine, FLOAT, INT};

/// Registers the six comparisons for floats and for floats beside integers.
pub fn register(engine: &mut Engine) {
    compare(engine, |a: FLOAT| a, |b: FLOAT| b);
    compare(engine, |a: FLOAT| a, |b: INT| b as FLOAT);
    compare(engine, |a: INT| a as FLOAT, |b: FLOAT| b);
}

fn compare<A, B>(engine: &mut Engine, a: fn(A) -> FLOAT, b: fn(B) -> FLOAT)
where
    A: rhai::Variant + Clone,
    B: rhai::Variant + Clone,
{
    engine
        .register_fn("==", move |x: A, y: B| a(x) == b(y))
        .register_fn("!=", move |x: A, y: B| a(x) != b(y))
        .register_fn("<", move |x: A, y: B| a(x) < b(y))
        .register_fn("<=", move |x: A, y: B| a(x) <= b(y))
        .register_fn(">", move |x: A, y: B| a(x) > b(y))
        .register_fn(">=", move |x: A, y: B| a(x) >= b(y));
}
