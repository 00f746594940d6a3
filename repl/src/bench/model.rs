//! How quick a model is, beside what this machine can do at most.

use rwkv_scripting::{Measured, View, ways, write_random};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::available_parallelism;
use std::time::Instant;

/// How often the program is started.
const STARTS: usize = 3;

/// What a program does that only reads one token.
const ONE_TOKEN: &str = "let m = load_model(args()[0]); m.forward_rnn(0, m.new_state());";

/// Figures of a model, each way of keeping it in a process of its own. Without a model one of random
/// numbers is made, of this version and size, and removed again.
///
/// # Errors
/// In one sentence: what could not be made, loaded or started.
pub fn model(model: Option<&str>, version: &str, size: &str, json: bool) -> Result<View, String> {
    let made = match model {
        Some(_) => None,
        None => Some(Made::new(version, size)?),
    };
    let path = match (&made, model) {
        (Some(made), _) => made.0.display().to_string(),
        (None, model) => model.unwrap_or_default().to_string(),
    };
    let name = model.map_or(format!("RWKV-{version} {size}, random"), str::to_string);
    let threads = available_parallelism().map_or(1, usize::from);
    let mut report = Measured::new(name, threads);
    for way in ways() {
        let told = child(&["bench", &path, "--way", way])?;
        report.add(way, &String::from_utf8_lossy(&told.stdout))?;
    }
    for _ in 0..STARTS {
        let start = Instant::now();
        child(&["run", "--evaluate", ONE_TOKEN, &path])?;
        report.started(start.elapsed().as_secs_f64());
    }
    report.look_again();
    Ok(report.view(json))
}

/// Runs this program.
fn child(words: &[&str]) -> Result<Output, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let done = Command::new(program).arg("--no-init").args(words).output();
    let done = done.map_err(|error| format!("the program does not start: {error}."))?;
    match done.status.success() {
        true => Ok(done),
        false => Err(String::from_utf8_lossy(&done.stderr).trim().replacen("error: ", "", 1)),
    }
}

/// A file that is removed when it is not used any more.
struct Made(PathBuf);

impl Made {
    fn new(version: &str, size: &str) -> Result<Self, String> {
        let name = format!("rwkv-bench-{}.safetensors", std::process::id());
        let made = Self(std::env::temp_dir().join(name));
        let path: &Path = &made.0;
        write_random(path, version, size)?;
        Ok(made)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // A file that is left behind is no reason to fail.
        let _ = std::fs::remove_file(&self.0);
    }
}
