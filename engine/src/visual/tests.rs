use super::*;
use crate::checkpoint::Checkpoint;
use crate::vision::tests::{far, golden, numbers};
use crate::weights::{Named, Source};

/// A checkpoint as VisualRWKV's: what these files hold, each under its prefix.
fn put_together(parts: [(&str, &Checkpoint); 3]) -> Named {
    let parts = parts.into_iter().flat_map(|(prefix, file)| {
        let names = file.names().filter(|name| !name.starts_with("golden."));
        names.map(move |name| {
            let tensor = (file.shape(name).unwrap().to_vec(), file.values(name).unwrap());
            (format!("{prefix}.{name}"), tensor)
        })
    });
    parts.collect()
}

fn load(named: &Named, layout: Option<Layout>) -> Result<Visual> {
    let facts = Facts { heads: Some(2), ..Facts::default() };
    Visual::load(&Weights::new(Source::Made(named), &Device::flex()), &facts, layout)
}

/// Language model, tower, projector; and how many rows a picture becomes if not all.
const MODELS: [(&str, &str, &str, Option<Pool>); 2] = [
    ("v6", "clip", "visual_finch", None),
    ("v7", "siglip", "visual_goose", Some(Pool::Adaptive(4))),
];

/// A model of [`MODELS`], its tower's pixels and its golden numbers.
fn model(
    (rwkv, tower, proj, pool): (&str, &str, &str, Option<Pool>),
) -> (Visual, Tensor<4>, Checkpoint) {
    let (rwkv, tower, proj) = (golden(rwkv), golden(&format!("tower_{tower}")), golden(proj));
    let layout = pool.map(|pool| Layout { pool, ..Layout::released(Version::V7) });
    let named = put_together([("rwkv", &rwkv), ("vit", &tower), ("proj", &proj)]);
    (load(&named, layout).unwrap(), numbers(&tower, "golden.pixels"), proj)
}

fn ids(file: &Checkpoint, name: &str) -> Vec<u32> {
    file.values(name).unwrap().into_iter().map(|id| id as u32).collect()
}

#[test]
fn a_picture_in_a_text_gives_the_reference_numbers() {
    let device = Device::flex();
    for which in MODELS {
        let (model, pixels, golden) = model(which);
        let seen = model.look(vec![pixels]).unwrap();
        assert!(far(seen.rows.clone(), numbers(&golden, "golden.rows")) < 1e-5, "{which:?}");
        let (before, after) = (ids(&golden, "golden.before"), ids(&golden, "golden.after"));
        let mut state = model.rwkv().state(1, &device);
        let hidden = model.read(&before, Some(&seen), &after, &mut state, &device);
        let logits = model.rwkv().logits(hidden);
        assert!(far(logits, numbers(&golden, "golden.logits")) < 1e-5, "{which:?}");
    }
}

#[test]
fn what_was_asked_before_and_after_a_picture_may_come_in_parts() {
    let device = Device::flex();
    for which in MODELS {
        let (model, pixels, golden) = model(which);
        let seen = model.look(vec![pixels]).unwrap();
        let (before, after) = (ids(&golden, "golden.before"), ids(&golden, "golden.after"));
        let mut state = model.rwkv().state(1, &device);
        model.read(&before, None, &[], &mut state, &device);
        model.read(&[], Some(&seen), &[], &mut state, &device);
        let hidden = model.read(&after, None, &[], &mut state, &device);
        let expected: Tensor<3> = numbers(&golden, "golden.logits");
        let [_, rows, _] = expected.dims();
        let expected = expected.narrow(1, rows - after.len(), after.len());
        assert!(far(model.rwkv().logits(hidden), expected) < 1e-5, "{which:?}");
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
    let forwards = Way::Forwards;
    for (pool, class_first, expected, patches) in [
        (Pool::Class, false, vec![100.0], (0, 0)),
        (Pool::Mean, false, vec![4.0, 100.0], (0, 1)),
        (Pool::Mean, true, vec![13.6], (0, 1)), // with the class row in it
        (Pool::Grid(2), true, vec![100.0, 0., 1., 2., 3., 4., 5., 6., 7., 8.], (1, 9)),
        (Pool::Grid(3), false, vec![0., 1., 2., 3., 4., 5., 6., 7., 8., 100.], (0, 9)),
        (Pool::Adaptive(4), false, vec![2.0, 3.0, 5.0, 6.0, 100.0], (0, 4)),
        (Pool::Adaptive(1), true, vec![100.0, 4.0], (1, 1)),
    ] {
        let layout = Layout { pool, class_first, way: forwards };
        let (rows, found) = layout.rows(nine(true)).unwrap();
        let rows = rows.into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(found, patches, "{pool:?}");
        assert!(rows.iter().zip(&expected).all(|(x, y)| (x - y).abs() < 1e-5), "{pool:?} {rows:?}");
        assert_eq!(rows.len(), expected.len(), "{pool:?}");
    }
    let wrong = |pool, class| {
        let layout = Layout { pool, class_first: false, way: forwards };
        layout.rows(nine(class)).unwrap_err().to_string()
    };
    assert!(wrong(Pool::Class, false).contains("no class row"));
    assert!(wrong(Pool::Grid(4), true).contains("3 × 3 patches has no 4 × 4 squares"));
    assert!(wrong(Pool::Adaptive(5), true).contains("5 rows are no square"));
}

#[test]
fn an_order_that_a_model_does_not_know_is_refused() {
    let (rwkv, tower, proj) = (golden("v7"), golden("tower_siglip"), golden("visual_goose"));
    let named = put_together([("rwkv", &rwkv), ("vit", &tower), ("proj", &proj)]);
    let layout = Layout { way: Way::Bidirection, ..Layout::released(Version::V7) };
    let error = load(&named, Some(layout)).unwrap_err().to_string();
    assert!(error.contains("reads pictures forwards only"), "{error}");
}

#[test]
fn what_is_missing_of_a_checkpoint_is_said() {
    let (rwkv, tower, proj) = (golden("v6"), golden("tower_clip"), golden("visual_finch"));
    let whole = put_together([("rwkv", &rwkv), ("vit", &tower), ("proj", &proj)]);
    for (prefix, said) in
        [("vit.", "has no vision tower inside"), ("proj.", "has no projector known here")]
    {
        let mut named = whole.clone();
        named.retain(|name, _| !name.starts_with(prefix));
        let error = format!("{:#}", load(&named, None).unwrap_err());
        assert!(error.contains(said), "{prefix} {error}");
    }
}
