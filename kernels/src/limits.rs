//! How fast this machine reads memory: no product with a large weight is quicker than that.

use std::hint::black_box;

use crate::cpu::lanes::{Lanes, STREAMS, Unit, Work, ahead};
use crate::cpu::team::share;

/// Bytes of a piece that a thread takes at a time.
const PIECE: usize = 1 << 22;

/// Bytes that are read at once.
const STEP: usize = 64;

/// Reads all of `bytes` once, on this thread or on all of them, and does nothing with it.
pub fn read(bytes: &[u8], alone: bool) {
    let pieces: Vec<_> = bytes.chunks(PIECE).collect();
    let one = |i: usize| Unit::best().run(Read(pieces[i]));
    match alone {
        true => (0..pieces.len()).for_each(one),
        false => share(pieces.len(), one),
    }
}

struct Read<'a>(&'a [u8]);

impl Work for Read<'_> {
    #[inline(always)]
    fn run(self, lanes: impl Lanes) {
        let one = lanes.splat(1.0);
        let mut sums = [one; STREAMS];
        let far = self.0.len() / STREAMS / STEP * STEP;
        for at in (0..far).step_by(STEP) {
            for (stream, sum) in sums.iter_mut().enumerate() {
                let bytes = &self.0[stream * far + at..];
                ahead(bytes.as_ptr());
                let numbers = lanes.f32(bytes.first_chunk().expect("a whole step"));
                *sum = lanes.mul_add(numbers, one, *sum);
            }
        }
        for sum in sums {
            black_box(lanes.total(sum));
        }
    }
}
