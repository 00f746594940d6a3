//! What a script does with a view besides showing it: saving it as a picture, its numbers.

use crate::View;
use crate::host::{Fallible, Host, engine_failure, fail};
use crate::options::OptionMap;
use crate::picture::{Picture, natural_height, svg};
use rhai::plugin::*;
use rhai::{INT, Map, Module};
use rwkv_engine::checkpoint::write_bytes;
use std::path::Path;

/// Pixels from side to side, if nothing else is said.
const WIDTH: i64 = 960;
/// A PNG larger than this would hardly open anywhere.
const LARGEST: i64 = 8192;

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

fn save(host: &Host, view: &View, path: &str, options: Map) -> Fallible<()> {
    let mut options = OptionMap::new("save", options);
    let width = options.integer("width", WIDTH, 64..=LARGEST)? as u32;
    let natural = i64::from(natural_height(view, width)).clamp(16, LARGEST);
    let height = options.integer("height", natural, 16..=LARGEST)? as u32;
    options.finish()?;
    let ending = Path::new(path).extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let file = host.writable(path)?;
    let bytes = match ending.as_deref() {
        Some("png") => Picture::new(view, width, height).and_then(|picture| picture.png()),
        Some("svg") => svg(view, width, height).map(String::into_bytes),
        Some("json") => Ok(view.to_json().into_bytes()),
        Some("txt") => Ok((view.draw(&crate::Canvas::default()) + "\n").into_bytes()),
        _ => return Err(fail(format!("save: {path} must end in .png, .svg, .json or .txt"))),
    };
    bytes.and_then(|bytes| write_bytes(&file, &bytes)).map_err(engine_failure)
}

#[export_module]
mod functions {
    /// Writes a view to a file, by its ending: `.png` and `.svg` as a picture, `.json` as numbers,
    /// `.txt` as a screen of 80 columns shows it.
    ///
    /// ```
    /// plot::line([3, 2, 1]).save(temp_path("loss.svg"));
    /// ```
    #[rhai_fn(name = "save", return_raw, pure, volatile)]
    pub fn save_view(context: NativeCallContext, this: &mut View, path: &str) -> Fallible<()> {
        save(&Host::of(&context), this, path, Map::new())
    }

    /// Writes a view to a file.
    ///
    /// - `width` of the picture in pixels, 960
    /// - `height` in pixels; what suits the view
    ///
    /// ```
    /// plot::heatmap([[0, 1], [2, 3]]).save(temp_path("map.png"), #{ width: 400 });
    /// ```
    #[rhai_fn(name = "save", return_raw, pure, volatile)]
    pub fn save_options(
        context: NativeCallContext,
        this: &mut View,
        path: &str,
        options: Map,
    ) -> Fallible<()> {
        save(&Host::of(&context), this, path, options)
    }

    /// The numbers and words of a view as JSON.
    ///
    /// ```
    /// assert(table([#{ a: 1 }]).to_json() == `[{"a":1}]`);
    /// ```
    #[rhai_fn(name = "to_json", pure)]
    pub fn view_to_json(this: &mut View) -> String {
        this.to_json()
    }

    /// The view as the text that a screen of so many columns would show.
    ///
    /// ```
    /// assert(plot::bar(["a"], [1]).to_text(20).len() <= 20);
    /// ```
    #[rhai_fn(name = "to_text", return_raw, pure)]
    pub fn to_text_of_width(this: &mut View, columns: INT) -> Fallible<String> {
        let width = usize::try_from(columns).ok().filter(|width| (1..=10_000).contains(width));
        let width = width.ok_or_else(|| fail("to_text: the columns must be 1 to 10000"))?;
        Ok(this.draw(&crate::Canvas { width, ..crate::Canvas::default() }))
    }
}
