//! Pictures of files, for models that see.

mod drawing;

use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;
use std::rc::Rc;

use rhai::plugin::*;
use rhai::{Array as List, INT, Map, Module};
use rwkv_engine::checkpoint::write_bytes;
use rwkv_engine::data::shapes;
use rwkv_engine::image::{DATA, Filter, Image as Pixels};
use rwkv_engine::tensor::Array;

use crate::View;
use crate::host::{Fallible, Host, engine_failure, fail};
use crate::options::OptionMap;
use crate::tensor::Tensor;

/// A picture; a copy costs nothing.
#[derive(Clone, Debug)]
pub struct Image(pub Rc<Pixels>);

/// What a picture that is part of the program begins with.
const SAMPLE: &str = "sample:";

/// Names of filters.
const FILTERS: [(&str, Filter); 3] =
    [("bicubic", Filter::Bicubic), ("bilinear", Filter::Bilinear), ("lanczos", Filter::Lanczos)];

impl Image {
    /// The picture as something to look at, so many columns of characters wide, 0 for as many as
    /// there are.
    pub fn view(&self, width: usize) -> View {
        let pixels = self.0.pixels.as_chunks().0.to_vec();
        let title = String::new();
        View::Image(crate::charts::Image { title, columns: self.0.width, pixels, width })
    }

    fn of(pixels: anyhow::Result<Pixels>) -> Fallible<Self> {
        Ok(Self(Rc::new(pixels.map_err(engine_failure)?)))
    }
}

/// Where the picture lies that somebody typed or dropped into the terminal: `~` is the home folder,
/// and blanks may have a backslash in front or quotes around.
fn place(host: &Host, typed: &str) -> PathBuf {
    let found = |path: &str| {
        let path = match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
            (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
            _ => host.readable(path),
        };
        path.exists().then_some(path)
    };
    let trimmed = typed.trim();
    let bare = trimmed.trim_matches(['"', '\'']);
    let spellings = [typed, trimmed, bare, &bare.replace("\\ ", " ")].map(found);
    spellings.into_iter().flatten().next().unwrap_or_else(|| PathBuf::from(typed))
}

/// The picture that comes through a pipe.
fn piped() -> Fallible<Image> {
    let mut input = io::stdin().lock();
    if input.is_terminal() {
        return Err(fail("no picture comes through a pipe: rwkv ask - QUESTION < PICTURE"));
    }
    let mut bytes = Vec::new();
    let read = input.read_to_end(&mut bytes);
    read.map_err(|error| fail(format!("the pipe cannot be read: {error}")))?;
    Image::of(Pixels::decode("what came through the pipe", &bytes))
}

fn sample(name: &str) -> Fallible<Image> {
    match name {
        "gradient" => Ok(Image(Rc::new(Pixels::gradient(96, 64)))),
        "shapes" => Ok(Image(Rc::new(shapes::example()))),
        _ => {
            let all = "there are `gradient` and `shapes`";
            Err(fail(format!("there is no sample picture `{name}`; {all}")))
        }
    }
}

/// A number of pixels.
fn side(what: &str, value: INT) -> Fallible<usize> {
    usize::try_from(value).map_err(|_| fail(format!("{what} must be at least 0, not {value}")))
}

fn resized(image: &Image, width: INT, height: INT, filter: Filter) -> Fallible<Image> {
    let (width, height) = (side("the width", width)?, side("the height", height)?);
    Image::of(image.0.resized(width, height, filter))
}

/// The module of this file.
pub fn module() -> Module {
    let mut module = exported_module!(functions);
    module.combine(drawing::module());
    module
}

#[export_module]
mod functions {
    /// Reads the picture `source`: PNG, JPEG, WebP, GIF (its first picture) or BMP, turned the way
    /// the camera was held. `~` is the home folder; blanks may be written as a terminal drops them,
    /// with a backslash. `"sample:gradient"` and `"sample:shapes"` are part of the program; `"-"` is
    /// what comes through a pipe, and a text that begins with `data:` is the picture itself, in
    /// base64.
    ///
    /// ```
    /// let img = load_image("sample:gradient");
    /// assert(img.width == 96 && img.height == 64);
    /// let circle = load_image("sample:shapes").pixel(16, 16);
    /// assert(circle[0] > 180 && circle[2] < 80);          // it is red
    /// ```
    #[rhai_fn(return_raw)]
    pub fn load_image(context: NativeCallContext, source: &str) -> Fallible<Image> {
        if let Some(name) = source.strip_prefix(SAMPLE) {
            return sample(name);
        }
        if source.starts_with(DATA) {
            return Image::of(Pixels::of_url(source));
        }
        if source == "-" {
            return piped();
        }
        Image::of(Pixels::open(&place(&Host::of(&context), source)))
    }

    /// Pixels of a picture from left to right.
    ///
    /// ```
    /// assert(load_image("sample:gradient").width == 96);
    /// ```
    #[rhai_fn(get = "width", pure)]
    pub fn image_width(this: &mut Image) -> INT {
        this.0.width as INT
    }

    /// Pixels of a picture from top to bottom.
    ///
    /// ```
    /// assert(load_image("sample:gradient").height == 64);
    /// ```
    #[rhai_fn(get = "height", pure)]
    pub fn image_height(this: &mut Image) -> INT {
        this.0.height as INT
    }

    /// Where a picture came from.
    ///
    /// ```
    /// assert(load_image("sample:gradient").name == "sample:gradient");
    /// ```
    #[rhai_fn(get = "name", pure)]
    pub fn image_name(this: &mut Image) -> String {
        this.0.name.clone()
    }

    /// Red, green and blue of a pixel, 0 to 255; `x` counts from the left, `y` from the top.
    ///
    /// ```
    /// assert(load_image("sample:gradient").pixel(0, 0) == [0, 0, 128]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn pixel(this: &mut Image, x: INT, y: INT) -> Fallible<List> {
        let (width, height) = (this.0.width, this.0.height);
        let inside = |at: INT, side: usize| usize::try_from(at).ok().filter(|at| *at < side);
        let (Some(x), Some(y)) = (inside(x, width), inside(y, height)) else {
            return Err(fail(format!("pixel {x}, {y} is not inside of {width} x {height}")));
        };
        let pixel = &this.0.pixels[(y * width + x) * 3..][..3];
        Ok(pixel.iter().map(|level| INT::from(*level).into()).collect())
    }

    /// A picture in another size, its pixels found as Pillow finds them with its bicubic filter: as
    /// the pictures that models were trained on.
    ///
    /// ```
    /// assert(load_image("sample:gradient").resize(8, 4).width == 8);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn resize(this: &mut Image, width: INT, height: INT) -> Fallible<Image> {
        resized(this, width, height, Filter::Bicubic)
    }

    /// A picture in another size.
    ///
    /// - `filter`: `"bicubic"`, `"bilinear"` or `"lanczos"`, as Pillow computes them
    ///
    /// ```
    /// let img = load_image("sample:gradient").resize(8, 4, #{ filter: "lanczos" });
    /// assert(img.height == 4);
    /// ```
    #[rhai_fn(name = "resize", return_raw, pure)]
    pub fn resize_options(
        this: &mut Image,
        width: INT,
        height: INT,
        options: Map,
    ) -> Fallible<Image> {
        let mut options = OptionMap::new("resize", options);
        let name = options.text("filter", "bicubic")?;
        options.finish()?;
        let names = FILTERS.map(|(name, _)| name).join(", ");
        let Some((_, filter)) = FILTERS.iter().find(|(known, _)| *known == name) else {
            return Err(fail(format!("there is no filter `{name}`; there are: {names}")));
        };
        resized(this, width, height, *filter)
    }

    /// A part of a picture, `width` x `height` pixels from the pixel `x`, `y` on.
    ///
    /// ```
    /// assert(load_image("sample:gradient").crop(90, 0, 6, 64).width == 6);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn crop(this: &mut Image, x: INT, y: INT, width: INT, height: INT) -> Fallible<Image> {
        let [left, top] = [side("x", x)?, side("y", y)?];
        let [width, height] = [side("the width", width)?, side("the height", height)?];
        Image::of(this.0.cropped(left, top, width, height))
    }

    /// Shows a picture as wide as the screen, as the terminal can: in pixels, half blocks or words.
    ///
    /// ```
    /// load_image("sample:gradient").show();
    /// ```
    #[rhai_fn(name = "show", pure, volatile)]
    pub fn show_image(context: NativeCallContext, this: &mut Image) {
        Host::of(&context).show(&this.view(0));
    }

    /// Shows a picture.
    ///
    /// - `width` in columns of characters at most
    ///
    /// ```
    /// load_image("sample:gradient").show(#{ width: 40 });
    /// ```
    #[rhai_fn(name = "show", return_raw, pure, volatile)]
    pub fn show_options(
        context: NativeCallContext,
        this: &mut Image,
        options: Map,
    ) -> Fallible<()> {
        let mut options = OptionMap::new("show", options);
        let width = options.integer("width", 0, 0..=500)? as usize;
        options.finish()?;
        Host::of(&context).show(&this.view(width));
        Ok(())
    }

    /// Writes a picture to a `.png` file, pixel for pixel.
    ///
    /// ```
    /// let path = temp_path("gradient.png");
    /// load_image("sample:gradient").save(path);
    /// assert(load_image(path).pixel(5, 7) == load_image("sample:gradient").pixel(5, 7));
    /// ```
    #[rhai_fn(name = "save", return_raw, pure, volatile)]
    pub fn save_image(context: NativeCallContext, this: &mut Image, path: &str) -> Fallible<()> {
        if !path.to_lowercase().ends_with(".png") {
            return Err(fail(format!("save: {path} must end in .png")));
        }
        let file = Host::of(&context).writable(path)?;
        let bytes = this.0.png().map_err(engine_failure)?;
        write_bytes(&file, &bytes).map_err(engine_failure)
    }

    /// The levels of a picture, between 0 and 1, as a tensor `[height, width, 3]`.
    ///
    /// ```
    /// assert(load_image("sample:gradient").to_tensor().shape == [64, 96, 3]);
    /// ```
    #[rhai_fn(name = "to_tensor", return_raw, pure)]
    pub fn image_to_tensor(this: &mut Image) -> Fallible<Tensor> {
        let levels = this.0.pixels.iter().map(|level| f32::from(*level) / 255.0).collect();
        let shape = [this.0.height, this.0.width, 3];
        Ok(Array::new(&shape, levels).map_err(engine_failure)?.into())
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn image_text(this: &mut Image) -> String {
        format!("Image {} x {}  {}", this.0.width, this.0.height, this.0.name)
    }
}
