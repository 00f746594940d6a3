//! What `rwkv` does, task by task.

use crate::arguments::{Arguments, Ask, Bench, Convert, Run, Settings, Task};
use crate::bench;
use crate::editor::{read_lines, read_terminal};
use crate::gallery::Gallery;
use crate::input::Mode;
use crate::manual;
use crate::output::Writer;
use crate::papers;
use crate::protocol::Protocol;
use crate::session::{Prompt, here, new_session, watched};
use crate::showing;
use crate::term::{Screen, variable};
use crate::tty::Tty;
use clap::CommandFactory;
use clap::error::ErrorKind;
use rwkv_scripting::{
    Changes, Failure, FailureKind, Session, View, convert, describe, speeds, write_random,
};
use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::Ordering;

/// The settings and the way out, which every task needs.
struct Desk {
    settings: Settings,
    writer: Rc<Writer>,
    tty: Tty,
}

/// Does what the command line says and returns the exit code.
pub fn run(arguments: Arguments) -> i32 {
    let (settings, tty) = (arguments.settings, Tty::new());
    let out = Screen::new(&settings, io::stdout().is_terminal());
    let err = Screen::new(&settings, io::stderr().is_terminal());
    let told = Protocol::told(settings.image_protocol, variable("RWKV_IMAGE"));
    let gallery = Gallery::new(told.unwrap_or_else(|sentence| usage(&sentence)), tty.clone());
    let writer = Rc::new(Writer::new(out, err, tty.clone(), gallery));
    let desk = Desk { settings, writer, tty };
    match (arguments.task, arguments.code) {
        (Some(Task::Run(task)), code) => desk.run(Run { code: task.code.clone().or(code), ..task }),
        (Some(_), Some(_)) => usage("-e goes with `rwkv` or `rwkv run`"),
        (None, Some(code)) => desk.show(&code, Vec::new()),
        (None, None) => desk.prompt(None, false),
        (Some(Task::Chat { model }), None) => desk.prompt(model.as_deref(), true),
        (Some(Task::Ask(task)), None) => desk.ask(&task),
        (Some(Task::Info { path }), None) => {
            let json = desk.settings.json;
            desk.result(describe(&path, json))
        }
        (Some(Task::Convert(task)), None) => desk.convert(task),
        (Some(Task::Definitions), None) => desk.tell(Session::definitions),
        (Some(Task::Reference), None) => desk.tell(papers::reference),
        (Some(Task::Man), None) => desk.tell(papers::man),
        (Some(Task::Completions { shell }), None) => desk.tell(|_| papers::completions(shell)),
        (Some(Task::Bench(task)), None) => desk.bench(&task),
        (Some(Task::Help { topic }), None) => {
            desk.tell(|session| explained(session, topic.as_deref(), out.canvas().width))
        }
    }
}

fn usage(sentence: &str) -> ! {
    Arguments::command().error(ErrorKind::ArgumentConflict, sentence).exit()
}

/// The manual of a task of the command line or of what a script can say.
fn explained(session: &Session, topic: Option<&str>, width: usize) -> String {
    let Some(topic) = topic else { return manual::topics(session, width) };
    let mut tasks = Arguments::command();
    tasks.build();
    match tasks.find_subcommand_mut(topic) {
        Some(task) => task.render_long_help().to_string(),
        None => session.help(topic, width),
    }
}

impl Desk {
    /// Figures of the prompt, of training or of a model.
    fn bench(self, task: &Bench) -> i32 {
        if let Some(path) = &task.write {
            let written = write_random(path, &task.version, &task.size);
            return self.result(written.and_then(|()| describe(path, false)));
        }
        let figures = match (task.what.as_deref(), task.way.as_deref()) {
            (Some("ui"), _) => {
                let session = new_session(&self.settings, &self.writer, false, Vec::new(), here());
                let figures = bench::prompt(&session);
                figures.map_err(|error| format!("the prompt cannot be measured: {error}."))
            }
            (Some("train"), _) => {
                bench::training().map_err(|error| format!("training cannot be measured: {error}."))
            }
            (Some(model), Some(way)) => speeds(model, way).map(View::Text),
            (model, _) => bench::model(model, &task.version, &task.size, self.settings.json),
        };
        let json = self.settings.json;
        self.result(figures.map(|view| match view {
            View::Table(_) if json => View::Text(view.to_json()),
            view => view,
        }))
    }

    fn prompt(self, model: Option<&str>, chat: bool) -> i32 {
        let mut prompt = Prompt::open(self.settings, self.writer, self.tty, model);
        if model.is_some() && prompt.failed {
            return 1;
        }
        if chat {
            prompt.mode.set(Mode::Chat);
        }
        if !io::stdin().is_terminal() {
            return read_lines(&mut prompt);
        }
        prompt.greet();
        read_terminal(&mut prompt)
    }

    /// Asks about pictures: the question of the command line, those of a pipe, or those of a talk.
    fn ask(self, task: &Ask) -> i32 {
        let (pictures, question) = showing::sorted(&task.words);
        let begun = showing::begun(task, &pictures);
        let questions = match question {
            Some(question) => vec![question.to_owned()],
            None if io::stdin().is_terminal() => {
                return self.talk_about(&format!("{begun}{}", showing::shown()));
            }
            None => io::stdin().lines().map_while(Result::ok).collect(),
        };
        let shows = io::stdout().is_terminal();
        let code = showing::asking(&begun, &questions, task.max_tokens, shows);
        let mut session = new_session(&self.settings, &self.writer, false, Vec::new(), here());
        let work = watched(&session, &self.writer, &self.tty);
        let (_busy, _lamp) = (work.start(), self.writer.lamp.light(session.progress()));
        let result = session.run("ask", &code);
        self.code(result)
    }

    /// A talk that begins with pictures.
    fn talk_about(self, begun: &str) -> i32 {
        let mut prompt = Prompt::begun_with(self.settings, self.writer, self.tty, begun);
        if prompt.failed {
            return 1;
        }
        prompt.mode.set(Mode::Chat);
        prompt.greet();
        read_terminal(&mut prompt)
    }

    fn run(self, task: Run) -> i32 {
        let args = task.script_args();
        let (name, code, folder) = match (&task.code, task.file.as_deref()) {
            (Some(code), _) if !task.check => return self.show(code, args),
            (Some(code), _) => ("-e".to_owned(), code.clone(), here()),
            (None, file) => match read(file.unwrap_or("-")) {
                Ok(script) => script,
                Err(sentence) => {
                    self.writer.note(&format!("error: {sentence}"));
                    return 2;
                }
            },
        };
        let mut session = new_session(&self.settings, &self.writer, false, args, folder);
        if task.check {
            return self.code(session.check(&name, &code).map(|()| 0));
        }
        let work = watched(&session, &self.writer, &self.tty);
        let (_busy, _lamp) = (work.start(), self.writer.lamp.light(session.progress()));
        let result = session.run(&name, &code);
        self.code(result)
    }

    /// One input and its value.
    fn show(self, code: &str, args: Vec<String>) -> i32 {
        let mut session = new_session(&self.settings, &self.writer, false, args, here());
        let work = watched(&session, &self.writer, &self.tty);
        let (_busy, _lamp) = (work.start(), self.writer.lamp.light(session.progress()));
        let result = session.eval(code);
        self.code(result.map(|view| {
            view.iter().for_each(|view| self.writer.view(view));
            0
        }))
    }

    fn convert(self, task: Convert) -> i32 {
        let session = new_session(&self.settings, &self.writer, false, Vec::new(), here());
        let work = watched(&session, &self.writer, &self.tty);
        let (_busy, lamp) = (work.start(), self.writer.lamp.light(session.progress()));
        let changes = Changes { dtype: task.dtype, lora: task.lora, alpha: task.alpha };
        let (stop, progress) = (session.interrupt(), session.progress());
        let done = convert(&task.from, &task.to, &changes, &stop, &progress);
        drop(lamp);
        if session.interrupt().load(Ordering::Relaxed) {
            self.writer.note("interrupted; nothing was written");
            return 130;
        }
        self.result(done.and_then(|()| describe(&task.to, false)))
    }

    /// What there is to see, or why there is nothing.
    fn result(self, view: Result<View, String>) -> i32 {
        match view {
            Ok(view) => {
                self.writer.view(&view);
                0
            }
            Err(sentence) => {
                self.writer.note(&format!("error: {sentence}"));
                1
            }
        }
    }

    fn tell(self, text: impl FnOnce(&Session) -> String) -> i32 {
        let session = new_session(&self.settings, &self.writer, false, Vec::new(), here());
        self.writer.line(text(&session).trim_end());
        0
    }

    fn code(&self, result: Result<i32, Failure>) -> i32 {
        self.writer.fresh_line();
        result.unwrap_or_else(|failure| match failure.kind {
            FailureKind::Exit(code) => code,
            kind => {
                self.writer.failure(&failure);
                if kind == FailureKind::Interrupted { 130 } else { 1 }
            }
        })
    }
}

/// Name, text and folder of a script.
fn read(file: &str) -> Result<(String, String, PathBuf), String> {
    let mut text = String::new();
    let (read, folder) = match file {
        "-" => (io::stdin().read_to_string(&mut text).map(|_| text), here()),
        file => (fs::read_to_string(file), beside(Path::new(file))),
    };
    let text = read.map_err(|error| format!("{file} cannot be read: {error}; check its name."))?;
    Ok((file.to_owned(), text, folder))
}

fn beside(file: &Path) -> PathBuf {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or_else(here, PathBuf::from)
}
