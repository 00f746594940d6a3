//! What the program writes about itself: the man page, completions of shells, the reference.

use crate::arguments::Arguments;
use crate::commands::COMMANDS;
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use rwkv_scripting::Session;

/// The man page: the command line, the commands of the prompt, and a line for each function.
pub fn man(session: &Session) -> String {
    let commands = COMMANDS.iter().map(|command| format!("{}: {}", command.usage(), command.about));
    let functions = session.topics().into_iter().map(|(name, about)| format!("{name}: {about}"));
    let about = [
        "At the prompt:".to_owned(),
        commands.collect::<Vec<_>>().join("\n"),
        "In scripts (rwkv help NAME tells more):".to_owned(),
        functions.collect::<Vec<_>>().join("\n"),
    ];
    let command = Arguments::command().after_long_help(about.join("\n\n"));
    let mut page = Vec::new();
    // Memory takes all.
    let _ = Man::new(command).render(&mut page);
    String::from_utf8_lossy(&page).into_owned()
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
