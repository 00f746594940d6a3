//! Views as pictures: painted by plotters into pixels or SVG, both by the same code.
//!
//! The font travels with the program (DejaVu Sans Mono, free to ship), so that a picture looks the
//! same everywhere.

mod maps;
mod plots;
mod sheet;
mod words;

use crate::charts::colour::Rgb;
use crate::{Canvas, View};
use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use sheet::Sheet;

/// Where something is painted.
type Area<D> = DrawingArea<D, Shift>;

/// The family as SVG names it: where ours is missing, any other of fixed width.
const FAMILY: &str = "DejaVu Sans Mono, Menlo, Consolas, monospace";
/// Height of labels in plotters' units, 1.24 of which are an em.
const LABEL: u32 = 18;
/// Height of titles.
const TITLE: u32 = 22;
const GROUND: Rgb = [24, 26, 31];
const INK: Rgb = [215, 218, 224];
const FAINT: Rgb = [62, 67, 77];
/// Between a painting and the edge.
const EDGE: i32 = 14;

/// Pixels of a view.
pub struct Picture {
    /// Pixels in a row.
    pub width: u32,
    /// Pixels in a column.
    pub height: u32,
    /// Red, green and blue, row after row.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// The view in so many pixels.
    ///
    /// # Errors
    /// When the painting fails, which would be a bug.
    pub fn new(view: &View, width: u32, height: u32) -> Result<Self> {
        prepare()?;
        let mut pixels = GROUND.repeat(width as usize * height as usize);
        let area = Sheet::new(width, height, &mut pixels)?.into_drawing_area();
        paint(view, &area)?;
        area.present()?;
        drop(area);
        Ok(Self { width, height, pixels })
    }

    /// As the bytes of a PNG file.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn png(&self) -> Result<Vec<u8>> {
        rwkv_engine::image::png(self.width, self.height, &self.pixels)
    }
}

/// The view as the text of an SVG file.
///
/// # Errors
/// When the painting fails.
pub fn svg(view: &View, width: u32, height: u32) -> Result<String> {
    prepare()?;
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
    paint(view, &area)?;
    area.present()?;
    drop(area);
    Ok(text)
}

/// Whether a picture says more than the characters do.
pub fn is_picture(view: &View) -> bool {
    match view {
        View::Heatmap(map) => !map.numbers && !map.bare,
        view => matches!(view, View::Line(_) | View::Bars(_) | View::Image(_)),
    }
}

/// How high the view becomes at this width, in pixels.
pub fn natural_height(view: &View, width: u32) -> u32 {
    match view {
        View::Line(line) if line.height > 0 => 120 + 24 * line.height as u32,
        View::Line(_) => width * 9 / 16,
        View::Bars(bars) => plots::bars_height(bars),
        View::Heatmap(map) => maps::heatmap_height(map, width),
        View::Image(image) => maps::image_height(image, width),
        View::Group(views) => views.iter().map(|view| natural_height(view, width)).sum(),
        text => words::height(&text.draw(&columns(width))),
    }
}

/// What text may use where so many pixels are wide.
fn columns(width: u32) -> Canvas {
    let width = (width as i32 - 2 * EDGE) as f64 / advance(LABEL);
    Canvas { width: (width as usize).max(20), ..Canvas::default() }
}

/// Pixels from one character to the next.
fn advance(size: u32) -> f64 {
    f64::from(size) / 1.24 * 0.602
}

/// Pixels of a label.
fn wide_of(name: &str) -> i32 {
    (crate::view::wide(name).min(16) as f64 * advance(LABEL)).ceil() as i32
}

fn paint<D: DrawingBackend>(view: &View, area: &Area<D>) -> Result<()>
where
    D::ErrorType: 'static,
{
    area.fill(&rgb(GROUND))?;
    match view {
        View::Line(line) => plots::line(line, area),
        View::Bars(bars) => plots::bars(bars, area),
        View::Heatmap(map) => maps::heatmap(map, area),
        View::Image(image) => maps::image(image, area),
        View::Group(views) => {
            let (width, _) = area.dim_in_pixel();
            let mut rest = area.clone();
            for view in views {
                let (upper, lower) = rest.split_vertically(natural_height(view, width));
                paint(view, &upper)?;
                rest = lower;
            }
            Ok(())
        }
        text => {
            let (width, _) = area.dim_in_pixel();
            words::lines(&text.draw(&columns(width)), area)
        }
    }
}

/// Tells plotters about the font; again and again does no harm.
fn prepare() -> Result<()> {
    register_font(FAMILY, FontStyle::Normal, dejavu::sans_mono::regular())
        .map_err(|_| anyhow!("the font of pictures is damaged"))
}

fn rgb([r, g, b]: Rgb) -> RGBColor {
    RGBColor(r, g, b)
}

/// Text of a size and colour, anchored at a point.
fn style(size: u32, colour: Rgb, pos: Pos) -> TextStyle<'static> {
    let mut style = TextStyle::from((FAMILY, size).into_font()).pos(pos);
    style.color = rgb(colour).to_backend_color();
    style
}

/// The title above a painting, and what is left below it.
fn titled<D: DrawingBackend>(title: &str, area: &Area<D>) -> Result<Area<D>>
where
    D::ErrorType: 'static,
{
    if title.is_empty() {
        return Ok(area.clone());
    }
    let middle = area.dim_in_pixel().0 as i32 / 2;
    let (head, rest) = area.split_vertically(TITLE as i32 + EDGE);
    let style = style(TITLE, INK, Pos::new(HPos::Center, VPos::Top));
    head.draw(&Text::new(title.to_string(), (middle, EDGE), style))?;
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bars, Curve, Heatmap, Image, Line, Table};

    fn views() -> Vec<View> {
        let ys = vec![1.0, 4.0, 9.0, 2.0];
        let xs = vec![0.0, 1.0, 2.0, 3.0];
        let curve = |name: &str| Curve { name: name.into(), xs: xs.clone(), ys: ys.clone() };
        let labels = ["one", "two", "three", "four"].map(String::from).to_vec();
        let rows = vec![ys.clone(), vec![-1.0, 0.0, 1.0, f64::NAN]];
        let title = "a title".to_string();
        vec![
            View::Line(Line {
                curves: vec![curve("a"), curve("b")],
                x: "x".into(),
                ..Line::default()
            }),
            View::Bars(Bars { labels: labels.clone(), values: ys, title, ..Bars::default() }),
            View::Heatmap(Heatmap { rows, column_labels: labels, ..Heatmap::default() }),
            View::Image(Image {
                columns: 2,
                pixels: vec![[255, 0, 0]; 4],
                title: "red".into(),
                width: 0,
            }),
            View::Table(Table::new(&["a", "b"], vec![vec!["1".into(), "two".into()]])),
        ]
    }

    #[test]
    fn every_view_becomes_a_png_and_an_svg() {
        let mut all = views();
        all.push(View::Group(views()));
        all.push(View::Line(Line::default()));
        for view in all {
            let height = natural_height(&view, 640);
            assert!((20..4000).contains(&height), "{height}: {view:?}");
            let picture = Picture::new(&view, 640, height).unwrap();
            let png = rwkv_engine::image::Image::decode("png", &picture.png().unwrap()).unwrap();
            assert_eq!((png.width, png.height), (640, height as usize));
            let colours: std::collections::BTreeSet<_> = png.pixels.chunks(3).collect();
            assert!(colours.len() > 4, "{view:?} is empty");
            let text = svg(&view, 640, height).unwrap();
            assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"), "{text}");
            assert!(text.contains("<text"), "{view:?}");
        }
    }

    #[test]
    fn a_heatmap_has_the_colours_of_its_numbers() {
        let rows = vec![vec![0.0, 1.0]; 2];
        let map = Heatmap { rows, ..Heatmap::default() };
        let limits = map.limits().unwrap();
        let (low, high) = (map.colour(0.0, limits), map.colour(1.0, limits));
        let picture = Picture::new(&View::Heatmap(map), 400, 200).unwrap();
        let count = |colour: Rgb| picture.pixels.chunks(3).filter(|p| *p == colour).count();
        assert!(count(low) > 2000 && count(high) > 2000);
    }
}
