//! What a state consists of: layers, stacked parts, memory, what led to it.

use crate::host::{Fallible, Number, engine_failure, fail, number};
use crate::layer::Layer;
use crate::state::State;
use crate::tensor::Tensor;
use rhai::plugin::*;
use rhai::{INT, Module};
use rwkv_engine::state::Past;

/// A layer's place; negative counts from the end.
fn place(state: &State, index: INT) -> Fallible<usize> {
    let layers = state.state.layers.len();
    let at = usize::try_from(if index < 0 { index + layers as INT } else { index }).ok();
    at.filter(|at| *at < layers)
        .ok_or_else(|| fail(format!("there is no layer {index}; this state has {layers}")))
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// All that a model remembers of a text.
    pub type State = super::State;

    #[rhai_fn(index_get, return_raw, pure)]
    pub fn layer(this: &mut State, index: INT) -> Fallible<Layer> {
        Ok(Layer { index: place(this, index)?, state: this.clone() })
    }

    #[rhai_fn(index_set, return_raw)]
    pub fn set_layer(this: &mut State, index: INT, layer: Layer) -> Fallible<()> {
        layer.state.state.fits(&this.state).map_err(engine_failure)?;
        let index = place(this, index)?;
        // Part by part, so that the past tells what has changed and nothing else.
        for name in this.state.parts_of(index).map_err(engine_failure)? {
            let part = |state: &State, at| state.state.part(at, name).map_err(engine_failure);
            let new = part(&layer.state, layer.index)?;
            if part(this, index)? != new {
                this.state.set_part(index, name, &new).map_err(engine_failure)?;
            }
        }
        Ok(())
    }

    /// One part of all layers stacked: `att_x`, `ffn_x` and in RWKV-4 `aa bb pp` are `[L, C]`, in
    /// later versions `wkv` is `[L, H, N, N]`.
    ///
    /// ```
    /// let state = load_model("toy:rwkv4").new_state();
    /// assert(state.tensor("aa").shape == [2, 64]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn tensor(this: &mut State, name: &str) -> Fallible<Tensor> {
        Ok(this.state.stacked(name).map_err(engine_failure)?.into())
    }

    /// How many layers there are.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").new_state().n_layer == 2);
    /// ```
    #[rhai_fn(get = "n_layer", pure)]
    pub fn n_layer(this: &mut State) -> INT {
        this.state.layers.len() as INT
    }

    /// How much memory the state takes; it does not grow with the text.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").new_state().bytes == 2560);
    /// ```
    #[rhai_fn(get = "bytes", pure)]
    pub fn bytes(this: &mut State) -> INT {
        this.state.bytes() as INT
    }

    /// How many tokens led here since the empty state.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").forward_gpt("abc").state.tokens == 3);
    /// ```
    #[rhai_fn(get = "tokens", pure)]
    pub fn tokens(this: &mut State) -> INT {
        this.state.past.tokens as INT
    }

    /// What was done to the state besides reading, in words, oldest first.
    ///
    /// ```
    /// let s = load_model("toy:rwkv4").forward_gpt("abc").state * 0.5;
    /// assert(s.edits == ["scale by 0.5"]);
    /// ```
    #[rhai_fn(get = "edits", pure)]
    pub fn edits(this: &mut State) -> rhai::Array {
        this.state.past.edits().into_iter().map(rhai::Dynamic::from).collect()
    }

    /// The name of the model the state belongs to; empty when it is not known.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// assert(model.new_state().model == model.name);
    /// ```
    #[rhai_fn(get = "model", pure)]
    pub fn model(this: &mut State) -> String {
        this.told.model.clone()
    }

    /// Empties the whole state, as before the first token.
    ///
    /// ```
    /// let s = load_model("toy:rwkv4").forward_gpt("Hi").state;
    /// s.reset();
    /// assert(s.norm() == 0 && s.tokens == 0);
    /// ```
    #[rhai_fn(name = "reset", return_raw)]
    pub fn reset_state(this: &mut State) -> Fallible<()> {
        for layer in 0..this.state.layers.len() {
            let mut whole = Layer { index: layer, state: this.clone() };
            whole.reset()?;
            *this = whole.state;
        }
        this.state.past = Past::default();
        Ok(())
    }

    /// Multiplies everything remembered, all but the `pp` of RWKV-4.
    ///
    /// ```
    /// let s = load_model("toy:rwkv4").forward_gpt("Hi").state;
    /// let before = s.norm();
    /// s.scale(0.5);
    /// assert((s.norm() - before / 2).abs() < 1e-4);
    /// ```
    #[rhai_fn(name = "scale", return_raw)]
    pub fn scale_state(this: &mut State, factor: Number) -> Fallible<()> {
        let factor = number(&factor, "the factor of `scale`")?;
        if !factor.is_finite() {
            return Err(fail(format!("the factor of `scale` must be finite, not {factor}")));
        }
        this.state = this.state.scaled(factor);
        Ok(())
    }

    /// A copy; the same as `let b = a;`, which copies already.
    ///
    /// ```
    /// let a = load_model("toy:rwkv4").new_state();
    /// let b = a.fork();
    /// ```
    #[rhai_fn(pure)]
    pub fn fork(this: &mut State) -> State {
        this.clone()
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_text(this: &mut State) -> String {
        this.describe()
    }
}
