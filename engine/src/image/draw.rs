//! Drawing on pictures, with smooth edges.

use super::Image;

/// Looks into a pixel along a side: its colour is mixed by how many of them hit.
const LOOKS: usize = 4;

impl Image {
    /// A picture of one colour.
    ///
    /// # Errors
    /// When it would have no pixels.
    pub fn plain(name: &str, width: usize, height: usize, colour: [u8; 3]) -> anyhow::Result<Self> {
        Self::new(name, width, height, colour.repeat(width * height))
    }

    /// Paints every place where `inside` says yes, of those in the box `[left, top, right, bottom]`;
    /// places are in pixels from the upper left corner, the middle of the first one is 0.5, 0.5.
    pub fn paint(
        &mut self,
        [left, top, right, bottom]: [f32; 4],
        colour: [u8; 3],
        inside: impl Fn(f32, f32) -> bool,
    ) {
        let span = |from: f32, to: f32, side: usize| {
            (from.floor().max(0.0) as usize)..(to.ceil().max(0.0) as usize).min(side)
        };
        let step = 1.0 / LOOKS as f32;
        for y in span(top, bottom, self.height) {
            for x in span(left, right, self.width) {
                let look = |i: usize| {
                    let at = |i: usize, from: usize| from as f32 + (i as f32 + 0.5) * step;
                    inside(at(i % LOOKS, x), at(i / LOOKS, y))
                };
                let hits = (0..LOOKS * LOOKS).filter(|i| look(*i)).count();
                let pixel = &mut self.pixels[(y * self.width + x) * 3..][..3];
                mix(pixel, colour, hits, LOOKS * LOOKS);
            }
        }
    }

    /// Paints the frame of a box, so many pixels wide, within it.
    pub fn frame(&mut self, [left, top, right, bottom]: [f32; 4], line: f32, colour: [u8; 3]) {
        let edge = |x: f32, low: f32, high: f32| x < low + line || x >= high - line;
        self.paint([left, top, right, bottom], colour, |x, y| {
            let inside = (left..right).contains(&x) && (top..bottom).contains(&y);
            inside && (edge(x, left, right) || edge(y, top, bottom))
        });
    }

    /// Mixes every pixel with a colour, by a share between 0 and 1 for each, row after row.
    pub fn tinted(mut self, shares: &[f32], colour: impl Fn(f32) -> [u8; 3], most: f32) -> Self {
        for (pixel, share) in self.pixels.as_chunks_mut::<3>().0.iter_mut().zip(shares) {
            let share = share.clamp(0.0, 1.0);
            mix(pixel, colour(share), (share * most * 256.0) as usize, 256);
        }
        self
    }
}

/// `hits` parts of `colour` in `all`.
fn mix(pixel: &mut [u8], colour: [u8; 3], hits: usize, all: usize) {
    for (level, new) in pixel.iter_mut().zip(colour) {
        let sum = usize::from(*level) * (all - hits) + usize::from(new) * hits;
        *level = ((sum + all / 2) / all) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(image: &Image, y: usize) -> Vec<u8> {
        image.pixels[y * image.width * 3..][..image.width * 3].iter().copied().step_by(3).collect()
    }

    #[test]
    fn edges_are_mixed_by_how_much_of_a_pixel_they_cover() {
        let mut image = Image::plain("x", 4, 2, [0; 3]).unwrap();
        image.paint([0.0, 0.0, 4.0, 1.0], [200; 3], |x, _| (0.5..2.25).contains(&x));
        assert_eq!(row(&image, 0), [100, 200, 50, 0]);
        assert_eq!(row(&image, 1), [0; 4]);
    }

    #[test]
    fn a_frame_lies_within_its_box_and_the_picture() {
        let mut image = Image::plain("x", 5, 5, [0; 3]).unwrap();
        image.frame([1.0, 1.0, 9.0, 4.0], 1.0, [255; 3]);
        assert_eq!(row(&image, 0), [0; 5]);
        assert_eq!(row(&image, 1), [0, 255, 255, 255, 255]);
        assert_eq!(row(&image, 2), [0, 255, 0, 0, 0]);
        assert_eq!(row(&image, 3), row(&image, 1));
        assert_eq!(row(&image, 4), [0; 5]);
    }

    #[test]
    fn a_tint_is_as_strong_as_its_share() {
        let image = Image::plain("x", 3, 1, [0; 3]).unwrap();
        let image = image.tinted(&[0.0, 0.5, 2.0], |_| [200; 3], 0.5);
        assert_eq!(row(&image, 0), [0, 50, 100]);
    }
}
