//! Sizes, distances, sums and mixtures of states.

use crate::charts::short;
use crate::host::{Fallible, Number, engine_failure, number};
use crate::state::State;
use crate::{Table, View};
use rhai::plugin::*;
use rhai::{FLOAT, INT, Map, Module};

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// The root of the sum of squares of everything remembered, without the `pp` of RWKV-4.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").new_state().norm() == 0);
    /// ```
    #[rhai_fn(pure)]
    pub fn norm(this: &mut State) -> FLOAT {
        this.state.norm()
    }

    /// Norm, mean, standard deviation, least and largest number of the whole state, as a map.
    ///
    /// ```
    /// let s = load_model("toy:rwkv4").forward_gpt("Hi").state.stats();
    /// assert(s.min <= s.mean && s.mean <= s.max);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn stats(this: &mut State) -> Fallible<Map> {
        let all = this.flat(0..this.state.layers.len())?;
        let numbers = [
            ("norm", all.norm()),
            ("mean", all.mean()),
            ("std", all.variance().sqrt()),
            ("min", all.min().into()),
            ("max", all.max().into()),
        ];
        Ok(numbers.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }

    /// A table with a row per layer: norm, mean, standard deviation, least and largest number.
    ///
    /// ```
    /// show(load_model("toy:rwkv4").forward_gpt("Hi").state.summary());
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn summary(this: &mut State) -> Fallible<View> {
        let row = |layer: usize| {
            let all = this.flat(std::iter::once(layer))?;
            let numbers =
                [all.norm(), all.mean(), all.variance().sqrt(), all.min().into(), all.max().into()];
            Ok(std::iter::once(layer.to_string()).chain(numbers.map(short)).collect())
        };
        let rows = (0..this.state.layers.len()).map(row).collect::<Fallible<_>>()?;
        Ok(View::Table(Table::new(&["layer", "norm", "mean", "std", "min", "max"], rows)))
    }

    /// Whether every number of both states is the same.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// assert(model.new_state().equals(model.new_state()));
    /// ```
    #[rhai_fn(name = "equals", name = "==", pure)]
    pub fn equals(this: &mut State, other: State) -> bool {
        this.state.equals(&other.state)
    }

    #[rhai_fn(name = "!=", pure)]
    pub fn different(this: &mut State, other: State) -> bool {
        !this.state.equals(&other.state)
    }

    /// A mixture of two states: this one at weight 0, `other` at weight 1.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// let rain = model.forward_gpt("rain").state;
    /// assert(rain.lerp(model.forward_gpt("sun").state, 0).max_abs_diff(rain) < 1e-5);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn lerp(this: &mut State, other: State, weight: Number) -> Fallible<State> {
        let mixed = this.state.lerp(&other.state, number(&weight, "the weight of `lerp`")?);
        Ok(this.with(mixed.map_err(engine_failure)?))
    }

    /// As `lerp`, but along the arc: each head and vector turns from its own direction to that of
    /// `other`, and its size changes in proportion.
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// let rain = model.forward_gpt("rain").state;
    /// let sun = model.forward_gpt("sun").state;
    /// print(rain.slerp(sun, 0.5).norm());
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn slerp(this: &mut State, other: State, weight: Number) -> Fallible<State> {
        let mixed = this.state.slerp(&other.state, number(&weight, "the weight of `slerp`")?);
        Ok(this.with(mixed.map_err(engine_failure)?))
    }

    /// A table with a row per layer of how far `other` is: distance, cosine, largest difference.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// show(model.forward_gpt("rain").state.diff(model.forward_gpt("sun").state));
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn diff(this: &mut State, other: State) -> Fallible<View> {
        Ok(View::Table(this.beside(&other, "L2")?))
    }

    /// The cosine of the angle between two states, seen as long vectors.
    ///
    /// ```
    /// let s = load_model("toy:rwkv4").forward_gpt("Hi").state;
    /// assert((s.cosine(s) - 1).abs() < 1e-6);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn cosine(this: &mut State, other: State) -> Fallible<FLOAT> {
        Ok(this.state.distance(&other.state).map_err(engine_failure)?.cosine)
    }

    /// The largest difference of two numbers of the same place.
    ///
    /// ```
    /// let s = load_model("toy:rwkv4").forward_gpt("Hi").state;
    /// assert(s.max_abs_diff(s) == 0);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn max_abs_diff(this: &mut State, other: State) -> Fallible<FLOAT> {
        Ok(this.state.distance(&other.state).map_err(engine_failure)?.max_abs)
    }

    #[rhai_fn(name = "+", return_raw)]
    pub fn plus(this: State, other: State) -> Fallible<State> {
        Ok(this.with(this.state.plus(&other.state).map_err(engine_failure)?))
    }

    #[rhai_fn(name = "-", return_raw)]
    pub fn minus(this: State, other: State) -> Fallible<State> {
        Ok(this.with(this.state.minus(&other.state).map_err(engine_failure)?))
    }

    #[rhai_fn(name = "*")]
    pub fn times(this: State, factor: FLOAT) -> State {
        this.with(this.state.scaled(factor))
    }

    #[rhai_fn(name = "*")]
    pub fn times_whole(this: State, factor: INT) -> State {
        this.with(this.state.scaled(factor as f64))
    }

    #[rhai_fn(name = "*")]
    pub fn times_before(factor: FLOAT, this: State) -> State {
        this.with(this.state.scaled(factor))
    }
}
