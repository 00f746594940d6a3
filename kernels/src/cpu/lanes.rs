//! Sixteen numbers at a time, by the instructions that a machine has. One source for all machines:
//! work is written once, on [`Lanes`], and compiled for each of them.

use std::env::var;
use std::sync::LazyLock;

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
#[cfg(target_arch = "aarch64")]
pub mod neon;
mod plain;

pub use plain::Plain;

/// How many numbers.
pub const LANES: usize = 16;

/// The largest whole number of a [`Word`]: its high and its low byte have signs.
pub const LARGEST: i16 = 127 * 256;

/// Four whole numbers of 16 bits, as a machine likes them best.
pub type Word = [u8; 8];

/// What a machine does with sixteen numbers.
pub trait Lanes: Copy {
    /// Sixteen f32.
    type Numbers: Copy;

    /// Four numbers of 8 bits, none negative, for each of sixteen rows.
    type Bytes: Copy;

    /// Sixteen sums of products of bytes and words.
    type Sums: Copy;

    fn splat(self, number: f32) -> Self::Numbers;

    fn load(self, numbers: &[f32; LANES]) -> Self::Numbers;

    /// From numbers in f32, little-endian.
    fn f32(self, bytes: &[u8; 4 * LANES]) -> Self::Numbers;

    fn store(self, numbers: Self::Numbers) -> [f32; LANES];

    /// From numbers in bf16, little-endian.
    fn bf16(self, bytes: &[u8; 2 * LANES]) -> Self::Numbers;

    /// From pairs of numbers in bf16: the first of all pairs, and the second.
    fn bf16_pairs(self, bytes: &[u8; 4 * LANES]) -> [Self::Numbers; 2];

    /// From numbers in half precision, little-endian.
    fn f16(self, bytes: &[u8; 2 * LANES]) -> Self::Numbers;

    fn mul(self, a: Self::Numbers, b: Self::Numbers) -> Self::Numbers;

    /// `a·b + sum`.
    fn mul_add(self, a: Self::Numbers, b: Self::Numbers, sum: Self::Numbers) -> Self::Numbers;

    fn bytes(self, bytes: &[u8; 4 * LANES]) -> Self::Bytes;

    /// The low halves of all bytes, and the high ones.
    fn nibbles(self, bytes: &[u8; 4 * LANES]) -> [Self::Bytes; 2];

    /// Numbers between ±[`LARGEST`], four of them in a word.
    fn words(self, whole: &[i16; 2 * LANES]) -> [Word; LANES / 2];

    /// Sums that begin with this number.
    fn begin(self, start: i32) -> Self::Sums;

    /// Adds to each sum the products of four bytes with the numbers of a word.
    fn dot(self, sums: Self::Sums, bytes: Self::Bytes, word: &Word) -> Self::Sums;

    fn finish(self, sums: Self::Sums) -> Self::Numbers;

    /// The sum of all sixteen.
    #[inline(always)]
    fn total(self, numbers: Self::Numbers) -> f32 {
        let mut sums = self.store(numbers);
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                sums[i] += sums[i + half];
            }
        }
        sums[0]
    }
}

/// The environment variable that names a [`Unit`] to use in the place of the best.
const WANTED: &str = "RWKV_UNIT";

/// What products with few rows run on: `avx512`, `avx2`, `neon` or `plain`, whichever is best here or is
/// named by the environment variable `RWKV_UNIT`.
///
/// # Errors
/// When the variable names something that this machine does not have.
pub fn unit() -> Result<&'static str, String> {
    Unit::wanted().map(|unit| unit.name())
}

/// Something to do on any machine; what is inlined into it is compiled for that.
pub trait Work {
    fn run(self, lanes: impl Lanes);
}

/// What a machine may have, the best first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unit {
    /// AVX-512 with products of bytes (VNNI).
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    /// AVX2, FMA and half precision.
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    /// NEON.
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
    /// Whatever the compiler makes of plain loops.
    Plain,
}

impl Unit {
    /// The best of this machine, or what `RWKV_UNIT` names.
    pub fn best() -> Self {
        static BEST: LazyLock<Unit> =
            LazyLock::new(|| Unit::wanted().unwrap_or_else(|_| Unit::all()[0]));
        *BEST
    }

    /// What `RWKV_UNIT` names; without it the best.
    fn wanted() -> Result<Self, String> {
        var(WANTED).map_or_else(|_| Ok(Self::all()[0]), |name| Self::named(&name))
    }

    /// What is called `avx512`, `avx2`, `neon` or `plain`.
    fn named(name: &str) -> Result<Self, String> {
        let found = Self::all().into_iter().find(|unit| unit.name() == name);
        found.ok_or_else(|| {
            let names: Vec<_> = Self::all().iter().map(Self::name).collect();
            format!("{WANTED} is `{name}`; this machine has {}.", names.join(", "))
        })
    }

    fn name(&self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
            Self::Plain => "plain",
        }
    }

    /// All that this machine has.
    pub fn all() -> Vec<Self> {
        let mut units = vec![];
        #[cfg(target_arch = "x86_64")]
        {
            units.extend(avx512::Avx512::find().map(Self::Avx512));
            units.extend(avx2::Avx2::find().map(Self::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        units.extend(neon::Neon::find().map(Self::Neon));
        units.push(Self::Plain);
        units
    }

    pub fn run(self, work: impl Work) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(lanes) => lanes.run(work),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(lanes) => lanes.run(work),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(lanes) => lanes.run(work),
            Self::Plain => work.run(Plain),
        }
    }
}

/// Places that are read at a time: machines fetch ahead for a few that are far apart better than for
/// one, or for neighbours.
pub const STREAMS: usize = 4;

/// How far ahead memory is asked for, in bytes.
pub const AHEAD: usize = 1024;

/// Asks for what lies behind what is read now.
#[inline(always)]
pub fn ahead<T>(place: *const T) {
    soon(place.wrapping_byte_add(AHEAD));
}

/// Asks for what lies at this place, which need not be there.
#[inline(always)]
pub fn soon<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every machine has the instruction, and it changes nothing that can be seen, nor does
        // it fail where there is no memory.
        #[allow(unsafe_code)]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(place.cast());
        }
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    #[allow(unsafe_code)]
    unsafe {
        use std::arch::asm;
        asm!("prfm pldl1keep, [{}]", in(reg) place, options(nostack, readonly, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = place;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_found_by_name() {
        for unit in Unit::all() {
            assert_eq!(Unit::named(unit.name()), Ok(unit));
        }
        let error = Unit::named("avx").unwrap_err();
        assert!(error.contains("`avx`") && error.ends_with("plain."), "{error}");
    }
}
