//! Where inputs come from: a person at a terminal, or a pipe.

use crate::chatting::is_talk;
use crate::helper::Assistant;
use crate::history::Log;
use crate::input::{self, Input, Mode};
use crate::session::{After, Prompt};
use crate::tty::Tty;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{
    Behavior, Cmd, ColorMode, CompletionType, ConditionalEventHandler, Config, Editor, Event,
    EventContext, EventHandler, KeyEvent, RepeatCount,
};
use std::io;

/// Longest history, in inputs.
const REMEMBERED: usize = 10_000;

/// Reads inputs from a terminal until somebody leaves; returns the exit code.
pub fn read_terminal(prompt: &mut Prompt) -> i32 {
    let config = config(prompt);
    let mut editor = match Editor::<Assistant, DefaultHistory>::with_config(config.clone()) {
        Ok(editor) => editor,
        Err(error) => {
            prompt
                .writer
                .note(&format!("error: the terminal cannot be used: {error}; use a pipe."));
            return 1;
        }
    };
    let assistant =
        Assistant::new(prompt.session.clone(), prompt.mode.clone(), prompt.writer.clone());
    editor.set_helper(Some(assistant));
    editor.bind_sequence(
        KeyEvent::ctrl('Z'),
        EventHandler::Conditional(Box::new(Suspend(prompt.tty()))),
    );
    let mut log = Log::open(&config);
    if let Some(log) = &log {
        // A first session has no history yet.
        let _ = editor.load_history(log.path());
    }
    prompt.writer.gallery.let_ask();
    loop {
        let sign = prompt.sign();
        let read = match typed(prompt) {
            Typed::Line(line) => Ok(line),
            Typed::Start(start) => editor.readline_with_initial(&sign, (&start, "")),
        };
        let after = match read {
            Ok(text) => {
                remember(prompt, &mut editor, &mut log, &text);
                prompt.take(&text)
            }
            Err(ReadlineError::Interrupted) => After::Stay,
            Err(ReadlineError::Eof) => step_out(prompt),
            Err(error) => lost(prompt, &error),
        };
        if let After::Leave(code) = after {
            return code;
        }
    }
}

/// Ctrl-Z. The editor's own way trusts that a signal has done its work when it was sent, which holds
/// in programs of one thread only: in others the shell gets a terminal without echo.
struct Suspend(Tty);

impl ConditionalEventHandler for Suspend {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, _: &EventContext) -> Option<Cmd> {
        self.0.stop_job();
        Some(Cmd::Repaint)
    }
}

/// What was typed while the terminal was asked what it can show.
enum Typed {
    /// A line and its Enter.
    Line(String),
    /// The beginning of a line, or nothing.
    Start(String),
}

fn typed(prompt: &Prompt) -> Typed {
    let text = prompt.writer.gallery.typed();
    match text.split_once(['\r', '\n']) {
        Some((line, rest)) => {
            prompt.writer.gallery.give_back(rest);
            Typed::Line(line.to_owned())
        }
        None => Typed::Start(text),
    }
}

fn config(prompt: &Prompt) -> Config {
    let screen = prompt.writer.screen();
    let history = Config::builder().max_history_size(REMEMBERED);
    history
        .unwrap_or_else(|_| Config::builder())
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .bracketed_paste(true)
        .tab_stop(4)
        .color_mode(if screen.colour { ColorMode::Forced } else { ColorMode::Disabled })
        // With stdout in a pipe the editor draws on the terminal itself.
        .behavior(if screen.terminal { Behavior::Stdio } else { Behavior::PreferTerm })
        .build()
}

/// The arrow keys find everything again; the file gets no talk.
fn remember(
    prompt: &Prompt,
    editor: &mut Editor<Assistant, DefaultHistory>,
    log: &mut Option<Log>,
    text: &str,
) {
    let text = text.trim_end();
    // Memory does not fail.
    let _ = editor.add_history_entry(text);
    let mode = prompt.mode.get();
    let private = match input::sort(text, mode) {
        Input::Say(_) | Input::Blank => true,
        Input::Command(name, _) => is_talk(name, mode),
        _ => false,
    };
    if private || !prompt.keeps_history {
        return;
    }
    if let Some(warning) = log.as_mut().and_then(|log| log.add(text)) {
        prompt.writer.note(&warning);
    }
}

/// Ctrl-D leaves the talk first, then the program.
fn step_out(prompt: &Prompt) -> After {
    match prompt.mode.replace(Mode::Code) {
        Mode::Chat => After::Stay,
        Mode::Code => After::Leave(0),
    }
}

fn lost(prompt: &Prompt, error: &ReadlineError) -> After {
    prompt.writer.note(&format!("error: the terminal is gone: {error}."));
    After::Leave(1)
}

/// Reads inputs from a pipe; the exit code is 1 if any of them failed.
pub fn read_lines(prompt: &mut Prompt) -> i32 {
    let mut open = String::new();
    for line in io::stdin().lines() {
        match line {
            Ok(line) => open += &line,
            Err(error) => {
                prompt.writer.note(&format!("error: stdin ended early: {error}."));
                return 1;
            }
        }
        open.push('\n');
        // What a session printed can be told from its inputs only as a whole.
        let complete = !input::is_transcript(&open)
            && input::is_complete(&prompt.session.borrow(), &open, prompt.mode.get());
        if complete && let After::Leave(code) = prompt.take(&std::mem::take(&mut open)) {
            return code;
        }
    }
    match prompt.take(&open) {
        After::Leave(code) => code,
        After::Stay => i32::from(prompt.failed),
    }
}
