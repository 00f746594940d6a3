//! Pixels that plotters paints on, with letters that stand where their font wants them.

use ab_glyph::{Font, FontRef, Glyph, PxScale, ScaleFont, point};
use anyhow::{Context, Result};
use plotters::style::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendTextStyle, DrawingBackend, DrawingErrorKind,
};
use std::convert::Infallible;

/// Red, green and blue of every pixel, row after row.
pub struct Sheet<'a> {
    width: u32,
    height: u32,
    pixels: &'a mut [u8],
    font: FontRef<'static>,
}

impl<'a> Sheet<'a> {
    /// A sheet over `width * height * 3` bytes.
    ///
    /// # Errors
    /// When the font that comes with the program is damaged.
    pub fn new(width: u32, height: u32, pixels: &'a mut [u8]) -> Result<Self> {
        let font = FontRef::try_from_slice(dejavu::sans_mono::regular());
        Ok(Self { width, height, pixels, font: font.context("the font of pictures is damaged")? })
    }

    /// The letters of a text from (0, 0) on, the base line at 0, and how wide it is.
    fn glyphs(&self, text: &str, em: f64) -> (Vec<Glyph>, f32) {
        let units = self.font.units_per_em().unwrap_or(2048.0);
        let scale = PxScale::from(em as f32 * self.font.height_unscaled() / units);
        let scaled = self.font.as_scaled(scale);
        let mut x = 0.0;
        let mut place = |letter: char| {
            let mut glyph = scaled.scaled_glyph(letter);
            glyph.position = point(x, 0.0);
            x += scaled.h_advance(glyph.id);
            glyph
        };
        let glyphs = text.chars().map(&mut place).collect();
        (glyphs, x)
    }
}

type Drawn = std::result::Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for Sheet<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        let inside = |at: i32, size: u32| u32::try_from(at).ok().filter(|&at| at < size);
        if let (Some(x), Some(y)) = (inside(x, self.width), inside(y, self.height)) {
            let place = (y as usize * self.width as usize + x as usize) * 3;
            let ink = [color.rgb.0, color.rgb.1, color.rgb.2];
            for (old, new) in self.pixels[place..place + 3].iter_mut().zip(ink) {
                let mixed = f64::from(*old) * (1.0 - color.alpha) + f64::from(new) * color.alpha;
                *old = mixed.round() as u8;
            }
        }
        Ok(())
    }

    /// plotters' own letters lose the space before them, which fixed width cannot do without.
    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        (left, top): BackendCoord,
    ) -> Drawn {
        // plotters' SVG takes this for an em too.
        let em = style.size() / 1.24;
        let (glyphs, width) = self.glyphs(text, em);
        let anchor = style.anchor();
        let dx = match anchor.h_pos {
            HPos::Left => 0.0,
            HPos::Center => -width / 2.0,
            HPos::Right => -width,
        };
        let base = em
            * match anchor.v_pos {
                VPos::Top => 0.76,
                VPos::Center => 0.27,
                VPos::Bottom => -0.27,
            };
        let (turned, color) = (style.transform(), style.color());
        let mut dots = Vec::new();
        for outline in glyphs.into_iter().filter_map(|glyph| self.font.outline_glyph(glyph)) {
            let bounds = outline.px_bounds();
            let start = (bounds.min.x + dx, bounds.min.y + base as f32);
            outline.draw(|x, y, cover| {
                let at = (start.0.round() as i32 + x as i32, start.1.round() as i32 + y as i32);
                dots.push((turned.transform(at.0, at.1), cover));
            });
        }
        for ((x, y), cover) in dots {
            let alpha = color.alpha * f64::from(cover.clamp(0.0, 1.0));
            self.draw_pixel((left + x, top + y), BackendColor { alpha, ..color })?;
        }
        Ok(())
    }
}
