//! Files of named tensors.

use crate::host::{Fallible, Host, Value, engine_failure, fail, words};
use crate::tensor::{Tensor, tensor_of};
use rhai::plugin::*;
use rhai::{Map, Module};
use rwkv_engine::checkpoint::{self, Checkpoint, Dtype};
use rwkv_engine::tensor::Array;
use std::collections::BTreeMap;

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// All tensors of a `.safetensors` or `.pth` file, a map by names.
    ///
    /// ```
    /// save_tensors(temp_path("t.safetensors"), #{ a: ones([2]) });
    /// assert(load_tensors(temp_path("t.safetensors")).a.sum() == 2);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn load_tensors(context: NativeCallContext, path: &str) -> Fallible<Map> {
        let file = Checkpoint::open(&Host::of(&context).readable(path)).map_err(engine_failure)?;
        let read = |name: &str| {
            let shape = file.shape(name).unwrap_or_default().to_vec();
            let array = Array::new(&shape, file.values(name)?)?;
            anyhow::Ok((name.into(), Dynamic::from(Tensor::from(array))))
        };
        file.names().map(read).collect::<anyhow::Result<Map>>().map_err(engine_failure)
    }

    /// Writes a map of tensors, or of numbers and arrays, as safetensors in single precision.
    ///
    /// ```
    /// save_tensors(temp_path("t.safetensors"), #{ a: [1, 2], b: zeros([2, 2]) });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn save_tensors(context: NativeCallContext, path: &str, tensors: Value) -> Fallible<()> {
        let Some(map) = tensors.read_lock::<Map>() else {
            return Err(fail(format!(
                "save_tensors needs a map by names, not {}",
                words(&tensors)
            )));
        };
        let row = |(name, value): (&rhai::Identifier, &Dynamic)| {
            let array = tensor_of(value)?.array;
            Ok((name.to_string(), array.shape().to_vec(), array.values()))
        };
        let rows = map.iter().map(row).collect::<Fallible<Vec<_>>>()?;
        let file = Host::of(&context).writable(path)?;
        checkpoint::save(&file, &rows, Dtype::F32, &BTreeMap::new()).map_err(engine_failure)
    }
}
