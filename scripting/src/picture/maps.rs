//! Heat maps and images as pictures.

use super::{Area, EDGE, INK, LABEL, TITLE, advance, rgb, style, titled};
use crate::charts::short;
use crate::view::{shorten, visible, wide};
use crate::{Heatmap, Image};
use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Cells in a row or a column at most; more become means, which the eye would form anyway.
const FINEST: usize = 240;
/// Width of the scale with its numbers.
const SCALE: i32 = 110;
/// Highest cell.
const CELL: i32 = 56;

/// What surrounds the cells of a heat map, in pixels.
struct Frame {
    left: i32,
    above: i32,
    below: i32,
    right: i32,
    /// Whether the names of the columns are turned.
    turned: bool,
}

impl Frame {
    fn new(map: &Heatmap, width: i32) -> Self {
        let columns = map.rows.first().map_or(1, Vec::len) as i32;
        let letters = |names: &[String]| {
            let longest = names.iter().map(|name| wide(&visible(name, true)).min(16)).max();
            (longest.unwrap_or(3) as f64 * advance(LABEL)).ceil() as i32
        };
        let left = EDGE + letters(&map.row_labels) + 8;
        let right = SCALE + EDGE;
        let cell = ((width - left - right) / columns).min(CELL);
        let long = letters(&map.column_labels);
        let turned = !map.column_labels.is_empty() && long + 4 > cell;
        let line = LABEL as i32 + 6;
        let meaning = if map.x.is_empty() { 0 } else { line };
        let below = EDGE + meaning + if turned { long + 8 } else { line };
        let above = EDGE + if map.y.is_empty() { 0 } else { line };
        Self { left, above, below, right, turned }
    }
}

/// Pixels that a heat map needs to have square cells, if it is not very wide or very high.
pub fn heatmap_height(map: &Heatmap, width: u32) -> u32 {
    let (rows, columns) = (map.rows.len() as i32, map.rows.first().map_or(1, Vec::len) as i32);
    let frame = Frame::new(map, width as i32);
    let title = if map.title.is_empty() { 0 } else { TITLE as i32 + EDGE };
    let cell = ((width as i32 - frame.left - frame.right) / columns.max(1)).clamp(1, CELL);
    let cells = (cell * rows).clamp(24 * rows.min(6), (width as i32).max(200));
    (title + frame.above + cells + frame.below) as u32
}

/// The matrix with its names and a scale.
pub fn heatmap<D: DrawingBackend>(map: &Heatmap, area: &Area<D>) -> Result<()>
where
    D::ErrorType: 'static,
{
    let area = titled(&map.title, area)?;
    let Some(limits) = map.limits() else {
        return super::words::lines("no data", &area);
    };
    let (width, height) = area.dim_in_pixel();
    let frame = Frame::new(map, width as i32);
    let (rows, columns) = (map.rows.len(), map.rows[0].len());
    let wide = (width as i32 - frame.left - frame.right).max(columns.min(8) as i32);
    let high = (height as i32 - frame.above - frame.below).max(rows.min(8) as i32);
    // Square cells where that costs little room.
    let (across, down) = (wide as f64 / columns as f64, high as f64 / rows as f64);
    let (across, down) = match across.min(down) {
        least if across.max(down) < 3.0 * least => (least, least),
        _ => (across.min(3.0 * f64::from(CELL)), down.min(f64::from(CELL))),
    };
    let size = ((across * columns as f64) as i32, (down * rows as f64) as i32);
    let (fine_rows, fine_columns) = (rows.min(FINEST), columns.min(FINEST));
    let edge = |at: usize, of: usize, from: i32, size: i32| {
        from + (at as f64 * f64::from(size) / of as f64).round() as i32
    };
    for row in 0..fine_rows {
        for column in 0..fine_columns {
            let value = map.mean(row, fine_rows, column, fine_columns);
            let from = (
                edge(column, fine_columns, frame.left, size.0),
                edge(row, fine_rows, frame.above, size.1),
            );
            let to = (
                edge(column + 1, fine_columns, frame.left, size.0),
                edge(row + 1, fine_rows, frame.above, size.1),
            );
            let ink = rgb(map.colour(value, limits));
            area.draw(&Rectangle::new([from, to], ink.filled()))?;
        }
    }
    let corner = (frame.left + size.0, frame.above + size.1);
    let border = [(frame.left - 1, frame.above - 1), corner];
    area.draw(&Rectangle::new(border, rgb(super::FAINT)))?;
    names(map, &frame, size, &area)?;
    scale(map, limits, (frame.left + size.0 + 24, frame.above, size.1), &area)
}

/// The names beside the rows and below the columns, as many as there is room for.
fn names<D: DrawingBackend>(
    map: &Heatmap,
    frame: &Frame,
    (wide, high): (i32, i32),
    area: &Area<D>,
) -> Result<()>
where
    D::ErrorType: 'static,
{
    let (rows, columns) = (map.rows.len(), map.rows[0].len());
    let name = |names: &[String], at: usize| {
        names.get(at).map_or(at.to_string(), |name| shorten(&visible(name, true), 16))
    };
    let middle = |at: usize, of: usize, size: i32| (2 * at as i32 + 1) * size / (2 * of as i32);
    let line = LABEL as i32;
    let beside = Pos::new(HPos::Right, VPos::Center);
    for row in (0..rows).step_by((rows as i32 * line / high.max(1) + 1) as usize) {
        let place = (frame.left - 8, frame.above + middle(row, rows, high));
        area.draw(&Text::new(name(&map.row_labels, row), place, style(LABEL, INK, beside)))?;
    }
    let longest = map.column_labels.iter().map(|name| super::wide_of(name)).max();
    let room = if frame.turned { line } else { longest.unwrap_or(4 * line).max(line) + 8 };
    let top = frame.above + high + 6;
    for column in (0..columns).step_by((columns as i32 * room / wide.max(1) + 1) as usize) {
        let place = (frame.left + middle(column, columns, wide), top);
        let text = name(&map.column_labels, column);
        let below = if frame.turned {
            let turned = style(LABEL, INK, Pos::new(HPos::Right, VPos::Center));
            turned.transform(FontTransform::Rotate270)
        } else {
            style(LABEL, INK, Pos::new(HPos::Center, VPos::Top))
        };
        area.draw(&Text::new(text, place, below))?;
    }
    let centre = style(LABEL, INK, Pos::new(HPos::Center, VPos::Bottom));
    let bottom = frame.above + high + frame.below - EDGE / 2;
    area.draw(&Text::new(map.x.clone(), (frame.left + wide / 2, bottom), centre))?;
    let above = style(LABEL, INK, Pos::new(HPos::Left, VPos::Top));
    area.draw(&Text::new(map.y.clone(), (EDGE, EDGE / 2), above))?;
    Ok(())
}

/// The colours from the greatest number down to the least.
fn scale<D: DrawingBackend>(
    map: &Heatmap,
    (low, high): (f64, f64),
    (left, top, size): (i32, i32, i32),
    area: &Area<D>,
) -> Result<()>
where
    D::ErrorType: 'static,
{
    let steps = size.clamp(1, 64);
    for step in 0..steps {
        let value = high - (high - low) * f64::from(step) / f64::from((steps - 1).max(1));
        let (from, to) = (top + step * size / steps, top + (step + 1) * size / steps);
        let ink = rgb(map.colour(value, (low, high)));
        area.draw(&Rectangle::new([(left, from), (left + 14, to)], ink.filled()))?;
    }
    let ends = [(high, top, VPos::Top), (low, top + size, VPos::Bottom)];
    for (value, place, side) in ends {
        let beside = style(LABEL, INK, Pos::new(HPos::Left, side));
        area.draw(&Text::new(short(value), (left + 20, place), beside))?;
    }
    Ok(())
}

/// Pixels that an image needs at this width.
pub fn image_height(image: &Image, width: u32) -> u32 {
    let title = if image.title.is_empty() { 0 } else { TITLE + EDGE as u32 };
    let (columns, rows) = (image.columns.max(1) as u32, image.rows().max(1) as u32);
    title + (width * rows / columns).clamp(24, 2 * width)
}

/// The pixels, as large as there is room.
pub fn image<D: DrawingBackend>(image: &Image, area: &Area<D>) -> Result<()>
where
    D::ErrorType: 'static,
{
    let area = titled(&image.title, area)?;
    if image.pixels.is_empty() {
        return super::words::lines("no pixels", &area);
    }
    let (width, height) = area.dim_in_pixel();
    let (columns, rows) = (image.columns, image.rows());
    let zoom = (f64::from(width) / columns as f64).min(f64::from(height) / rows as f64);
    let (fine_rows, fine_columns) = (rows.min(FINEST), columns.min(FINEST));
    let edge = |at: usize, of: usize, size: usize| {
        (at as f64 / of as f64 * size as f64 * zoom).round() as i32
    };
    for row in 0..fine_rows {
        for column in 0..fine_columns {
            let ink = rgb(image.mean(row, fine_rows, column, fine_columns));
            let from = (edge(column, fine_columns, columns), edge(row, fine_rows, rows));
            let to = (edge(column + 1, fine_columns, columns), edge(row + 1, fine_rows, rows));
            area.draw(&Rectangle::new([from, to], ink.filled()))?;
        }
    }
    Ok(())
}
