//! Tables: comfy-table on a screen, tab-separated values in a pipe.

use crate::Canvas;
use comfy_table::{CellAlignment, ContentArrangement, TableStyle, presets};

/// Rows under named columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Cells as text; every row is as long as `columns`.
    pub rows: Vec<Vec<String>>,
}

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
        if canvas.plain {
            return self.tab_separated();
        }
        let mut table = comfy_table::Table::new();
        table
            .load_style(if canvas.unicode { lined() } else { presets::ASCII_FULL_CONDENSED })
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(canvas.width.clamp(1, u16::MAX as usize) as u16)
            .set_header(&self.columns)
            .add_rows(&self.rows);
        for (index, column) in table.column_iter_mut().enumerate() {
            if self.is_numeric(index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.trim_fmt()
    }

    fn is_numeric(&self, column: usize) -> bool {
        let number =
            |cell: &str| cell.is_empty() || cell.trim_end_matches('%').parse::<f64>().is_ok();
        self.rows.iter().all(|row| row.get(column).is_none_or(|cell| number(cell)))
    }

    fn tab_separated(&self) -> String {
        let line = |cells: &Vec<String>| {
            let clean = |cell: &String| cell.replace('\t', " ").replace('\n', "\\n");
            cells.iter().map(clean).collect::<Vec<_>>().join("\t")
        };
        std::iter::once(&self.columns).chain(&self.rows).map(line).collect::<Vec<_>>().join("\n")
    }
}

/// One line under the names, nothing else.
fn lined() -> TableStyle {
    presets::UTF8_BORDERS_ONLY
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let rows = [["1", "0.5", "a"], ["16", "12.25", "b\tc"]];
        Table::new(
            &["layer", "norm", "piece"],
            rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect(),
        )
    }

    #[test]
    fn numbers_stand_on_the_right() {
        let drawn = sample().draw(&Canvas::default());
        assert!(drawn.contains("     1    0.50") || drawn.contains("    1     0.5"), "{drawn}");
        assert!(!drawn.contains('\u{1b}'), "{drawn}");
    }

    #[test]
    fn a_pipe_gets_tab_separated_values() {
        let plain = Canvas { plain: true, ..Canvas::default() };
        assert_eq!(sample().draw(&plain), "layer\tnorm\tpiece\n1\t0.5\ta\n16\t12.25\tb c");
    }

    #[test]
    fn ascii_means_ascii_and_forty_columns_are_enough() {
        let narrow = Canvas { width: 40, unicode: false, ..Canvas::default() };
        let drawn = sample().draw(&narrow);
        assert!(drawn.is_ascii(), "{drawn}");
        assert!(drawn.lines().all(|line| line.chars().count() <= 40), "{drawn}");
    }
}
