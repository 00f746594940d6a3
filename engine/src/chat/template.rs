//! From questions to the text a model reads, and from the text it writes to answers.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::format::{Format, GAP};

/// How a thought begins and ends in the texts of G1 models; the `>` is left to the model.
const THOUGHT: [&str; 2] = ["<think", "</think"];

/// How a call of a tool begins and ends in an answer.
const CALL: [&str; 2] = ["```json", "```"];

/// Whether a model thinks before it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Think {
    /// It answers at once.
    #[default]
    Off,
    /// It thinks as long as it wants.
    On,
    /// A thought without words is put into its mouth: the style of a thinker, at once.
    Fast,
}

impl Think {
    /// Every way, with what options call it.
    pub const ALL: [(&str, Self); 3] = [("off", Self::Off), ("on", Self::On), ("fast", Self::Fast)];

    /// What options call it.
    pub fn name(self) -> &'static str {
        ["off", "on", "fast"][self as usize]
    }
}

/// How long a thought shall be; G1c models and later ones listen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effort {
    /// ` (think a bit)`
    Low,
    /// ` (think)`
    Medium,
    /// ` (think a lot)`
    High,
}

impl Effort {
    /// Every effort, with what options call it.
    pub const ALL: [(&str, Self); 3] =
        [("low", Self::Low), ("medium", Self::Medium), ("high", Self::High)];

    /// What is written after the question.
    pub fn suffix(self) -> &'static str {
        [" (think a bit)", " (think)", " (think a lot)"][self as usize]
    }
}

/// What is put to the model in one turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The words.
    pub text: String,
    /// Material that belongs to it, where the format has a place for that.
    pub input: Option<String>,
    /// Whether the answer has to be the call of a tool.
    pub call: bool,
}

impl From<&str> for Question {
    fn from(text: &str) -> Self {
        Self { text: text.to_string(), ..Self::default() }
    }
}

/// A format with all that can be chosen about it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Template {
    /// How turns are written.
    #[serde(with = "super::format::by_name")]
    pub format: &'static Format,
    /// Name before what is asked.
    pub user: String,
    /// Name before what is answered.
    pub assistant: String,
    /// Said once before the first turn.
    pub system: Option<String>,
    /// What the model may call: one `name(argument: type, …)` each, or descriptions in JSON.
    pub tools: Vec<String>,
    /// Whether it thinks first.
    pub think: Think,
    /// How long, if that is said.
    pub effort: Option<Effort>,
    /// Whether token 0, the end of the text before, is read before everything.
    pub bos: bool,
}

/// An answer taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What was thought before it; empty if nothing was.
    pub thoughts: String,
    /// The answer itself.
    pub reply: String,
}

impl Template {
    /// The format as it usually is.
    pub fn new(format: &'static Format) -> Self {
        Self {
            format,
            user: format.user.to_string(),
            assistant: format.assistant.to_string(),
            system: None,
            tools: Vec::new(),
            think: Think::Off,
            effort: None,
            bos: false,
        }
    }

    /// Checks that the format can do what is asked of it.
    ///
    /// # Errors
    /// Says what it cannot do, and which format can.
    pub fn check(&self) -> Result<()> {
        let Format { name, thinks, .. } = self.format;
        let thinking = self.think != Think::Off || self.effort.is_some();
        ensure!(
            *thinks || !thinking,
            "models of format {name} did not learn to think; if this one did, give format: \"g1\"."
        );
        ensure!(
            *thinks || self.tools.is_empty(),
            "models of format {name} did not learn to call tools; if this one did, give format: \
             \"g1\"."
        );
        ensure!(
            self.effort.is_none() || self.think == Think::On,
            "an effort is for a model that thinks; give think: \"on\" with it."
        );
        let named = self.format.has_names();
        ensure!(
            named || (self.user.is_empty() && self.assistant.is_empty()),
            "format {name} has no names; give format: \"world\" for `user` and `assistant`."
        );
        Ok(())
    }

    /// The question as it will be written: without blank lines, as those would end it.
    ///
    /// # Errors
    /// For a question without words, and for what the format has no place for.
    pub fn clean(&self, question: &Question) -> Result<Question> {
        let Format { name, input, .. } = self.format;
        let text = match self.format.has_names() {
            true => clean(&question.text),
            false => unix(&question.text),
        };
        ensure!(!text.trim().is_empty(), "there is nothing to say; write something first.");
        ensure!(
            input.is_some() || question.input.is_none(),
            "format {name} has no place for `input`; write it into the question, or give format: \
             \"instruct\"."
        );
        let input = question.input.as_deref().map(clean).filter(|text| !text.is_empty());
        Ok(Question { text, input, call: question.call })
    }

    /// The text that is read for a first question, up to where the model goes on.
    ///
    /// # Errors
    /// For a question without words, and for what the format has no place for.
    pub fn prompt(&self, question: &Question) -> Result<String> {
        let question = self.clean(question)?;
        Ok(self.opening() + &self.asked(&question) + self.lead(&question))
    }

    /// What stands before the first turn.
    pub(super) fn opening(&self) -> String {
        let start = self.format.start;
        let system = clean(self.system.as_deref().unwrap_or_default());
        let list: String = self.tools.iter().map(|tool| listed(&clean(tool))).collect();
        let tools = match list.as_str() {
            "" => String::new(),
            list => format!("Tools:\n{list}Return only a JSON function call."),
        };
        match clean(&format!("{system}\n{tools}")) {
            text if text.is_empty() => start.to_string(),
            text => format!("{start}{}{GAP}", called(self.format.system, &text)),
        }
    }

    /// A clean question up to the name of who answers.
    pub(super) fn asked(&self, question: &Question) -> String {
        let Format { gap, input, .. } = self.format;
        let effort = self.effort.map_or("", Effort::suffix);
        let text = called(&self.user, &format!("{}{effort}", question.text));
        let input = input.zip(question.input.as_deref());
        let input = input.map_or(String::new(), |(name, input)| called(name, input) + gap);
        let colon = if self.assistant.is_empty() { "" } else { ":" };
        format!("{text}{gap}{input}{}{colon}", self.assistant)
    }

    /// The first words of the answer, which are not left to the model.
    pub(super) fn lead(&self, question: &Question) -> &'static str {
        match self.think {
            Think::On => " <think",
            Think::Fast => " <think>\n</think",
            Think::Off if question.call => " ```json",
            Think::Off => "",
        }
    }

    /// What ends an answer; none where only token 0 does.
    pub fn stops(&self, question: &Question) -> Vec<String> {
        let next = |gap: &str| format!("{gap}{}:", self.user);
        match self.think {
            _ if !self.format.has_names() => vec![],
            // Answers of thinkers have paragraphs.
            Think::On | Think::Fast => vec![next(GAP)],
            Think::Off if question.call => vec![CALL[1].into(), GAP.into()],
            Think::Off => vec![GAP.into(), next("\n")],
        }
    }

    /// How many tokens an answer may have if nobody says: thoughts are long.
    pub fn max_tokens(&self) -> usize {
        match self.think {
            Think::On => 2000,
            Think::Fast => 500,
            Think::Off => 100,
        }
    }

    /// Takes an answer apart; `text` begins with the lead.
    pub(super) fn split(&self, question: &Question, text: &str) -> Answer {
        let answer = |thoughts: &str, reply: &str| Answer {
            thoughts: thoughts.trim().to_string(),
            reply: reply.trim().to_string(),
        };
        if !self.format.has_names() {
            return Answer { reply: text.to_string(), ..Answer::default() };
        }
        let text = text.trim();
        if question.call && self.think == Think::Off {
            let call = text.trim_start_matches(CALL[0]).trim_end_matches(CALL[1]);
            return answer("", call);
        }
        let [begin, end] = THOUGHT;
        let Some(thought) = text.strip_prefix(begin).filter(|_| self.format.thinks) else {
            return answer("", text);
        };
        let closed = |text: &str| text.strip_prefix('>').unwrap_or(text).to_string();
        // The last one: some models begin a second thought.
        match thought.rsplit_once(end) {
            Some((thoughts, reply)) => answer(&closed(thoughts), &closed(reply)),
            None => answer(&closed(thought), ""),
        }
    }

    /// An answer as later turns see it: without thoughts, which no model was trained to look back at.
    pub(super) fn kept(&self, question: &Question, reply: &str) -> String {
        let [begin, end] = CALL;
        match reply {
            _ if !self.format.has_names() => reply.to_string(),
            "" => String::new(),
            _ if question.call && self.think == Think::Off => format!(" {begin}\n{reply}\n{end}"),
            _ => format!(" {reply}"),
        }
    }
}

impl Default for Template {
    fn default() -> Self {
        Self::new(&super::format::FORMATS[0])
    }
}

/// A tool in the list of tools; descriptions in JSON are a list already.
fn listed(tool: &str) -> String {
    let bullet = if tool.starts_with(['[', '{']) { "" } else { "- " };
    format!("{bullet}{tool}\n")
}

/// Words after the name of who says them.
fn called(name: &str, text: &str) -> String {
    if name.is_empty() { text.to_string() } else { format!("{name}: {text}") }
}

/// The text with one kind of line end.
fn unix(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// One kind of line end, no blank lines (they part the turns), nothing around it.
pub fn clean(text: &str) -> String {
    let mut text = unix(text);
    while text.contains(GAP) {
        text = text.replace(GAP, "\n");
    }
    text.trim().to_string()
}

#[cfg(test)]
mod tests;
