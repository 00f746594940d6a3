use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::checkpoint::{Entry, write_bytes, write_list};
use crate::device::choose;
use crate::info::{Conversion, convert};
use crate::model::{Loading, Model};
use crate::rwkv::Version;
use crate::tests::fuzz;

/// A model, its state after some text, and a folder to write into.
fn read(name: &str, test: &str) -> (Model, State, PathBuf) {
    let model = Model::load(name, &Loading::default(), &choose("cpu").unwrap()).unwrap();
    let stop = AtomicBool::new(false);
    let (_, state) =
        model.read(b"A text".map(u32::from).as_slice(), &model.state(), &stop).unwrap();
    let folder = std::env::temp_dir().join(format!("rwkv-state-{test}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    (model, state, folder)
}

/// `att_x`, `ffn_x` and the matrices (or rows) of one layer.
fn parts(state: &State, layer: usize) -> [Vec<f32>; 3] {
    let LayerState { att_x, ffn_x, wkv, .. } = state.layers[layer].clone();
    [Array::of(att_x), Array::of(ffn_x), Array::of(wkv)].map(|array| array.values())
}

/// `[H, N, N]` with `[h, a, b]` at `[h, b, a]`.
fn turned(values: &[f32], n: usize) -> Vec<f32> {
    let place = |i: usize| i / (n * n) * n * n + i % n * n + i / n % n;
    (0..values.len()).map(|i| values[place(i)]).collect()
}

/// Whether a file is read as the state.
fn is_read(model: &Model, path: &Path, state: &State) {
    let back = model.load_state(path).unwrap();
    for layer in 0..state.layers.len() {
        assert_eq!(parts(&back, layer), parts(state, layer), "{} layer {layer}", path.display());
    }
}

/// Writes a list of tensors of these shapes.
fn list(path: &Path, tensors: &[(Vec<usize>, Vec<f32>)]) {
    let entry = |(i, (shape, _)): (usize, &(Vec<usize>, Vec<f32>))| Entry {
        name: i.to_string(),
        shape: shape.clone(),
        dtype: Dtype::F32,
    };
    let entries: Vec<_> = tensors.iter().enumerate().map(entry).collect();
    write_list(path, &entries, |i| Ok((&tensors[i].1).into())).unwrap();
}

#[test]
fn lists_of_pip_rwkv_are_read() {
    for name in ["toy:rwkv4", "toy:rwkv5.2", "toy:rwkv6", "toy:rwkv7"] {
        let (model, state, folder) = read(name, &name[4..]);
        let mut tensors = Vec::new();
        let c = model.n_embd();
        for layer in 0..model.n_layer() {
            let [att_x, ffn_x, wkv] = parts(&state, layer);
            let (h, n) = (model.n_head(), model.head_size());
            tensors.push((vec![c], att_x));
            match name {
                "toy:rwkv4" => tensors.extend(wkv.chunks(c).map(|row| (vec![c], row.to_vec()))),
                "toy:rwkv7" => tensors.push((vec![h, n, n], wkv)),
                _ => tensors.push((vec![h, n, n], turned(&wkv, n))),
            }
            tensors.push((vec![c], ffn_x));
        }
        let path = folder.join("pip.pth");
        list(&path, &tensors);
        is_read(&model, &path, &state);
        tensors.pop();
        list(&path, &tensors);
        let error = format!("{:#}", model.load_state(&path).unwrap_err());
        assert!(error.contains("tensors, a model of 2 layers"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn sums_of_rwkv4_are_read_in_every_order() {
    let (model, state, folder) = read("toy:rwkv4", "sums");
    let (l, c) = (model.n_layer(), model.n_embd());
    let layers: Vec<_> = (0..l).map(|layer| parts(&state, layer)).collect();
    let neo: Vec<f32> =
        layers.iter().flat_map(|[att, ffn, wkv]| [&ffn[..], att, wkv].concat()).collect();
    let path = folder.join("neo.pth");
    list(&path, &[(vec![5 * l, c], neo.clone())]);
    is_read(&model, &path, &state);
    let flat = folder.join("flat.bin");
    write_bytes(&flat, &neo.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>()).unwrap();
    is_read(&model, &flat, &state);
    let web: Vec<f32> =
        layers.iter().flat_map(|[att, ffn, wkv]| [&att[..], wkv, ffn].concat()).collect();
    list(&path, &[(vec![l, 5, c], web)]);
    is_read(&model, &path, &state);
    // `[1, C, L]`: the layers lie next to each other.
    let part = |row: usize| -> (Vec<usize>, Vec<f32>) {
        let at = |i: usize| neo[(i % l) * 5 * c + row * c + i / l];
        (vec![1, c, l], (0..c * l).map(at).collect())
    };
    list(&path, &(0..5).map(part).collect::<Vec<_>>());
    is_read(&model, &path, &state);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn matrices_are_read_in_every_order() {
    for (name, key_first) in [("toy:rwkv6", true), ("toy:rwkv7", false)] {
        let (model, state, folder) = read(name, &format!("matrices{}", &name[8..]));
        let (l, c, h, n) = (model.n_layer(), model.n_embd(), model.n_head(), model.head_size());
        let layers: Vec<_> = (0..l).map(|layer| parts(&state, layer)).collect();
        let flat = layers.iter().flat_map(|[att, ffn, wkv]| {
            let wkv = if key_first { turned(wkv, n) } else { wkv.clone() };
            [&ffn[..], att, &wkv].concat()
        });
        let path = folder.join("flat.bin");
        write_bytes(&path, &flat.flat_map(f32::to_le_bytes).collect::<Vec<_>>()).unwrap();
        is_read(&model, &path, &state);
        let web = layers.iter().flat_map(|[att, ffn, wkv]| {
            // Row 1 + k, column h·N + v is S[h, v, k].
            let at = |i: usize| wkv[i % c / n * n * n + i % n * n + i / c];
            let rows: Vec<f32> = (0..c * n).map(at).collect();
            [&att[..], &rows, ffn].concat()
        });
        let path = folder.join("web.pth");
        list(&path, &[(vec![l, n + 2, c], web.collect())]);
        is_read(&model, &path, &state);
        assert_eq!(h * n, c);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn tuned_states_start_every_text() {
    let (model, state, folder) = read("toy:rwkv6", "tuned");
    let (h, n) = (model.n_head(), model.head_size());
    let name = |layer| format!("blocks.{layer}.att.time_state");
    let save = |file: &str, key_first: bool| {
        let tensor = |layer| {
            let [_, _, wkv] = parts(&state, layer);
            let wkv = if key_first { turned(&wkv, n) } else { wkv };
            (name(layer), vec![h, n, n], wkv)
        };
        let tensors: Vec<_> = (0..2).map(tensor).collect();
        checkpoint::save(&folder.join(file), &tensors, Dtype::F32, &BTreeMap::new()).unwrap();
        folder.join(file)
    };
    let (pth, web) = (save("tuned.pth", false), save("tuned.st", true));
    for file in [&pth, &web] {
        let back = model.load_state(file).unwrap();
        for layer in 0..2 {
            let [att_x, _, wkv] = parts(&back, layer);
            assert_eq!(wkv, parts(&state, layer)[2]);
            assert!(att_x.iter().all(|x| *x == 0.0));
        }
    }
    // However often it is written anew, it stays the same state.
    let (go, as_it_is) = (AtomicBool::new(false), Conversion::default());
    for (from, to) in [(&pth, "again.safetensors"), (&web, "again.pth")] {
        let to = folder.join(to);
        convert(from, &to, &as_it_is, &go).unwrap();
        let back = model.load_state(&to).unwrap();
        assert_eq!(parts(&back, 1)[2], parts(&state, 1)[2], "{}", to.display());
    }
    // Given at loading, and saved inside the model, it is where every text begins.
    let loading = Loading { state: Some(pth.clone()), ..Loading::default() };
    let tuned = Model::load("toy:rwkv6", &loading, &model.place).unwrap();
    assert_eq!(parts(&tuned.state(), 1)[2], parts(&state, 1)[2]);
    let merged = folder.join("merged.safetensors");
    tuned.save(&merged, Dtype::F32).unwrap();
    let merged = Model::load(&merged.to_string_lossy(), &Loading::default(), &model.place).unwrap();
    assert_eq!(parts(&merged.state(), 0)[2], parts(&state, 0)[2]);
    assert!(merged.notes[0].contains("tuned initial state"), "{:?}", merged.notes);
    let other = Model::load("toy:rwkv4", &Loading::default(), &model.place).unwrap();
    let error = format!("{:#}", other.load_state(&pth).unwrap_err());
    assert!(error.contains("RWKV-4 has no matrices"), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_is_exported_is_read_again() {
    for name in ["toy:rwkv4", "toy:rwkv5.1", "toy:rwkv6", "toy:rwkv7"] {
        let (model, state, folder) = read(name, &format!("export{}", &name[8..]));
        let version = model.rwkv.version();
        for (kind, file) in [("pip", "pip.pth"), ("rwkv.cpp", "flat.bin")] {
            let path = folder.join(file);
            state.export(&path, Export::named(kind).unwrap(), version).unwrap();
            is_read(&model, &path, &state);
        }
        let tuned = folder.join("tuned.pth");
        let written = state.export(&tuned, Export::TimeState, version);
        assert_eq!(written.is_ok(), version != Version::V4);
        if written.is_ok() {
            let back = model.load_state(&tuned).unwrap();
            assert_eq!(parts(&back, 1)[2], parts(&state, 1)[2]);
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
    let error = Export::named("llama.cpp").unwrap_err().to_string();
    assert!(error.contains("time_state, pip, rwkv.cpp"), "{error}");
}

#[test]
fn fuzz_states_of_every_origin() {
    let (model, state, folder) = read("toy:rwkv4", "fuzz");
    let version = model.rwkv.version();
    let ours = folder.join("ours.safetensors");
    state.save(&ours, &model.origin()).unwrap();
    let [pip, flat] = [("pip", "pip.pth"), ("rwkv.cpp", "flat.bin")].map(|(program, file)| {
        state.export(&folder.join(file), Export::named(program).unwrap(), version).unwrap();
        folder.join(file)
    });
    let damaged = folder.join("damaged");
    for path in [ours, pip, flat] {
        let seed = std::fs::read(&path).unwrap();
        fuzz(&path.file_name().unwrap().to_string_lossy(), &seed, |bytes| {
            std::fs::write(&damaged, bytes).unwrap();
            model.load_state(&damaged).is_ok()
        });
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
