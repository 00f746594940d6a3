//! A training on disk, to be continued bit for bit.
//!
//! A folder with `trainer.safetensors`, which alone is enough to go on and is replaced in one
//! piece, and beside it what others can read: the model, the adapter, or the tuned state. A program
//! that is killed at any moment leaves the last training or the new one, never half of each.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::memory::Memory;
use super::optimizer::Optimizer;
use super::{Settings, Trainer, Tune, graph};
use crate::checkpoint::{self, Checkpoint, Dtype, Entry};
use crate::data::Position;
use crate::device::Place;
use crate::model::{Loading, Model};
use crate::state::{Export, LayerState, State};
use crate::tensor::Array;
use crate::visual::{Told, Visual};
use crate::weights::Named;

/// The file that holds everything.
const FILE: &str = "trainer.safetensors";
/// Where the header keeps what is not numbers.
const FACTS: &str = "training";

/// What is not numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Facts {
    settings: Settings,
    step: usize,
    tokens: u64,
    draws: u64,
    sizes: Vec<Vec<f32>>,
    name: String,
    device: String,
    fingerprint: String,
    ctx_len: Option<usize>,
    /// What the tensors of a model with pictures do not tell.
    #[serde(default)]
    told: Option<Told>,
    source: Option<(String, Loading)>,
    positions: BTreeMap<String, Position>,
    extra: BTreeMap<String, String>,
}

/// A training that was kept.
pub struct Kept {
    file: Checkpoint,
    facts: Facts,
}

impl Trainer {
    /// Writes the training into `folder`, which is made if need be; `model` is the one that learns,
    /// and `extra` comes back from [`Kept::extra`]. What is beside it: `model.safetensors`, or for
    /// low-rank tuning `adapter_model.safetensors` with its `adapter_config.json`, or for a tuned
    /// state `time_state.pth`.
    ///
    /// # Errors
    /// When something cannot be written; the training that was there is then unchanged.
    pub fn save(
        &self,
        folder: &Path,
        model: &Model,
        extra: BTreeMap<String, String>,
    ) -> Result<()> {
        let place =
            || format!("{} cannot be made; check the disk and the rights", folder.display());
        fs::create_dir_all(folder).with_context(place)?;
        sweep(folder);
        let (mut entries, mut values) = (Vec::new(), Vec::new());
        for (name, shape, x) in self.numbers() {
            entries.push(Entry { name, shape, dtype: Dtype::F32 });
            values.push(x);
        }
        let facts = Facts {
            settings: self.settings.clone(),
            step: self.step,
            tokens: self.tokens,
            draws: self.memory.draws,
            sizes: self.memory.sizes.clone(),
            name: model.name.clone(),
            device: model.place.name.clone(),
            fingerprint: model.fingerprint(),
            ctx_len: model.ctx_len,
            told: model.visual.as_ref().map(Visual::told),
            source: model.source.clone(),
            positions: self.positions.clone(),
            extra,
        };
        let header = BTreeMap::from([(FACTS.to_string(), serde_json::to_string(&facts)?)]);
        checkpoint::write(&folder.join(FILE), &entries, &header, |i| {
            Ok(Array::of(values[i].clone()).values().into())
        })?;
        self.publish(folder, model)
    }

    /// All numbers that have to be kept, by name.
    fn numbers(&self) -> Vec<(String, Vec<usize>, Tensor<1>)> {
        let mut all = Vec::new();
        let whole = self.settings.tune == Tune::Full;
        for (p, group) in self.pupil.valid().parameters().into_iter().zip(&self.groups) {
            if whole || group.rate > 0.0 {
                all.push((format!("weights.{}", p.name), p.shape.clone(), p.values()));
            }
        }
        for (name, moments) in &self.optimizer.moments {
            for (i, x) in moments.iter().enumerate() {
                all.push((format!("moment.{i}.{name}"), x.dims().to_vec(), x.clone()));
            }
        }
        for (name, state) in
            [("first", Some(&self.first)), ("carried", self.memory.carried.as_ref())]
        {
            let layers = state.map_or(&[][..], |state| &state.layers);
            for (i, layer) in layers.iter().enumerate() {
                let mut put = |part: &str, shape: Vec<usize>, x: Tensor<1>| {
                    all.push((format!("{name}.{i}.{part}"), shape, x));
                };
                let LayerState { att_x, ffn_x, wkv, tiny } = layer.clone();
                put("att_x", att_x.dims().to_vec(), att_x.flatten(0, 1));
                put("ffn_x", ffn_x.dims().to_vec(), ffn_x.flatten(0, 1));
                put("wkv", wkv.dims().to_vec(), wkv.flatten(0, 3));
                if let Some(tiny) = tiny {
                    put("tiny", tiny.dims().to_vec(), tiny.flatten(0, 2));
                }
            }
        }
        all
    }

    /// Writes what other programs read.
    fn publish(&self, folder: &Path, model: &Model) -> Result<()> {
        let version = model.rwkv.version();
        match &self.settings.tune {
            Tune::Full => model.save(&folder.join("model.safetensors"), Dtype::F32),
            Tune::State => {
                self.first.export(&folder.join("time_state.pth"), Export::TimeState, version)
            }
            Tune::Lora { rank, alpha, .. } => {
                let factors = self.rwkv().parameters();
                let factors = factors.into_iter().filter(|p| p.is_factor());
                let rows = factors
                    .map(|p| (p.name.clone(), p.shape.clone(), Array::of(p.values()).values()));
                let rows: Vec<_> = rows.collect();
                let file = folder.join("adapter_model.safetensors");
                checkpoint::save(&file, &rows, Dtype::F32, &BTreeMap::new())?;
                let config = serde_json::json!({
                    "peft_type": "LORA", "r": rank, "lora_alpha": alpha,
                    "base_model_name_or_path": model.name,
                });
                let text = serde_json::to_string_pretty(&config)?;
                checkpoint::write_bytes(&folder.join("adapter_config.json"), text.as_bytes())
            }
        }
    }
}

/// Removes what killed programs left half-written; nothing depends on it.
fn sweep(folder: &Path) {
    let Ok(files) = fs::read_dir(folder) else { return };
    for file in files.flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') && name.ends_with(".part") {
            let _ = fs::remove_file(file.path());
        }
    }
}

impl Kept {
    /// Opens the training in a folder.
    ///
    /// # Errors
    /// When there is none, or when its file is damaged.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        ensure!(
            path.is_file(),
            "{} holds no training; trainer.save(folder) writes one.",
            folder.display()
        );
        let file = Checkpoint::open(&path)?;
        let facts = file.metadata().get(FACTS).map(|text| serde_json::from_str(text));
        match facts {
            Some(Ok(facts)) => Ok(Self { file, facts }),
            Some(Err(error)) => bail!("{} cannot be understood: {error}.", path.display()),
            None => bail!("{} is not the file of a training.", path.display()),
        }
    }

    /// What was given to [`Trainer::save`].
    pub fn extra(&self) -> &BTreeMap<String, String> {
        &self.facts.extra
    }

    /// The name of the device it ran on.
    pub fn device(&self) -> &str {
        &self.facts.device
    }

    /// The model that was trained, as it is in the folder, or loaded from where it came from.
    ///
    /// # Errors
    /// When its file is no longer there, or is another one by now.
    pub fn model(&self, place: &Place) -> Result<Model> {
        let Facts { name, source, settings, .. } = &self.facts;
        if settings.tune == Tune::Full {
            let loading = source.as_ref().map(|(_, loading)| loading.clone()).unwrap_or_default();
            let told = loading.told.clone().or(self.facts.told.clone().unwrap_or_default());
            let loading = Loading { told, ..loading };
            let mut model = Model::of(name, &self.weights()?, &loading, place)?;
            model.source.clone_from(source);
            model.ctx_len = self.facts.ctx_len;
            return Ok(model);
        }
        let Some((base, loading)) = source else {
            bail!(
                "only what was tuned is kept, and `{name}` was a new model; give it: \
                 load_trainer(folder, #{{ model: model }})."
            );
        };
        let model = Model::load(base, loading, place)?;
        ensure!(
            model.fingerprint() == self.facts.fingerprint,
            "{base} is no longer the model that was tuned: its weights are others."
        );
        Ok(model)
    }

    /// All weights by name.
    fn weights(&self) -> Result<Named> {
        let names =
            self.file.names().filter_map(|name| Some((name, name.strip_prefix("weights.")?)));
        let tensor = |(name, bare): (&str, &str)| {
            let shape = self.file.shape(name).unwrap_or_default().to_vec();
            Ok((bare.to_string(), (shape, self.file.values(name)?)))
        };
        names.map(tensor).collect()
    }

    /// The training, with `model` as the one that learns; its weights are those that were kept.
    ///
    /// # Errors
    /// When the model is another one, or when a tensor is missing.
    pub fn trainer(&self, model: &Model) -> Result<Trainer> {
        let device = &model.place.device;
        let first = self.state("first", device)?.context("the first state is missing")?;
        first.fits(&model.state())?;
        let (rwkv, visual) = (&model.rwkv, model.visual.as_ref());
        let settings = self.facts.settings.clone();
        let mut trainer = Trainer::seeing(rwkv, visual, &first, device, settings)?;
        trainer.restore(&self.file)?;
        trainer.optimizer = self.optimizer(device)?;
        let (draws, sizes) = (self.facts.draws, self.facts.sizes.clone());
        trainer.memory = Memory { carried: self.state("carried", device)?, sizes, draws };
        trainer.step = self.facts.step;
        trainer.tokens = self.facts.tokens;
        trainer.positions.clone_from(&self.facts.positions);
        Ok(trainer)
    }

    fn optimizer(&self, device: &Device) -> Result<Optimizer> {
        let mut moments: BTreeMap<String, Vec<Tensor<1>>> = BTreeMap::new();
        for i in ["moment.0.", "moment.1."] {
            for name in self.file.names().filter(|name| name.starts_with(i)) {
                let values = self.file.values(name)?;
                let count = [values.len()];
                let x = Tensor::from_data(TensorData::new(values, count), device);
                moments.entry(name[i.len()..].to_string()).or_default().push(x);
            }
        }
        Ok(Optimizer { moments })
    }

    fn state(&self, prefix: &str, device: &Device) -> Result<Option<State>> {
        let has = |i: usize| self.file.contains(&format!("{prefix}.{i}.wkv"));
        let layers = (0..).take_while(|&i| has(i)).map(|i| {
            let data = |part: &str| {
                let name = format!("{prefix}.{i}.{part}");
                let shape = self.file.shape(&name).unwrap_or_default().to_vec();
                Ok::<_, anyhow::Error>(TensorData::new(self.file.values(&name)?, shape))
            };
            let tiny = self.file.contains(&format!("{prefix}.{i}.tiny")).then(|| data("tiny"));
            Ok(LayerState {
                att_x: Tensor::from_data(data("att_x")?, device),
                ffn_x: Tensor::from_data(data("ffn_x")?, device),
                wkv: Tensor::from_data(data("wkv")?, device),
                tiny: tiny.transpose()?.map(|tiny| Tensor::from_data(tiny, device)),
            })
        });
        let layers = layers.collect::<Result<Vec<_>>>()?;
        Ok((!layers.is_empty()).then(|| State::new(layers)))
    }
}

impl Trainer {
    /// Takes over the weights of a file.
    fn restore(&mut self, file: &Checkpoint) -> Result<()> {
        let names = self.pupil.parameters().into_iter().map(|p| (p.id, p.name)).collect();
        let mut restoring = Restoring { file, names, failure: None };
        let pupil = self.pupil.valid().map(&mut restoring);
        restoring.failure.map_or(Ok(()), Err)?;
        self.pupil = graph::lift_model(&pupil, &self.names, &self.device);
        Ok(())
    }
}

/// Puts the numbers of a file in the place of those of a model.
struct Restoring<'a> {
    file: &'a Checkpoint,
    names: HashMap<ParamId, String>,
    failure: Option<anyhow::Error>,
}

impl ModuleMapper for Restoring<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.names.get(&param.id).map(|name| format!("weights.{name}"));
        let Some(name) = name.filter(|name| self.file.contains(name)) else { return param };
        let (id, x, mapper) = param.consume();
        let read = || -> Result<Tensor<D>> {
            let values = self.file.values(&name)?;
            let size: usize = x.dims().iter().product();
            ensure!(values.len() == size, "`{name}` has another size.");
            ensure!(values.iter().all(|x| x.is_finite()), "`{name}` holds infinities or NaN.");
            Ok(Tensor::from_data(TensorData::new(values, x.dims()), &x.device()))
        };
        let x = match read() {
            Ok(new) => new,
            Err(error) => {
                self.failure = Some(error.context("this is the training of another model"));
                x
            }
        };
        Param::from_mapped_value(id, x, mapper)
    }
}
