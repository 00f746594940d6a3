//! The manual: one registry, made from what the engine knows, for help, completion and editors.

mod pages;
mod reference;
mod wrapping;

pub use wrapping::{hung, wrapped};

use rhai::{Engine, FuncInfo};
use std::collections::{BTreeMap, BTreeSet};

/// How a function is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `name(..)`
    Function,
    /// `value.name(..)`
    Method,
    /// `value.name`
    Property,
    /// `a + b`, `a[i]`
    Operator,
}

/// One function as the manual sees it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name without module or type.
    pub name: String,
    /// Its module, or nothing.
    pub module: String,
    /// The type it belongs to, for methods and properties.
    pub receiver: Option<String>,
    /// How it is used.
    pub kind: Kind,
    /// Names and types of the arguments, the receiver not among them.
    pub arguments: Vec<(String, String)>,
    /// Type of the result; empty for nothing.
    pub returns: String,
    /// The doc comment without its slashes.
    pub doc: String,
    /// Whether it comes with Rhai.
    pub standard: bool,
}

/// Everything that can be called.
pub struct Registry {
    /// By module, type, name and number of arguments.
    pub entries: Vec<Entry>,
}

impl Entry {
    fn new(info: &FuncInfo, standard: bool) -> Option<Self> {
        let data = info.metadata;
        let (kind, name) = match data.name.as_str() {
            "index$get$" => (Kind::Operator, "[]"),
            name if name.starts_with("set$") || name == "index$set$" => return None,
            name => {
                name.strip_prefix("get$").map_or((Kind::Function, name), |p| (Kind::Property, p))
            }
        };
        let word = name.starts_with(|c: char| c.is_ascii_alphabetic());
        if name.contains('$')
            || matches!(name, "to_debug" | "to_string" | "print" | "debug") && !standard
        {
            return None;
        }
        let mut arguments: Vec<_> = data.params_info.iter().map(|text| argument(text)).collect();
        let first = arguments.first().cloned();
        let method = first.as_ref().is_some_and(|(name, of)| {
            name == "this" || standard && of != "Value" || kind == Kind::Property
        });
        let kind = match kind {
            _ if !word => Kind::Operator,
            Kind::Function if method => Kind::Method,
            kind => kind,
        };
        let receiver = first.filter(|_| method).map(|(_, of)| of);
        if method {
            arguments.remove(0);
        }
        Some(Self {
            name: name.into(),
            module: info.namespace.to_string(),
            receiver,
            kind,
            arguments,
            returns: readable(&data.return_type),
            doc: data.comments.iter().map(|text| uncomment(text)).collect::<Vec<_>>().join("\n"),
            standard,
        })
    }

    /// What decides about its place in the manual.
    fn order(&self) -> impl Ord {
        let form = (self.arguments.len(), &self.arguments, &self.returns);
        (&self.module, &self.receiver, &self.name, form)
    }

    /// How the manual calls it: `norm`, `plot::line`, `State.norm`.
    pub fn title(&self) -> String {
        match (&self.receiver, self.module.as_str()) {
            (Some(of), _) => format!("{of}.{}", self.name),
            (None, "") => self.name.clone(),
            (None, module) => format!("{module}::{}", self.name),
        }
    }

    /// `State.lerp(other: State, weight: Number) -> State`
    pub fn signature(&self) -> String {
        let arguments: Vec<String> =
            self.arguments.iter().map(|(name, of)| format!("{name}: {of}")).collect();
        let call = if self.kind == Kind::Property {
            String::new()
        } else {
            format!("({})", arguments.join(", "))
        };
        let arrow = if self.returns.is_empty() { "" } else { " -> " };
        format!("{}{call}{arrow}{}", self.title(), self.returns)
    }

    /// The first sentence of the doc.
    pub fn sentence(&self) -> String {
        let text = self.doc.split("\n\n").next().unwrap_or_default().replace('\n', " ");
        text.split_inclusive(". ").next().unwrap_or_default().trim().to_string()
    }

    /// The code between the fences of the doc.
    pub fn examples(&self) -> Vec<String> {
        self.doc
            .split("```")
            .skip(1)
            .step_by(2)
            .map(|code| code.trim_start_matches("rhai").into())
            .collect()
    }

    /// Keys of the option map and what is said about each, from the doc's list ``- `key` …``.
    pub fn options(&self) -> Vec<(&str, String)> {
        let mut options: Vec<(&str, String)> = Vec::new();
        let mut open = false;
        for line in self.doc.lines() {
            let item = line.strip_prefix("- `").and_then(|rest| rest.split_once('`'));
            open = item.is_some() || open && line.starts_with("  ");
            match item {
                Some((key, about)) => options.push((key, about.trim().to_string())),
                None if open => {
                    if let Some((_, about)) = options.last_mut() {
                        *about += &format!(" {}", line.trim());
                    }
                }
                None => {}
            }
        }
        options
    }
}

impl Registry {
    /// Asks the engine for everything that is registered.
    pub fn new(engine: &Engine) -> Self {
        let ours: BTreeSet<String> = engine
            .collect_fn_metadata(None, |info| Some(identity(&info)), false)
            .into_iter()
            .collect();
        let all = engine.collect_fn_metadata(
            None,
            |info| Some((identity(&info), Entry::new(&info, true), Entry::new(&info, false))),
            true,
        );
        let entries = all
            .into_iter()
            .filter_map(|(id, theirs, own)| if ours.contains(&id) { own } else { theirs });
        let mut entries: Vec<Entry> = entries.collect();
        // The engine's own order differs from build to build; of one name the short form is first.
        entries.sort_by(|a, b| a.order().cmp(&b.order()));
        Self { entries }
    }

    /// Methods and properties of a type; of all types if it is `None`.
    pub fn members<'a>(&'a self, of: Option<&'a str>) -> impl Iterator<Item = &'a Entry> {
        let named = |entry: &&Entry| entry.kind != Kind::Operator && entry.receiver.is_some();
        self.entries.iter().filter(named).filter(move |entry| {
            of.is_none_or(|of| fits(entry.receiver.as_deref().unwrap_or_default(), of))
        })
    }

    /// Functions that belong to no type and no module.
    pub fn functions(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.kind == Kind::Function && entry.module.is_empty())
    }

    /// Functions of a module.
    pub fn of_module<'a>(&'a self, module: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| !module.is_empty() && entry.module == module)
    }

    /// Names of the modules.
    pub fn modules(&self) -> BTreeSet<&str> {
        self.entries
            .iter()
            .map(|entry| entry.module.as_str())
            .filter(|name| !name.is_empty())
            .collect()
    }

    /// Everything called `name`, with or without its module or type.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.name == name || entry.title() == name)
    }

    /// Name and first sentence of everything of ours, each name once.
    pub fn topics(&self) -> Vec<(String, String)> {
        let ours =
            self.entries.iter().filter(|entry| !entry.standard && entry.kind != Kind::Operator);
        let mut topics = BTreeMap::new();
        for entry in ours {
            let sentence: &mut String = topics.entry(entry.title()).or_default();
            if sentence.is_empty() {
                *sentence = entry.sentence();
            }
        }
        topics.into_iter().collect()
    }
}

/// What tells two functions of the engine apart.
fn identity(info: &FuncInfo) -> String {
    format!("{}::{}", info.namespace, info.metadata.hash)
}

/// Whether a method of `receiver` can be called on a value of type `of`.
fn fits(receiver: &str, of: &str) -> bool {
    receiver == of
        || receiver == "Number" && matches!(of, "Integer" | "Float")
        || receiver == "Value"
}

/// Name and type of a parameter as the engine writes it.
fn argument(text: &str) -> (String, String) {
    let (name, of) = text.split_once(':').unwrap_or((text, "Value"));
    (name.trim().trim_start_matches("mut ").to_string(), readable(of))
}

/// A Rust type in the words of scripts.
pub fn readable(of: &str) -> String {
    let of = of.trim().trim_start_matches('&').trim_start_matches("mut ").trim();
    for wrapper in ["Fallible<", "RhaiResultOf<", "Result<"] {
        if let Some(inner) = of.strip_prefix(wrapper) {
            let inner = inner.strip_suffix('>').unwrap_or(inner);
            return readable(inner.split(", Box").next().unwrap_or(inner));
        }
    }
    match of.rsplit("::").next().unwrap_or(of).trim() {
        "()" | "" => "",
        "INT" | "i64" => "Integer",
        "FLOAT" | "f64" => "Float",
        "str" | "ImmutableString" | "String" | "string" => "String",
        "bool" => "Bool",
        "char" => "Char",
        "FnPtr" | "Fn" => "Function",
        "Dynamic" | "?" | "_" | "RhaiResult" => "Value",
        "array" => "Array",
        "map" => "Map",
        "ExclusiveRange"
        | "InclusiveRange"
        | "Range<INT>"
        | "RangeInclusive<INT>"
        | "range"
        | "range=" => "Range",
        other => other,
    }
    .to_string()
}

/// A doc comment without its slashes.
fn uncomment(text: &str) -> String {
    let strip = |line: &str| {
        let line = line.trim_start().trim_start_matches("///");
        line.strip_prefix(' ').unwrap_or(line).trim_end().to_string()
    };
    text.lines().map(strip).collect::<Vec<_>>().join("\n")
}
