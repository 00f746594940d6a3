//! Curves, bars, heat maps and images: what they hold, and the words they share.
//!
//! Each is drawn in characters by its own file below, with ASCII and plain forms, and as a picture
//! by `picture.rs`; both from the same numbers, so a view can be shown at any width and saved.

mod bars;
pub mod colour;
mod curves;
mod heatmap;
mod image;
mod pieces;

pub use pieces::pieces;

use crate::Canvas;

/// Points joined to a line, or alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// What the legend calls it; empty for a single one.
    pub name: String,
    /// Positions; as many as `ys`.
    pub xs: Vec<f64>,
    /// Values; what is not finite leaves a gap.
    pub ys: Vec<f64>,
}

/// Curves over one pair of axes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// Written above.
    pub title: String,
    /// Written below, the meaning of x.
    pub x: String,
    /// Written beside the values, the meaning of y.
    pub y: String,
    /// One or more.
    pub curves: Vec<Curve>,
    /// Columns of characters; 0 means as many as the canvas has.
    pub width: usize,
    /// Rows of characters; 0 means 10.
    pub height: usize,
    /// Points that are not joined.
    pub scattered: bool,
}

/// Labelled horizontal bars.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bars {
    /// Written above.
    pub title: String,
    /// One for each value.
    pub labels: Vec<String>,
    /// Lengths; negative ones go to the left.
    pub values: Vec<f64>,
    /// Characters of the longest bar; 0 means as wide as the canvas allows.
    pub width: usize,
}

/// A matrix as colours.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heatmap {
    /// Written above.
    pub title: String,
    /// Written below, the meaning of the columns.
    pub x: String,
    /// Written above the rows, their meaning.
    pub y: String,
    /// Rows of equal length.
    pub rows: Vec<Vec<f64>>,
    /// Names of the rows, or none.
    pub row_labels: Vec<String>,
    /// Names of the columns, or none.
    pub column_labels: Vec<String>,
    /// Least and greatest number of the colours; equal ones mean those of the matrix.
    pub range: (f64, f64),
    /// Columns of characters; 0 means as many as the canvas has.
    pub width: usize,
    /// Rows of characters; 0 means as many as look well, at most 32.
    pub height: usize,
    /// Prints the numbers instead of colours, where they find room.
    pub numbers: bool,
    /// Draws the cells only, without axis and scale.
    pub bare: bool,
}

/// A picture made of numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// Written above.
    pub title: String,
    /// Pixels in a row.
    pub columns: usize,
    /// Red, green and blue, row after row.
    pub pixels: Vec<colour::Rgb>,
    /// Columns of characters; 0 means as many as the canvas has.
    pub width: usize,
}

impl Heatmap {
    /// Least and greatest number of the colours, symmetric where numbers have both signs; nothing
    /// if there are no numbers.
    pub fn limits(&self) -> Option<(f64, f64)> {
        let (low, high) = extent(self.rows.iter().flatten())?;
        if self.range.0 < self.range.1 {
            return Some(self.range);
        }
        let most = low.abs().max(high.abs());
        Some(if low < 0.0 && high > 0.0 { (-most, most) } else { (low, high) })
    }

    /// The colour of a number between the limits: by its sign where zero is in the middle.
    pub fn colour(&self, value: f64, (low, high): (f64, f64)) -> colour::Rgb {
        if !value.is_finite() {
            return [128, 128, 128];
        }
        if low == -high && high > 0.0 {
            return colour::signed(value / high);
        }
        colour::rising(if high > low { (value - low) / (high - low) } else { 0.5 })
    }

    /// Mean of the finite numbers in the block of the matrix that is cell (`row`, `column`) of
    /// `height` x `width` cells; NaN where there are none.
    pub fn mean(&self, row: usize, height: usize, column: usize, width: usize) -> f64 {
        let columns = self.rows.first().map_or(0, Vec::len);
        let rows = &self.rows[span(row, height, self.rows.len())];
        let block = rows.iter().flat_map(|cells| &cells[span(column, width, columns)]);
        let (sum, count) = block
            .filter(|value| value.is_finite())
            .fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        sum / count
    }
}

impl Image {
    /// Pixels in a column.
    pub fn rows(&self) -> usize {
        self.pixels.len() / self.columns.max(1)
    }

    /// Mean colour of the block that is cell (`row`, `column`) of `height` x `width` cells.
    pub fn mean(&self, row: usize, height: usize, column: usize, width: usize) -> colour::Rgb {
        let rows = span(row, height, self.rows());
        let columns = span(column, width, self.columns);
        let count = (rows.len() * columns.len()) as u32;
        let places = rows.flat_map(|y| columns.clone().map(move |x| y * self.columns + x));
        let mut sums = [0u32; 3];
        for place in places {
            (0..3).for_each(|i| sums[i] += u32::from(self.pixels[place][i]));
        }
        sums.map(|sum| (sum / count) as u8)
    }
}

/// Which of `size` places the cell `at` of `of` equal cells covers; never none.
fn span(at: usize, of: usize, size: usize) -> std::ops::Range<usize> {
    let from = at * size / of;
    from..((at + 1) * size / of).max(from + 1)
}

/// Which of `cells` equal cells between `low` and `high` holds `value`.
fn place(value: f64, low: f64, high: f64, cells: usize) -> usize {
    let share = if high > low { (value - low) / (high - low) } else { 0.5 };
    ((share * cells as f64) as usize).min(cells - 1)
}

/// Smallest and largest finite value.
pub fn extent<'a>(values: impl Iterator<Item = &'a f64>) -> Option<(f64, f64)> {
    values.copied().filter(|v| v.is_finite()).fold(None, |seen, v| match seen {
        None => Some((v, v)),
        Some((low, high)) => Some((low.min(v), high.max(v))),
    })
}

/// A number in at most nine characters.
pub fn short(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() || value == value.trunc() && size < 1e6 {
        return format!("{value}");
    }
    if (1e-3..1e6).contains(&size) {
        let digits = 4 - (size.log10().floor() as i32).clamp(0, 4);
        return format!("{value:.*}", digits as usize);
    }
    format!("{value:.2e}")
}

/// What numbers are to a reader who cannot see them.
fn summary(values: &[f64]) -> String {
    let (low, high) = extent(values.iter()).unwrap_or((f64::NAN, f64::NAN));
    let step = values.len().div_ceil(8).max(1);
    let samples: Vec<String> = values.iter().step_by(step).map(|value| short(*value)).collect();
    let (low, high) = (short(low), short(high));
    format!("{} values, min {low}, max {high}, samples {}", values.len(), samples.join(" "))
}

fn bar(canvas: &Canvas) -> char {
    if canvas.unicode { '│' } else { '|' }
}

fn titled(title: &str, body: &str) -> String {
    if title.is_empty() { body.into() } else { format!("{title}\n{body}") }
}

/// The text in a colour, where colours are welcome.
fn painted(text: &str, colour: colour::Rgb, canvas: &Canvas) -> String {
    if !canvas.colour || text.is_empty() {
        return text.into();
    }
    format!("{}{text}{}", colour::text_in(colour, canvas.depth), colour::END)
}
