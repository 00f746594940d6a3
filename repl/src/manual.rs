//! The manual at a glance: what can be asked for, in few lines.

use crate::commands::COMMANDS;
use rwkv_scripting::Session;
use std::collections::BTreeMap;

/// Width of the first column.
const LABEL: usize = 16;

/// Commands and topics.
pub fn overview(session: &Session, width: usize) -> String {
    let commands = COMMANDS.iter().map(|command| command.line()).collect::<Vec<_>>().join("\n");
    let say = format!("  {:LABEL$} Say TEXT to the model.", "> TEXT");
    format!("Commands\n{commands}\n{say}\n\n{}", topics(session, width))
}

/// Every topic by name, the members of a type or module on one line.
pub fn topics(session: &Session, width: usize) -> String {
    let mut groups = BTreeMap::<String, Vec<String>>::new();
    for (name, _) in session.topics() {
        let (group, member) = member(&name);
        groups.entry(group.to_owned()).or_default().push(member.to_owned());
    }
    let lines = groups.iter().map(|(group, names)| {
        let names = wrapped(names, width.saturating_sub(LABEL + 3).max(20));
        let label = if group.is_empty() { "functions" } else { group };
        format!("  {label:LABEL$} {}", names.join(&format!("\n{:1$}", "", LABEL + 3)))
    });
    format!("Topics; ?NAME explains one\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// The type or module of a topic and its name in there.
fn member(name: &str) -> (&str, &str) {
    let module = name.rsplit_once("::").map(|(module, _)| module.len() + 2);
    let cut = module.or_else(|| name.rfind('.').map(|dot| dot + 1)).unwrap_or(0);
    (&name[..cut], &name[cut..])
}

/// Words in lines of at most `width` letters.
fn wrapped(words: &[String], width: usize) -> Vec<String> {
    let mut lines = Vec::<String>::new();
    for word in words {
        match lines.last_mut().filter(|line| line.len() + 1 + word.len() <= width) {
            Some(line) => *line += &format!(" {word}"),
            None => lines.push(word.clone()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_belong_to_types_and_modules() {
        assert_eq!(member("Tensor.norm"), ("Tensor.", "norm"));
        assert_eq!(member("plot::line"), ("plot::", "line"));
        assert_eq!(member("seed"), ("", "seed"));
    }

    #[test]
    fn lines_break_between_words() {
        let words = ["one", "two", "three", "overlong"].map(str::to_owned);
        assert_eq!(wrapped(&words, 7), ["one two", "three", "overlong"]);
    }
}
