//! What tensors do not tell of a tower.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::image::Preprocess;

/// What tensors do not tell of a tower.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Heads of a block; 64 channels each where it is not said, 72 in SigLIP so400m.
    pub heads: Option<usize>,
    /// Sides of the square picture that is read; what its positions were made for if not said.
    pub size: Option<usize>,
    /// How pictures are made ready; as the kind of tower usually does if not said.
    pub preprocess: Option<Preprocess>,
}

impl Facts {
    /// What `config.json` and `preprocessor_config.json` say in a directory, or beside a file.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub fn beside(path: &Path) -> Result<Self> {
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        let text = |name: &str| {
            let path = folder.join(name);
            let shown = path.display().to_string();
            path.is_file().then(|| fs::read_to_string(&path).context(shown)).transpose()
        };
        let mut facts = Self::default();
        if let Some(text) = text("config.json")? {
            let config: Value = serde_json::from_str(&text).context("config.json is not JSON")?;
            // The whole CLIP model keeps those of its tower apart.
            let config = if config["vision_config"].is_object() {
                &config["vision_config"]
            } else {
                &config
            };
            let number = |keys: [&str; 2]| keys.iter().find_map(|key| config[*key].as_u64());
            facts.heads = number(["num_attention_heads", "num_heads"]).map(|n| n as usize);
            facts.size = number(["image_size", "img_size"]).map(|n| n as usize);
        }
        if let Some(text) = text("preprocessor_config.json")? {
            let found = Preprocess::of_config(&text);
            let found = found.map_err(|error| error.context("preprocessor_config.json"));
            facts.preprocess = Some(found?);
        }
        Ok(facts)
    }
}
