use super::*;
use crate::checkpoint::Checkpoint;
use crate::vision::tests::{far, golden, numbers};
use crate::weights::{Named, Source};
use burn::tensor::TensorData;

/// A checkpoint as VisualRWKV's: what these files hold, each under its prefix.
fn put_together<const N: usize>(parts: [(&str, &Checkpoint); N]) -> Named {
    let parts = parts.into_iter().flat_map(|(prefix, file)| {
        let names = file.names().filter(|name| !name.starts_with("golden."));
        names.map(move |name| {
            let tensor = (file.shape(name).unwrap().to_vec(), file.values(name).unwrap());
            (format!("{prefix}.{name}"), tensor)
        })
    });
    parts.collect()
}

fn load(named: &Named, told: Told) -> Result<(Rwkv, Visual)> {
    let told = Told { tower: Facts { heads: Some(2), ..told.tower }, ..told };
    let device = Device::flex();
    let weights = Weights::new(Source::Made(named), &device);
    let rwkv = Rwkv::load(&weights.at("rwkv"))?;
    let towers = Towers::load(&weights.at("vit"), &told.tower)?;
    let visual = Visual::load(towers, &weights.at("proj"), &rwkv, &told)?;
    Ok((rwkv, visual))
}

/// Language model, tower, projector; how many rows a picture becomes if not all; and how near logits
/// after a picture are. Those of `visual_finch` are touchy: its reference in single precision is 2e-5
/// from that in double, and weights that differ in their last digit move them by up to 5e-5.
const MODELS: [(&str, &str, &str, Option<Pool>, f32); 2] = [
    ("v6", "clip", "visual_finch", None, 5e-5),
    ("v7", "siglip", "visual_goose", Some(Pool::Adaptive(4)), 1e-5),
];

/// A model of [`MODELS`], its tower's pixels and its golden numbers.
fn model(
    (rwkv, tower, proj, pool, _): (&str, &str, &str, Option<Pool>, f32),
) -> ((Rwkv, Visual), Tensor<4>, Checkpoint) {
    let (rwkv, tower, proj) = (golden(rwkv), golden(&format!("tower_{tower}")), golden(proj));
    let named = put_together([("rwkv", &rwkv), ("vit", &tower), ("proj", &proj)]);
    let told = Told { pool, ..Told::default() };
    (load(&named, told).unwrap(), numbers(&tower, "golden.pixels"), proj)
}

fn ids(file: &Checkpoint, name: &str) -> Tensor<2, Int> {
    let ids: Vec<i32> = file.values(name).unwrap().into_iter().map(|id| id as i32).collect();
    let shape = [1, ids.len()];
    Tensor::from_data(TensorData::new(ids, shape), &Device::flex())
}

#[test]
fn a_picture_in_a_text_gives_the_reference_numbers() {
    for which in MODELS {
        let ((rwkv, visual), pixels, golden) = model(which);
        let seen = visual.look(vec![pixels], &AtomicBool::new(false)).unwrap();
        assert!(far(seen.rows.clone(), numbers(&golden, "golden.rows")) < 1e-5, "{which:?}");
        assert_eq!(seen.rows.dims()[1], visual.rows());
        let mut state = rwkv.state(1, &Device::flex());
        let before = rwkv.hidden(ids(&golden, "golden.before"), &mut state);
        let shown = visual.show(&rwkv, &seen, &mut state);
        let after = rwkv.hidden(ids(&golden, "golden.after"), &mut state);
        let logits = rwkv.logits(Tensor::cat(vec![before, shown, after], 1));
        let far = far(logits, numbers(&golden, "golden.logits"));
        assert!(far < which.4, "{which:?}: {far:e}");
    }
}

#[test]
fn text_and_picture_may_come_in_one_pass() {
    for which in MODELS {
        let ((rwkv, visual), pixels, golden) = model(which);
        let seen = visual.look(vec![pixels], &AtomicBool::new(false)).unwrap();
        let (before, after) = (ids(&golden, "golden.before"), ids(&golden, "golden.after"));
        let scan = visual.scan(before.dims()[1]);
        let none = Tensor::zeros([1, seen.rows.dims()[1]], &Device::flex());
        let x = vec![rwkv.embed(before.clone()), seen.rows, rwkv.embed(after.clone())];
        let tokens = Tensor::cat(vec![before, none, after], 1);
        let rows = Rows { x: Tensor::cat(x, 1), tokens, scan };
        let hidden = rwkv.read(rows, &mut rwkv.state(1, &Device::flex()), Tap::none());
        let far = far(rwkv.logits(hidden), numbers(&golden, "golden.logits"));
        assert!(far < which.4, "{which:?}: {far:e}");
    }
}

/// Nine patches 0 to 8 and a class row of 100, one channel each.
fn nine(class: bool) -> Features {
    let device = Device::flex();
    let patches = Tensor::<1>::from_floats([0., 1., 2., 3., 4., 5., 6., 7., 8.], &device);
    let class = class.then(|| Tensor::<3>::full([1, 1, 1], 100.0, &device));
    Features { class, patches: patches.reshape([1, 9, 1]) }
}

#[test]
fn rows_are_chosen_as_every_generation_does() {
    let usual = Layout::released(Version::V7);
    for (pool, class_first, expected, patches) in [
        (Pool::Class, false, vec![100.0], (0, 0)),
        (Pool::Mean, false, vec![4.0, 100.0], (0, 1)),
        (Pool::Mean, true, vec![13.6], (0, 1)), // with the class row in it
        (Pool::Grid(2), true, vec![100.0, 0., 1., 2., 3., 4., 5., 6., 7., 8.], (1, 9)),
        (Pool::Grid(3), false, vec![0., 1., 2., 3., 4., 5., 6., 7., 8., 100.], (0, 9)),
        (Pool::Adaptive(4), false, vec![2.0, 3.0, 5.0, 6.0, 100.0], (0, 4)),
        (Pool::Adaptive(1), true, vec![100.0, 4.0], (1, 1)),
    ] {
        let layout = Layout { pool, class_first, ..usual };
        let laid = layout.lay(nine(true)).unwrap();
        let rows = laid.into_data().try_to_vec::<f32>().unwrap();
        assert!(rows.iter().zip(&expected).all(|(x, y)| (x - y).abs() < 1e-5), "{pool:?} {rows:?}");
        assert_eq!(rows.len(), expected.len(), "{pool:?}");
        assert_eq!(layout.sizes(9, true).unwrap(), (expected.len(), patches), "{pool:?}");
    }
    let wrong = |pool, class| Layout { pool, ..usual }.lay(nine(class)).unwrap_err().to_string();
    assert!(wrong(Pool::Class, false).contains("no class row"));
    assert!(wrong(Pool::Grid(4), true).contains("3 × 3 patches has no 4 × 4 squares"));
    assert!(wrong(Pool::Adaptive(5), true).contains("5 rows are no square"));
}

#[test]
fn an_order_that_a_model_does_not_know_is_refused() {
    let (rwkv, tower, proj) = (golden("v7"), golden("tower_siglip"), golden("visual_goose"));
    let named = put_together([("rwkv", &rwkv), ("vit", &tower), ("proj", &proj)]);
    let told = Told { way: Some(Way::Bidirection), ..Told::default() };
    let error = load(&named, told).unwrap_err().to_string();
    assert!(error.contains("reads pictures forwards only"), "{error}");
}

#[test]
fn what_is_missing_of_a_checkpoint_is_said() {
    let (rwkv, tower, proj) = (golden("v6"), golden("tower_clip"), golden("visual_finch"));
    let whole = put_together([("rwkv", &rwkv), ("vit", &tower), ("proj", &proj)]);
    for (prefix, said) in
        [("vit.", "holds no vision tower known here"), ("proj.", "has no projector known here")]
    {
        let mut named = whole.clone();
        named.retain(|name, _| !name.starts_with(prefix));
        let error = format!("{:#}", load(&named, Told::default()).unwrap_err());
        assert!(error.contains(said), "{prefix} {error}");
    }
}

/// A matrix `[rows, columns]` of these numbers.
fn matrix(
    rows: usize,
    columns: usize,
    number: impl Fn(usize, usize) -> f32,
) -> (Vec<usize>, Vec<f32>) {
    let numbers = (0..rows * columns).map(|i| number(i / columns, i % columns)).collect();
    (vec![rows, columns], numbers)
}

/// What a model of RWKV-6 with these towers, for pictures of this size, and this projector shows of a
/// picture: `rows × channels`.
fn seen(towers: &[(&str, &str)], size: usize, proj: Named, image: &Image) -> (Visual, Vec<f32>) {
    let mut named = put_together([("rwkv", &golden("v6"))]);
    for (place, file) in towers {
        named.extend(put_together([(place, &golden(file))]));
    }
    named.extend(proj.into_iter().map(|(name, tensor)| (format!("proj.{name}"), tensor)));
    let tower = Facts { size: Some(size), ..Facts::default() };
    let (_, visual) = load(&named, Told { tower, ..Told::default() }).unwrap();
    let pixels = visual.pixels(image, &Device::flex()).unwrap();
    let rows = visual.look(pixels, &AtomicBool::new(false)).unwrap().rows;
    (visual, rows.into_data().try_to_vec().unwrap())
}

/// Numbers that have no order.
fn wild(i: usize, j: usize) -> f32 {
    ((i * 37 + j * 101) % 23) as f32 / 11.5 - 1.0
}

/// VisualRWKV 6.01: what is read of row `i` is `A x[i] + B x[last - i]`.
#[test]
fn rows_may_stand_beside_themselves_the_other_way_round() {
    let image = Image::gradient(9, 6);
    let rows = |number: &dyn Fn(usize, usize) -> f32, wide| {
        let proj = [("weight".to_string(), matrix(8, wide, number))].into();
        seen(&[("vit", "tower_clip")], 6, proj, &image)
    };
    let (visual, both) = rows(&wild, 16);
    let (_, forwards) = rows(&wild, 8);
    let (_, back) = rows(&|i, j| wild(i, j + 8), 8);
    assert_eq!(visual.layout().way, Way::Forwards);
    for i in 0..10 {
        for c in 0..8 {
            let expected = forwards[8 * i + c] + back[8 * (9 - i) + c];
            assert!((both[8 * i + c] - expected).abs() < 1e-5, "row {i}");
        }
    }
}

/// VisualRWKV 6.10: SigLIP has no class row, the mean of its rows stands behind them.
#[test]
fn a_tower_without_a_class_row_gets_a_mean_row_in_rwkv_6() {
    let proj = [("weight".to_string(), matrix(8, 8, wild))].into();
    let (visual, rows) = seen(&[("vit", "tower_siglip")], 6, proj, &Image::gradient(9, 6));
    assert_eq!((visual.rows(), rows.len()), (10, 80));
    assert_eq!(visual.scan(0).patches, 0..9);
    for c in 0..8 {
        let mean = (0..9).map(|i| rows[8 * i + c]).sum::<f32>() / 9.0;
        assert!((rows[72 + c] - mean).abs() < 1e-5);
    }
}

/// VisualRWKV-UHD: whole and quarters stand side by side, and what is negative is not seen.
#[test]
fn a_picture_may_be_seen_whole_and_in_quarters() {
    let towers = [("vit.dino_featurizer", "tower_timm"), ("vit.siglip_featurizer", "tower_timm")];
    let plain = Image::gradient(16, 16);
    let mut other = plain.clone();
    let last = other.pixels.len() - 3;
    other.pixels[last..].fill(255); // in the quarter at the bottom right
    let rows = |image: &Image, first: f32, second: f32| {
        let share = |j: usize| if j < 16 { first } else { second };
        let eye = |i: usize, j: usize| if i == j { 1.0 } else { 0.0 };
        let proj = [
            ("proj.weight".to_string(), matrix(8, 32, |i, j| wild(i, j) * share(j))),
            ("gate.weight".to_string(), matrix(8, 8, wild)),
            ("o_proj.weight".to_string(), matrix(8, 8, eye)),
        ];
        let (visual, rows) = seen(&towers, 8, proj.into(), image);
        assert_eq!((visual.rows(), rows.len()), (16, 128));
        assert!(rows.iter().all(|x| *x >= 0.0) && rows.contains(&0.0));
        rows
    };
    let changed = |first, second| {
        let (old, new) = (rows(&plain, first, second), rows(&other, first, second));
        let differs = |i: &usize| old[8 * i..8 * i + 8] != new[8 * i..8 * i + 8];
        (0..16).filter(differs).collect::<Vec<_>>()
    };
    assert_eq!(changed(0.0, 1.0), [10, 11, 14, 15], "of the quarters");
    assert!(changed(1.0, 0.0).len() > 4, "of the whole");
}
