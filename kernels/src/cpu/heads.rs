//! The heads of a batch: where their numbers lie, and who works on which.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::team;

/// Tokens between two kept states; 16 as in the official training kernels.
pub const CHUNK: usize = 16;

/// Below this many multiplications a thread costs more than it brings.
const WORTH_A_THREAD: usize = 1 << 14;

/// Sizes of one call of a recurrence with a matrix per head.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub batch: usize,
    pub tokens: usize,
    pub heads: usize,
    /// Channels of one head.
    pub n: usize,
}

impl Sizes {
    /// How often a state is kept.
    pub fn chunks(self) -> usize {
        self.tokens.div_ceil(CHUNK)
    }

    /// Numbers in a `[B, T, H, N]`.
    pub fn all(self) -> usize {
        self.batch * self.tokens * self.heads * self.n
    }

    /// Numbers in the state of one head.
    pub fn square(self) -> usize {
        self.n * self.n
    }

    /// Numbers in the states of all heads of the batch.
    pub fn states(self) -> usize {
        self.batch * self.heads * self.square()
    }

    /// Where the vectors of a head (counted over the batch) lie in a `[B, T, H, N]`, by token.
    #[inline(always)]
    pub fn places(self, head: usize) -> impl Fn(usize) -> Range<usize> + Copy {
        let (batch, head) = (head / self.heads, head % self.heads);
        let first = (batch * self.tokens * self.heads + head) * self.n;
        move |t| {
            let start = first + t * self.heads * self.n;
            start..start + self.n
        }
    }

    /// The tokens of a chunk.
    pub fn span(self, chunk: usize) -> Range<usize> {
        chunk * CHUNK..((chunk + 1) * CHUNK).min(self.tokens)
    }

    /// Shares out `[B, T, H, N]`s: for every head the vectors of its tokens, to write to. An empty
    /// one is shared out as nothing.
    pub fn share<const K: usize>(self, all: [&mut [f32]; K]) -> Vec<[Rows<'_>; K]> {
        share([self.batch, self.tokens, self.heads * self.n], self.n, all)
    }

    /// Runs `f` on the work of every head of the batch, on several threads where that pays.
    pub fn each_head<W: Send>(self, work: Vec<W>, f: impl Fn(usize, W) + Sync + Send) {
        each(work, self.all() * self.n, f);
    }
}

/// Cuts the vectors of `[B, T, C]`s into pieces of `width` channels (the last may be narrower): for
/// every text and piece those of its tokens.
pub fn share<const K: usize>(
    [batch, tokens, channels]: [usize; 3],
    width: usize,
    all: [&mut [f32]; K],
) -> Vec<[Rows<'_>; K]> {
    let pieces = channels.div_ceil(width);
    let rows = || std::array::from_fn(|_| Vec::with_capacity(tokens));
    let mut shares: Vec<[Rows; K]> = (0..batch * pieces).map(|_| rows()).collect();
    for (which, all) in all.into_iter().enumerate() {
        let texts = all.chunks_mut((tokens * channels).max(1));
        for (text, shares) in texts.zip(shares.chunks_mut(pieces)) {
            for token in text.chunks_mut(channels) {
                for (row, share) in token.chunks_mut(width).zip(&mut *shares) {
                    share[which].push(row);
                }
            }
        }
    }
    shares
}

/// Runs `f` on every piece of work, on several threads where `multiplications` are enough.
pub fn each<W: Send>(work: Vec<W>, multiplications: usize, f: impl Fn(usize, W) + Sync + Send) {
    if multiplications < WORTH_A_THREAD {
        work.into_iter().enumerate().for_each(|(i, work)| f(i, work));
    } else {
        let work: Vec<_> = work.into_iter().map(|work| Mutex::new(Some(work))).collect();
        team::share(work.len(), |i| {
            let work = work[i].lock().unwrap_or_else(PoisonError::into_inner).take();
            f(i, work.expect("everything is done once"));
        });
    }
}

/// The vectors of the tokens of one head.
pub type Rows<'a> = Vec<&'a mut [f32]>;
