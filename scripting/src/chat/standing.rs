//! What a prompt says of the conversation.

use super::Chat;
use crate::Session;
use crate::image::Image;

/// Where the conversation in the variable `chat` stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The name of the model without folders and endings: `tales`, `rwkv7-g1`.
    pub model: String,
    /// How many rows a picture becomes for it; 0 where it sees nothing.
    pub rows: usize,
    /// The number of the turn in the tree; 0 is the start.
    pub turn: usize,
    /// How many tokens have been read on the way there.
    pub tokens: usize,
    /// How many tokens the last answer has.
    pub answer: usize,
    /// Why it ended; empty where there is none.
    pub finish: &'static str,
    /// Its tokens per second.
    pub speed: f64,
}

/// Characters of a model's name that a prompt has place for.
const NAME: usize = 16;

impl Session {
    /// Where the conversation in a variable stands; none where there is no conversation.
    pub fn standing(&self, variable: &str) -> Option<Standing> {
        let chat = self.variable(variable)?.try_cast::<Chat>()?;
        let talk = chat.look().ok()?;
        let last = talk.turns().pop();
        Some(Standing {
            model: short(&chat.model.engine().name),
            rows: chat.model.engine().visual.as_ref().map_or(0, |visual| visual.rows()),
            turn: talk.number(),
            tokens: talk.tokens(),
            answer: last.map_or(0, |turn| turn.tokens().len()),
            finish: last.map_or("", |turn| turn.finish.name()),
            speed: last.map_or(0.0, |turn| turn.tokens_per_second()),
        })
    }
}

impl Session {
    /// Name, width and height of the picture in a variable; none where there is no picture.
    pub fn picture(&self, variable: &str) -> Option<(String, [usize; 2])> {
        let image = self.variable(variable)?.try_cast::<Image>()?.0;
        Some((image.name.clone(), [image.width, image.height]))
    }
}

/// The part of a model's name that tells it from others.
fn short(name: &str) -> String {
    let file = name.rsplit(['/', '\\', ':']).next().unwrap_or(name);
    let endings = [".pth", ".safetensors", ".gguf", ".bin", ".st"];
    let stem = endings.iter().find_map(|ending| file.strip_suffix(ending)).unwrap_or(file);
    let visible = stem.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c));
    let cut: String = visible.take(NAME).collect();
    // A date that is cut in the middle says nothing.
    match cut.rsplit_once('-') {
        Some((whole, _)) if stem.chars().count() > NAME => whole.to_string(),
        _ if cut.is_empty() => "chat".to_string(),
        _ => cut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_a_prompt() {
        for (name, expected) in [
            ("demo:tales", "tales"),
            ("/models/rwkv7-g1d-0.1b-20260129-ctx8192.pth", "rwkv7-g1d-0.1b"),
            ("C:\\models\\tiny.safetensors", "tiny"),
            ("rwkv7 (new)", "rwkv7new"),
            ("averyveryverylongname", "averyveryverylon"),
            ("\u{1b}[2J.pth", "2J"),
            ("模型.pth", "chat"),
        ] {
            assert_eq!(short(name), expected);
        }
    }
}
