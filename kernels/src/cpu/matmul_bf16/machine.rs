//! What of the machine multiplies.
//!
//! Here and in the files below are the instructions that the compiler cannot check. They rely on
//! this: a [`Unit`] is only named after the machine was asked for it.
#![allow(unsafe_code)]

use std::sync::LazyLock;

use gemm::Parallelism;
use rayon::prelude::*;

use super::{Factor, round};

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod few;
#[cfg(target_arch = "x86_64")]
mod pack;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod pack_parts;
#[cfg(target_arch = "x86_64")]
mod pairs;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod parts;
#[cfg(target_arch = "x86_64")]
mod tiles;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub use few::begin as few_by_tiles;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub use parts::product as by_parts;
#[cfg(target_arch = "x86_64")]
pub use tiles::tiled;

/// Below this many multiplications a thread costs more than it brings.
const WORTH_A_THREAD: usize = 1 << 22;

/// What multiplies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unit {
    /// Instructions for rounded numbers.
    #[cfg(target_arch = "x86_64")]
    Tiles(tiles::Unit),
    /// Those for f32.
    Numbers,
}

/// The fastest unit of this machine; it is asked once.
pub fn best() -> Unit {
    static BEST: LazyLock<Unit> = LazyLock::new(|| units()[0]);
    *BEST
}

/// All units of this machine, the fastest first.
pub fn units() -> Vec<Unit> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
    {
        let mut found = vec![Unit::Numbers];
        let place = usize::from(!pairs::fast());
        found.insert(place, Unit::Tiles(tiles::Unit::Pairs));
        #[cfg(target_os = "linux")]
        if amx::allowed() {
            found.insert(0, Unit::Tiles(tiles::Unit::Amx));
        }
        return found;
    }
    vec![Unit::Numbers]
}

/// Products of rounded f32, by the units for f32; no factor is empty.
pub fn numbers(left: Factor, right: Factor) -> Vec<f32> {
    let ((m, depth), (n, _)) = (left.size(), right.size());
    let rounded = |x: Factor| x.numbers.par_iter().map(|x| round(*x)).collect::<Vec<_>>();
    let numbers = [rounded(left), rounded(right)];
    // How far it is to the next vector, and to the next number of a vector.
    let steps = |x: Factor| {
        let width = x.width.cast_signed();
        if x.rows { (width, 1) } else { (1, width) }
    };
    let (left, right) = (steps(left), steps(right));
    let threads = m * n * depth >= WORTH_A_THREAD;
    let threads = if threads { Parallelism::Rayon(0) } else { Parallelism::None };
    let mut product = vec![0.0; m * n];
    // SAFETY: the matrices are as large as their sizes and steps say, and `product` is no other's.
    unsafe {
        gemm::gemm::<f32>(
            m,
            n,
            depth,
            product.as_mut_ptr(),
            1,
            n.cast_signed(),
            false,
            numbers[0].as_ptr(),
            left.1,
            left.0,
            numbers[1].as_ptr(),
            right.0,
            right.1,
            0.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
    product
}
