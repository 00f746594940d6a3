//! Pictures: files become rows of red, green and blue, and those become the numbers that a vision
//! tower reads.

mod draw;
mod preprocess;
mod resample;
#[cfg(test)]
mod tests;
mod url;

pub use preprocess::{Preprocess, Resize};
pub use resample::{Filter, matrix};
pub use url::{DATA, base64};

use std::fs;
use std::io::Cursor;
use std::path::Path;

use ::image::codecs::png::PngEncoder;
use ::image::metadata::Orientation;
use ::image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageError, ImageFormat,
    ImageReader, Limits,
};
use anyhow::{Context, Result, anyhow, bail, ensure};

/// A picture: red, green and blue of every pixel, 0 to 255.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Where it came from, as errors and captions call it.
    pub name: String,
    /// Pixels from left to right.
    pub width: usize,
    /// Pixels from top to bottom.
    pub height: usize,
    /// `[height, width, 3]`, row after row.
    pub pixels: Vec<u8>,
}

/// Memory that decoding one picture may take, in bytes: 100 million pixels of 32 bits.
const BUDGET: u64 = 400 << 20;

/// Formats that are read, by what people call them.
const FORMATS: [(ImageFormat, &str); 5] = [
    (ImageFormat::Png, "PNG"),
    (ImageFormat::Jpeg, "JPEG"),
    (ImageFormat::WebP, "WebP"),
    (ImageFormat::Gif, "GIF"),
    (ImageFormat::Bmp, "BMP"),
];

impl Image {
    /// A picture of these pixels, `[height, width, 3]`.
    ///
    /// # Errors
    /// When it has no pixels, or not as many as its sides say.
    pub fn new(name: &str, width: usize, height: usize, pixels: Vec<u8>) -> Result<Self> {
        ensure!(width > 0 && height > 0, "{name}: a picture needs at least one pixel.");
        ensure!(
            pixels.len() == width * height * 3,
            "{name}: {width} × {height} pixels of red, green and blue are {} numbers, not {}.",
            width * height * 3,
            pixels.len()
        );
        Ok(Self { name: name.to_string(), width, height, pixels })
    }

    /// Reads a picture; see [`Image::decode`].
    ///
    /// # Errors
    /// When there is no such file, and as [`Image::decode`].
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        ensure!(path.exists(), "there is no picture {name}; check the path.");
        ensure!(path.is_file(), "{name} is not a file; give a picture.");
        let bytes = fs::read(path).with_context(|| format!("cannot read {name}"))?;
        Self::decode(&name, &bytes)
    }

    /// Decodes PNG, JPEG, WebP, GIF or BMP, of which the content decides, not the name. As Pillow
    /// does before a model sees it: what is transparent keeps its colour, grey becomes three equal
    /// channels, 16 bits lose their lower half, of an animation the first picture counts. Turned the
    /// way the camera was held.
    ///
    /// # Errors
    /// When the bytes are no such picture or damaged, and when decoding would take more than
    /// 400 MB of memory.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self> {
        ensure!(!bytes.is_empty(), "{name} is empty; download or copy it again.");
        let (format, kind) = format(name, bytes)?;
        let damaged = |error: ImageError| anyhow!("{name} is a damaged {kind}: {error}.");
        let reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut decoder = reader.into_decoder().map_err(damaged)?;
        let (width, height) = decoder.dimensions();
        ensure!(width > 0 && height > 0, "{name} is a {kind} without pixels.");
        let needed = decoder.total_bytes();
        ensure!(
            needed <= BUDGET,
            "{name} is {width} × {height} pixels, which takes {} MB of memory; at most {} MB are \
             spent on a picture. Make it smaller first.",
            needed >> 20,
            BUDGET >> 20
        );
        let mut limits = Limits::default();
        limits.max_alloc = Some(BUDGET);
        decoder.set_limits(limits).map_err(damaged)?;
        ensure!(
            format != ImageFormat::Jpeg || whole(bytes),
            "{name} is a damaged JPEG: cut short."
        );
        let held = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
        image.apply_orientation(held);
        let [width, height] = [image.width(), image.height()].map(|side| side as usize);
        Self::new(name, width, height, levels(image))
    }

    /// A picture to try things out with: red grows to the right, green downwards, blue is the same
    /// everywhere.
    pub fn gradient(width: usize, height: usize) -> Self {
        let level = |at: usize, side: usize| (255 * at / (side - 1).max(1)) as u8;
        let pixel = |x: usize, y: usize| [level(x, width), level(y, height), 128];
        let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
        Self { name: "sample:gradient".to_string(), width, height, pixels }
    }

    /// The picture as a PNG file.
    ///
    /// # Errors
    /// When it is too large for one.
    pub fn png(&self) -> Result<Vec<u8>> {
        png(u32::try_from(self.width)?, u32::try_from(self.height)?, &self.pixels)
    }

    /// The picture in another size.
    ///
    /// # Errors
    /// When a side would be 0, and when the picture, or one on the way to it, would take more than
    /// 400 MB of memory.
    pub fn resized(&self, width: usize, height: usize, filter: Filter) -> Result<Self> {
        ensure!(width > 0 && height > 0, "a picture needs at least one pixel.");
        ensure!(
            (width as u64).saturating_mul(height as u64).saturating_mul(3) <= BUDGET,
            "{width} × {height} pixels take more than {} MB of memory.",
            BUDGET >> 20
        );
        resample::resample(self, [width, height], [0..width, 0..height], filter)
    }

    /// A part of the picture, from this column and row on.
    ///
    /// # Errors
    /// When there is no such part.
    pub fn cropped(&self, left: usize, top: usize, width: usize, height: usize) -> Result<Self> {
        let inside = |from: usize, size: usize, side: usize| {
            size > 0 && from.checked_add(size).is_some_and(|end| end <= side)
        };
        ensure!(
            inside(left, width, self.width) && inside(top, height, self.height),
            "{width} × {height} pixels from {left}, {top} on are not inside of {} × {}.",
            self.width,
            self.height
        );
        let row = |row: &[u8]| row[left * 3..(left + width) * 3].to_vec();
        let rows = self.pixels.chunks(self.width * 3).skip(top).take(height);
        Self::new(&self.name, width, height, rows.flat_map(row).collect())
    }
}

/// Red, green and blue of every pixel, row after row, as a PNG file.
///
/// # Errors
/// When there are not as many pixels as the sides say.
pub fn png(width: u32, height: u32, pixels: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(pixels, width, height, ExtendedColorType::Rgb8)
        .context("the picture cannot be encoded as PNG")?;
    Ok(bytes)
}

/// What kind of picture the bytes are.
fn format(name: &str, bytes: &[u8]) -> Result<(ImageFormat, &'static str)> {
    let read = FORMATS.map(|(_, kind)| kind).join(", ");
    let Ok(format) = ::image::guess_format(bytes) else {
        bail!("{name} is not a picture; {read} are read.")
    };
    match FORMATS.iter().find(|(known, _)| *known == format) {
        Some(found) => Ok(*found),
        None => bail!("{name} is a picture of another kind ({format:?}); {read} are read."),
    }
}

/// Whether a JPEG has its end: what is missing of it, the decoder would fill with grey.
fn whole(bytes: &[u8]) -> bool {
    const SCAN: u8 = 0xDA;
    let mut at = 2;
    // Segments with their lengths come before the scan, among them perhaps a small JPEG.
    while let Some([0xFF, marker, high, low]) = bytes.get(at..at + 4) {
        match *marker {
            SCAN => break,
            0xFF => at += 1, // a marker may have more than one of them
            _ => at += 2 + usize::from(u16::from_be_bytes([*high, *low])),
        }
    }
    bytes.get(at..).is_some_and(|scan| scan.windows(2).any(|pair| pair == [0xFF, 0xD9]))
}

/// Red, green and blue of every pixel in eight bits.
fn levels(image: DynamicImage) -> Vec<u8> {
    let color = image.color();
    if color.bytes_per_pixel() == color.channel_count() {
        return image.into_rgb8().into_raw();
    }
    image.into_rgb16().into_raw().into_iter().map(|x| (x >> 8) as u8).collect()
}
