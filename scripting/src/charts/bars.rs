//! Bars in characters, to an eighth of a cell where the characters allow.

use super::{Bars, bar, extent, painted, short, titled};
use crate::Canvas;
use crate::view::{shorten, wide};

/// Eighths of a cell, from the left.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

impl Bars {
    /// The bars as text.
    pub fn draw(&self, canvas: &Canvas) -> String {
        let names: Vec<String> = self.labels.iter().map(|text| shorten(text, 32)).collect();
        if canvas.plain {
            let sign = if canvas.spoken { ": " } else { "\t" };
            let line = |(name, value): (&String, &f64)| format!("{name}{sign}{}", short(*value));
            let lines: Vec<String> = names.iter().zip(&self.values).map(line).collect();
            return titled(&self.title, &lines.join("\n"));
        }
        let margin = names.iter().map(|name| wide(name)).max().unwrap_or(0);
        let margin = margin.min(canvas.width / 2);
        let room = canvas.width.saturating_sub(margin + 12).max(4);
        let width = if self.width == 0 { room } else { self.width.min(room) };
        let (low, high) = self.limits();
        // Where zero is; bars of negative values end there.
        let zero = (-low / (high - low) * width as f64).round() as usize;
        let line = |(name, value): (&String, &f64)| {
            let name = shorten(name, margin);
            let pad = " ".repeat(margin - wide(&name));
            let cells = value.abs() / (high - low) * width as f64;
            let cells = if cells.is_finite() { cells } else { 0.0 };
            format!("{name}{pad} {}", sided(*value, cells, zero, canvas))
        };
        let lines: Vec<String> = names.iter().zip(&self.values).map(line).collect();
        titled(&self.title, &lines.join("\n"))
    }

    /// The range of the axis; zero is always on it.
    pub fn limits(&self) -> (f64, f64) {
        let (low, high) = extent(self.values.iter()).unwrap_or((0.0, 1.0));
        let (low, high) = (low.min(0.0), high.max(0.0));
        if high > low { (low, high) } else { (0.0, 1.0) }
    }
}

/// One bar with its value, to the left or to the right of zero.
fn sided(value: f64, cells: f64, zero: usize, canvas: &Canvas) -> String {
    let block = if canvas.unicode { "█" } else { "#" };
    let number = short(value);
    if value < 0.0 {
        let cells = (cells.round() as usize).min(zero);
        let drawn = painted(&block.repeat(cells), super::colour::of_curve(1), canvas);
        return format!("{}{drawn}{} {number}", " ".repeat(zero - cells), bar(canvas));
    }
    let eighth = EIGHTHS[if canvas.unicode { (cells.fract() * 8.0) as usize } else { 0 }];
    let whole = if canvas.unicode { cells as usize } else { cells.round() as usize };
    let drawn = format!("{}{eighth}", block.repeat(whole));
    let drawn = painted(&drawn, super::colour::of_curve(0), canvas);
    format!("{}{}{drawn} {number}", " ".repeat(zero), bar(canvas))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(values: &[f64]) -> Bars {
        let labels = ["a", "b", "c"].iter().take(values.len()).map(ToString::to_string).collect();
        Bars { labels, values: values.to_vec(), width: 8, ..Bars::default() }
    }

    #[test]
    fn bars_are_as_long_as_their_values() {
        let ascii = Canvas { width: 24, unicode: false, ..Canvas::default() };
        assert_eq!(bars(&[1.0, 0.5]).draw(&ascii), "a |######## 1\nb |#### 0.5000");
        let wide = Canvas { width: 24, ..Canvas::default() };
        assert_eq!(bars(&[8.0, 2.5, 0.0]).draw(&wide), "a │████████ 8\nb │██▌ 2.5000\nc │ 0");
    }

    #[test]
    fn negative_bars_go_to_the_left_of_zero() {
        let ascii = Canvas { width: 24, unicode: false, ..Canvas::default() };
        assert_eq!(bars(&[2.0, -2.0]).draw(&ascii), "a     |#### 2\nb ####| -2");
    }

    #[test]
    fn plain_bars_are_pairs() {
        let piped = Canvas { plain: true, ..Canvas::default() };
        assert_eq!(bars(&[1.0]).draw(&piped), "a\t1");
        let spoken = Canvas { spoken: true, ..piped };
        assert_eq!(bars(&[1.0]).draw(&spoken), "a: 1");
    }
}
