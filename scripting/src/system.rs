//! Around the script: arguments, seed, showing, checking, measuring, the exit code.

use crate::host::{Fallible, Host, Value, engine_failure, fail, words};
use crate::options::OptionMap;
use crate::show::{shown, text_of};
use crate::{Table, View};
use rhai::plugin::*;
use rhai::{Array, FnPtr, INT, Map, Module};
use std::time::Instant;

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

/// Statistics of running times in seconds.
fn statistics(times: &mut [f64]) -> Map {
    times.sort_by(f64::total_cmp);
    let n = times.len();
    let mean = times.iter().sum::<f64>() / n as f64;
    let spread = times.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / n as f64;
    let median = (times[(n - 1) / 2] + times[n / 2]) / 2.0;
    let pairs = [
        ("median", median),
        ("min", times[0]),
        ("max", times[n - 1]),
        ("mean", mean),
        ("std", spread.sqrt()),
    ];
    let mut map: Map = pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
    map.insert("n".into(), (n as INT).into());
    map
}

/// Names of all keys, sorted, each once.
fn keys(rows: &[Dynamic]) -> Vec<String> {
    let maps = rows.iter().filter_map(Dynamic::read_lock::<Map>);
    let mut names: Vec<String> =
        maps.flat_map(|map| map.keys().map(ToString::to_string).collect::<Vec<_>>()).collect();
    names.sort();
    names.dedup();
    names
}

/// The cells of one row, a map by names or an array by places.
fn cells(engine: &rhai::Engine, row: &Dynamic, columns: &[String]) -> Fallible<Vec<String>> {
    let text = |cell: Option<&Dynamic>| cell.map_or(String::new(), |cell| text_of(engine, cell));
    if let Some(map) = row.read_lock::<Map>() {
        return Ok(columns.iter().map(|name| text(map.get(name.as_str()))).collect());
    }
    if let Some(items) = row.read_lock::<Array>() {
        return Ok((0..columns.len()).map(|index| text(items.get(index))).collect());
    }
    Err(fail(format!("table: a row must be a map or an array, not {}", words(row))))
}

/// The rows of a table as maps.
fn maps(table: &Table) -> Array {
    let value = |cell: &String| match (cell.parse::<INT>(), cell.parse::<f64>()) {
        (Ok(whole), _) => Dynamic::from(whole),
        (_, Ok(float)) => float.into(),
        _ => cell.clone().into(),
    };
    let row = |cells: &Vec<String>| -> Map {
        table.columns.iter().map(|name| name.as_str().into()).zip(cells.iter().map(value)).collect()
    };
    table.rows.iter().map(|cells| row(cells).into()).collect()
}

fn build_table(
    context: &NativeCallContext,
    rows: &[Dynamic],
    columns: Vec<String>,
) -> Fallible<View> {
    if columns.is_empty() {
        return Err(fail("table: there are no columns; name them: table(rows, [\"a\", \"b\"])"));
    }
    let read = |row| cells(context.engine(), row, &columns);
    let rows = rows.iter().map(read).collect::<Fallible<_>>()?;
    Ok(View::Table(Table { columns, rows }))
}

#[export_module]
mod functions {
    /// The arguments after `--` on the command line.
    ///
    /// ```
    /// assert(args().len() >= 0);
    /// ```
    #[rhai_fn(name = "args", volatile)]
    pub fn all_args(context: NativeCallContext) -> Array {
        Host::of(&context).options.args.iter().map(|arg| arg.clone().into()).collect()
    }

    /// Argument number `index` of the command line, from 0, as a string; `default` if it is absent.
    ///
    /// ```
    /// assert(args(99, "toy:rwkv4") == "toy:rwkv4");
    /// ```
    #[rhai_fn(name = "args", volatile)]
    pub fn one_arg(context: NativeCallContext, index: INT, default: Value) -> Dynamic {
        let host = Host::of(&context);
        let given = usize::try_from(index).ok().and_then(|index| host.options.args.get(index));
        given.map_or(default, |arg| arg.clone().into())
    }

    /// Stops the script if `condition` is false, with `message`.
    ///
    /// ```
    /// assert(1 + 1 == 2, "arithmetic is broken");
    /// ```
    #[rhai_fn(name = "assert", return_raw, volatile)]
    pub fn assert_message(condition: bool, message: &str) -> Fallible<()> {
        if condition { Ok(()) } else { Err(fail(format!("assertion failed: {message}"))) }
    }

    /// Stops the script if `condition` is false.
    ///
    /// ```
    /// assert(1 + 1 == 2);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn assert(condition: bool) -> Fallible<()> {
        if condition { Ok(()) } else { Err(fail("assertion failed")) }
    }

    /// Sets the seed of everything random that comes after it.
    ///
    /// ```
    /// seed(42);
    /// ```
    #[rhai_fn(volatile)]
    pub fn seed(context: NativeCallContext, n: INT) {
        Host::of(&context).set_seed(n as u64);
    }

    /// Whether the output goes to a person, not to a file or a pipe.
    ///
    /// ```
    /// if is_tty() { print("hello"); }
    /// ```
    #[rhai_fn(volatile)]
    pub fn is_tty(context: NativeCallContext) -> bool {
        Host::of(&context).options.terminal
    }

    /// Where models run unless told otherwise: `cpu` or `cuda:0`; the processor where the device
    /// that was asked for cannot be had.
    ///
    /// ```
    /// print(device());
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn device(context: NativeCallContext) -> Fallible<String> {
        let place = rwkv_engine::device::choose(&Host::of(&context).options.device);
        Ok(place.map_err(engine_failure)?.name)
    }

    /// What the program returns to the shell when the script has ended, 0 to 255.
    ///
    /// ```
    /// exit_code(0);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn exit_code(context: NativeCallContext, code: INT) -> Fallible<()> {
        if !(0..=255).contains(&code) {
            return Err(fail(format!("exit_code must be at least 0 and at most 255, not {code}")));
        }
        Host::of(&context).exit_code.set(code as i32);
        Ok(())
    }

    /// Shows a value: tables as tables, plots as plots, everything else as the prompt shows it.
    ///
    /// ```
    /// show(table([#{ a: 1 }]));
    /// ```
    #[rhai_fn(volatile)]
    pub fn show(context: NativeCallContext, value: Value) {
        let host = Host::of(&context);
        host.show(&shown(&host, context.engine(), &value));
    }

    /// A table of rows, each a map; the columns are all keys in alphabetical order.
    ///
    /// ```
    /// show(table([#{ layer: 0, norm: 1.5 }, #{ layer: 1, norm: 2.5 }]));
    /// ```
    #[rhai_fn(name = "table", return_raw)]
    pub fn table_of_keys(context: NativeCallContext, rows: Array) -> Fallible<View> {
        let columns = keys(&rows);
        build_table(&context, &rows, columns)
    }

    /// A table of rows, each a map or an array, with these columns in this order.
    ///
    /// ```
    /// show(table([#{ b: 2, a: 1 }], ["b", "a"]));
    /// show(table([[1, 2], [3, 4]], ["x", "y"]));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn table(context: NativeCallContext, rows: Array, columns: Array) -> Fallible<View> {
        let columns = columns.iter().map(|name| text_of(context.engine(), name)).collect();
        build_table(&context, &rows, columns)
    }

    /// Something to look at: a table or a plot.
    pub type View = crate::View;

    /// The view as the text that a screen of 80 columns would show.
    ///
    /// ```
    /// assert(table([#{ a: 1 }]).to_text().contains("a"));
    /// ```
    #[rhai_fn(pure)]
    pub fn to_text(this: &mut View) -> String {
        this.draw(&crate::Canvas::default())
    }

    /// The rows of a table as maps; what reads as a number is one.
    ///
    /// ```
    /// assert(table([#{ a: 1 }, #{ a: 2 }]).rows[1].a == 2);
    /// ```
    #[rhai_fn(get = "rows", return_raw, pure)]
    pub fn rows(this: &mut View) -> Fallible<Array> {
        match this {
            View::Table(table) => Ok(maps(table)),
            _ => Err(fail("only tables have rows")),
        }
    }

    /// Runs a function three times after one run to warm up, and measures seconds.
    ///
    /// ```
    /// let t = bench(|| 1 + 1);
    /// assert(t.n == 3);
    /// ```
    #[rhai_fn(name = "bench", return_raw, volatile)]
    pub fn bench_default(context: NativeCallContext, work: FnPtr) -> Fallible<Map> {
        bench(context, work, Map::new())
    }

    /// Runs a function several times and measures seconds: `median min max mean std` and `n`.
    ///
    /// - `warmup` runs that are not counted, 1
    /// - `iters` runs that are counted, 3
    ///
    /// ```
    /// let t = bench(|| 1 + 1, #{ warmup: 0, iters: 5 });
    /// assert(t.n == 5 && t.min <= t.median);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn bench(context: NativeCallContext, work: FnPtr, options: Map) -> Fallible<Map> {
        let mut options = OptionMap::new("bench", options);
        let warmup = options.integer("warmup", 1, 0..=1_000_000)?;
        let iters = options.integer("iters", 3, 1..=1_000_000)?;
        options.finish()?;
        let mut times = Vec::new();
        let all = (warmup + iters) as u64;
        let counter = Host::of(&context).progress.begin("measuring".into(), "runs", all);
        for run in 0..warmup + iters {
            let start = Instant::now();
            let _: Dynamic = work.call_within_context(&context, ())?;
            counter.add(1);
            if run >= warmup {
                times.push(start.elapsed().as_secs_f64());
            }
        }
        Ok(statistics(&mut times))
    }
}
