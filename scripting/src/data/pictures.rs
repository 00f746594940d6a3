//! Data for models that see: conversations about pictures, and pictures of shapes.

use std::rc::Rc;

use rhai::plugin::*;
use rhai::{Array, INT, Map, Module};
use rwkv_engine::data as engine;
use rwkv_engine::data::shapes::{KINDS, Shapes};
use rwkv_engine::random::Random;
use rwkv_engine::tokenizer::Tokenizer;

use super::Dataset;
use super::options::Chosen;
use crate::host::{Fallible, Host, engine_failure, fail};
use crate::image::Image;
use crate::model::Model;

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

/// What there is to see and to ask.
fn shapes(chosen: &mut Chosen) -> Fallible<Shapes> {
    let usual = Shapes::default();
    let named = chosen.texts("kinds")?;
    let kind = |name: &String| {
        let known = KINDS.iter().find(|kind| **kind == *name).copied();
        known.ok_or_else(|| {
            fail(format!(
                "there are no questions of kind `{name}`; there are: {}",
                KINDS.join(", ")
            ))
        })
    };
    let kinds = named.iter().map(kind).collect::<Fallible<Vec<_>>>()?;
    let shapes = Shapes {
        things: chosen.span("things", &usual.things)?,
        questions: chosen.count("questions", usual.questions)?,
        kinds: if kinds.is_empty() { usual.kinds } else { kinds },
        held_out: chosen.flag("held_out")?,
    };
    shapes.check().map_err(engine_failure)?;
    Ok(shapes)
}

/// How the model reads pictures.
fn reads(model: &Model) -> Fallible<(rwkv_engine::visual::Reads, Tokenizer)> {
    let engine = model.engine();
    let reads = engine.eyes().map_err(engine_failure)?.reads();
    Ok((reads, engine.tokenizer.clone()))
}

#[export_module]
mod functions {
    /// Conversations about pictures for a `model` that sees, from the file `path` in LLaVA's
    /// layout, a list in JSON or one conversation on each line: `id`, `image` (a path, or several)
    /// and `conversations`, turns of `from` ("human" or "gpt") and `value`, with `<image>` where a
    /// picture is meant. A row is one conversation, of which the words of "gpt" are learnt; each
    /// conversation counts the same, however long.
    ///
    /// - `folder` that the paths of pictures begin in; else that of the file
    /// - `ctx_len` positions of a row, 128; what is longer is cut
    /// - `shuffle` whether they come in an order of the seed, `true`, or as they stand
    /// - `seed` of the order
    /// - `bad` what becomes of conversations whose pictures cannot be read: `"error"` says which,
    ///   `"skip"` leaves them out and counts
    ///
    /// ```
    /// load_image("sample:gradient").save(temp_path("a.png"));
    /// write_file(temp_path("talk.json"), `[{"id": 1, "image": "a.png", "conversations": [
    ///     {"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A gradient."}
    /// ]}]`);
    /// let vlm = load_model("toy:visualrwkv7");
    /// let data = data::image_text(temp_path("talk.json"), vlm, #{ ctx_len: 96 });
    /// new_trainer(vlm, #{ freeze: ["rwkv", "vit"] }).train_step(data.next_batch(1));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn image_text(
        context: NativeCallContext,
        path: &str,
        model: Model,
        options: Map,
    ) -> Fallible<Dataset> {
        let host = Host::of(&context);
        let mut chosen = Chosen::new("data::image_text", options);
        let (cut, bad) = (chosen.shuffled_cut(&host)?, chosen.bad()?);
        let folder = chosen.text("folder", "")?;
        chosen.finish()?;
        let path = host.readable(path);
        let beside = path.parent().unwrap_or(&path).to_path_buf();
        let folder = if folder.is_empty() { beside } else { host.readable(&folder) };
        let (reads, tokenizer) = reads(&model)?;
        let set = engine::Dataset::talks(&path, &folder, &tokenizer, reads, bad, &cut);
        Dataset::new(&context, set)
    }

    /// Pictures of coloured shapes and conversations about them for a `model` that sees, without
    /// end.
    ///
    /// - `things` how many a picture has, `[1, 4]`, at most 9
    /// - `questions` of a conversation, 6
    /// - `kinds` of questions, all of "colour", "shape", "size", "count", "exists", "where", "at",
    ///   "more", "beside", "larger", "describe", "fields"
    /// - `held_out` whether questions are worded as no others are, to measure with
    /// - `ctx_len` positions of a row, 128; what is longer is cut
    /// - `order` has no use here
    /// - `seed` of the pictures
    ///
    /// ```
    /// let vlm = load_model("toy:visualrwkv7");
    /// print(data::shapes(vlm, #{ questions: 1, ctx_len: 200 }).next_batch(2));
    /// ```
    #[rhai_fn(name = "shapes", return_raw, volatile)]
    pub fn shapes_data(
        context: NativeCallContext,
        model: Model,
        options: Map,
    ) -> Fallible<Dataset> {
        let mut chosen = Chosen::new("data::shapes", options);
        let (cut, shapes) = (chosen.cut(&Host::of(&context))?, shapes(&mut chosen)?);
        chosen.finish()?;
        let (reads, tokenizer) = reads(&model)?;
        Dataset::new(&context, engine::Dataset::shapes(shapes, &tokenizer, reads, &cut))
    }

    /// So many pictures of shapes (`count`) to measure with, an array of `#{image, questions}`,
    /// where each question is `#{kind, question, answer}`. The options are those of `data::shapes`.
    ///
    /// - `seed` of the pictures; another one than in training gives others
    ///
    /// ```
    /// let all = data::shape_questions(3, #{ questions: 2, seed: 1 });
    /// assert(all[0].image.width == 96 && all[0].questions.len() == 2);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn shape_questions(
        context: NativeCallContext,
        count: INT,
        options: Map,
    ) -> Fallible<Array> {
        let host = Host::of(&context);
        let mut chosen = Chosen::new("data::shape_questions", options);
        let (shapes, seed) = (shapes(&mut chosen)?, chosen.seed(&host)?);
        chosen.finish()?;
        let mut random = Random::new(seed);
        let one = |_| {
            host.poll()?;
            let (image, asked) = shapes.sample(&mut random);
            let question = |asked: &engine::shapes::Asked| -> Dynamic {
                let map: Map = [
                    ("kind".into(), asked.kind.into()),
                    ("question".into(), asked.question.clone().into()),
                    ("answer".into(), asked.answer.clone().into()),
                ]
                .into();
                map.into()
            };
            let questions: Array = asked.iter().map(question).collect();
            let image = Dynamic::from(Image(Rc::new(image)));
            Ok(Map::from([("image".into(), image), ("questions".into(), questions.into())]).into())
        };
        (0..count).map(one).collect()
    }

    /// What cuts the questions of `data::shapes` into tokens: every byte is one, and every word of
    /// theirs.
    ///
    /// ```
    /// assert(data::shapes_tokenizer().encode("What colour is the circle?").len == 6);
    /// ```
    pub fn shapes_tokenizer() -> Tokenizer {
        Tokenizer::shapes()
    }
}
