//! Talking at the prompt: what a line of the talk means, and the commands of the chat.
//!
//! All of it becomes Rhai on the variable `chat`, or on `free` for texts beside the talk, and is
//! remembered as that. The short forms with `+` are those of ChatRWKV.

use crate::input::{Mode, quoted};
use crate::session::{After, Prompt};
use rwkv_scripting::{FailureKind, Standing};

/// A text beside the talk: what it is called, and the options of the chat that makes it.
struct Free {
    name: &'static str,
    options: &'static str,
}

const FREE: &[Free] = &[
    Free { name: "+gen", options: "format: \"plain\"" },
    Free { name: "+i", options: "format: \"instruct\"" },
    Free { name: "+qa", options: "format: \"qa\"" },
    Free { name: "+qq", options: "format: \"qa\", user: \"Q\", assistant: \"A\"" },
];

/// Settings that may stand at the end of a line, and what options call them.
const INLINE: [(&str, &str); 2] = [("-temp=", "temperature"), ("-top_p=", "top_p")];

/// What `/set` changes on the chat itself; everything else belongs to its sampler.
const OWN: [&str; 3] = ["max_tokens", "seed", "budget"];

/// What a line of the talk asks for.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Say(&'a str),
    /// `+`
    Another,
    /// `++`
    Retry,
    /// `+++`
    More,
    Reset,
    /// The options of the chat, and what it is told.
    Free(&'static str, &'a str),
}

/// A line and the settings at its end, as options.
fn read(text: &str) -> (Line<'_>, Vec<String>) {
    let (mut words, mut options) = (text.trim(), vec![]);
    while let Some((before, last)) = words.rsplit_once(char::is_whitespace)
        && let Some(option) = setting(last)
    {
        options.insert(0, option);
        words = before.trim_end();
    }
    let line = match words {
        "+" => Line::Another,
        "++" => Line::Retry,
        "+++" => Line::More,
        "+reset" => Line::Reset,
        _ => {
            let (name, rest) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
            let free = FREE.iter().find(|free| free.name == name);
            free.map_or(Line::Say(words), |free| Line::Free(free.options, rest.trim_start()))
        }
    };
    (line, options)
}

/// `-temp=0.5` as `temperature: 0.5`.
fn setting(word: &str) -> Option<String> {
    INLINE.iter().find_map(|(sign, name)| {
        let value = word.strip_prefix(sign)?.parse::<f64>().ok()?;
        value.is_finite().then(|| format!("{name}: {value}"))
    })
}

/// A call that makes an answer.
struct Call {
    /// The variable of the chat.
    chat: &'static str,
    method: &'static str,
    arguments: Vec<String>,
    options: Vec<String>,
}

impl Call {
    fn new(chat: &'static str, method: &'static str, options: Vec<String>) -> Self {
        Self { chat, method, arguments: vec![], options }
    }

    fn say(chat: &'static str, text: &str, options: Vec<String>) -> Self {
        Self { arguments: vec![quoted(text)], ..Self::new(chat, "say", options) }
    }

    fn code(&self) -> String {
        let Self { chat, method, arguments, options } = self;
        let map = format!("#{{ {} }}", options.join(", "));
        let map = (!options.is_empty()).then_some(map);
        let all: Vec<String> = arguments.iter().cloned().chain(map).collect();
        format!("{chat}.{method}({})", all.join(", "))
    }

    /// The code for a script, where the text has to be asked to stream as it does here.
    fn kept(&self) -> String {
        let options = [&self.options[..], &["stream: true".to_string()]].concat();
        let arguments = self.arguments.clone();
        format!("{};", Self { arguments, options, ..*self }.code())
    }

    /// How many of the tokens of the last answer came from this call.
    fn added(&self, before: usize, after: usize) -> usize {
        if self.method == "continue_reply" { after.saturating_sub(before) } else { after }
    }
}

impl Prompt {
    /// What stands before the cursor: in a talk the model and the number of the turn.
    pub fn sign(&self) -> String {
        let standing = || self.session.borrow().standing("chat");
        match self.mode.get() {
            Mode::Code => "rwkv> ".to_string(),
            Mode::Chat => standing()
                .map_or("chat> ".to_string(), |chat| format!("{} {}> ", chat.model, chat.turn)),
        }
    }

    /// Takes a line of the talk.
    pub fn talk(&mut self, text: &str) -> After {
        let (line, options) = read(text);
        let last = if self.free { "free" } else { "chat" };
        let call = match line {
            Line::Say(words) => Call::say("chat", words, options),
            Line::Another => Call::new("chat", "regenerate", options),
            Line::Retry => Call::new(last, "regenerate", options),
            Line::More => Call::new(last, "continue_reply", options),
            Line::Reset => return self.evaluate("chat.reset(); chat"),
            Line::Free(format, words) => {
                let usual = "sampler: chat.sampler, max_tokens: chat.max_tokens";
                let begun = format!("let free = model.new_chat(#{{ {format}, {usual} }});");
                if let Err(failure) = self.compute(&begun) {
                    return self.failed(&failure);
                }
                self.keep(&begun, false);
                // Typed on one line, as ChatRWKV has it.
                Call::say("free", &words.replace("\\n", "\n"), options)
            }
        };
        self.answer(call)
    }

    /// Runs a call that makes an answer: its text streams, and what it took is a grey note.
    fn answer(&mut self, mut call: Call) -> After {
        if self.mode.get() == Mode::Code {
            return self.evaluate(&call.code());
        }
        self.free = call.chat == "free";
        let before = self.session.borrow().standing(call.chat);
        let made = self.compute(&call.code());
        let after = self.session.borrow().standing(call.chat);
        let failure = match made {
            Ok(_) => {
                self.keep(&call.kept(), false);
                after.iter().for_each(|chat| self.writer.aside(&took(chat)));
                return After::Stay;
            }
            Err(failure) => failure,
        };
        if failure.kind != FailureKind::Interrupted || after == before {
            return self.failed(&failure);
        }
        // The answer stays as far as it has come, and so a script has to cut it there.
        let tokens = |standing: Option<Standing>| standing.map_or(0, |chat| chat.answer);
        let count = call.added(tokens(before), tokens(after));
        call.options.push(format!("max_tokens: {count}"));
        self.keep(&call.kept(), false);
        self.writer.aside(&format!("[{count} tokens, interrupted; /continue goes on]"));
        self.after(failure.kind)
    }
}

/// What the last answer took, and how long the talk is by now.
fn took(chat: &Standing) -> String {
    let Standing { answer, finish, speed, tokens, .. } = chat;
    format!("[{answer} tokens, {finish}, {speed:.0} tokens/s, {tokens} read so far]")
}

/// `/regen`
pub fn regenerate(prompt: &mut Prompt, _: &str) -> After {
    prompt.answer(Call::new("chat", "regenerate", vec![]))
}

/// `/continue`
pub fn more(prompt: &mut Prompt, _: &str) -> After {
    prompt.answer(Call::new("chat", "continue_reply", vec![]))
}

/// `/branch [NAME]`
pub fn branch(prompt: &mut Prompt, name: &str) -> After {
    let name = if name.is_empty() { "branch" } else { name };
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !name.chars().all(letter) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return prompt.refuse(&format!("{} cannot name a variable; use letters.", quoted(name)));
    }
    prompt.evaluate(&format!("let {name} = chat.branch(); {name}"))
}

/// `/jump N`
pub fn jump(prompt: &mut Prompt, number: &str) -> After {
    match number.parse::<usize>() {
        Ok(number) => prompt.evaluate(&format!("chat.jump({number}); chat")),
        Err(_) => prompt.refuse(&format!("{number} is no turn; /tree shows their numbers.")),
    }
}

/// `/edit N TEXT`
pub fn edit(prompt: &mut Prompt, argument: &str) -> After {
    let (number, text) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    match number.parse::<usize>() {
        Ok(number) if !text.trim().is_empty() => {
            let arguments = vec![number.to_string(), quoted(text.trim())];
            prompt.answer(Call { arguments, ..Call::new("chat", "edit", vec![]) })
        }
        _ => prompt.refuse("/edit needs a turn and what to ask there; type /edit N TEXT."),
    }
}

/// `/system [TEXT]`
pub fn system(prompt: &mut Prompt, text: &str) -> After {
    match text {
        "" => prompt.evaluate("chat.system"),
        text => prompt.evaluate(&format!("chat.system = {}; chat", quoted(text))),
    }
}

/// `/set KEY VALUE`
pub fn set(prompt: &mut Prompt, argument: &str) -> After {
    let Some((key, value)) = argument.split_once(char::is_whitespace) else {
        return prompt.refuse("/set needs a setting and its value; type /set KEY VALUE.");
    };
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return prompt.refuse(&format!("{} is no setting; /sampler shows some.", quoted(key)));
    }
    let value = value.trim();
    let bare =
        value.parse::<f64>().is_ok_and(f64::is_finite) || value == "true" || value == "false";
    let value = if bare { value.to_string() } else { quoted(value) };
    prompt.evaluate(&match OWN.contains(&key) {
        true => format!("chat.{key} = {value}; chat.{key}"),
        false => format!("chat.sampler = #{{ {key}: {value} }}; chat.sampler"),
    })
}

/// `/save-chat FILE`
pub fn save(prompt: &mut Prompt, file: &str) -> After {
    let code = format!("chat.save({})", quoted(file));
    match prompt.compute(&code) {
        Ok(_) => {
            prompt.keep(&code, false);
            prompt.writer.note(&format!("wrote the chat to {file}"));
            After::Stay
        }
        Err(failure) => prompt.failed(&failure),
    }
}

/// `/load-chat FILE`
pub fn load(prompt: &mut Prompt, file: &str) -> After {
    prompt.evaluate(&format!("let chat = load_chat({}, model); chat", quoted(file)))
}

/// Whether a command's argument is talk, which no history file shall hold.
pub fn is_talk(command: &str, mode: Mode) -> bool {
    command == "system" || command == "edit" && mode == Mode::Chat
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_forms_of_chat_rwkv_are_known() {
        for (text, line) in [
            ("+", Line::Another),
            (" ++ ", Line::Retry),
            ("+++", Line::More),
            ("+reset", Line::Reset),
            ("+gen Once upon", Line::Free(FREE[0].options, "Once upon")),
            ("+i  Sing.", Line::Free(FREE[1].options, "Sing.")),
            ("+qa Why?", Line::Free(FREE[2].options, "Why?")),
            ("+qq Why?", Line::Free(FREE[3].options, "Why?")),
            ("+1 to that", Line::Say("+1 to that")),
            ("1 + 1", Line::Say("1 + 1")),
            ("+general", Line::Say("+general")),
        ] {
            assert_eq!(read(text), (line, vec![]), "{text}");
        }
    }

    #[test]
    fn settings_stand_at_the_end() {
        for (text, words, options) in [
            ("hi -temp=0.5", "hi", &["temperature: 0.5"][..]),
            ("hi there -temp=1 -top_p=0.25", "hi there", &["temperature: 1", "top_p: 0.25"]),
            ("-temp=0.5 hi", "-temp=0.5 hi", &[]),
            ("is it -temp=warm", "is it -temp=warm", &[]),
            ("-temp=0.5", "-temp=0.5", &[]),
            ("hi -temp=inf", "hi -temp=inf", &[]),
        ] {
            let options = options.iter().map(ToString::to_string).collect();
            assert_eq!(read(text), (Line::Say(words), options), "{text}");
        }
        assert_eq!(read("+ -top_p=0.1"), (Line::Another, vec!["top_p: 0.1".to_string()]));
    }

    #[test]
    fn a_call_is_code() {
        let code = |call: Call| call.code();
        assert_eq!(code(Call::new("chat", "regenerate", vec![])), "chat.regenerate()");
        let options = vec!["temperature: 0.5".to_string(), "max_tokens: 3".to_string()];
        assert_eq!(
            code(Call::say("free", "a \"b\"", options)),
            "free.say(\"a \\\"b\\\"\", #{ temperature: 0.5, max_tokens: 3 })"
        );
    }
}
