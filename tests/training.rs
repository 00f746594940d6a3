//! A training that is stopped at any moment goes on as if nothing had happened.

use crate::terminal::{Folder, RWKV};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Trains from where it stands, keeps every step, and tells every loss to the last digit.
const SCRIPT: &str = r#"
seed(5);
let model = init_model("rwkv7", #{ n_layer: 2, n_embd: 32, head_size: 16, ranks: [4, 4, 4, 4] });
let text = "";
for i in 0..400 { text += `${i * 7919 % 1000} `; }
let data = data::tokens(model.encode(text), #{ ctx_len: 16, seed: 3 });
let options = #{ carry: "pass", init_state: "noise", schedule: optim::wsd(#{ lr_init: 1e-2, steps: 120 }) };
let trainer = if file_exists("run/trainer.safetensors") { load_trainer("run") } else { new_trainer(model, options) };
trainer.resume(data);
while trainer.step < 120 {
    let m = trainer.train_step(data);
    trainer.save("run");
    print(`${m.step} ${m.loss} ${m.grad_norm}`);
}
print("done");
"#;

/// What a run said: the losses by step, and whether it came to its end.
type Said = (BTreeMap<u32, String>, bool);

/// Runs the script, which ends by itself or gets a signal after a while.
fn run(folder: &Path, stop: Option<(Duration, &str)>) -> Said {
    let mut child = Command::new(RWKV)
        .args(["run", "train.rhai"])
        .current_dir(folder)
        .env("RWKV_HOME", folder)
        .env("RAYON_NUM_THREADS", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    if let Some((after, signal)) = stop {
        while start.elapsed() < after && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        // It may have ended by now.
        let _ = Command::new("kill").args([signal, &child.id().to_string()]).output();
    }
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    // A line that was being written when the program was killed may be cut.
    let whole = said.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let told = whole.lines().filter_map(|line| line.split_once(' '));
    let losses = told.filter_map(|(step, rest)| Some((step.parse().ok()?, rest.to_string())));
    (losses.collect(), whole.ends_with("done"))
}

#[test]
fn fifty_stops_at_any_moment_lose_nothing() {
    let folder = Folder::new();
    fs::write(folder.0.join("train.rhai"), SCRIPT).unwrap();
    let start = Instant::now();
    let (expected, done) = run(&folder.0, None);
    let whole = start.elapsed(); // as busy as the machine is
    assert!(done && expected.len() == 120, "{expected:?}");
    let forget = || fs::remove_dir_all(folder.0.join("run")).unwrap();
    forget();
    let (mut stops, mut steps, mut chance) = (0, 0, 7);
    while stops < 50 {
        // Another moment each time, from before the first line of the script to many steps later.
        chance = (chance * 37 + 11) % 131;
        let wait = whole * chance / 400;
        let signal = if stops % 2 == 0 { "-KILL" } else { "-INT" };
        let (losses, done) = run(&folder.0, Some((wait, signal)));
        for (step, loss) in &losses {
            assert_eq!(loss, &expected[step], "step {step} after {stops} stops");
        }
        steps += losses.len();
        if done {
            forget();
        } else {
            stops += 1;
        }
    }
    assert!(steps > 50, "it never came to train: {steps} steps");
    let (losses, done) = run(&folder.0, None);
    assert!(done && losses.iter().all(|(step, loss)| loss == &expected[step]));
    let left = fs::read_dir(folder.0.join("run")).unwrap().count();
    assert!(left <= 2, "half-written files are left: {left}");
}
