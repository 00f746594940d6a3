//! What reading tokens gives: logits, the last of them, and the state.

use crate::charts::short;
use crate::host::{Fallible, engine_failure, fail};
use crate::measure::piece;
use crate::state::State;
use crate::tensor::Tensor;
use rhai::Module;
use rhai::plugin::*;

/// Logits and the state after them.
#[derive(Clone, Debug)]
pub struct ModelOutput {
    logits: Tensor,
    last: Tensor,
    state: State,
    /// The residual stream after every block, where it was asked for.
    hidden: Option<Tensor>,
}

impl ModelOutput {
    /// Logits `[T, V]` or `[V]` and the state after them.
    ///
    /// # Errors
    /// Never for logits of a model; they have a last position.
    pub fn new(logits: Tensor, state: State) -> Fallible<Self> {
        let last = match logits.array.shape().len() {
            1 => logits.clone(),
            _ => logits.with(logits.array.at(-1).map_err(engine_failure)?),
        };
        Ok(Self { logits, last, state, hidden: None })
    }

    /// The same with the residual stream after every block, `[L, T, C]` or `[L, C]`.
    pub fn with_hidden(self, hidden: Tensor) -> Self {
        Self { hidden: Some(hidden), ..self }
    }

    /// Shape, likeliest next tokens, size of the state.
    pub fn describe(&self) -> String {
        let p = self.last.array.softmax().values();
        let mut order: Vec<usize> = (0..p.len()).collect();
        order.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
        let likely =
            |id: &usize| format!("{} {}", piece(&self.last, *id), short(f64::from(p[*id])));
        let next: Vec<String> = order.iter().take(3).map(likely).collect();
        let (shape, size) = (self.logits.array.shape(), self.state.size());
        format!("Output  logits {shape:?}  next: {}   state {size}", next.join(", "))
    }
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// What reading tokens gives.
    pub type Output = super::ModelOutput;

    /// The logits: `[T, V]` of all positions in GPT mode, `[V]` of one token in RNN mode.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").forward_gpt("ab").logits.shape == [2, 256]);
    /// ```
    #[rhai_fn(get = "logits", pure)]
    pub fn logits(this: &mut Output) -> Tensor {
        this.logits.clone()
    }

    /// The logits of the last position, `[V]`: they choose the next token.
    ///
    /// ```
    /// print(load_model("toy:rwkv4").forward_gpt("ab").last.argmax());
    /// ```
    #[rhai_fn(get = "last", pure)]
    pub fn last(this: &mut Output) -> Tensor {
        this.last.clone()
    }

    /// The state after the last token.
    ///
    /// ```
    /// print(load_model("toy:rwkv4").forward_gpt("ab").state.norm());
    /// ```
    #[rhai_fn(get = "state", pure)]
    pub fn state(this: &mut Output) -> State {
        this.state.clone()
    }

    /// The residual stream after every block, `[L, T, C]` in GPT mode, `[L, C]` in RNN mode; asked
    /// for by the option `hidden`.
    ///
    /// ```
    /// let out = load_model("toy:rwkv4").forward_gpt("ab", #{ hidden: true });
    /// assert(out.hidden.shape == [2, 2, 64]);
    /// ```
    #[rhai_fn(get = "hidden", return_raw, pure)]
    pub fn hidden(this: &mut Output) -> Fallible<Tensor> {
        let missing = "`hidden` was not kept; ask for it: forward_gpt(tokens, #{ hidden: true })";
        this.hidden.clone().ok_or_else(|| fail(missing))
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_text(this: &mut Output) -> String {
        this.describe()
    }
}
