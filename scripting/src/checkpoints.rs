//! Files of models: loading, looking at them, turning one kind into another.

use crate::host::{Fallible, Host, engine_failure};
use crate::model::{Model, place};
use crate::options::OptionMap;
use crate::{Table, View};
use rhai::plugin::*;
use rhai::{Map, Module};
use rwkv_engine::adapter::Adapter;
use rwkv_engine::checkpoint::Dtype;
use rwkv_engine::info::{Conversion, Info, convert as rewrite};
use rwkv_engine::model::{Loading, Model as Engine};
use rwkv_engine::progress::Progress;
use rwkv_engine::weights::{HEAD_EPS, Keep};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What a file is, as `rwkv info` shows it.
#[derive(Clone, Debug)]
pub struct FileInfo(Info);

impl FileInfo {
    /// A row for everything that is known.
    pub fn view(&self) -> View {
        let rows = self.0.rows().into_iter().map(|(key, value)| vec![key.to_string(), value]);
        View::Table(Table::new(&["property", "value"], rows.collect()))
    }
}

/// What the file at `path` is, without reading its numbers: a table, or JSON.
///
/// # Errors
/// In one sentence, when it is no checkpoint.
pub fn describe(path: &Path, json: bool) -> Result<View, String> {
    let info = Info::of(path).map_err(|error| format!("{error:#}"))?;
    Ok(if json { View::Text(info.to_json()) } else { FileInfo(info).view() })
}

/// What `rwkv convert` does to the numbers on the way.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// `f32`, `bf16` or `f16`; `q8` or `q4` for large matrices; else every tensor keeps its own.
    pub dtype: Option<String>,
    /// Adapters to add.
    pub lora: Vec<PathBuf>,
    /// Their strength, in place of their own.
    pub alpha: Option<f64>,
}

impl Changes {
    fn conversion(&self, progress: &Arc<Progress>) -> anyhow::Result<Conversion> {
        let adapters = self.lora.iter().map(|path| Adapter::open(path, self.alpha));
        Ok(Conversion {
            dtype: self.dtype.as_deref().map(Dtype::converted).transpose()?,
            adapters: adapters.collect::<anyhow::Result<_>>()?,
            progress: progress.clone(),
        })
    }
}

/// Writes the checkpoint `from` anew as `to`, a `.pth` or a `.safetensors`; `stop` ends it, and
/// `progress` is told how far it is.
///
/// # Errors
/// In one sentence, when that cannot be done; an older `to` is then unchanged.
pub fn convert(
    from: &Path,
    to: &Path,
    changes: &Changes,
    stop: &AtomicBool,
    progress: &Arc<Progress>,
) -> Result<(), String> {
    let converted = changes.conversion(progress).and_then(|done| rewrite(from, to, &done, stop));
    converted.map_err(|error| format!("{error:#}"))
}

fn load(host: &Host, path: &str, options: Map) -> Fallible<Model> {
    let mut options = OptionMap::new("load_model", options);
    let device = options.text("device", &host.options.device)?;
    let mut file = |key| -> Fallible<Option<PathBuf>> {
        let path = options.text(key, "")?;
        Ok((!path.is_empty()).then(|| host.readable(&path)))
    };
    let (tokenizer, state, vision) = (file("tokenizer")?, file("state")?, file("vision")?);
    let told = crate::seeing::told(&mut options)?;
    let lora = options.texts("lora")?.iter().map(|path| host.readable(path)).collect();
    let alpha = alpha(&mut options)?;
    let head_eps = options.number("head_eps", HEAD_EPS, 0.0..=1.0)?;
    let keep = options.one_of("dtype", &Keep::ALL)?.unwrap_or_default();
    let sparse = options.flag("sparse", false)?;
    let cache = match options.integer("cache", -1, -1..=1 << 20)? {
        -1 => None,
        megabytes => Some(megabytes as usize * 1_000_000),
    };
    options.finish()?;
    let beside = host.readable(path);
    let name = if beside.exists() { beside.to_string_lossy() } else { path.into() };
    let progress = host.progress.clone();
    let head_eps = Some(head_eps);
    let loading = Loading {
        tokenizer,
        lora,
        alpha,
        state,
        head_eps,
        keep,
        sparse,
        vision,
        told,
        cache,
        progress,
    };
    let model = Engine::load(&name, &loading, &place(host, &device)?).map_err(engine_failure)?;
    Ok(Model::new(host, model))
}

fn alpha(options: &mut OptionMap) -> Fallible<Option<f64>> {
    let alpha = options.number("alpha", f64::NAN, -1e6..=1e6);
    alpha.map(|alpha| (!alpha.is_nan()).then_some(alpha))
}

fn save(host: &Host, model: &Model, path: &str, dtype: &str) -> Fallible<()> {
    let dtype = Dtype::named(dtype).map_err(engine_failure)?;
    model.engine().save(&host.writable(path)?, dtype).map_err(engine_failure)
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// What a checkpoint is.
    pub type FileInfo = super::FileInfo;

    /// Loads a model: `demo:tales` (trained), `toy:rwkv7` and other toys (random), or what is on
    /// disk: `.pth`, safetensors, `.st`, GGUF, rwkv.cpp's `.bin` or a Hugging Face directory. The
    /// version is told by the names in the file.
    ///
    /// ```
    /// let model = load_model("toy:rwkv4");
    /// print(model);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn load_model(context: NativeCallContext, path: &str) -> Fallible<Model> {
        load(&Host::of(&context), path, Map::new())
    }

    /// Loads a model with options.
    ///
    /// - `device` where it runs: `cpu`, `ndarray`, `cuda:0`, `auto`
    /// - `tokenizer` path of a `tokenizer.json` or a `rwkv_vocab` file
    /// - `lora` path of an adapter (LoRA, PiSSA, DoRA, MiSS), or several, added to the weights
    /// - `alpha` strength of LoRA, which adds α / rank times its product; the adapter's own
    /// - `state` path of a state from which every text then starts
    /// - `dtype` of large matrices in memory: "f32", "bf16", "f16", or "q8" and "q4", blocks of 32 numbers
    ///   of 8 and 4 bits; as in the file if not said
    /// - `sparse` true for channel-mix to read only those weights of 16 bits that are not multiplied with
    ///   zero, of which there are many: quicker to generate with, slower to load
    /// - `cache` megabytes of states to keep after the beginnings of texts, see `model.cache`; 0 to
    ///   read everything anew
    /// - `head_eps` ε of the head norms, 64e-5 as in the released models
    ///
    /// ```
    /// let model = load_model("toy:rwkv7", #{ device: "cpu" });
    /// ```
    #[rhai_fn(name = "load_model", return_raw, volatile)]
    pub fn load_options(context: NativeCallContext, path: &str, options: Map) -> Fallible<Model> {
        load(&Host::of(&context), path, options)
    }

    /// What a checkpoint is, told without reading its numbers: version, sizes, types, tokenizer,
    /// memory. Each row is a property, under the name that `to_json` gives it.
    ///
    /// ```
    /// load_model("toy:rwkv7").save(temp_path("toy.pth"));
    /// let about = info(temp_path("toy.pth"));
    /// show(about);
    /// assert(about.version == "RWKV-7" && about.n_layer == 2);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn info(context: NativeCallContext, path: &str) -> Fallible<FileInfo> {
        let file = Host::of(&context).readable(path);
        Info::of(&file).map(FileInfo).map_err(engine_failure)
    }

    /// What is known of the file, as JSON.
    ///
    /// ```
    /// load_model("toy:rwkv7").save(temp_path("toy.pth"));
    /// print(info(temp_path("toy.pth")).to_json());
    /// ```
    #[rhai_fn(pure)]
    pub fn to_json(this: &mut FileInfo) -> String {
        this.0.to_json()
    }

    /// One property of a file, `()` where it has none of that name.
    #[rhai_fn(index_get, return_raw, pure)]
    pub fn property(
        context: NativeCallContext,
        this: &mut FileInfo,
        name: &str,
    ) -> Fallible<Dynamic> {
        let map = context.engine().parse_json(this.0.to_json(), true)?;
        Ok(map.get(name).cloned().unwrap_or_default())
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_text(this: &mut FileInfo) -> String {
        this.view().draw(&crate::Canvas::default())
    }

    /// Writes a checkpoint of any kind as safetensors or `.pth` (told by the ending), with the
    /// names of BlinkDL's files; every tensor keeps its type.
    ///
    /// ```
    /// load_model("toy:rwkv6").save(temp_path("toy.pth"), "bf16");
    /// convert(temp_path("toy.pth"), temp_path("toy.safetensors"));
    /// assert(load_model(temp_path("toy.safetensors")).dtype == "bf16");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn convert(context: NativeCallContext, from: &str, to: &str) -> Fallible<()> {
        convert_options(context, from, to, Map::new())
    }

    /// Writes a checkpoint anew with options.
    ///
    /// - `dtype` `f32`, `bf16` or `f16` for all tensors; `q8` or `q4` for large matrices, in a
    ///   `.safetensors` that only this program reads, and is loaded at once
    /// - `lora` path of an adapter to add to the weights, or several
    /// - `alpha` strength of LoRA, which adds α / rank times its product; the adapter's own
    ///
    /// ```
    /// load_model("toy:rwkv6").save(temp_path("toy.pth"));
    /// convert(temp_path("toy.pth"), temp_path("half.pth"), #{ dtype: "f16" });
    /// assert(load_model(temp_path("half.pth")).dtype == "f16");
    /// ```
    #[rhai_fn(name = "convert", return_raw, volatile)]
    pub fn convert_options(
        context: NativeCallContext,
        from: &str,
        to: &str,
        options: Map,
    ) -> Fallible<()> {
        let host = Host::of(&context);
        let mut options = OptionMap::new("convert", options);
        let dtype = Some(options.text("dtype", "")?).filter(|dtype| !dtype.is_empty());
        let lora = options.texts("lora")?.iter().map(|path| host.readable(path)).collect();
        let changes = Changes { dtype, lora, alpha: alpha(&mut options)? };
        options.finish()?;
        let (from, to) = (host.readable(from), host.writable(to)?);
        let conversion = changes.conversion(&host.progress).map_err(engine_failure)?;
        rewrite(&from, &to, &conversion, &host.interrupt).map_err(engine_failure)
    }

    /// Writes the weights in single precision with the names of BlinkDL's files: as a `.pth` for
    /// PyTorch or a `.safetensors`, as the path ends.
    ///
    /// ```
    /// load_model("toy:rwkv4").save(temp_path("toy.safetensors"));
    /// assert(load_model(temp_path("toy.safetensors")).n_layer == 2);
    /// ```
    #[rhai_fn(name = "save", return_raw, pure, volatile)]
    pub fn save_model(context: NativeCallContext, this: &mut Model, path: &str) -> Fallible<()> {
        save(&Host::of(&context), this, path, "f32")
    }

    /// Writes the weights as `f32`, `bf16` or `f16`.
    ///
    /// ```
    /// load_model("toy:rwkv7").save(temp_path("toy.pth"), "bf16");
    /// assert(load_model(temp_path("toy.pth")).dtype == "bf16");
    /// ```
    #[rhai_fn(name = "save", return_raw, pure, volatile)]
    pub fn save_as(
        context: NativeCallContext,
        this: &mut Model,
        path: &str,
        dtype: &str,
    ) -> Fallible<()> {
        save(&Host::of(&context), this, path, dtype)
    }

    /// Writes the weights with options.
    ///
    /// - `dtype` `f32` (the default), `bf16` or `f16`
    ///
    /// ```
    /// load_model("toy:rwkv7").save(temp_path("toy.pth"), #{ dtype: "f16" });
    /// assert(load_model(temp_path("toy.pth")).dtype == "f16");
    /// ```
    #[rhai_fn(name = "save", return_raw, pure, volatile)]
    pub fn save_options(
        context: NativeCallContext,
        this: &mut Model,
        path: &str,
        options: Map,
    ) -> Fallible<()> {
        let mut options = OptionMap::new("save", options);
        let dtype = options.text("dtype", "f32")?;
        options.finish()?;
        save(&Host::of(&context), this, path, &dtype)
    }
}
