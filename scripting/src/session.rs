//! One session: the engine, its variables, and what earlier lines left behind.

mod asking;
mod reloading;

use crate::defined::Definitions;
use crate::diagnose::Diagnosis;
use crate::editing;
use crate::help::Registry;
use crate::host::{Fallible, Host};
use crate::panics::guarded;
use crate::show::shown;
use crate::{Failure, FailureKind, Progress, View};
use rhai::{
    AST, Caches, Dynamic, Engine, EvalAltResult, EvalContext, Expr, Expression, GlobalRuntimeState,
};
use rhai::{Position, Scope, StmtBlock, Token};
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a session is told when it starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where models run unless a script says otherwise, for example `cpu` or `cuda:0`.
    pub device: String,
    /// Seed of every random choice; `None` takes one from the clock.
    pub seed: Option<u64>,
    /// What `args(i, default)` reads.
    pub args: Vec<String>,
    /// Folder of `import` and of a script's relative files.
    pub folder: PathBuf,
    /// At a prompt: model text streams to the output and the last value is kept as `ans`.
    pub interactive: bool,
    /// What `is_tty()` answers.
    pub terminal: bool,
}

/// What a session sends out while it works.
pub enum Output<'a> {
    /// One printed line, without its newline.
    Print(&'a str),
    /// A piece of model text, as it comes.
    Stream(&'a str),
    /// A value that the script wants to be seen.
    View(&'a View),
    /// Progress or a warning; belongs on stderr.
    Note(&'a str),
}

/// A running session. Its thread needs [`crate::STACK`] bytes to reach the limits of scripts.
pub struct Session {
    engine: Engine,
    host: Rc<Host>,
    registry: OnceCell<Registry>,
    scope: Scope<'static>,
    global: GlobalRuntimeState,
    functions: Definitions,
    /// The `import` statements that succeeded, each once.
    imports: Vec<String>,
    shared: usize,
    lines: usize,
}

impl Session {
    /// Starts a session; everything it says goes to `out`.
    pub fn new(options: Options, out: Rc<dyn Fn(Output)>) -> Self {
        let host = Rc::new(Host::new(options, out));
        let engine = crate::engine::build(&host);
        let global = engine.new_global_runtime_state();
        let (scope, functions, imports) = (Scope::new(), Definitions::default(), Vec::new());
        let (interactive, registry) = (host.options.interactive, OnceCell::new());
        let session =
            Self { engine, host, registry, scope, global, functions, imports, shared: 0, lines: 0 };
        if interactive {
            // The first key at a prompt would wait for it.
            session.registry();
        }
        session
    }

    /// The manual, made when somebody first asks: most scripts never do.
    fn registry(&self) -> &Registry {
        self.registry.get_or_init(|| Registry::new(&self.engine))
    }

    /// The flag that stops a running line; set it from a signal handler.
    pub fn interrupt(&self) -> Arc<AtomicBool> {
        self.host.interrupt.clone()
    }

    /// How far the long works of a running line are, for whoever shows it from another thread.
    pub fn progress(&self) -> Arc<Progress> {
        self.host.progress.clone()
    }

    /// Runs one input of the prompt; `None` for `()` and after a trailing `;`.
    ///
    /// # Errors
    /// When the line fails, is interrupted or leaves with `exit`; its earlier statements count.
    pub fn eval(&mut self, code: &str) -> Result<Option<View>, Failure> {
        self.lines += 1;
        self.eval_as(&format!("line {}", self.lines), code)
    }

    /// Runs one input that failures call `name`.
    ///
    /// # Errors
    /// As for [`Session::eval`].
    pub fn eval_as(&mut self, name: &str, code: &str) -> Result<Option<View>, Failure> {
        let value = self.execute(name, code);
        if let Some(answer) = self.host.partial.take().or(value.as_ref().ok().cloned()) {
            self.remember(answer);
        }
        let value = value?;
        let silent = matches!(
            editing::Lexed::new(&self.engine, code).tokens.last(),
            Some((Token::SemiColon, _))
        );
        if silent || value.is_unit() {
            return Ok(None);
        }
        self.guard(|session| shown(&session.host, &session.engine, &value)).map(Some)
    }

    /// Runs a whole script and returns its exit code.
    ///
    /// # Errors
    /// When the script fails or is interrupted.
    pub fn run(&mut self, name: &str, code: &str) -> Result<i32, Failure> {
        self.host.exit_code.set(0);
        match self.execute(name, code) {
            Ok(_) => Ok(self.host.exit_code.get()),
            Err(Failure { kind: FailureKind::Exit(code), .. }) => Ok(code),
            Err(failure) => Err(failure),
        }
    }

    /// Compiles a script without running it.
    ///
    /// # Errors
    /// When it is not a script.
    pub fn check(&self, name: &str, code: &str) -> Result<(), Failure> {
        let failed =
            self.compile(name, &code_of(code)).map(drop).map_err(|error| self.failure(error, name));
        self.host.sources.borrow_mut().remove(name);
        failed
    }

    /// Compiles, runs and cleans up; the value of the last statement.
    fn execute(&mut self, name: &str, code: &str) -> Result<Dynamic, Failure> {
        self.host.interrupt.store(false, Ordering::Relaxed);
        let text = code_of(code);
        let ast = self.compile(name, &text).map_err(|error| self.failure(error, name))?;
        self.keep_functions(&ast, &text);
        self.global.source = Some(name.into());
        let outcome = self.guard(|session| session.statements(&ast));
        self.host.progress.end();
        self.global.level = 0;
        self.global.scope_level = 0;
        self.global.always_search_scope = false;
        self.share();
        self.drop_shadowed();
        let value = outcome.and_then(|value| value.map_err(|error| self.failure(error, name)));
        if value.is_ok() {
            self.keep_imports(&text);
        }
        if !ast.has_functions() {
            self.host.sources.borrow_mut().remove(name);
        }
        value
    }

    fn compile(&self, name: &str, text: &str) -> Fallible<AST> {
        self.host.sources.borrow_mut().insert(name.into(), text.into());
        let mut ast = self.engine.compile_with_scope(&self.scope, text)?;
        ast.set_source(name);
        Ok(ast)
    }

    /// Later definitions stand on top of earlier ones, so each keeps the text it came from.
    fn keep_functions(&mut self, ast: &AST, text: &str) {
        if ast.has_functions() {
            self.global.lib.push(ast.shared_lib().clone());
            self.functions.add(&self.engine, ast, text);
        }
    }

    /// Runs the statements one by one, so that functions see the variables made before them.
    fn statements(&mut self, ast: &AST) -> Fallible<Dynamic> {
        let mut caches = Caches::new();
        let mut value = Dynamic::UNIT;
        for statement in ast.statements() {
            let block = StmtBlock::new([statement.clone()], Position::NONE, Position::NONE);
            let block = Expr::Stmt(Box::new(block));
            let (global, scope) = (&mut self.global, &mut self.scope);
            let mut context = EvalContext::new(&self.engine, global, &mut caches, scope, None);
            #[expect(deprecated, reason = "marked because it may change, not as outdated")]
            let outcome = context.eval_expression_tree_raw(&Expression::from(&block), false);
            self.share();
            value = match outcome {
                Err(error) => match *error {
                    EvalAltResult::Return(value, _) => return Ok(value.flatten()),
                    mut other => {
                        // Calls through a module, for one, do not say where they are.
                        if other.position().is_none() {
                            other.set_position(statement.position());
                        }
                        return Err(Box::new(other));
                    }
                },
                Ok(value) => value,
            };
        }
        Ok(value.flatten())
    }

    /// Turns new variables into shared cells, which functions can read while lines change them.
    fn share(&mut self) {
        // The engine lists the newest variable first.
        let new = self.scope.iter_raw().take(self.scope.len() - self.shared);
        let new: Vec<String> = new.map(|(name, ..)| name.to_string()).collect();
        self.shared = self.scope.len();
        for name in new {
            if let Some(cell) = self.scope.get_mut(&name).filter(|cell| !cell.is_shared()) {
                *cell = cell.take().into_shared();
            }
            if let Some(value) = self.scope.get(&name) {
                self.host.globals.borrow_mut().insert(name, value.clone());
            }
        }
    }

    /// Drops variables that a later `let` hides: five loads of a model must not keep five models.
    fn drop_shadowed(&mut self) {
        let mut seen = BTreeSet::new();
        self.keep(|name| seen.insert(name.to_string()));
    }

    /// Keeps the variables that `wanted` approves; it is asked about the newest first.
    fn keep(&mut self, mut wanted: impl FnMut(&str) -> bool) {
        let newest_first = self.scope.iter_raw().filter(|(name, ..)| wanted(name));
        let visible: Vec<_> = newest_first.collect();
        let mut kept = Scope::new();
        for (name, constant, value) in visible.into_iter().rev() {
            if constant {
                kept.push_constant_dynamic(name, value.clone());
            } else {
                kept.push_dynamic(name, value.clone());
            }
        }
        self.shared = kept.len();
        self.scope = kept;
    }

    /// Keeps a value as `ans`.
    fn remember(&mut self, value: Dynamic) {
        if self.host.options.interactive && !value.is_unit() {
            self.scope.push_dynamic("ans", value);
            self.share();
            self.drop_shadowed();
        }
    }

    fn guard<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Result<T, Failure> {
        guarded(|| work(self)).map_err(|panic| Failure {
            hint: Some("this is a bug of rwkv-lab, not of the script; the session goes on".into()),
            ..Failure::new(
                FailureKind::Internal,
                format!("internal error: {}", panic.replace('\n', ": ")),
            )
        })
    }

    fn failure(&self, error: Box<EvalAltResult>, name: &str) -> Failure {
        let diagnosis =
            Diagnosis { registry: self.registry(), host: &self.host, names: self.names() };
        diagnosis.failure(error, name)
    }

    /// The value of a variable; runs nothing, so it is there after Ctrl-C too.
    pub(crate) fn variable(&self, name: &str) -> Option<Dynamic> {
        self.scope.get(name).map(|value| value.clone().flatten())
    }
}

/// The text with `#!` made a comment, so that lines and columns keep their numbers.
fn code_of(code: &str) -> String {
    match code.strip_prefix("#!") {
        // `///` would begin a doc comment.
        Some(rest) if rest.starts_with('/') => format!("// {}", &rest[1..]),
        Some(rest) => format!("//{rest}"),
        None => code.into(),
    }
}
