//! Changing the size of a picture as Pillow does, digit for digit: the models saw pictures that
//! Pillow had resized, and a resize in floats differs by a level here and there.
//!
//! Recipe of Pillow 10 (`Resample.c`): columns first, then rows; every weight is rounded to 22 bits
//! behind the point, every sum to a whole level between the two passes.

use std::f64::consts::PI;
use std::ops::Range;

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::{BUDGET, Image};

/// How far a new pixel looks and how much it counts what it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Filter {
    /// Pillow's 1: a windowed sinc over three pixels to either side.
    Lanczos,
    /// Pillow's 2: a triangle over one.
    Bilinear,
    /// Pillow's 3: Keys' cubic with a = −0.5 over two.
    Bicubic,
}

impl Filter {
    /// By the number that Pillow and `preprocessor_config.json` give it.
    pub fn numbered(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::Lanczos),
            2 => Some(Self::Bilinear),
            3 => Some(Self::Bicubic),
            _ => None,
        }
    }

    /// Pixels to either side, when nothing shrinks.
    fn support(self) -> f64 {
        match self {
            Self::Lanczos => 3.0,
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
        let far = x.abs();
        match self {
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Bilinear if far < 1.0 => 1.0 - far,
            Self::Bicubic if far < 1.0 => (1.5 * far - 2.5) * far * far + 1.0,
            Self::Bicubic if far < 2.0 => (((far - 5.0) * far + 8.0) * far - 4.0) * -0.5,
            _ => 0.0,
        }
    }
}

/// What the new one of `to` numbers is made of, out of `from` old ones: the first of them, and a
/// weight for it and for each that follows; together 1.
fn weights(filter: Filter, [from, to]: [usize; 2], new: usize) -> (usize, Vec<f64>) {
    let scale = from as f64 / to as f64;
    let spread = scale.max(1.0);
    let support = filter.support() * spread;
    let center = (new as f64 + 0.5) * scale;
    let first = (center - support + 0.5).max(0.0) as usize;
    let end = ((center + support + 0.5) as usize).min(from);
    let place = |old: usize| (old as f64 - center + 0.5) / spread;
    let weights: Vec<f64> = (first..end).map(|old| filter.weight(place(old))).collect();
    let sum: f64 = weights.iter().sum();
    let sum = if sum == 0.0 { 1.0 } else { sum };
    (first, weights.into_iter().map(|weight| weight / sum).collect())
}

/// The same filter as a matrix, `[to, from]`: a row for each new number.
pub fn matrix(filter: Filter, from: usize, to: usize) -> Vec<f32> {
    let mut matrix = vec![0.0; to * from];
    for (new, row) in matrix.chunks_mut(from).enumerate() {
        let (first, weights) = weights(filter, [from, to], new);
        row[first..].iter_mut().zip(weights).for_each(|(x, weight)| *x = weight as f32);
    }
    matrix
}

/// Bits behind the point of a rounded weight.
const BITS: u32 = 22;

/// [`weights`], rounded.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// For new pixels `wanted` of `to`, out of `from` old ones.
fn taps(filter: Filter, from: usize, to: usize, wanted: Range<usize>) -> Vec<Taps> {
    // Halves away from zero, as a C cast of x ± 0.5.
    let rounded = |x: f64| (x * f64::from(1 << BITS)).round() as i32;
    let tap = |new: usize| {
        let (first, weights) = weights(filter, [from, to], new);
        Taps { first, weights: weights.into_iter().map(rounded).collect() }
    };
    wanted.map(tap).collect()
}

/// The weighted sum of levels `at(0)`, `at(1)`, …, as a level.
fn level(weights: &[i32], at: impl Fn(usize) -> u8) -> u8 {
    let parts = weights.iter().enumerate().map(|(i, weight)| i64::from(*weight) * i64::from(at(i)));
    ((parts.sum::<i64>() + (1 << (BITS - 1))) >> BITS).clamp(0, 255) as u8
}

/// Columns `window[0]` and rows `window[1]` of the picture resized to `size`, `[width, height]`: what
/// is not asked for is not made, so that a thin strip costs no more than what is cut out of it.
///
/// # Errors
/// When the picture that is as wide as the new and as high as the old one, through which it goes,
/// would take more than 400 MB of memory.
pub fn resample(
    image: &Image,
    size: [usize; 2],
    window: [Range<usize>; 2],
    by: Filter,
) -> Result<Image> {
    if window == [0..image.width, 0..image.height] && size == [image.width, image.height] {
        return Ok(image.clone());
    }
    let [columns, rows] = window;
    ensure!(
        (columns.len() as u64).saturating_mul(image.height as u64).saturating_mul(3) <= BUDGET,
        "{} is too thin: {} × {} pixels cannot become {} wide.",
        image.name,
        image.width,
        image.height,
        columns.len()
    );
    let across = taps(by, image.width, size[0], columns);
    let down = taps(by, image.height, size[1], rows);
    let first = down.iter().map(|tap| tap.first).min().unwrap_or(0);
    let end = down.iter().map(|tap| tap.first + tap.weights.len()).max().unwrap_or(0);

    let narrow = |row: &[u8]| -> Vec<u8> {
        let pixel = |tap: &Taps| {
            let old = &row[tap.first * 3..];
            [0, 1, 2].map(|channel| level(&tap.weights, |i| old[i * 3 + channel]))
        };
        across.iter().flat_map(pixel).collect()
    };
    let old = &image.pixels[first * image.width * 3..end * image.width * 3];
    let narrow: Vec<u8> = old.par_chunks(image.width * 3).flat_map_iter(narrow).collect();

    let width = across.len() * 3; // of a row, in numbers
    let row = |tap: &Taps| -> Vec<u8> {
        let old = &narrow[(tap.first - first) * width..];
        (0..width).map(|x| level(&tap.weights, |i| old[i * width + x])).collect()
    };
    let pixels = down.par_iter().flat_map_iter(row).collect();
    Ok(Image { name: image.name.clone(), width: across.len(), height: down.len(), pixels })
}
