//! How turns are written, to be seen before anything is said.

use super::Chat;
use crate::host::{Fallible, engine_failure};
use crate::tokens::Tokens;
use crate::{Table, View};
use rhai::Module;
use rhai::plugin::*;
use rwkv_engine::chat::{FORMATS, Question, Template};

/// What `say(text)` asks.
fn question(chat: &Chat, text: &str) -> Fallible<Question> {
    let call = !chat.look()?.template.tools.is_empty();
    Ok(Question { call, ..Question::from(text) })
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// The text that would be read if this were said now, without the token 0 that may be first.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv7").new_chat(#{ format: "world", system: "Be brief." });
    /// assert(chat.prompt("Hi") == "System: Be brief.\n\nUser: Hi\n\nAssistant:");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn prompt(this: &mut Chat, content: &str) -> Fallible<String> {
        this.look()?.prompt(&question(this, content)?).map_err(engine_failure)
    }

    /// The tokens that would be read if this were said now.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv7").new_chat(#{ format: "world", bos: true });
    /// assert(chat.prompt_tokens("Hi")[0] == 0);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn prompt_tokens(this: &mut Chat, content: &str) -> Fallible<Tokens> {
        let (model, question) = (this.model.engine(), question(this, content)?);
        let tokens = this.look()?.prompt_tokens(&model, &question).map_err(engine_failure)?;
        Ok(Tokens::new(tokens, &model.tokenizer))
    }

    /// How the turns are written, by the name of the format.
    ///
    /// ```
    /// assert(load_model("demo:tales").new_chat().format == "world");
    /// ```
    #[rhai_fn(get = "format", return_raw, pure)]
    pub fn format(this: &mut Chat) -> Fallible<String> {
        Ok(this.look()?.template.format.name.into())
    }

    /// A table of the formats that `new_chat` knows, and how each writes a question.
    ///
    /// ```
    /// show(chat_formats());
    /// ```
    pub fn chat_formats() -> View {
        let question = Question::from("…");
        let row = |format| {
            let written = Template::new(format).prompt(&question).unwrap_or_default();
            vec![format.name.to_string(), written.replace('\n', "\\n"), format.about.to_string()]
        };
        View::Table(Table::new(&["format", "written", "models"], FORMATS.iter().map(row).collect()))
    }
}
