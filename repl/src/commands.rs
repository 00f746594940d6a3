//! The commands: sugar for code and a look at the session.

use crate::chatting;
use crate::input::{Mode, quoted};
use crate::session::{After, Prompt, loading};
use std::fs;
use std::path::{Path, PathBuf};

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
    Command { name: "edit", aliases: &[], argument: "N TEXT", about: "Ask TEXT in place of turn N, which makes a branch.", run: chatting::edit },
    Command { name: "branch", aliases: &[], argument: "[NAME]", about: "Keep a copy of the chat in a variable.", run: chatting::branch },
    Command { name: "system", aliases: &[], argument: "[TEXT]", about: "Show or set what is said before the first turn.", run: chatting::system },
    Command { name: "sampler", aliases: &[], argument: "", about: "Show how the tokens of an answer are chosen.", run: |prompt, _| prompt.evaluate("chat.sampler") },
    Command { name: "set", aliases: &[], argument: "KEY VALUE", about: "Change the sampler, max_tokens, seed or budget.", run: chatting::set },
    Command { name: "reset", aliases: &[], argument: "", about: "Forget the whole chat.", run: |prompt, _| prompt.evaluate("chat.reset(); chat") },
    Command { name: "save-chat", aliases: &[], argument: "FILE", about: "Write the chat with all its turns and states.", run: |prompt, file| chatting::save(prompt, &spelled(file)) },
    Command { name: "load-chat", aliases: &[], argument: "FILE", about: "Go on with a chat that was written so.", run: |prompt, file| chatting::load(prompt, &spelled(file)) },
    Command { name: "vars", aliases: &["who"], argument: "", about: "List the variables of this session.", run: vars },
    Command { name: "run", aliases: &[], argument: "FILE", about: "Run a script inside this session.", run: run_file },
    Command { name: "save", aliases: &[], argument: "FILE", about: "Write the inputs of this session as a script.", run: |prompt, file| save(prompt, file, false) },
    Command { name: "save!", aliases: &[], argument: "FILE", about: "Like /save, and replace a file of another origin.", run: |prompt, file| save(prompt, file, true) },
    Command { name: "history", aliases: &[], argument: "[TEXT]", about: "List what was typed, or what of it has TEXT.", run: history },
    Command { name: "clear", aliases: &["cls"], argument: "", about: "Clear the screen.", run: clear },
    Command { name: "quit", aliases: &["q", "exit", "bye"], argument: "", about: "Leave; so does Ctrl-D.", run: |_, _| After::Leave(0) },
];

impl Command {
    fn named(name: &str) -> Option<&'static Command> {
        COMMANDS.iter().find(|command| command.name == name || command.aliases.contains(&name))
    }

    /// How the command is typed.
    pub fn usage(&self) -> String {
        format!("/{} {}", self.name, self.argument).trim_end().to_owned()
    }

    /// Usage and sentence.
    pub fn line(&self) -> String {
        format!("  {:<16} {}", self.usage(), self.about)
    }

    /// Whether its argument is a file name.
    pub fn takes_file(&self) -> bool {
        self.argument.contains("FILE") || self.argument.contains("MODEL")
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
    prompt.evaluate(&format!("{}\nmodel", loading(&spelled(model))))
}

fn chat(prompt: &mut Prompt, model: &str) -> After {
    prompt.mode.set(Mode::Chat);
    if model.is_empty() { After::Stay } else { load(prompt, model) }
}

fn code(prompt: &mut Prompt, _: &str) -> After {
    prompt.mode.set(Mode::Code);
    After::Stay
}

fn vars(prompt: &mut Prompt, _: &str) -> After {
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

fn run_file(prompt: &mut Prompt, file: &str) -> After {
    let path = path(file);
    match fs::read_to_string(&path) {
        Ok(text) => prompt.evaluate(&text),
        Err(error) => {
            let file = quoted(&path.to_string_lossy());
            prompt.refuse(&format!("{file} cannot be read: {error}; check its name."))
        }
    }
}

fn save(prompt: &mut Prompt, file: &str, replace: bool) -> After {
    let path = path(file);
    match prompt.record.save(&path, replace) {
        Ok(()) => {
            let count = prompt.record.len();
            let inputs = if count == 1 { "input" } else { "inputs" };
            prompt.writer.note(&format!("wrote {count} {inputs} to {}", path.display()));
            After::Stay
        }
        Err(error) => {
            let hint = if replace { "try another folder" } else { "/save! replaces it" };
            prompt.refuse(&format!("{} was not written: {error}; {hint}.", path.display()))
        }
    }
}

fn history(prompt: &mut Prompt, text: &str) -> After {
    for (number, typed) in prompt.typed.iter().enumerate() {
        if typed.contains(text) {
            prompt.writer.line(&format!("{:>4}  {}", number + 1, typed.replace('\n', "\n      ")));
        }
    }
    After::Stay
}

fn clear(prompt: &mut Prompt, _: &str) -> After {
    if prompt.writer.screen().terminal {
        prompt.writer.raw("\x1b[H\x1b[2J");
    }
    After::Stay
}

fn path(argument: &str) -> PathBuf {
    PathBuf::from(spelled(argument))
}

/// A file name without the quotes and backslashes that typing or completion put around blanks,
/// and with `~/` spelled out.
fn spelled(argument: &str) -> String {
    let inside = argument.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let name = rustyline::completion::unescape(inside.unwrap_or(argument), Some('\\'));
    match (name.strip_prefix("~/"), crate::term::variable("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest).to_string_lossy().into_owned(),
        _ => name.into_owned(),
    }
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

    #[test]
    fn file_names_may_be_quoted_or_escaped() {
        assert_eq!(spelled("a.rhai"), "a.rhai");
        assert_eq!(spelled("\"my file\""), "my file");
        assert_eq!(spelled(r"my\ file"), "my file");
        assert_eq!(spelled("demo:tales"), "demo:tales");
    }
}
