//! The properties of a model: sizes and names.

use crate::model::Model;
use rhai::{Dynamic, FuncRegistration, INT, Module};
use rwkv_engine::model::Model as Engine;

/// Name, doc, and how to read it.
type Fact = (&'static str, &'static str, fn(&Engine) -> Dynamic);

const FACTS: [Fact; 11] = [
    ("name", "What the model is called: `toy:rwkv4`, or its file.", |m| m.name.clone().into()),
    ("version", "Which RWKV it is: `rwkv4`, `rwkv7`.", |m| m.rwkv.version().name().into()),
    ("n_layer", "Number of blocks.", |m| count(m.n_layer())),
    ("n_embd", "Channels of the residual stream.", |m| count(m.n_embd())),
    ("n_head", "Heads of a block; 1 in RWKV-4.", |m| count(m.n_head())),
    ("head_size", "Channels of a head; all of them in RWKV-4.", |m| count(m.head_size())),
    ("vocab_size", "Number of tokens there are logits for.", |m| count(m.vocab_size())),
    (
        "ctx_len",
        "Tokens that it was trained to read at once, where that is known, else `()`.",
        |m| m.ctx_len.map_or(Dynamic::UNIT, count),
    ),
    ("n_params", "How many numbers the weights are.", |m| count(m.n_params())),
    ("dtype", "The type its numbers had on disk.", |m| m.dtype.to_string().into()),
    ("device", "Where it runs: `cpu`, `cuda:0`.", |m| m.place.name.clone().into()),
];

fn count(n: usize) -> Dynamic {
    (n as INT).into()
}

/// The module of this file.
pub fn module() -> Module {
    let mut module = Module::new();
    for (name, doc, read) in FACTS {
        let doc = format!(
            "/// {doc}\n///\n/// ```\n/// print(load_model(\"toy:rwkv4\").{name});\n/// ```"
        );
        FuncRegistration::new_getter(name)
            .with_params_info(["this: &mut Model", "Value"])
            .with_comments([doc])
            .set_into_module(&mut module, move |model: &mut Model| read(&model.engine()));
    }
    module
}
