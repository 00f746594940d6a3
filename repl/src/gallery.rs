//! Views at a terminal: as pictures where it can show them, else as text.

use crate::protocol::{self, Protocol, QUESTION};
use crate::term::{Screen, variable};
use crate::tty::Tty;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::read;
use rwkv_scripting::{Picture, View, is_picture};
use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long a terminal may take to say what it is.
const PATIENCE: Duration = Duration::from_millis(200);
/// Wider pictures take long to send and show nothing more.
const WIDEST: u32 = 1000;
/// Columns and rows of characters that a picture covers at most.
const COLUMNS: usize = 100;
const ROWS: usize = 32;
/// Rows that a plot needs to be worth painting.
const PLOT_ROWS: usize = 18;
/// Pixels of a character where the terminal does not say.
const CELL: (u32, u32) = (9, 18);

/// Which way pictures go, found when the first is shown.
pub struct Gallery {
    asked: Protocol,
    tty: Tty,
    found: Cell<Option<Protocol>>,
    /// Whether somebody types at the prompt, so that an answer can be told from what is typed.
    interactive: Cell<bool>,
    typed: RefCell<Vec<u8>>,
}

impl Gallery {
    /// A gallery that shows pictures in the way that was asked for.
    pub fn new(asked: Protocol, tty: Tty) -> Self {
        let (found, interactive) = (Cell::new(None), Cell::new(false));
        Self { asked, tty, found, interactive, typed: RefCell::default() }
    }

    /// From now on the terminal may be asked: a prompt gives back what was typed meanwhile.
    pub fn let_ask(&self) {
        self.interactive.set(true);
    }

    /// What was typed while the terminal was asked.
    pub fn typed(&self) -> String {
        String::from_utf8_lossy(&self.typed.take()).into_owned()
    }

    /// Keeps what was typed for the next time.
    pub fn give_back(&self, text: &str) {
        self.typed.borrow_mut().extend(text.as_bytes());
    }

    /// The bytes that show the view on this screen: text, pictures, or both one below the other.
    pub fn bytes(&self, view: &View, screen: &Screen) -> Vec<u8> {
        let canvas = screen.canvas();
        if canvas.plain || !screen.terminal || !canvas.colour || !has_picture(view) {
            return text(&view.draw(&canvas));
        }
        match self.protocol() {
            Protocol::Blocks => text(&view.draw(&canvas)),
            protocol => parts(view, protocol, screen),
        }
    }

    fn protocol(&self) -> Protocol {
        if let Some(found) = self.found.get() {
            return found;
        }
        let told = Some(self.asked).filter(|asked| *asked != Protocol::Auto);
        let found = told
            .or_else(|| protocol::of_environment(&variable))
            .or_else(|| self.interactive.get().then(|| self.ask()).flatten())
            .unwrap_or(Protocol::Blocks);
        self.found.set(Some(found));
        found
    }

    /// Asks the terminal, which has a fifth of a second to answer; what else comes is kept.
    fn ask(&self) -> Option<Protocol> {
        if !self.tty.is_there() {
            return None;
        }
        let stdin = io::stdin();
        let _quiet = self.tty.quiet();
        let asked = io::stdout().write_all(QUESTION).and_then(|()| io::stdout().flush());
        let (start, mut bytes) = (Instant::now(), Vec::new());
        let mut answer = None;
        while asked.is_ok() && answer.is_none() {
            let left = PATIENCE.saturating_sub(start.elapsed());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            let mut waiting = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
            if !matches!(poll(&mut waiting, timeout), Ok(1..)) {
                break;
            }
            let mut block = [0; 256];
            let Ok(count @ 1..) = read(&stdin, &mut block) else { break };
            bytes.extend_from_slice(&block[..count]);
            answer = protocol::of_answer(&bytes).0;
        }
        self.typed.borrow_mut().extend(protocol::of_answer(&bytes).1);
        answer
    }
}

/// Whether there is anything in the view that a picture shows better.
fn has_picture(view: &View) -> bool {
    match view {
        View::Group(views) => views.iter().any(has_picture),
        view => is_picture(view),
    }
}

fn text(text: &str) -> Vec<u8> {
    if text.is_empty() { vec![] } else { format!("{text}\n").into_bytes() }
}

fn parts(view: &View, protocol: Protocol, screen: &Screen) -> Vec<u8> {
    if let View::Group(views) = view {
        return views.iter().flat_map(|view| parts(view, protocol, screen)).collect();
    }
    let canvas = screen.canvas();
    let drawn = view.draw(&canvas);
    if !is_picture(view) {
        return text(&drawn);
    }
    let columns = canvas.width.saturating_sub(1).clamp(8, COLUMNS);
    let columns = match view {
        View::Image(image) if image.width > 0 => image.width.min(columns),
        _ => columns,
    };
    let lines = drawn.lines().count();
    let rows = match view {
        View::Line(line) if line.height == 0 => PLOT_ROWS,
        _ => lines.clamp(2, ROWS),
    };
    let (wide, high) = cell();
    let width = (columns as u32 * wide).min(WIDEST);
    let height = width * rows as u32 * high / (columns as u32 * wide);
    let painted = Picture::new(view, width, height.max(1));
    let bytes = painted.map_err(|error| format!("{error:#}"));
    match bytes.and_then(|picture| protocol::bytes(protocol, &picture, (columns, rows))) {
        Ok(bytes) => bytes,
        Err(_) => text(&drawn),
    }
}

/// Pixels of a character.
fn cell() -> (u32, u32) {
    let size = crossterm::terminal::window_size().ok();
    let size = size.filter(|size| size.width > 0 && size.height > 0 && size.columns > 0);
    size.map_or(CELL, |size| {
        let high = u32::from(size.height) / u32::from(size.rows.max(1));
        (u32::from(size.width) / u32::from(size.columns), high)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rwkv_scripting::{Bars, Canvas, Heatmap};

    fn map() -> View {
        View::Heatmap(Heatmap { rows: vec![vec![0.0, 1.0]; 2], ..Heatmap::default() })
    }

    #[test]
    fn pipes_plain_screens_and_no_colour_get_text() {
        let gallery = Gallery::new(Protocol::Kitty, Tty::new());
        for screen in [
            Screen::of(Canvas { colour: true, ..Canvas::default() }, false),
            Screen::of(Canvas { colour: true, plain: true, ..Canvas::default() }, true),
            Screen::of(Canvas::default(), true),
        ] {
            let shown = gallery.bytes(&map(), &screen);
            assert!(!shown.windows(3).any(|part| part == b"\x1b_G"), "{screen:?}");
        }
    }

    #[test]
    fn words_stay_words_beside_a_picture() {
        let bars = Bars { labels: vec!["a".into()], values: vec![1.0], ..Bars::default() };
        let group = View::Group(vec![View::Text("above".into()), map(), View::Bars(bars)]);
        let screen = Screen::of(Canvas { colour: true, ..Canvas::default() }, true);
        let shown = Gallery::new(Protocol::Kitty, Tty::new()).bytes(&group, &screen);
        assert!(shown.starts_with(b"above\n\x1b_Ga=T"));
        assert_eq!(shown.windows(6).filter(|part| part == b"\x1b_Ga=T").count(), 2);
        let blocks = Gallery::new(Protocol::Blocks, Tty::new()).bytes(&group, &screen);
        assert!(String::from_utf8(blocks).unwrap().contains('▀'));
    }
}
