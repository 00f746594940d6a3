//! One layer of a state: its parts can be read and replaced, `state[1].aa *= 0.5`.

use crate::charts::short;
use crate::host::{Fallible, Number, Value, engine_failure, fail, number};
use crate::state::State;
use crate::tensor::{Tensor, tensor_of};
use rhai::plugin::*;
use rhai::{FLOAT, FuncRegistration, Module};
use rwkv_engine::tensor::Array;

/// A layer and the state it is part of.
#[derive(Clone, Debug)]
pub struct Layer {
    /// A copy of the whole state.
    pub state: State,
    /// Which layer of it.
    pub index: usize,
}

/// Name and meaning of every part that a layer may have.
const PARTS: [(&str, &str); 6] = [
    ("att_x", "The last input of time-mix, `[C]`."),
    ("ffn_x", "The last input of channel-mix, `[C]`."),
    ("aa", "RWKV-4: the weighted sum of values, divided by e^pp, `[C]`."),
    ("bb", "RWKV-4: the sum of weights, divided by e^pp, `[C]`."),
    ("pp", "RWKV-4: the exponent that `aa` and `bb` are divided by, `[C]`."),
    ("wkv", "RWKV-5 and later: the matrix of each head, `[H, value, key]`."),
];

/// What `pp` is before the first token: the weight of nothing.
pub const EMPTY: f32 = -1e30;

impl Layer {
    fn part(&self, name: &str) -> Fallible<Array> {
        self.state.state.part(self.index, name).map_err(engine_failure)
    }

    fn set(&mut self, name: &str, value: &Array) -> Fallible<()> {
        self.state.state.set_part(self.index, name, value).map_err(engine_failure)
    }

    /// Replaces a part; a single number fills it.
    fn put(&mut self, name: &str, value: &Dynamic) -> Fallible<()> {
        let value = tensor_of(value)?.array;
        let filled = match value.item() {
            Some(x) => Array::full(self.part(name)?.shape(), x),
            None => value,
        };
        self.set(name, &filled)
    }

    /// Empties the layer, as before the first token.
    ///
    /// # Errors
    /// For the state of several texts.
    pub fn reset(&mut self) -> Fallible<()> {
        self.change(|name, part| Array::full(part.shape(), if name == "pp" { EMPTY } else { 0.0 }))
    }

    /// The names of the parts.
    fn names(&self) -> Vec<&'static str> {
        self.state.state.parts_of(self.index).unwrap_or_default() // a layer made from a state is in it
    }

    /// Changes every part that is remembered.
    fn change(&mut self, f: impl Fn(&str, &Array) -> Array) -> Fallible<()> {
        for name in self.names() {
            let part = self.part(name)?;
            self.set(name, &f(name, &part))?;
        }
        Ok(())
    }
}

/// The module of this file.
pub fn module() -> Module {
    let mut module = exported_module!(functions);
    for (name, doc) in PARTS {
        let (model, get) =
            if name == "wkv" { ("toy:rwkv7", "wkv[0]") } else { ("toy:rwkv4", name) };
        let example = format!("print(load_model(\"{model}\").new_state()[0].{get});");
        let doc = format!("/// {doc}\n///\n/// ```\n/// {example}\n/// ```");
        FuncRegistration::new_getter(name)
            .with_params_info(["this: &mut Layer", "Tensor"])
            .with_comments([doc])
            .set_into_module(&mut module, move |layer: &mut Layer| {
                layer.part(name).map(Tensor::from)
            });
        let setter = || {
            FuncRegistration::new_setter(name).with_params_info(["this: &mut Layer", "value", "()"])
        };
        setter().set_into_module(&mut module, move |layer: &mut Layer, value: Dynamic| {
            layer.put(name, &value)
        });
    }
    module
}

#[export_module]
mod functions {
    /// One layer of a state.
    pub type Layer = super::Layer;

    /// A part by its name, as `layer.att_x` but for a name in a variable.
    ///
    /// ```
    /// let layer = load_model("toy:rwkv4").new_state()[0];
    /// for name in layer.parts { print(`${name} ${layer[name].shape}`); }
    /// ```
    #[rhai_fn(index_get, return_raw, pure)]
    pub fn part_by_name(this: &mut Layer, name: &str) -> Fallible<Tensor> {
        this.part(name).map(Tensor::from)
    }

    /// Replaces a part by its name; a single number fills it.
    ///
    /// ```
    /// let s = load_model("toy:rwkv4").new_state();
    /// s[0]["bb"] = 1.0;
    /// assert(s[0].bb.min() == 1);
    /// ```
    #[rhai_fn(index_set, return_raw)]
    pub fn set_part_by_name(this: &mut Layer, name: &str, value: Value) -> Fallible<()> {
        this.put(name, &value)
    }

    /// The names of the parts.
    ///
    /// ```
    /// assert(load_model("toy:rwkv7").new_state()[0].parts == ["att_x", "wkv", "ffn_x"]);
    /// ```
    #[rhai_fn(get = "parts", pure)]
    pub fn parts(this: &mut Layer) -> rhai::Array {
        this.names().into_iter().map(Dynamic::from).collect()
    }

    /// Empties the layer, as before the first token.
    ///
    /// ```
    /// let s = load_model("toy:rwkv4").forward_gpt("Hi").state;
    /// for layer in 0..s.n_layer { s[layer].reset(); }
    /// assert(s.norm() == 0);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn reset(this: &mut Layer) -> Fallible<()> {
        super::Layer::reset(this)
    }

    /// Multiplies what the layer remembers by `factor`, all but the `pp` of RWKV-4.
    ///
    /// ```
    /// let s = load_model("toy:rwkv4").forward_gpt("Hi").state;
    /// let before = s[0].norm();
    /// s[0].scale(0.5);
    /// assert((s[0].norm() - before / 2).abs() < 1e-4);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn scale(this: &mut Layer, factor: Number) -> Fallible<()> {
        let factor = number(&factor, "the factor of `scale`")? as f32;
        if !factor.is_finite() {
            return Err(fail(format!("the factor of `scale` must be finite, not {factor}")));
        }
        this.change(|name, part| if name == "pp" { part.clone() } else { part.map(|x| x * factor) })
    }

    /// The root of the sum of squares of the layer, without the `pp` of RWKV-4.
    ///
    /// ```
    /// assert(load_model("toy:rwkv4").new_state()[0].norm() == 0);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn norm(this: &mut Layer) -> Fallible<FLOAT> {
        let parts = this.names().into_iter().filter(|name| *name != "pp");
        let squares = parts.map(|name| Ok(this.part(name)?.norm().powi(2)));
        Ok(squares.sum::<Fallible<f64>>()?.sqrt())
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_text(this: &mut Layer) -> String {
        let part = |name: &&str| {
            let norm = this.part(name).map_or(f64::NAN, |part| part.norm());
            format!("|{name}| {}", short(norm))
        };
        let parts: Vec<String> = this.names().iter().map(part).collect();
        format!("Layer {}  {}", this.index, parts.join("  "))
    }
}
