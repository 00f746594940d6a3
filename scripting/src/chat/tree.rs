//! The turns of a conversation as a drawing.

use super::Chat;
use crate::host::{Fallible, harmless};
use crate::view::shorten;
use crate::{Canvas, Table, View};
use rhai::Module;
use rhai::plugin::*;

/// One turn as it is drawn.
#[derive(Clone, Debug)]
struct Node {
    /// The number of the turn it follows.
    parent: usize,
    question: String,
    reply: String,
}

/// The turns of a conversation and where it stands.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The turns by their numbers; the first one stands for the start.
    nodes: Vec<Node>,
    /// The numbers from the start to where the conversation stands.
    path: Vec<usize>,
}

/// The signs of a drawing.
struct Signs {
    here: &'static str,
    passed: &'static str,
    aside: &'static str,
    branch: &'static str,
    line: &'static str,
    arrow: &'static str,
    more: &'static str,
}

const UNICODE: Signs =
    Signs {
        here: "▶", passed: "●", aside: "○", branch: "├─", line: "│ ", arrow: "→", more: "…"
    };
const ASCII: Signs = Signs {
    here: ">",
    passed: "*",
    aside: "o",
    branch: "|-",
    line: "| ",
    arrow: "->",
    more: "...",
};

impl Tree {
    fn of(chat: &Chat) -> Fallible<Self> {
        let talk = chat.look()?;
        let start = Node { parent: 0, question: String::new(), reply: String::new() };
        let turns = talk.all_turns().iter().map(|turn| {
            let mut reply = on_one_line(&turn.answer.reply);
            if turn.finish.is_cut() {
                // Drawn as the sign that fits the screen.
                reply.push('\u{1}');
            }
            let question = on_one_line(&turn.asked.question.text);
            Node { parent: turn.asked.parent, question, reply }
        });
        let nodes = std::iter::once(start).chain(turns).collect();
        Ok(Self { nodes, path: [vec![0], talk.path()].concat() })
    }

    /// The size in words.
    pub fn describe(&self) -> String {
        let (turns, here) = (self.nodes.len() - 1, self.here());
        format!("tree of {turns} turn{}, at {here}", if turns == 1 { "" } else { "s" })
    }

    fn here(&self) -> usize {
        self.path.last().copied().unwrap_or(0)
    }

    /// The tree as text; a table where drawings are not welcome.
    pub fn draw(&self, canvas: &Canvas) -> String {
        if canvas.plain {
            return self.table().draw(canvas);
        }
        let signs = if canvas.unicode { &UNICODE } else { &ASCII };
        let mut children = vec![vec![]; self.nodes.len()];
        for (number, node) in self.nodes.iter().enumerate().skip(1) {
            children[node.parent].push(number);
        }
        let mut lines = vec![];
        // What is still to be drawn: a turn, what stands before it, and before what follows it.
        let mut open = vec![(0, String::new(), String::new())];
        while let Some((number, before, below)) = open.pop() {
            lines.push(self.line(number, &before, signs, canvas));
            let Some(straight) = self.straight(&children[number]) else { continue };
            open.push((straight, below.clone(), below.clone()));
            for &aside in children[number].iter().rev().filter(|&&child| child != straight) {
                let before = format!("{below}{}", signs.branch);
                open.push((aside, before, format!("{below}{}", signs.line)));
            }
        }
        lines.join("\n")
    }

    /// The child that is drawn in the same column: where the conversation went, or the newest.
    fn straight(&self, children: &[usize]) -> Option<usize> {
        let passed = children.iter().find(|child| self.path.contains(child));
        passed.or(children.last()).copied()
    }

    fn line(&self, number: usize, before: &str, signs: &Signs, canvas: &Canvas) -> String {
        let here = number == self.here();
        let sign = match self.path.contains(&number) {
            _ if here => signs.here,
            true => signs.passed,
            false => signs.aside,
        };
        let begin = format!("{before}{sign} {number}");
        let words = match number {
            0 => "start".to_string(),
            _ => {
                let left = canvas.width.saturating_sub(begin.chars().count() + 2);
                self.words(number, left, signs)
            }
        };
        let text = format!("{begin}  {words}");
        if here && canvas.colour { format!("\x1b[1m{text}\x1b[0m") } else { text }
    }

    /// Question and answer in at most `width` characters.
    fn words(&self, number: usize, width: usize, signs: &Signs) -> String {
        let Node { question, reply, .. } = &self.nodes[number];
        let reply = reply.replace('\u{1}', signs.more);
        let arrow = signs.arrow.chars().count() + 2;
        let both = question.chars().count() + arrow + reply.chars().count();
        let question =
            if both > width { shorten(question, 2 * width / 5) } else { question.clone() };
        let left = width.saturating_sub(question.chars().count() + arrow);
        format!("{question} {} {}", signs.arrow, shorten(&reply, left))
    }

    /// The turns as rows, with what they follow.
    pub fn table(&self) -> Table {
        let row = |(number, node): (usize, &Node)| {
            let place = match self.path.contains(&number) {
                _ if number == self.here() => "here",
                true => "passed",
                false => "",
            };
            let reply = node.reply.replace('\u{1}', ASCII.more);
            vec![
                number.to_string(),
                node.parent.to_string(),
                place.to_string(),
                node.question.clone(),
                reply,
            ]
        };
        let rows = self.nodes.iter().enumerate().skip(1).map(row).collect();
        Table::new(&["turn", "after", "place", "user", "reply"], rows)
    }
}

/// The text with single blanks for all white space, and nothing that commands a terminal.
fn on_one_line(text: &str) -> String {
    harmless(&text.split_whitespace().collect::<Vec<_>>().join(" ")).into_owned()
}

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// All turns as a tree, also those that were taken back, with the numbers that `jump` and
    /// `edit` take. The way to where the chat stands is marked.
    ///
    /// ```
    /// let chat = load_model("toy:rwkv4").new_chat(#{ max_tokens: 3 });
    /// chat.say("Hello");
    /// chat.regenerate();
    /// show(chat.tree());
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn tree(this: &mut Chat) -> Fallible<View> {
        Ok(View::Tree(Tree::of(this)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Tree {
        let node = |parent, question: &str, reply: &str| Node {
            parent,
            question: question.into(),
            reply: reply.into(),
        };
        let nodes = vec![
            node(0, "", ""),
            node(0, "Name a river.", "The Rhine."),
            node(1, "And a lake?", "Lake of Constance"),
            node(0, "Name a mountain.", "A\u{1}"),
            node(1, "A long one?", "The Volga is the longest river of Europe, then the Danube."),
            node(3, "More", "B"),
        ];
        Tree { nodes, path: vec![0, 3] }
    }

    #[test]
    fn the_way_here_runs_straight_and_the_rest_branches_off() {
        let drawn = sample().draw(&Canvas { width: 50, ..Canvas::default() });
        let expected = [
            "● 0  start",
            "├─○ 1  Name a river. → The Rhine.",
            "│ ├─○ 2  And a lake? → Lake of Constance",
            "│ ○ 4  A long one? → The Volga is the longest r...",
            "▶ 3  Name a mountain. → A…",
            "○ 5  More → B",
        ];
        assert_eq!(drawn.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_screen_gets_what_it_can_show() {
        let tree = sample();
        for width in [40, 80] {
            let drawn = tree.draw(&Canvas { width, unicode: false, ..Canvas::default() });
            assert!(drawn.is_ascii() && drawn.contains("> 3  Name a mountain. -> A..."), "{drawn}");
            assert!(drawn.lines().all(|line| line.len() <= width), "{drawn}");
        }
        let coloured = tree.draw(&Canvas { colour: true, ..Canvas::default() });
        assert!(coloured.contains("\x1b[1m▶ 3") && coloured.matches('\x1b').count() == 2);
        let plain = tree.draw(&Canvas { plain: true, ..Canvas::default() });
        assert!(
            plain.starts_with("turn\tafter\tplace\tuser\treply\n1\t0\t\tName a river."),
            "{plain}"
        );
        assert!(plain.contains("\n3\t0\there\tName a mountain.\tA...\n"), "{plain}");
        assert_eq!(tree.describe(), "tree of 5 turns, at 3");
    }
}
