//! State files: ours and those of other programs.

use crate::host::{Fallible, Host, engine_failure, fail};
use crate::model::Model;
use crate::state::State;
use rhai::Module;
use rhai::plugin::*;
use rwkv_engine::rwkv::Version;
use rwkv_engine::state::{Export, State as Memory};

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
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
        Ok(State::told(state, origin))
    }
}
