//! Matrices in characters: two numbers in a cell where there are colours, else shades.

use super::{Heatmap, bar, colour, place, short, span, summary, titled};
use crate::Canvas;
use crate::view::{shorten, visible, wide};

/// From nothing to much; of numbers with a sign these are the positive ones.
const SHADES: [&str; 5] = [" ", "░", "▒", "▓", "█"];
const ASCII_SHADES: [&str; 5] = [" ", ".", ":", "+", "#"];
/// From nothing to much below zero.
const BELOW: [&str; 5] = [" ", "-", "~", "=", "%"];
/// Cells of the scale.
const SCALE: usize = 16;
/// Lines that the names of the columns may take.
const NAME_LINES: usize = 4;

/// How the matrix is cut: pixels down and across, two of them above each other in a character or
/// only one, and characters before them.
struct Layout {
    down: usize,
    across: usize,
    halves: bool,
    margin: usize,
}

impl Heatmap {
    /// The matrix as text.
    pub fn draw(&self, canvas: &Canvas) -> String {
        let Some(limits) = self.limits() else { return titled(&self.title, "no data") };
        let columns = self.rows.first().map_or(0, Vec::len);
        if self.numbers || canvas.plain && columns <= 64 && self.rows.len() <= 64 {
            let numbers = self.numbered(canvas);
            let fits = numbers.lines().all(|line| wide(line) <= canvas.width);
            if canvas.plain || fits {
                return titled(&self.title, &numbers);
            }
        }
        if canvas.plain {
            let all: Vec<f64> = self.rows.concat();
            return titled(&self.title, &summary(&all));
        }
        let layout = self.layout(canvas);
        // Without a scale nothing has to be read off, and means are smaller than numbers.
        let limits =
            if self.bare { self.reduced(&layout).limits().unwrap_or(limits) } else { limits };
        let step = if layout.halves { 2 } else { 1 };
        let mut lines: Vec<String> = if self.y.is_empty() { vec![] } else { vec![self.y.clone()] };
        let mut last = None;
        for pixel in (0..layout.down).step_by(step) {
            let row = pixel * self.rows.len() / layout.down;
            let name = if last == Some(row) { String::new() } else { self.row_name(row, canvas) };
            last = Some(row);
            let name = shorten(&name, layout.margin);
            let pad = " ".repeat(layout.margin - wide(&name));
            let cells = self.cells(pixel, &layout, limits, canvas);
            lines.push(format!("{pad}{name} {}{cells}{}", bar(canvas), bar(canvas)));
        }
        if !self.bare {
            lines.extend(self.below(&layout, canvas));
            lines.push(self.scale(&layout, limits, canvas));
        }
        titled(&self.title, &lines.join("\n"))
    }

    /// Square pixels, as large as there is room; where there is too little, means of blocks.
    fn layout(&self, canvas: &Canvas) -> Layout {
        let (rows, columns) = (self.rows.len(), self.rows[0].len());
        let halves = canvas.colour && canvas.unicode;
        let names = (0..rows).map(|row| wide(&self.row_name(row, canvas))).max().unwrap_or(0);
        let margin = names.min(canvas.width / 4).max(3);
        let whole = if self.width == 0 { canvas.width } else { self.width.min(canvas.width) };
        let room = whole.saturating_sub(margin + 3).max(8);
        let lines = if self.height == 0 { 32 } else { self.height };
        let down = if halves { 2 * lines } else { lines };
        let comfortable = if self.height == 0 { down / 2 } else { down };
        let fits = |k: usize, most: usize| columns * k <= room && rows * k <= most;
        let (down, across) = match halves {
            true if fits(4, comfortable) => (rows * 4, columns * 4),
            true if fits(2, down) => (rows * 2, columns * 2),
            false if fits(1, down) && columns * 2 <= room => (rows, columns * 2),
            _ => (rows.min(down), columns.min(room)),
        };
        Layout { down, across, halves, margin }
    }

    /// The numbers as they are drawn.
    fn reduced(&self, layout: &Layout) -> Heatmap {
        let value = |row: usize, column| self.mean(row, layout.down, column, layout.across);
        let row = |row: usize| (0..layout.across).map(|column| value(row, column)).collect();
        Heatmap { rows: (0..layout.down).map(row).collect(), ..Heatmap::default() }
    }

    /// The name of a row, or its number.
    fn row_name(&self, row: usize, canvas: &Canvas) -> String {
        self.row_labels.get(row).map_or(row.to_string(), |name| visible(name, canvas.unicode))
    }

    /// The characters of the pixels in one line.
    fn cells(&self, pixel: usize, layout: &Layout, limits: (f64, f64), canvas: &Canvas) -> String {
        let value = |row: usize, column: usize| self.mean(row, layout.down, column, layout.across);
        let lower = (layout.halves && pixel + 1 < layout.down).then_some(pixel + 1);
        let cell = |column: usize| {
            let upper = value(pixel, column);
            if !canvas.colour {
                return (String::new(), shade(upper, limits, canvas));
            }
            let colour = self.colour(upper, limits);
            let lower = lower.map(|row| self.colour(value(row, column), limits));
            match (layout.halves, lower) {
                (false, _) => (colour::ground(colour, canvas.depth), " "),
                (true, None) => (colour::text_in(colour, canvas.depth), "▀"),
                (true, Some(lower)) => (colour::text_on(colour, lower, canvas.depth), "▀"),
            }
        };
        colour::joined((0..layout.across).map(cell))
    }

    /// The names of the columns, each below its column or a line further down where the one
    /// before needs the room; without names, what the columns mean and their numbers.
    fn below(&self, layout: &Layout, canvas: &Canvas) -> Vec<String> {
        let columns = self.rows[0].len();
        let pad = " ".repeat(layout.margin + 2);
        if self.column_labels.is_empty() {
            let (first, last) = ("0", (columns - 1).to_string());
            if columns < 2 || layout.across < 8 {
                return vec![];
            }
            let name = shorten(&self.x, layout.across.saturating_sub(last.len() + 3));
            let room = layout.across.saturating_sub(1 + last.len() + wide(&name));
            let (left, right) = (" ".repeat(room / 2), " ".repeat(room - room / 2));
            return vec![format!("{pad}{first}{left}{name}{right}{last}")];
        }
        let mut lines = vec![String::new(); NAME_LINES];
        for (column, name) in self.column_labels.iter().enumerate() {
            let at = (0..layout.across).find(|&x| span(x, layout.across, columns).start >= column);
            let (Some(at), name) = (at, shorten(&visible(name, canvas.unicode), 12)) else { break };
            let free = |line: &&mut String| {
                let used = wide(line);
                used == 0 || used < at
            };
            if let Some(line) = lines.iter_mut().find(free)
                && at + wide(&name) + pad.len() <= canvas.width
            {
                *line += &" ".repeat(at - wide(line));
                *line += &name;
            }
        }
        lines.retain(|line| !line.is_empty());
        let meaning = (!self.x.is_empty()).then(|| self.x.clone());
        lines.into_iter().chain(meaning).map(|line| format!("{pad}{line}")).collect()
    }

    /// The colours or shades between the least and the greatest number.
    fn scale(&self, layout: &Layout, limits: (f64, f64), canvas: &Canvas) -> String {
        let (low, high) = limits;
        let pad = " ".repeat(layout.margin + 2);
        let value = |at: usize| low + (high - low) * at as f64 / (SCALE - 1) as f64;
        let cell = |at: usize| {
            if !canvas.colour {
                return (String::new(), shade(value(at), limits, canvas));
            }
            (colour::ground(self.colour(value(at), limits), canvas.depth), " ")
        };
        let cells = colour::joined((0..SCALE).map(cell));
        format!("{pad}{} {}{cells}{} {}", short(low), bar(canvas), bar(canvas), short(high))
    }

    /// The numbers themselves, right-aligned, column by column.
    fn numbered(&self, canvas: &Canvas) -> String {
        let cells: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(|x| short(*x)).collect()).collect();
        let width = |column: usize| {
            let name = self.column_labels.get(column).map_or(0, |n| wide(&visible(n, true)));
            cells.iter().map(|row| row[column].len()).max().unwrap_or(0).max(name)
        };
        let widths: Vec<usize> = (0..self.rows[0].len()).map(width).collect();
        let names = (0..cells.len()).map(|row| wide(&self.row_name(row, canvas)));
        let margin = names.max().unwrap_or(0).max(2);
        let line = |name: &str, cells: Vec<String>| {
            let cells = cells.iter().zip(&widths);
            let cells =
                cells.map(|(cell, &width)| format!("  {}{cell}", " ".repeat(width - wide(cell))));
            let pad = " ".repeat(margin - wide(name));
            format!("{pad}{name}{}", cells.collect::<String>())
        };
        let rows = cells.iter().enumerate();
        let rows = rows.map(|(row, cells)| line(&self.row_name(row, canvas), cells.clone()));
        let head = self.column_labels.iter().map(|name| visible(name, canvas.unicode)).collect();
        let head = (!self.column_labels.is_empty()).then(|| line("", head));
        head.into_iter().chain(rows).collect::<Vec<_>>().join("\n")
    }
}

/// The character for a number; signs are told apart where zero is in the middle.
fn shade(value: f64, (low, high): (f64, f64), canvas: &Canvas) -> &'static str {
    let shades = if canvas.unicode { &SHADES } else { &ASCII_SHADES };
    if value.is_nan() {
        return "?";
    }
    if low == -high && high > 0.0 {
        let shades = if value < 0.0 { &BELOW } else { shades };
        return shades[(value.abs() / high * 4.0).round().min(4.0) as usize];
    }
    shades[place(value, low, high, 5)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use colour::Depth;

    fn ascii() -> Canvas {
        Canvas { width: 24, unicode: false, ..Canvas::default() }
    }

    fn map(rows: &[&[f64]]) -> Heatmap {
        Heatmap { rows: rows.iter().map(|row| row.to_vec()).collect(), ..Heatmap::default() }
    }

    #[test]
    fn a_heatmap_has_shades_and_numbers() {
        let map = map(&[&[0.0, 1.0], &[0.5, f64::NAN]]);
        let drawn = map.draw(&ascii());
        assert!(drawn.starts_with("  0 |  ##|\n  1 |::??|"), "{drawn}");
        let numbers = Heatmap { numbers: true, ..map };
        assert!(numbers.draw(&ascii()).starts_with(" 0       0    1\n 1  0.5000  NaN"));
    }

    #[test]
    fn signs_are_told_apart() {
        let map = map(&[&[-2.0, 0.0, 1.0, 2.0]]);
        assert_eq!(map.limits(), Some((-2.0, 2.0)));
        assert!(map.draw(&ascii()).contains("|%%  ::##|"), "{}", map.draw(&ascii()));
        let (cold, warm) = (map.colour(-2.0, (-2.0, 2.0)), map.colour(2.0, (-2.0, 2.0)));
        assert!(cold[2] > cold[0] && warm[0] > warm[2]);
    }

    #[test]
    fn two_rows_share_a_line_of_half_blocks() {
        let canvas = Canvas { colour: true, width: 6 + 8, ..Canvas::default() };
        let wide = vec![0.0; 8];
        let rows = vec![wide.clone(), vec![1.0; 8], wide];
        let map = Heatmap { rows, height: 2, ..Heatmap::default() };
        let drawn = map.draw(&canvas);
        let [first, second] = [0, 1].map(|at| drawn.lines().nth(at).unwrap());
        let (dark, light) = (colour::rising(0.0), colour::rising(1.0));
        assert!(first.contains(&format!("{}▀", colour::text_on(dark, light, Depth::Full))));
        assert!(second.contains(&format!("{}▀", colour::text_in(dark, Depth::Full))));
    }

    #[test]
    fn names_of_columns_stand_below_them_in_steps() {
        let labels = ["The", " cat", " sat"].map(String::from).to_vec();
        let map = Heatmap { column_labels: labels, ..map(&[&[1.0, 2.0, 3.0]]) };
        let drawn = map.draw(&ascii());
        assert!(drawn.contains("\n     The _sat\n       _cat\n"), "{drawn}");
    }

    #[test]
    fn large_matrices_become_means_of_blocks() {
        let rows: Vec<Vec<f64>> = (0..200).map(|row| vec![f64::from(row); 300]).collect();
        let map = Heatmap { rows, ..Heatmap::default() };
        for canvas in [ascii(), Canvas { colour: true, ..Canvas::default() }] {
            let lines = map.draw(&canvas);
            assert!(lines.lines().count() <= 34, "{lines}");
        }
        assert_eq!(map.mean(0, 2, 0, 1), 49.5);
    }
}
