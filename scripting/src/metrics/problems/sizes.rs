//! Problems by their size: `recall` by the number of pairs, `capacity` up to the cliff.

use super::super::{Start, begin, concluded, count, left_out, share};
use super::facts::{facts, sizes};
use super::grid::{Cell, gathered, listed, target_of};
use crate::charts::short;
use crate::host::{Fallible, Host, engine_failure, fail};
use crate::model::Model;
use crate::options::OptionMap;
use crate::report::Report;
use crate::{Curve, Line, Table, View};
use rhai::{Dynamic, INT, Map, NativeCallContext};
use rwkv_engine::data::problems::{Problem, Task};
use rwkv_engine::evaluate::{Cliff, Facts, Guesses, Mean, Reader, Target, cliff, guess};
use rwkv_engine::random::Random;

/// What grows.
enum Growing {
    /// The name of a task, and the alphabet of keys.
    Made(String, String),
    Own(Facts),
}

impl Growing {
    /// Tasks that have a size.
    const NAMES: [&str; 4] = ["reverse", "recall", "parity", "permutations"];

    fn problem(&self, size: usize, random: &mut Random) -> anyhow::Result<Problem> {
        let span = size..=size;
        let task = match self {
            Self::Own(facts) => return facts.several(size, random),
            Self::Made(name, alphabet) => match name.as_str() {
                "reverse" => Task::Reverse { digits: span },
                "parity" => Task::Parity { bits: span },
                "permutations" => Task::Permutations { of: 5, steps: span },
                _ => Task::Recall { pairs: span, alphabet: alphabet.clone() },
            },
        };
        task.check()?;
        Ok(task.problem(random))
    }

    /// The largest size there is.
    fn most(&self) -> usize {
        match self {
            Self::Made(..) => 1 << 20,
            Self::Own(facts) => facts.keys.len(),
        }
    }
}

/// How problems are drawn.
struct Drawing {
    growing: Growing,
    samples: usize,
    seed: u64,
}

impl Drawing {
    fn of(what: &'static str, options: &mut OptionMap, usual: &str) -> Fallible<Self> {
        let capacity = what == "metrics::capacity";
        let name = if capacity { options.text("task", usual)? } else { usual.to_string() };
        if !Growing::NAMES.contains(&name.as_str()) {
            let names = Growing::NAMES.join(", ");
            return Err(fail(format!("{what}: `task` must be one of {names}, not {name}")));
        }
        let letters = "abcdefghijklmnopqrstuvwxyz0123456789";
        let alphabet = if capacity { letters.into() } else { options.text("alphabet", letters)? };
        let own = facts(what, options)?.map(Growing::Own);
        Ok(Self {
            growing: own.unwrap_or(Growing::Made(name, alphabet)),
            samples: options.integer("samples", 32, 1..=1 << 20)? as usize,
            seed: options.integer("seed", 0, ..)? as u64,
        })
    }

    /// The same problems of a size, whatever else is measured.
    fn targets(&self, size: usize) -> anyhow::Result<Vec<Target>> {
        let mut random = Random::new(self.seed.wrapping_add(size as u64));
        let target = |_| Ok(target_of(self.growing.problem(size, &mut random)?));
        (0..self.samples).map(target).collect()
    }
}

/// Recall by the number of pairs.
pub fn recall(context: &NativeCallContext, model: &Model, map: Map) -> Fallible<Report> {
    const WHAT: &str = "metrics::recall";
    let host = Host::of(context);
    let (mut options, start) = begin(WHAT, model, map)?;
    let drawing = Drawing::of(WHAT, &mut options, "recall")?;
    let most = drawing.growing.most();
    let usual: Vec<usize> = [1, 2, 4, 8, 16, 32].into_iter().filter(|n| *n <= most).collect();
    let pairs = sizes(WHAT, &mut options, "pairs", &usual)?;
    options.finish()?;
    let (mut cells, mut targets) = (Vec::new(), Vec::new());
    for (cell, size) in pairs.iter().enumerate() {
        targets.extend(drawing.targets(*size).map_err(engine_failure)?);
        cells.resize(targets.len(), cell);
    }
    let engine = model.engine();
    let reader = Reader { model: &engine, interrupt: &host.interrupt };
    let found = guess(reader, &targets, &start.state, start.bos).map_err(engine_failure)?;
    let all = gathered(&found, &cells, pairs.len());
    let total = found.accuracy();
    let left_out = left_out(&found.skips);
    let title =
        format!("Recall of {} problems   {} right{left_out}", total.count(), short(total.value()));
    let mut fields = curve_fields(&all);
    fields.extend(share(total, ["acc", "stderr"]));
    fields.push(("pairs", Dynamic::from_array(listed(&pairs))));
    fields.push(("items", count(total.count())));
    fields.push(("skipped", count(found.skips.count())));
    let report = curve_report(title, ("pairs", &pairs), &all, fields);
    concluded(&host, report, found.complete, total.count())
}

/// The largest size that is solved.
pub fn capacity(context: &NativeCallContext, model: &Model, map: Map) -> Fallible<Report> {
    const WHAT: &str = "metrics::capacity";
    let host = Host::of(context);
    let (mut options, start) = begin(WHAT, model, map)?;
    let drawing = Drawing::of(WHAT, &mut options, "reverse")?;
    let largest = drawing.growing.most();
    let least = options.integer("least", 1, 1..=largest as INT)? as usize;
    let most = options.integer("most", largest.min(256) as INT, 1..=largest as INT)? as usize;
    let threshold = options.number("threshold", 0.5, 0.0..=1.0)?;
    options.finish()?;
    let mut cells: Vec<(usize, Cell)> = Vec::new();
    let measure = |size: usize| -> anyhow::Result<Option<Mean>> {
        let found = solve(&host, model, &start, &drawing.targets(size)?)?;
        if !found.complete {
            return Ok(None);
        }
        let cell = gathered(&found, &vec![0; drawing.samples], 1)[0];
        cells.push((size, cell));
        Ok(Some(cell.right))
    };
    let found = cliff((least, most), threshold, measure).map_err(engine_failure)?;
    cells.sort_by_key(|(size, _)| *size);
    let report = capacity_report(&found, &cells, threshold);
    concluded(&host, report, found.complete, cells.len() as u64)
}

fn solve(host: &Host, model: &Model, start: &Start, targets: &[Target]) -> anyhow::Result<Guesses> {
    let engine = model.engine();
    let reader = Reader { model: &engine, interrupt: &host.interrupt };
    guess(reader, targets, &start.state, start.bos)
}

fn capacity_report(found: &Cliff, cells: &[(usize, Cell)], threshold: f64) -> Report {
    let (sizes, all): (Vec<usize>, Vec<Cell>) = cells.iter().copied().unzip();
    let items: u64 = all.iter().map(|cell| cell.right.count()).sum();
    let percent = short(threshold * 100.0);
    let said = match (found.last, found.found) {
        (None, _) => format!("no size is solved {percent} % of the time"),
        (Some(size), true) => format!("up to size {size} at least {percent} % are solved"),
        (Some(size), false) => {
            format!("{percent} % are solved up to size {size}, the largest tried")
        }
    };
    let title = format!("Capacity over {items} problems   {said}");
    let mut fields = curve_fields(&all);
    fields.push(("cliff", count(found.last.unwrap_or(0) as u64)));
    fields.push(("found", found.found.into()));
    fields.push(("sizes", Dynamic::from_array(listed(&sizes))));
    fields.push(("items", count(items)));
    curve_report(title, ("size", &sizes), &all, fields)
}

/// A number for each size.
fn curve_fields(all: &[Cell]) -> Vec<(&'static str, Dynamic)> {
    let list = |number: &dyn Fn(&Cell) -> f64| {
        Dynamic::from_array(all.iter().map(|cell| number(cell).into()).collect())
    };
    vec![
        ("accuracy", list(&|cell| cell.right.value())),
        ("errors", list(&|cell| cell.right.standard_error())),
        ("logprob", list(&|cell| cell.logprob.value())),
    ]
}

fn curve_report(
    title: String,
    (name, sizes): (&str, &[usize]),
    all: &[Cell],
    fields: Vec<(&str, Dynamic)>,
) -> Report {
    let row = |(size, cell): (&usize, &Cell)| {
        let right = [cell.right.value(), cell.right.standard_error(), cell.tokens.value()];
        std::iter::once(size.to_string()).chain(right.map(short)).collect()
    };
    let columns = [name, "accuracy", "standard error", "tokens read"];
    let table = View::Table(Table::new(&columns, sizes.iter().zip(all).map(row).collect()));
    let curve = Curve {
        name: String::new(),
        xs: sizes.iter().map(|size| *size as f64).collect(),
        ys: all.iter().map(|cell| cell.right.value()).collect(),
    };
    let (x, y) = (name.to_string(), "accuracy".to_string());
    let plot = View::Line(Line { x, y, curves: vec![curve], ..Line::default() });
    let view = View::Group(vec![table, plot.clone()]);
    Report::new(title, view, fields).with("plot", Dynamic::from(plot))
}
