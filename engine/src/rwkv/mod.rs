//! RWKV language models: one version, one file; here is what they have in common.

mod detect;
mod fresh;
mod rows;
mod tap;
pub mod v4;
pub mod v4a;
pub mod v5;
pub mod v6;
pub mod v7;
pub mod v7a;

pub use detect::{Version, detect, tuned_for};
pub use fresh::{Fresh, Sizes};
pub use rows::{Rows, Scan, Way};
pub use tap::{Activation, Look, Seen, Tap};

use anyhow::{Context, Result};
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor};

use crate::layers::{Embedding, Linear, Norm};
use crate::state::State;
use crate::weights::Weights;

/// A language model of any version.
#[derive(Module, Debug)]
pub enum Rwkv {
    /// RWKV-4 "Dove".
    V4(v4::Rwkv4),
    /// RWKV-4a, with tiny attention.
    V4a(v4a::Rwkv4a),
    /// RWKV-5 "Eagle": 5.0, 5.1 or 5.2.
    V5(v5::Rwkv5),
    /// RWKV-6 "Finch".
    V6(v6::Rwkv6),
    /// RWKV-7 "Goose".
    V7(v7::Rwkv7),
    /// RWKV-7a, with DeepEmbed.
    V7a(v7a::Rwkv7a),
}

impl Rwkv {
    /// Builds the version that the tensor names speak of.
    ///
    /// # Errors
    /// When the names speak of no version known here, and when a tensor is missing or misshapen.
    pub fn load(weights: &Weights) -> Result<Self> {
        let version = detect(weights);
        Ok(match version.with_context(|| format!("{} cannot be loaded", weights.origin()))? {
            Version::V4 => Self::V4(v4::Rwkv4::load(weights)?),
            Version::V4a => Self::V4a(v4a::Rwkv4a::load(weights)?),
            Version::V50 | Version::V51 | Version::V52 => Self::V5(v5::Rwkv5::load(weights)?),
            Version::V6 => Self::V6(v6::Rwkv6::load(weights)?),
            Version::V7 => Self::V7(v7::Rwkv7::load(weights)?),
            Version::V7a => Self::V7a(v7a::Rwkv7a::load(weights)?),
        })
    }

    /// Logits of every position, `[B, T]` → `[B, T, V]`; `state` moves on by `T` tokens.
    pub fn forward(&self, tokens: Tensor<2, Int>, state: &mut State) -> Tensor<3> {
        self.logits(self.hidden(tokens, state))
    }

    /// What the output head reads, `[B, T]` → `[B, T, C]`; `state` moves on by `T` tokens.
    pub fn hidden(&self, tokens: Tensor<2, Int>, state: &mut State) -> Tensor<3> {
        self.hidden_seen(tokens, state, Tap::none())
    }

    /// [`Rwkv::hidden`] while `tap` sees, and may replace, what happens inside the blocks.
    pub fn hidden_seen(&self, tokens: Tensor<2, Int>, state: &mut State, tap: Tap) -> Tensor<3> {
        let x = self.embed(tokens.clone());
        self.read(Rows { x, tokens, scan: Scan::default() }, state, tap)
    }

    /// The embeddings of tokens, before the first norm, `[B, T]` → `[B, T, C]`.
    pub fn embed(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        self.emb().forward(tokens)
    }

    /// Whether the embedding of a token, which is below `V`, has numbers only: tables that stay in
    /// their file are not looked through when they are loaded.
    pub fn embeds(&self, token: u32) -> bool {
        let token = token as usize;
        let beside = if let Self::V7a(m) = self { m.embeds(token) } else { true };
        beside && self.emb().has_numbers(token)
    }

    fn emb(&self) -> &Embedding {
        match self {
            Self::V4(m) => m.emb(),
            Self::V4a(m) => m.emb(),
            Self::V5(m) => m.emb(),
            Self::V6(m) => m.emb(),
            Self::V7(m) => m.emb(),
            Self::V7a(m) => m.emb(),
        }
    }

    /// [`Rwkv::hidden_seen`] of rows that need not come from tokens. Only RWKV-5 and 6 look at a
    /// picture in another order than forwards.
    pub fn read(&self, rows: Rows, state: &mut State, tap: Tap) -> Tensor<3> {
        match self {
            Self::V4(m) => m.hidden(rows, state, tap),
            Self::V4a(m) => m.hidden(rows, state, tap),
            Self::V5(m) => m.hidden(rows, state, tap),
            Self::V6(m) => m.hidden(rows, state, tap),
            Self::V7(m) => m.hidden(rows, state, tap),
            Self::V7a(m) => m.hidden(rows, state, tap),
        }
    }

    /// The output head alone, `[B, T, C]` → `[B, T, V]`: only as many positions as are asked for.
    pub fn logits(&self, hidden: Tensor<3>) -> Tensor<3> {
        let (ln_out, head) = self.top();
        head.forward(ln_out.forward(hidden))
    }

    /// Cross-entropy `[1]` of what the output head makes of `hidden` `[B, T, C]`, for targets and
    /// their shares `[B·T]`; its gradient has L2Wrap in it. See [`rwkv_kernels::head_loss`].
    pub fn loss(
        &self,
        hidden: Tensor<3>,
        targets: Tensor<1, Int>,
        shares: Tensor<1>,
        wrap: f64,
    ) -> Tensor<1> {
        let ([b, t, c], (ln_out, head)) = (hidden.dims(), self.top());
        head.loss(ln_out.forward(hidden.reshape([b * t, c])), targets, shares, wrap)
    }

    /// The last norm, and the output head that reads it.
    fn top(&self) -> (&Norm, &Linear) {
        match self {
            Self::V4(m) => m.top(),
            Self::V4a(m) => m.top(),
            Self::V5(m) => m.top(),
            Self::V6(m) => m.top(),
            Self::V7(m) => m.top(),
            Self::V7a(m) => m.top(),
        }
    }

    /// The state before the first token.
    pub fn state(&self, batch: usize, device: &Device) -> State {
        match self {
            Self::V4(m) => m.state(batch, device),
            Self::V4a(m) => m.state(batch, device),
            Self::V5(m) => m.state(batch, device),
            Self::V6(m) => m.state(batch, device),
            Self::V7(m) => m.state(batch, device),
            Self::V7a(m) => m.state(batch, device),
        }
    }

    /// The extra weight of the current token in a block, `[H, N]`: `u`, or `r_k` in RWKV-7; none
    /// beyond the last block.
    pub fn bonus(&self, layer: usize) -> Option<Tensor<2>> {
        match self {
            Self::V4(m) => m.bonus(layer),
            Self::V4a(m) => m.bonus(layer),
            Self::V5(m) => m.bonus(layer),
            Self::V6(m) => m.bonus(layer),
            Self::V7(m) => m.bonus(layer),
            Self::V7a(m) => m.bonus(layer),
        }
    }

    /// The logarithm of the decay of every channel of a block, `[C]`, where no token can change it
    /// and no activation shows it: in RWKV-4.
    pub fn decay(&self, layer: usize) -> Option<Tensor<1>> {
        match self {
            Self::V4(m) => m.decay(layer),
            Self::V4a(m) => m.decay(layer),
            Self::V5(_) | Self::V6(_) | Self::V7(_) | Self::V7a(_) => None,
        }
    }

    /// Which version this is.
    pub fn version(&self) -> Version {
        match self {
            Self::V4(_) => Version::V4,
            Self::V4a(_) => Version::V4a,
            Self::V5(m) => m.version(),
            Self::V6(_) => Version::V6,
            Self::V7(_) => Version::V7,
            Self::V7a(_) => Version::V7a,
        }
    }

    /// Sizes of the vocabulary and of the residual stream, `[V, C]`.
    pub fn dims(&self) -> [usize; 2] {
        self.emb().dims()
    }

    /// Every parameter, under the name and with the shape that checkpoints use.
    pub fn parameters(&self) -> Vec<Parameter> {
        match self {
            Self::V4(m) => parameters_of(m),
            Self::V4a(m) => parameters_of(m),
            Self::V5(m) => parameters_of(m),
            Self::V6(m) => parameters_of(m),
            Self::V7(m) => parameters_of(m),
            Self::V7a(m) => parameters_of(m),
        }
    }
}

/// Every parameter of a module, named by the path to it.
pub fn parameters_of(module: &impl Module) -> Vec<Parameter> {
    let mut names = Names { path: Vec::new(), found: Vec::new() };
    module.visit(&mut names);
    names.found
}

/// One parameter of a model.
pub struct Parameter {
    /// Its name in checkpoints, such as `blocks.0.att.key.weight`.
    pub name: String,
    /// What the optimiser calls it.
    pub id: ParamId,
    /// Its sizes in checkpoints.
    pub shape: Vec<usize>,
    numbers: Numbers,
}

/// Where the numbers of a parameter are; packed ones are unpacked when somebody asks for them.
type Numbers = Box<dyn Fn() -> Tensor<1>>;

impl Parameter {
    /// A parameter of these numbers.
    pub fn new(name: String, shape: Vec<usize>, values: Tensor<1>) -> Self {
        Self { name, id: ParamId::new(), shape, numbers: Box::new(move || values.clone()) }
    }

    /// Its numbers, row after row.
    pub fn values(&self) -> Tensor<1> {
        (self.numbers)()
    }

    /// Whether this is the matrix of a projection, which thin matrices can be hung on.
    pub fn is_projection(&self) -> bool {
        self.shape.len() == 2 && self.name.ends_with(".weight") && self.name != "emb.weight"
    }

    /// Whether this is one of the thin matrices of RWKV-7, `[in, out]`.
    pub fn is_thin(&self) -> bool {
        let name = self.name.rsplit('.').next().unwrap_or_default();
        self.shape.len() == 2 && ["w1", "w2", "a1", "a2", "v1", "v2", "g1", "g2"].contains(&name)
    }

    /// Whether this is one of the two thin matrices of low-rank tuning.
    pub fn is_factor(&self) -> bool {
        self.name.ends_with(".lora_A") || self.name.ends_with(".lora_B")
    }
}

struct Names {
    path: Vec<String>,
    found: Vec<Parameter>,
}

impl ModuleVisitor for Names {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let dims = param.lazy_shape();
        let name = self.path.join(".");
        // The thin matrices of low-rank tuning, under the names that adapters have.
        let name = match name.rsplit_once(".weight.lora.") {
            Some((projection, "a")) => format!("{projection}.lora_B"),
            Some((projection, _)) => format!("{projection}.lora_A"),
            None => name,
        };
        // RWKV-5.0 and 5.1 have one decay and one bonus per head, on one axis.
        let by_head = ["time_decay", "time_first", "time_faaaa"].iter().any(|n| name.ends_with(n));
        let per_head = by_head && D == 2 && dims[1] == 1;
        let axes = if per_head { D - 1 } else { D };
        let param = param.clone();
        self.found.push(Parameter {
            name,
            id: param.id,
            shape: dims[..axes].to_vec(),
            numbers: Box::new(move || param.base().flatten(0, D - 1)),
        });
    }
}

/// How much of the token before a projection reads, where the checkpoint says how much of this one:
/// `1 − mix`.
fn before(mix: &Param<Tensor<3>>) -> Tensor<3> {
    -mix.val() + 1
}

/// `max(k, 0)²` through the last projection of channel-mix. The squares are many numbers and exist
/// only where somebody looks at them.
fn squared(value: &Linear, k: Tensor<3>, tap: Tap) -> Tensor<3> {
    if tap.looks() {
        value.forward(tap.see("ffn.k", relu(k).square()))
    } else {
        value.of_relu_squared(k)
    }
}
