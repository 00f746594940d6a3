//! Texts that were read with all that they did to the memory: cut into segments, taken back.

use crate::View;
use crate::charts::short;
use crate::host::{Fallible, Host, Value, engine_failure, fail};
use crate::model::Model;
use crate::options::OptionMap;
use crate::report::Report;
use crate::segment::{Segment, TO_TRUTH};
use crate::state::State;
use crate::tensor::bounds;
use rhai::plugin::*;
use rhai::{INT, Map, Module};
use rwkv_engine::segment::{Recording as Recorded, Rewound};
use std::ops::Range;
use std::rc::Rc;

/// A text that was read with all that it did to the memory.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The text and its letters.
    pub recording: Rc<Recorded>,
    model: Model,
}

/// Reads a text from a state on and keeps what it did.
///
/// # Errors
/// When it is no text that the model can read.
pub fn record(
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

fn rewound(model: &Model, tokens: usize, found: Rewound) -> Fallible<Report> {
    let far = found.tried.as_ref().map(|(_, far)| short(*far));
    let snapshot = "the state comes from a snapshot and is exact";
    let title = match (found.undone, far) {
        (true, far) => {
            let far = far.unwrap_or_default();
            format!("Took back {tokens} tokens one by one   relative error {far}")
        }
        (_, Some(far)) => {
            format!("Taking back {tokens} tokens one by one is off by {far}, relative; {snapshot}")
        }
        _ => format!("Taking back {tokens} tokens one by one leads nowhere; {snapshot}"),
    };
    let error = found.tried.as_ref().map_or(Dynamic::UNIT, |(_, far)| (*far).into());
    let [state, truth] = [found.state, found.truth].map(|state| State::of(model, state));
    let tried = found.tried.map_or(truth.clone(), |(tried, _)| State::of(model, tried));
    let view = View::Table(tried.beside(&truth, TO_TRUTH)?);
    let fields = vec![
        ("state", Dynamic::from(state)),
        ("truth", Dynamic::from(truth)),
        ("tried", Dynamic::from(tried)),
        ("undone", found.undone.into()),
        ("error", error),
    ];
    Ok(Report::new(title, view, fields))
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// A text that was read with all that it did to the memory.
    pub type Recording = super::Recording;

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

    /// Goes back by `n` tokens: see the form with options.
    ///
    /// ```
    /// show(load_model("toy:rwkv7").record("The cat sat on the mat.").rewind(3));
    /// ```
    #[rhai_fn(name = "rewind", return_raw, pure)]
    pub fn plain_rewind(
        context: NativeCallContext,
        this: &mut Recording,
        n: INT,
    ) -> Fallible<Report> {
        rewind(context, this, n, Map::new())
    }

    /// Goes back by `n` tokens. Up to 32 are taken back one by one, `(S - v·kᵀ)·A⁻¹` (by the
    /// formula of Sherman and Morrison in RWKV-7). What has faded or was taken out comes back with
    /// its rounding grown as much, so the true state is made from a snapshot as well. Fields:
    /// `state`; `truth`; `tried`, what undoing gave, and its relative `error`; `undone`, whether
    /// the state is that one, else it is the true one.
    ///
    /// - `tolerance` error up to which undoing is good enough, 0.001
    ///
    /// ```
    /// let recording = load_model("toy:rwkv7").record("The cat sat on the mat.");
    /// let back = recording.rewind(3, #{ tolerance: 0.01 });
    /// assert(back.undone && back.error < 0.01);
    /// print(recording.rewind(20));
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn rewind(
        context: NativeCallContext,
        this: &mut Recording,
        n: INT,
        options: Map,
    ) -> Fallible<Report> {
        let (n, interrupt) = (count(n, "rewind")?, &Host::of(&context).interrupt);
        let mut options = OptionMap::new("rewind", options);
        let tolerance = options.number("tolerance", 1e-3, 0.0..)?;
        options.finish()?;
        let found = this.recording.rewind(&this.model.engine(), n, tolerance, interrupt);
        rewound(&this.model, n, found.map_err(engine_failure)?)
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn recording_text(this: &mut Recording) -> String {
        let size = State::of(&this.model, this.recording.state.clone()).size();
        format!("Recording of {} tokens   state {size}", this.recording.tokens.len())
    }
}
