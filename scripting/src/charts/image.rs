//! Images in characters: half blocks in colour, shades without, a description for readers.

use super::{Image, colour, span};
use crate::Canvas;

const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];
const ASCII_SHADES: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];

impl Image {
    /// The image as text.
    pub fn draw(&self, canvas: &Canvas) -> String {
        if canvas.plain || self.pixels.is_empty() {
            return self.describe(canvas.spoken);
        }
        let most = if self.width == 0 { canvas.width } else { self.width.min(canvas.width) };
        let width = self.columns.min(most).max(1);
        // A character is twice as high as it is wide.
        let height = (self.rows() * width / self.columns).clamp(1, 96);
        let step = if canvas.colour && canvas.unicode { 2 } else { 1 };
        let height = if step == 2 { height } else { height.div_ceil(2) };
        let cell = |row, column| self.cell(row, height, column, width, canvas);
        let line = |row: usize| -> String {
            let cells = colour::joined((0..width).map(|column| cell(row, column)));
            if canvas.colour { cells } else { cells.trim_end().to_string() }
        };
        let lines: Vec<String> = (0..height).step_by(step).map(line).collect();
        super::titled(&self.title, &lines.join("\n"))
    }

    /// The codes of a cell and its character.
    fn cell(
        &self,
        row: usize,
        height: usize,
        column: usize,
        width: usize,
        canvas: &Canvas,
    ) -> (String, char) {
        let upper = self.mean(row, height, column, width);
        match (canvas.colour, canvas.unicode) {
            (true, true) if row + 1 < height => {
                let lower = self.mean(row + 1, height, column, width);
                (colour::text_on(upper, lower, canvas.depth), '▀')
            }
            (true, true) => (colour::text_in(upper, canvas.depth), '▀'),
            (true, false) => (colour::ground(upper, canvas.depth), ' '),
            (false, true) => (String::new(), shade(upper, &SHADES)),
            (false, false) => (String::new(), shade(upper, &ASCII_SHADES)),
        }
    }

    /// The size; for a screen reader also the mean colour of each third.
    fn describe(&self, spoken: bool) -> String {
        let title = if self.title.is_empty() { String::new() } else { format!(" {}", self.title) };
        let size = format!("image {}x{}{title}", self.columns, self.rows());
        if !spoken || self.columns < 3 {
            return format!("[{size}]");
        }
        let third = |at: usize| {
            let columns = span(at, 3, self.columns);
            let [r, g, b] = self.mean(0, 1, at, 3);
            format!("columns {} to {} {r} {g} {b}", columns.start, columns.end - 1)
        };
        let thirds: Vec<String> = (0..3).map(third).collect();
        format!("{size}, mean red green blue of {}", thirds.join(", of "))
    }
}

/// The character that is as light as the colour, as the eye weighs its parts.
fn shade([r, g, b]: colour::Rgb, shades: &[char]) -> char {
    let light = 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b);
    shades[super::place(light, 0.0, 255.0, shades.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halves() -> Image {
        let pixels = [[[255; 3]; 4], [[0; 3]; 4]].concat();
        Image { columns: 4, pixels, title: "halves".into(), ..Image::default() }
    }

    #[test]
    fn white_above_black_is_one_line_of_half_blocks() {
        let colour = Canvas { colour: true, ..Canvas::default() };
        let cells = "\u{1b}[38;2;255;255;255;48;2;0;0;0m▀▀▀▀\u{1b}[0m";
        assert_eq!(halves().draw(&colour), format!("halves\n{cells}"));
    }

    #[test]
    fn readers_and_pipes_get_words() {
        let piped = Canvas { plain: true, ..Canvas::default() };
        assert_eq!(halves().draw(&piped), "[image 4x2 halves]");
        let said = halves().draw(&Canvas { spoken: true, ..piped });
        assert!(said.starts_with("image 4x2 halves, mean red green blue of columns 0 to 0 127"));
    }
}
