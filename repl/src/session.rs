//! Read, evaluate, print, remember.

use crate::arguments::Settings;
use crate::commands;
use crate::input::{self, Input, Mode, quoted};
use crate::manual;
use crate::output::Writer;
use crate::saving::Record;
use crate::tty::{Tty, Work};
use rwkv_scripting::{Failure, FailureKind, Options, Session, View};
use std::cell::{Cell, RefCell};
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
    /// The model it opened with.
    model: Option<View>,
    tty: Tty,
    work: Work,
}

impl Prompt {
    /// Opens a prompt with a model, the demo if none is named, as `model` and `chat`.
    pub fn open(mut settings: Settings, writer: Rc<Writer>, tty: Tty, model: Option<&str>) -> Self {
        // A known seed can be written down by `/save`.
        let seed = *settings.seed.get_or_insert_with(clock);
        let session = new_session(&settings, &writer, true, Vec::new(), here());
        let work = watched(&session, &writer, &tty);
        let mut prompt = Self {
            session: Rc::new(RefCell::new(session)),
            writer,
            mode: Rc::default(),
            record: Record::new(seed, &settings.device),
            settings,
            typed: Vec::new(),
            failed: false,
            free: false,
            model: None,
            tty,
            work,
        };
        prompt.begin(&loading(model.unwrap_or(DEMO)));
        prompt
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
        let pieces = input::pieces(&self.session.borrow(), text, self.mode.get())
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>();
        for piece in pieces {
            if let After::Leave(code) = self.take_one(&piece) {
                return After::Leave(code);
            }
        }
        After::Stay
    }

    fn take_one(&mut self, text: &str) -> After {
        let sorted = input::sort(text, self.mode.get());
        if sorted != Input::Blank {
            self.typed.push(text.trim().to_owned());
        }
        match sorted {
            Input::Blank => After::Stay,
            Input::Command(name, argument) => commands::run(self, name, argument),
            Input::Question(topic) => self.explain(topic),
            Input::Say(words) if self.mode.get() == Mode::Chat => self.talk(words),
            Input::Say(words) => self.evaluate(&format!("chat.say({})", quoted(words))),
            Input::Code(code) => self.evaluate(code),
        }
    }

    /// Runs code as if it had been typed, shows its value and remembers it.
    pub fn evaluate(&mut self, code: &str) -> After {
        match self.compute(code) {
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
        self.record.add(code, shown, &compiles);
    }

    /// Runs code with a quiet keyboard and Ctrl-C at work.
    pub fn compute(&self, code: &str) -> Result<Option<View>, Failure> {
        let _busy = self.work.start();
        let _quiet = self.tty.quiet();
        let result = self.session.borrow_mut().eval(code);
        self.writer.fresh_line();
        result
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
    Session::new(options, Rc::new(move |output| writer.send(output)))
}

/// The work of a session, stopped by Ctrl-C from now on.
pub fn watched(session: &Session, writer: &Writer, tty: &Tty) -> Work {
    let work = Work { stop: session.interrupt(), ..Work::default() };
    if let Err(error) = work.watch(tty) {
        writer.note(&format!("warning: Ctrl-C will end the program: {error}."));
    }
    work
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
