//! What a question to a model is answered with: something to look at, and its numbers by name.

use crate::View;
use crate::host::{Fallible, fail};
use crate::suggest::nearest;
use rhai::plugin::*;
use rhai::{Array, Map, Module};

/// A view with the numbers it was made from.
#[derive(Clone, Debug)]
pub struct Report {
    /// One line on what it is.
    pub title: String,
    view: View,
    fields: Map,
    /// Fields that are given when asked for, but are too long for JSON: plots, single items.
    asides: Map,
}

impl Report {
    /// An answer that shows `view` and gives `fields` by their names.
    pub fn new(title: String, view: View, fields: Vec<(&str, Dynamic)>) -> Self {
        let fields = fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
        Self { title, view, fields, asides: Map::new() }
    }

    /// The same with `value` under a name of its own, which is not part of its JSON.
    pub fn with(mut self, name: &str, value: Dynamic) -> Self {
        self.asides.insert(name.into(), value);
        self
    }

    /// The title and what it shows.
    pub fn view(&self) -> View {
        View::Group(vec![View::Words(self.title.clone()), self.view.clone()])
    }

    /// The numbers by their names.
    pub fn fields(&self) -> &Map {
        &self.fields
    }

    /// Names of the fields, in alphabetical order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.fields.keys().map(|name| name.as_str()).collect();
        names.extend(self.asides.keys().map(|name| name.as_str()));
        names.sort_unstable();
        names
    }
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// The answer to a question: printed it is a table or a picture, its fields are the numbers.
    pub type Report = super::Report;

    /// A field of the report by its name; `report.bits` and `report["bits"]` are the same.
    ///
    /// ```
    /// let report = load_model("toy:rwkv7").surprise("The cat");
    /// assert(report.bits == report["bits"]);
    /// ```
    #[rhai_fn(index_get, return_raw, pure)]
    pub fn field(this: &mut Report, name: &str) -> Fallible<Dynamic> {
        if let Some(value) = this.fields.get(name).or_else(|| this.asides.get(name)) {
            return Ok(value.clone());
        }
        let names = this.names();
        let hint = nearest(name, names.iter().copied())
            .map_or(String::new(), |known| format!("; did you mean `{known}`?"));
        Err(fail(format!("this report has no `{name}`{hint}  It has: {}", names.join(", "))))
    }

    /// The names of the fields of the report.
    ///
    /// ```
    /// assert(load_model("toy:rwkv7").surprise("The cat").fields.contains("bits"));
    /// ```
    #[rhai_fn(get = "fields", pure)]
    pub fn fields(this: &mut Report) -> Array {
        this.names().into_iter().map(|name| name.to_string().into()).collect()
    }

    /// What the report shows, without its title.
    ///
    /// ```
    /// show(load_model("toy:rwkv7").surprise("The cat").view);
    /// ```
    #[rhai_fn(get = "view", pure)]
    pub fn shown(this: &mut Report) -> View {
        this.view.clone()
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_text(this: &mut Report) -> String {
        this.title.clone()
    }
}
