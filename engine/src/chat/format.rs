//! How conversations are written for the families of models that learnt one.

use crate::model::Model;

/// A blank line: what parts the turns of every format with names.
pub(super) const GAP: &str = "\n\n";

/// One way to write a conversation down as text.
#[derive(Debug, PartialEq, Eq)]
pub struct Format {
    /// What options call it.
    pub name: &'static str,
    /// Which models learnt it.
    pub about: &'static str,
    /// Before everything else.
    pub(super) start: &'static str,
    /// Name before what is said once at the beginning; nothing for material that stands alone.
    pub(super) system: &'static str,
    /// Name before a question.
    pub(super) user: &'static str,
    /// Name before material that belongs to one question, where there is a place for it.
    pub(super) input: Option<&'static str>,
    /// Name before an answer.
    pub(super) assistant: &'static str,
    /// What parts questions and answers; nothing where a text is only continued.
    pub(super) gap: &'static str,
    /// Whether the models learnt to think before they answer, and to call tools.
    pub(super) thinks: bool,
}

/// All formats; the first is the usual one.
pub const FORMATS: &[Format] = &[
    Format {
        name: "world",
        about: "RWKV-4 World to RWKV-7 World, which answer at once",
        start: "",
        system: "System",
        user: "User",
        input: None,
        assistant: "Assistant",
        gap: GAP,
        thinks: false,
    },
    Format {
        name: "g1",
        about: "RWKV-7 G1: as world, and can think, call tools and fill gaps",
        start: "",
        system: "System",
        user: "User",
        input: None,
        assistant: "Assistant",
        gap: GAP,
        thinks: true,
    },
    Format {
        name: "raven",
        about: "RWKV-4 Raven",
        start: "\n",
        system: "",
        user: "Bob",
        input: None,
        assistant: "Alice",
        gap: GAP,
        thinks: false,
    },
    Format {
        name: "instruct",
        about: "one task each: Instruction, perhaps Input, Response",
        start: "",
        system: "",
        user: "Instruction",
        input: Some("Input"),
        assistant: "Response",
        gap: GAP,
        thinks: false,
    },
    Format {
        name: "qa",
        about: "questions about the material given as `system`: Question, Answer",
        start: "",
        system: "",
        user: "Question",
        input: None,
        assistant: "Answer",
        gap: GAP,
        thinks: false,
    },
    Format {
        name: "plain",
        about: "models that learnt no conversation: the text is continued as it stands",
        start: "",
        system: "",
        user: "",
        input: None,
        assistant: "",
        gap: "",
        thinks: false,
    },
];

/// What the names of files say, in the order in which they are asked; the first match decides.
const NAMES: &[(&str, &str)] = &[
    ("raven", "raven"),
    ("-g1", "g1"),
    ("-g2", "g1"),
    ("pile", "plain"),
    ("midi", "plain"),
    ("abc", "plain"),
    ("world", "world"),
];

/// What the text of a chat template (in GGUF, a name or Jinja) betrays, asked in this order.
const TEMPLATES: &[(&str, &str)] = &[
    ("enable_thinking", "g1"),
    ("<think", "g1"),
    ("rwkv-world", "world"),
    ("User:", "world"),
    ("Bob:", "raven"),
];

impl Format {
    /// The format of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        FORMATS.iter().find(|format| format.name == name)
    }

    /// The format that a loaded model most likely learnt.
    pub fn of(model: &Model) -> &'static Self {
        if model.visual.is_some() {
            return Self::named("world").expect("the list has it");
        }
        Self::guess(&model.name, model.vocab_size(), model.chat_template.as_deref())
    }

    /// The format that a model most likely learnt: its own chat template decides, then the name of
    /// its file, then the size of its vocabulary: World models and those that read bytes, such as
    /// the demo, were taught to talk, Pile models and musicians were not.
    pub fn guess(name: &str, vocab_size: usize, template: Option<&str>) -> &'static Self {
        let name = name.to_lowercase();
        let told = |table: &[(&str, &'static str)], text: &str| {
            table.iter().find(|(sign, _)| text.contains(sign)).map(|(_, format)| *format)
        };
        let usual = if matches!(vocab_size, 256 | 65529..=65536) { "world" } else { "plain" };
        let format = template.and_then(|text| told(TEMPLATES, text)).or_else(|| told(NAMES, &name));
        Self::named(format.unwrap_or(usual)).expect("the tables name formats of the list")
    }

    /// Whether questions and answers have names before them.
    pub fn has_names(&self) -> bool {
        !self.user.is_empty()
    }
}

/// Formats in files: by their names.
pub(super) mod by_name {
    use super::Format;
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    pub(in crate::chat) fn serialize<S: Serializer>(
        format: &&'static Format,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(format.name)
    }

    pub(in crate::chat) fn deserialize<'a, D: Deserializer<'a>>(
        from: D,
    ) -> Result<&'static Format, D::Error> {
        let name = String::deserialize(from)?;
        let unknown = || D::Error::custom(format!("there is no chat format {name:?}"));
        Format::named(&name).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_tells_its_format() {
        let cases = [
            ("RWKV-4-Pile-169M-20220807-8023", 50277, "plain"),
            ("RWKV-4-Raven-7B-v12-Eng98%-Other2%-20230521-ctx8192", 50277, "raven"),
            ("RWKV-4-World-0.1B-v1-20230520-ctx4096", 65536, "world"),
            ("RWKV-x060-World-1B6-v2.1-20240328-ctx4096", 65536, "world"),
            ("RWKV-x070-Pile-168M-20241120-ctx4096", 50304, "plain"),
            ("rwkv7-g1d-0.1b-20260129-ctx8192", 65536, "g1"),
            ("rwkv7a-g1b-0.1b-20250819-ctx4096", 65536, "g1"),
            ("rwkv-8-pile-rc00-20250508", 50304, "plain"),
            ("finetune", 65536, "world"),
            ("finetune", 20096, "plain"),
            ("demo:tales", 256, "world"),
        ];
        for (name, vocabulary, format) in cases {
            assert_eq!(Format::guess(name, vocabulary, None).name, format, "{name}");
        }
    }

    #[test]
    fn a_template_is_believed_before_a_name() {
        let guess = |template| Format::guess("RWKV-4-Raven-7B", 65536, Some(template)).name;
        assert_eq!(guess("rwkv-world"), "world");
        assert_eq!(guess("{% if enable_thinking %}User: {{ x }}"), "g1");
        assert_eq!(guess("{{ 'User: ' + content }}"), "world");
        assert_eq!(guess("<|im_start|>"), "raven", "a template of no use leaves it to the name");
    }

    #[test]
    fn every_name_in_the_tables_is_a_format() {
        for (_, format) in NAMES.iter().chain(TEMPLATES) {
            assert!(Format::named(format).is_some(), "{format}");
        }
        for format in FORMATS {
            assert_eq!(Format::named(format.name), Some(format));
            assert_eq!(format.has_names(), !format.gap.is_empty(), "{}", format.name);
        }
    }
}
