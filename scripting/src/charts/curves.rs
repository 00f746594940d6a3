//! Curves in characters: braille dots where there are colours or one curve, else a sign for each.

use super::{Curve, Line, bar, colour, extent, painted, place, short, summary, titled};
use crate::Canvas;
use crate::view::{shorten, wide};

/// Signs of the curves, in their order.
const SIGNS: [char; 6] = ['•', '+', '×', 'o', '#', '@'];
const ASCII_SIGNS: [char; 6] = ['*', '+', 'x', 'o', '#', '@'];

/// Bits of the eight dots of a braille character, by row and column.
const DOTS: [[u32; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

/// A screen of dots: each has the curve that was drawn last, and braille cells their bits.
struct Grid {
    columns: usize,
    rows: usize,
    cells: Vec<(u32, Option<usize>)>,
    braille: bool,
}

impl Grid {
    fn new(columns: usize, rows: usize, braille: bool) -> Self {
        Self { columns, rows, cells: vec![(0, None); columns * rows], braille }
    }

    /// Dots across and down.
    fn size(&self) -> (usize, usize) {
        if self.braille { (self.columns * 2, self.rows * 4) } else { (self.columns, self.rows) }
    }

    fn set(&mut self, x: usize, y: usize, curve: usize) {
        let (cell, bit) = if self.braille {
            (y / 4 * self.columns + x / 2, DOTS[y % 4][x % 2])
        } else {
            (y * self.columns + x, 1)
        };
        self.cells[cell] = (self.cells[cell].0 | bit, Some(curve));
    }

    /// All dots between two, ends included.
    fn join(&mut self, from: (usize, usize), to: (usize, usize), curve: usize) {
        let steps = from.0.abs_diff(to.0).max(from.1.abs_diff(to.1)).max(1);
        let at = |a: usize, b: usize, step: usize| {
            (a as f64 + (b as f64 - a as f64) * step as f64 / steps as f64).round() as usize
        };
        for step in 0..=steps {
            self.set(at(from.0, to.0, step), at(from.1, to.1, step), curve);
        }
    }

    /// The row of cells as text.
    fn row(&self, row: usize, canvas: &Canvas) -> String {
        let signs = if canvas.unicode { SIGNS } else { ASCII_SIGNS };
        let sign = |&(bits, curve): &(u32, Option<usize>)| match curve {
            None => ' ',
            Some(_) if self.braille => char::from_u32(0x2800 + bits).unwrap_or(' '),
            Some(curve) => signs[curve % signs.len()],
        };
        let cells = &self.cells[row * self.columns..][..self.columns];
        let run = |cells: &[(u32, Option<usize>)]| {
            let text: String = cells.iter().map(sign).collect();
            cells[0].1.map_or(text.clone(), |at| painted(&text, colour::of_curve(at), canvas))
        };
        cells.chunk_by(|a, b| a.1 == b.1).map(run).collect()
    }
}

impl Line {
    /// The curves as text.
    pub fn draw(&self, canvas: &Canvas) -> String {
        let Some(((first, last), (low, high))) = self.extents() else {
            return titled(&self.title, "no data");
        };
        if canvas.plain {
            return titled(&self.title, &self.spoken());
        }
        let height = if self.height == 0 { 10 } else { self.height };
        let middle = wide(&short(round((low + high) / 2.0, high - low)));
        let margin = wide(&short(low)).max(wide(&short(high))).max(middle);
        let whole = if self.width == 0 { canvas.width } else { self.width.min(canvas.width) };
        let width = whole.saturating_sub(margin + 3).max(8);
        // Points alone are easier to see as signs.
        let braille = canvas.unicode && !self.scattered;
        let braille = braille && (canvas.colour || self.curves.len() == 1);
        let mut grid = Grid::new(width, height, braille);
        let (across, down) = grid.size();
        for (index, curve) in self.curves.iter().enumerate() {
            let dot = |x: f64, y: f64| {
                (place(x, first, last, across), down - 1 - place(y, low, high, down))
            };
            trace(&mut grid, curve, index, self.scattered, dot);
        }
        let mut lines: Vec<String> = self.heading(canvas);
        for row in 0..height {
            let value = high - (high - low) * row as f64 / (height - 1).max(1) as f64;
            let labelled = row == 0 || row + 1 == height || height > 6 && row == (height - 1) / 2;
            let label = if labelled { short(round(value, high - low)) } else { String::new() };
            let cells = grid.row(row, canvas);
            lines.push(format!("{label:>margin$} {}{cells}", bar(canvas)).trim_end().to_string());
        }
        lines.push(self.axis(width, margin, (first, last), canvas));
        titled(&self.title, &lines.join("\n"))
    }

    /// Range of all x and of all y of the points that can be seen.
    pub fn extents(&self) -> Option<((f64, f64), (f64, f64))> {
        let points = || self.curves.iter().flat_map(Curve::points);
        let (xs, ys): (Vec<f64>, Vec<f64>) = points().unzip();
        Some((extent(xs.iter())?, extent(ys.iter())?))
    }

    /// What the axis of values means, and which curve is which.
    fn heading(&self, canvas: &Canvas) -> Vec<String> {
        let signs = if canvas.unicode { SIGNS } else { ASCII_SIGNS };
        let entry = |(index, curve): (usize, &Curve)| {
            let sign = if canvas.unicode && canvas.colour { '━' } else { signs[index % 6] };
            let sign = painted(&sign.to_string(), colour::of_curve(index), canvas);
            format!("{sign} {}", shorten(&curve.name, 24))
        };
        let named = self.curves.iter().any(|curve| !curve.name.is_empty());
        let legend: Vec<String> = self.curves.iter().enumerate().map(entry).collect();
        let legend = named.then(|| legend.join("  "));
        let y = (!self.y.is_empty()).then(|| self.y.clone());
        y.into_iter().chain(legend).collect()
    }

    /// The line below: where x begins, what it means, where it ends.
    fn axis(
        &self,
        width: usize,
        margin: usize,
        (first, last): (f64, f64),
        canvas: &Canvas,
    ) -> String {
        let (corner, fill) = if canvas.unicode { ('└', "─") } else { ('+', "-") };
        let (first, last) = (short(first), short(last));
        let room = width.saturating_sub(first.len() + last.len());
        let name = shorten(&self.x, room.saturating_sub(2));
        let left = room.saturating_sub(wide(&name)) / 2;
        let right = room.saturating_sub(wide(&name) + left);
        let (left, right) = (" ".repeat(left), " ".repeat(right));
        let line = format!("{}{corner}{}", " ".repeat(margin + 1), fill.repeat(width));
        format!("{line}\n{}{first}{left}{name}{right}{last}", " ".repeat(margin + 2))
    }

    /// The curves in numbers.
    fn spoken(&self) -> String {
        let line = |curve: &Curve| match curve.name.as_str() {
            "" => summary(&curve.ys),
            name => format!("{name}: {}", summary(&curve.ys)),
        };
        self.curves.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

impl Curve {
    /// The points that can be drawn.
    pub fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        let all = self.xs.iter().copied().zip(self.ys.iter().copied());
        all.filter(|(x, y)| x.is_finite() && y.is_finite())
    }

    /// The points between two gaps, run by run.
    pub fn runs(&self) -> Vec<Vec<(f64, f64)>> {
        let mut runs = vec![Vec::new()];
        for (x, y) in self.xs.iter().copied().zip(self.ys.iter().copied()) {
            match runs.last_mut() {
                Some(run) if x.is_finite() && y.is_finite() => run.push((x, y)),
                _ => runs.push(Vec::new()),
            }
        }
        runs.retain(|run| !run.is_empty());
        runs
    }
}

/// The value between two ends, to a hundredth of their distance; the ends stay what they are.
fn round(value: f64, distance: f64) -> f64 {
    let step = 10f64.powf((distance / 100.0).log10().floor());
    let near = (value / step).round() * step;
    if !near.is_finite() || near == 0.0 && value.abs() > step { value } else { near }
}

fn trace(
    grid: &mut Grid,
    curve: &Curve,
    index: usize,
    scattered: bool,
    dot: impl Fn(f64, f64) -> (usize, usize),
) {
    for run in curve.runs() {
        let dots: Vec<_> = run.iter().map(|&(x, y)| dot(x, y)).collect();
        if !scattered {
            dots.windows(2).for_each(|pair| grid.join(pair[0], pair[1], index));
        }
        dots.iter().for_each(|&(x, y)| grid.set(x, y, index));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ascii() -> Canvas {
        Canvas { width: 24, unicode: false, ..Canvas::default() }
    }

    fn line(curves: &[&[f64]]) -> Line {
        let curve = |ys: &&[f64]| Curve {
            xs: (0..ys.len()).map(|x| x as f64).collect(),
            ys: ys.to_vec(),
            ..Curve::default()
        };
        Line { curves: curves.iter().map(curve).collect(), ..Line::default() }
    }

    #[test]
    fn a_line_rises_from_corner_to_corner() {
        let line = Line { height: 5, ..line(&[&[0.0, 1.0, 2.0, 3.0, 4.0]]) };
        let drawn = line.draw(&ascii());
        let rows: Vec<&str> = drawn.lines().collect();
        assert!(rows[0].starts_with("4 |") && rows[0].ends_with('*'), "{drawn}");
        assert!(rows[4].starts_with("0 |*"), "{drawn}");
        assert!(rows[6].starts_with("   0") && rows[6].ends_with('4'), "{drawn}");
    }

    #[test]
    fn braille_has_eight_dots_in_a_cell() {
        let flat = Line { height: 1, width: 12, ..line(&[&[1.0, 1.0]]) };
        let drawn = flat.draw(&Canvas::default());
        assert_eq!(drawn.lines().next(), Some(format!("1 │{}", "⠒".repeat(8)).as_str()), "{drawn}");
    }

    #[test]
    fn curves_are_told_apart_with_and_without_colour() {
        let mut both = line(&[&[0.0, 1.0], &[1.0, 0.0]]);
        both.curves[0].name = "up".into();
        both.curves[1].name = "down".into();
        let drawn = both.draw(&ascii());
        assert!(drawn.starts_with("* up  + down\n"), "{drawn}");
        assert!(drawn.contains('*') && drawn.contains('+'), "{drawn}");
        let coloured = both.draw(&Canvas { colour: true, ..Canvas::default() });
        assert!(coloured.contains("38;2;86;180;233") && coloured.contains("38;2;230;159;0"));
    }

    #[test]
    fn gaps_stay_empty() {
        let broken = line(&[&[0.0, 0.0, f64::NAN, 0.0, 0.0]]);
        let drawn = broken.draw(&ascii());
        let row = drawn.lines().find(|line| line.contains('*')).unwrap();
        assert!(row.contains("* ") && row.ends_with('*'), "{drawn}");
    }

    #[test]
    fn plain_curves_are_numbers_and_nothing_is_said() {
        let line = Line { title: "t".into(), ..line(&[&[2.0, 3.0]]) };
        let plain = Canvas { plain: true, ..ascii() };
        assert_eq!(line.draw(&plain), "t\n2 values, min 2, max 3, samples 2 3");
        assert_eq!(Line::default().draw(&ascii()), "no data");
    }
}
