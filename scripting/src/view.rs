//! Values as something to look at, and the canvas they are drawn on.

pub use crate::charts::{Bars, Heatmap, Line};
pub use crate::chat::Tree;
pub use crate::table::Table;

/// What the output can show.
#[derive(Clone, Copy, Debug)]
pub struct Canvas {
    /// Columns.
    pub width: usize,
    /// Whether escape codes for colour are welcome.
    pub colour: bool,
    /// Whether characters beyond ASCII are.
    pub unicode: bool,
    /// Pipes and screen readers: tables as TSV, plots as numbers.
    pub plain: bool,
}

impl Default for Canvas {
    /// 80 columns, no colour, all characters.
    fn default() -> Self {
        Self { width: 80, colour: false, unicode: true, plain: false }
    }
}

/// A value as something to look at.
#[derive(Clone, Debug)]
pub enum View {
    /// Lines of text.
    Text(String),
    /// Rows under named columns.
    Table(Table),
    /// A curve.
    Line(Line),
    /// A matrix as shades.
    Heatmap(Heatmap),
    /// Labelled bars.
    Bars(Bars),
    /// The turns of a conversation.
    Tree(Tree),
    /// Several views, one below the other.
    Group(Vec<View>),
}

impl View {
    /// The view as text, without a newline at the end.
    pub fn draw(&self, canvas: &Canvas) -> String {
        let text = match self {
            View::Text(text) => text.clone(),
            View::Table(table) => table.draw(canvas),
            View::Line(line) => line.draw(canvas),
            View::Heatmap(map) => map.draw(canvas),
            View::Bars(bars) => bars.draw(canvas),
            View::Tree(tree) => tree.draw(canvas),
            View::Group(views) => {
                views.iter().map(|view| view.draw(canvas)).collect::<Vec<_>>().join("\n")
            }
        };
        text.trim_end_matches('\n').to_string()
    }

    /// The first line of the view, at most `width` characters.
    pub fn one_line(&self, width: usize) -> String {
        let text = match self {
            View::Table(table) => table.describe(),
            View::Tree(tree) => tree.describe(),
            other => other.draw(&Canvas { plain: true, ..Canvas::default() }),
        };
        shorten(text.lines().next().unwrap_or_default(), width)
    }
}

/// The text, cut to `width` characters with a mark where it was cut.
pub fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.into();
    }
    text.chars().take(width.saturating_sub(3)).chain("...".chars()).collect()
}
