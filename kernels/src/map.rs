//! Files in memory, for weights that are read where they lie.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};

use memmap2::Mmap;
#[cfg(unix)]
use memmap2::{Advice, UncheckedAdvice};

/// A file whose bytes are read as memory; as long as it lives, the file must stay as it is.
#[derive(Debug)]
pub struct Mapped(Mmap);

/// How a file will be read.
#[derive(Clone, Copy, Debug)]
pub enum Reading {
    /// Here and there, as directories are: what lies around is not wanted.
    Scattered,
    /// On and on.
    Onwards,
}

/// Below this the system call costs more than the memory is worth.
const WORTH_RELEASING: usize = 1 << 20;

impl Mapped {
    /// Maps a file that is not empty.
    ///
    /// # Errors
    /// When the system does not allow it.
    #[allow(unsafe_code)]
    pub fn new(file: &File) -> io::Result<Self> {
        // SAFETY: it is read-only, and the documentation asks that the file stays.
        unsafe { Mmap::map(file) }.map(Self)
    }

    /// Tells the operating system how the file will be read; it is free not to listen.
    #[cfg_attr(not(unix), allow(unused_variables))]
    pub fn expect(&self, reading: Reading) {
        #[cfg(unix)]
        let _ = self.0.advise(match reading {
            Reading::Scattered => Advice::Random,
            Reading::Onwards => Advice::Normal,
        });
    }

    /// Gives back the memory that reading a large part has taken; reading it again is possible.
    #[cfg_attr(not(unix), allow(unused_variables))]
    #[allow(unsafe_code)]
    pub fn release(&self, part: Range<usize>) {
        #[cfg(unix)]
        if part.len() >= WORTH_RELEASING {
            // SAFETY: the mapping is read-only and of a file, so that dropped pages come back from
            // it with the same content. Failing, it leaves more memory in use and nothing else.
            let _ = unsafe {
                self.0.unchecked_advise_range(UncheckedAdvice::DontNeed, part.start, part.len())
            };
        }
    }
}

impl Deref for Mapped {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}
