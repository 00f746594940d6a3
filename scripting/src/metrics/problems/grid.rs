//! Something said at a depth of a text of a length: `passkey` and `needle`.

use super::super::{begin, concluded, count, left_out, share};
use super::facts::{facts, filler, numbers, sizes};
use crate::charts::short;
use crate::host::{Fallible, Host, engine_failure};
use crate::model::Model;
use crate::options::OptionMap;
use crate::report::Report;
use crate::tensor::Tensor;
use crate::{Heatmap, Table, View};
use rhai::{Array as List, Dynamic, INT, Map, NativeCallContext};
use rwkv_engine::data::problems::{Problem, Task};
use rwkv_engine::evaluate::{Facts, Guesses, Mean, Reader, Target, guess};
use rwkv_engine::random::Random;
use rwkv_engine::tensor::Array;

/// What is hidden.
enum Hidden {
    /// The task, with the length and the depth still to be said.
    Made(Task),
    /// Facts of the user, and the sentences around them.
    Own(Facts, Vec<String>),
}

/// Where it is hidden.
struct Grid {
    lengths: Vec<usize>,
    depths: Vec<f64>,
    samples: usize,
    seed: u64,
}

impl Hidden {
    fn of(host: &Host, what: &'static str, options: &mut OptionMap) -> Fallible<Self> {
        let own = what == "metrics::needle";
        let needles = if own { options.integer("needles", 4, 1..=1000)? } else { 1 };
        let digits = options.integer("digits", if own { 4 } else { 5 }, 1..=100)? as usize;
        let made = if own {
            let (length, needles) = (1..=1, needles as usize);
            Task::Needle { length, depth: None, needles, digits }
        } else {
            Task::Passkey { length: 1..=1, depth: None, digits }
        };
        if !own {
            return Ok(Self::Made(made));
        }
        let filler = filler(host, what, options)?;
        Ok(facts(what, options)?.map_or(Self::Made(made), |facts| Self::Own(facts, filler)))
    }

    fn problem(&self, chars: usize, at: f64, random: &mut Random) -> anyhow::Result<Problem> {
        let task = match self {
            Self::Own(facts, filler) => return facts.hidden(chars, at, filler, random),
            Self::Made(task) => {
                let mut task = task.clone();
                if let Task::Passkey { length, depth, .. } | Task::Needle { length, depth, .. } =
                    &mut task
                {
                    (*length, *depth) = (chars..=chars, Some(at));
                }
                task
            }
        };
        task.check()?;
        Ok(task.problem(random))
    }
}

impl Grid {
    fn of(what: &'static str, options: &mut OptionMap) -> Fallible<Self> {
        let usual = if what == "metrics::passkey" { [256, 512, 1024] } else { [512, 1024, 2048] };
        Ok(Self {
            lengths: sizes(what, options, "lengths", &usual)?,
            depths: numbers(what, options, "depths", &[0.0, 0.25, 0.5, 0.75, 1.0], (0.0, 1.0))?,
            samples: options.integer("samples", 4, 1..=1 << 20)? as usize,
            seed: options.integer("seed", 0, ..)? as u64,
        })
    }

    /// Problems for every cell, those with much before them last, so that they share it.
    fn targets(&self, hidden: &Hidden) -> anyhow::Result<Vec<(usize, Target)>> {
        let mut random = Random::new(self.seed);
        let mut cells = Vec::new();
        for (row, depth) in self.depths.iter().enumerate() {
            for (column, length) in self.lengths.iter().enumerate() {
                let cell = row * self.lengths.len() + column;
                cells.push((depth * *length as f64, cell, *length, *depth));
            }
        }
        cells.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut found = Vec::new();
        for (_, cell, length, depth) in cells {
            for _ in 0..self.samples {
                let problem = hidden.problem(length, depth, &mut random)?;
                found.push((cell, target_of(problem)));
            }
        }
        Ok(found)
    }
}

/// The answer counts, not the line break that ends it.
pub fn target_of(problem: Problem) -> Target {
    Target { context: problem.prompt, target: problem.target.trim_end_matches('\n').into() }
}

/// Measures what the options of `metrics::passkey` or `metrics::needle` say.
pub fn measure(
    context: &NativeCallContext,
    model: &Model,
    what: &'static str,
    map: Map,
) -> Fallible<Report> {
    let host = Host::of(context);
    let (mut options, start) = begin(what, model, map)?;
    let grid = Grid::of(what, &mut options)?;
    let hidden = Hidden::of(&host, what, &mut options)?;
    options.finish()?;
    let targets = grid.targets(&hidden).map_err(engine_failure)?;
    let (cells, targets): (Vec<usize>, Vec<Target>) = targets.into_iter().unzip();
    let engine = model.engine();
    let reader = Reader { model: &engine, interrupt: &host.interrupt };
    let found = guess(reader, &targets, &start.state, start.bos).map_err(engine_failure)?;
    let name = what.trim_start_matches("metrics::");
    let report = report_of(name, &grid, &found, &cells)?;
    concluded(&host, report, found.complete, found.guesses.len() as u64)
}

/// What became of the problems of one cell.
#[derive(Clone, Copy, Default)]
pub struct Cell {
    pub right: Mean,
    /// Mean log-probability of a token of the answer.
    pub logprob: Mean,
    /// Tokens of the prompts.
    pub tokens: Mean,
}

/// The guesses cell by cell.
pub fn gathered(found: &Guesses, cells: &[usize], count: usize) -> Vec<Cell> {
    let mut all = vec![Cell::default(); count];
    for one in &found.guesses {
        let cell = &mut all[cells[one.item]];
        cell.right.add(f64::from(u8::from(one.right)));
        cell.logprob.add(one.logprob / one.tokens as f64);
        cell.tokens.add(one.prompt as f64);
    }
    all
}

fn report_of(name: &str, grid: &Grid, found: &Guesses, cells: &[usize]) -> Fallible<Report> {
    let (rows, columns) = (grid.depths.len(), grid.lengths.len());
    let all = gathered(found, cells, rows * columns);
    let matrix = |number: &dyn Fn(&Cell) -> f64| -> Fallible<Dynamic> {
        let values = all.iter().map(|cell| number(cell) as f32).collect();
        let array = Array::new(&[rows, columns], values).map_err(engine_failure)?;
        Ok(Dynamic::from(Tensor::from(array)))
    };
    let tokens = (0..columns).map(|column| {
        let of = all.iter().skip(column).step_by(columns);
        of.fold(Mean::default(), |mean, cell| mean.joined(cell.tokens)).value().into()
    });
    let total = found.accuracy();
    let [acc, stderr] = share(total, ["acc", "stderr"]);
    let fields = vec![
        acc,
        stderr,
        ("accuracy", matrix(&|cell| cell.right.value())?),
        ("logprob", matrix(&|cell| cell.logprob.value())?),
        ("lengths", Dynamic::from_array(listed(&grid.lengths))),
        ("depths", Dynamic::from_array(grid.depths.iter().map(|x| (*x).into()).collect())),
        ("tokens", Dynamic::from_array(tokens.collect())),
        ("items", count(total.count())),
        ("skipped", count(found.skips.count())),
    ];
    let left_out = left_out(&found.skips);
    let right = short(total.value());
    let title = format!("{name} of {} problems   {right} found{left_out}", total.count());
    let plot = heatmap(name, grid, &all);
    let view = View::Group(vec![table(grid, &all), plot.clone()]);
    Ok(Report::new(title, view, fields).with("plot", Dynamic::from(plot)))
}

/// Sizes as an array of integers.
pub fn listed(sizes: &[usize]) -> List {
    sizes.iter().map(|size| Dynamic::from(*size as INT)).collect()
}

/// The share that was found, a row for each depth; empty where nothing was measured.
fn table(grid: &Grid, all: &[Cell]) -> View {
    let cell = |cell: &Cell| {
        if cell.right.count() == 0 { String::new() } else { short(cell.right.value()) }
    };
    let row = |(depth, cells): (&f64, &[Cell])| {
        std::iter::once(short(*depth)).chain(cells.iter().map(cell)).collect()
    };
    let rows = grid.depths.iter().zip(all.chunks(grid.lengths.len())).map(row).collect();
    let mut columns = vec!["depth".to_string()];
    columns.extend(grid.lengths.iter().map(|length| format!("{length} characters")));
    View::Table(Table { columns, rows })
}

fn heatmap(name: &str, grid: &Grid, all: &[Cell]) -> View {
    let rows = all.chunks(grid.lengths.len());
    View::Heatmap(Heatmap {
        title: format!("{name}: share found"),
        x: "characters of the text".into(),
        y: "depth".into(),
        rows: rows.map(|row| row.iter().map(|cell| cell.right.value()).collect()).collect(),
        row_labels: grid.depths.iter().map(|depth| short(*depth)).collect(),
        column_labels: grid.lengths.iter().map(ToString::to_string).collect(),
        range: (0.0, 1.0),
        ..Heatmap::default()
    })
}
