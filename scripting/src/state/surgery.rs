//! Operations on a memory: exchanging, storing, steering, disturbing. None changes its state; each
//! returns another one.

use crate::host::{Fallible, Host, Number, Value, engine_failure, fail, number};
use crate::options::OptionMap;
use crate::state::{State, state_of};
use crate::tensor::tensor_of;
use rhai::plugin::*;
use rhai::{Array as List, INT, Map, Module};
use rwkv_engine::state::{Mixing, Rounding, State as Memory};

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

/// A place that counts from 0.
///
/// # Errors
/// When it is negative.
pub fn index(place: INT) -> Fallible<usize> {
    usize::try_from(place)
        .map_err(|_| fail(format!("there is no {place}; layers and heads count from 0")))
}

/// One state or an array of them.
fn states(value: &Value, what: &str) -> Fallible<Vec<Memory>> {
    if let Some(list) = value.read_lock::<List>() {
        return list.iter().map(|one| Ok(state_of(one, what)?.state)).collect();
    }
    Ok(vec![state_of(value, what)?.state])
}

/// A number that is one.
fn finite(value: &Number, what: &str) -> Fallible<f64> {
    let x = number(value, what)?;
    if x.is_finite() { Ok(x) } else { Err(fail(format!("{what} must be finite, not {x}"))) }
}

fn noisy(this: &State, strength: &Number, seed: u64) -> Fallible<State> {
    let strength = finite(strength, "the strength of `noise`")?;
    Ok(this.with(this.state.noisy(strength, seed).map_err(engine_failure)?))
}

#[export_module]
mod functions {
    /// A copy with one layer of another state in place of its own.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// let rain = model.forward_gpt("rain").state;
    /// let sun = model.forward_gpt("sun").state;
    /// assert(rain.with_layer(1, sun)[1].aa == sun[1].aa);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn with_layer(this: &mut State, layer: INT, other: State) -> Fallible<State> {
        let edited = this.state.with_layer(index(layer)?, &other.state);
        Ok(this.with(edited.map_err(engine_failure)?))
    }

    /// A copy with one head of another state in place of its own; the vectors of the token shift
    /// stay. RWKV-4 has no heads.
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// let rain = model.forward_gpt("rain").state;
    /// let sun = model.forward_gpt("sun").state;
    /// assert(rain.with_head(1, 0, sun)[1].wkv[0] == sun[1].wkv[0]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn with_head(this: &mut State, layer: INT, head: INT, other: State) -> Fallible<State> {
        let edited = this.state.with_head(index(layer)?, index(head)?, &other.state);
        Ok(this.with(edited.map_err(engine_failure)?))
    }

    /// An edit of low rank: adds the largest directions in which another state differs, head by
    /// head. Where two prompts differ in one fact, rank 1 or 2 moves that fact and little else.
    ///
    /// - `rank` directions of each head, 1
    /// - `layer` only this one
    /// - `head` only this one of each layer
    /// - `strength` share of the difference that is added, 1
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// let rain = model.forward_gpt("rain").state;
    /// let sun = model.forward_gpt("sun").state;
    /// let edited = rain.toward(sun, #{ rank: 2, layer: 1 });
    /// assert(edited[0].wkv == rain[0].wkv && edited[1].wkv != rain[1].wkv);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn toward(this: &mut State, other: State, options: Map) -> Fallible<State> {
        let mut options = OptionMap::new("toward", options);
        let rank = options.integer("rank", 1, 1..=4096)? as usize;
        let layer = options.optional_integer("layer", 0..)?.map(|at| at as usize);
        let head = options.optional_integer("head", 0..)?.map(|at| at as usize);
        let strength = options.number("strength", 1.0, ..)?;
        options.finish()?;
        let mixing = Mixing { layer, head, strength };
        let edited = this.state.toward(&other.state, rank, &mixing);
        Ok(this.with(edited.map_err(engine_failure)?))
    }

    /// A copy whose head returns `value` when it is asked for `key`; what it returns for keys at
    /// right angles stays. `memory_query` asks.
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// let key = zeros([model.head_size]);
    /// let value = zeros([model.head_size]);
    /// key[3] = 1.0;
    /// value[5] = 2.0;
    /// let s = model.forward_gpt("Hi").state.store(0, 1, key, value);
    /// assert(memory_query(s, 0, 1, key).max_abs_diff(value) < 1e-5);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn store(
        this: &mut State,
        layer: INT,
        head: INT,
        key: Value,
        content: Value,
    ) -> Fallible<State> {
        let (key, content) = (tensor_of(&key)?.array, tensor_of(&content)?.array);
        let edited = this.state.store(index(layer)?, index(head)?, &key, &content);
        Ok(this.with(edited.map_err(engine_failure)?))
    }

    /// The mean of an array of states.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// let states = ["rain", "snow"].map(|text| model.forward_gpt(text).state);
    /// assert(mean_state(states).max_abs_diff(states[0].lerp(states[1], 0.5)) < 1e-5);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn mean_state(list: List) -> Fallible<State> {
        let first = list.first().map(|one| state_of(one, "an item of `mean_state`")).transpose()?;
        let first =
            first.ok_or_else(|| fail("mean_state: the mean of no states is not a state"))?;
        let all = states(&list.into(), "an item of `mean_state`")?;
        Ok(first.with(Memory::mean(&all).map_err(engine_failure)?))
    }

    /// Contrastive steering: adds `strength` times the mean of the states of texts that show
    /// something, less the mean of states of texts that do not.
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// let wet = ["rain", "snow"].map(|text| model.forward_gpt(text).state);
    /// let dry = ["sun", "dust"].map(|text| model.forward_gpt(text).state);
    /// print(model.new_state().steer(wet, dry, 0.5).norm());
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn steer(
        this: &mut State,
        toward: Value,
        away: Value,
        strength: Number,
    ) -> Fallible<State> {
        let strength = finite(&strength, "the strength of `steer`")?;
        let toward = states(&toward, "what `steer` goes toward")?;
        let away = states(&away, "what `steer` goes away from")?;
        let edited = this.state.steered(&toward, &away, strength);
        Ok(this.with(edited.map_err(engine_failure)?))
    }

    /// A copy with Gaussian noise, `strength` times the root mean square of each head and vector:
    /// 0.01 is one per cent. It draws from the seed of the session.
    ///
    /// ```
    /// let s = load_model("toy:rwkv7").forward_gpt("Hi").state;
    /// assert(s.noise(0.01).cosine(s) > 0.99);
    /// ```
    #[rhai_fn(name = "noise", return_raw, pure, volatile)]
    pub fn noise(
        context: NativeCallContext,
        this: &mut State,
        strength: Number,
    ) -> Fallible<State> {
        noisy(this, &strength, Host::of(&context).next_seed())
    }

    /// The same noise for the same seed.
    ///
    /// ```
    /// let s = load_model("toy:rwkv7").forward_gpt("Hi").state;
    /// assert(s.noise(0.01, 7) == s.noise(0.01, 7));
    /// ```
    #[rhai_fn(name = "noise", return_raw, pure)]
    pub fn noise_seeded(this: &mut State, strength: Number, seed: INT) -> Fallible<State> {
        noisy(this, &strength, seed as u64)
    }

    /// The state as it comes back from storage of fewer bits: `f16`, `bf16`, or `int8` with one
    /// scale for each head and vector.
    ///
    /// ```
    /// let s = load_model("toy:rwkv7").forward_gpt("Hi").state;
    /// assert(s.rounded("f16").cosine(s) > 0.9999);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn rounded(this: &mut State, dtype: &str) -> Fallible<State> {
        let rounding = Rounding::ALL.iter().find(|(name, _)| *name == dtype);
        let names = Rounding::ALL.map(|(name, _)| name).join(", ");
        let unknown = || fail(format!("rounded: there is no `{dtype}`; there are {names}"));
        let (_, rounding) = rounding.ok_or_else(unknown)?;
        Ok(this.with(this.state.rounded(*rounding).map_err(engine_failure)?))
    }
}
