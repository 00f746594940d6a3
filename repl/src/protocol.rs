//! How a terminal is shown pictures: which way it understands, and the bytes of each.
//!
//! Detection is our own: an option, then the environment, then one question with a time limit.
//! Crates that ask the terminal themselves wait for an answer that never comes from some.

use clap::ValueEnum;
use icy_sixel::{
    DiffusionMethod, MethodForLargest, MethodForRep, PixelFormat, Quality, sixel_string,
};
use rwkv_scripting::{Picture, base64};

/// A way to show pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// What the environment and the terminal say.
    Auto,
    /// kitty, Ghostty, Konsole.
    Kitty,
    /// iTerm2, WezTerm, the terminal of VS Code.
    Iterm,
    /// xterm, foot, mlterm and others.
    Sixel,
    /// Half blocks in colour; every terminal.
    Blocks,
}

impl Protocol {
    /// What the option says, else the variable, else `auto`.
    ///
    /// # Errors
    /// In a sentence, when the variable says something that is not known.
    pub fn told(option: Option<Self>, variable: Option<String>) -> Result<Self, String> {
        match (option, variable) {
            (Some(protocol), _) => Ok(protocol),
            (None, None) => Ok(Self::Auto),
            (None, Some(name)) => Self::from_str(&name, true).map_err(|_| {
                let known = "auto, kitty, iterm, sixel or blocks";
                format!("RWKV_IMAGE is `{name}`, which is not one of {known}")
            }),
        }
    }
}

/// What decides besides the options: the value of an environment variable.
type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Bytes of base64 in one sequence of kitty's protocol.
const CHUNK: usize = 4096;

/// What is asked: a picture of one pixel in kitty's way, then what the terminal is. Terminals answer
/// in this order, and nearly all answer the second.
pub const QUESTION: &[u8] = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c";

/// The way that the environment names; nothing where the terminal has to be asked.
pub fn of_environment(variable: Variable) -> Option<Protocol> {
    let is = |name: &str, values: &[&str]| {
        variable(name).is_some_and(|value| values.iter().any(|known| value == *known))
    };
    let term = variable("TERM").unwrap_or_default();
    // Inside of tmux and screen the variables are those of a terminal that cannot be reached.
    if variable("TMUX").is_some() || term.starts_with("tmux") || term.starts_with("screen") {
        return Some(Protocol::Blocks);
    }
    if term == "dumb" || term.is_empty() || term == "linux" {
        return Some(Protocol::Blocks);
    }
    if is("TERM_PROGRAM", &["WezTerm", "iTerm.app", "vscode"]) {
        return Some(Protocol::Iterm);
    }
    let kitty = term == "xterm-kitty" || term == "xterm-ghostty";
    let named = variable("KITTY_WINDOW_ID").or(variable("KONSOLE_VERSION")).is_some();
    (kitty || named || is("TERM_PROGRAM", &["ghostty"])).then_some(Protocol::Kitty)
}

/// The way that a terminal's answer to [`QUESTION`] means, and what in it was typed by somebody;
/// no way while the answer is not complete.
pub fn of_answer(bytes: &[u8]) -> (Option<Protocol>, Vec<u8>) {
    let (mut kitty, mut found, mut typed, mut rest) = (false, None, Vec::new(), bytes);
    while let Some(&first) = rest.first() {
        if let Some((reply, after)) = enclosed(rest, b"\x1b_G", b"\x1b\\") {
            kitty |= reply.windows(3).any(|part| part == b";OK");
            rest = after;
        } else if let Some((reply, after)) = enclosed(rest, b"\x1b[?", b"c") {
            let sixel = reply.split(|&b| b == b';').any(|number| number == b"4");
            found = Some(match (kitty, sixel) {
                (true, _) => Protocol::Kitty,
                (false, true) => Protocol::Sixel,
                (false, false) => Protocol::Blocks,
            });
            rest = after;
        } else {
            typed.push(first);
            rest = &rest[1..];
        }
    }
    (found, typed)
}

/// What stands between two marks at the beginning of the bytes, and what follows.
fn enclosed<'a>(bytes: &'a [u8], open: &[u8], close: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let inner = bytes.strip_prefix(open)?;
    let end = inner.windows(close.len()).position(|part| part == close)?;
    Some((&inner[..end], &inner[end + close.len()..]))
}

/// The bytes that show a picture over so many columns and rows of characters; nothing for half
/// blocks, which are text.
///
/// # Errors
/// In words, when it cannot be encoded.
pub fn bytes(
    protocol: Protocol,
    picture: &Picture,
    (columns, rows): (usize, usize),
) -> Result<Vec<u8>, String> {
    let png = || picture.png().map_err(|error| format!("{error:#}"));
    match protocol {
        Protocol::Kitty => Ok(kitty(&png()?, columns, rows)),
        Protocol::Iterm => Ok(iterm(&png()?, columns, rows)),
        Protocol::Sixel => sixel(picture),
        Protocol::Auto | Protocol::Blocks => Ok(Vec::new()),
    }
}

/// In pieces, as the protocol asks; the terminal stays silent (`q=2`).
fn kitty(png: &[u8], columns: usize, rows: usize) -> Vec<u8> {
    let data = base64(png);
    let count = data.len().div_ceil(CHUNK);
    let mut bytes = Vec::with_capacity(data.len() + 64 * count);
    for (index, chunk) in data.as_bytes().chunks(CHUNK).enumerate() {
        let more = u8::from(index + 1 < count);
        let head = match index {
            0 => format!("\x1b_Ga=T,f=100,q=2,c={columns},r={rows},m={more};"),
            _ => format!("\x1b_Gm={more};"),
        };
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\x1b\\");
    }
    bytes.push(b'\n');
    bytes
}

fn iterm(png: &[u8], columns: usize, rows: usize) -> Vec<u8> {
    let (size, data) = (png.len(), base64(png));
    let place = format!("size={size};width={columns};height={rows};preserveAspectRatio=1");
    format!("\x1b]1337;File=inline=1;{place}:{data}\x07\n").into_bytes()
}

fn sixel(picture: &Picture) -> Result<Vec<u8>, String> {
    let text = sixel_string(
        &picture.pixels,
        picture.width as i32,
        picture.height as i32,
        PixelFormat::RGB888,
        DiffusionMethod::None,
        MethodForLargest::Auto,
        MethodForRep::Auto,
        Quality::HIGH,
    );
    Ok((text.map_err(|error| format!("no sixels: {error}"))? + "\n").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rwkv_scripting::{Heatmap, View};

    fn environment(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        move |name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned())
    }

    #[test]
    fn the_environment_names_the_way() {
        use Protocol::{Blocks, Iterm, Kitty};
        for (pairs, expected) in [
            (&[("TERM", "xterm-kitty")][..], Some(Kitty)),
            (&[("TERM", "xterm-256color"), ("KITTY_WINDOW_ID", "1")], Some(Kitty)),
            (&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "ghostty")], Some(Kitty)),
            (&[("TERM", "xterm-256color"), ("KONSOLE_VERSION", "250401")], Some(Kitty)),
            (&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "iTerm.app")], Some(Iterm)),
            (&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "WezTerm")], Some(Iterm)),
            (&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "vscode")], Some(Iterm)),
            (&[("TERM", "tmux-256color"), ("KITTY_WINDOW_ID", "1")], Some(Blocks)),
            (&[("TERM", "xterm-kitty"), ("TMUX", "/tmp/tmux")], Some(Blocks)),
            (&[("TERM", "dumb")], Some(Blocks)),
            (&[], Some(Blocks)),
            (&[("TERM", "xterm-256color")], None),
        ] {
            assert_eq!(of_environment(&environment(pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn the_option_wins_over_the_variable() {
        use Protocol::{Auto, Kitty, Sixel};
        let told = |option, variable: &str| {
            Protocol::told(option, Some(variable.to_owned()).filter(|text| !text.is_empty()))
        };
        assert_eq!(told(Some(Kitty), "sixel"), Ok(Kitty));
        assert_eq!((told(None, "SIXEL"), told(None, "")), (Ok(Sixel), Ok(Auto)));
        assert!(told(None, "braille").unwrap_err().contains("`braille`"));
    }

    #[test]
    fn answers_are_told_from_what_is_typed() {
        use Protocol::{Blocks, Kitty, Sixel};
        for (bytes, expected, typed) in [
            (&b"\x1b_Gi=31;OK\x1b\\\x1b[?62;c"[..], Some(Kitty), &b""[..]),
            (b"\x1b[?62;4;22c", Some(Sixel), b""),
            (b"\x1b[?62;14;22c", Some(Blocks), b""),
            (b"let \x1b[?1;2cx = 1\n", Some(Blocks), b"let x = 1\n"),
            (b"a\x1b_Gi=31;OK\x1b\\b", None, b"ab"),
            (b"\x1b[?62;", None, b"\x1b[?62;"),
            (b"", None, b""),
        ] {
            assert_eq!(of_answer(bytes), (expected, typed.to_vec()), "{bytes:?}");
        }
    }

    fn picture() -> Picture {
        let rows = (0..40).map(|row| (0..60).map(|x| f64::from(row * x % 17)).collect()).collect();
        let map = Heatmap { rows, ..Heatmap::default() };
        Picture::new(&View::Heatmap(map), 500, 300).unwrap()
    }

    #[test]
    fn kitty_bytes_decode_back_to_the_picture() {
        let shown = bytes(Protocol::Kitty, &picture(), (50, 15)).unwrap();
        let text = String::from_utf8(shown).unwrap();
        let parts: Vec<&str> =
            text.trim_end().split_terminator("\x1b\\").map(|p| &p["\x1b_G".len()..]).collect();
        assert!(parts.len() > 1 && parts[0].starts_with("a=T,f=100,q=2,c=50,r=15,m=1;"));
        assert!(parts.last().unwrap().starts_with("m=0;"));
        let data: String = parts.iter().map(|part| part.split_once(';').unwrap().1).collect();
        assert!(parts.iter().all(|part| part.len() <= CHUNK + 40));
        assert_eq!(data, base64(&picture().png().unwrap()));
    }

    #[test]
    fn iterm_and_sixel_carry_the_picture() {
        let shown = bytes(Protocol::Iterm, &picture(), (50, 15)).unwrap();
        let text = String::from_utf8(shown).unwrap();
        let data = text.split_once(':').unwrap().1.trim_end_matches("\x07\n");
        assert_eq!(data, base64(&picture().png().unwrap()));
        let shown = bytes(Protocol::Sixel, &picture(), (50, 15)).unwrap();
        let text = String::from_utf8(shown).unwrap();
        assert!(text.starts_with("\x1bP") && text.trim_end().ends_with("\x1b\\"), "{text:.40}");
        // 300 rows are 50 bands of six, each ended by `-`.
        assert!((49..=50).contains(&text.matches('-').count()), "{}", text.matches('-').count());
    }
}
