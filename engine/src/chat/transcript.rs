//! Conversations that are over, as texts to learn from.

use anyhow::{Result, ensure};

use super::template::{Question, Template, clean};

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What is said once before everything.
    System,
    /// Who asks.
    User,
    /// Who answers.
    Assistant,
}

impl Role {
    /// The role that files call so.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "system" => Some(Self::System),
            "user" | "human" => Some(Self::User),
            "assistant" | "gpt" | "model" | "bot" => Some(Self::Assistant),
            _ => None,
        }
    }
}

/// A piece of a conversation that is cut into tokens by itself, as it is while people talk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The words.
    pub text: String,
    /// Whether the model says them; the rest it only reads.
    pub answer: bool,
}

impl Template {
    /// A conversation as text, questions and answers in turn, up to its last answer; each answer
    /// has the blank line that ends it. Answers lose blank lines inside, which would end them,
    /// unless they begin with a thought. What somebody says in several messages is one.
    ///
    /// # Errors
    /// When there is no answer, when one has no question before it, and when something said once
    /// comes later than at the beginning.
    pub fn transcript(&self, said: &[(Role, String)]) -> Result<Vec<Part>> {
        let mut said = joined(said);
        let mut template = self.clone();
        if said.first().is_some_and(|(role, _)| *role == Role::System) {
            template.system = Some(said.remove(0).1);
        }
        let mut parts = Vec::new();
        for turn in said.chunks(2) {
            ensure!(
                turn[0].0 == Role::User,
                "a conversation goes from a question to its answer, but its message {} is not a \
                 question",
                parts.len() + 1
            );
            let [(_, text), (role, reply)] = turn else { break };
            ensure!(*role == Role::Assistant, "what is said as `system` must come first");
            let question = template.clean(&Question::from(text.as_str()))?;
            let opening = if parts.is_empty() { template.opening() } else { String::new() };
            parts.push(Part { text: opening + &template.asked(&question), answer: false });
            let reply = match template.format.has_names() && !reply.trim().starts_with("<think") {
                true => clean(reply),
                false => reply.replace("\r\n", "\n").trim_end().to_string(),
            };
            ensure!(!reply.trim().is_empty(), "an answer of this conversation is empty");
            let text = template.kept(&question, &reply) + template.format.gap;
            parts.push(Part { text, answer: true });
        }
        ensure!(!parts.is_empty(), "a conversation has at least one question and an answer");
        Ok(parts)
    }
}

/// The messages, those of the same role one after the other as one.
fn joined(said: &[(Role, String)]) -> Vec<(Role, String)> {
    let mut joined: Vec<(Role, String)> = Vec::with_capacity(said.len());
    for (role, text) in said {
        match joined.last_mut() {
            Some((last, before)) if last == role => *before += &format!("\n{text}"),
            _ => joined.push((*role, text.clone())),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Format;

    fn written(format: &str, said: &[(&str, &str)]) -> Result<String> {
        let template = Template::new(Format::named(format).unwrap());
        let said = said.iter().map(|(who, text)| (Role::named(who).unwrap(), text.to_string()));
        let parts = template.transcript(&said.collect::<Vec<_>>())?;
        let bracket = |part: &Part| match part.answer {
            true => format!("[{}]", part.text),
            false => part.text.clone(),
        };
        Ok(parts.iter().map(bracket).collect())
    }

    #[test]
    fn answers_are_what_the_model_would_write() {
        let said = [
            ("system", "Be brief."),
            ("human", "1+1?"),
            ("gpt", "2\n\n\nof course "),
            ("user", "And"),
            ("user", "2+2?"),
            ("assistant", "<think>\n\nhm</think>\n4"),
            ("user", "Thanks."),
        ];
        assert_eq!(
            written("world", &said).unwrap(),
            "System: Be brief.\n\nUser: 1+1?\n\nAssistant:[ 2\nof course\n\n]User: And\n2+2?\n\n\
             Assistant:[ <think>\n\nhm</think>\n4\n\n]"
        );
        let raven = written("raven", &[("user", "Hi"), ("bot", "Ho")]).unwrap();
        assert_eq!(raven, "\nBob: Hi\n\nAlice:[ Ho\n\n]");
        let plain = written("plain", &[("user", "Once"), ("bot", " upon\n\na time")]).unwrap();
        assert_eq!(plain, "Once[ upon\n\na time]");
    }

    #[test]
    fn what_is_no_conversation_is_refused() {
        let cases: [(&[(&str, &str)], &str); 5] = [
            (&[], "at least one question"),
            (&[("user", "hello?")], "at least one question"),
            (&[("gpt", "hello")], "its message 1 is not a question"),
            (&[("user", "a"), ("system", "b"), ("gpt", "c")], "must come first"),
            (&[("user", "a"), ("gpt", " ")], "is empty"),
        ];
        for (said, part) in cases {
            let error = written("world", said).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
