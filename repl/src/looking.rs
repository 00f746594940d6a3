//! Commands that look at the session, and those that change how it looks.

use crate::input::quoted;
use crate::replay::spelled;
use crate::session::{After, Prompt};

/// `/vars`: name, type and a glance at every variable.
pub fn vars(prompt: &mut Prompt, _: &str) -> After {
    let variables = prompt.session.borrow().variables();
    let wide = |length: fn(&(String, String, String)) -> usize| variables.iter().map(length).max();
    let name = wide(|variable| variable.0.len()).unwrap_or(0);
    let kind = wide(|variable| variable.1.len()).unwrap_or(0);
    for variable in &variables {
        let (n, k, view) = variable;
        prompt.writer.line(&format!("{n:<name$}  {k:<kind$}  {view}"));
    }
    After::Stay
}

/// `/drop NAME`
pub fn drop_variable(prompt: &mut Prompt, name: &str) -> After {
    if prompt.session.borrow_mut().forget(name) {
        return After::Stay;
    }
    prompt.refuse(&format!("there is no variable {name}; /vars lists them."))
}

/// `/state`: of the chat, of a variable that is a state, or of one that has a state.
pub fn state(prompt: &mut Prompt, name: &str) -> After {
    let name = if name.is_empty() { "chat" } else { name };
    let variables = prompt.session.borrow().variables();
    let of = variables.iter().find(|variable| variable.0 == name).map(|variable| &*variable.1);
    match of {
        Some("State" | "Layer") => prompt.evaluate(name),
        _ => prompt.evaluate(&format!("{name}.state")),
    }
}

/// `/modes TEXT`: GPT mode beside RNN mode.
pub fn modes(prompt: &mut Prompt, text: &str) -> After {
    prompt.evaluate(&format!("model.compare_modes({})", quoted(text)))
}

/// `/info`: of the model of the session, or of a file.
pub fn info(prompt: &mut Prompt, path: &str) -> After {
    match path {
        "" => prompt.evaluate("model.summary()"),
        path if path.starts_with("toy:") || path.starts_with("demo:") => {
            prompt.evaluate(&format!("load_model({}).summary()", quoted(path)))
        }
        path => prompt.evaluate(&format!("info({})", quoted(&spelled(path)))),
    }
}

/// `/models`: what `/load` takes.
pub fn models(prompt: &mut Prompt, _: &str) -> After {
    let models = prompt.session.borrow().models("");
    prompt.writer.line(&models.join("\n"));
    After::Stay
}

/// `/device`
pub fn device(prompt: &mut Prompt, _: &str) -> After {
    prompt.evaluate("device()")
}

/// A setting that `/set` shows and changes.
struct Setting {
    name: &'static str,
    about: &'static str,
    read: fn(&Prompt) -> bool,
    write: fn(&mut Prompt, bool),
}

const SETTINGS: &[Setting] = &[
    Setting {
        name: "history",
        about: "whether inputs are written to the history file",
        read: |prompt| prompt.keeps_history,
        write: |prompt, on| prompt.keeps_history = on,
    },
    Setting {
        name: "plain",
        about: "for screen readers: no colour, no drawing, numbers instead of plots",
        read: |prompt| prompt.writer.screen().is_plain_style(),
        write: |prompt, on| prompt.writer.set_plain(on),
    },
];

/// Names of the settings, for completion.
pub fn settings() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|setting| setting.name)
}

/// `/set`, `/set KEY`, `/set KEY on`
pub fn set(prompt: &mut Prompt, argument: &str) -> After {
    let (name, value) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
        if name.is_empty() {
            SETTINGS.iter().for_each(|setting| tell(prompt, setting));
            return After::Stay;
        }
        let known: Vec<_> = settings().collect();
        let known = known.join(" and ");
        return prompt.refuse(&format!("there is no setting {name}; there are {known}."));
    };
    match value.trim() {
        "" => {}
        "on" | "true" | "1" => (setting.write)(prompt, true),
        "off" | "false" | "0" => (setting.write)(prompt, false),
        _ => return prompt.refuse(&format!("{name} is on or off; type /set {name} on.")),
    }
    tell(prompt, setting);
    After::Stay
}

fn tell(prompt: &Prompt, setting: &Setting) {
    let value = if (setting.read)(prompt) { "on" } else { "off" };
    prompt.writer.line(&format!("{:<8} {value:<4} {}", setting.name, setting.about));
}

/// `/plain`
pub fn plain(prompt: &mut Prompt, _: &str) -> After {
    let on = !prompt.writer.screen().is_plain_style();
    set(prompt, if on { "plain on" } else { "plain off" })
}

/// `/clear`
pub fn clear(prompt: &mut Prompt, _: &str) -> After {
    if prompt.writer.screen().terminal {
        prompt.writer.raw("\x1b[H\x1b[2J");
    }
    After::Stay
}
