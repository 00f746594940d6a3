//! What stdout and stderr can show.

use crate::arguments::Settings;
use clap::ColorChoice;
use rwkv_scripting::{Canvas, Depth};

/// One output stream: a terminal or not, and what it may receive.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Whether a person is looking at it.
    pub terminal: bool,
    /// Whether escape codes for colour are welcome.
    pub colour: bool,
    /// Whether they would be, were it not for the plain style.
    colourful: bool,
    depth: Depth,
    unicode: bool,
    plain: bool,
    /// Columns, where no terminal is asked.
    width: Option<usize>,
}

impl Screen {
    /// The screen behind a stream, from the settings and the environment.
    pub fn new(settings: &Settings, terminal: bool) -> Self {
        let plain = settings.plain || variable("RWKV_PLAIN").is_some_and(|value| value != "0");
        let colourful = colour(settings.color, terminal, &variable);
        let screen = Self {
            terminal,
            colour: colourful,
            colourful,
            depth: depth(&variable),
            unicode: unicode(&variable),
            plain,
            width: None,
        };
        screen.in_style(plain)
    }

    /// The same screen with or without the plain style.
    pub fn in_style(self, plain: bool) -> Self {
        Self { plain, colour: self.colourful && !plain, ..self }
    }

    /// Whether the plain style of screen readers is on.
    pub fn is_plain_style(&self) -> bool {
        self.plain
    }

    /// A screen that shows what a canvas says, for tests.
    #[cfg(test)]
    pub fn of(canvas: Canvas, terminal: bool) -> Self {
        let Canvas { width, colour, depth, unicode, plain, .. } = canvas;
        Self { terminal, colour, colourful: colour, depth, unicode, plain, width: Some(width) }
    }

    /// Whether lines stay as they were written: for screen readers and for pipes.
    pub fn plain(&self) -> bool {
        self.plain || !self.terminal
    }

    /// What a view may use right now; the width is asked each time, so a resize counts.
    pub fn canvas(&self) -> Canvas {
        Canvas {
            width: self.width(),
            colour: self.colour,
            depth: self.depth,
            unicode: self.unicode,
            plain: self.plain(),
            spoken: self.plain && self.terminal,
        }
    }

    fn width(&self) -> usize {
        let asked = self.terminal.then(crossterm::terminal::size).and_then(Result::ok);
        let columns = asked.map(|(columns, _)| usize::from(columns));
        let told = || variable("COLUMNS").and_then(|text| text.parse().ok());
        self.width.or(columns).or_else(told).filter(|&columns| columns > 0).unwrap_or(80)
    }
}

/// The value of an environment variable; an empty one counts as absent.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Who decides about colour under `--color auto`: the first rule that holds.
type Rule = (&'static str, fn(&str) -> bool, bool);
const RULES: &[Rule] = &[
    ("NO_COLOR", |_| true, false),
    ("CLICOLOR_FORCE", |value| value != "0", true),
    ("FORCE_COLOR", |value| value != "0", true),
    ("CLICOLOR", |value| value == "0", false),
    ("TERM", |value| value == "dumb", false),
];

fn colour(choice: ColorChoice, terminal: bool, variable: &dyn Fn(&str) -> Option<String>) -> bool {
    let holds = |rule: &&Rule| variable(rule.0).is_some_and(|value| rule.1(&value));
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => RULES.iter().find(holds).map_or(terminal, |rule| rule.2),
    }
}

/// 24 bits where the terminal says so, sixteen where its name is old, else 256.
fn depth(variable: &dyn Fn(&str) -> Option<String>) -> Depth {
    let term = variable("TERM").unwrap_or_default();
    match variable("COLORTERM").as_deref() {
        Some("truecolor" | "24bit") => Depth::Full,
        _ if term.contains("256color") || term.contains("kitty") => Depth::Indexed,
        _ if ["direct", "ghostty", "alacritty"].iter().any(|name| term.contains(name)) => {
            Depth::Full
        }
        _ => Depth::Sixteen,
    }
}

fn unicode(variable: &dyn Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable);
    let name = locale.unwrap_or_default().to_lowercase();
    name.contains("utf-8") || name.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        move |name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned())
    }

    #[test]
    fn colour_follows_the_table() {
        use ColorChoice::{Always, Auto, Never};
        for (choice, terminal, variables, expected) in [
            (Auto, true, &[][..], true),
            (Auto, false, &[], false),
            (Auto, true, &[("NO_COLOR", "1")], false),
            (Auto, true, &[("NO_COLOR", "1"), ("FORCE_COLOR", "1")], false),
            (Auto, true, &[("CLICOLOR", "0")], false),
            (Auto, true, &[("CLICOLOR", "1")], true),
            (Auto, false, &[("CLICOLOR_FORCE", "1")], true),
            (Auto, false, &[("CLICOLOR_FORCE", "0")], false),
            (Auto, false, &[("FORCE_COLOR", "3"), ("CLICOLOR", "0")], true),
            (Auto, true, &[("TERM", "dumb")], false),
            (Auto, true, &[("TERM", "xterm")], true),
            (Always, false, &[("NO_COLOR", "1")], true),
            (Never, true, &[("FORCE_COLOR", "1")], false),
        ] {
            let found = colour(choice, terminal, &environment(variables));
            assert_eq!(found, expected, "{choice} {terminal} {variables:?}");
        }
    }

    #[test]
    fn terminals_say_how_many_colours_they_have() {
        for (variables, expected) in [
            (&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")][..], Depth::Full),
            (&[("TERM", "xterm-256color")], Depth::Indexed),
            (&[("TERM", "xterm-direct")], Depth::Full),
            (&[("TERM", "linux")], Depth::Sixteen),
            (&[], Depth::Sixteen),
        ] {
            assert_eq!(depth(&environment(variables)), expected, "{variables:?}");
        }
    }

    #[test]
    fn the_first_locale_variable_counts() {
        assert!(unicode(&environment(&[("LANG", "de_DE.UTF-8")])));
        assert!(unicode(&environment(&[("LC_ALL", "C.utf8"), ("LANG", "C")])));
        assert!(!unicode(&environment(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")])));
        assert!(!unicode(&environment(&[])));
    }
}
