use super::*;
use crate::checkpoint::Dtype;
use crate::device::choose;
use crate::model::{Interrupted, Loading};
use crate::visual::Pool;
use std::path::PathBuf;

static GO: AtomicBool = AtomicBool::new(false);

fn load(name: &str, loading: &Loading) -> Result<Model> {
    Model::load(name, loading, &choose("cpu").unwrap())
}

fn toy(name: &str) -> Model {
    load(name, &Loading::default()).unwrap()
}

/// An empty folder, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rwkv-seeing-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn rows(model: &Model) -> Vec<f32> {
    model.encode_image(&Image::gradient(90, 70), &GO).unwrap().values()
}

#[test]
fn a_saved_model_sees_the_same() {
    let folder = Folder::new("saved");
    for name in ["toy:visualrwkv6", "toy:visualrwkv7"] {
        let model = toy(name);
        let path = folder.file("model.safetensors");
        model.save(Path::new(&path), Dtype::F32).unwrap();
        let again = load(&path, &Loading::default()).unwrap();
        assert_eq!(rows(&again), rows(&model), "{name}");
        assert_eq!(again.visual.unwrap().told(), model.visual.unwrap().told());
        assert!(again.notes.is_empty(), "{name}: {:?}", again.notes);
    }
}

#[test]
fn what_is_said_wins_over_what_the_file_says() {
    let folder = Folder::new("said");
    let path = folder.file("model.safetensors");
    toy("toy:visualrwkv7").save(Path::new(&path), Dtype::F32).unwrap();
    let told = Told { pool: Some(Pool::Adaptive(4)), ..Told::default() };
    let model = load(&path, &Loading { told, ..Loading::default() }).unwrap();
    assert_eq!(model.eyes().unwrap().rows(), 4);
    assert_eq!(rows(&model).len(), 4 * model.n_embd());
}

#[test]
fn tower_and_projector_may_lie_in_files_of_their_own() {
    let folder = Folder::new("apart");
    let whole = toy("toy:visualrwkv6");
    let part = |name: &str, keep: &dyn Fn(&str) -> Option<String>| {
        let rows: Vec<_> = whole
            .parameters()
            .into_iter()
            .filter_map(|p| {
                Some((keep(&p.name.clone())?, p.shape.clone(), Array::of(p.values()).values()))
            })
            .collect();
        let path = folder.file(name);
        crate::checkpoint::save(Path::new(&path), &rows, Dtype::F32, &Default::default()).unwrap();
        path
    };
    let bare = |start: &'static str| move |name: &str| name.strip_prefix(start).map(String::from);
    let all = |starts: &'static [&'static str]| {
        move |name: &str| starts.iter().any(|s| name.starts_with(s)).then(|| name.to_string())
    };
    let language = part("a_rwkv.safetensors", &bare("rwkv."));
    let visual = part("a_visual.safetensors", &all(&["vit.", "proj."]));
    let tower = part("tower.safetensors", &bare("vit."));
    let eyeless = part("eyeless.safetensors", &all(&["rwkv.", "proj."]));
    let expected = rows(&whole);
    for (path, vision) in [(&language, &visual), (&eyeless, &tower)] {
        let mut loading = Loading { vision: Some(vision.into()), ..Loading::default() };
        loading.told.tower.heads = Some(2);
        loading.told.mean_row = Some(false);
        assert_eq!(rows(&load(path, &loading).unwrap()), expected, "{path} {vision}");
    }
    let error = load(&eyeless, &Loading::default()).unwrap_err().to_string();
    assert!(error.contains("no vision tower inside") && error.contains("vision: PATH"), "{error}");
    let without = part("without.safetensors", &all(&["rwkv.", "vit."]));
    let error = load(&without, &Loading::default()).unwrap_err().to_string();
    assert!(error.contains("has no projector"), "{error}");
}

#[test]
fn a_language_model_can_be_given_eyes() {
    let blind = toy("toy:rwkv7");
    let error = blind.look(&Image::gradient(8, 8), &GO).unwrap_err().to_string();
    assert!(error.contains("cannot be shown pictures"), "{error}");
    let sizes = Sizes { size: 32, patch: 16, n_embd: 32, n_layer: 1, n_head: 2 };
    let sees = |told| blind.with_vision(Tower::New(sizes), Between::Gated, told, 7);
    let model = sees(Told::default()).unwrap();
    assert_eq!(rows(&model).len(), 4 * model.n_embd());
    assert_eq!(rows(&model), rows(&sees(Told::default()).unwrap()), "the seed decides");
    let error = model.with_vision(Tower::New(sizes), Between::Gated, Told::default(), 7);
    assert!(error.unwrap_err().to_string().contains("has eyes already"));
    let told = Told { pool: Some(Pool::Class), ..Told::default() };
    assert!(sees(told).unwrap_err().to_string().contains("no class row"));
}

#[test]
fn a_picture_is_read_like_its_rows() {
    let model = toy("toy:visualrwkv7");
    let seen = model.look(&Image::gradient(64, 64), &GO).unwrap();
    let state = model.show(&seen, &model.state(), &GO).unwrap();
    assert_eq!(state.past.tokens, 16);
    assert!(model.show(&seen, &toy("toy:rwkv4").state(), &GO).is_err(), "of another model");
    let stop = AtomicBool::new(true);
    assert!(model.show(&seen, &state, &stop).unwrap_err().is::<Interrupted>());
    assert!(model.look(&Image::gradient(64, 64), &stop).unwrap_err().is::<Interrupted>());
}

#[test]
fn a_generation_that_is_not_read_is_named() {
    let folder = Folder::new("unread");
    let mut rows: Vec<_> = toy("toy:visualrwkv7")
        .parameters()
        .into_iter()
        .map(|p| (p.name.clone(), p.shape.clone(), Array::of(p.values()).values()))
        .collect();
    rows.push(("vtc.blocks.0.att.x_r".to_string(), vec![1], vec![0.0]));
    let path = folder.file("compressed.safetensors");
    crate::checkpoint::save(Path::new(&path), &rows, Dtype::F32, &Default::default()).unwrap();
    let error = load(&path, &Loading::default()).unwrap_err().to_string();
    assert!(error.contains("7.03 or 7.04") && error.contains("vtc.blocks.0.att.x_r"), "{error}");
}
