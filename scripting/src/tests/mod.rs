//! Whole-session tests; what they share.

mod chats;
mod data;
mod failures;
mod image;
mod language;
mod manual;
mod metrics;
mod models;
mod sampling;
mod screens;
mod states;
mod typing;
mod understand;

use crate::{Canvas, Failure, Options, Output, Session};
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

/// A session and what it said.
pub struct Desk {
    pub session: Session,
    said: Rc<RefCell<Vec<String>>>,
}

impl Desk {
    pub fn new() -> Self {
        Self::start(std::env::temp_dir(), "first")
    }

    pub fn in_folder(folder: PathBuf) -> Self {
        Self::start(folder, "first")
    }

    /// A session whose scripts have one argument.
    pub fn start(folder: PathBuf, argument: &str) -> Self {
        let said: Rc<RefCell<Vec<String>>> = Rc::default();
        let heard = said.clone();
        let out = Rc::new(move |output: Output| {
            heard.borrow_mut().push(match output {
                Output::Print(text) | Output::Stream(text) | Output::Note(text) => text.to_string(),
                Output::View(view) => view.draw(&Canvas::default()),
            });
        });
        let args = vec![argument.to_string()];
        let options = Options {
            device: "cpu".into(),
            seed: Some(1),
            args,
            folder,
            interactive: true,
            terminal: false,
        };
        Self { session: Session::new(options, out), said }
    }

    /// Runs a line and draws its value; nothing for no value.
    pub fn line(&mut self, code: &str) -> String {
        let view = self
            .session
            .eval(code)
            .unwrap_or_else(|f| panic!("{code}\n{}", f.draw(&Canvas::default())));
        view.map_or(String::new(), |view| view.draw(&Canvas::default()))
    }

    /// Runs a line that must fail.
    pub fn failure(&mut self, code: &str) -> Failure {
        self.session.eval(code).map(|_| ()).expect_err(code)
    }

    /// Runs a line that must fail and draws the failure in ASCII.
    pub fn refusal(&mut self, code: &str) -> String {
        self.failure(code).draw(&Canvas { width: 400, unicode: false, ..Canvas::default() })
    }

    /// What was said since the last time.
    pub fn heard(&self) -> Vec<String> {
        self.said.take()
    }
}

/// Runs a test with the stack that scripts may need.
pub fn deep(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(crate::STACK).spawn(test);
    thread.unwrap().join().unwrap();
}
