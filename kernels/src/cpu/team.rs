//! Threads that stay awake for a moment after a small piece of work.
//!
//! Reading one token is some hundred products of a few ten microseconds each. A thread that goes to
//! sleep between them takes longer to wake than the work it could take over. These wait on their
//! feet, and lie down when nothing has come for a while.

use std::hint::spin_loop;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::thread::{self, yield_now};

use rayon::prelude::*;

use trail::Trail;

mod trail;

/// Looks for work before a thread lies down: some tenths of a millisecond.
const PATIENCE: u32 = 8192;

/// Looks for the end of work before a thread lets others of the machine have a turn.
const POLITE: u32 = 1024;

/// Runs `f` on every number below `count`, on several threads and in no order.
///
/// # Panics
/// When `f` does.
pub fn share(count: usize, f: impl Fn(usize) + Sync) {
    if count < 2 {
        return (0..count).for_each(f);
    }
    let team = Team::the();
    // One at a time: whoever comes second goes to the pool, and so does who has too much to count.
    match count > MOST || team.led.swap(true, Ordering::Acquire) {
        true => (0..count).into_par_iter().for_each(&f),
        false => team.share(count, &f),
    }
}

/// Runs `f` on ranges that make up all below `count`, of things that are read from so many bytes.
pub fn share_ranges(count: usize, bytes: usize, f: impl Fn(Range<usize>) + Sync) {
    let ranges = Ranges::new(count, bytes, 1);
    share(ranges.pieces(), |piece| f(ranges.get(piece)));
}

/// Does several works, all at once: threads that have nothing left of one go on with another.
pub fn share_all(works: &[Box<dyn Pieces + '_>]) {
    let trail = &Team::the().trail;
    trail.step(works.iter().map(|work| work.reads()));
    share(works.iter().map(|work| work.pieces()).sum(), |mut piece| {
        for work in works {
            match piece.checked_sub(work.pieces()) {
                Some(rest) => piece = rest,
                None => return work.work(piece),
            }
        }
    });
    trail.rest();
}

/// A work of which threads take pieces.
pub trait Pieces: Sync {
    /// How many there are.
    fn pieces(&self) -> usize;

    /// Does one of them, which nobody else does.
    fn work(&self, piece: usize);

    /// What most of the time goes to: the later the piece, the later in there it reads.
    fn reads(&self) -> &[u8];
}

/// Ranges that make up all below a number: some for each thread, none of them too small to be handed
/// over.
#[derive(Clone, Copy)]
pub struct Ranges {
    count: usize,
    per: usize,
}

impl Ranges {
    /// Of `count` things that are read from so many bytes; all but the last are multiples of `step`.
    pub fn new(count: usize, bytes: usize, step: usize) -> Self {
        let most = bytes / SMALLEST;
        let best = (rayon::current_num_threads() * SOME).max(bytes / LARGEST);
        let per = count.div_ceil(best.min(most).max(1)).max(1);
        Self { count, per: per.next_multiple_of(step) }
    }

    /// How many there are.
    pub fn pieces(self) -> usize {
        self.count.div_ceil(self.per)
    }

    /// One of them.
    pub fn get(self, piece: usize) -> Range<usize> {
        piece * self.per..self.count.min((piece + 1) * self.per)
    }
}

/// Bytes that are worth handing over.
const SMALLEST: usize = 1 << 15;

/// Bytes after which another thread may take over, where there are many.
const LARGEST: usize = 1 << 19;

/// Pieces for each thread: one may be slower than another.
const SOME: usize = 4;

/// Those who look for work, and the work there is.
#[derive(Default)]
struct Team {
    /// Whether somebody has work shared out.
    led: AtomicBool,
    /// The first piece that nobody has taken yet, and how many there are of them: see [`open`].
    open: AtomicU64,
    /// Pieces of this work that are done.
    done: AtomicUsize,
    /// What to do with a piece; it lives until all pieces are done.
    work: AtomicPtr<Work<'static>>,
    /// Whether a piece ended in a panic.
    failed: AtomicBool,
    /// Threads that have lain down, and what wakes them.
    asleep: AtomicUsize,
    bed: Mutex<()>,
    bell: Condvar,
    /// What is fetched for the next work.
    trail: Trail,
}

/// What is done with the piece of each number.
struct Work<'a>(&'a (dyn Fn(usize) + Sync));

/// The most pieces of a work.
const MOST: usize = u16::MAX as usize;

/// The part of [`Team::open`] that is about pieces; above it is a number that no two works have in
/// common.
const PIECES: u64 = u32::MAX as u64;

/// The first of the open pieces, and how many there are.
fn open(all: u64) -> [u64; 2] {
    [all >> 16 & MOST as u64, all & MOST as u64]
}

impl Team {
    /// The team of this program: with whoever leads, as many as there are cores.
    fn the() -> &'static Self {
        static TEAM: OnceLock<&Team> = OnceLock::new();
        TEAM.get_or_init(|| Self::gather(rayon::current_num_threads() - 1))
    }

    /// A team of so many threads, which live as long as the program.
    fn gather(threads: usize) -> &'static Self {
        let team: &Self = Box::leak(Box::default());
        for _ in 0..threads {
            // A machine that gives no thread has no help to give.
            let _ = thread::Builder::new().name("team".into()).spawn(|| team.help());
        }
        team
    }

    fn share(&self, count: usize, f: &(dyn Fn(usize) + Sync)) {
        let pieces = u16::try_from(count).expect("fewer pieces than can be counted");
        let mut work = Work(f);
        self.done.store(0, Ordering::Relaxed);
        self.work.store((&raw mut work).cast(), Ordering::Relaxed);
        let before = self.open.load(Ordering::Relaxed);
        self.open.store((before | PIECES).wrapping_add(1) + u64::from(pieces), Ordering::Release);
        let lead = Lead { team: self, count };
        // Either this sees who is asleep, or they see the work.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) > 0 {
            drop(self.bed.lock().unwrap_or_else(PoisonError::into_inner));
            self.bell.notify_all();
        }
        while self.piece(true) {}
        drop(lead);
    }

    /// Takes a piece of the work, if there is one, and does it: the first for whoever leads, the last
    /// for all others, who may have fetched what it reads.
    fn piece(&self, leads: bool) -> bool {
        let taken = self.open.fetch_update(Ordering::Acquire, Ordering::Relaxed, |all| {
            let taken = if leads { (1 << 16) - 1 } else { u64::MAX };
            (open(all)[1] > 0).then(|| all.wrapping_add(taken))
        });
        let Ok(all) = taken else { return false };
        let _counted = Counted(self);
        // SAFETY: whoever shares out the work waits for every piece that was taken, and for this one
        // until it is counted.
        #[allow(unsafe_code)]
        let work = unsafe { &*self.work.load(Ordering::Relaxed) };
        let [first, count] = open(all);
        (work.0)(if leads { first } else { first + count - 1 } as usize);
        true
    }

    /// Takes pieces of whatever there is to do, for ever.
    fn help(&self) {
        let mut looks = 0;
        loop {
            let found =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.piece(false)));
            looks = if found.unwrap_or(true) { 0 } else { looks + 1 };
            if looks == PATIENCE {
                self.sleep();
                looks = 0;
            }
            self.trail.fetch();
            spin_loop();
        }
    }

    fn sleep(&self) {
        let mut bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        while open(self.open.load(Ordering::Relaxed))[1] == 0 {
            bed = self.bell.wait(bed).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A work that is shared out. However that ends, nobody works on it afterwards.
struct Lead<'a> {
    team: &'a Team,
    count: usize,
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let team = self.team;
        let [_, left] = open(team.open.fetch_and(!PIECES, Ordering::Relaxed));
        let taken = self.count - left as usize;
        let mut looks = 0u32;
        while team.done.load(Ordering::Acquire) < taken {
            looks = looks.wrapping_add(1);
            if looks.is_multiple_of(POLITE) { yield_now() } else { spin_loop() }
        }
        team.work.store(ptr::null_mut(), Ordering::Relaxed);
        let failed = team.failed.swap(false, Ordering::Relaxed);
        team.led.store(false, Ordering::Release);
        assert!(!failed || thread::panicking(), "a piece of the work failed");
    }
}

/// Counts a piece as done, however it ends.
struct Counted<'a>(&'a Team);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.failed.store(true, Ordering::Relaxed);
        }
        self.0.done.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_done_once_by_whoever_comes() {
        let team = Team::gather(3);
        for count in [2, 3, 17, 1000] {
            for _ in 0..200 {
                let seen: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                team.led.store(true, Ordering::Relaxed);
                team.share(count, &|i| _ = seen[i].fetch_add(1, Ordering::Relaxed));
                assert!(seen.iter().all(|seen| seen.load(Ordering::Relaxed) == 1));
            }
            // Long enough for all of them to lie down.
            thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    #[test]
    fn ranges_make_up_everything() {
        for count in [0, 1, 2, 7, 100, 1001] {
            for bytes in [0, SMALLEST, 3 * SMALLEST, 100 * SMALLEST, 50 * LARGEST] {
                let seen: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                share_ranges(count, bytes, |range| {
                    assert!(!range.is_empty());
                    seen[range].iter().for_each(|seen| _ = seen.fetch_add(1, Ordering::Relaxed));
                });
                assert!(seen.iter().all(|seen| seen.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn work_in_work_and_beside_work_is_done() {
        let sum = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let inner = || share(9, |i| _ = sum.fetch_add(i, Ordering::Relaxed));
                    (0..50).for_each(|_| share(7, |_| inner()));
                });
            }
        });
        assert_eq!(sum.into_inner(), 4 * 50 * 7 * 36);
    }

    #[test]
    fn a_panic_in_a_piece_comes_back_and_the_team_goes_on() {
        for bad in 0..8 {
            let panics = std::panic::catch_unwind(|| share(8, |i| assert_ne!(i, bad)));
            assert!(panics.is_err());
            let sum = AtomicUsize::new(0);
            share(8, |i| _ = sum.fetch_add(i, Ordering::Relaxed));
            assert_eq!(sum.into_inner(), 28);
        }
    }
}
