//! The state while training: what a row starts from, what passes on, and gradients through it.

use burn::tensor::{Device, Gradients, Tensor, TensorData};

use super::graph::lift;
use super::settings::{Carry, Settings, Start};
use crate::random::Random;
use crate::state::{LayerState, State};

/// How much of the old estimate of how large final states are stays at every step.
const INERTIA: f32 = 0.9;

/// What is remembered between the steps.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// What every row of the last batch left.
    pub carried: Option<State>,
    /// Root mean square of the matrices of final states, `[layer][head]`, averaged over the steps.
    pub sizes: Vec<Vec<f32>>,
    /// How often chance was asked, so that it goes on where it stood.
    pub draws: u64,
}

impl Memory {
    /// What the rows of the next batch start from: `first` is the first state of each row,
    /// `continues` whether the rows go on where those of the last batch ended.
    pub fn begin(&mut self, first: &State, continues: bool, settings: &Settings) -> State {
        let carried = self.carried.take().filter(|state| state.texts() == first.texts());
        match (settings.carry, carried) {
            (Carry::Detach | Carry::Grad | Carry::Pass, Some(state)) if continues => state,
            (Carry::Pass, Some(state)) => self.passed(&state, first, settings),
            _ => self.noisy(first.clone(), settings),
        }
    }

    /// Every row from what the row before it left, but a few from the first state.
    fn passed(&mut self, left: &State, first: &State, settings: &Settings) -> State {
        let rows = left.texts();
        let mut random = self.chance(settings.seed);
        let restarts = (0..rows).map(|_| f64::from(random.unit()) < settings.restart);
        let restarts: Vec<bool> = restarts.collect();
        let choose = |row: usize| {
            let (state, from) =
                if restarts[row] { (first, row) } else { (left, (row + rows - 1) % rows) };
            state.of_text(from)
        };
        State::joined(&(0..rows).map(choose).collect::<Vec<_>>())
    }

    /// The state with noise on its matrices, where noise was asked for.
    fn noisy(&mut self, mut state: State, settings: &Settings) -> State {
        let Start::Noise { strength } = settings.start else { return state };
        let mut random = self.chance(settings.seed);
        for (layer, sizes) in state.layers.iter_mut().zip(&self.sizes) {
            let [b, h, n, m] = layer.wkv.dims();
            let noise = (0..b * h * n * m).map(|i| sizes[i / (n * m) % h] * random.normal());
            let noise = TensorData::new(noise.collect(), [b, h, n, m]);
            let noise = Tensor::<4>::from_data(noise, &layer.wkv.device());
            layer.wkv = layer.wkv.clone() + noise * strength;
        }
        state
    }

    fn chance(&mut self, seed: u64) -> Random {
        self.draws += 1;
        Random::new(seed ^ self.draws.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// Keeps what the rows left, and how large it is, as far as the settings ask for it.
    pub fn end(&mut self, left: State, settings: &Settings) {
        if matches!(settings.start, Start::Noise { .. }) {
            let found: Vec<_> = left.layers.iter().map(sizes).collect();
            let known = std::mem::take(&mut self.sizes);
            let mix = |(layer, new): (usize, f32), old: Option<&Vec<f32>>| {
                old.map_or(new, |old| INERTIA * old[layer] + (1.0 - INERTIA) * new)
            };
            let layers = found.into_iter().enumerate().map(|(layer, found)| {
                let old = known.get(layer);
                found.into_iter().enumerate().map(|new| mix(new, old)).collect()
            });
            self.sizes = layers.collect();
        }
        self.carried = (settings.carry != Carry::None).then_some(left);
    }
}

/// Root mean square of each head's matrices over all rows.
fn sizes(layer: &LayerState) -> Vec<f32> {
    let [b, h, n, m] = layer.wkv.dims();
    let squares = layer.wkv.clone().square().sum_dim(3).sum_dim(2).sum_dim(0);
    let squares = squares.reshape([h]).into_data().try_into_vec::<f32>();
    let squares = squares.expect("states are f32");
    squares.into_iter().map(|sum| (sum / (b * n * m) as f32).sqrt()).collect()
}

/// The state on the graph of `device`; with `follow` its own gradient can be asked for.
pub fn lifted(state: &State, device: &Device, follow: bool) -> State {
    fn of<const D: usize>(x: &Tensor<D>, device: &Device, follow: bool) -> Tensor<D> {
        let x = lift(x.clone(), device);
        if follow { x.require_grad() } else { x }
    }
    let layer = |layer: &LayerState| LayerState {
        att_x: of(&layer.att_x, device, follow),
        ffn_x: of(&layer.ffn_x, device, follow),
        wkv: of(&layer.wkv, device, follow),
        tiny: layer.tiny.as_ref().map(|tiny| of(tiny, device, follow)),
    };
    State::new(state.layers.iter().map(layer).collect())
}

/// The state off the gradient graph.
pub fn lowered(state: State) -> State {
    let layer = |layer: LayerState| LayerState {
        att_x: layer.att_x.inner(),
        ffn_x: layer.ffn_x.inner(),
        wkv: layer.wkv.inner(),
        tiny: layer.tiny.map(Tensor::inner),
    };
    State::new(state.layers.into_iter().map(layer).collect())
}

/// The gradients for a state that [`lifted`] made, in its shape.
pub fn gradient(state: &State, gradients: &Gradients) -> State {
    fn of<const D: usize>(x: &Tensor<D>, gradients: &Gradients) -> Tensor<D> {
        // What nothing depends on has none.
        x.grad(gradients).unwrap_or_else(|| x.clone().inner().zeros_like())
    }
    let layer = |layer: &LayerState| LayerState {
        att_x: of(&layer.att_x, gradients),
        ffn_x: of(&layer.ffn_x, gradients),
        wkv: of(&layer.wkv, gradients),
        tiny: layer.tiny.as_ref().map(|tiny| of(tiny, gradients)),
    };
    State::new(state.layers.iter().map(layer).collect())
}

/// A number whose gradient for `state` is `pull`.
pub fn pulled(state: &State, pull: &State, device: &Device) -> Tensor<1> {
    fn of<const D: usize>(x: &Tensor<D>, pull: &Tensor<D>) -> Tensor<1> {
        (x.clone() * pull.clone()).sum()
    }
    let pull = lifted(pull, device, false);
    let mut sum = Tensor::zeros([1], device);
    for (layer, pull) in state.layers.iter().zip(&pull.layers) {
        sum = sum + of(&layer.att_x, &pull.att_x) + of(&layer.ffn_x, &pull.ffn_x);
        sum = sum + of(&layer.wkv, &pull.wkv);
        if let (Some(x), Some(pull)) = (&layer.tiny, &pull.tiny) {
            sum = sum + of(x, pull);
        }
    }
    sum
}
