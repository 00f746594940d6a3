//! Models that are shown pictures.

mod options;

use rhai::plugin::*;
use rhai::{Map, Module};
use rwkv_engine::model::Tower;
use rwkv_engine::understand::occlusion;
use std::path::PathBuf;

use crate::host::{Fallible, Host, engine_failure, fail};
use crate::image::Image;
use crate::model::Model;
use crate::options::OptionMap;
use crate::report::Report;
use crate::tensor::Tensor;
pub use options::told;
use options::{between, sizes};

fn with_vision(host: &Host, model: &Model, path: Option<PathBuf>, options: Map) -> Fallible<Model> {
    let mut options = OptionMap::new("with_vision", options);
    let told = told(&mut options)?;
    let engine = model.engine();
    let between = between(&mut options, engine.rwkv.version())?;
    let new = sizes(&mut options, &told)?;
    let seed = options.optional_integer("seed", ..)?.map_or_else(|| host.next_seed(), |s| s as u64);
    options.finish()?;
    let tower = match (&path, new) {
        (Some(path), None) => Tower::File(path),
        (None, Some(sizes)) => Tower::New(sizes),
        _ => {
            return Err(fail(
                "with_vision needs the path of a tower, or `image_size` and `patch_size` for a \
                 new one",
            ));
        }
    };
    let seeing = engine.with_vision(tower, between, told, seed).map_err(engine_failure)?;
    Ok(Model::new(host, seeing))
}

/// What an answer rests on, as a picture and in numbers.
fn regions(
    host: &Host,
    model: &Model,
    img: &Image,
    question: &str,
    options: Map,
) -> Fallible<Report> {
    let mut options = OptionMap::new("occlusion", options);
    let grid = options.integer("grid", 6, 1..=256)? as usize;
    let answer = Some(options.text("answer", "")?).filter(|text| !text.is_empty());
    let strength = options.number("strength", 0.6, 0.0..=1.0)? as f32;
    options.finish()?;
    let engine = model.engine();
    let found = occlusion(&engine, &img.0, question, answer.as_deref(), grid, &host.interrupt);
    let found = found.map_err(engine_failure)?;
    let map = Tensor::from(found.drops);
    let image = img.below(&map, strength)?;
    let title = format!("\"{}\", and what it rests on", found.answer);
    let fields = vec![
        ("answer", found.answer.into()),
        ("logprob", found.logprob.into()),
        ("map", Dynamic::from(map)),
    ];
    Ok(Report::new(title, image.view(0), fields).with("image", Dynamic::from(image)))
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// The rows that a picture `img` becomes for a model that sees, `[n, C]`: what stands between
    /// the words of a text, before the first norm of the language model.
    ///
    /// ```
    /// let vlm = load_model("toy:visualrwkv6");
    /// assert(vlm.encode_image(load_image("sample:gradient")).shape == [16, 64]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn encode_image(
        context: NativeCallContext,
        this: &mut Model,
        img: Image,
    ) -> Fallible<Tensor> {
        let host = Host::of(&context);
        let rows = this.engine().encode_image(&img.0, &host.interrupt).map_err(engine_failure)?;
        Ok(rows.into())
    }

    /// Which parts of a picture (`img`) the answer to a `question` rests on: each is covered in
    /// turn, and `.map`, `[grid, grid]`, is by how much that lowers the log-probability of the
    /// answer. Shown, it is the picture below that map; `.image` is that.
    ///
    /// - `grid` parts along a side, 6
    /// - `answer` that is asked about; else the likeliest one
    /// - `strength` of the map over the picture, 0.6
    ///
    /// ```
    /// let vlm = load_model("toy:visualrwkv7");
    /// let why = vlm.occlusion(load_image("sample:gradient"), "What?", #{ grid: 2, answer: "red" });
    /// assert(why.map.shape == [2, 2] && why.image.width == 96);
    /// ```
    #[rhai_fn(name = "occlusion", return_raw, pure)]
    pub fn regions_of(
        context: NativeCallContext,
        this: &mut Model,
        img: Image,
        question: &str,
        options: Map,
    ) -> Fallible<Report> {
        regions(&Host::of(&context), this, &img, question, options)
    }

    /// A language model with a new vision tower and a new projector, to be trained.
    ///
    /// - `image_size` sides of the square picture in pixels
    /// - `patch_size` sides of a patch in pixels
    /// - `n_embd` channels of a patch, 64
    /// - `n_layer` blocks of the tower, 2
    /// - `heads` of a block, one for 32 channels
    /// - `projector` "linear" (one matrix, RWKV-5 and 6) or "gated" (RWKV-7)
    /// - `grid_size` as in RWKV-5 and 6: -1 all patches, 0 the class row, 1 the mean, n squares of
    ///   patches along a side
    /// - `num_token_per_image` as in RWKV-7: so many rows in all
    /// - `scan` order in which blocks read patches: "unidirection", "bidirection" or
    ///   "multidirection"
    /// - `image_position` in the first question: "first", "middle" or "last"
    /// - `seed` of the random values
    ///
    /// ```
    /// let lm = init_model("rwkv7", #{ n_layer: 1, n_embd: 32 });
    /// let vlm = lm.with_vision(#{ image_size: 32, patch_size: 16, n_embd: 32, n_layer: 1 });
    /// assert(vlm.encode_image(load_image("sample:gradient")).shape == [4, 32]);
    /// ```
    #[rhai_fn(name = "with_vision", return_raw, pure, volatile)]
    pub fn with_new_vision(
        context: NativeCallContext,
        this: &mut Model,
        options: Map,
    ) -> Fallible<Model> {
        with_vision(&Host::of(&context), this, None, options)
    }

    /// A language model with a trained vision tower, a Hugging Face directory or a file of weights
    /// at `path`, and a new projector: what the first stage of training begins with.
    ///
    /// - `projector` "linear" (one matrix, RWKV-5 and 6) or "gated" (RWKV-7)
    /// - `heads` of a block of the tower, where no configuration beside it says so
    /// - `image_size` sides of the picture that the tower reads, if not what it was trained on
    /// - `grid_size` as in RWKV-5 and 6: -1 all patches, 0 the class row, 1 the mean, n squares of
    ///   patches along a side
    /// - `num_token_per_image` as in RWKV-7: so many rows in all
    /// - `scan` order in which blocks read patches: "unidirection", "bidirection" or
    ///   "multidirection"
    /// - `image_position` in the first question: "first", "middle" or "last"
    /// - `seed` of the new projector
    ///
    /// ```
    /// let lm = init_model("rwkv7", #{ n_layer: 1, n_embd: 32 });
    /// let tower = temp_path("tower.safetensors");
    /// lm.with_vision(#{ image_size: 32, patch_size: 16, n_embd: 32, n_layer: 1 }).save(tower, "f32");
    /// let vlm = lm.with_vision(tower, #{ heads: 1 });
    /// assert(vlm.encode_image(load_image("sample:gradient")).shape == [4, 32]);
    /// ```
    #[rhai_fn(name = "with_vision", return_raw, pure, volatile)]
    pub fn with_vision_of(
        context: NativeCallContext,
        this: &mut Model,
        path: &str,
        options: Map,
    ) -> Fallible<Model> {
        let host = Host::of(&context);
        with_vision(&host, this, Some(host.readable(path)), options)
    }
}
