//! Facts in words of one's own: several of them to remember, or one in the midst of other text.

use anyhow::{Result, ensure};

use crate::data::problems::Problem;
use crate::random::Random;

/// Sentences that each say one thing of one key, and how it is asked for. In the three texts `{key}`
/// and `{value}` stand for what the problem draws.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// `The {key} is in the {value}.`
    pub fact: String,
    /// What follows the text: `\n\nUser: Where is the {key}?\n\nAssistant:`
    pub question: String,
    /// What has to follow the question: ` The {key} is in the {value}.`
    pub answer: String,
    /// What there are facts about; no problem has one twice.
    pub keys: Vec<String>,
    /// What they may say.
    pub values: Vec<String>,
}

impl Facts {
    /// Checks that problems can be made of them.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn check(&self) -> Result<()> {
        ensure!(!self.keys.is_empty(), "facts need keys; give at least one.");
        ensure!(self.values.len() > 1, "facts need two values at least, else the answer is known.");
        for (name, text) in [("fact", &self.fact), ("answer", &self.answer)] {
            ensure!(
                text.contains("{value}"),
                "the {name} must contain {{value}}, not just {text:?}."
            );
        }
        ensure!(
            self.keys.len() == 1 || self.fact.contains("{key}") && self.question.contains("{key}"),
            "with several keys the fact and the question must contain {{key}}."
        );
        Ok(())
    }

    /// As many facts as `count`, one after the other, and a question for one of them.
    ///
    /// # Errors
    /// When there are not so many keys.
    pub fn several(&self, count: usize, random: &mut Random) -> Result<Problem> {
        ensure!(
            (1..=self.keys.len()).contains(&count),
            "there cannot be {count} facts about {} keys.",
            self.keys.len()
        );
        let mut keys: Vec<&String> = self.keys.iter().collect();
        random.shuffle(&mut keys);
        let facts: Vec<(&str, &str)> = keys[..count]
            .iter()
            .map(|key| (key.as_str(), random.pick(&self.values).as_str()))
            .collect();
        let (key, value) = *random.pick(&facts);
        let said: Vec<String> =
            facts.iter().map(|(key, value)| filled(&self.fact, key, value)).collect();
        Ok(self.asked(&said.join(" "), key, value))
    }

    /// One fact among sentences of a filler: at `depth`, from 0 for the beginning to 1 for the end,
    /// in a prompt of at most `length` characters, and hardly fewer. The filler begins anew where
    /// it ends, always in the same way, so that prompts share what comes before the fact.
    ///
    /// # Errors
    /// When the fact and its question alone are longer.
    pub fn hidden(
        &self,
        length: usize,
        depth: f64,
        filler: &[String],
        random: &mut Random,
    ) -> Result<Problem> {
        let (key, value) = (random.pick(&self.keys), random.pick(&self.values));
        let fact = filled(&self.fact, key, value);
        let characters = |text: &str| text.chars().count() + 1;
        let alone = characters(&fact) + characters(&filled(&self.question, key, value));
        ensure!(
            alone <= length + 2,
            "{length} characters are too few for a fact and its question, {alone}."
        );
        ensure!(!filler.is_empty(), "there is no filler; give a few sentences.");
        let mut room = (length + 2 - alone) as i64;
        let sentences = filler.iter().cycle().map(String::as_str);
        let mut said: Vec<&str> = sentences
            .take_while(|sentence| {
                room -= characters(sentence) as i64;
                room >= 0
            })
            .collect();
        said.insert((depth * said.len() as f64).round() as usize, &fact);
        Ok(self.asked(&said.join(" "), key, value))
    }

    fn asked(&self, said: &str, key: &str, value: &str) -> Problem {
        let prompt = said.to_string() + &filled(&self.question, key, value);
        Problem { prompt, target: filled(&self.answer, key, value) }
    }
}

fn filled(text: &str, key: &str, value: &str) -> String {
    text.replace("{key}", key).replace("{value}", value)
}

/// The sentences of a text, without the blanks between them.
pub fn sentences(text: &str) -> Vec<String> {
    let parts = text.split_inclusive(['.', '!', '?', '\n']).map(str::trim);
    parts.filter(|part| !part.is_empty()).map(str::to_string).collect()
}
