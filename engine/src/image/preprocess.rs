//! From a picture to what a vision tower reads: resized, cut out, brought to mean 0.

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Image;
use super::resample::{Filter, resample};

/// How a picture comes to the size that a tower reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resize {
    /// Its shorter side becomes this long; the other side follows.
    Shortest(usize),
    /// To this width and height, whatever its sides were.
    To([usize; 2]),
}

/// What is done to a picture before a tower reads it; tells the same as `preprocessor_config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// Its new size.
    pub resize: Resize,
    /// How its pixels are found.
    pub filter: Filter,
    /// Width and height of what is cut out of its middle, if anything is.
    pub crop: Option<[usize; 2]>,
    /// Taken from each channel, out of 0 to 1.
    pub mean: [f32; 3],
    /// What each channel is divided by then.
    pub deviation: [f32; 3],
}

/// Mean and deviation of the pictures that CLIP was trained on.
const CLIP: ([f32; 3], [f32; 3]) =
    ([0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_6, 0.275_777_1]);
/// Those of ImageNet.
const IMAGENET: ([f32; 3], [f32; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
/// From 0 to 1 to −1 to 1.
const HALF: ([f32; 3], [f32; 3]) = ([0.5; 3], [0.5; 3]);

impl Preprocess {
    /// As CLIP of this size reads: the middle square of the picture.
    pub fn clip(size: usize) -> Self {
        Self::new(Resize::Shortest(size), Some([size; 2]), CLIP)
    }

    /// As SigLIP of this size reads: all of the picture, made square.
    pub fn siglip(size: usize) -> Self {
        Self::new(Resize::To([size; 2]), None, HALF)
    }

    /// As the towers with ImageNet's colours read inside VisualRWKV (DINOv2, SAM): made square.
    pub fn imagenet(size: usize) -> Self {
        Self::new(Resize::To([size; 2]), None, IMAGENET)
    }

    fn new(resize: Resize, crop: Option<[usize; 2]>, colours: ([f32; 3], [f32; 3])) -> Self {
        let (mean, deviation) = colours;
        Self { resize, filter: Filter::Bicubic, crop, mean, deviation }
    }

    /// What a `preprocessor_config.json` asks for.
    ///
    /// # Errors
    /// When it is not JSON, lacks the size, or asks for something that no tower here needs.
    pub fn of_config(text: &str) -> Result<Self> {
        let config: Value = serde_json::from_str(text).context("is not JSON")?;
        let wanted = |key: &str| config[key].as_bool().unwrap_or(true);
        for step in ["do_resize", "do_rescale", "do_normalize"] {
            ensure!(wanted(step), "asks for `{step}: false`, which no tower here does.");
        }
        let size = [&config["size"], &config["resize"]].into_iter().find(|x| !x.is_null());
        let size = size.context("has no `size`")?;
        let resize = match size["shortest_edge"].as_u64().or(size.as_u64()) {
            Some(edge) => Resize::Shortest(edge as usize),
            None => Resize::To(sides(size).context("has no `size` of width and height")?),
        };
        let cropped = wanted("do_center_crop") && !config["crop_size"].is_null();
        let crop =
            cropped.then(|| sides(&config["crop_size"]).context("has a strange `crop_size`"));
        let number = config["resample"].as_u64().unwrap_or(3);
        let Some(filter) = Filter::numbered(number) else {
            bail!("asks for `resample: {number}`; 1, 2 and 3 are known.")
        };
        let [mean, deviation] = ["image_mean", "image_std"].map(|key| colour(&config[key]));
        Ok(Self {
            resize,
            filter,
            crop: crop.transpose()?,
            mean: mean.context("has no `image_mean` of three numbers")?,
            deviation: deviation.context("has no `image_std` of three numbers")?,
        })
    }

    /// Width and height of what the tower reads.
    pub fn size(&self) -> [usize; 2] {
        match (self.crop, self.resize) {
            (Some(size), _) | (None, Resize::To(size)) => size,
            (None, Resize::Shortest(edge)) => [edge; 2],
        }
    }

    /// The picture as a tower reads it, `[1, 3, height, width]`.
    ///
    /// # Errors
    /// When it is so thin that it would take more than 400 MB of memory.
    pub fn pixels(&self, image: &Image, device: &Device) -> Result<Tensor<4>> {
        let [width, height] = self.size();
        let data = TensorData::new(self.numbers(image)?, [1, 3, height, width]);
        Ok(Tensor::from_data(data, device))
    }

    /// The numbers of [`Preprocess::pixels`], channel after channel, row after row.
    ///
    /// # Errors
    /// As [`Preprocess::pixels`].
    pub fn numbers(&self, image: &Image) -> Result<Vec<f32>> {
        let seen = self.seen(image)?;
        let channel = |channel: usize| {
            let (mean, deviation) = (self.mean[channel], self.deviation[channel]);
            let levels = seen.pixels.iter().skip(channel).step_by(3);
            levels.map(move |&level| (f32::from(level) * (1.0 / 255.0) - mean) / deviation)
        };
        Ok([0, 1, 2].into_iter().flat_map(channel).collect())
    }

    /// The part of the picture that is seen, in the size in which it is.
    fn seen(&self, image: &Image) -> Result<Image> {
        let (width, height) = (image.width, image.height);
        let size = match self.resize {
            Resize::To(size) => size,
            Resize::Shortest(edge) if width <= height => [edge, edge * height / width],
            Resize::Shortest(edge) => [edge * width / height, edge],
        };
        let [wide, high] = self.crop.unwrap_or(size);
        ensure!(
            wide <= size[0] && high <= size[1],
            "a part of {wide} × {high} pixels cannot be cut out of {} × {}.",
            size[0],
            size[1]
        );
        // Of a thin strip much more lies beside the part than in it: the part alone is made.
        let [left, top] = [(size[0] - wide) / 2, (size[1] - high) / 2];
        resample(image, size, [left..left + wide, top..top + high], self.filter)
    }
}

/// Width and height, from `{"width": .., "height": ..}`, `[height, width]` or one number.
fn sides(value: &Value) -> Option<[usize; 2]> {
    let side = |value: &Value| value.as_u64().map(|side| side as usize);
    match value {
        Value::Array(_) => Some([side(&value[1])?, side(&value[0])?]),
        Value::Object(_) => Some([side(&value["width"])?, side(&value["height"])?]),
        _ => side(value).map(|side| [side; 2]),
    }
}

/// A number for each channel.
fn colour(value: &Value) -> Option<[f32; 3]> {
    let numbers: Vec<f32> =
        value.as_array()?.iter().filter_map(Value::as_f64).map(|x| x as f32).collect();
    numbers.try_into().ok()
}
