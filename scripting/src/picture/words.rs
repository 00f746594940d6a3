//! Text as a picture: lines in a font of fixed width.

use super::{Area, EDGE, INK, LABEL, style};
use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// From one line to the next.
const LINE: i32 = 20;

/// Pixels that the lines need.
pub fn height(text: &str) -> u32 {
    (text.lines().count().max(1) as i32 * LINE + EDGE) as u32
}

/// The lines, as they are.
pub fn lines<D: DrawingBackend>(text: &str, area: &Area<D>) -> Result<()>
where
    D::ErrorType: 'static,
{
    for (row, line) in text.lines().enumerate() {
        let place = (EDGE, EDGE / 2 + row as i32 * LINE);
        let style = style(LABEL, INK, Pos::new(HPos::Left, VPos::Top));
        // SVG joins blanks; those that stay are as wide.
        area.draw(&Text::new(line.replace(' ', "\u{a0}"), place, style))?;
    }
    Ok(())
}
