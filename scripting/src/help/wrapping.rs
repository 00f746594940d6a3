//! Text for a screen of some width.

use textwrap::{Options, WordSplitter};

/// Paragraphs of a doc comment as lines of at most `width` columns. Code between fences is indented
/// and keeps its lines, whatever their length.
pub fn wrapped(doc: &str, width: usize) -> String {
    let (mut lines, mut paragraph, mut code) = (Vec::new(), String::new(), false);
    for line in doc.trim().lines() {
        let fence = line.trim_start().starts_with("```");
        let item = !code && line.starts_with("- ");
        if fence || item || line.trim().is_empty() {
            close(&mut paragraph, width, &mut lines);
        }
        match line.trim() {
            _ if fence => code = !code,
            _ if code => lines.push(format!("    {line}").trim_end().to_string()),
            "" => lines.push(String::new()),
            text => {
                paragraph += if paragraph.is_empty() { "" } else { " " };
                paragraph += text;
            }
        }
    }
    close(&mut paragraph, width, &mut lines);
    lines.join("\n")
}

fn close(paragraph: &mut String, width: usize, lines: &mut Vec<String>) {
    if !paragraph.is_empty() {
        let hanging = if paragraph.starts_with("- ") { "  " } else { "" };
        lines.push(hung(paragraph, width, "", hanging));
        paragraph.clear();
    }
}

/// One paragraph, its first line behind `first` and the others behind `others`.
pub fn hung(text: &str, width: usize, first: &str, others: &str) -> String {
    let options = Options::new(width.max(20)).initial_indent(first).subsequent_indent(others);
    let whole = options.word_splitter(WordSplitter::NoHyphenation).break_words(false);
    textwrap::fill(text, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_flow_lists_hang_and_code_stays() {
        let doc = "One sentence that is\nbroken where it was.\n\n- `key` with a long text about it\n  \
                   that goes on\n- `b` short\n\n```\nlet a = \"a line of code that is long\";\n```";
        let expected = "One sentence that is broken\nwhere it was.\n\n\
                        - `key` with a long text about\n  it that goes on\n- `b` short\n\n    \
                        let a = \"a line of code that is long\";";
        assert_eq!(wrapped(doc, 30), expected);
    }

    #[test]
    fn a_flat_screen_gets_flat_lines() {
        let doc = "word ".repeat(40);
        for width in [20, 40, 80, 300] {
            assert!(wrapped(&doc, width).lines().all(|line| line.len() <= width), "{width}");
        }
    }
}
