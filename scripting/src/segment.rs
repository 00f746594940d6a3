//! Texts as maps of states, and taking tokens back.

use crate::charts::short;
use crate::host::{Fallible, Host, Value, engine_failure, fail};
use crate::model::Model;
use crate::report::Report;
use crate::state::State;
use crate::tensor::{Tensor, bounds};
use crate::tokens::Tokens;
use crate::{Table, View};
use rhai::plugin::*;
use rhai::{FLOAT, INT, Map, Module};
use rwkv_engine::segment::{Merged, Recording as Recorded, Rewound, Segment as Mapped};
use std::ops::Range;
use std::rc::Rc;

/// A part of a text as a map from the state before it to the state after it.
#[derive(Clone, Debug)]
pub struct Segment {
    segment: Rc<Mapped>,
    model: Model,
}

/// A text that was read with all that it did to the memory.
#[derive(Clone, Debug)]
pub struct Recording {
    recording: Rc<Recorded>,
    model: Model,
}

impl Segment {
    fn new(segment: Mapped, model: &Model) -> Self {
        Self { segment: Rc::new(segment), model: model.clone() }
    }
}

/// Reads a text from a state on and keeps what it did.
fn record(
    context: &NativeCallContext,
    model: &Model,
    tokens: &Dynamic,
    state: &State,
) -> Fallible<Recording> {
    let (ids, host) = (model.ids(tokens)?, Host::of(context));
    let recording = model.engine().record(&ids, &state.state, &host.interrupt);
    Ok(Recording { recording: Rc::new(recording.map_err(engine_failure)?), model: model.clone() })
}

/// A number of tokens.
fn count(n: INT, what: &str) -> Fallible<usize> {
    usize::try_from(n).map_err(|_| fail(format!("{what} needs a number of tokens, not {n}")))
}

/// A state beside the true one, one row per layer.
fn beside(model: &Model, state: &State, truth: &State) -> Fallible<Table> {
    let far = state.state.distances(&truth.state).map_err(engine_failure)?;
    let row = |(layer, far): (usize, rwkv_engine::state::Distance)| {
        let cells = [far.l2, far.cosine, far.max_abs].map(short);
        std::iter::once(layer.to_string()).chain(cells).collect()
    };
    debug_assert_eq!(far.len(), model.engine().n_layer());
    let rows = far.into_iter().enumerate().map(row).collect();
    Ok(Table::new(&["layer", "L2 to the truth", "cosine", "max |a-b|"], rows))
}

fn answer(
    model: &Model,
    title: String,
    (state, truth, error): (State, State, f64),
    more: Vec<(&str, Dynamic)>,
) -> Fallible<Report> {
    let table = View::Table(beside(model, &state, &truth)?);
    let fields = vec![
        ("state", Dynamic::from(state)),
        ("truth", Dynamic::from(truth)),
        ("error", error.into()),
    ];
    Ok(Report::new(title, table, [fields, more].concat()))
}

fn rewound(model: &Model, tokens: usize, found: Rewound) -> Fallible<Report> {
    let title = if found.undone {
        format!("Took back {tokens} tokens one by one   relative error {}", short(found.error))
    } else {
        format!("Went back {tokens} tokens to a snapshot and read on from there   exact")
    };
    let states = (State::of(model, found.state), State::of(model, found.truth), found.error);
    answer(model, title, states, vec![("undone", found.undone.into())])
}

fn merged(model: &Model, found: Merged) -> Fallible<Report> {
    let title = format!(
        "APPROXIMATE state of two texts read apart   relative error {} against reading both",
        short(found.error)
    );
    let states = (State::of(model, found.state), State::of(model, found.truth), found.error);
    answer(model, title, states, Vec::new())
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// A part of a text as a map of states: `S_T = S_0·P + C`.
    pub type Segment = super::Segment;
    /// A text that was read with all that it did to the memory.
    pub type Recording = super::Recording;

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
        let place = |x: INT| usize::try_from(x).unwrap_or(usize::MAX);
        let [p, c] = this.segment.matrices(place(layer), place(head)).map_err(engine_failure)?;
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
        let interrupt = &Host::of(&context).interrupt;
        let found = this.engine().merge(&state.state, &segment.segment, interrupt);
        merged(this, found.map_err(engine_failure)?)
    }

    /// Reads a text from an empty state and keeps what it did to the memory: see `record` with a
    /// state.
    ///
    /// ```
    /// print(load_model("toy:rwkv7").record("The cat"));
    /// ```
    #[rhai_fn(name = "record", return_raw, pure)]
    pub fn record_fresh(
        context: NativeCallContext,
        this: &mut Model,
        tokens: Value,
    ) -> Fallible<Recording> {
        let state = State::of(this, this.engine().state());
        super::record(&context, this, &tokens, &state)
    }

    /// Reads a text and keeps what each of its tokens did to the memory, and a snapshot of the
    /// state every 32 tokens, so that it can be taken back and cut into segments.
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// let recording = model.record(" cat sat", model.forward_gpt("The").state);
    /// print(recording.rewind(4));
    /// ```
    #[rhai_fn(name = "record", return_raw, pure)]
    pub fn record_from(
        context: NativeCallContext,
        this: &mut Model,
        tokens: Value,
        state: State,
    ) -> Fallible<Recording> {
        super::record(&context, this, &tokens, &state)
    }

    /// The state after the whole recording.
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// let far = model.record("The cat").state.max_abs_diff(model.forward_gpt("The cat").state);
    /// assert(far < 1e-4);
    /// ```
    #[rhai_fn(get = "state", pure)]
    pub fn end(this: &mut Recording) -> State {
        State::of(&this.model, this.recording.state.clone())
    }

    /// How many tokens were recorded.
    ///
    /// ```
    /// assert(load_model("toy:rwkv7").record("The cat").len == 7);
    /// ```
    #[rhai_fn(get = "len", pure)]
    pub fn len(this: &mut Recording) -> INT {
        this.recording.tokens.len() as INT
    }

    /// The state after the first `n` tokens: from the nearest snapshot and the few tokens after it.
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// let far = model.record("The cat").state_at(3).max_abs_diff(model.forward_gpt("The").state);
    /// assert(far < 1e-4);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn state_at(context: NativeCallContext, this: &mut Recording, n: INT) -> Fallible<State> {
        let (n, interrupt) = (count(n, "state_at")?, &Host::of(&context).interrupt);
        let state = this.recording.state_at(&this.model.engine(), n, interrupt);
        Ok(State::of(&this.model, state.map_err(engine_failure)?))
    }

    /// A part of the recording as a map of states.
    ///
    /// ```
    /// let recording = load_model("toy:rwkv7").record("The cat");
    /// let both = recording.segment(0..3).then(recording.segment(3..7));
    /// assert(both.error < 1e-4);
    /// ```
    #[rhai_fn(name = "segment", return_raw, pure)]
    pub fn segment_of(
        context: NativeCallContext,
        this: &mut Recording,
        part: Range<INT>,
    ) -> Fallible<Segment> {
        let part = bounds(part, this.recording.tokens.len())?;
        let interrupt = &Host::of(&context).interrupt;
        let segment = this.recording.segment(&this.model.engine(), part, interrupt);
        Ok(Segment::new(segment.map_err(engine_failure)?, &this.model))
    }

    /// Goes back by `n` tokens. Up to 32 are taken back one by one, `(S - v·kᵀ)·A⁻¹` (by the
    /// formula of Sherman and Morrison in RWKV-7); the rounding of the state grows on the way, so
    /// the true state is made as well: `state`, `truth`, their relative `error`, and `undone`. More
    /// tokens, and tokens that wiped out what was there before, come from a snapshot: `undone` is
    /// false and the state exact. Channels of RWKV-4 that forget within a token cannot be taken
    /// back and show in the error.
    ///
    /// ```
    /// let recording = load_model("toy:rwkv7").record("The cat sat on the mat.");
    /// let back = recording.rewind(3);
    /// assert(back.undone && back.error < 1e-3);
    /// print(recording.rewind(20));
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn rewind(context: NativeCallContext, this: &mut Recording, n: INT) -> Fallible<Report> {
        let (n, interrupt) = (count(n, "rewind")?, &Host::of(&context).interrupt);
        let found = this.recording.rewind(&this.model.engine(), n, interrupt);
        rewound(&this.model, n, found.map_err(engine_failure)?)
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn recording_text(this: &mut Recording) -> String {
        let size = State::of(&this.model, this.recording.state.clone()).size();
        format!("Recording of {} tokens   state {size}", this.recording.tokens.len())
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn segment_text(this: &mut Segment) -> String {
        let error = this.segment.error().map_or(f64::NAN, |error| error);
        let tokens = this.segment.tokens.len();
        format!("Segment of {tokens} tokens   S·P + C, relative error {}", short(error))
    }
}
