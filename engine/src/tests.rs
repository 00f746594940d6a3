//! Damaged and hostile files: whatever is done to a file, opening it ends in a value or in a
//! sentence, and takes no more memory than the file warrants.
//!
//! A short run is part of the tests; `RWKV_FUZZ_SECONDS=600 cargo test --release --workspace fuzz`
//! goes on for so long with every kind of file.

#![allow(clippy::print_stdout, reason = "a long run is there to be watched")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which remembers the largest request of each thread.
struct Watched;

// SAFETY: every call goes to the system's allocator unchanged.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.set(LARGEST.get().max(layout.size()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static WATCHED: Watched = Watched;

/// Numbers without end (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// One to four changes, most of them near the start, where directories are.
fn mutate(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..1 + random.below(4) {
        let whole = bytes.len();
        let reach = if random.below(3) == 0 { whole } else { whole.min(4096) };
        let (at, other) = (random.below(reach), random.below(whole));
        let size = (1 + random.below(64)).min(whole - at.min(whole));
        match random.below(7) {
            0 => bytes.truncate(at.max(1)),
            1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            3 => {
                // A length or an offset, blown up.
                let huge = [u64::MAX, 1 << 63, 1 << 62, 1 << 40, whole as u64, 0][random.below(6)];
                let field = huge.to_le_bytes();
                let room = (whole - at).min([2, 4, 8][random.below(3)]);
                bytes[at..at + room].copy_from_slice(&field[..room]);
            }
            4 => drop(bytes.splice(at..at + size, [])),
            5 => {
                let piece = bytes[other..(other + size).min(whole)].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            _ => bytes[at..at + size].iter_mut().for_each(|byte| *byte = random.next() as u8),
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
    bytes
}

/// Files that one thread damages: libraries keep things by thread, which are not the file's fault.
const BATCH: u64 = 10_000;

/// Damages `seed` again and again and hands it to `open`, which says whether it was accepted.
pub fn fuzz(name: &str, seed: &[u8], open: impl Fn(&[u8]) -> bool + Sync) {
    let seconds = std::env::var("RWKV_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let limit = Duration::from_secs_f64(seconds.unwrap_or(0.4));
    let (started, mut runs, mut opened) = (Instant::now(), 0, 0);
    let batch = |first: u64| {
        let mut random = Random(first.wrapping_add(7));
        let goes_on = |run: &u64| !run.is_multiple_of(100) || started.elapsed() < limit;
        let run =
            |run| usize::from(survives(&format!("{name}: run {run}"), seed, &mut random, &open));
        (first..first + BATCH)
            .take_while(goes_on)
            .map(run)
            .fold((0, 0), |(n, m), one| (n + 1, m + one))
    };
    while started.elapsed() < limit {
        let done = std::thread::scope(|scope| scope.spawn(|| batch(runs)).join());
        let (count, accepted) = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (runs, opened) = (runs + count, opened + accepted);
    }
    println!("{name}: {runs} damaged files, {opened} of them opened");
}

/// Whether a damaged file is accepted; fails where opening it panics or takes too much memory.
fn survives(run: &str, seed: &[u8], random: &mut Random, open: &impl Fn(&[u8]) -> bool) -> bool {
    let bytes = mutate(seed, random);
    LARGEST.set(0);
    let outcome = catch_unwind(AssertUnwindSafe(|| open(&bytes)));
    assert!(outcome.is_ok(), "{run} panicked");
    let (largest, warranted) = (LARGEST.get(), 32 * bytes.len() + (8 << 20));
    assert!(largest <= warranted, "{run} asked for {largest} bytes");
    matches!(outcome, Ok(true))
}
