//! One session: the engine, its variables, and what earlier lines left behind.

use crate::complete::Completer;
use crate::diagnose::Diagnosis;
use crate::editing::{self, Colour};
use crate::help::Registry;
use crate::host::{Fallible, Host};
use crate::panics::guarded;
use crate::show::{type_of, view_of};
use crate::{Failure, FailureKind, View};
use rhai::{
    AST, Caches, Dynamic, Engine, EvalAltResult, EvalContext, Expr, Expression, GlobalRuntimeState,
};
use rhai::{Position, Scope, StmtBlock, Token};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
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
    registry: Registry,
    scope: Scope<'static>,
    global: GlobalRuntimeState,
    /// Signature and doc of the functions that scripts defined.
    functions: BTreeMap<String, (String, String)>,
    shared: usize,
    lines: usize,
}

impl Session {
    /// Starts a session; everything it says goes to `out`.
    pub fn new(options: Options, out: Rc<dyn Fn(Output)>) -> Self {
        let host = Rc::new(Host::new(options, out));
        let engine = crate::engine::build(&host);
        let registry = Registry::new(&engine);
        let global = engine.new_global_runtime_state();
        let (scope, functions) = (Scope::new(), BTreeMap::new());
        Self { engine, host, registry, scope, global, functions, shared: 0, lines: 0 }
    }

    /// The flag that stops a running line; set it from a signal handler.
    pub fn interrupt(&self) -> Arc<AtomicBool> {
        self.host.interrupt.clone()
    }

    /// Runs one input of the prompt; `None` for `()` and after a trailing `;`.
    ///
    /// # Errors
    /// When the line fails, is interrupted or leaves with `exit`; its earlier statements count.
    pub fn eval(&mut self, code: &str) -> Result<Option<View>, Failure> {
        self.lines += 1;
        let name = format!("line {}", self.lines);
        let value = self.execute(&name, code);
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
        self.guard(|session| view_of(&session.engine, &value)).map(Some)
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

    /// Whether Enter should run this text or open another line.
    pub fn is_complete(&self, text: &str) -> bool {
        editing::is_complete(&self.engine, text)
    }

    /// Start of the word at `position` and what it could become.
    pub fn complete(&self, text: &str, position: usize) -> (usize, Vec<String>) {
        let folder = &self.host.options.folder;
        let calls = self.functions.keys().map(|name| format!("{name}("));
        let names = self.scope.iter_raw().map(|(name, ..)| name.to_string()).chain(calls).collect();
        let registry = &self.registry;
        Completer { registry, names, folder, value_of: &|path| self.peek(path) }
            .complete(text, position)
    }

    /// Byte ranges of `text` and their classes.
    pub fn colours(&self, text: &str) -> Vec<(Range<usize>, Colour)> {
        editing::colours(&self.engine, text)
    }

    /// The manual entry of a function, type, module or variable; a suggestion if there is none.
    pub fn help(&self, topic: &str) -> String {
        if let Some((signature, doc)) = self.functions.get(topic) {
            return format!("{signature}\n\n{doc}").trim_end().to_string();
        }
        match self.scope.get(topic) {
            Some(value) => {
                let of = type_of(&self.engine, value);
                format!("`{topic}` is a variable of type {of}.\n\n{}", self.registry.help(&of))
            }
            None => self.registry.help(topic),
        }
    }

    /// Every topic with its first sentence.
    pub fn topics(&self) -> Vec<(String, String)> {
        self.registry.topics()
    }

    /// Name, type and a one-line view of every variable.
    pub fn variables(&self) -> Vec<(String, String, String)> {
        let names: BTreeSet<&str> = self.scope.iter_raw().map(|(name, ..)| name).collect();
        let values = names.into_iter().filter_map(|name| Some((name, self.scope.get(name)?)));
        let line = |(name, value): (&str, &Dynamic)| {
            let view = view_of(&self.engine, value).one_line(60);
            (name.to_string(), type_of(&self.engine, value), view)
        };
        values.map(line).collect()
    }

    /// The definitions file for editors (`rwkv.d.rhai`).
    pub fn definitions(&self) -> String {
        self.registry.definitions()
    }

    /// Compiles, runs and cleans up; the value of the last statement.
    fn execute(&mut self, name: &str, code: &str) -> Result<Dynamic, Failure> {
        self.host.interrupt.store(false, Ordering::Relaxed);
        let text = code_of(code);
        let ast = self.compile(name, &text).map_err(|error| self.failure(error, name))?;
        self.keep_functions(&ast);
        self.global.source = Some(name.into());
        let outcome = self.guard(|session| session.statements(&ast));
        self.global.level = 0;
        self.global.scope_level = 0;
        self.global.always_search_scope = false;
        self.share();
        self.drop_shadowed();
        let value = outcome.and_then(|value| value.map_err(|error| self.failure(error, name)));
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
    fn keep_functions(&mut self, ast: &AST) {
        if ast.has_functions() {
            self.global.lib.push(ast.shared_lib().clone());
        }
        for function in ast.iter_functions().filter(|f| !f.name.starts_with("anon$")) {
            let signature = format!("{}({})", function.name, function.params.join(", "));
            let doc = function.comments.iter().map(|line| line.trim_start_matches("///").trim());
            self.functions
                .insert(function.name.into(), (signature, doc.collect::<Vec<_>>().join("\n")));
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
                    other => return Err(Box::new(other)),
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
        let newest_first = self.scope.iter_raw().filter(|(name, ..)| seen.insert(name.to_string()));
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
            Diagnosis { registry: &self.registry, host: &self.host, names: self.names() };
        diagnosis.failure(error, name)
    }

    /// Names of the variables and of the script functions.
    fn names(&self) -> Vec<String> {
        let variables = self.scope.iter_raw().map(|(name, ..)| name.to_string());
        variables.chain(self.functions.keys().cloned()).collect()
    }

    /// The value of a variable; runs nothing, so it is there after Ctrl-C too.
    pub(crate) fn variable(&self, name: &str) -> Option<Dynamic> {
        self.scope.get(name).map(|value| value.clone().flatten())
    }

    /// The value of a path of names, properties and indexes, and its type; runs nothing else.
    fn peek(&self, path: &str) -> Option<(Dynamic, String)> {
        let mut scope = self.scope.clone();
        let value = guarded(|| self.engine.eval_expression_with_scope::<Dynamic>(&mut scope, path));
        let value = value.ok()?.ok()?.flatten();
        let of = type_of(&self.engine, &value);
        Some((value, of))
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
