//! The commands: sugar for code and a look at the session.

use crate::chatting;
use crate::input::Mode;
use crate::looking;
use crate::replay;
use crate::session::{After, Prompt, loading};
use crate::showing;
use crate::timing;

/// One line of `/help`.
pub struct Command {
    /// What follows the slash.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// What follows the name; in brackets if it may be missing.
    pub argument: &'static str,
    /// One sentence.
    pub about: &'static str,
    run: fn(&mut Prompt, &str) -> After,
}

/// Every command, in the order of `/help`.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command { name: "help", aliases: &["h"], argument: "[TOPIC]", about: "Commands and topics, or one in full; so does ?TOPIC.", run: help },
    Command { name: "load", aliases: &[], argument: "MODEL", about: "Load a checkpoint as `model`, with a `chat`.", run: load },
    Command { name: "chat", aliases: &[], argument: "[MODEL]", about: "Plain lines go to the model, until /code or Ctrl-D.", run: chat },
    Command { name: "code", aliases: &[], argument: "", about: "Back to code: plain lines are Rhai.", run: code },
    Command { name: "undo", aliases: &[], argument: "", about: "Take back the last turn of the chat.", run: |prompt, _| prompt.evaluate("chat.undo(); chat") },
    Command { name: "redo", aliases: &[], argument: "", about: "Bring back the turn that /undo took.", run: |prompt, _| prompt.evaluate("chat.redo(); chat") },
    Command { name: "regen", aliases: &[], argument: "", about: "Ask the last question again; in a talk so does +.", run: chatting::regenerate },
    Command { name: "continue", aliases: &[], argument: "", about: "Go on with an answer that was cut; so does +++.", run: chatting::more },
    Command { name: "tree", aliases: &[], argument: "", about: "Show all turns, with the numbers for /jump and /edit.", run: |prompt, _| prompt.evaluate("chat.tree()") },
    Command { name: "jump", aliases: &[], argument: "N", about: "Go to turn N; 0 is the start.", run: chatting::jump },
    Command { name: "branch", aliases: &[], argument: "[NAME]", about: "Keep a copy of the chat in a variable.", run: chatting::branch },
    Command { name: "system", aliases: &[], argument: "[TEXT]", about: "Show or set what is said before the first turn.", run: chatting::system },
    Command { name: "sampler", aliases: &[], argument: "", about: "Show how the tokens of an answer are chosen.", run: |prompt, _| prompt.evaluate("chat.sampler") },
    Command { name: "reset", aliases: &[], argument: "", about: "Forget the whole chat.", run: |prompt, _| prompt.evaluate("chat.reset(); chat") },
    Command { name: "image", aliases: &[], argument: "FILE", about: "Show a picture, to the chat too if it sees.", run: |prompt, file| showing::image(prompt, &replay::spelled(file)) },
    Command { name: "save-chat", aliases: &[], argument: "FILE", about: "Write the chat with all its turns and states.", run: |prompt, file| chatting::save(prompt, &replay::spelled(file)) },
    Command { name: "load-chat", aliases: &[], argument: "FILE", about: "Go on with a chat that was written so.", run: |prompt, file| chatting::load(prompt, &replay::spelled(file)) },
    Command { name: "vars", aliases: &["who"], argument: "", about: "List the variables of this session.", run: looking::vars },
    Command { name: "drop", aliases: &[], argument: "NAME", about: "Drop a variable and free what it holds.", run: looking::drop_variable },
    Command { name: "state", aliases: &[], argument: "[NAME]", about: "Show the state of the chat, or of a variable.", run: looking::state },
    Command { name: "modes", aliases: &[], argument: "TEXT", about: "Read TEXT in one pass and token by token, and compare.", run: looking::modes },
    Command { name: "info", aliases: &[], argument: "[MODEL]", about: "What `model` is, or what a file is.", run: looking::info },
    Command { name: "models", aliases: &[], argument: "", about: "List the models of the program and those in this folder.", run: looking::models },
    Command { name: "device", aliases: &[], argument: "", about: "Where models run; `rwkv --device` chooses.", run: looking::device },
    Command { name: "time", aliases: &[], argument: "EXPR", about: "Run EXPR and say how long it took.", run: timing::time },
    Command { name: "bench", aliases: &[], argument: "EXPR", about: "Run EXPR six times and say how long it takes.", run: timing::bench },
    Command { name: "lesson", aliases: &["lessons"], argument: "[N|FILE]", about: "List the lessons, or go through one step by step.", run: crate::lesson::start },
    Command { name: "next", aliases: &[], argument: "", about: "The next step of the lesson; so does Enter alone.", run: |prompt, _| crate::lesson::next(prompt) },
    Command { name: "leave", aliases: &[], argument: "", about: "Leave the lesson where it is.", run: |prompt, _| crate::lesson::leave(prompt) },
    Command { name: "run", aliases: &[], argument: "FILE", about: "Run a script inside this session.", run: replay::run_file },
    Command { name: "reload", aliases: &[], argument: "", about: "Run and import again what has changed on disk.", run: replay::reload },
    Command { name: "edit", aliases: &[], argument: "[N [TEXT]]", about: "Input N in $EDITOR, then run it; or ask TEXT at turn N.", run: edit },
    Command { name: "again", aliases: &["!"], argument: "", about: "Repeat the last input; so does !!.", run: replay::again },
    Command { name: "save", aliases: &[], argument: "FILE [N-M]", about: "Write the inputs of this session as a script.", run: |prompt, file| replay::save(prompt, file, false) },
    Command { name: "save!", aliases: &[], argument: "FILE [N-M]", about: "Like /save, and replace a file of another origin.", run: |prompt, file| replay::save(prompt, file, true) },
    Command { name: "history", aliases: &[], argument: "[-g] [TEXT]", about: "List inputs, or those with TEXT; -g of all sessions.", run: replay::history },
    Command { name: "set", aliases: &[], argument: "[KEY VALUE]", about: "Show the settings, or change one; also of the sampler.", run: set },
    Command { name: "plain", aliases: &[], argument: "", about: "Switch the style for screen readers on or off.", run: looking::plain },
    Command { name: "clear", aliases: &["cls"], argument: "", about: "Clear the screen.", run: looking::clear },
    Command { name: "quit", aliases: &["q", "exit", "bye"], argument: "", about: "Leave; so does Ctrl-D.", run: |_, _| After::Leave(0) },
];

impl Command {
    /// The command of a name or another name.
    pub fn named(name: &str) -> Option<&'static Command> {
        COMMANDS.iter().find(|command| command.name == name || command.aliases.contains(&name))
    }

    /// How the command is typed.
    pub fn usage(&self) -> String {
        format!("/{} {}", self.name, self.argument).trim_end().to_owned()
    }

    /// Usage and sentence.
    pub fn line(&self) -> String {
        format!("  {:<18} {}", self.usage(), self.about)
    }
}

/// Runs a command by name.
pub fn run(prompt: &mut Prompt, name: &str, argument: &str) -> After {
    let Some(command) = Command::named(name) else {
        return prompt.refuse(&unknown(name));
    };
    let needed = !command.argument.is_empty() && !command.argument.starts_with('[');
    if needed && argument.is_empty() {
        return prompt.refuse(&format!("/{name} needs its argument; type {}.", command.usage()));
    }
    if command.argument.is_empty() && !argument.is_empty() {
        return prompt.refuse(&format!("/{name} takes no argument; type /{name} alone."));
    }
    (command.run)(prompt, argument)
}

fn unknown(name: &str) -> String {
    let names = COMMANDS.iter().flat_map(|command| command.aliases.iter().chain([&command.name]));
    let near = |candidate: &&str| strsim::damerau_levenshtein(candidate, name);
    match names.copied().min_by_key(near).filter(|candidate| near(candidate) <= 2) {
        Some(candidate) => format!("there is no command /{name}; did you mean /{candidate}?"),
        None => format!("there is no command /{name}; /help lists them."),
    }
}

fn help(prompt: &mut Prompt, topic: &str) -> After {
    if let Some(command) = Command::named(topic.trim_start_matches('/')) {
        prompt.writer.line(&command.line());
        return After::Stay;
    }
    prompt.explain(topic)
}

fn load(prompt: &mut Prompt, model: &str) -> After {
    prompt.evaluate(&format!("{}\nmodel", loading(&replay::spelled(model))))
}

fn chat(prompt: &mut Prompt, model: &str) -> After {
    prompt.mode.set(Mode::Chat);
    if model.is_empty() { After::Stay } else { load(prompt, model) }
}

/// A number alone is an input for the editor; with a text it is a turn of the chat.
fn edit(prompt: &mut Prompt, argument: &str) -> After {
    if argument.contains(char::is_whitespace) {
        chatting::edit(prompt, argument)
    } else {
        replay::edit(prompt, argument)
    }
}

/// What is no setting of the prompt is one of the chat.
fn set(prompt: &mut Prompt, argument: &str) -> After {
    let key = argument.split_whitespace().next().unwrap_or_default();
    if key.is_empty() || looking::settings().any(|name| name == key) {
        looking::set(prompt, argument)
    } else {
        chatting::set(prompt, argument)
    }
}

fn code(prompt: &mut Prompt, _: &str) -> After {
    prompt.mode.set(Mode::Code);
    After::Stay
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_commands_share_a_name() {
        let names =
            COMMANDS.iter().flat_map(|command| command.aliases.iter().chain([&command.name]));
        let names: Vec<_> = names.collect();
        for (place, name) in names.iter().enumerate() {
            assert!(!names[..place].contains(name), "{name}");
        }
    }

    #[test]
    fn every_command_is_one_sentence() {
        for command in COMMANDS {
            assert!(command.about.ends_with('.'), "{}", command.name);
            assert!(command.line().len() <= 80, "{}", command.name);
        }
    }

    #[test]
    fn a_typing_mistake_gets_a_suggestion() {
        assert!(unknown("hlep").ends_with("did you mean /help?"));
        assert!(unknown("quti").ends_with("did you mean /quit?"));
        assert!(unknown("frobnicate").ends_with("/help lists them."));
    }
}
