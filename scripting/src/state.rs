//! States as values: reading, comparing, mixing, saving; `let b = a;` is a snapshot.

mod compare;
mod files;
mod parts;
mod spectrum;
mod surgery;

pub use surgery::index;

use crate::charts::short;
use crate::host::{Fallible, engine_failure, fail, words};
use crate::layer::EMPTY;
use crate::model::Model;
use crate::{Table, View};
use rhai::{Dynamic, Module};
use rwkv_engine::model::Model as Engine;
use rwkv_engine::rwkv::Version;
use rwkv_engine::state::{Distance, Origin, State as Memory};
use rwkv_engine::tensor::Array;
use std::cell::RefCell;
use std::rc::{Rc, Weak};

/// All that a model remembers, and which model that is.
#[derive(Clone, Debug)]
pub struct State {
    /// The numbers.
    pub state: Memory,
    /// The model, as long as there is one: a state must not keep it alive.
    model: Weak<RefCell<Engine>>,
    /// What was known of the origin when the state was made.
    told: Rc<Origin>,
}

impl State {
    /// The state of a model.
    pub fn of(model: &Model, state: Memory) -> Self {
        let (told, weak) = (model.engine().named(), Rc::downgrade(&model.0));
        Self { state, model: weak, told: Rc::new(told) }
    }

    /// A state of which a file tells the origin.
    fn told(state: Memory, origin: Origin) -> Self {
        Self { state, model: Weak::new(), told: Rc::new(origin) }
    }

    /// The same origin, other numbers.
    pub fn with(&self, state: Memory) -> Self {
        Self { state, ..self.clone() }
    }

    /// Memory in words: `2.5 KiB`.
    pub fn size(&self) -> String {
        let bytes = self.state.bytes() as f64;
        let (size, unit) = if bytes < 1048576.0 { (1024.0, "KiB") } else { (1048576.0, "MiB") };
        format!("{:.1} {unit}", bytes / size)
    }

    fn version(&self) -> String {
        Version::named(&self.told.version).map_or(String::new(), |version| version.to_string())
    }

    /// With the fingerprint of the model, as long as there is one.
    fn origin(&self) -> Origin {
        let model = self.model.upgrade().map(|model| model.borrow().origin());
        model.unwrap_or_else(|| (*self.told).clone())
    }

    /// One row per layer: the norm of each part, in RWKV-4 the range of `pp`.
    pub fn view(&self) -> View {
        let words = [View::Words(self.describe()), View::Text(self.past())];
        View::Group(words.into_iter().chain([View::Table(self.parts_table())]).collect())
    }

    /// What led here: `of demo:tales, 72 tokens read; edits: scale by 0.5`.
    fn past(&self) -> String {
        let (name, past) = (&self.told.model, &self.state.past);
        let of = if name.is_empty() { String::new() } else { format!("of {name}, ") };
        let tokens = if past.tokens == 1 { "token" } else { "tokens" };
        let read = format!("{of}{} {tokens} read", past.tokens);
        let edits = past.edits();
        match edits.len().saturating_sub(SHOWN) {
            0 if edits.is_empty() => read,
            0 => format!("{read}; edits: {}", edits.join(", ")),
            more => format!("{read}; {more} edits, then {}", edits[more..].join(", ")),
        }
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
            Ok(part) if name == "pp" => exponents(&part),
            Ok(part) => format!("{:.3}", part.norm()),
            Err(_) => String::new(),
        };
        let row = |layer: usize| {
            let cells = parts.iter().map(|name| cell(layer, name));
            std::iter::once(layer.to_string()).chain(cells).collect()
        };
        Table { columns, rows: (0..self.state.layers.len()).map(row).collect() }
    }

    /// A table with a row per layer on how far another state is; `first` names the column of
    /// Euclidean distances.
    ///
    /// # Errors
    /// When the states are of different models.
    pub fn beside(&self, other: &Self, first: &str) -> Fallible<Table> {
        let layers = self.state.distances(&other.state).map_err(engine_failure)?;
        let row = |(layer, far): (usize, Distance)| {
            let cells = [far.l2, far.cosine, far.max_abs].map(short);
            std::iter::once(layer.to_string()).chain(cells).collect()
        };
        let rows = layers.into_iter().enumerate().map(row).collect();
        Ok(Table::new(&["layer", first, "cosine", "max |a-b|"], rows))
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

/// The state inside a value of a script; `what` names it in the failure.
///
/// # Errors
/// When the value is something else.
pub fn state_of(value: &Dynamic, what: &str) -> Fallible<State> {
    let state = value.read_lock::<State>().map(|state| state.clone());
    state.ok_or_else(|| fail(format!("{what} must be a State, not {}", words(value))))
}

/// Edits that are shown in full.
const SHOWN: usize = 3;

/// The range of the exponents of RWKV-4 that mean something: channels that have seen no token
/// stand below all numbers.
fn exponents(pp: &Array) -> String {
    let seen: Vec<f32> = pp.values().into_iter().filter(|x| *x > EMPTY).collect();
    if seen.is_empty() {
        return "empty".into();
    }
    let seen = Array::vector(seen);
    let [low, high] = [seen.min(), seen.max()].map(|x| short(f64::from(x)));
    format!("{low} .. {high}")
}

/// The modules of this folder.
pub fn module() -> Module {
    let mut module = parts::module();
    for more in [compare::module(), files::module(), spectrum::module(), surgery::module()] {
        module.combine(more);
    }
    module
}
