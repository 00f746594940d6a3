//! Values as something to look at, and the canvas they are drawn on.

mod json;

pub use crate::charts::colour::Depth;
pub use crate::charts::{Bars, Curve, Heatmap, Image, Line};
pub use crate::chat::Tree;
pub use crate::table::Table;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What the output can show.
#[derive(Clone, Copy, Debug)]
pub struct Canvas {
    /// Columns.
    pub width: usize,
    /// Whether escape codes for colour are welcome.
    pub colour: bool,
    /// How many colours there are, where they are welcome.
    pub depth: Depth,
    /// Whether characters beyond ASCII are.
    pub unicode: bool,
    /// Pipes and screen readers: no drawing, tables as TSV, plots as numbers.
    pub plain: bool,
    /// Plain for a screen reader: tables as `key: value`, images in words.
    pub spoken: bool,
}

impl Default for Canvas {
    /// 80 columns, no colour, all characters.
    fn default() -> Self {
        let depth = Depth::Full;
        Self { width: 80, colour: false, depth, unicode: true, plain: false, spoken: false }
    }
}

/// A value as something to look at; it keeps its numbers.
#[derive(Clone, Debug)]
pub enum View {
    /// Lines of text, as they are.
    Text(String),
    /// A line about a value, wrapped where the canvas ends.
    Words(String),
    /// Items of a list, of which a screen shows the first few lines.
    Items(Vec<String>),
    /// A few words and then the pieces of a text, told apart.
    Pieces(String, Vec<String>),
    /// Rows under named columns.
    Table(Table),
    /// Curves or points.
    Line(Line),
    /// A matrix as colours.
    Heatmap(Heatmap),
    /// Labelled bars.
    Bars(Bars),
    /// The turns of a conversation.
    Tree(Tree),
    /// Pixels.
    Image(Image),
    /// Several views, one below the other.
    Group(Vec<View>),
}

/// Lines of a long list that a screen shows.
const LINES: usize = 6;

impl View {
    /// The view as text, without a newline at the end.
    pub fn draw(&self, canvas: &Canvas) -> String {
        let text = match self {
            View::Text(text) => text.clone(),
            View::Words(words) => wrapped(words, canvas),
            View::Items(items) => listed(items, canvas),
            View::Pieces(head, pieces) => crate::charts::pieces(head, pieces, canvas),
            View::Table(table) => table.draw(canvas),
            View::Line(line) => line.draw(canvas),
            View::Heatmap(map) => map.draw(canvas),
            View::Bars(bars) => bars.draw(canvas),
            View::Tree(tree) => tree.draw(canvas),
            View::Image(image) => image.draw(canvas),
            View::Group(views) => {
                views.iter().map(|view| view.draw(canvas)).collect::<Vec<_>>().join("\n")
            }
        };
        text.trim_end_matches('\n').to_string()
    }

    /// The first line of the view, at most `width` columns.
    pub fn one_line(&self, width: usize) -> String {
        let text = match self {
            View::Table(table) => table.describe(),
            View::Tree(tree) => tree.describe(),
            View::Group(views) => {
                return views.first().map_or(String::new(), |v| v.one_line(width));
            }
            other => other.draw(&Canvas { plain: true, ..Canvas::default() }),
        };
        shorten(text.lines().next().unwrap_or_default(), width)
    }
}

/// How many columns of a terminal the text takes.
pub fn wide(text: &str) -> usize {
    text.width()
}

/// The text, cut to `width` columns with a mark where it was cut.
pub fn shorten(text: &str, width: usize) -> String {
    if wide(text) <= width {
        return text.into();
    }
    let mark = &"..."[..width.min(3)];
    let mut used = mark.len();
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= width
    };
    text.chars().take_while(fits).chain(mark.chars()).collect()
}

/// A piece of text on one line: blanks become marks, control characters escapes.
pub fn visible(text: &str, unicode: bool) -> String {
    let blank = if unicode { '·' } else { '_' };
    let escaped = |c: char| -> String {
        match c {
            ' ' => blank.into(),
            c if c.is_control() || !unicode && !c.is_ascii() => c.escape_default().collect(),
            c => c.into(),
        }
    };
    text.chars().map(escaped).collect()
}

/// The words on as many lines as they need, the later ones indented; a pipe gets them on one.
fn wrapped(words: &str, canvas: &Canvas) -> String {
    if canvas.plain || wide(words) <= canvas.width {
        return words.into();
    }
    let mut lines = vec![String::new()];
    for part in parts(words, canvas.width.saturating_sub(INDENT.len())) {
        let full = lines.last().is_some_and(|line| {
            !line.trim().is_empty() && wide(line) + wide(part.trim_end()) > canvas.width
        });
        if full {
            lines.push(INDENT.into());
        }
        if let Some(line) = lines.last_mut() {
            *line += part;
        }
    }
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

/// Before every line but the first.
const INDENT: &str = "  ";

/// The words in parts that stay together: up to a comma or a gap, or single ones where a part is
/// wider than a line.
fn parts(words: &str, width: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = words;
    while !rest.is_empty() {
        let mut ends = rest.match_indices(' ').map(|(at, _)| at + 1).chain([rest.len()]);
        let gap = |at: &usize| {
            let before = rest[..at - 1].chars().last();
            before == Some(',') || rest[*at..].starts_with(' ') || *at == rest.len()
        };
        let whole = ends.clone().find(gap).filter(|at| wide(rest[..*at].trim_end()) <= width);
        let end = whole.or_else(|| ends.next()).unwrap_or(rest.len());
        let end = end + rest[end..].len() - rest[end..].trim_start_matches(' ').len();
        parts.push(&rest[..end]);
        rest = &rest[end..];
    }
    parts
}

/// `[a, b, c]`, wrapped; where it is long only its first lines and how many more there are.
fn listed(items: &[String], canvas: &Canvas) -> String {
    if canvas.plain {
        return format!("[{}]", items.join(", "));
    }
    let mut lines = vec!["[".to_string()];
    for (index, item) in items.iter().enumerate() {
        let last = index + 1 == items.len();
        let text = format!("{}{}", shorten(item, canvas.width / 2), if last { "]" } else { ", " });
        let full = lines
            .last()
            .is_none_or(|line| line.len() > 1 && wide(line) + wide(text.trim_end()) > canvas.width);
        if full && lines.len() == LINES {
            let more = format!(" ... {} more]", items.len() - index);
            lines.push(more);
            break;
        }
        if full {
            lines.push(" ".into());
        }
        if let Some(line) = lines.last_mut() {
            *line += &text;
        }
    }
    if items.is_empty() {
        return "[]".into();
    }
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!((wide("ab"), wide("猫"), wide("é")), (2, 2, 1));
        assert_eq!(shorten("猫猫猫", 5), "猫...");
        assert_eq!((shorten("abcdef", 5), shorten("abcdef", 2)), ("ab...".into(), "..".into()));
    }

    #[test]
    fn words_wrap_at_forty_columns_and_not_in_pipes() {
        let words = "Model toy:rwkv4   RWKV-4, 2 layers x 64, 0.1 M parameters, cpu f32";
        let narrow = Canvas { width: 40, ..Canvas::default() };
        let drawn = View::Words(words.into()).draw(&narrow);
        assert_eq!(drawn, "Model toy:rwkv4   RWKV-4, 2 layers x 64,\n  0.1 M parameters, cpu f32");
        let tensor = View::Words("Tensor [2, 2] f32  mean 250.12  std 432.95".into());
        assert_eq!(tensor.draw(&narrow), "Tensor [2, 2] f32  mean 250.12\n  std 432.95");
        let piped = View::Words(words.into()).draw(&Canvas { plain: true, ..narrow });
        assert_eq!(piped, words);
    }

    #[test]
    fn long_lists_are_cut_on_screens_only() {
        let items: Vec<String> = (0..1000).map(|i: i32| i.to_string()).collect();
        let drawn = View::Items(items.clone()).draw(&Canvas { width: 20, ..Canvas::default() });
        assert!(drawn.starts_with("[0, 1, 2, 3, 4, 5,\n 6, 7"), "{drawn}");
        assert!(drawn.lines().count() == LINES + 1 && drawn.ends_with(" more]"), "{drawn}");
        let piped = View::Items(items).draw(&Canvas { plain: true, ..Canvas::default() });
        assert!(piped.ends_with("998, 999]"));
    }
}
