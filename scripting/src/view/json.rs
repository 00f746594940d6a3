//! Views as JSON, for other programs.

use super::View;
use crate::charts::colour::Rgb;
use crate::{Bars, Heatmap, Image, Line, Table};
use serde_json::{Value, json};

impl View {
    /// The numbers and words of the view as JSON; NaN and infinities become null.
    pub fn to_json(&self) -> String {
        self.value().to_string()
    }

    /// The same as data.
    pub fn value(&self) -> Value {
        match self {
            View::Text(text) | View::Words(text) => json!(text),
            View::Items(texts) | View::Pieces(_, texts) => json!(texts),
            View::Table(table) => rows(table),
            View::Line(line) => curves(line),
            View::Heatmap(map) => matrix(map),
            View::Bars(Bars { labels, values, .. }) => {
                labels.iter().cloned().zip(values.iter().map(|value| json!(value))).collect()
            }
            View::Tree(tree) => rows(&tree.table()),
            View::Image(image) => pixels(image),
            View::Group(views) => views.iter().map(View::value).collect(),
        }
    }
}

/// An object for each row; what reads as a number is one.
fn rows(table: &Table) -> Value {
    let cell = |text: &String| match (text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(whole), _) => json!(whole),
        (_, Ok(number)) => json!(number),
        _ => json!(text),
    };
    let row = |cells: &Vec<String>| -> Value {
        table.columns.iter().cloned().zip(cells.iter().map(cell)).collect()
    };
    table.rows.iter().map(row).collect()
}

fn curves(line: &Line) -> Value {
    let curve = |c: &crate::Curve| json!({ "name": c.name, "xs": c.xs, "ys": c.ys });
    let curves: Value = line.curves.iter().map(curve).collect();
    json!({ "title": line.title, "x": line.x, "y": line.y, "curves": curves })
}

fn matrix(map: &Heatmap) -> Value {
    let Heatmap { title, x, y, rows, row_labels, column_labels, .. } = map;
    json!({
        "title": title, "x": x, "y": y, "rows": rows,
        "row_labels": row_labels, "column_labels": column_labels,
    })
}

fn pixels(image: &Image) -> Value {
    let rows: Value =
        image.pixels.chunks(image.columns.max(1)).map(|row: &[Rgb]| json!(row)).collect();
    json!({ "title": image.title, "width": image.columns, "height": image.rows(), "pixels": rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_become_objects_and_what_is_not_finite_null() {
        let cells = ["1", "0.5", "a\"b", "inf"].map(String::from).to_vec();
        let table = Table::new(&["n", "x", "text", "far"], vec![cells]);
        let json = View::Group(vec![View::Table(table)]).to_json();
        assert_eq!(json, r#"[[{"n":1,"x":0.5,"text":"a\"b","far":null}]]"#);
        let bars = Bars { labels: vec!["a".into()], values: vec![f64::NAN], ..Bars::default() };
        assert!(View::Bars(bars).to_json().contains(r#"{"a":null}"#));
    }
}
