//! The pieces of a text, told apart: by colour, or by quotes where there is none.

use super::colour;
use crate::Canvas;
use crate::view::{visible, wide};

/// Grounds that take turns.
const GROUNDS: [colour::Rgb; 2] = [[38, 70, 105], [96, 62, 24]];
const TEXT: colour::Rgb = [235, 235, 235];

/// A few words and the pieces after them, wrapped where the canvas ends; a piece is never cut.
pub fn pieces(head: &str, pieces: &[String], canvas: &Canvas) -> String {
    let mut lines = vec![head.to_string()];
    let mut used = wide(head);
    for (index, piece) in pieces.iter().enumerate() {
        let text =
            if canvas.colour { visible(piece, canvas.unicode) } else { format!("{piece:?}") };
        let gap = match index {
            0 => 2,
            _ => usize::from(!canvas.colour),
        };
        if !canvas.plain && used > 0 && used + gap + wide(&text) > canvas.width {
            lines.push(String::new());
            used = 0;
        }
        let gap = if used > 0 { gap } else { 0 };
        used += gap + wide(&text);
        let ground = GROUNDS[index % 2];
        let drawn = if canvas.colour {
            format!("{}{text}{}", colour::text_on(TEXT, ground, canvas.depth), colour::END)
        } else {
            text
        };
        if let Some(line) = lines.last_mut() {
            line.push_str(&format!("{}{drawn}", " ".repeat(gap)));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_take_turns_in_colour_and_have_quotes_without() {
        let parts = ["The", " cat", "\n"].map(String::from);
        let mono = Canvas { width: 12, ..Canvas::default() };
        assert_eq!(pieces("[3]", &parts, &mono), "[3]  \"The\"\n\" cat\" \"\\n\"");
        let drawn = pieces("[3]", &parts, &Canvas { colour: true, ..mono });
        assert!(drawn.contains("mThe\u{1b}[0m") && drawn.contains("m·cat\u{1b}[0m"), "{drawn:?}");
        assert!(drawn.contains("m\\n\u{1b}[0m"), "{drawn:?}");
    }
}
