//! What a typed text is: a command, a question for the manual, a line for the model, or code.

use rwkv_scripting::Session;

/// Where plain lines go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Plain lines are Rhai.
    #[default]
    Code,
    /// Plain lines are said to the model.
    Chat,
}

/// A typed text, sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// Nothing.
    Blank,
    /// `/name argument`.
    Command(&'a str, &'a str),
    /// `?topic`.
    Question(&'a str),
    /// `??topic`.
    Source(&'a str),
    /// Text for the model.
    Say(&'a str),
    /// Rhai.
    Code(&'a str),
}

/// Sorts a text by its first character; a comment such as `// note` is code.
pub fn sort(text: &str, mode: Mode) -> Input<'_> {
    let text = text.trim();
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (None, _) | (Some('>'), None) => Input::Blank,
        (Some('/'), second) if second.is_none_or(char::is_alphanumeric) => command(text),
        (Some('!'), Some('!')) if text == "!!" => Input::Command("again", ""),
        (Some('?'), Some('?')) => Input::Source(text.trim_start_matches('?').trim()),
        (Some('?'), _) => Input::Question(text.trim_start_matches('?').trim()),
        (Some('>'), _) => Input::Say(text[1..].trim_start()),
        _ if mode == Mode::Chat => Input::Say(unblocked(text)),
        _ => Input::Code(text),
    }
}

fn command(text: &str) -> Input<'_> {
    let (name, argument) = text[1..].split_once(char::is_whitespace).unwrap_or((&text[1..], ""));
    Input::Command(name, argument.trim())
}

const BLOCK: &str = "\"\"\"";

/// The inside of a `"""` block.
fn unblocked(text: &str) -> &str {
    let inside = text.strip_prefix(BLOCK).and_then(|rest| rest.strip_suffix(BLOCK));
    inside.map_or(text, str::trim)
}

/// A text cut into inputs: pasted lines may mix commands and code.
pub fn pieces<'a>(session: &Session, text: &'a str, mode: Mode) -> Vec<&'a str> {
    if mode == Mode::Chat {
        return vec![text];
    }
    let (mut pieces, mut start, mut end) = (Vec::new(), 0, 0);
    for line in text.split_inclusive('\n') {
        let open = &text[start..end];
        let special = !matches!(sort(line, mode), Input::Code(_) | Input::Blank);
        if special && (open.trim().is_empty() || session.is_complete(open)) {
            pieces.extend([open, line]);
            start = end + line.len();
        }
        end += line.len();
    }
    pieces.push(&text[start..]);
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces
}

/// The prompts that a transcript begins with.
const FIRST: [&str; 3] = ["rwkv> ", "chat> ", "$ rwkv"];

/// Whether a text is a pasted session: prompts, inputs and what was printed.
pub fn is_transcript(text: &str) -> bool {
    FIRST.iter().any(|sign| text.trim_start().starts_with(sign))
}

/// The inputs of a pasted session, without prompts and without what was printed.
pub fn transcribed(session: &Session, text: &str) -> Option<Vec<String>> {
    if !is_transcript(text) {
        return None;
    }
    let mut inputs = Vec::<String>::new();
    for line in text.lines() {
        match (signed(line), inputs.last_mut()) {
            (Some(input), _) => inputs.push(input.to_owned()),
            // Below an input that is not whole stands the rest of it, below others what it printed.
            (None, Some(open)) if !is_complete(session, open, Mode::Code) => {
                *open += &format!("\n{line}");
            }
            _ => {}
        }
    }
    Some(inputs)
}

/// What stands behind the prompt of a line: `rwkv> `, or a name with a number as in a talk.
fn signed(line: &str) -> Option<&str> {
    let (sign, input) = line.split_once("> ").or_else(|| Some((line.strip_suffix('>')?, "")))?;
    let (name, number) = sign.split_once(' ').unwrap_or((sign, "0"));
    let word = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    let named = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(word);
    (named && number.chars().all(|c| c.is_ascii_digit())).then_some(input)
}

/// Whether Enter should take the text or open another line.
pub fn is_complete(session: &Session, text: &str, mode: Mode) -> bool {
    if let Some(inputs) = transcribed(session, text) {
        return inputs.last().is_none_or(|input| is_complete(session, input, Mode::Code));
    }
    if mode == Mode::Chat {
        let text = text.trim();
        return !text.starts_with(BLOCK) || text.len() >= 6 && text.ends_with(BLOCK);
    }
    let pieces = pieces(session, text, mode);
    pieces.last().is_none_or(|piece| match sort(piece, mode) {
        Input::Code(code) => session.is_complete(code),
        _ => true,
    })
}

/// A text as a Rhai string.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_character_decides() {
        for (text, in_code, in_chat) in [
            ("  ", Input::Blank, Input::Blank),
            ("/help state", Input::Command("help", "state"), Input::Command("help", "state")),
            ("/save!  a b ", Input::Command("save!", "a b"), Input::Command("save!", "a b")),
            ("/", Input::Command("", ""), Input::Command("", "")),
            ("// note", Input::Code("// note"), Input::Say("// note")),
            ("/* note */ 1", Input::Code("/* note */ 1"), Input::Say("/* note */ 1")),
            ("??state", Input::Source("state"), Input::Source("state")),
            ("?state", Input::Question("state"), Input::Question("state")),
            ("!!", Input::Command("again", ""), Input::Command("again", "")),
            ("!!flag", Input::Code("!!flag"), Input::Say("!!flag")),
            (">", Input::Blank, Input::Blank),
            ("?", Input::Question(""), Input::Question("")),
            ("> hello", Input::Say("hello"), Input::Say("hello")),
            ("1 + 2", Input::Code("1 + 2"), Input::Say("1 + 2")),
            ("\"\"\"\na\nb\n\"\"\"", Input::Code("\"\"\"\na\nb\n\"\"\""), Input::Say("a\nb")),
        ] {
            assert_eq!(sort(text, Mode::Code), in_code, "{text}");
            assert_eq!(sort(text, Mode::Chat), in_chat, "{text}");
        }
    }

    #[test]
    fn only_prompts_are_signs() {
        for (line, input) in [
            ("rwkv> 1 + 2", Some("1 + 2")),
            ("rwkv> > hello", Some("> hello")),
            ("rwkv>", Some("")),
            ("tales 3> hello", Some("hello")),
            ("The ball is > here", None),
            ("3 > 2", None),
            ("User> hello", None),
        ] {
            assert_eq!(signed(line), input, "{line}");
        }
    }

    #[test]
    fn a_quoted_text_is_one_string() {
        for (text, code) in [
            ("hello", r#""hello""#),
            (r#"say "hi" \o/"#, r#""say \"hi\" \\o/""#),
            ("two\nlines\tand\r", r#""two\nlines\tand\r""#),
            ("${x} `y` ü", r#""${x} `y` ü""#),
            ("\x1b[0m", r#""\u001b[0m""#),
        ] {
            assert_eq!(quoted(text), code);
        }
    }
}
