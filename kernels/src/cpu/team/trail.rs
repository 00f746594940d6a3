//! What is read after what.
//!
//! Weights are read in the same order for every token, and between two of them one thread has a lot of
//! small things to do. Those that wait for it fetch the end of what came next the last time: that is
//! where they will begin.

use std::collections::HashMap;
use std::mem::take;
use std::ops::Range;
use std::ptr::without_provenance;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cpu::lanes::soon;

/// Bytes that are fetched at most: so many have room in a near cache.
const NEAR: usize = 1 << 20;

/// Bytes that are fetched between two looks for work.
const SOME: usize = 1 << 12;

/// Bytes that come at once.
const LINE: usize = 64;

/// Steps that are remembered; with more, all are forgotten.
const LONGEST: usize = 1 << 14;

/// Steps by their names, and what is fetched of those that come.
#[derive(Default)]
pub struct Trail(Mutex<Steps>);

#[derive(Default)]
struct Steps {
    known: HashMap<usize, Step>,
    /// The last one that was made.
    last: usize,
    /// What is to be fetched, the first behind the others, each from its end.
    wanted: Vec<Range<usize>>,
}

/// Weights that are read together.
struct Step {
    weights: Vec<Range<usize>>,
    /// The name of the step that came next.
    next: usize,
}

impl Trail {
    /// These are read now; the place of the first is the name of the step. Only places are kept: what
    /// is not there any more is asked for in vain.
    pub fn step<'a>(&self, weights: impl Iterator<Item = &'a [u8]> + Clone) {
        let mut steps = self.steps();
        steps.wanted.clear();
        let places =
            weights.map(|bytes| bytes.as_ptr().addr()..bytes.as_ptr().addr() + bytes.len());
        let Some(name) = places.clone().next().map(|first| first.start) else { return };
        if steps.known.len() >= LONGEST {
            steps.known.clear();
        }
        let last = std::mem::replace(&mut steps.last, name);
        if let Some(last) = steps.known.get_mut(&last) {
            last.next = name;
        }
        match steps.known.get_mut(&name) {
            Some(step) if step.weights.iter().cloned().eq(places.clone()) => {}
            _ => _ = steps.known.insert(name, Step { weights: places.collect(), next: name }),
        }
    }

    /// They have been read.
    pub fn rest(&self) {
        let mut steps = self.steps();
        let mut wanted = take(&mut steps.wanted);
        let (mut left, mut name) = (NEAR, steps.last);
        while let Some(step) = steps.known.get(&name)
            && left > 0
            && step.next != steps.last
        {
            name = step.next;
            for weight in steps.known.get(&name).iter().flat_map(|step| step.weights.iter().rev()) {
                let size = weight.len().min(left);
                wanted.extend((size > 0).then(|| weight.end - size..weight.end));
                left -= size;
            }
        }
        wanted.reverse();
        steps.wanted = wanted;
    }

    /// Fetches a little of what comes next.
    pub fn fetch(&self) {
        let Ok(mut steps) = self.0.try_lock() else { return };
        let Some(weight) = steps.wanted.last_mut() else { return };
        let size = weight.len().min(SOME);
        weight.end -= size;
        let (start, end) = (weight.end, weight.end + size);
        if weight.start == weight.end {
            steps.wanted.pop();
        }
        drop(steps);
        for place in (start..end).step_by(LINE) {
            soon(without_provenance::<u8>(place));
        }
    }

    fn steps(&self) -> MutexGuard<'_, Steps> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_next_is_fetched_next() {
        let bytes = vec![0u8; 3 * NEAR];
        let all: Vec<&[u8]> = bytes.chunks(NEAR / 4).collect();
        let place = |i: usize| all[i].as_ptr_range().start.addr()..all[i].as_ptr_range().end.addr();
        let trail = Trail::default();
        for _ in 0..2 {
            for step in [&[0, 1][..], &[2], &[3, 4], &[5]] {
                trail.step(step.iter().map(|&i| all[i]));
                assert!(trail.steps().wanted.is_empty());
                trail.rest();
            }
        }
        // After the last comes the first again, and of what is read together the last is fetched first.
        assert_eq!(trail.steps().wanted, [4, 2, 0, 1].map(place));
        trail.fetch();
        let first = trail.steps().wanted.last().unwrap().clone();
        assert_eq!(first, place(1).start..place(1).end - SOME);
        // Another way from there on.
        trail.step([all[7]].into_iter());
        trail.step([all[5]].into_iter());
        trail.step([all[7]].into_iter());
        trail.rest();
        assert_eq!(trail.steps().wanted, [place(5)]);
    }
}
