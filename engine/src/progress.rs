//! How far long works are, for somebody who watches from another thread.
//!
//! The works say what they do and count; whether anybody is told is not their business.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A work under way.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is done, in a few words: `loading model.pth`.
    pub what: String,
    /// What is counted: `tokens`.
    pub unit: &'static str,
    /// How many are done.
    pub done: u64,
    /// How many of them were done when it began.
    pub before: u64,
    /// How many there are; 0 means that nobody knows.
    pub all: u64,
    /// When it began.
    pub since: Instant,
    number: u64,
}

/// The works under way, the outermost first.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Works>);

#[derive(Debug, Default)]
struct Works {
    jobs: Vec<Job>,
    begun: u64,
}

/// A work that counts as under way until this is dropped.
#[derive(Debug)]
pub struct Counter {
    progress: Arc<Progress>,
    number: u64,
}

impl Progress {
    /// Begins a work of `all` parts, or 0 where that is not known.
    pub fn begin(self: &Arc<Self>, what: String, unit: &'static str, all: u64) -> Counter {
        let mut works = self.works();
        let number = works.push(what, unit, 0, all);
        drop(works);
        Counter { progress: self.clone(), number }
    }

    /// Says how far a work is that comes in calls of its own, as the steps of a training; it is
    /// under way until [`Progress::end`].
    pub fn tell(&self, what: &str, unit: &'static str, done: u64, all: u64) {
        let mut works = self.works();
        match works.jobs.iter_mut().find(|job| job.what == what) {
            Some(job) if done >= job.done => (job.done, job.all) = (done, all),
            // It has begun anew.
            Some(job) => (job.done, job.before, job.since) = (done, done, Instant::now()),
            None => {
                works.push(what.into(), unit, done, all);
            }
        }
    }

    /// Ends all works that were told of.
    pub fn end(&self) {
        self.works().jobs.clear();
    }

    /// The works under way, the outermost first.
    pub fn jobs(&self) -> Vec<Job> {
        self.works().jobs.clone()
    }

    /// A panic while counting leaves numbers that are still good to look at.
    fn works(&self) -> MutexGuard<'_, Works> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Works {
    fn push(&mut self, what: String, unit: &'static str, before: u64, all: u64) -> u64 {
        self.begun += 1;
        let (number, since) = (self.begun, Instant::now());
        self.jobs.push(Job { what, unit, done: before, before, all, since, number });
        number
    }
}

impl Counter {
    /// Counts `parts` more as done.
    pub fn add(&self, parts: u64) {
        if let Some(job) = self.progress.works().jobs.iter_mut().find(|j| j.number == self.number) {
            job.done += parts;
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.progress.works().jobs.retain(|job| job.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn works_are_nested_and_end_with_their_counter() {
        let progress = Arc::<Progress>::default();
        let outer = progress.begin("reading".into(), "tokens", 10);
        outer.add(3);
        let inner = progress.begin("loading".into(), "numbers", 0);
        inner.add(7);
        let seen: Vec<_> = progress.jobs().into_iter().map(|j| (j.what, j.done, j.all)).collect();
        assert_eq!(seen, [("reading".into(), 3, 10), ("loading".into(), 7, 0)]);
        drop(outer);
        inner.add(1);
        assert_eq!(progress.jobs()[0].done, 8);
        drop(inner);
        assert!(progress.jobs().is_empty());
    }

    #[test]
    fn steps_are_told_one_by_one() {
        let progress = Progress::default();
        progress.tell("training", "steps", 5, 20);
        progress.tell("training", "steps", 6, 20);
        let job = &progress.jobs()[0];
        assert_eq!((job.before, job.done, job.all), (5, 6, 20));
        progress.tell("training", "steps", 1, 20);
        assert_eq!((progress.jobs()[0].before, progress.jobs().len()), (1, 1));
        progress.end();
        assert!(progress.jobs().is_empty());
    }
}
