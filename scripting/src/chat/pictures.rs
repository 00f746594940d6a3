//! Pictures in conversations.

use rhai::plugin::*;
use rhai::{Array, Map, Module};
use rwkv_engine::chat::Picture;

use super::Chat;
use crate::generate::Generation;
use crate::host::{Fallible, Host, Value, engine_failure, fail, words};
use crate::image::Image;
use crate::model::Model;

/// Names of pictures.
pub(super) fn names(pictures: &[Picture]) -> Dynamic {
    pictures.iter().map(|picture| picture.name.clone().into()).collect::<Array>().into()
}

/// A picture, or an array of them.
fn pictures_of(value: &Dynamic) -> Fallible<Vec<Image>> {
    let one = |value: &Dynamic| {
        let image = value.read_lock::<Image>().map(|image| image.clone());
        image.ok_or_else(|| {
            fail(format!("`image` must be a picture of load_image, not {}", words(value)))
        })
    };
    match value.read_lock::<Array>() {
        Some(list) => list.iter().map(one).collect(),
        None => Ok(vec![one(value)?]),
    }
}

impl Chat {
    /// Shows the model pictures: one, or an array of them.
    pub(super) fn show(&self, context: &NativeCallContext, pictures: &Dynamic) -> Fallible<()> {
        let host = Host::of(context);
        let (mut talk, model) = (self.talk()?, self.model.engine());
        for image in pictures_of(pictures)? {
            talk.show(&model, &image.0, &host.interrupt).map_err(engine_failure)?;
        }
        Ok(())
    }
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// Shows the model a picture, or an array of them (`image`): it looks at them now, and reads
    /// them with what is said next.
    ///
    /// ```
    /// let chat = load_model("toy:visualrwkv7").new_chat(#{ max_tokens: 2 });
    /// chat.show(load_image("sample:gradient"));
    /// chat.say("What is it?");
    /// assert(chat.turns[0].images == ["sample:gradient"]);
    /// ```
    #[rhai_fn(name = "show", return_raw, pure, volatile)]
    pub fn show_picture(context: NativeCallContext, this: &mut Chat, image: Value) -> Fallible<()> {
        this.show(&context, &image)
    }

    /// Asks the model a `question` about a picture, or an array of them (`image`), and waits for the
    /// answer, which is the likeliest one. Whoever has more to ask, shows the picture to a chat.
    ///
    /// ```
    /// let vlm = load_model("toy:visualrwkv7");
    /// let a = vlm.ask(load_image("sample:gradient"), "What is it?", #{ max_tokens: 3 });
    /// ```
    #[rhai_fn(name = "ask", return_raw, pure, volatile)]
    pub fn ask_default(
        context: NativeCallContext,
        this: &mut Model,
        image: Value,
        question: &str,
    ) -> Fallible<Generation> {
        ask(context, this, image, question, Map::new())
    }

    /// The same with settings.
    ///
    /// - `max_tokens` at most, 100
    /// - `temperature` 0, and the other settings of the sampler as in `sampler()`
    /// - `stop` texts that end the answer
    /// - `seed` of the random numbers
    /// - `stream` shows the answer while it comes
    /// - `on_token` called with `#{id, text, logprob}`; `false` stops
    ///
    /// ```
    /// let vlm = load_model("toy:visualrwkv7");
    /// let a = vlm.ask(load_image("sample:gradient"), "What is it?", #{ max_tokens: 3 });
    /// assert(a.tokens.len <= 3);
    /// ```
    #[rhai_fn(return_raw, pure, volatile)]
    pub fn ask(
        context: NativeCallContext,
        this: &mut Model,
        image: Value,
        question: &str,
        options: Map,
    ) -> Fallible<Generation> {
        let chat = Chat::new(&context, this, Map::from([("image".into(), image)]))?;
        chat.say(&context, question, options)
    }
}
