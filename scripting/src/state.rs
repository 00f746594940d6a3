//! States as values: reading, comparing, mixing, saving; `let b = a;` is a snapshot.

use crate::charts::short;
use crate::host::{Fallible, Host, Number, engine_failure, fail, number};
use crate::layer::Layer;
use crate::model::Model;
use crate::tensor::Tensor;
use crate::{Table, View};
use rhai::plugin::*;
use rhai::{FLOAT, INT, Map, Module};
use rwkv_engine::model::Model as Engine;
use rwkv_engine::rwkv::Version;
use rwkv_engine::state::{Export, Origin, State as Memory};
use rwkv_engine::tensor::Array;
use std::cell::RefCell;
use std::rc::{Rc, Weak};

/// All that a model remembers, and which model that is.
#[derive(Clone, Debug)]
pub struct State {
    /// The numbers.
    pub state: Memory,
    source: Source,
}

/// Where a state comes from; a state must not keep a model alive.
#[derive(Clone, Debug)]
enum Source {
    Model(Weak<RefCell<Engine>>),
    File(Rc<Origin>),
}

impl State {
    /// The state of a model.
    pub fn of(model: &Model, state: Memory) -> Self {
        Self { state, source: Source::Model(Rc::downgrade(&model.0)) }
    }

    /// The same origin, other numbers.
    pub fn with(&self, state: Memory) -> Self {
        Self { state, source: self.source.clone() }
    }

    /// Memory in words: `2.5 KiB`.
    pub fn size(&self) -> String {
        let bytes = self.state.bytes() as f64;
        let (size, unit) = if bytes < 1048576.0 { (1024.0, "KiB") } else { (1048576.0, "MiB") };
        format!("{:.1} {unit}", bytes / size)
    }

    fn version(&self) -> String {
        match &self.source {
            Source::Model(model) => {
                model.upgrade().map_or(String::new(), |m| m.borrow().rwkv.version().to_string())
            }
            Source::File(origin) => origin.version.clone(),
        }
    }

    fn origin(&self) -> Origin {
        match &self.source {
            Source::Model(model) => {
                model.upgrade().map(|model| model.borrow().origin()).unwrap_or_default()
            }
            Source::File(origin) => (**origin).clone(),
        }
    }

    /// One row per layer: the norm of each part, in RWKV-4 the range of `pp`.
    pub fn view(&self) -> View {
        View::Group(vec![View::Text(self.describe()), View::Table(self.parts_table())])
    }

    fn describe(&self) -> String {
        let channels = self.state.layers.first().map_or(0, |layer| layer.att_x.dims()[1]);
        let (version, layers, size) = (self.version(), self.state.layers.len(), self.size());
        format!("State {version}   {layers} layers x {channels}   {size}")
    }

    fn parts_table(&self) -> Table {
        let parts = self.state.parts();
        let title =
            |name: &&str| if *name == "pp" { "pp range".into() } else { format!("|{name}|") };
        let columns = std::iter::once("layer".into()).chain(parts.iter().map(title)).collect();
        let cell = |layer: usize, name: &str| match self.state.part(layer, name) {
            Ok(part) if name == "pp" => {
                let [low, high] = [part.min(), part.max()].map(|x| short(f64::from(x)));
                format!("{low} .. {high}")
            }
            Ok(part) => format!("{:.3}", part.norm()),
            Err(_) => String::new(),
        };
        let row = |layer: usize| {
            let cells = parts.iter().map(|name| cell(layer, name));
            std::iter::once(layer.to_string()).chain(cells).collect()
        };
        Table { columns, rows: (0..self.state.layers.len()).map(row).collect() }
    }

    /// Everything remembered in the given layers as one long vector, without the `pp` of RWKV-4.
    fn flat(&self, layers: impl Iterator<Item = usize>) -> Fallible<Array> {
        let mut values = Vec::new();
        for layer in layers {
            let names = self.state.parts_of(layer).map_err(engine_failure)?;
            for name in names.into_iter().filter(|name| *name != "pp") {
                values.extend(self.state.part(layer, name).map_err(engine_failure)?.values());
            }
        }
        Ok(Array::vector(values))
    }
}

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
        this.state.layers[index] = layer.state.state.layers[layer.index].clone();
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

    /// A table with a row per layer of how far `other` is: distance, cosine, largest difference.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// show(model.forward_gpt("rain").state.diff(model.forward_gpt("sun").state));
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn diff(this: &mut State, other: State) -> Fallible<View> {
        let layers = this.state.distances(&other.state).map_err(engine_failure)?;
        let row = |(layer, far): (usize, rwkv_engine::state::Distance)| {
            let cells = [far.l2, far.cosine, far.max_abs].map(short);
            std::iter::once(layer.to_string()).chain(cells).collect()
        };
        let rows = layers.into_iter().enumerate().map(row).collect();
        Ok(View::Table(Table::new(&["layer", "L2", "cosine", "max |a-b|"], rows)))
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

    /// Writes the state to a file that `load_state` reads back bit for bit.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// model.forward_gpt("Hi").state.save(temp_path("hi.safetensors"));
    /// let back = load_state(temp_path("hi.safetensors"), model);
    /// ```
    #[rhai_fn(name = "save", return_raw, pure, volatile)]
    pub fn save_state(context: NativeCallContext, this: &mut State, path: &str) -> Fallible<()> {
        let file = Host::of(&context).writable(path)?;
        this.state.save(&file, &this.origin()).map_err(engine_failure)
    }

    /// Writes the state for another program: `time_state` (a tuned initial state: only the
    /// matrices, `.pth` or web-rwkv's `.st`), `pip` (the list that pip `rwkv` takes, `.pth`) or
    /// `rwkv.cpp` (numbers without a header). `load_state` reads them all.
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// model.forward_gpt("Hi").state.save(temp_path("hi.pth"), "pip");
    /// let back = load_state(temp_path("hi.pth"), model);
    /// ```
    #[rhai_fn(name = "save", return_raw, pure, volatile)]
    pub fn save_for(
        context: NativeCallContext,
        this: &mut State,
        path: &str,
        program: &str,
    ) -> Fallible<()> {
        let program = Export::named(program).map_err(engine_failure)?;
        let version = Version::named(&this.origin().version)
            .ok_or_else(|| fail("save: it is not known which version this state is of"))?;
        let file = Host::of(&context).writable(path)?;
        this.state.export(&file, program, version).map_err(engine_failure)
    }

    /// Reads a state file: our own, checked to be of `model`; a tuned initial state
    /// (`time_state`); or what pip `rwkv`, RWKV-v4neo, `transformers`, web-rwkv or rwkv.cpp
    /// saved, of which only the shape can be checked.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// model.new_state().save(temp_path("s.safetensors"));
    /// assert(load_state(temp_path("s.safetensors"), model) == model.new_state());
    /// ```
    #[rhai_fn(name = "load_state", return_raw, volatile)]
    pub fn load_checked(context: NativeCallContext, path: &str, model: Model) -> Fallible<State> {
        let file = Host::of(&context).readable(path);
        let state = model.engine().load_state(&file).map_err(engine_failure)?;
        Ok(State::of(&model, state))
    }

    /// Reads a state file without asking which model wrote it.
    ///
    /// ```
    /// load_model("toy:rwkv4").new_state().save(temp_path("s.safetensors"));
    /// print(load_state(temp_path("s.safetensors")).norm());
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn load_state(context: NativeCallContext, path: &str) -> Fallible<State> {
        let host = Host::of(&context);
        let place = rwkv_engine::device::choose(&host.options.device).map_err(engine_failure)?;
        let (state, origin) =
            Memory::load(&host.readable(path), &place.device).map_err(engine_failure)?;
        Ok(State { state, source: Source::File(Rc::new(origin)) })
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_text(this: &mut State) -> String {
        this.describe()
    }
}
