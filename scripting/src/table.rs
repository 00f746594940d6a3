//! Tables: comfy-table on a screen, tab-separated values in a pipe, `key: value` for readers.

use crate::Canvas;
use crate::view::{shorten, wide};
use comfy_table::{CellAlignment, ContentArrangement, TableStyle, presets};

/// Rows under named columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Cells as text; every row is as long as `columns`.
    pub rows: Vec<Vec<String>>,
}

/// Columns between two cells, and at the ends of a line.
const GAP: usize = 3;
/// No cell of text is cut below this.
const NARROW: usize = 8;
/// A blank that comfy-table does not trim; it aligns decimal points.
const FILL: char = '\u{2007}';

impl Table {
    /// A table from names and cells.
    pub fn new(columns: &[&str], rows: Vec<Vec<String>>) -> Self {
        Self { columns: columns.iter().map(ToString::to_string).collect(), rows }
    }

    /// The size in words.
    pub fn describe(&self) -> String {
        format!("table of {} rows: {}", self.rows.len(), self.columns.join(", "))
    }

    /// The table as text.
    pub fn draw(&self, canvas: &Canvas) -> String {
        if canvas.spoken {
            return self.listed(usize::MAX);
        }
        if canvas.plain {
            return self.tab_separated();
        }
        let mut cells = self.clone();
        cells.rows.iter_mut().flatten().for_each(|cell| *cell = one_line(cell));
        (0..self.columns.len()).filter(|&c| self.is_numeric(c)).for_each(|c| cells.align(c));
        if !cells.narrow(canvas.width) {
            return self.listed(canvas.width);
        }
        cells.drawn(canvas, |column| self.is_numeric(column))
    }

    fn drawn(&self, canvas: &Canvas, is_numeric: impl Fn(usize) -> bool) -> String {
        let mut table = comfy_table::Table::new();
        table
            .load_style(if canvas.unicode { lined() } else { presets::ASCII_FULL_CONDENSED })
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(&self.columns)
            .add_rows(&self.rows);
        for (index, column) in table.column_iter_mut().enumerate() {
            if is_numeric(index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let text = table.trim_fmt().replace(FILL, " ");
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    /// Whether a column holds nothing but numbers.
    fn is_numeric(&self, column: usize) -> bool {
        let number =
            |cell: &str| cell.is_empty() || cell.trim_end_matches('%').parse::<f64>().is_ok();
        self.rows.iter().all(|row| row.get(column).is_none_or(|cell| number(cell)))
    }

    /// Pads numbers so that their decimal points stand below each other.
    fn align(&mut self, column: usize) {
        let behind = |cell: &String| {
            let fixed = !cell.contains(['e', 'E']) && !cell.is_empty();
            fixed.then(|| cell.find('.').map_or(0, |point| cell.len() - point))
        };
        let all = self.rows.iter().filter_map(|row| behind(&row[column]));
        let most = all.max().unwrap_or(0);
        for row in &mut self.rows {
            let missing = behind(&row[column]).map_or(0, |places| most - places);
            row[column].extend(std::iter::repeat_n(FILL, missing));
        }
    }

    /// Cuts the longest texts until the table fits; false if it cannot.
    fn narrow(&mut self, width: usize) -> bool {
        let numeric: Vec<bool> = (0..self.columns.len()).map(|c| self.is_numeric(c)).collect();
        loop {
            let widths: Vec<usize> = (0..self.columns.len()).map(|c| self.width(c)).collect();
            let whole = widths.iter().sum::<usize>() + GAP * widths.len() + 1;
            if whole <= width {
                return true;
            }
            let texts = (0..widths.len()).filter(|&c| !numeric[c] && widths[c] > NARROW);
            let Some(widest) = texts.max_by_key(|&c| widths[c]) else { return false };
            let room = widths[widest].saturating_sub(whole - width).max(NARROW);
            // The others get their turn when this one has become shorter than they are.
            let next = widths.iter().enumerate().filter(|(c, _)| *c != widest && !numeric[*c]);
            let next = next.map(|(_, w)| *w).filter(|w| *w < widths[widest]).max();
            let room = room.max(next.unwrap_or(NARROW).max(NARROW)).min(widths[widest] - 1);
            self.columns[widest] = shorten(&self.columns[widest], room);
            self.rows.iter_mut().for_each(|row| row[widest] = shorten(&row[widest], room));
        }
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| wide(&row[column]));
        cells.max().unwrap_or(0).max(wide(&self.columns[column]))
    }

    /// A line for each cell, `key: value`, and a blank line between rows.
    fn listed(&self, width: usize) -> String {
        let line =
            |(key, cell): (&String, &String)| shorten(&format!("{key}: {}", one_line(cell)), width);
        let row = |cells: &Vec<String>| {
            self.columns.iter().zip(cells).map(line).collect::<Vec<_>>().join("\n")
        };
        // Two columns are a name and a value already.
        if let ([_, _], true) = (&self.columns[..], self.has_names()) {
            let lines = self.rows.iter().map(|cells| line((&cells[0], &cells[1])));
            return lines.collect::<Vec<_>>().join("\n");
        }
        self.rows.iter().map(row).collect::<Vec<_>>().join("\n\n")
    }

    /// Whether the first column tells the rows apart in words.
    fn has_names(&self) -> bool {
        !self.is_numeric(0)
    }

    fn tab_separated(&self) -> String {
        let line = |cells: &Vec<String>| {
            let clean = |cell: &String| cell.replace('\t', " ").replace('\n', "\\n");
            cells.iter().map(clean).collect::<Vec<_>>().join("\t")
        };
        std::iter::once(&self.columns).chain(&self.rows).map(line).collect::<Vec<_>>().join("\n")
    }
}

/// A cell stays on its line.
fn one_line(cell: &str) -> String {
    cell.replace('\n', "\\n").replace('\t', " ")
}

/// One line under the names, nothing else.
fn lined() -> TableStyle {
    presets::UTF8_BORDERS_ONLY
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let rows = [["1", "0.5", "a"], ["16", "12.25", "b\tc"], ["3", "7", "猫"]];
        Table::new(
            &["layer", "norm", "piece"],
            rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect(),
        )
    }

    #[test]
    fn decimal_points_stand_below_each_other() {
        let drawn = sample().draw(&Canvas::default());
        let points: Vec<_> = drawn.lines().filter_map(|line| line.find('.')).collect();
        assert!(points.len() == 2 && points[0] == points[1], "{drawn}");
        assert!(drawn.contains(" 7 "), "a whole number ends where the points are: {drawn}");
        assert!(!drawn.contains('\u{1b}') && !drawn.contains(FILL), "{drawn}");
    }

    #[test]
    fn a_pipe_gets_tab_separated_values_and_a_reader_pairs() {
        let plain = Canvas { plain: true, ..Canvas::default() };
        assert_eq!(
            sample().draw(&plain),
            "layer\tnorm\tpiece\n1\t0.5\ta\n16\t12.25\tb c\n3\t7\t猫"
        );
        let spoken = Canvas { spoken: true, ..plain };
        assert!(sample().draw(&spoken).starts_with("layer: 1\nnorm: 0.5\npiece: a\n\nlayer: 16"));
        let facts = Table::new(&["property", "value"], vec![vec!["name".into(), "toy".into()]]);
        assert_eq!(facts.draw(&spoken), "name: toy");
    }

    #[test]
    fn ascii_means_ascii_and_forty_columns_are_enough() {
        let mut table = sample();
        table.rows[0][2] = "a rather long piece of text that has to be cut somewhere".into();
        table.rows[2][2] = "cat".into();
        let narrow = Canvas { width: 40, unicode: false, ..Canvas::default() };
        let drawn = table.draw(&narrow);
        assert!(drawn.is_ascii() && drawn.contains("..."), "{drawn}");
        assert!(drawn.lines().all(|line| line.chars().count() <= 40), "{drawn}");
    }

    #[test]
    fn too_many_numbers_for_the_width_become_pairs() {
        let names: Vec<String> = (0..12).map(|i| format!("column {i}")).collect();
        let table = Table { columns: names, rows: vec![vec!["1.2345".into(); 12]] };
        let drawn = table.draw(&Canvas { width: 40, ..Canvas::default() });
        assert!(drawn.starts_with("column 0: 1.2345\ncolumn 1: 1.2345"), "{drawn}");
    }
}
