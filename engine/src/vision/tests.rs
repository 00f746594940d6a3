use burn::tensor::{Device, Tensor, TensorData};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::Facts;
use super::Tower;
use super::tower::Kind;
use crate::checkpoint::Checkpoint;
use crate::weights::{Named, Source, Weights};

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

fn never() -> AtomicBool {
    AtomicBool::new(false)
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
        let found = tower.forward(pixels.clone(), &never()).unwrap();
        assert!(far(found.patches, numbers(&file, "golden.patches")) < 1e-5, "{name}");
        let Some(vit) = tower.vit() else { continue };
        for blocks in 0..=vit.blocks.len() {
            let expected = numbers::<3>(&file, &format!("golden.hidden.{blocks}"));
            assert!(
                far(vit.hidden(pixels.clone(), blocks, &never()).unwrap(), expected) < 1e-5,
                "{name} {blocks}"
            );
        }
        assert_eq!(found.class.is_some(), kind == Kind::Clip);
        if let Some(class) = found.class {
            let last: Tensor<3> = numbers(&file, &format!("golden.hidden.{}", vit.blocks.len()));
            assert!(far(class, last.narrow(1, 0, 1)) < 1e-5);
        }
    }
}

#[test]
fn names_saved_are_names_loaded() {
    for (name, _) in KINDS {
        let file = golden(name);
        let parameters = tower(&file, &two_heads()).unwrap().parameters("vit");
        let names: Vec<_> = parameters.iter().map(|p| p.name.clone()).collect();
        let named: Named = parameters
            .into_iter()
            .map(|p| {
                (
                    p.name.clone(),
                    (p.shape.clone(), p.values().into_data().try_to_vec::<f32>().unwrap()),
                )
            })
            .collect();
        assert_eq!(named.len(), names.len(), "{name}: {names:?}");
        let device = Device::flex();
        let again = Weights::new(Source::Made(&named), &device).at("vit");
        let again = Tower::load(&again, &two_heads()).unwrap();
        let found = again.forward(numbers(&file, "golden.pixels"), &never()).unwrap();
        assert!(far(found.patches, numbers(&file, "golden.patches")) < 1e-5, "{name}");
        // As the file has them, but for axes of size 1.
        let shape = |shape: &[usize]| shape.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
        for (stored, (sizes, _)) in &named {
            let bare = stored.trim_start_matches("vit.");
            let bare =
                if file.shape(bare).is_some() { bare } else { &bare["vision_model.".len()..] };
            assert_eq!(shape(file.shape(bare).unwrap()), shape(sizes), "{name} {stored}");
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
        let both = tower.forward(Tensor::cat(vec![first.clone(), second.clone()], 0), &never());
        let both = both.unwrap().patches;
        for (i, alone) in [first, second].into_iter().enumerate() {
            let alone = tower.forward(alone, &never()).unwrap().patches;
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
    let error = tower(&golden("v7"), &Facts::default()).unwrap_err().to_string();
    assert!(error.contains("holds no vision tower known here"), "{error}");
}
