//! Commands that run again what was typed or written, and keep it.

use crate::history;
use crate::input::quoted;
use crate::saving::Saved;
use crate::session::{After, Prompt};
use rwkv_scripting::Session;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `/run FILE`
pub fn run_file(prompt: &mut Prompt, file: &str) -> After {
    let path = PathBuf::from(spelled(file));
    match fs::read_to_string(&path) {
        Ok(text) => run_text(prompt, path, text),
        Err(error) => {
            let file = quoted(&path.to_string_lossy());
            prompt.refuse(&format!("{file} cannot be read: {error}; check its name."))
        }
    }
}

fn run_text(prompt: &mut Prompt, path: PathBuf, text: String) -> After {
    let after = prompt.evaluate_as(&path.to_string_lossy(), &text);
    prompt.ran.retain(|(other, _)| *other != path);
    prompt.ran.push((path, text));
    after
}

/// `/reload`: files of `/run` and of `import` that are not what they were.
pub fn reload(prompt: &mut Prompt, _: &str) -> After {
    let changed = |(path, text): &(PathBuf, String)| {
        let now = fs::read_to_string(path).ok().filter(|now| now != text)?;
        Some((path.clone(), now))
    };
    let changed: Vec<_> = prompt.ran.iter().filter_map(changed).collect();
    let mut names: Vec<String> =
        changed.iter().map(|(path, _)| path.display().to_string()).collect();
    let imported = prompt.working(Session::reload);
    match imported {
        Ok(files) => names.extend(files.iter().map(|file| file.display().to_string())),
        Err(failure) => {
            if let After::Leave(code) = prompt.failed(&failure) {
                return After::Leave(code);
            }
        }
    }
    for (path, text) in changed {
        if let After::Leave(code) = run_text(prompt, path, text) {
            return After::Leave(code);
        }
    }
    let said = if names.is_empty() { "nothing has changed".into() } else { names.join(", ") };
    prompt.writer.note(&format!("reloaded: {said}"));
    After::Stay
}

/// `/edit`, `/edit N`: an input in the editor of this person; what comes back is run.
pub fn edit(prompt: &mut Prompt, number: &str) -> After {
    let before = match number.parse::<usize>() {
        _ if number.is_empty() => last(prompt).unwrap_or_default(),
        Ok(number @ 1..) if number <= prompt.typed.len() => prompt.typed[number - 1].clone(),
        _ => return prompt.refuse(&format!("there is no input {number}; /history lists them.")),
    };
    match edited(&before) {
        Ok(text) if text.trim().is_empty() => After::Stay,
        Ok(text) => {
            prompt.writer.note(text.trim_end());
            prompt.take(&text)
        }
        Err(error) => {
            prompt.refuse(&format!("{error}; set EDITOR to a program that edits a file."))
        }
    }
}

/// The last input that is not itself a command to repeat one.
fn last(prompt: &Prompt) -> Option<String> {
    let repeats = |text: &str| text == "!!" || text.starts_with("/edit") || text == "/again";
    prompt.typed.iter().rev().find(|text| !repeats(text)).cloned()
}

/// What an editor makes of a text.
fn edited(text: &str) -> io::Result<String> {
    let editor = ["VISUAL", "EDITOR"].into_iter().find_map(crate::term::variable);
    let editor = editor.unwrap_or_else(|| "vi".into());
    let path = std::env::temp_dir().join(format!("rwkv-input-{}.rhai", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let done = writeln!(file, "{text}").and_then(|()| open_in(&editor, &path));
    let after = done.and_then(|()| fs::read_to_string(&path));
    fs::remove_file(&path)?;
    after
}

fn open_in(editor: &str, path: &Path) -> io::Result<()> {
    // The variable may hold options, which the shell takes apart.
    let line = format!("{editor} \"$1\"");
    let status = Command::new("sh").args(["-c", &line, "sh"]).arg(path).status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("the editor `{editor}` ended with {status}")))
}

/// `/again`, `!!`
pub fn again(prompt: &mut Prompt, _: &str) -> After {
    match last(prompt) {
        Some(text) => {
            prompt.writer.note(&text);
            prompt.take(&text)
        }
        None => prompt.refuse("nothing was typed yet; type something first."),
    }
}

/// `/save FILE`, `/save FILE N-M`
pub fn save(prompt: &mut Prompt, argument: &str, replace: bool) -> After {
    let (file, inputs) = with_range(argument);
    let path = PathBuf::from(spelled(file));
    match prompt.record.save(&path, replace, &inputs) {
        Ok(Saved(count)) => {
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

/// A file name and the numbers of inputs behind it; without numbers, all.
fn with_range(argument: &str) -> (&str, RangeInclusive<usize>) {
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    let parts = argument.rsplit_once(char::is_whitespace);
    let found = parts.and_then(|(file, numbers)| Some((file.trim_end(), range(numbers)?)));
    found.unwrap_or((argument, 1..=usize::MAX))
}

/// `/history`, `/history TEXT`, `/history -g TEXT`
pub fn history(prompt: &mut Prompt, argument: &str) -> After {
    let everywhere =
        argument.strip_prefix("-g").filter(|rest| !rest.starts_with(char::is_alphanumeric));
    let (lines, text) = match everywhere {
        Some(text) => (history::all(), text.trim()),
        None => (prompt.typed.clone(), argument),
    };
    for (number, typed) in lines.iter().enumerate() {
        if typed.contains(text) {
            prompt.writer.line(&format!("{:>4}  {}", number + 1, typed.replace('\n', "\n      ")));
        }
    }
    After::Stay
}

/// A file name without the quotes and backslashes that typing or completion put around blanks,
/// and with `~/` spelled out.
pub fn spelled(argument: &str) -> String {
    let inside = argument.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let name = rustyline::completion::unescape(inside.unwrap_or(argument), Some('\\'));
    match (name.strip_prefix("~/"), crate::term::variable("HOME")) {
        (Some(rest), Some(home)) => format!("{home}/{rest}"),
        _ => name.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_may_be_quoted_or_escaped() {
        assert_eq!(spelled("a.rhai"), "a.rhai");
        assert_eq!(spelled("\"my file\""), "my file");
        assert_eq!(spelled(r"my\ file"), "my file");
        assert_eq!(spelled("demo:tales"), "demo:tales");
    }

    #[test]
    fn numbers_behind_a_file_name_choose_inputs() {
        assert_eq!(with_range("a.rhai"), ("a.rhai", 1..=usize::MAX));
        assert_eq!(with_range("a.rhai 2-5"), ("a.rhai", 2..=5));
        assert_eq!(with_range("my file.rhai 3"), ("my file.rhai", 3..=3));
        assert_eq!(with_range("my file"), ("my file", 1..=usize::MAX));
    }
}
