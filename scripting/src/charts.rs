//! Curves, bars and heat maps in characters, with ASCII and plain forms.

use crate::Canvas;

/// A curve: one y for each x.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// Written above.
    pub title: String,
    /// Written below, the meaning of x.
    pub x: String,
    /// Positions; as many as `ys`.
    pub xs: Vec<f64>,
    /// Values.
    pub ys: Vec<f64>,
    /// Rows of characters; 0 means 10.
    pub height: usize,
}

/// Labelled horizontal bars.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bars {
    /// Written above.
    pub title: String,
    /// One for each value.
    pub labels: Vec<String>,
    /// Lengths; negative ones are drawn as zero and written as they are.
    pub values: Vec<f64>,
    /// Characters of the longest bar; 0 means as wide as the canvas allows.
    pub width: usize,
}

/// A matrix as shades.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heatmap {
    /// Written above.
    pub title: String,
    /// Rows of equal length.
    pub rows: Vec<Vec<f64>>,
    /// Rows of characters; 0 means one for each row, at most 32.
    pub height: usize,
    /// Prints the numbers instead of shades.
    pub numbers: bool,
}

impl Line {
    /// The curve as text.
    pub fn draw(&self, canvas: &Canvas) -> String {
        let Some((low, high)) = extent(self.ys.iter()) else {
            return titled(&self.title, "no data");
        };
        if canvas.plain {
            return titled(&self.title, &summary(&self.ys));
        }
        let height = if self.height == 0 { 10 } else { self.height };
        let margin = short(low).len().max(short(high).len());
        let width = canvas.width.saturating_sub(margin + 3).max(8);
        let grid = self.plot(width, height, (low, high), canvas.unicode);
        let mut lines: Vec<String> = Vec::new();
        for (row, cells) in grid.iter().enumerate() {
            let value = high - (high - low) * row as f64 / (height - 1).max(1) as f64;
            let label = if row == 0 || row + 1 == height { short(value) } else { String::new() };
            lines.push(format!("{label:>margin$} {}{cells}", bar(canvas)).trim_end().to_string());
        }
        lines.push(self.axis(width, margin, canvas));
        titled(&self.title, &lines.join("\n"))
    }

    /// The dots: `height` rows of `width` characters, neighbours joined by vertical runs.
    fn plot(
        &self,
        width: usize,
        height: usize,
        (low, high): (f64, f64),
        unicode: bool,
    ) -> Vec<String> {
        let (first, last) = extent(self.xs.iter()).unwrap_or((0.0, 1.0));
        let column = |x: f64| place(x, first, last, width);
        let row = |y: f64| height - 1 - place(y, low, high, height);
        let (dot, run) = if unicode { ('•', '│') } else { ('*', '|') };
        let mut grid = vec![vec![' '; width]; height];
        let points: Vec<_> = self.xs.iter().zip(&self.ys).filter(|(_, y)| y.is_finite()).collect();
        for pair in points.windows(2) {
            let (from, to) = (row(*pair[0].1), row(*pair[1].1));
            let between = from.min(to) + 1..from.max(to);
            between.for_each(|r| grid[r][column(*pair[1].0)] = run);
        }
        for (x, y) in points {
            grid[row(*y)][column(*x)] = dot;
        }
        grid.into_iter().map(|cells| cells.into_iter().collect()).collect()
    }

    /// The line below: where x begins, what it means, where it ends.
    fn axis(&self, width: usize, margin: usize, canvas: &Canvas) -> String {
        let (corner, fill) = if canvas.unicode { ('└', "─") } else { ('+', "-") };
        let (first, last) = extent(self.xs.iter()).unwrap_or((0.0, 1.0));
        let (first, last) = (short(first), short(last));
        let room = width.saturating_sub(first.len() + last.len());
        let pad = " ".repeat(margin + 2);
        let line = format!("{}{corner}{}", " ".repeat(margin + 1), fill.repeat(width));
        format!("{line}\n{pad}{first}{:^room$}{last}", self.x)
    }
}

impl Bars {
    /// The bars as text.
    pub fn draw(&self, canvas: &Canvas) -> String {
        let label = |text: &String| crate::view::shorten(text, 32);
        let names: Vec<String> = self.labels.iter().map(label).collect();
        if canvas.plain {
            let lines = names.iter().zip(&self.values).map(|(n, v)| format!("{n}\t{}", short(*v)));
            return titled(&self.title, &lines.collect::<Vec<_>>().join("\n"));
        }
        let margin = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let room = canvas.width.saturating_sub(margin + 12).max(4);
        let width = if self.width == 0 { room } else { self.width.min(room) };
        let most = self.values.iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
        let block = if canvas.unicode { "█" } else { "#" };
        let line = |(name, value): (&String, &f64)| {
            let share = if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 };
            let cells = (share * width as f64).round() as usize;
            format!("{name:<margin$} {}{} {}", bar(canvas), block.repeat(cells), short(*value))
        };
        let lines: Vec<String> = names.iter().zip(&self.values).map(line).collect();
        titled(&self.title, &lines.join("\n"))
    }
}

impl Heatmap {
    /// The matrix as text.
    pub fn draw(&self, canvas: &Canvas) -> String {
        let all = self.rows.iter().flatten();
        let Some((low, high)) = extent(all.clone()) else { return titled(&self.title, "no data") };
        let columns = self.rows.first().map_or(0, Vec::len);
        let fits = columns * 10 + 5 <= canvas.width;
        if self.numbers && fits || canvas.plain && columns <= 64 && self.rows.len() <= 64 {
            return titled(&self.title, &self.numbered(canvas));
        }
        if canvas.plain {
            return titled(&self.title, &summary(&all.copied().collect::<Vec<_>>()));
        }
        let height = if self.height == 0 { 32 } else { self.height }.min(self.rows.len());
        let width = columns.min(canvas.width.saturating_sub(7).max(8));
        let wide = if columns * 2 + 7 <= canvas.width { 2 } else { 1 };
        let shades = if canvas.unicode {
            [" ", "░", "▒", "▓", "█"]
        } else {
            [" ", ".", ":", "+", "#"]
        };
        let mut lines = Vec::new();
        for row in 0..height {
            let cells = (0..width).map(|column| {
                let value = self.mean(row, height, column, width);
                let shade = if value.is_nan() { "?" } else { shades[place(value, low, high, 5)] };
                shade.repeat(wide)
            });
            let index = row * self.rows.len() / height;
            lines.push(format!(
                "{index:>4} {}{}{}",
                bar(canvas),
                cells.collect::<String>(),
                bar(canvas)
            ));
        }
        let (low, high) = (short(low), short(high));
        lines.push(format!("     `{}` = {low} .. `{}` = {high}", shades[0], shades[4]));
        titled(&self.title, &lines.join("\n"))
    }

    /// Mean of the block of the matrix that one character stands for.
    fn mean(&self, row: usize, height: usize, column: usize, width: usize) -> f64 {
        let span = |at: usize, of: usize, size: usize| {
            let from = at * size / of;
            from..((at + 1) * size / of).max(from + 1)
        };
        let columns = self.rows.first().map_or(0, Vec::len);
        let rows = &self.rows[span(row, height, self.rows.len())];
        let block = rows.iter().flat_map(|cells| &cells[span(column, width, columns)]);
        block.clone().sum::<f64>() / block.count() as f64
    }

    fn numbered(&self, canvas: &Canvas) -> String {
        let line = |(index, cells): (usize, &Vec<f64>)| {
            if canvas.plain {
                return cells.iter().map(|v| short(*v)).collect::<Vec<_>>().join("\t");
            }
            let cells: String =
                cells.iter().map(|value| format!("{:>10}", short(*value))).collect();
            format!("{index:>4} {cells}")
        };
        self.rows.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// Which of `cells` equal cells between `low` and `high` holds `value`.
fn place(value: f64, low: f64, high: f64, cells: usize) -> usize {
    let share = if high > low { (value - low) / (high - low) } else { 0.5 };
    ((share * cells as f64) as usize).min(cells - 1)
}

/// Smallest and largest finite value.
fn extent<'a>(values: impl Iterator<Item = &'a f64>) -> Option<(f64, f64)> {
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

/// What a curve is to a reader who cannot see it.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ascii() -> Canvas {
        Canvas { width: 24, colour: false, unicode: false, plain: false }
    }

    #[test]
    fn a_line_rises_from_corner_to_corner() {
        let xs: Vec<f64> = (0..5).map(f64::from).collect();
        let line = Line { ys: xs.clone(), xs, height: 5, ..Line::default() };
        let drawn = line.draw(&ascii());
        let rows: Vec<&str> = drawn.lines().collect();
        assert!(rows[0].starts_with("4 |") && rows[0].ends_with('*'), "{drawn}");
        assert!(rows[4].starts_with("0 |*"), "{drawn}");
        assert!(rows[6].starts_with("   0") && rows[6].ends_with('4'), "{drawn}");
    }

    #[test]
    fn a_heatmap_has_shades_and_numbers() {
        let rows = vec![vec![0.0, 1.0], vec![0.5, f64::NAN]];
        let map = Heatmap { rows, ..Heatmap::default() };
        assert!(
            map.draw(&ascii()).starts_with("   0 |  ##|\n   1 |::??|"),
            "{}",
            map.draw(&ascii())
        );
        let numbers = Heatmap { numbers: true, ..map };
        let wide = Canvas { width: 40, ..ascii() };
        assert!(
            numbers.draw(&wide).starts_with("   0          0         1"),
            "{}",
            numbers.draw(&wide)
        );
    }

    #[test]
    fn bars_are_as_long_as_their_values() {
        let labels = ["a", "b"].map(String::from).to_vec();
        let bars = Bars { labels, values: vec![1.0, 0.5], width: 8, ..Bars::default() };
        assert_eq!(bars.draw(&ascii()), "a |######## 1\nb |#### 0.5000");
    }

    #[test]
    fn plain_curves_are_numbers() {
        let line =
            Line { xs: vec![0.0, 1.0], ys: vec![2.0, 3.0], title: "t".into(), ..Line::default() };
        let plain = Canvas { plain: true, ..ascii() };
        assert_eq!(line.draw(&plain), "t\n2 values, min 2, max 3, samples 2 3");
    }

    #[test]
    fn empty_and_flat_data_are_drawn() {
        assert_eq!(Line::default().draw(&ascii()), "no data");
        let flat = Line { xs: vec![0.0, 1.0], ys: vec![2.0, 2.0], ..Line::default() };
        assert!(flat.draw(&ascii()).contains('*'));
    }
}
