//! Conversations on disk.

use super::Chat;
use crate::host::{Fallible, Host, engine_failure};
use crate::model::Model;
use crate::options::OptionMap;
use rhai::plugin::*;
use rhai::{Map, Module};
use rwkv_engine::chat::Chat as Talk;

fn save(context: &NativeCallContext, chat: &Chat, path: &str, options: Map) -> Fallible<()> {
    let mut options = OptionMap::new("save", options);
    let states = options.flag("states", true)?;
    options.finish()?;
    let file = Host::of(context).writable(path)?;
    chat.look()?.save(&file, &chat.model.engine(), states).map_err(engine_failure)
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// Writes the whole tree to a file that `load_chat` reads back: what continues from there is
    /// bit for bit what would have continued here.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// let chat = model.new_chat(#{ max_tokens: 3 });
    /// chat.say("Hello");
    /// chat.save(temp_path("talk.safetensors"));
    /// assert(load_chat(temp_path("talk.safetensors"), model).state == chat.state);
    /// ```
    #[rhai_fn(name = "save", return_raw, pure, volatile)]
    pub fn save_chat(context: NativeCallContext, this: &mut Chat, path: &str) -> Fallible<()> {
        save(&context, this, path, Map::new())
    }

    /// The same, with or without the states.
    ///
    /// - `states` `false` makes a small file: states are read again when it is loaded, but for
    ///   those that were edited or came from elsewhere
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ max_tokens: 3 });
    /// chat.say("Hello");
    /// chat.save(temp_path("small.safetensors"), #{ states: false });
    /// ```
    #[rhai_fn(name = "save", return_raw, pure, volatile)]
    pub fn save_chat_with(
        context: NativeCallContext,
        this: &mut Chat,
        path: &str,
        options: Map,
    ) -> Fallible<()> {
        save(&context, this, path, options)
    }

    /// Reads a conversation that `chat.save` wrote with the same model.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// model.new_chat().save(temp_path("empty.safetensors"));
    /// let chat = load_chat(temp_path("empty.safetensors"), model);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn load_chat(context: NativeCallContext, path: &str, model: Model) -> Fallible<Chat> {
        let host = Host::of(&context);
        let file = host.readable(path);
        let talk = Talk::load(&file, &model.engine(), &host.interrupt).map_err(engine_failure)?;
        Ok(Chat::of(&model, talk))
    }
}
