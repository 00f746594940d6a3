//! What is drawn on pictures: frames, and maps of what matters.

use std::rc::Rc;

use rhai::plugin::*;
use rhai::{Array, Map, Module};

use super::Image;
use crate::charts::colour::rising;
use crate::host::{Fallible, fail, words};
use crate::options::OptionMap;
use crate::tensor::Tensor;

/// Colours by name.
const COLOURS: [(&str, [u8; 3]); 8] = [
    ("red", [230, 40, 40]),
    ("green", [30, 180, 60]),
    ("blue", [50, 90, 240]),
    ("yellow", [250, 220, 40]),
    ("orange", [245, 140, 30]),
    ("purple", [160, 70, 200]),
    ("white", [255, 255, 255]),
    ("black", [0, 0, 0]),
];

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

/// A box of a list: where it lies and its colour.
fn frame(value: &Dynamic) -> Fallible<([f32; 4], [u8; 3])> {
    let map = value.clone().try_cast::<Map>();
    let map = map.ok_or_else(|| {
        fail(format!("draw: a box is #{{ x, y, width, height }}, not {}", words(value)))
    })?;
    let mut options = OptionMap::new("draw", map);
    let mut side = |key| options.number(key, f64::NAN, f64::MIN..).map(|side| side as f32);
    let [x, y, width, height] = [side("x")?, side("y")?, side("width")?, side("height")?];
    let colour = options.one_or_first("colour", &COLOURS)?;
    options.finish()?;
    if [x, y, width, height].iter().any(|side| !side.is_finite()) {
        return Err(fail("draw: a box needs `x`, `y`, `width` and `height`"));
    }
    Ok(([x, y, x + width, y + height], colour))
}

/// A number for every pixel, from 0 for the smallest of a grid to 1 for the largest, changing
/// evenly from the middle of one part to that of the next.
fn spread(grid: &[f32], [rows, columns]: [usize; 2], width: usize, height: usize) -> Vec<f32> {
    let (low, high) =
        grid.iter().fold((f32::MAX, f32::MIN), |(low, high), x| (low.min(*x), high.max(*x)));
    let share = |row: usize, column: usize| {
        if high > low { (grid[row * columns + column] - low) / (high - low) } else { 0.0 }
    };
    // The two parts that a pixel lies between, and how far it is towards the second.
    let between = |at: usize, side: usize, parts: usize| {
        let place =
            ((at as f32 + 0.5) * parts as f32 / side as f32 - 0.5).clamp(0.0, parts as f32 - 1.0);
        let first = place.floor() as usize;
        (first, (first + 1).min(parts - 1), place.fract())
    };
    let pixel = |y: usize, x: usize| {
        let (up, down, low) = between(y, height, rows);
        let (left, right, far) = between(x, width, columns);
        let along = |row| share(row, left) * (1.0 - far) + share(row, right) * far;
        along(up) * (1.0 - low) + along(down) * low
    };
    (0..height * width).map(|i| pixel(i / width, i % width)).collect()
}

impl Image {
    /// The picture below a map of numbers, light where they are large.
    ///
    /// # Errors
    /// When the map has not two axes, or numbers that are not finite.
    pub fn below(&self, map: &Tensor, strength: f32) -> Fallible<Self> {
        let [rows, columns] = *map.array.shape() else {
            return Err(fail("overlay: the map must have two axes, rows and columns"));
        };
        let numbers = map.array.values();
        if rows * columns == 0 || numbers.iter().any(|x| !x.is_finite()) {
            return Err(fail("overlay: the map must have numbers, all of them finite"));
        }
        let (width, height) = (self.0.width, self.0.height);
        let shares = spread(&numbers, [rows, columns], width, height);
        let colour = |share: f32| rising(f64::from(share));
        Ok(Self(Rc::new((*self.0).clone().tinted(&shares, colour, strength))))
    }
}

#[export_module]
mod functions {
    /// A picture with frames around parts of it (`boxes`), each
    /// `#{ x, y, width, height, colour: "red" }` in pixels.
    ///
    /// ```
    /// let img = load_image("sample:gradient").draw([#{ x: 8, y: 8, width: 20, height: 10 }]);
    /// assert(img.pixel(8, 8) == [230, 40, 40]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn draw(this: &mut Image, boxes: Array) -> Fallible<Image> {
        let mut image = (*this.0).clone();
        let line = (image.width.max(image.height) as f32 / 160.0).max(1.0).round();
        for one in &boxes {
            let (place, colour) = frame(one)?;
            image.frame(place, line, colour);
        }
        Ok(Image(Rc::new(image)))
    }

    /// A picture below a map of numbers (`map`), a tensor `[rows, columns]` stretched over it:
    /// light where the numbers are large.
    ///
    /// ```
    /// let img = load_image("sample:gradient").overlay(tensor([[0, 1], [2, 3]]));
    /// assert(img.width == 96);
    /// ```
    #[rhai_fn(name = "overlay", return_raw, pure)]
    pub fn overlay(this: &mut Image, map: Tensor) -> Fallible<Image> {
        this.below(&map, 0.6)
    }

    /// The same with settings.
    ///
    /// - `strength` of the map, 0.6; 1 hides the picture where the numbers are largest
    ///
    /// ```
    /// let img = load_image("sample:gradient");
    /// img.overlay(tensor([[0, 1]]), #{ strength: 0.3 }).show();
    /// ```
    #[rhai_fn(name = "overlay", return_raw, pure)]
    pub fn overlay_options(this: &mut Image, map: Tensor, options: Map) -> Fallible<Image> {
        let mut options = OptionMap::new("overlay", options);
        let strength = options.number("strength", 0.6, 0.0..=1.0)? as f32;
        options.finish()?;
        this.below(&map, strength)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_is_spread_evenly() {
        assert_eq!(spread(&[0.0, 2.0], [1, 2], 4, 1), [0.0, 0.25, 0.75, 1.0]);
        assert_eq!(spread(&[5.0; 4], [2, 2], 2, 2), [0.0; 4]);
        let middle = spread(&[0.0, 0.0, 0.0, 4.0], [2, 2], 3, 3);
        assert_eq!((middle[0], middle[4], middle[8]), (0.0, 0.25, 1.0));
    }
}
