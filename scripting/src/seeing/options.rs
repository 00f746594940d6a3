//! What tensors do not tell of a model with pictures, as options tell it.

use rwkv_engine::rwkv::{Version, Way};
use rwkv_engine::visual::fresh::{Between, Sizes};
use rwkv_engine::visual::prompt::Placement;
use rwkv_engine::visual::{Pool, Told};

use crate::host::{Fallible, fail};
use crate::options::OptionMap;

const SCANS: [(&str, Way); 3] = [
    ("unidirection", Way::Forwards),
    ("bidirection", Way::Bidirection),
    ("multidirection", Way::Multidirection),
];

const PLACES: [(&str, Placement); 3] =
    [("first", Placement::First), ("middle", Placement::Middle), ("last", Placement::Last)];

/// Reads what options tell of a model with pictures.
///
/// # Errors
/// When one of them is of the wrong kind or not known.
pub fn told(options: &mut OptionMap) -> Fallible<Told> {
    let mut told = Told::default();
    let count = |n: i64| n as usize;
    told.tower.heads = options.optional_integer("heads", 1..=1024)?.map(count);
    told.tower.size = options.optional_integer("image_size", 1..=8192)?.map(count);
    let grid = options.optional_integer("grid_size", -1..=1024)?;
    let rows = options.optional_integer("num_token_per_image", 1..=1 << 16)?;
    told.pool = match (grid, rows) {
        (Some(_), Some(_)) => {
            return Err(fail("give `grid_size` or `num_token_per_image`, not both"));
        }
        (Some(-1), None) => Some(Pool::All),
        (Some(0), None) => Some(Pool::Class),
        (Some(1), None) => Some(Pool::Mean),
        (Some(side), None) => Some(Pool::Grid(count(side))),
        (None, Some(rows)) => Some(Pool::Adaptive(count(rows))),
        (None, None) => None,
    };
    told.way = options.one_of("scan", &SCANS)?;
    told.placement = options.one_of("image_position", &PLACES)?;
    Ok(told)
}

/// What comes between the tower and the language model; as released if nothing is said.
pub fn between(options: &mut OptionMap, version: Version) -> Fallible<Between> {
    let usual = if version == Version::V7 { Between::Gated } else { Between::Linear };
    let known = [("linear", Between::Linear), ("gated", Between::Gated)];
    Ok(options.one_of("projector", &known)?.unwrap_or(usual))
}

/// How large a new tower is to be, if one is asked for.
pub fn sizes(options: &mut OptionMap, told: &Told) -> Fallible<Option<Sizes>> {
    let mut size = |key| options.optional_integer(key, 1..=1 << 16);
    let (patch, n_embd, n_layer) = (size("patch_size")?, size("n_embd")?, size("n_layer")?);
    let n_embd = n_embd.unwrap_or(64) as usize;
    let new = patch.zip(told.tower.size).map(|(patch, size)| Sizes {
        size,
        patch: patch as usize,
        n_embd,
        n_layer: n_layer.unwrap_or(2) as usize,
        n_head: told.tower.heads.unwrap_or((n_embd / 32).max(1)),
    });
    Ok(new)
}
