//! Read, evaluate, print, remember.

use crate::arguments::Settings;
use crate::commands;
use crate::folders;
use crate::input::{self, Input, Mode, quoted};
use crate::lesson::{self, Lesson};
use crate::manual;
use crate::output::Writer;
use crate::saving::Record;
use crate::tty::{Tty, Work};
use rwkv_scripting::{Failure, FailureKind, Options, Session, View};
use std::cell::{Cell, RefCell};
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::rc::Rc;

/// The model that the prompt opens with.
const DEMO: &str = "demo:tales";

/// What happens after an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum After {
    /// The next input.
    Stay,
    /// The end, with an exit code.
    Leave(i32),
}

/// A prompt and all that it remembers.
pub struct Prompt {
    /// The scripting session; shared with the line editor, which asks it while keys are typed.
    pub session: Rc<RefCell<Session>>,
    /// Where everything is written.
    pub writer: Rc<Writer>,
    /// Where plain lines go; shared with the line editor.
    pub mode: Rc<Cell<Mode>>,
    /// What the program was told.
    pub settings: Settings,
    /// What `/save` writes.
    pub record: Record,
    /// What `/history` lists.
    pub typed: Vec<String>,
    /// Whether any input failed.
    pub failed: bool,
    /// Whether the last text was made beside the talk.
    pub free: bool,
    /// Files that `/run` ran, and what was in them.
    pub ran: Vec<(PathBuf, String)>,
    /// The lesson that is open.
    pub lesson: Option<Lesson>,
    /// Whether inputs are written to the history file.
    pub keeps_history: bool,
    /// The model it opened with.
    model: Option<View>,
    tty: Tty,
    work: Work,
}

impl Prompt {
    /// Opens a prompt with a model, the demo if none is named, as `model` and `chat`.
    pub fn open(settings: Settings, writer: Rc<Writer>, tty: Tty, model: Option<&str>) -> Self {
        Self::begun_with(settings, writer, tty, &loading(model.unwrap_or(DEMO)))
    }

    /// Opens a session with this code, which makes `model` and `chat`.
    pub fn begun_with(mut settings: Settings, writer: Rc<Writer>, tty: Tty, code: &str) -> Self {
        // A known seed can be written down by `/save`.
        let seed = *settings.seed.get_or_insert_with(clock);
        let session = new_session(&settings, &writer, true, Vec::new(), here());
        let work = Work::new(session.interrupt(), true);
        watch(&work, &writer, &tty);
        let mut prompt = Self {
            session: Rc::new(RefCell::new(session)),
            writer,
            mode: Rc::default(),
            record: Record::new(seed, &settings.device),
            settings,
            typed: Vec::new(),
            failed: false,
            free: false,
            ran: Vec::new(),
            lesson: None,
            keeps_history: true,
            model: None,
            tty,
            work,
        };
        prompt.begin(code);
        if !prompt.settings.no_init {
            prompt.initialise();
        }
        prompt
    }

    /// Runs the `init.rhai` of this person, if there is one; a failing one is reported.
    fn initialise(&mut self) {
        let Some(folder) = folders::settings(&crate::term::variable) else { return };
        let file = folder.join("init.rhai");
        let code = match fs::read_to_string(&file) {
            Ok(code) => code,
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => {
                let file = file.display();
                self.writer.note(&format!("warning: {file} cannot be read: {error}; --no-init."));
                return;
            }
        };
        if let Err(failure) = self.computed(Some(&file.to_string_lossy()), &code) {
            self.writer.failure(&failure);
            self.writer.note("the session goes on without the rest of it; --no-init skips it");
            return;
        }
        self.keep(&code, false);
    }

    /// The first lines, which `/save` writes down only if something needs them; the seed counts
    /// from here on.
    fn begin(&mut self, code: &str) {
        let seeding = format!("{}\nmodel", self.record.seeding());
        match self.compute(code).and_then(|_| self.compute(&seeding)) {
            Ok(model) => {
                self.record.prelude = code.to_owned();
                self.model = model;
            }
            Err(failure) => {
                self.failed = true;
                self.writer.failure(&failure);
            }
        }
    }

    /// Takes one text from the keyboard, a paste or a pipe.
    pub fn take(&mut self, text: &str) -> After {
        if text.trim().is_empty() && self.lesson.is_some() && self.waits() {
            return lesson::next(self);
        }
        let inputs = {
            let session = self.session.borrow();
            input::transcribed(&session, text).unwrap_or_else(|| {
                let pieces = input::pieces(&session, text, self.mode.get());
                pieces.into_iter().map(str::to_owned).collect()
            })
        };
        for piece in inputs {
            if let After::Leave(code) = self.take_one(&piece) {
                return After::Leave(code);
            }
        }
        After::Stay
    }

    fn take_one(&mut self, text: &str) -> After {
        let sorted = match text.trim() {
            word @ ("next" | "leave") if self.lesson.is_some() => Input::Command(word, ""),
            _ => input::sort(text, self.mode.get()),
        };
        if sorted != Input::Blank {
            self.typed.push(text.trim().to_owned());
        }
        match sorted {
            Input::Blank => After::Stay,
            Input::Command(name, argument) => commands::run(self, name, argument),
            Input::Question(topic) => self.explain(topic),
            Input::Say(words) if self.mode.get() == Mode::Chat => self.talk(words),
            Input::Source(topic) => self.explain_all(topic),
            Input::Say(words) => self.evaluate(&format!("chat.say({})", quoted(words))),
            Input::Code(code) => self.evaluate(code),
        }
    }

    /// Runs code as if it had been typed, shows its value and remembers it.
    pub fn evaluate(&mut self, code: &str) -> After {
        self.evaluated(None, code)
    }

    /// Runs the code of a file, which failures call by its name.
    pub fn evaluate_as(&mut self, name: &str, code: &str) -> After {
        self.evaluated(Some(name), code)
    }

    fn evaluated(&mut self, name: Option<&str>, code: &str) -> After {
        match self.computed(name, code) {
            Ok(view) => {
                self.keep(code, view.is_some());
                view.iter().for_each(|view| self.writer.view(view));
                After::Stay
            }
            Err(failure) => self.failed(&failure),
        }
    }

    /// Shows why an input failed, unless it was meant to end the session.
    pub fn failed(&mut self, failure: &Failure) -> After {
        match failure.kind {
            FailureKind::Exit(code) => After::Leave(code),
            kind => {
                self.writer.failure(failure);
                self.failed = true;
                self.after(kind)
            }
        }
    }

    /// Notes code that ran, for `/save`.
    pub fn keep(&mut self, code: &str, shown: bool) {
        let session = self.session.borrow();
        let compiles = |code: &str| session.check("saved", code).is_ok();
        // In the middle of a script a `#!` line is an error.
        let code = match code.strip_prefix("#!") {
            Some(rest) => format!("// {rest}"),
            None => code.to_owned(),
        };
        self.record.add(&code, self.typed.len(), shown, &compiles);
    }

    /// Runs code with a quiet keyboard and Ctrl-C at work.
    pub fn compute(&self, code: &str) -> Result<Option<View>, Failure> {
        self.computed(None, code)
    }

    fn computed(&self, name: Option<&str>, code: &str) -> Result<Option<View>, Failure> {
        self.working(|session| match name {
            Some(name) => session.eval_as(name, code),
            None => session.eval(code),
        })
    }

    /// Work of the session with a quiet keyboard and Ctrl-C at work.
    pub fn working<T>(&self, work: impl FnOnce(&mut Session) -> T) -> T {
        let _busy = self.work.start();
        let _quiet = self.tty.quiet();
        let _lamp = self.writer.lamp.light(self.session.borrow().progress());
        let result = work(&mut self.session.borrow_mut());
        self.writer.fresh_line();
        result
    }

    /// What Ctrl-Z at the prompt stops.
    pub fn tty(&self) -> Tty {
        self.tty.clone()
    }

    /// Whether somebody is there to be waited for.
    pub fn waits(&self) -> bool {
        self.tty.is_there()
    }

    /// A person goes on after Ctrl-C; a pipe ends.
    pub fn after(&self, kind: FailureKind) -> After {
        match kind {
            FailureKind::Interrupted if !self.tty.is_there() => After::Leave(130),
            _ => After::Stay,
        }
    }

    /// Shows the manual entry of a topic, or what there is.
    pub fn explain(&self, topic: &str) -> After {
        let session = self.session.borrow();
        let width = self.writer.screen().canvas().width;
        let text = match topic {
            "" => manual::overview(&session, width),
            topic => session.help(topic, width),
        };
        self.writer.line(text.trim_end());
        After::Stay
    }

    /// Shows all there is to know about a topic: the source of a function of this session.
    fn explain_all(&self, topic: &str) -> After {
        if topic.is_empty() {
            return self.explain(topic);
        }
        let width = self.writer.screen().canvas().width;
        let session = self.session.borrow();
        let text = session.source(topic, width);
        let screen = self.writer.screen();
        let coloured = screen.colour && session.is_defined(topic);
        let text = match coloured {
            true => crate::helper::painted(&text, &session.colours(&text)),
            false => text,
        };
        self.writer.line(text.trim_end());
        After::Stay
    }

    /// Reports a mistake in a command.
    pub fn refuse(&mut self, sentence: &str) -> After {
        self.failed = true;
        self.writer.note(&format!("error: {sentence}"));
        After::Stay
    }

    /// Three lines that say where one is and how to go on.
    pub fn greet(&self) {
        let (version, device) = (env!("CARGO_PKG_VERSION"), &self.settings.device);
        let note = |text: &str| self.writer.note(text);
        note(&format!("rwkv-lab {version}  |  {device}  |  /help  ?name  Ctrl-D leaves"));
        if let Some(model) = &self.model {
            note(&model.draw(&self.writer.screen().canvas()));
            note("`> hello` talks to it, /chat stays in the talk");
        }
    }
}

/// The code behind `/load`.
pub fn loading(model: &str) -> String {
    format!("let model = load_model({});\nlet chat = model.new_chat();", quoted(model))
}

/// A scripting session that writes to `writer`.
pub fn new_session(
    settings: &Settings,
    writer: &Rc<Writer>,
    interactive: bool,
    args: Vec<String>,
    folder: PathBuf,
) -> Session {
    let options = Options {
        device: settings.device.clone(),
        seed: settings.seed,
        args,
        folder,
        interactive,
        terminal: writer.screen().terminal,
    };
    let writer = writer.clone();
    let session = Session::new(options, Rc::new(move |output| writer.send(output)));
    if settings.json {
        session.speak_json();
    }
    session
}

/// The work of a session, stopped by Ctrl-C from now on.
pub fn watched(session: &Session, writer: &Writer, tty: &Tty) -> Work {
    let work = Work::new(session.interrupt(), false);
    watch(&work, writer, tty);
    work
}

fn watch(work: &Work, writer: &Writer, tty: &Tty) {
    if let Err(error) = work.watch(tty) {
        writer.note(&format!("warning: Ctrl-C will end the program: {error}."));
    }
}

/// The folder the program was started in.
pub fn here() -> PathBuf {
    std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."))
}

fn clock() -> u64 {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // Six digits are enough to differ and short enough to be typed.
    time.map_or(0, |time| u64::from(time.subsec_micros()))
}
