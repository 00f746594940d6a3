//! Curves, points and bars as pictures.

use super::{Area, EDGE, FAINT, GROUND, INK, LABEL, TITLE, advance, rgb, style, titled};
use crate::charts::{colour, short};
use crate::view::{shorten, wide};
use crate::{Bars, Line};
use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// From one bar to the next.
const STEP: i32 = 28;

/// The curves with their axes and a legend.
pub fn line<D: DrawingBackend>(line: &Line, area: &Area<D>) -> Result<()>
where
    D::ErrorType: 'static,
{
    let area = titled(&line.title, area)?;
    let Some((xs, ys)) = line.extents() else {
        return super::words::lines("no data", &area);
    };
    let ((first, last), (low, high)) = (room(xs, 0.01), room(ys, 0.05));
    let place = |v: &f64| tick(*v);
    let margin = [low, high].map(|v| tick(v).len()).into_iter().max().unwrap_or(0) + 3;
    let named = if line.y.is_empty() { 0 } else { LABEL as i32 };
    let mut chart = ChartBuilder::on(&area)
        .margin(EDGE)
        .x_label_area_size(if line.x.is_empty() { 30 } else { 52 })
        .y_label_area_size((margin as f64 * advance(LABEL)) as i32 + named)
        .build_cartesian_2d(first..last, low..high)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(rgb(FAINT))
        .axis_style(rgb(INK))
        .label_style(style(LABEL, INK, Pos::default()))
        .x_desc(&line.x)
        .y_desc(&line.y)
        .x_label_formatter(&place)
        .y_label_formatter(&place)
        .draw()?;
    for (index, curve) in line.curves.iter().enumerate() {
        let colour = rgb(colour::of_curve(index));
        let stroke = colour.stroke_width(2);
        for run in curve.runs() {
            if line.scattered || run.len() == 1 {
                let dots = run.into_iter().map(|at| Circle::new(at, 3, colour.filled()));
                chart.draw_series(dots)?;
            } else {
                chart.draw_series(LineSeries::new(run, stroke))?;
            }
        }
        // A series without points carries the name; runs would repeat it.
        chart
            .draw_series(LineSeries::new(std::iter::empty(), stroke))?
            .label(curve.name.clone())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], stroke));
    }
    if line.curves.iter().any(|curve| !curve.name.is_empty()) {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(rgb(GROUND).mix(0.85))
            .border_style(rgb(FAINT))
            .label_font(style(LABEL, INK, Pos::default()))
            .draw()?;
    }
    Ok(())
}

/// A little more than the range, so that nothing touches the frame.
fn room((low, high): (f64, f64), share: f64) -> (f64, f64) {
    let more = if high > low { (high - low) * share } else { low.abs().max(1.0) * 0.5 };
    (low - more, high + more)
}

/// A number at an axis: without zeros that say nothing.
fn tick(value: f64) -> String {
    // Sums of steps end a hair beside zero.
    let text = short(if value.abs() < 1e-12 { 0.0 } else { value });
    if !text.contains('.') || text.contains('e') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// Pixels that the bars need.
pub fn bars_height(bars: &Bars) -> u32 {
    let title = if bars.title.is_empty() { 0 } else { TITLE as i32 + EDGE };
    (title + 2 * EDGE + STEP * bars.values.len().max(1) as i32) as u32
}

/// The bars with their names and values.
pub fn bars<D: DrawingBackend>(bars: &Bars, area: &Area<D>) -> Result<()>
where
    D::ErrorType: 'static,
{
    let area = titled(&bars.title, area)?;
    if bars.values.is_empty() {
        return super::words::lines("no data", &area);
    }
    let (width, height) = area.dim_in_pixel();
    let names: Vec<String> = bars.labels.iter().map(|name| shorten(name, 32)).collect();
    let longest = names.iter().map(|name| wide(name)).max().unwrap_or(0);
    let left = EDGE + (longest as f64 * advance(LABEL)) as i32 + 8;
    let right = width as i32 - EDGE - (10.0 * advance(LABEL)) as i32;
    let (low, high) = bars.limits();
    let at = |value: f64| {
        left + ((value - low) / (high - low) * f64::from((right - left).max(1))) as i32
    };
    let step = ((height as i32 - 2 * EDGE) / names.len() as i32).clamp(1, 2 * STEP);
    for (row, (name, &value)) in names.iter().zip(&bars.values).enumerate() {
        let (top, bottom) = (EDGE + row as i32 * step + 2, EDGE + (row as i32 + 1) * step - 3);
        let middle = (top + bottom) / 2;
        let named = style(LABEL, INK, Pos::new(HPos::Right, VPos::Center));
        area.draw(&Text::new(name.clone(), (left - 8, middle), named))?;
        let end = if value.is_finite() { at(value) } else { at(0.0) };
        let ink = rgb(colour::of_curve(usize::from(value < 0.0)));
        let corners = [(at(0.0).min(end), top), (at(0.0).max(end), bottom)];
        area.draw(&Rectangle::new(corners, ink.filled()))?;
        let beside = style(LABEL, INK, Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(short(value), (at(0.0).max(end) + 8, middle), beside))?;
    }
    let zero = [(at(0.0), EDGE), (at(0.0), EDGE + step * names.len() as i32)];
    area.draw(&PathElement::new(zero, rgb(INK)))?;
    Ok(())
}
