use burn::tensor::{Device, Tensor, TensorData};
use std::path::Path;

use super::Tower;
use super::tower::{Facts, Kind};
use crate::checkpoint::Checkpoint;
use crate::weights::{Source, Weights};

/// Reference numbers of a model with pictures.
pub fn golden(name: &str) -> Checkpoint {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    Checkpoint::open(&golden.join(format!("{name}.safetensors"))).unwrap()
}

/// One of them, as the only row of a batch.
pub fn numbers<const D: usize>(file: &Checkpoint, name: &str) -> Tensor<D> {
    let mut shape = file.shape(name).unwrap().to_vec();
    shape.insert(0, 1);
    let shape: [usize; D] = shape.try_into().unwrap();
    Tensor::from_data(TensorData::new(file.values(name).unwrap(), shape), &Device::flex())
}

/// The largest difference.
pub fn far<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).abs().max().into_scalar::<f32>()
}

fn tower(file: &Checkpoint, facts: &Facts) -> anyhow::Result<Tower> {
    Tower::load(&Weights::new(Source::Checkpoint(file), &Device::flex()), facts)
}

fn two_heads() -> Facts {
    Facts { heads: Some(2), ..Facts::default() }
}

const KINDS: [(&str, Kind); 5] = [
    ("tower_clip", Kind::Clip),
    ("tower_siglip", Kind::Siglip),
    ("tower_dinov2", Kind::Dinov2),
    ("tower_timm", Kind::Timm),
    ("tower_sam", Kind::Sam),
];

#[test]
fn every_tower_gives_the_reference_numbers() {
    for (name, kind) in KINDS {
        let file = golden(name);
        let tower = tower(&file, &two_heads()).unwrap();
        assert_eq!(tower.kind(), kind);
        let pixels: Tensor<4> = numbers(&file, "golden.pixels");
        let found = tower.forward(pixels.clone());
        assert!(far(found.patches, numbers(&file, "golden.patches")) < 1e-5, "{name}");
        let Some(vit) = tower.vit() else { continue };
        for blocks in 0..=vit.blocks.len() {
            let expected = numbers::<3>(&file, &format!("golden.hidden.{blocks}"));
            assert!(far(vit.hidden(pixels.clone(), blocks), expected) < 1e-5, "{name} {blocks}");
        }
        assert_eq!(found.class.is_some(), kind == Kind::Clip);
        if let Some(class) = found.class {
            let last: Tensor<3> = numbers(&file, &format!("golden.hidden.{}", vit.blocks.len()));
            assert!(far(class, last.narrow(1, 0, 1)) < 1e-5);
        }
    }
}

#[test]
fn pictures_of_a_batch_do_not_touch() {
    for (name, _) in KINDS {
        let file = golden(name);
        let tower = tower(&file, &two_heads()).unwrap();
        let first: Tensor<4> = numbers(&file, "golden.pixels");
        let second = first.clone().flip([2]) * 0.5;
        let both = tower.forward(Tensor::cat(vec![first.clone(), second.clone()], 0)).patches;
        for (i, alone) in [first, second].into_iter().enumerate() {
            let alone = tower.forward(alone).patches;
            assert!(far(both.clone().narrow(0, i, 1), alone) < 1e-6, "{name}");
        }
    }
}

#[test]
fn a_tower_reads_pictures_of_the_size_of_its_positions() {
    let sizes =
        KINDS.map(|(name, _)| tower(&golden(name), &two_heads()).unwrap().preprocess().size());
    assert_eq!(sizes, [[6, 6], [6, 6], [6, 6], [6, 6], [12, 12]]);
}

#[test]
fn what_is_no_tower_is_said() {
    let file = golden("tower_clip");
    // Eight channels are no heads of 64.
    let error = tower(&file, &Facts::default()).unwrap_err().to_string();
    assert!(error.contains("8 channels") && error.contains("`heads`"), "{error}");
    let facts = Facts { heads: Some(3), ..Facts::default() };
    let error = tower(&file, &facts).unwrap_err().to_string();
    assert_eq!(error, "8 channels are not 3 heads.");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/v7.safetensors");
    let error = Tower::open(&golden, &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("holds no vision tower known here"), "{error}");
}
