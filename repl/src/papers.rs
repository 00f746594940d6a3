//! What the program writes about itself: the man page, completions of shells, the reference.

use crate::arguments::{Arguments, EXAMPLES};
use crate::commands::COMMANDS;
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use rwkv_scripting::Session;

/// The man page: the command line, the commands of the prompt, and a line for each function.
pub fn man(session: &Session) -> String {
    let mut command = Arguments::command();
    command.build();
    let tasks = command.get_subcommands().map(|task| {
        let usage = task.clone().render_usage().to_string();
        (usage.trim_start_matches("Usage: ").to_owned(), told(task.get_about()))
    });
    let commands = COMMANDS.iter().map(|command| (command.usage(), command.about.to_owned()));
    let mut rest = Roff::new();
    section(&mut rest, "TASKS", tasks);
    rest.control("SH", ["EXAMPLES"]).control("nf", []);
    rest.text([roman(EXAMPLES.trim_start_matches("Examples:\n"))]).control("fi", []);
    section(&mut rest, "AT THE PROMPT", commands);
    section(&mut rest, "IN SCRIPTS", session.topics().into_iter());
    rest.text([roman("rwkv help NAME tells more of each.")]);
    let man = Man::new(command);
    let mut page = Vec::new();
    let written = man
        .render_title(&mut page)
        .and_then(|()| man.render_name_section(&mut page))
        .and_then(|()| man.render_synopsis_section(&mut page))
        .and_then(|()| man.render_description_section(&mut page))
        .and_then(|()| man.render_options_section(&mut page))
        .and_then(|()| rest.to_writer(&mut page));
    written.expect("memory takes all that is written");
    String::from_utf8_lossy(&page).into_owned()
}

/// A heading, and below it what can be typed with what that does.
fn section(page: &mut Roff, heading: &str, entries: impl Iterator<Item = (String, String)>) {
    page.control("SH", [heading]);
    for (usage, about) in entries {
        page.control("TP", []).text([bold(usage)]).text([roman(about)]);
    }
}

fn told(about: Option<&clap::builder::StyledStr>) -> String {
    about.map_or(String::new(), ToString::to_string)
}

/// What a shell reads to complete the words after `rwkv`.
pub fn completions(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "rwkv", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// All commands and functions as one page in Markdown.
pub fn reference(session: &Session) -> String {
    let rows = COMMANDS.iter().map(|command| {
        let usage = command.usage().replace('|', "\\|");
        format!("| `{usage}` | {} |\n", command.about)
    });
    let rows = rows.collect::<String>();
    format!(
        "# Reference\n\nWhat can be typed at the prompt and said in a script. This page is written \
         by `rwkv reference`;\n`?NAME` at the prompt and `rwkv help NAME` show the same.\n\n\
         ## Commands\n\n| type | what happens |\n|---|---|\n{rows}{}",
        session.reference()
    )
}
