//! What every script function can reach: options, output, the interrupt, the seed.

use crate::{Options, Output, View};
use rhai::{Dynamic, EvalAltResult, NativeCallContext, Position};
use rwkv_engine::progress::Progress;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The result of a script function that can fail.
pub type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// Any number, integer or float; reads as `Number` in signatures.
pub type Number = Dynamic;

/// Any value; reads as `Value` in signatures.
pub type Value = Dynamic;

/// The session as its functions see it.
pub struct Host {
    /// What the session was started with.
    pub options: Options,
    /// Set from a signal handler; polled by everything that takes long.
    pub interrupt: Arc<AtomicBool>,
    /// How far long works are; read from another thread.
    pub progress: Arc<Progress>,
    /// Variables of the session, shared cells, for functions to read.
    pub globals: RefCell<BTreeMap<String, Dynamic>>,
    /// What an interrupted line had so far; becomes `ans`.
    pub partial: RefCell<Option<Dynamic>>,
    /// Texts of everything that was compiled, for drawing failures.
    pub sources: RefCell<BTreeMap<String, Rc<str>>>,
    /// What a script wants to end with.
    pub exit_code: Cell<i32>,
    /// Whether everything that is printed or shown is JSON, a line each.
    pub json: Cell<bool>,
    /// Files that `import` read, and what was in them.
    pub imported: RefCell<BTreeMap<PathBuf, String>>,
    seed: Cell<u64>,
    out: Rc<dyn Fn(Output)>,
}

impl Host {
    /// A host with nothing in it yet.
    pub fn new(options: Options, out: Rc<dyn Fn(Output)>) -> Self {
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seed = options.seed.unwrap_or(clock.map_or(0, |passed| passed.as_nanos() as u64));
        Self {
            options,
            interrupt: Arc::default(),
            progress: Arc::default(),
            globals: RefCell::default(),
            partial: RefCell::default(),
            sources: RefCell::default(),
            exit_code: Cell::new(0),
            json: Cell::new(false),
            imported: RefCell::default(),
            seed: Cell::new(seed),
            out,
        }
    }

    /// The host of a running call.
    pub fn of(context: &NativeCallContext) -> Rc<Self> {
        let tag = context.tag().and_then(|tag| tag.clone().try_cast::<Rc<Self>>());
        tag.expect("the engine is built with its host as the default tag")
    }

    /// Sends something out; text without control characters, which could command the terminal.
    pub fn say(&self, output: Output) {
        match output {
            Output::Print(text) if self.json.get() => (self.out)(Output::Print(&line(text))),
            Output::Print(text) => (self.out)(Output::Print(&harmless(text))),
            Output::Stream(text) => (self.out)(Output::Stream(&harmless(text))),
            Output::Note(text) => (self.out)(Output::Note(&harmless(text))),
            view => (self.out)(view),
        }
    }

    /// Shows a value.
    pub fn show(&self, view: &View) {
        self.say(Output::View(view));
    }

    /// Sets the seed of everything random.
    pub fn set_seed(&self, seed: u64) {
        self.seed.set(seed);
    }

    /// Where the random choices stand, to go back there.
    pub fn seed(&self) -> u64 {
        self.seed.get()
    }

    /// A new seed; the same sequence after every `seed(n)`.
    pub fn next_seed(&self) -> u64 {
        // splitmix64: consecutive seeds give unrelated numbers.
        let state = self.seed.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.seed.set(state);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Whether somebody pressed Ctrl-C.
    pub fn interrupted(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed)
    }

    /// The failure that no `catch` can swallow, if somebody pressed Ctrl-C.
    ///
    /// # Errors
    /// When the interrupt flag is set.
    pub fn poll(&self) -> Fallible<()> {
        if self.interrupted() { Err(stopped()) } else { Ok(()) }
    }

    /// Where a script finds a file to read: below its own folder, else below the working folder.
    pub fn readable(&self, path: &str) -> PathBuf {
        let beside = self.options.folder.join(path);
        if beside.exists() { beside } else { PathBuf::from(path) }
    }

    /// Where a script may write: below the working folder and the temporary folder.
    ///
    /// # Errors
    /// When the path leads anywhere else.
    pub fn writable(&self, path: &str) -> Fallible<PathBuf> {
        let here = std::env::current_dir().unwrap_or_default();
        let target = real(&here.join(path));
        let allowed = [here, std::env::temp_dir()];
        if allowed.iter().any(|root| target.starts_with(real(root))) {
            return Ok(target);
        }
        Err(fail(format!(
            "cannot write {path}: only below the working folder and the temporary folder"
        )))
    }
}

/// A printed text as one line of JSON; a list or a map in JSON stays what it is.
fn line(text: &str) -> String {
    let ready = text.starts_with(['{', '[']).then(|| serde_json::from_str(text).ok()).flatten();
    ready.unwrap_or_else(|| serde_json::Value::from(text)).to_string()
}

/// The text without control characters other than line breaks and tabs: a model can say anything.
pub fn harmless(text: &str) -> Cow<'_, str> {
    let harm = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.contains(harm) { text.replace(harm, "").into() } else { text.into() }
}

/// The path without `..` and links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
        // A link may lead anywhere, so it is followed before the next `..` is applied.
        plain = plain.canonicalize().unwrap_or(plain);
    }
    plain
}

/// A failure of a script function; the engine adds the place.
pub fn fail(message: impl Into<String>) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorRuntime(message.into().into(), Position::NONE))
}

/// The failure of an interrupted function.
pub fn stopped() -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorTerminated(Dynamic::UNIT, Position::NONE))
}

/// A failure of the engine, in its words; an interrupt stays one.
pub fn engine_failure(error: anyhow::Error) -> Box<EvalAltResult> {
    if error.is::<rwkv_engine::model::Interrupted>() {
        return stopped();
    }
    fail(format!("{error:#}").trim_end_matches('.'))
}

/// Reads a number; `what` names it in the failure.
///
/// # Errors
/// When the value is not a number.
pub fn number(value: &Dynamic, what: &str) -> Fallible<f64> {
    value
        .as_float()
        .or_else(|_| value.as_int().map(|whole| whole as f64))
        .map_err(|_| fail(format!("{what} must be a number, not {}", words(value))))
}

/// The type of a value in words, with its article.
pub fn words(value: &Dynamic) -> String {
    let name = match value.type_name() {
        "()" => return "nothing ()".into(),
        "i64" => "integer",
        "f64" => "float",
        "bool" => "bool",
        "char" => "character",
        "string" | "ImmutableString" => "string",
        "array" => "array",
        "map" => "map",
        "Fn" => "function",
        other => match other.rsplit("::").next().unwrap_or(other) {
            "ModelOutput" => "Output",
            last => last,
        },
    };
    let vowel = name.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U']);
    format!("{} {name}", if vowel { "an" } else { "a" })
}
