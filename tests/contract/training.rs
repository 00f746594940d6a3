//! Training against PyTorch, and what every way of training promises.

use super::{GO, apart, far, largest, numbers};
use burn::tensor::{Device, Tensor, TensorData};
use rwkv_engine::checkpoint::Checkpoint;
use rwkv_engine::data::Batch;
use rwkv_engine::rwkv::Rwkv;
use rwkv_engine::state::State;
use rwkv_engine::train::{
    Carry, Gradients, Pattern, Rule, Schedule, Settings, Shape, Start, Trainer, Tune,
};
use rwkv_engine::weights::{Source, Weights};
use std::collections::BTreeMap;
use std::path::Path;

const VERSIONS: [&str; 4] = ["v4", "v5_2", "v6", "v7"];

/// A small model and what PyTorch says of training it.
struct Golden {
    version: &'static str,
    file: Checkpoint,
    model: Rwkv,
    device: Device,
}

fn goldens() -> impl Iterator<Item = Golden> {
    VERSIONS.into_iter().map(|version| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/train");
        let file = Checkpoint::open(&folder.join(format!("{version}.safetensors"))).unwrap();
        let device = Device::flex();
        let model = Rwkv::load(&Weights::new(Source::Checkpoint(&file), &device)).unwrap();
        Golden { version, file, model, device }
    })
}

impl Golden {
    fn values(&self, name: &str) -> Vec<f32> {
        self.file.values(&format!("golden.{name}")).unwrap()
    }

    fn number(&self, name: &str) -> f32 {
        self.values(name)[0]
    }

    fn ids(&self, name: &str) -> Vec<u32> {
        self.values(name).iter().map(|id| *id as u32).collect()
    }

    /// Two rows of 32 targets.
    fn batch(&self) -> Batch {
        Batch::new(self.ids("tokens"), 33).unwrap()
    }

    fn empty(&self) -> State {
        self.model.state(1, &self.device)
    }

    fn trainer(&self, settings: Settings) -> Trainer {
        self.trainer_from(&self.empty(), settings)
    }

    fn trainer_from(&self, first: &State, settings: Settings) -> Trainer {
        Trainer::new(&self.model, first, &self.device, settings).unwrap()
    }

    fn gradients(&self, settings: Settings, batch: &Batch) -> (f64, Gradients) {
        self.trainer(settings).gradients(batch, &GO).unwrap()
    }
}

fn plain() -> Settings {
    Settings { l2wrap: 0.0, ..Settings::default() }
}

fn listed(gradients: Gradients) -> BTreeMap<String, Vec<f32>> {
    gradients.into_iter().map(|(name, x)| (name, numbers(x))).collect()
}

/// The largest difference of two sets of gradients, each as a share of its tensor's largest.
fn shares_apart(found: &BTreeMap<String, Vec<f32>>, expected: &BTreeMap<String, Vec<f32>>) -> f32 {
    assert!(found.keys().eq(expected.keys()));
    let share =
        |name: &String| far(&found[name], &expected[name]) / largest(&expected[name]).max(1e-9);
    found.keys().map(share).fold(0.0, f32::max)
}

#[test]
fn losses_and_all_gradients_equal_pytorch() {
    for golden in goldens() {
        let version = golden.version;
        let (loss, gradients) = golden.gradients(plain(), &golden.batch());
        assert!((loss as f32 - golden.number("loss")).abs() < 1e-5, "{version}: {loss}");
        let names = golden.file.names().filter_map(|name| name.strip_prefix("golden.grad."));
        let expected = names.map(|name| (name.to_string(), golden.values(&format!("grad.{name}"))));
        let (found, mut expected) = (listed(gradients), expected.collect::<BTreeMap<_, _>>());
        // PyTorch's first block of RWKV-7 has tensors that nothing reads.
        expected.retain(|name, values| found.contains_key(name) || largest(values) > 0.0);
        let share = shares_apart(&found, &expected);
        println!("{version}: gradients within {share:e} of their largest");
        assert!(share < 1e-3, "{version}: {share:e}");
    }
}

#[test]
fn the_pull_on_the_largest_logit_equals_pytorch() {
    for golden in goldens() {
        let settings = Settings { l2wrap: 1e-4, ..plain() };
        let (loss, gradients) = golden.gradients(settings, &golden.batch());
        assert!((loss as f32 - golden.number("loss")).abs() < 1e-5, "{}", golden.version);
        let with = listed(gradients);
        let without = listed(golden.gradients(plain(), &golden.batch()).1);
        let names = golden.file.names().filter_map(|n| n.strip_prefix("golden.grad_l2wrap."));
        for name in names {
            let expected = golden.values(&format!("grad_l2wrap.{name}"));
            // What the pull adds is small; so it is compared by itself.
            let added = |all: &[f32]| -> Vec<f32> {
                all.iter().zip(&without[name]).map(|(a, b)| a - b).collect()
            };
            let off = far(&added(&with[name]), &added(&expected)) / largest(&expected);
            assert!(off < 1e-4, "{}: {name} {off:e}", golden.version);
        }
    }
}

#[test]
fn masked_targets_equal_pytorch() {
    for golden in goldens() {
        let mask = golden.values("mask");
        let weights = mask.chunks(32).flat_map(|row| [&[1.0], row].concat()).collect();
        let batch = Batch::weighted(golden.ids("tokens"), weights, 33).unwrap();
        let (loss, gradients) = golden.gradients(plain(), &batch);
        assert!((loss as f32 - golden.number("loss_masked")).abs() < 1e-5, "{}", golden.version);
        let found = listed(gradients);
        let names = golden.file.names().filter_map(|n| n.strip_prefix("golden.grad_masked."));
        let count = names.inspect(|name| {
            let expected = golden.values(&format!("grad_masked.{name}"));
            let share = far(&found[*name], &expected) / largest(&expected);
            assert!(share < 1e-3, "{}: {name} {share:e}", golden.version);
        });
        assert!(count.count() > 0);
    }
}

#[test]
fn gradients_of_a_tuned_state_equal_pytorch() {
    for golden in goldens().skip(1) {
        let mut first = golden.empty();
        for (i, layer) in first.layers.iter_mut().enumerate() {
            let values = golden.values(&format!("time_state.{i}"));
            layer.wkv =
                Tensor::from_data(TensorData::new(values, layer.wkv.dims()), &golden.device);
        }
        let settings = Settings { tune: Tune::State, ..plain() };
        let mut trainer = golden.trainer_from(&first, settings);
        let (loss, gradients) = trainer.gradients(&golden.batch(), &GO).unwrap();
        assert!((loss as f32 - golden.number("state_loss")).abs() < 1e-5, "{}", golden.version);
        let found = listed(gradients);
        assert_eq!(found.len(), first.layers.len(), "only the state learns");
        for i in 0..first.layers.len() {
            let expected = golden.values(&format!("grad_time_state.{i}"));
            let share = far(&found[&format!("blocks.{i}.att.time_state")], &expected);
            let share = share / largest(&expected);
            assert!(share < 1e-3, "{}, layer {i}: {share:e}", golden.version);
        }
    }
}

#[test]
fn twenty_steps_of_adamw_equal_pytorch() {
    for golden in goldens() {
        let schedule =
            Schedule { shape: Shape::Cosine, lr_init: 2e-3, lr_final: 2e-4, warmup: 5, steps: 20 };
        let rule = Rule::AdamW { betas: [0.9, 0.99], eps: 1e-18, weight_decay: 0.1 };
        let settings = Settings { schedule, rule, ..Settings::default() };
        let mut trainer = golden.trainer(settings);
        let batches = golden.ids("batches");
        let [losses, norms, rates] =
            ["traj_loss", "traj_grad_norm", "traj_lr"].map(|name| golden.values(name));
        for step in 0..20 {
            let rows = batches.chunks(66).nth(step % 4).unwrap();
            let done = trainer.train_step(&Batch::new(rows.to_vec(), 33).unwrap(), &GO).unwrap();
            let off = (done.loss as f32 - losses[step]).abs();
            assert!(off < 1e-3, "{} step {step}: {off:e}", golden.version);
            assert!((done.lr as f32 - rates[step]).abs() < 1e-9, "{} step {step}", golden.version);
            let off = (done.grad_norm as f32 / norms[step] - 1.0).abs();
            assert!(off < 1e-3, "{} step {step}: norm {off:e}", golden.version);
            if step == 0 {
                let named =
                    trainer.rwkv().parameters().into_iter().map(|p| (p.name.clone(), p.values()));
                for (name, values) in named.collect::<BTreeMap<_, _>>() {
                    let Ok(expected) = golden.file.values(&format!("golden.after1.{name}")) else {
                        continue;
                    };
                    let off = far(&numbers(values), &expected);
                    assert!(off < 1e-5, "{}: {name} {off:e}", golden.version);
                }
            }
        }
    }
}

#[test]
fn chunks_with_a_true_gradient_equal_one_pass() {
    for golden in goldens() {
        let whole = golden.gradients(plain(), &golden.batch());
        let at =
            |carry, chunk| golden.gradients(Settings { carry, chunk, ..plain() }, &golden.batch());
        for chunk in [16, 5] {
            let (loss, gradients) = at(Carry::Grad, chunk);
            assert!((loss - whole.0).abs() < 1e-6, "{}: {loss}", golden.version);
            let (found, expected) = (listed(gradients), listed(whole.1.clone()));
            let share = shares_apart(&found, &expected);
            println!("{} in chunks of {chunk}: within {share:e}", golden.version);
            assert!(share < 1e-5, "{} in chunks of {chunk}: {share:e}", golden.version);
        }
        // Without the gradient the loss is the same, and the gradients are others.
        let (loss, gradients) = at(Carry::Detach, 16);
        assert!((loss - whole.0).abs() < 1e-6);
        assert!(shares_apart(&listed(gradients), &listed(whole.1.clone())) > 1e-3);
        // Without the state the loss is another.
        assert!((at(Carry::None, 16).0 - whole.0).abs() > 1e-4);
    }
}

#[test]
fn parts_of_the_rows_give_the_same_gradients() {
    for golden in goldens() {
        let whole = listed(golden.gradients(Settings::default(), &golden.batch()).1);
        let settings = Settings { accumulate: 2, recompute: true, ..Settings::default() };
        let parts = listed(golden.gradients(settings, &golden.batch()).1);
        let share = shares_apart(&parts, &whole);
        assert!(share < 1e-5, "{}: {share:e}", golden.version);
    }
}

#[test]
fn rows_that_go_on_start_from_what_was_left() {
    for golden in goldens() {
        let tokens = golden.ids("tokens");
        let rows = |from: usize, to: usize| -> Vec<u32> {
            tokens.chunks(33).flat_map(|row| &row[from..to]).copied().collect()
        };
        let at = |carry, then: Batch| {
            let schedule = Schedule { lr_init: 0.0, lr_final: 0.0, ..Schedule::default() };
            let rule = Rule::Sgd { momentum: 0.0, weight_decay: 0.0 };
            let mut trainer = golden.trainer(Settings { carry, schedule, rule, ..plain() });
            trainer.train_step(&Batch::new(rows(0, 17), 17).unwrap(), &GO).unwrap();
            trainer.train_step(&then, &GO).unwrap().loss
        };
        let rest = || Batch::new(rows(16, 33), 17).unwrap();
        let first = golden.gradients(plain(), &Batch::new(rows(0, 17), 17).unwrap()).0;
        let whole = golden.gradients(plain(), &golden.batch()).0;
        let second = at(Carry::Detach, rest().continuing());
        assert!((first + second - 2.0 * whole).abs() < 1e-5, "{}", golden.version);
        assert!((at(Carry::Detach, rest()) - second).abs() > 1e-4, "it must say that it goes on");
        assert!((at(Carry::None, rest().continuing()) - second).abs() > 1e-4);
        // Passed on, each row starts from what the other one left.
        let passed = at(Carry::Pass, rest());
        assert!((passed - second).abs() > 1e-4 && (passed - at(Carry::None, rest())).abs() > 1e-4);
    }
}

/// Numbers of every parameter, by name.
pub fn weights(rwkv: &Rwkv) -> BTreeMap<String, Vec<f32>> {
    rwkv.parameters().into_iter().map(|p| (p.name.clone(), numbers(p.values()))).collect()
}

#[test]
fn only_what_is_to_learn_learns() {
    for golden in goldens() {
        let freeze = vec![Pattern("emb".into()), Pattern("*.att.*".into())];
        let mut trainer = golden.trainer(Settings { freeze, ..Settings::default() });
        trainer.train_step(&golden.batch(), &GO).unwrap();
        let (before, after) = (weights(&golden.model), weights(&trainer.rwkv()));
        for (name, old) in before {
            let frozen = name.starts_with("emb") || name.contains(".att.");
            assert_eq!(old == after[&name], frozen, "{}: {name}", golden.version);
        }
        let nothing = Settings { freeze: vec![Pattern("*".into())], ..Settings::default() };
        assert!(Trainer::new(&golden.model, &golden.empty(), &golden.device, nothing).is_err());
        let unknown = Settings { freeze: vec![Pattern("att".into())], ..Settings::default() };
        let error = Trainer::new(&golden.model, &golden.empty(), &golden.device, unknown);
        assert!(error.err().unwrap().to_string().contains("`att` means no parameter"));
    }
}

#[test]
fn thin_matrices_learn_beside_frozen_ones_and_can_be_merged() {
    for golden in goldens() {
        let targets = vec![Pattern("*.att.*".into()), Pattern("*.ffn.*".into())];
        let tune = Tune::Lora { rank: 4, alpha: 8.0, targets };
        let lr = 0.01;
        let schedule =
            Schedule { shape: Shape::Constant, lr_init: lr, lr_final: lr, warmup: 0, steps: 10 };
        let settings = Settings { tune, schedule, ..Settings::default() };
        let mut trainer = golden.trainer(settings);
        let loss = |rwkv: &Rwkv| {
            let trainer = Trainer::new(rwkv, &golden.empty(), &golden.device, plain());
            trainer.unwrap().evaluate(&golden.batch(), &GO).unwrap()
        };
        // New ones change nothing.
        assert!((loss(&trainer.rwkv()) - loss(&golden.model)).abs() < 1e-6, "{}", golden.version);
        for _ in 0..10 {
            trainer.train_step(&golden.batch(), &GO).unwrap();
        }
        let (tuned, merged) = (trainer.rwkv(), rwkv_engine::train::merge(trainer.rwkv()));
        assert!(loss(&tuned) < 0.9 * loss(&golden.model), "{}: it learns", golden.version);
        assert!((loss(&tuned) - loss(&merged)).abs() < 1e-5, "{}", golden.version);
        let before = weights(&golden.model);
        let (beside, merged) = (weights(&tuned), weights(&merged));
        assert!(before.iter().all(|(name, old)| beside[name] == *old), "the base is frozen");
        assert!(merged.keys().eq(before.keys()), "nothing is left beside");
        assert!(merged["blocks.0.ffn.key.weight"] != before["blocks.0.ffn.key.weight"]);
    }
}

#[test]
fn a_first_state_learns_by_itself() {
    for golden in goldens().skip(1) {
        let lr = 0.1;
        let schedule =
            Schedule { shape: Shape::Constant, lr_init: lr, lr_final: lr, warmup: 0, steps: 20 };
        let settings = Settings { tune: Tune::State, schedule, ..Settings::default() };
        let mut trainer = golden.trainer(settings);
        let before = trainer.evaluate(&golden.batch(), &GO).unwrap();
        for _ in 0..20 {
            trainer.train_step(&golden.batch(), &GO).unwrap();
        }
        let after = trainer.evaluate(&golden.batch(), &GO).unwrap();
        assert!(after < before - 0.05, "{}: {before} to {after}", golden.version);
        assert_eq!(weights(&golden.model), weights(&trainer.rwkv()));
    }
    let v4 = goldens().next().unwrap();
    let settings = Settings { tune: Tune::State, ..Settings::default() };
    assert!(Trainer::new(&v4.model, &v4.empty(), &v4.device, settings).is_err());
}

#[test]
fn a_loss_that_is_not_finite_changes_nothing() {
    for golden in goldens() {
        let schedule =
            Schedule { shape: Shape::Constant, lr_init: 1e30, warmup: 0, ..Schedule::default() };
        let mut trainer = golden.trainer(Settings { schedule, ..Settings::default() });
        trainer.train_step(&golden.batch(), &GO).unwrap(); // and now the weights are hopeless
        let before = weights(&trainer.rwkv());
        let error = trainer.train_step(&golden.batch(), &GO).unwrap_err().to_string();
        assert!(error.contains("of step 2 is") && error.contains("unchanged"), "{error}");
        assert_eq!(before, weights(&trainer.rwkv()), "{}", golden.version);
        assert_eq!(trainer.step(), 1);
    }
}

#[test]
fn a_first_step_far_away_is_the_same_everywhere() {
    // Where the rows start from is chance, but the same chance for the same seed.
    let golden = goldens().last().unwrap();
    let at = |seed| {
        let start = Start::Noise { strength: 1.0 };
        let mut trainer = golden.trainer(Settings { start, seed, ..plain() });
        let step = |_| trainer.train_step(&golden.batch(), &GO).unwrap().loss as f32;
        (0..3).map(step).collect::<Vec<_>>()
    };
    assert_eq!(at(1), at(1));
    assert!(apart(&at(1), &at(2)) > 1e-6);
    assert_eq!(at(1)[0], at(2)[0], "noise has no size before the first step");
}
