//! Products of whole tiles. The instructions have no names in Rust yet.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::marker::PhantomData;

use super::tiles::{Block, Tile};

/// Whether the machine has tiles of bf16 and of bytes, and Linux lets this process use them.
pub fn allowed() -> bool {
    const TILES: u32 = 1 << 24;
    const BF16: u32 = 1 << 22;
    const BYTES: u32 = 1 << 25;
    let found = __cpuid_count(7, 0).edx;
    found & (TILES | BF16 | BYTES) == TILES | BF16 | BYTES && permitted()
}

/// Asks Linux for the registers of tiles: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA).
fn permitted() -> bool {
    const ARCH_PRCTL: usize = 158;
    const REQUEST: usize = 0x1023;
    const TILE_DATA: usize = 18;
    let result: isize;
    // SAFETY: a system call that reads and writes no memory; it overwrites rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") REQUEST,
            in("rsi") TILE_DATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Sizes of the tiles, as the processor reads them.
#[repr(C, align(64))]
struct Shape {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

/// What tiles hold sums of.
pub trait Number {}
impl Number for f32 {}
impl Number for i32 {}

/// The tiles of the thread that made it, while it lives.
pub struct Tiles(PhantomData<*const ()>);

impl Tiles {
    /// Makes all eight tiles 16 rows of 64 bytes.
    pub fn begin() -> Self {
        Self::shaped([[16, 64]; 8])
    }

    /// Makes the eight tiles of so many rows of so many bytes.
    pub fn shaped(sizes: [[u8; 2]; 8]) -> Self {
        let mut shape =
            Shape { palette: 1, start: 0, reserved: [0; 14], bytes: [0; 16], rows: [0; 16] };
        for (i, [rows, bytes]) in sizes.into_iter().enumerate() {
            (shape.rows[i], shape.bytes[i]) = (rows, bytes.into());
        }
        // SAFETY: reads the 64 bytes of `shape`; the machine has tiles and Linux allows them.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const shape, options(nostack, readonly));
        }
        Self(PhantomData)
    }

    /// Fills a tile with zeros.
    #[inline(always)]
    pub fn zero<const TILE: usize>(&mut self) {
        // SAFETY: changes one of this thread's tiles.
        unsafe { asm!("tilezero tmm{tile}", tile = const TILE, options(nostack, nomem)) };
    }

    /// Fills a tile with rows that are so many bytes apart.
    ///
    /// # Safety
    /// All of them can be read.
    #[inline(always)]
    pub unsafe fn load<const TILE: usize>(&mut self, first: *const u8, apart: usize) {
        // SAFETY: what the caller promises.
        unsafe {
            asm!(
                "tileloadd tmm{tile}, [{first} + {apart}]",
                tile = const TILE,
                first = in(reg) first,
                apart = in(reg) apart,
                options(nostack, readonly)
            );
        }
    }

    /// Adds the products of two tiles of bf16 to a third.
    #[inline(always)]
    pub fn dot<const SUM: usize, const LEFT: usize, const RIGHT: usize>(&mut self) {
        // SAFETY: changes one of this thread's tiles.
        unsafe {
            asm!(
                "tdpbf16ps tmm{sum}, tmm{left}, tmm{right}",
                sum = const SUM,
                left = const LEFT,
                right = const RIGHT,
                options(nostack, nomem)
            );
        }
    }

    /// Adds the products of a tile of bytes with signs and one of bytes without to a third.
    #[inline(always)]
    pub fn dot_bytes<const SUM: usize, const LEFT: usize, const RIGHT: usize>(&mut self) {
        // SAFETY: changes one of this thread's tiles.
        unsafe {
            asm!(
                "tdpbsud tmm{sum}, tmm{left}, tmm{right}",
                sum = const SUM,
                left = const LEFT,
                right = const RIGHT,
                options(nostack, nomem)
            );
        }
    }

    /// Writes a tile of 16 rows of 16 numbers.
    #[inline(always)]
    pub fn store<const TILE: usize, T: Number>(&mut self, to: &mut [[T; 16]; 16]) {
        // SAFETY: 1024 bytes, and numbers of any bits are numbers.
        unsafe {
            asm!(
                "tilestored [{to} + {row}], tmm{tile}",
                tile = const TILE,
                to = in(reg) &raw mut *to,
                row = in(reg) 64usize,
                options(nostack)
            );
        }
    }

    /// Sets `block` to a sum of products of two strips, beside, and two others, across. Those of a
    /// product are equally long and not empty.
    pub fn multiply<'a>(
        &mut self,
        products: impl Iterator<Item = [[&'a [Tile]; 2]; 2]>,
        block: &mut Block,
    ) {
        // SAFETY: nothing but this thread's tiles is used. The compiler does not know them: what they
        // hold stays there from here to the last instructions.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                options(nostack, nomem)
            );
        }
        products.for_each(|[left, right]| self.add(left, right));
        // SAFETY: `block` has four times 1024 bytes.
        unsafe {
            asm!(
                "tilestored [{block} + {row}], tmm0",
                "tilestored [{block} + {row} + 1024], tmm1",
                "tilestored [{block} + {row} + 2048], tmm2",
                "tilestored [{block} + {row} + 3072], tmm3",
                block = in(reg) &raw mut *block,
                row = in(reg) 64usize,
                options(nostack),
            );
        }
    }

    /// Adds products to the first four tiles. Every tile that is read is multiplied twice.
    fn add(&mut self, left: [&[Tile]; 2], right: [&[Tile]; 2]) {
        let depth = left[0].len();
        assert!(depth > 0 && [left[1], right[0], right[1]].iter().all(|x| x.len() == depth));
        // SAFETY: the four strips have `depth` tiles of 1024 bytes, which are read one after the
        // other; this thread's tiles are made for that.
        unsafe {
            asm!(
                "2:",
                "tileloadd tmm4, [{left0} + {row}]",
                "tileloadd tmm6, [{right0} + {row}]",
                "tileloadd tmm7, [{right1} + {row}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{left1} + {row}]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {left0}, 1024",
                "add {left1}, 1024",
                "add {right0}, 1024",
                "add {right1}, 1024",
                "dec {depth}",
                "jnz 2b",
                left0 = inout(reg) left[0].as_ptr() => _,
                left1 = inout(reg) left[1].as_ptr() => _,
                right0 = inout(reg) right[0].as_ptr() => _,
                right1 = inout(reg) right[1].as_ptr() => _,
                depth = inout(reg) depth => _,
                row = in(reg) 64usize,
                options(nostack, readonly),
            );
        }
    }
}

impl Drop for Tiles {
    /// Gives the tiles back, so that nobody has to save them.
    fn drop(&mut self) {
        // SAFETY: touches nothing but tiles, which only this module uses.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}
