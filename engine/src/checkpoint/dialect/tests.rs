//! Every dialect gives back the tensors of the model that was written in it.

use crate::checkpoint::{Checkpoint, Dtype, save};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

/// The same names, shapes (but for axes of size one) and numbers as the model `version`.
fn same(file: &str, version: &str) -> Checkpoint {
    let found = Checkpoint::open(&golden("formats").join(file)).unwrap();
    let expected = Checkpoint::open(&golden(&format!("{version}.safetensors"))).unwrap();
    let names: Vec<_> = expected.names().filter(|name| !name.starts_with("golden.")).collect();
    // The bonus of RWKV-5.0 comes back as itself, not as its logarithm.
    let ours = |name: &str| name.replace("time_first", "time_faaaa");
    let renamed = file == "v5_0.bin";
    for name in &names {
        let theirs = if renamed { ours(name) } else { name.to_string() };
        let bare = |x: &[usize]| x.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
        let shape = found.shape(&theirs).unwrap_or_else(|| panic!("{file} lacks {theirs}"));
        assert_eq!(bare(shape), bare(expected.shape(name).unwrap()), "{file} {name}");
        let mut want = expected.values(name).unwrap();
        if theirs != *name {
            want.iter_mut().for_each(|x| *x = x.exp());
        }
        let values = found.values(&theirs).unwrap();
        let far = values.iter().zip(&want).map(|(a, b)| (a - b).abs());
        assert!(far.fold(0.0, f32::max) < 2e-6, "{file} {name}");
    }
    assert_eq!(found.names().count(), names.len(), "{file}");
    found
}

#[test]
fn hugging_face_names_are_understood() {
    assert_eq!(same("v4.hf.safetensors", "v4").dialect(), Some("Hugging Face"));
    same("v5_2.hf.safetensors", "v5_2");
    same("v6.fla.safetensors", "v6");
    assert_eq!(same("v7.fla.safetensors", "v7").dialect(), Some("flash-linear-attention"));
}

#[test]
fn prefixes_are_taken_off() {
    let own = Checkpoint::open(&golden("v7.safetensors")).unwrap();
    let path = std::env::temp_dir().join(format!("rwkv-prefix-{}.pth", std::process::id()));
    for prefix in ["model.", "_forward_module.module."] {
        let named = |name: &str| {
            let prefix = if name == "head.weight" { "" } else { prefix };
            let shape = own.shape(name).unwrap().to_vec();
            (format!("{prefix}{name}"), shape, own.values(name).unwrap())
        };
        let tensors: Vec<_> = own.names().map(named).collect();
        save(&path, &tensors, Dtype::F32, &BTreeMap::new()).unwrap();
        let found = Checkpoint::open(&path).unwrap();
        assert!(found.names().eq(own.names()), "{prefix}");
        assert_eq!(found.dialect(), Some("BlinkDL behind a prefix"));
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_directory_of_shards_is_one_model() {
    assert_eq!(same("sharded", "v4").container().name(), "Hugging Face directory");
}

#[test]
fn web_rwkv_files_are_turned_back() {
    for version in ["v5_2", "v6", "v7"] {
        assert_eq!(same(&format!("{version}.st"), version).dialect(), Some("web-rwkv"));
    }
}

#[test]
fn rwkv_cpp_files_are_undone() {
    for version in ["v4", "v5_0", "v5_2", "v6", "v7"] {
        assert_eq!(same(&format!("{version}.bin"), version).container().name(), "rwkv.cpp .bin");
    }
    // [H, N, 1] with one head would else be taken for 64 heads of one channel.
    assert_eq!(same("v6.bin", "v6").shape("blocks.0.att.time_faaaa"), Some(&[2, 4][..]));
}

#[test]
fn gguf_is_read_with_its_words() {
    same("v6.gguf", "v6");
    let v7 = same("v7.gguf", "v7");
    assert_eq!(v7.metadata()["general.name"], "a tiny model");
    assert_eq!(v7.vocabulary().unwrap(), ["<s>", "a", "\\n", "\\x80", "[PAD4]"]);
}

#[test]
fn a_model_in_blinkdls_names_is_left_alone() {
    let own = Checkpoint::open(&golden("v7.safetensors")).unwrap();
    assert_eq!(own.dialect(), None);
}
