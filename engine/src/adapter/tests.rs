use super::*;
use crate::checkpoint::{Dtype, save};

/// A weight without its adapters: what a test compares with.
fn by_hand(out: usize, input: usize, x: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    (0..out * input).map(|i| x(i / input, i % input)).collect()
}

const W: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // [2, 3]
const A: [f32; 3] = [1.0, 0.0, -1.0]; // [1, 3]
const B: [f32; 2] = [2.0, 3.0]; // [2, 1]
const NAME: &str = "blocks.0.att.key.weight";

fn folder(test: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rwkv-adapter-{test}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The weight `W` after an adapter of these tensors.
fn merged(test: &str, tensors: &[(&str, &[usize], &[f32])], alpha: Option<f64>) -> Vec<f32> {
    let path = folder(test).join("adapter.pth");
    let named = |(name, shape, values): &(&str, &[usize], &[f32])| {
        (name.to_string(), shape.to_vec(), values.to_vec())
    };
    let tensors: Vec<_> = tensors.iter().map(named).collect();
    save(&path, &tensors, Dtype::F32, &BTreeMap::new()).unwrap();
    let adapter = Adapter::open(&path, alpha).unwrap();
    let mut values = W.to_vec();
    adapter.apply(NAME, &[2, 3], &mut values).unwrap();
    values
}

fn plus(scale: f32) -> Vec<f32> {
    by_hand(2, 3, |o, i| W[o * 3 + i] + scale * B[o] * A[i])
}

#[test]
fn lora_is_added_in_every_spelling() {
    let (a, b): (&[usize], &[usize]) = (&[1, 3], &[2, 1]);
    let key = "blocks.0.att.key";
    let of = |a: String, b: String| {
        let tensors = [(a.as_str(), &[1usize, 3][..], &A[..]), (b.as_str(), &[2, 1], &B[..])];
        merged("spelling", &tensors, Some(0.5))
    };
    assert_eq!(of(format!("{key}.lora_A"), format!("{key}.lora_B")), plus(0.5));
    let peft = |m: &str| format!("base_model.model.{key}.lora_{m}.weight");
    assert_eq!(of(peft("A"), peft("B")), plus(0.5));
    let turned = [
        ("blocks.0.att.key.lora.0", &[3usize, 1][..], &A[..]),
        ("blocks.0.att.key.lora.1", b, &B[..]),
    ];
    assert_eq!(merged("turned", &turned, None), plus(1.0));
    assert_eq!(a.len(), 2);
}

#[test]
fn pissa_gives_back_what_it_took() {
    let first = [0.5f32, 0.5, 0.5];
    let tensors: [(&str, &[usize], &[f32]); 4] = [
        ("model.blocks.0.att.key.lora_A", &[1, 3], &A),
        ("model.blocks.0.att.key.lora_B", &[2, 1], &B),
        ("model.blocks.0.att.key.init_lora_A", &[1, 3], &first),
        ("model.blocks.0.att.key.init_lora_B", &[2, 1], &B),
    ];
    let expected = by_hand(2, 3, |o, i| W[o * 3 + i] - B[o] * 0.5 + B[o] * A[i]);
    assert_eq!(merged("pissa", &tensors, None), expected);
}

#[test]
fn dora_sets_the_length_of_rows() {
    let tensors: [(&str, &[usize], &[f32]); 3] = [
        ("blocks.0.att.key.lora_A.weight", &[1, 3], &A),
        ("blocks.0.att.key.lora_B.weight", &[2, 1], &B),
        ("blocks.0.att.key.lora_magnitude_vector", &[2], &[10.0, 1.0]),
    ];
    let merged = merged("dora", &tensors, None);
    let added = plus(1.0);
    for (row, length) in [(0, 10.0f32), (1, 1.0)] {
        let (row, was) = (&merged[row * 3..][..3], &added[row * 3..][..3]);
        let norm = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!((norm(row) - length).abs() < 1e-5);
        assert!((row[0] / row[1] - was[0] / was[1]).abs() < 1e-5);
    }
}

#[test]
fn miss_repeats_along_the_inputs() {
    let block = [0.1f32, 0.2, 0.3, 0.4]; // [2, 2]
    let tensors: [(&str, &[usize], &[f32]); 1] =
        [("base_model.model.blocks.0.att.key.miss_block", &[2, 2], &block)];
    let expected = by_hand(2, 3, |o, i| W[o * 3 + i] + block[i % 2 * 2 + o]);
    assert_eq!(merged("miss", &tensors, None), expected);
}

#[test]
fn a_directory_of_peft_is_read_with_its_settings() {
    let folder = folder("peft");
    let block =
        ("base_model.model.blocks.0.att.key.miss_block".to_string(), vec![2, 2], vec![1.0; 4]);
    let path = folder.join("adapter_model.safetensors");
    save(&path, &[block], Dtype::F32, &BTreeMap::new()).unwrap();
    let merged = |config: &str| {
        std::fs::write(folder.join("adapter_config.json"), config).unwrap();
        let mut values = W.to_vec();
        let adapter = Adapter::open(&folder, None).unwrap();
        adapter.apply(NAME, &[2, 3], &mut values).map(|()| values)
    };
    assert_eq!(merged("{\"init_weights\": true}").unwrap(), W.map(|x| x + 1.0));
    let bat = merged("{\"init_weights\": \"bat\"}").unwrap_err().to_string();
    assert!(bat.contains("`bat`"), "{bat}");
    std::fs::write(folder.join("adapter_config.json"), "{").unwrap();
    let damaged = Adapter::open(&folder, None).unwrap_err().to_string();
    assert!(damaged.contains("adapter_config.json is damaged"), "{damaged}");
}

#[test]
fn whole_tensors_take_the_place_of_the_models() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/v7.safetensors");
    let model = Checkpoint::open(&golden).unwrap();
    let path = folder("whole").join("adapter.pth");
    let norm = |shape: usize| {
        let name = |name: &str| format!("base_model.model.blocks.0.{name}");
        let tensors = [
            (name("ln1.weight"), vec![shape], vec![0.25; shape]),
            (name("att.key.lora_A"), vec![1, 8], vec![0.0; 8]),
            (name("att.key.lora_B"), vec![8, 1], vec![0.0; 8]),
        ];
        save(&path, &tensors, Dtype::F32, &BTreeMap::new()).unwrap();
        [Adapter::open(&path, None).unwrap()]
    };
    let adapters = norm(8);
    assert!(adapters[0].fits(&model).is_ok());
    assert_eq!(values(&model, "blocks.0.ln1.weight", &adapters).unwrap(), [0.25; 8]);
    let other = "blocks.1.ln1.weight";
    assert_eq!(values(&model, other, &adapters).unwrap(), model.values(other).unwrap());
    let error = norm(9)[0].fits(&model).unwrap_err().to_string();
    assert!(error.contains("ln1.weight") && error.contains("another model"), "{error}");
}

#[test]
fn what_does_not_fit_is_named() {
    let path = folder("unfit").join("adapter.safetensors");
    let save = |name: &str, shape: &[usize]| {
        let tensor = (name.to_string(), shape.to_vec(), vec![0.0; shape.iter().product()]);
        save(&path, &[tensor], Dtype::F32, &BTreeMap::new()).unwrap();
        Adapter::open(&path, None)
    };
    let error = save("emb.weight", &[2, 2]).unwrap_err().to_string();
    assert!(error.contains("is no adapter"), "{error}");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let model = Checkpoint::open(&golden.join("v7.safetensors")).unwrap();
    let beyond = save("blocks.9.att.key.lora_A", &[1, 8]).unwrap();
    let error = beyond.fits(&model).unwrap_err().to_string();
    assert!(error.contains("`blocks.9.att.key.weight`, which"), "{error}");
    let wide = save("blocks.0.att.key.lora_A", &[1, 9]).unwrap();
    let error = wide.fits(&model).unwrap_err().to_string();
    assert!(error.contains("[1, 9]") && error.contains("another model"), "{error}");
    assert!(save("blocks.0.att.key.lora_A", &[1, 8]).unwrap().fits(&model).is_ok());
}
