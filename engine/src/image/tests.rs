use std::io::Cursor;
use std::path::Path;

use ::image::{DynamicImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};
use burn::tensor::Device;

use super::*;
use crate::checkpoint::Checkpoint;

/// Four colours, two by two.
const FOUR: [u8; 12] = [255, 0, 0, 0, 255, 0, 0, 0, 255, 200, 100, 50];

fn four() -> Image {
    Image::new("four", 2, 2, FOUR.to_vec()).unwrap()
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn rgb() -> ImageBuffer<Rgb<u8>, Vec<u8>> {
    ImageBuffer::from_raw(2, 2, FOUR.to_vec()).unwrap()
}

fn error(bytes: &[u8]) -> String {
    Image::decode("p.png", bytes).unwrap_err().to_string()
}

#[test]
fn every_format_is_read_whatever_it_is_called() {
    use ImageFormat::{Bmp, Gif, Png, WebP};
    for format in [Png, Bmp, WebP, Gif] {
        let found = Image::decode("four", &encoded(rgb(), format)).unwrap();
        assert_eq!(found, four(), "{format:?}");
    }
    // One colour survives JPEG.
    let grey = ImageBuffer::from_pixel(9, 5, Rgb([120u8, 120, 120]));
    let found = Image::decode("grey", &encoded(grey, ImageFormat::Jpeg)).unwrap();
    assert_eq!((found.width, found.height), (9, 5));
    assert!(found.pixels.iter().all(|x| x.abs_diff(120) < 2));
}

#[test]
fn colours_become_those_that_pillow_gives() {
    let one = |image: DynamicImage| Image::decode("x", &encoded(image, ImageFormat::Png)).unwrap();
    let grey = ImageBuffer::from_pixel(1, 1, Luma([77u8]));
    assert_eq!(one(grey.into()).pixels, [77; 3]);
    // What cannot be seen keeps its colour.
    let clear = ImageBuffer::from_pixel(1, 1, Rgba([10u8, 20, 30, 0]));
    assert_eq!(one(clear.into()).pixels, [10, 20, 30]);
    let clear = ImageBuffer::from_pixel(1, 1, LumaA([9u8, 0]));
    assert_eq!(one(clear.into()).pixels, [9; 3]);
    let deep = ImageBuffer::from_pixel(1, 1, Rgb([0x12ffu16, 0x3480, 0xffff]));
    assert_eq!(one(deep.into()).pixels, [0x12, 0x34, 0xff]);
    let deep = ImageBuffer::from_pixel(1, 1, Luma([0x80ffu16]));
    assert_eq!(one(deep.into()).pixels, [0x80; 3]);
}

/// Printers' inks, which Adobe stores the wrong way round.
#[test]
fn inks_become_colours() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/cmyk.jpg");
    let image = Image::open(&path).unwrap();
    assert_eq!((image.width, image.height), (32, 32));
    for ([x, y], colour) in [
        ([8, 8], [220, 40, 40]),
        ([24, 8], [40, 160, 60]),
        ([8, 24], [50, 80, 220]),
        ([24, 24], [235, 215, 50]),
    ] {
        let at = 3 * (y * image.width + x);
        let far = image.pixels[at..at + 3].iter().zip(colour).map(|(a, b)| a.abs_diff(b));
        assert!(far.max().unwrap() < 3, "{x} {y}: {:?}", &image.pixels[at..at + 3]);
    }
}

/// One pixel, or one column of them, is a picture like any other, for every way to make it ready.
#[test]
fn the_thinnest_pictures_are_made_ready() {
    for (width, height) in [(1, 1), (1, 10_000), (10_000, 1)] {
        let thin = Image::new("thin", width, height, [9, 8, 7].repeat(width * height)).unwrap();
        // CLIP keeps the ratio of the sides: what is cut away would fill the memory.
        for ready in [Preprocess::clip(336), Preprocess::siglip(384), Preprocess::imagenet(448)] {
            let numbers = ready.numbers(&thin).unwrap();
            let side = ready.size()[0];
            assert_eq!(numbers.len(), 3 * side * side, "{width} x {height}");
            assert!(numbers[..side * side].iter().all(|x| *x == numbers[0]), "{width} x {height}");
        }
    }
}

#[test]
fn a_picture_stands_as_the_camera_was_held() {
    let wide = ImageBuffer::from_fn(16, 8, |x, _| Rgb([if x < 8 { 250u8 } else { 5 }; 3]));
    let jpeg = encoded(wide, ImageFormat::Jpeg);
    // Exif with one entry behind the first marker: orientation 6, to be turned clockwise.
    let exif = b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let turned = [&jpeg[..2], &exif[..], &jpeg[2..]].concat();
    let found = Image::decode("held", &turned).unwrap();
    assert_eq!((found.width, found.height), (8, 16));
    assert!(found.pixels[0] > 200 && found.pixels[found.pixels.len() - 1] < 50);
}

#[test]
fn of_an_animation_the_first_picture_counts() {
    let mut bytes = Vec::new();
    let mut encoder = ::image::codecs::gif::GifEncoder::new(&mut bytes);
    for level in [200u8, 10] {
        let frame = ImageBuffer::from_pixel(3, 2, Rgba([level, level, level, 255]));
        encoder.encode_frame(::image::Frame::new(frame)).unwrap();
    }
    drop(encoder);
    assert_eq!(Image::decode("moving", &bytes).unwrap().pixels, [200; 18]);
}

#[test]
fn what_is_no_picture_is_said() {
    assert_eq!(error(b""), "p.png is empty; download or copy it again.");
    assert_eq!(
        error(b"hello, this is text"),
        "p.png is not a picture; PNG, JPEG, WebP, GIF, BMP are read."
    );
    let found = error(b"II*\0\x08\0\0\0\0\0\0\0\0\0\0\0");
    assert!(found.contains("another kind (Tiff)"), "{found}");
    let open = |path: &Path| Image::open(path).unwrap_err().to_string();
    let folder = std::env::temp_dir();
    assert!(open(&folder.join("no such picture.png")).starts_with("there is no picture"));
    assert!(open(&folder).ends_with("is not a file; give a picture."));
}

#[test]
fn what_is_cut_short_is_damaged() {
    let noise =
        ImageBuffer::from_fn(64, 64, |x, y| Rgb([((x * 37) ^ (y * 91)) as u8, x as u8, y as u8]));
    use ImageFormat::{Bmp, Gif, Jpeg, Png, WebP};
    for format in [Png, Jpeg, WebP, Gif, Bmp] {
        let bytes = encoded(noise.clone(), format);
        for part in [bytes.len() / 2, bytes.len() / 8] {
            let found = Image::decode("cut", &bytes[..part]);
            let found = found.map(|image| (image.width, image.height));
            let error = found.expect_err(&format!("{format:?} {part}")).to_string();
            assert!(error.contains("damaged"), "{format:?}: {error}");
        }
    }
}

#[test]
fn a_bomb_is_refused_before_it_is_decoded() {
    // The header of a bitmap of 20,000 × 20,000 pixels of 24 bits, and nothing behind it.
    let mut bomb = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bomb.extend(20_000i32.to_le_bytes());
    bomb.extend(20_000i32.to_le_bytes());
    bomb.extend(b"\x01\0\x18\0");
    bomb.extend([0; 24]);
    let found = error(&bomb);
    assert!(found.contains("20000 × 20000 pixels, which takes 1144 MB"), "{found}");
    assert!(four().resized(20_000, 20_000, Filter::Bicubic).is_err());
    assert!(four().resized(0, 3, Filter::Bicubic).is_err());
    // Small before and after, but not on the way.
    let strip = Image::new("strip", 1, 1_000_000, vec![0; 3_000_000]).unwrap();
    let found = strip.resized(100_000, 1, Filter::Bicubic).unwrap_err().to_string();
    assert!(found.contains("strip is too thin: 1 × 1000000"), "{found}");
}

#[test]
fn sizes_change_as_pillow_changes_them() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let golden = Checkpoint::open(&golden.join("pictures.safetensors")).unwrap();
    let levels = |name: &str| -> Vec<u8> {
        golden.values(name).unwrap().iter().map(|level| *level as u8).collect()
    };
    let old = Image::new("old", 11, 7, levels("golden.old")).unwrap();
    let filters = [
        ("lanczos", Filter::Lanczos),
        ("bilinear", Filter::Bilinear),
        ("bicubic", Filter::Bicubic),
    ];
    for (name, filter) in filters {
        for (width, height) in [(5, 4), (23, 16), (11, 3), (2, 7)] {
            let found = old.resized(width, height, filter).unwrap();
            let expected = levels(&format!("golden.{name}.{width}.{height}"));
            assert_eq!(found.pixels, expected, "{name} {width} × {height}");
        }
        // The same size is the same picture.
        assert_eq!(old.resized(11, 7, filter).unwrap(), old, "{name}");
    }
}

#[test]
fn a_part_is_cut_out() {
    let right = four().cropped(1, 0, 1, 2).unwrap();
    assert_eq!(right.pixels, [0, 255, 0, 200, 100, 50]);
    for (left, top, width, height) in [(0, 0, 3, 1), (2, 0, 1, 1), (0, 1, 1, 2), (0, 0, 0, 1)] {
        assert!(four().cropped(left, top, width, height).is_err());
    }
    assert!(four().cropped(usize::MAX, 0, 2, 1).is_err());
}

#[test]
fn towers_get_the_middle_or_all_of_a_picture() {
    let device = Device::flex();
    // Three columns, black, white and black; the middle one is cut out, and is (1 − mean) / deviation.
    let levels: Vec<u8> = [0, 255, 0].into_iter().flat_map(|x| [x; 3]).collect();
    let image = Image::new("bars", 3, 1, levels).unwrap();
    let clip = Preprocess::clip(1);
    let found = clip.pixels(&image, &device).unwrap();
    assert_eq!(found.dims(), [1, 3, 1, 1]);
    let found = found.into_data().try_to_vec::<f32>().unwrap();
    for (x, (mean, deviation)) in found.iter().zip(clip.mean.iter().zip(clip.deviation)) {
        assert!((x - (1.0 - mean) / deviation).abs() < 1e-6);
    }
    let found = Preprocess::siglip(4).pixels(&image, &device).unwrap();
    assert_eq!(found.dims(), [1, 3, 4, 4]);
    // Strips cost no more than what is seen of them.
    for (width, height) in [(1, 10_000), (10_000, 1), (1, 1)] {
        let strip = Image::new("strip", width, height, vec![7; width * height * 3]).unwrap();
        assert_eq!(Preprocess::clip(336).pixels(&strip, &device).unwrap().dims(), [1, 3, 336, 336]);
    }
}

#[test]
fn hugging_face_says_how_a_picture_is_made_ready() {
    let clip = r#"{"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336},
        "resample": 3, "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711]}"#;
    assert_eq!(Preprocess::of_config(clip).unwrap(), Preprocess::clip(336));
    let siglip = r#"{"size": {"height": 8, "width": 9}, "resample": 2,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;
    let found = Preprocess::of_config(siglip).unwrap();
    assert_eq!((found.size(), found.filter, found.crop), ([9, 8], Filter::Bilinear, None));
    for (text, said) in [
        ("x", "is not JSON"),
        ("{}", "has no `size`"),
        (r#"{"size": 4, "do_rescale": false}"#, "`do_rescale: false`"),
        (r#"{"size": 4, "resample": 0}"#, "`resample: 0`"),
        (r#"{"size": 4, "image_mean": [1, 2]}"#, "`image_mean` of three"),
    ] {
        let error = Preprocess::of_config(text).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
}
