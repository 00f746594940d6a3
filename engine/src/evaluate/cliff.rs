//! The size of a problem up to which a model solves it.

use anyhow::{Result, ensure};

use super::means::Mean;

/// Where a model ceases to solve problems.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cliff {
    /// Sizes that were measured, from small to large, and the share that was solved.
    pub measured: Vec<(usize, Mean)>,
    /// The largest size before the first that was solved too seldom; nothing where none was solved.
    pub last: Option<usize>,
    /// Whether a size was found that was solved too seldom.
    pub found: bool,
    /// Whether the search came to its end.
    pub complete: bool,
}

/// Looks for the largest size from `least` to `most` of which at least `threshold` is solved: sizes
/// are doubled until one is too large, then the gap is halved. `measure` gives the share that is
/// solved, or nothing once it is interrupted.
///
/// # Errors
/// For sizes that are none, and what `measure` fails with.
pub fn cliff(
    (least, most): (usize, usize),
    threshold: f64,
    mut measure: impl FnMut(usize) -> Result<Option<Mean>>,
) -> Result<Cliff> {
    ensure!(1 <= least && least <= most, "sizes must go up from 1 or more, not {least} to {most}.");
    let mut cliff = Cliff::default();
    let mut try_size = |size: usize, cliff: &mut Cliff| -> Result<Option<bool>> {
        let Some(share) = measure(size)? else { return Ok(None) };
        cliff.measured.push((size, share));
        cliff.measured.sort_by_key(|(size, _)| *size);
        Ok(Some(share.value() >= threshold))
    };
    let (mut good, mut bad) = (None, None);
    let mut size = least;
    while bad.is_none() {
        match try_size(size, &mut cliff)? {
            None => return Ok(Cliff { last: good, ..cliff }),
            Some(false) => bad = Some(size),
            Some(true) if size == most => {
                return Ok(Cliff { last: Some(size), complete: true, ..cliff });
            }
            Some(true) => (good, size) = (Some(size), (size * 2).min(most)),
        }
    }
    while let (Some(low), Some(high)) = (good, bad)
        && high - low > 1
    {
        let middle = low + (high - low) / 2;
        match try_size(middle, &mut cliff)? {
            None => return Ok(Cliff { last: good, found: true, ..cliff }),
            Some(true) => good = Some(middle),
            Some(false) => bad = Some(middle),
        }
    }
    Ok(Cliff { last: good, found: true, complete: true, ..cliff })
}
