//! How many directions a memory uses, and how fast it changes.

use crate::charts::short;
use crate::host::{Fallible, Host, Value, engine_failure};
use crate::model::Model;
use crate::state::State;
use crate::state::surgery::index;
use crate::tensor::Tensor;
use crate::{Table, View};
use rhai::plugin::*;
use rhai::{FLOAT, INT, Map, Module};
use rwkv_engine::state::{Spectrum, singular};
use rwkv_engine::tensor::Array;

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

fn spectrum(this: &Tensor) -> Fallible<Spectrum> {
    Spectrum::of(&this.array).map_err(engine_failure)
}

#[export_module]
mod functions {
    /// The singular value decomposition of a matrix: a map of `u` `[rows, rank]`, `s` `[rank]` from
    /// large to small, `v` `[columns, rank]`, with `matrix = u · diag(s) · vᵀ`.
    ///
    /// ```
    /// let parts = tensor([[3, 0], [0, 4]]).svd();
    /// assert(parts.s.max_abs_diff(tensor([4, 3])) < 1e-6);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn svd(this: &mut Tensor) -> Fallible<Map> {
        let parts = singular(&this.array).map_err(engine_failure)?;
        let named = ["u", "s", "v"].into_iter().zip(parts);
        Ok(named.map(|(name, part)| (name.into(), Dynamic::from(Tensor::from(part)))).collect())
    }

    /// How concentrated a matrix is: the sum of its squared singular values divided by the largest
    /// of these squares; 1 where one direction holds everything.
    ///
    /// ```
    /// assert((tensor([[1, 2], [2, 4]]).stable_rank() - 1).abs() < 1e-5);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn stable_rank(this: &mut Tensor) -> Fallible<FLOAT> {
        Ok(spectrum(this)?.stable_rank())
    }

    /// How many directions a matrix uses: `exp` of the entropy of its singular values, each divided
    /// by their sum (Roy and Vetterli 2007).
    ///
    /// ```
    /// assert((tensor([[1, 0], [0, 1]]).effective_rank() - 2).abs() < 1e-5);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn effective_rank(this: &mut Tensor) -> Fallible<FLOAT> {
        Ok(spectrum(this)?.effective_rank())
    }

    /// As `effective_rank`, but small directions count less: `(Σσ²)² / Σσ⁴`.
    ///
    /// ```
    /// assert((tensor([[1, 0], [0, 1]]).participation_ratio() - 2).abs() < 1e-5);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn participation_ratio(this: &mut Tensor) -> Fallible<FLOAT> {
        Ok(spectrum(this)?.participation_ratio())
    }

    /// A table with a row per head: root mean square of the matrix, its largest singular value,
    /// stable rank, effective rank and participation ratio. RWKV-4 has no matrices.
    ///
    /// ```
    /// show(load_model("toy:rwkv7").forward_gpt("Hi").state.spectrum());
    /// ```
    #[rhai_fn(name = "spectrum", return_raw, pure)]
    pub fn spectrum_table(this: &mut State) -> Fallible<View> {
        let heads = |layer: usize| this.state.layers[layer].wkv.dims()[1];
        let places = (0..this.state.layers.len()).flat_map(|l| (0..heads(l)).map(move |h| (l, h)));
        let row = |(layer, head): (usize, usize)| {
            let matrix = this.state.head(layer, head).map_err(engine_failure)?;
            let s = Spectrum::of(&matrix).map_err(engine_failure)?;
            let first = s.values.first().copied().unwrap_or_default();
            let numbers =
                [s.rms(), first, s.stable_rank(), s.effective_rank(), s.participation_ratio()];
            Ok([layer, head].map(|x| x.to_string()).into_iter().chain(numbers.map(short)).collect())
        };
        let rows = places.map(row).collect::<Fallible<_>>()?;
        let columns =
            ["layer", "head", "RMS", "sigma 1", "stable rank", "effective rank", "participation"];
        Ok(View::Table(Table::new(&columns, rows)))
    }

    /// How much every token changes every layer of the state, `[T, L]`: the norm of the change as a
    /// share of the norm after it. Peaks mark where the text turns.
    ///
    /// ```
    /// let drift = load_model("toy:rwkv7").drift("The cat sat.");
    /// assert(drift.shape == [12, 2] && drift[0][0] == 1);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn drift(context: NativeCallContext, this: &mut Model, tokens: Value) -> Fallible<Tensor> {
        let (host, ids) = (Host::of(&context), this.ids(&tokens)?);
        let model = this.engine();
        let (mut state, mut values) = (model.state(), Vec::new());
        for id in &ids {
            let after = model.read(&[*id], &state, &host.interrupt).map_err(engine_failure)?.1;
            let far = after.distances(&state).map_err(engine_failure)?;
            let sizes = after.norms();
            values.extend(far.iter().zip(sizes).map(|(far, size)| (far.l2 / size) as f32));
            state = after;
        }
        let shape = [ids.len(), model.n_layer()];
        Ok(Array::new(&shape, values).map_err(engine_failure)?.into())
    }

    /// What the memory of a head returns for a key, `[value]`: the matrix times the key, whose
    /// length does not count. RWKV-4 has no matrices.
    ///
    /// ```
    /// let model = load_model("toy:rwkv7");
    /// let s = model.new_state();
    /// let key = zeros([model.head_size]);
    /// key[3] = 1.0;
    /// assert(memory_query(s, 0, 1, key).norm() == 0);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn memory_query(this: &mut State, layer: INT, head: INT, key: Value) -> Fallible<Tensor> {
        let (layer, head) = (index(layer)?, index(head)?);
        let key = crate::tensor::tensor_of(&key)?.array;
        Ok(this.state.query(layer, head, &key).map_err(engine_failure)?.into())
    }
}
