//! Texts as maps of states, and taking tokens back.

use crate::View;
use crate::charts::short;
use crate::host::{Fallible, Host, Value, engine_failure, fail};
use crate::model::Model;
use crate::recording::record;
use crate::report::Report;
use crate::state::{State, index};
use crate::tensor::Tensor;
use crate::tokens::Tokens;
use rhai::plugin::*;
use rhai::{FLOAT, INT, Map, Module};
use rwkv_engine::segment::{Merged, Segment as Mapped};
use std::rc::Rc;

/// A part of a text as a map from the state before it to the state after it.
#[derive(Clone, Debug)]
pub struct Segment {
    segment: Rc<Mapped>,
    model: Model,
}

/// The column of distances where the other state is the true one.
pub const TO_TRUTH: &str = "L2 to the truth";

impl Segment {
    /// A segment that this model has read.
    pub fn new(segment: Mapped, model: &Model) -> Self {
        Self { segment: Rc::new(segment), model: model.clone() }
    }
}

fn merged(model: &Model, found: Merged) -> Fallible<Report> {
    let title = format!(
        "APPROXIMATE: two texts read apart, relative error {} against reading both",
        short(found.error)
    );
    let [state, truth] = [found.state, found.truth].map(|state| State::of(model, state));
    let view = View::Table(state.beside(&truth, TO_TRUTH)?);
    let fields = vec![
        ("state", Dynamic::from(state)),
        ("truth", Dynamic::from(truth)),
        ("error", found.error.into()),
    ];
    Ok(Report::new(title, view, fields))
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// A part of a text as a map of states: `S_T = S_0·P + C`.
    pub type Segment = super::Segment;

    /// A text as a map of states, read from an empty state.
    ///
    /// ```
    /// let segment = load_model("toy:rwkv7").segment("The cat");
    /// print(segment.error);
    /// ```
    #[rhai_fn(name = "segment", return_raw, pure)]
    pub fn segment_fresh(
        context: NativeCallContext,
        this: &mut Model,
        tokens: Value,
    ) -> Fallible<Segment> {
        let state = State::of(this, this.engine().state());
        segment(context, this, tokens, state)
    }

    /// What a text does to the state that it is read from: `S_T = S_0·P + C` for every head, with
    /// the keys, values and decays of this context. In RWKV-5 and 6 `P` is diagonal; RWKV-4 has a
    /// decay and sums per channel.
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// let start = model.forward_gpt("The").state;
    /// let segment = model.segment(" cat sat", start);
    /// let truth = model.forward_gpt(" cat sat", start).state;
    /// assert(segment.apply(start).max_abs_diff(truth) < 1e-4);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn segment(
        context: NativeCallContext,
        this: &mut Model,
        tokens: Value,
        state: State,
    ) -> Fallible<Segment> {
        let all = record(&context, this, &tokens, &state)?;
        let (interrupt, count) = (&Host::of(&context).interrupt, all.recording.tokens.len());
        let segment = all.recording.segment(&this.engine(), 0..count, interrupt);
        Ok(Segment::new(segment.map_err(engine_failure)?, this))
    }

    /// What the segment makes of a state: exact for the state that it was read from, an
    /// approximation for every other one, which would have led to other keys and values.
    ///
    /// ```
    /// let model = load_model("toy:rwkv6");
    /// let after = model.segment("The cat").apply(model.new_state());
    /// assert(after.max_abs_diff(model.forward_gpt("The cat").state) < 1e-4);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn apply(this: &mut Segment, state: State) -> Fallible<State> {
        let after = this.segment.apply(&state.state).map_err(engine_failure)?;
        Ok(State::of(&this.model, after))
    }

    /// Both segments as one, `(P, C)` then `(Q, D)` being `(P·Q, C·Q + D)`: exact where `next` was
    /// read after this one.
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// let a = model.segment("The");
    /// let b = model.segment(" cat", a.apply(model.new_state()));
    /// assert(a.then(b).error < 1e-4);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn then(this: &mut Segment, next: Segment) -> Fallible<Segment> {
        if !Rc::ptr_eq(&this.model.0, &next.model.0) {
            return Err(fail("then: the segments were read by different models"));
        }
        let both = this.segment.then(&next.segment).map_err(engine_failure)?;
        Ok(Segment::new(both, &this.model))
    }

    /// How far `S_0·P + C` is from the true state: the largest of the layers' relative errors,
    /// `‖found - true‖ / ‖true‖`.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").segment("The cat").error < 1e-4);
    /// ```
    #[rhai_fn(get = "error", return_raw, pure)]
    pub fn error(this: &mut Segment) -> Fallible<FLOAT> {
        this.segment.error().map_err(engine_failure)
    }

    /// The tokens of the segment.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").segment("The cat").tokens.len == 7);
    /// ```
    #[rhai_fn(get = "tokens", pure)]
    pub fn tokens(this: &mut Segment) -> Tokens {
        Tokens::new(this.segment.tokens.clone(), &this.model.engine().tokenizer)
    }

    /// `P` and `C` of one head, `#{ p, c }`, `[N, N]` each: what is left of the memory before, and
    /// what is added. Not in RWKV-4, which has no matrices.
    ///
    /// ```
    /// let segment = load_model("toy:rwkv7").segment("The cat");
    /// show(segment.matrices(1, 0).p);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn matrices(this: &mut Segment, layer: INT, head: INT) -> Fallible<Map> {
        let [p, c] = this.segment.matrices(index(layer)?, index(head)?).map_err(engine_failure)?;
        let parts = [("p", p), ("c", c)];
        let tensor = |array| Dynamic::from(Tensor::from(array));
        Ok(parts.into_iter().map(|(name, x)| (name.into(), tensor(x))).collect())
    }

    /// Puts a text that was read apart behind a state: `S·P + C` with the keys and values of
    /// another context. This is an APPROXIMATION, on most models a bad one, so the true state is
    /// made as well: `state`, `truth`, and their relative `error`.
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// let rain = model.forward_gpt("It rains.").state;
    /// let merged = model.merge(rain, model.segment(" The sun."));
    /// assert(merged.error > 0);
    /// print(merged);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn merge(
        context: NativeCallContext,
        this: &mut Model,
        state: State,
        segment: Segment,
    ) -> Fallible<Report> {
        if !Rc::ptr_eq(&this.0, &segment.model.0) {
            return Err(fail("merge: the segment was read by another model"));
        }
        let interrupt = &Host::of(&context).interrupt;
        let found = this.engine().merge(&state.state, &segment.segment, interrupt);
        merged(this, found.map_err(engine_failure)?)
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn segment_text(this: &mut Segment) -> String {
        let error = this.segment.error().map_or(f64::NAN, |error| error);
        let tokens = this.segment.tokens.len();
        format!("Segment of {tokens} tokens   S·P + C, relative error {}", short(error))
    }
}
