//! What every version promises, whatever its equations.

mod activations;
mod keeping;
mod training;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use rwkv_engine::checkpoint::{self, Checkpoint, Dtype};
use rwkv_engine::data::Batch;
use rwkv_engine::rwkv::{Parameter, Rwkv};
use rwkv_engine::state::{LayerState, Origin, State};
use rwkv_engine::train::{Schedule, Settings, Shape, Trainer};
use rwkv_engine::weights::{Named, Source, Weights};

/// Nobody wants to stop.
static GO: AtomicBool = AtomicBool::new(false);

const VERSIONS: [&str; 8] = ["v4", "v4a", "v5_0", "v5_1", "v5_2", "v6", "v7", "v7a"];

/// A tiny model and what numpy says of it; `golden/README.md` tells what there is.
struct Golden {
    version: &'static str,
    file: Checkpoint,
    model: Rwkv,
    device: Device,
}

/// Every version on the processor.
fn goldens() -> impl Iterator<Item = Golden> {
    VERSIONS.into_iter().map(Golden::open)
}

impl Golden {
    fn open(version: &'static str) -> Self {
        Self::on(version, Device::flex())
    }

    fn on(version: &'static str, device: Device) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
        let file = Checkpoint::open(&folder.join(format!("{version}.safetensors"))).unwrap();
        let model = Rwkv::load(&Weights::new(Source::Checkpoint(&file), &device)).unwrap();
        Self { version, file, model, device }
    }

    fn values(&self, name: &str) -> Vec<f32> {
        self.file.values(&format!("golden.{name}")).unwrap()
    }

    fn ids(&self, name: &str) -> Vec<i64> {
        self.values(name).iter().map(|id| *id as i64).collect()
    }

    fn tokens(&self) -> Vec<i64> {
        self.ids("tokens")
    }

    fn empty(&self) -> State {
        self.model.state(1, &self.device)
    }

    /// A state of the file, `golden.{name}.{layer}.att_x` and so on, for a batch of one.
    fn state(&self, name: &str) -> State {
        let part = |layer: usize, part: &str| {
            let name = format!("{name}.{layer}.{part}");
            let shape = self.file.shape(&format!("golden.{name}")).unwrap();
            TensorData::new(self.values(&name), [&[1], shape].concat())
        };
        let layer = |i: usize| LayerState {
            att_x: Tensor::from_data(part(i, "att_x"), &self.device),
            ffn_x: Tensor::from_data(part(i, "ffn_x"), &self.device),
            wkv: Tensor::from_data(part(i, "wkv"), &self.device),
            tiny: self.empty().layers[i]
                .tiny
                .as_ref()
                .map(|_| Tensor::from_data(part(i, "tiny"), &self.device)),
        };
        State::new((0..self.empty().layers.len()).map(layer).collect())
    }

    /// Logits after every token, `[B, T, V]`, of rows of tokens.
    fn forward(&self, rows: &[&[i64]], state: &mut State) -> Tensor<3> {
        self.model.forward(ids(rows, &self.device), state)
    }

    /// Logits of the tokens, fed in the given parts one after another.
    fn feed<'a>(&self, parts: impl Iterator<Item = &'a [i64]>, state: &mut State) -> Vec<f32> {
        parts.flat_map(|part| numbers(self.forward(&[part], state))).collect()
    }

    /// A trainer of the model, and its text as the one batch.
    fn trainer(&self, settings: Settings) -> (Trainer, Batch) {
        let tokens: Vec<u32> = self.tokens().iter().map(|id| *id as u32).collect();
        let width = tokens.len();
        let batch = Batch::new(tokens, width).unwrap();
        (Trainer::new(&self.model, &self.empty(), &self.device, settings).unwrap(), batch)
    }
}

fn ids(rows: &[&[i64]], device: &Device) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(rows.concat(), [rows.len(), rows[0].len()]), device)
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().unwrap()
}

/// All numbers of a state, layer by layer.
fn remembered(state: &State) -> Vec<f32> {
    let layers = state.layers.iter().cloned();
    let parts = |l: LayerState| {
        let tiny = l.tiny.map(numbers).unwrap_or_default();
        [numbers(l.att_x), numbers(l.ffn_x), numbers(l.wkv), tiny].concat()
    };
    layers.flat_map(parts).collect()
}

/// The largest difference of two lists of numbers.
fn far(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().chain(b).all(|x| x.is_finite()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// How far two lists of numbers are apart, as a share of the largest number expected.
fn apart(found: &[f32], expected: &[f32]) -> f32 {
    far(found, expected) / largest(expected).max(1.0)
}

fn largest(a: &[f32]) -> f32 {
    a.iter().map(|x| x.abs()).fold(0.0, f32::max)
}

/// Where a test may write a file of its own; nothing is there yet.
fn fresh_path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("rwkv-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

#[test]
fn logits_and_state_equal_the_reference() {
    for golden in goldens() {
        let mut state = golden.empty();
        let logits = numbers(golden.forward(&[&golden.tokens()], &mut state));
        let version = golden.version;
        let (l, s) = (
            apart(&logits, &golden.values("logits")),
            apart(&remembered(&state), &remembered(&golden.state("state"))),
        );
        println!("{version}: logits within {l:e}, state within {s:e}");
        assert!(l < 1e-5 && s < 1e-5, "{version}: {l:e} {s:e}");
    }
}

#[test]
fn a_text_continues_from_any_state() {
    for golden in goldens() {
        let logits = numbers(golden.forward(&[&golden.tokens()], &mut golden.state("init")));
        let l = apart(&logits, &golden.values("init_logits"));
        println!("{}: within {l:e}", golden.version);
        assert!(l < 1e-5, "{}: {l:e}", golden.version);
    }
}

#[test]
fn one_pass_equals_token_by_token_equals_chunks() {
    for golden in goldens() {
        let tokens = golden.tokens();
        let [mut one, mut many, mut some] = [golden.empty(), golden.empty(), golden.empty()];
        let one_pass = golden.feed([&tokens[..]].into_iter(), &mut one);
        let token_by_token = golden.feed(tokens.chunks(1), &mut many);
        let uneven = [&tokens[..1], &tokens[1..18], &tokens[18..]];
        let chunks = golden.feed(uneven.into_iter(), &mut some);
        for (logits, state) in [(token_by_token, many), (chunks, some)] {
            let (l, s) = (apart(&one_pass, &logits), apart(&remembered(&one), &remembered(&state)));
            println!("{}: logits within {l:e}, state within {s:e}", golden.version);
            assert!(l < 1e-5 && s < 1e-5, "{}: {l:e} {s:e}", golden.version);
        }
    }
}

#[test]
fn rows_of_a_batch_do_not_touch() {
    for golden in goldens() {
        let forwards = golden.tokens();
        let backwards: Vec<i64> = forwards.iter().rev().copied().collect();
        let mut both = golden.model.state(2, &golden.device);
        let logits = golden.forward(&[&forwards, &backwards], &mut both);
        for (row, tokens) in [forwards, backwards].iter().enumerate() {
            let mut alone = golden.empty();
            let expected = numbers(golden.forward(&[tokens], &mut alone));
            let l = apart(&numbers(logits.clone().narrow(0, row, 1)), &expected);
            let s = apart(&remembered(&text(&both, row)), &remembered(&alone));
            assert!(l < 1e-5 && s < 1e-5, "{}, row {row}: {l:e} {s:e}", golden.version);
        }
    }
}

/// What is remembered of one text of a batch.
fn text(state: &State, row: usize) -> State {
    let layer = |l: &LayerState| LayerState {
        att_x: l.att_x.clone().narrow(0, row, 1),
        ffn_x: l.ffn_x.clone().narrow(0, row, 1),
        wkv: l.wkv.clone().narrow(0, row, 1),
        tiny: l.tiny.clone().map(|tiny| tiny.narrow(0, row, 1)),
    };
    State::new(state.layers.iter().map(layer).collect())
}

#[test]
fn save_load_continue_equals_continue() {
    for golden in goldens() {
        let (tokens, mut state) = (golden.tokens(), golden.empty());
        golden.forward(&[&tokens[..9]], &mut state);
        let path = fresh_path(&format!("{}.state", golden.version));
        let origin = Origin { version: golden.version.into(), ..Origin::default() };
        state.save(&path, &origin).unwrap();
        let (mut loaded, from) = State::load(&path, &golden.device).unwrap();
        std::fs::remove_file(&path).unwrap();

        assert_eq!(from, origin);
        assert_eq!(remembered(&loaded), remembered(&state), "{}", golden.version);
        let continued = numbers(golden.forward(&[&tokens[9..]], &mut state));
        let resumed = numbers(golden.forward(&[&tokens[9..]], &mut loaded));
        assert_eq!(resumed, continued, "{}", golden.version);
    }
}

#[test]
fn names_saved_are_names_loaded() {
    for golden in goldens() {
        let loaded = golden.file.names().filter(|name| !name.starts_with("golden."));
        let loaded: Vec<&str> = loaded.collect();
        let tensors: Vec<_> = golden.model.parameters().into_iter().map(named).collect();
        let path = fresh_path(&format!("{}.safetensors", golden.version));
        checkpoint::save(&path, &tensors, Dtype::F32, &BTreeMap::new()).unwrap();
        let saved = Checkpoint::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();

        assert_eq!(saved.names().collect::<Vec<_>>(), loaded, "{}", golden.version);
        for name in loaded {
            assert_eq!(saved.shape(name), golden.file.shape(name), "{name}");
            assert_eq!(saved.values(name).unwrap(), golden.file.values(name).unwrap(), "{name}");
        }
    }
}

fn named(parameter: Parameter) -> (String, Vec<usize>, Vec<f32>) {
    (parameter.name.clone(), parameter.shape.clone(), numbers(parameter.values()))
}

#[test]
fn loss_and_gradients_equal_the_reference() {
    for golden in goldens() {
        let version = golden.version;
        let settings = Settings { l2wrap: 0.0, ..Settings::default() };
        let (mut trainer, batch) = golden.trainer(settings);
        let (loss, gradients) = trainer.gradients(&batch, &GO).unwrap();
        let l = far(&[loss as f32], &golden.values("loss"));
        assert!(l < 1e-5, "{version}: loss off by {l:e}");

        let gradients = gradients.into_iter().map(|(name, x)| (name, numbers(x)));
        let gradients: Vec<_> = gradients.collect();
        assert_eq!(gradients.len(), golden.model.parameters().len(), "{version}");
        let mut worst = 0f32;
        for (name, gradient) in gradients {
            let expected = golden.values(&format!("grad.{name}"));
            let share = far(&gradient, &expected) / largest(&expected);
            assert!(share < 1e-3, "{version}: gradient of {name} off by {share:e}");
            worst = worst.max(share);
        }
        println!("{version}: loss within {l:e}, gradients within {worst:e} of their largest");
    }
}

/// The gradient of the mean cross-entropy for the matrices of the state that a text starts from.
fn state_gradients(model: &Rwkv, tokens: &[i64], mut state: State) -> Vec<Vec<f32>> {
    let follow = |layer: &mut LayerState| {
        layer.wkv = layer.wkv.clone().require_grad();
        layer.wkv.clone()
    };
    let first: Vec<_> = state.layers.iter_mut().map(follow).collect();
    let device = first[0].device();
    let logits = model.forward(ids(&[&tokens[..tokens.len() - 1]], &device), &mut state);
    let targets: Tensor<3, Int> = ids(&[&tokens[1..]], &device).unsqueeze_dim(2);
    let gradients = (-log_softmax(logits, 2).gather(2, targets).mean()).backward();
    first.iter().map(|wkv| numbers(wkv.grad(&gradients).unwrap())).collect()
}

#[test]
fn gradients_of_the_first_state_equal_the_reference() {
    for golden in VERSIONS.map(|version| Golden::on(version, Device::flex().autodiff())) {
        let found = state_gradients(&golden.model, &golden.tokens(), golden.state("init"));
        for (layer, found) in found.iter().enumerate() {
            let expected = golden.values(&format!("init_grad.{layer}.wkv"));
            let share = far(found, &expected) / largest(&expected);
            println!("{}, layer {layer}: within {share:e} of the largest", golden.version);
            assert!(share < 1e-3, "{}, layer {layer}: {share:e}", golden.version);
        }
    }
}

/// Tensors of time-mix with an axis of heads or channels, and whether that axis is the last one.
const ATTENTION: [(&str, bool); 11] = [
    ("receptance.weight", false),
    ("key.weight", false),
    ("value.weight", false),
    ("gate.weight", false),
    ("ln_x.weight", false),
    ("ln_x.bias", false),
    ("time_first", false),
    ("time_faaaa", false),
    ("time_decay", false),
    ("time_decay_w2", true),
    ("output.weight", true),
];

/// A tensor with only the first half along the axis that `last` chooses; the first of more than one
/// is the other.
fn half((shape, values): (Vec<usize>, Vec<f32>), last: bool) -> (Vec<usize>, Vec<f32>) {
    let first = shape.iter().position(|&n| n > 1).unwrap_or(0);
    let axis = if last { shape.len() - 1 } else { first };
    let inner: usize = shape[axis..].iter().product();
    let kept = values.chunks(inner).flat_map(|part| part[..inner / 2].to_vec()).collect();
    let mut shape = shape;
    shape[axis] /= 2;
    (shape, kept)
}

#[test]
fn time_mix_may_have_fewer_channels_than_the_rest() {
    for golden in ["v4", "v5_0", "v5_1", "v5_2", "v6"].map(Golden::open) {
        let parameters = golden.model.parameters().into_iter().map(named);
        let (mut deaf, mut narrow) = (Named::new(), Named::new());
        for (name, shape, mut values) in parameters {
            let piece = name.split_once(".att.").map_or("", |(_, piece)| piece);
            let found = ATTENTION.iter().find(|(known, _)| *known == piece);
            let tensor = (shape.clone(), values.clone());
            narrow.insert(
                name.clone(),
                found.map_or(tensor.clone(), |(_, last)| half(tensor, *last)),
            );
            if piece == "output.weight" {
                // Nobody hears the second half of the channels.
                values.chunks_mut(shape[1]).for_each(|row| row[shape[1] / 2..].fill(0.0));
            }
            deaf.insert(name, (shape, values));
        }
        let read = |named: &Named| {
            let model = Rwkv::load(&Weights::new(Source::Made(named), &golden.device)).unwrap();
            let mut state = model.state(1, &golden.device);
            numbers(model.forward(ids(&[&golden.tokens()], &golden.device), &mut state))
        };
        let far = apart(&read(&narrow), &read(&deaf));
        assert!(far < 1e-6, "{}: {far:e}", golden.version);
    }
}

#[test]
fn it_learns() {
    for golden in goldens() {
        let lr = 0.02;
        let schedule =
            Schedule { shape: Shape::Constant, lr_init: lr, lr_final: lr, warmup: 0, steps: 10 };
        let (mut trainer, batch) = golden.trainer(Settings { schedule, ..Settings::default() });
        let steps = (0..10).map(|_| trainer.train_step(&batch, &GO).unwrap().loss);
        let losses: Vec<f64> = steps.collect();
        let after = trainer.evaluate(&batch, &GO).unwrap();
        println!("{}: {losses:.3?}, then {after:.3}", golden.version);
        assert!(after < 0.8 * losses[0], "{}: {losses:?}", golden.version);
    }
}

#[test]
fn greedy_tokens_equal_the_reference() {
    for golden in goldens() {
        let mut state = golden.empty();
        let mut logits = golden.feed([&golden.tokens()[..]].into_iter(), &mut state);
        let mut chosen = vec![];
        for _ in 0..8 {
            let last = &logits[logits.len() - golden.model.dims()[0]..];
            let best = (0..last.len()).max_by(|&a, &b| last[a].total_cmp(&last[b])).unwrap();
            chosen.push(best as i64);
            logits = numbers(golden.forward(&[&[best as i64]], &mut state));
        }
        assert_eq!(chosen, golden.ids("greedy"), "{}", golden.version);
    }
}
