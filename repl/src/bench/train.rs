//! How quick a training step is, beside what it should be.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rwkv_scripting::{Precision, Product, Table, View};
use std::io;
use std::process::Command;

/// Positions that a step of the script learns from.
const TOKENS: f64 = 8.0 * 256.0;
/// Multiplications and additions in the matrix products of one of them, there and back.
const WORK: f64 = 6.0 * 6.29e6;
/// Steps of the shorter of the two runs that are compared: start-up does not count, nor do the
/// steps that find no memory yet.
const WARM: u32 = 2;
/// Steps that the longer one takes more.
const STEPS: u32 = 8;

/// Trains as many steps as the first argument says, with products as precise as the second, and
/// says how many positions the first step learnt from per second.
const SCRIPT: &str = r#"
    let model = init_model("rwkv7", #{ n_layer: 6, n_embd: 256, vocab_size: 4096, seed: 1 });
    let trainer = new_trainer(model, #{ precision: PRECISION });
    let x = 7;
    let rows = [];
    for row in 0..8 {
        let ids = [];
        for i in 0..257 {
            x = (x * 1103515245 + 12345) % 2147483648;
            ids.push(x / 65536 % 4096);
        }
        rows.push(ids);
    }
    let batch = data::batch(rows);
    let first = trainer.train_step(batch).tokens_per_second;
    for i in 1..STEPS { trainer.train_step(batch); }
    print(first);
"#;

/// Seconds for which products alone are measured.
const LONG_ENOUGH: f64 = 0.5;

/// A table of figures for RWKV-7 of 6 layers of 256 channels, on one thread: eight rows of 256
/// tokens out of 4096 at a time. Targets are what PyTorch reached on the machine where they were
/// set (`benches/torch_train.py`), times what is asked of us; the limit is what matrix products
/// alone reach, in this run.
///
/// # Errors
/// When the program does not start or does not train.
pub fn training() -> io::Result<View> {
    let f32 = Figures::of("f32", Precision::F32)?;
    let bf16 = Figures::of("bf16", Precision::Bf16)?;
    let speed = |speed: f64| format!("{speed:.0} tokens per CPU-second");
    let work = |speed: f64| format!("{:.0} GFLOP per CPU-second", speed * WORK / 1e9);
    let share = |figures: &Figures| {
        let share = figures.speed * WORK / figures.limit * 100.0;
        format!("{share:.0} % of the {:.0} of products alone", figures.limit / 1e9)
    };
    let memory = format!("{:.2} GB", f32.peak / 1e9);
    let rows = [
        ["training, f32", &speed(f32.speed), "2215: 1.25 × torch.compile"],
        ["its matrix products", &work(f32.speed), &share(&f32)],
        ["training, products in bf16", &speed(bf16.speed), "3473: 1.2 × torch.compile"],
        ["its matrix products", &work(bf16.speed), &share(&bf16)],
        ["peak memory, f32", &memory, "0.5 GB"],
        ["first step, f32", &format!("{:.2} s", f32.first), "1.5 s"],
        ["first step, bf16", &format!("{:.2} s", bf16.first), "1.5 s"],
    ];
    let rows = rows.map(|row| row.map(str::to_owned).to_vec());
    Ok(View::Table(Table::new(&["what", "here", "target, or limit"], rows.into())))
}

/// What one precision gives.
struct Figures {
    /// Positions learnt from per second of the processor.
    speed: f64,
    /// Seconds that the first step took.
    first: f64,
    /// The most memory of any run so far, in bytes.
    peak: f64,
    /// Operations of products alone per second of the processor.
    limit: f64,
}

impl Figures {
    fn of(name: &str, precision: Precision) -> io::Result<Self> {
        let (short, _) = train(name, WARM)?;
        let (long, first) = train(name, WARM + STEPS)?;
        let seconds = (long - short) / f64::from(STEPS);
        let peak = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss() as f64 * 1024.0;
        Ok(Self { speed: TOKENS / seconds, first, peak, limit: limit(precision)? })
    }
}

/// Seconds of the processor that so many steps cost a program of their own, and of the clock that
/// the first of them took.
fn train(precision: &str, steps: u32) -> io::Result<(f64, f64)> {
    let script =
        SCRIPT.replace("PRECISION", &format!("{precision:?}")).replace("STEPS", &steps.to_string());
    let before = spent(UsageWho::RUSAGE_CHILDREN)?;
    let done = Command::new(std::env::current_exe()?)
        .args(["--no-init", "run", "--evaluate", &script])
        .env("RAYON_NUM_THREADS", "1")
        .output()?;
    let seconds = spent(UsageWho::RUSAGE_CHILDREN)? - before;
    let said = String::from_utf8_lossy(&done.stdout);
    match said.trim().parse::<f64>() {
        Ok(speed) => Ok((seconds, TOKENS / speed)),
        Err(_) => Err(io::Error::other(String::from_utf8_lossy(&done.stderr).into_owned())),
    }
}

/// Operations of matrix products alone, per second of the processor.
fn limit(precision: Precision) -> io::Result<f64> {
    let product = Product::new(precision);
    product.multiply();
    let (before, mut work) = (spent(UsageWho::RUSAGE_SELF)?, 0.0);
    loop {
        product.multiply();
        work += Product::WORK;
        let seconds = spent(UsageWho::RUSAGE_SELF)? - before;
        if seconds > LONG_ENOUGH {
            return Ok(work / seconds);
        }
    }
}

/// Seconds of the processor of this program, or of all that it has waited for.
fn spent(whose: UsageWho) -> io::Result<f64> {
    let usage = getrusage(whose)?;
    let times = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(times as f64 / 1e6)
}
