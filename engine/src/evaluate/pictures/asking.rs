//! Putting questions about pictures to a model.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::Result;

use super::super::ended;
use super::PictureQuestion;
use crate::chat::{Chat, Template};
use crate::evaluate::Skips;
use crate::generate::Options;
use crate::image::Image;
use crate::model::Model;

/// What a model said.
#[derive(Debug, Default)]
pub struct Told {
    /// Which questions were asked, by number, and what was said to each.
    pub texts: Vec<(usize, String)>,
    /// How many pictures were looked at.
    pub looked: usize,
    /// Questions that were left out, because their pictures cannot be read.
    pub skips: Skips,
    /// What was wrong with the first such picture.
    pub missing: Option<String>,
    /// Whether all questions were asked; an interrupt ends them early.
    pub complete: bool,
}

/// Asks one question after the other, each by itself and answered by what is likeliest; a picture
/// that several questions in a row are about is looked at once. Pictures lie below `folder`.
///
/// # Errors
/// When the model sees nothing, and for what it cannot be asked.
pub fn ask(
    model: &Model,
    questions: &[PictureQuestion],
    folder: &Path,
    max_tokens: usize,
    interrupt: &AtomicBool,
) -> Result<Told> {
    model.eyes()?;
    let counter = model.progress.begin("asking".into(), "questions", questions.len() as u64);
    let mut told = Told::default();
    let options = Options { max_tokens, ..Options::chat(model) };
    let mut talk: Option<(&str, Chat)> = None;
    let outcome = questions.iter().enumerate().try_for_each(|(number, question)| {
        counter.add(1);
        if talk.as_ref().is_none_or(|(shown, _)| *shown != question.image) {
            talk = None;
            let image = match Image::open(&folder.join(&question.image)) {
                Ok(image) => image,
                Err(error) => {
                    told.missing.get_or_insert(error.to_string());
                    told.skips.add("a picture that cannot be read");
                    return Ok(());
                }
            };
            let mut chat = Chat::new(model.state(), Template::default(), options.clone())?;
            chat.show(model, &image, interrupt)?;
            told.looked += 1;
            talk = Some((&question.image, chat));
        }
        let Some((_, chat)) = &mut talk else { return Ok(()) };
        let asked = question.prompt.as_str().into();
        let said = chat.say(model, &asked, interrupt, |_| Ok(true))?;
        crate::model::go_on(interrupt)?;
        told.texts.push((number, said.text.trim().to_string()));
        chat.jump(model, 0, interrupt)
    });
    told.complete = ended(outcome)?;
    Ok(told)
}
