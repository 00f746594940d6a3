//! Training of models that see.

use std::sync::atomic::AtomicBool;

use crate::data::{Batch, Pictures, Shown};
use crate::device::choose;
use crate::image::Image;
use crate::model::{Loading, Model};
use crate::tensor::Array;
use crate::train::{Kept, Pattern, Settings, Trainer};

static GO: AtomicBool = AtomicBool::new(false);

fn toy(name: &str) -> Model {
    Model::load(name, &Loading::default(), &choose("cpu").unwrap()).unwrap()
}

/// Three rows: a picture, none, another one; aligned where the model needs it.
fn batch(model: &Model) -> Batch {
    let reads = model.eyes().unwrap().reads();
    let mut pictures = Pictures::new(&reads);
    let (mut tokens, mut weights) = (Vec::new(), Vec::new());
    for row in 0..3 {
        let image = Image::gradient(40 + row, 90);
        let picture = (row != 1).then(|| pictures.add(reads.numbers(&image).unwrap()));
        let shows = picture.is_some() || reads.aligned;
        let at = if reads.aligned { 3 } else { 2 + row };
        let shown = shows.then_some(Shown { at, rows: 0..reads.rows, picture });
        let mut ids: Vec<u32> = (0..reads.rows + 12).map(|i| (i * 7 + row) as u32 % 250).collect();
        if let Some(Shown { at, .. }) = shown {
            ids[at..at + reads.rows].fill(0);
        }
        weights.extend((0..ids.len()).map(|i| if i + 6 > ids.len() { 1.0 } else { 0.0 }));
        tokens.extend(ids);
        pictures.rows.push(shown.into_iter().collect());
    }
    let width = tokens.len() / 3;
    Batch::weighted(tokens, weights, width).unwrap().illustrated(pictures).unwrap()
}

fn trainer(model: &Model, settings: Settings) -> Trainer {
    let (rwkv, visual, state) = (&model.rwkv, model.visual.as_ref(), model.state());
    Trainer::seeing(rwkv, visual, &state, &model.place.device, settings).unwrap()
}

fn plain() -> Settings {
    Settings { l2wrap: 0.0, ..Settings::default() }
}

/// The loss when one number of a parameter is another one.
fn changed(model: &Model, name: &str, at: usize, by: f32) -> f64 {
    let mut named: crate::weights::Named = model
        .parameters()
        .into_iter()
        .map(|p| (p.name.clone(), (p.shape.clone(), Array::of(p.values()).values())))
        .collect();
    named.get_mut(name).unwrap().1[at] += by;
    let told = model.visual.as_ref().unwrap().told();
    let loading = Loading { told, ..Loading::default() };
    let model = Model::of("changed", &named, &loading, &model.place).unwrap();
    trainer(&model, plain()).evaluate(&batch(&model), &GO).unwrap()
}

#[test]
fn gradients_are_slopes_of_the_loss() {
    let tower = "vit.vision_model.encoder.layers.1.self_attn.v_proj.weight";
    let patch = "vit.vision_model.embeddings.patch_embedding.weight";
    for (name, proj) in [("toy:visualrwkv6", "weight"), ("toy:visualrwkv7", "o_proj.weight")] {
        let model = toy(name);
        let (_, found) = trainer(&model, plain()).gradients(&batch(&model), &GO).unwrap();
        for parameter in [&format!("proj.{proj}"), tower, patch, "rwkv.emb.weight"] {
            let gradient = Array::of(found[parameter].clone()).values();
            let largest =
                |(_, a): &(usize, &f32), (_, b): &(usize, &f32)| a.abs().total_cmp(&b.abs());
            let (at, &slope) = gradient.iter().enumerate().max_by(largest).unwrap();
            let step = 5e-3;
            let rise = changed(&model, parameter, at, step) - changed(&model, parameter, at, -step);
            let measured = rise / f64::from(2.0 * step);
            let far = (measured - f64::from(slope)).abs() / f64::from(slope.abs());
            assert!(far < 2e-2, "{name} {parameter}: {measured} and {slope}");
        }
    }
}

#[test]
fn parts_of_a_batch_give_the_gradients_of_the_whole() {
    for name in ["toy:visualrwkv6", "toy:visualrwkv7"] {
        let model = toy(name);
        let of = |accumulate| {
            let settings = Settings { accumulate, ..plain() };
            trainer(&model, settings).gradients(&batch(&model), &GO).unwrap()
        };
        let (whole, parts) = (of(1), of(3));
        assert!((whole.0 - parts.0).abs() < 1e-6);
        assert!(whole.1.keys().any(|name| name.starts_with("vit.")));
        for (name, gradient) in whole.1 {
            let largest = gradient.clone().abs().max().into_scalar::<f32>();
            let far = (gradient - parts.1[&name].clone()).abs().max().into_scalar::<f32>();
            assert!(far < 1e-5 * (1.0 + largest), "{name}: {far} of {largest}");
        }
    }
}

#[test]
fn the_first_stage_teaches_the_projector_alone() {
    for name in ["toy:visualrwkv6", "toy:visualrwkv7"] {
        let model = toy(name);
        let freeze = ["rwkv", "vit"].map(|part| Pattern(part.to_string())).to_vec();
        let mut settings = Settings { freeze, ..plain() };
        settings.schedule.lr_init = 1e-2;
        settings.schedule.lr_final = 1e-2;
        let mut trainer = trainer(&model, settings);
        let batch = batch(&model);
        let first = trainer.train_step(&batch, &GO).unwrap().loss;
        (0..20).for_each(|_| _ = trainer.train_step(&batch, &GO).unwrap());
        let last = trainer.evaluate(&batch, &GO).unwrap();
        assert!(last < first - 0.05, "{name}: {first} to {last}");
        let mut learnt = model.clone();
        learnt.learn(&trainer);
        for (before, after) in model.parameters().into_iter().zip(learnt.parameters()) {
            let same = before.values().to_data() == after.values().to_data();
            assert_eq!(same, !before.name.starts_with("proj."), "{}", before.name);
        }
    }
}

#[test]
fn a_training_is_continued_bit_for_bit() {
    let folder = std::env::temp_dir().join(format!("rwkv-pupil-{}", std::process::id()));
    let model = toy("toy:visualrwkv7");
    let batch = batch(&model);
    let mut straight = trainer(&model, plain());
    straight.train_step(&batch, &GO).unwrap();
    let mut learnt = model.clone();
    learnt.learn(&straight);
    straight.save(&folder, &learnt, Default::default()).unwrap();
    let kept = Kept::open(&folder).unwrap();
    let again = kept.model(&model.place).unwrap();
    let mut resumed = kept.trainer(&again).unwrap();
    for _ in 0..2 {
        let (a, b) = (straight.train_step(&batch, &GO), resumed.train_step(&batch, &GO));
        assert_eq!(a.unwrap().loss.to_bits(), b.unwrap().loss.to_bits());
    }
    // What it writes beside is a model that sees.
    let file = folder.join("model.safetensors");
    let loaded = Model::load(&file.to_string_lossy(), &Loading::default(), &model.place).unwrap();
    assert_eq!(loaded.visual.unwrap().told(), model.visual.unwrap().told());
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn chunks_and_blind_models_are_refused() {
    let model = toy("toy:visualrwkv7");
    let settings = Settings { chunk: 8, ..plain() };
    let error = trainer(&model, settings).train_step(&batch(&model), &GO).unwrap_err();
    assert!(error.to_string().contains("`chunk`"), "{error}");
    let blind = toy("toy:rwkv7");
    let error = trainer(&blind, plain()).train_step(&batch(&model), &GO).unwrap_err();
    assert!(error.to_string().contains("a model that sees"), "{error}");
}
