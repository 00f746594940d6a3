//! How far long works are: a bar below everything else, or lines for a screen reader.

use crate::term::Screen;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rwkv_scripting::{Job, Progress};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Nothing is shown of works that end sooner.
const SOON: Duration = Duration::from_secs(1);
/// Between two looks.
const BEAT: Duration = Duration::from_millis(100);

/// Shows on stderr how far works are. Hidden in pipes.
#[derive(Clone)]
pub struct Lamp {
    bars: MultiProgress,
    kind: Kind,
    /// Whether the cursor stands inside a line of text.
    open: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A pipe.
    Hidden,
    /// One line for every tenth.
    Lines,
    /// A bar; whether it may be drawn beyond ASCII.
    Bar { unicode: bool },
}

/// Shows works until it is dropped.
pub struct Light {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Lamp {
    /// A lamp for what stderr can show.
    pub fn new(screen: &Screen) -> Self {
        let canvas = screen.canvas();
        let kind = match (screen.terminal, canvas.plain) {
            (false, _) => Kind::Hidden,
            (true, true) => Kind::Lines,
            (true, false) => Kind::Bar { unicode: canvas.unicode },
        };
        let target = match kind {
            Kind::Bar { .. } => ProgressDrawTarget::stderr(),
            _ => ProgressDrawTarget::hidden(),
        };
        Self { bars: MultiProgress::with_draw_target(target), kind, open: Arc::default() }
    }

    /// Shows these works until the light is dropped.
    pub fn light(&self, progress: Arc<Progress>) -> Light {
        if self.kind == Kind::Hidden {
            return Light { stop: None, thread: None };
        }
        let (stop, stopped) = mpsc::channel();
        let lamp = self.clone();
        let watch = move || {
            let mut shown = Shown { lamp, bar: None, said: None };
            while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                shown.look(&progress.jobs());
            }
            shown.clear();
        };
        // Without a thread there is no bar; the work goes on.
        let thread = thread::Builder::new().name("progress".into()).spawn(watch).ok();
        Light { stop: Some(stop), thread }
    }

    /// Does something that writes to the terminal while the bar is out of the way.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match self.kind {
            Kind::Bar { .. } => self.bars.suspend(write),
            _ => write(),
        }
    }

    /// Says whether the cursor stands inside a line of text, where a bar would tear it.
    pub fn open(&self, open: bool) {
        self.open.store(open, Relaxed);
    }
}

impl Drop for Light {
    fn drop(&mut self) {
        self.stop.take();
        // A panic there has been told already.
        self.thread.take().map(JoinHandle::join);
    }
}

/// What is on the screen now.
struct Shown {
    lamp: Lamp,
    bar: Option<(String, ProgressBar)>,
    /// The work and the tenth of it that were said last.
    said: Option<(String, u64)>,
}

impl Shown {
    fn look(&mut self, jobs: &[Job]) {
        let now = Instant::now();
        let job = worth_showing(jobs, now).filter(|_| !self.lamp.open.load(Relaxed));
        match (job, self.lamp.kind) {
            (Some(job), Kind::Bar { unicode }) => self.draw(job, now, unicode),
            (Some(job), _) => self.say(job),
            (None, _) => self.clear(),
        }
    }

    fn draw(&mut self, job: &Job, now: Instant, unicode: bool) {
        if self.bar.as_ref().is_some_and(|(what, _)| *what != job.what) {
            self.clear();
        }
        let bars = &self.lamp.bars;
        let (_, bar) = self.bar.get_or_insert_with(|| {
            let bar = bars.add(ProgressBar::new(job.all.max(1)));
            bar.set_style(style(job.all > 0, unicode));
            (job.what.clone(), bar)
        });
        bar.set_length(job.all.max(1));
        bar.set_position(job.done.min(job.all));
        bar.set_prefix(job.what.clone());
        bar.set_message(pace(job, now));
        bar.tick();
    }

    /// One line for every tenth of the work.
    fn say(&mut self, job: &Job) {
        let tenth = (10 * job.done.min(job.all)).checked_div(job.all).unwrap_or(0);
        let new = (job.what.clone(), tenth);
        if self.said.as_ref() != Some(&new) {
            let share = if job.all > 0 { format!(" {} %", tenth * 10) } else { String::new() };
            // Without stderr there is nobody left to tell.
            let _ = writeln!(io::stderr().lock(), "{}{share}", job.what);
            self.said = Some(new);
        }
    }

    fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
            self.lamp.bars.remove(&bar);
        }
    }
}

/// The innermost work that has taken a while: it moves most.
fn worth_showing(jobs: &[Job], now: Instant) -> Option<&Job> {
    jobs.iter().rev().find(|job| now.duration_since(job.since) >= SOON)
}

fn style(known: bool, unicode: bool) -> ProgressStyle {
    let template = if known {
        "{prefix} [{bar:20}] {percent:>3} %  {msg}"
    } else {
        "{prefix} {spinner}  {msg}"
    };
    let style = ProgressStyle::with_template(template);
    let style = style.expect("the template is one of two above, both well formed");
    match unicode {
        true => style.progress_chars("█▉▊▋▌▍▎▏ ").tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "),
        false => style.progress_chars("#> ").tick_chars("-\\|/ "),
    }
}

/// How fast it goes and how long it will still take, in words.
fn pace(job: &Job, now: Instant) -> String {
    let seconds = now.duration_since(job.since).as_secs_f64();
    let done = job.done.saturating_sub(job.before) as f64;
    if job.all == 0 || done == 0.0 {
        return format!("{} so far", time(seconds));
    }
    let rate = done / seconds;
    let left = job.all.saturating_sub(job.done) as f64 / rate;
    format!("{} {}/s, {} left", amount(rate), job.unit, time(left))
}

/// A number with two or three digits that count.
fn amount(number: f64) -> String {
    match number {
        n if n >= 1e9 => format!("{:.1} G", n / 1e9),
        n if n >= 1e6 => format!("{:.1} M", n / 1e6),
        n if n >= 1e4 => format!("{:.0} k", n / 1e3),
        n if n >= 100.0 => format!("{n:.0}"),
        n => format!("{n:.1}"),
    }
}

fn time(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{}:{:02} min", whole / 60, whole % 60),
        _ => format!("{}:{:02} h", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rwkv_scripting::Canvas;

    #[test]
    fn nothing_is_shown_in_the_first_second_and_then_the_innermost() {
        let progress = Arc::<Progress>::default();
        let outer = progress.begin("outer".into(), "runs", 2);
        let inner = progress.begin("inner".into(), "tokens", 2000);
        inner.add(500);
        let jobs = progress.jobs();
        let later = |seconds| Instant::now() + Duration::from_secs_f64(seconds);
        assert!(worth_showing(&jobs, later(0.5)).is_none());
        assert_eq!(worth_showing(&jobs, later(5.0)).unwrap().what, "inner");
        assert_eq!(
            pace(&jobs[1], jobs[1].since + Duration::from_secs(5)),
            "100 tokens/s, 15 s left"
        );
        assert_eq!(pace(&jobs[0], jobs[0].since + Duration::from_secs(5)), "5 s so far");
        drop((outer, inner));
        assert!(worth_showing(&progress.jobs(), later(5.0)).is_none());
    }

    #[test]
    fn numbers_stay_short() {
        let said: Vec<String> = [2.5, 340.0, 25e3, 1.25e6, 3e9].map(amount).into();
        assert_eq!(said, ["2.5", "340", "25 k", "1.2 M", "3.0 G"]);
        assert_eq!([5.4, 65.0, 3700.0].map(time), ["5 s", "1:05 min", "1:01 h"]);
    }

    #[test]
    fn pipes_see_nothing() {
        let lamp = Lamp::new(&Screen::of(Canvas::default(), false));
        assert_eq!(lamp.kind, Kind::Hidden);
        assert!(lamp.light(Arc::default()).thread.is_none());
        let plain = Screen::of(Canvas { plain: true, ..Canvas::default() }, true);
        assert_eq!(Lamp::new(&plain).kind, Kind::Lines);
    }
}
