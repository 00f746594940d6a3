//! `optim::…`: what turns gradients into updates, and rates over the steps.

use crate::charts::short;
use crate::host::{Fallible, fail};
use crate::options::OptionMap;
use rhai::plugin::*;
use rhai::{Map, Module};
use rwkv_engine::train::{Rule, Schedule as Rates, Shape};

/// What turns gradients into updates.
#[derive(Clone, Debug)]
pub struct Optimizer(pub Rule);

/// A rate over the steps.
#[derive(Clone, Debug)]
pub struct Schedule(pub Rates);

/// The functions under `optim::`.
pub fn recipes() -> Module {
    exported_module!(recipes)
}

/// How the values of `optim::` print.
pub fn module() -> Module {
    exported_module!(functions)
}

fn betas(options: &mut OptionMap, usual: [f64; 2]) -> Fallible<[f64; 2]> {
    let Some(value) = options.take("betas") else { return Ok(usual) };
    let list = value.clone().try_cast::<rhai::Array>().unwrap_or_default();
    match crate::lists::floats(&list, "optim::adam: `betas`")?[..] {
        [a, b] if (0.0..1.0).contains(&a) && (0.0..1.0).contains(&b) => Ok([a, b]),
        _ => Err(fail("optim::adam: `betas` must be two numbers from 0 to below 1")),
    }
}

fn adaptive(what: &'static str, options: Map, decay: f64) -> Fallible<Optimizer> {
    let mut options = OptionMap::new(what, options);
    let betas = betas(&mut options, [0.9, 0.99])?;
    let eps = options.number("eps", 1e-18, 0.0..1.0)?;
    let weight_decay = options.number("weight_decay", decay, 0.0..=1.0)?;
    options.finish()?;
    Ok(Optimizer(Rule::AdamW { betas, eps, weight_decay }))
}

/// The rates that every shape has; `own` reads what is the shape's own.
fn schedule(
    what: &'static str,
    options: Map,
    shape: impl FnOnce(&mut OptionMap, usize) -> Fallible<Shape>,
) -> Fallible<Schedule> {
    let usual = Rates::default();
    let mut options = OptionMap::new(what, options);
    let mut count = |key, default: usize| {
        options.integer(key, default as i64, 0..=1 << 40).map(|steps| steps as usize)
    };
    let (warmup, steps) = (count("warmup", usual.warmup)?, count("steps", usual.steps)?);
    let shape = shape(&mut options, steps)?;
    let lr_init = options.number("lr_init", usual.lr_init, 0.0..)?;
    let lr_final = match shape {
        Shape::Constant => lr_init,
        _ => options.number("lr_final", lr_init / 10.0, 0.0..)?,
    };
    options.finish()?;
    Ok(Schedule(Rates { shape, lr_init, lr_final, warmup, steps }))
}

#[export_module]
mod recipes {
    /// Adam, with decoupled weight decay as `adamw`, for `new_trainer`'s `optimizer`.
    ///
    /// - `betas` how long its two averages remember, [0.9, 0.99]
    /// - `eps` added to the root of the second average, 1e-18
    /// - `weight_decay` share of a matrix taken away per step and unit of rate, 0.001
    ///
    /// ```
    /// let optimizer = optim::adam(#{ betas: [0.9, 0.99], weight_decay: 0 });
    /// ```
    #[rhai_fn(return_raw)]
    pub fn adam(options: Map) -> Fallible<Optimizer> {
        adaptive("optim::adam", options, 0.001)
    }

    /// AdamW (arXiv 1711.05101): the same as `optim::adam`, with a weight decay of 0.1 unless told
    /// otherwise.
    ///
    /// - `betas` how long its two averages remember, [0.9, 0.99]
    /// - `eps` added to the root of the second average, 1e-18
    /// - `weight_decay` share of a matrix taken away per step and unit of rate, 0.1
    ///
    /// ```
    /// print(optim::adamw(#{ weight_decay: 0.01 }));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn adamw(options: Map) -> Fallible<Optimizer> {
        adaptive("optim::adamw", options, 0.1)
    }

    /// Stochastic gradient descent.
    ///
    /// - `momentum` share of the last update that goes on, 0
    /// - `weight_decay` share of a matrix taken away per step and unit of rate, 0
    ///
    /// ```
    /// let optimizer = optim::sgd(#{ momentum: 0.9 });
    /// ```
    #[rhai_fn(return_raw)]
    pub fn sgd(options: Map) -> Fallible<Optimizer> {
        let mut options = OptionMap::new("optim::sgd", options);
        let momentum = options.number("momentum", 0.0, 0.0..1.0)?;
        let weight_decay = options.number("weight_decay", 0.0, 0.0..=1.0)?;
        options.finish()?;
        Ok(Optimizer(Rule::Sgd { momentum, weight_decay }))
    }

    /// A learning rate that warms up straight and falls as a cosine, for `schedule`.
    ///
    /// - `lr_init` the highest rate, 6e-4
    /// - `lr_final` the rate of the last step, a tenth of it
    /// - `warmup` steps until the highest rate, 10
    /// - `steps` all steps, 1000
    ///
    /// ```
    /// let schedule = optim::cosine(#{ lr_init: 1e-3, steps: 100 });
    /// ```
    #[rhai_fn(return_raw)]
    pub fn cosine(options: Map) -> Fallible<Schedule> {
        schedule("optim::cosine", options, |_, _| Ok(Shape::Cosine))
    }

    /// A learning rate that warms up and falls straight.
    ///
    /// - `lr_init` the highest rate, 6e-4
    /// - `lr_final` the rate of the last step, a tenth of it
    /// - `warmup` steps until the highest rate, 10
    /// - `steps` all steps, 1000
    ///
    /// ```
    /// assert(optim::linear(#{ lr_init: 1, lr_final: 0, warmup: 0, steps: 4 }).at(3) == 0.25);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn linear(options: Map) -> Fallible<Schedule> {
        schedule("optim::linear", options, |_, _| Ok(Shape::Linear))
    }

    /// A learning rate that warms up and stays.
    ///
    /// - `lr_init` the rate, 6e-4
    /// - `warmup` steps until it is reached, 10
    /// - `steps` all steps, 1000
    ///
    /// ```
    /// let schedule = optim::constant(#{ lr_init: 1e-2 });
    /// ```
    #[rhai_fn(return_raw)]
    pub fn constant(options: Map) -> Fallible<Schedule> {
        schedule("optim::constant", options, |_, _| Ok(Shape::Constant))
    }

    /// Warm-up, stable, decay (arXiv 2404.06395): the highest rate until the last steps, then
    /// straight down; a run can be made longer without regret until it falls.
    ///
    /// - `lr_init` the highest rate, 6e-4
    /// - `lr_final` the rate of the last step, a tenth of it
    /// - `warmup` steps until the highest rate, 10
    /// - `steps` all steps, 1000
    /// - `decay` steps of the fall, a tenth of all
    ///
    /// ```
    /// let schedule = optim::wsd(#{ lr_init: 1e-3, steps: 500, decay: 100 });
    /// assert(schedule.at(300) == 1e-3);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn wsd(options: Map) -> Fallible<Schedule> {
        schedule("optim::wsd", options, |options, steps| {
            let decay = options.integer("decay", steps as i64 / 10, 0..=steps as i64)?;
            Ok(Shape::Wsd { decay: decay as usize })
        })
    }
}

#[export_module]
mod functions {
    use rhai::{FLOAT, INT};

    /// What turns gradients into updates.
    pub type Optimizer = super::Optimizer;
    /// A learning rate over the steps.
    pub type Schedule = super::Schedule;

    /// The rate of a step, counted from 0.
    ///
    /// ```
    /// assert(optim::constant(#{ lr_init: 0.5, warmup: 0 }).at(7) == 0.5);
    /// ```
    #[rhai_fn(pure)]
    pub fn at(this: &mut Schedule, step: INT) -> FLOAT {
        this.0.at(step.max(0) as usize)
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn optimizer_text(this: &mut Optimizer) -> String {
        match this.0 {
            Rule::AdamW { betas: [a, b], eps, weight_decay } => {
                format!("AdamW  betas {a} {b}  eps {eps:e}  weight decay {weight_decay}")
            }
            Rule::Sgd { momentum, weight_decay } => {
                format!("SGD  momentum {momentum}  weight decay {weight_decay}")
            }
        }
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn schedule_text(this: &mut Schedule) -> String {
        let Rates { shape, lr_init, lr_final, warmup, steps } = this.0;
        let name = match shape {
            Shape::Constant => "constant",
            Shape::Linear => "linear",
            Shape::Cosine => "cosine",
            Shape::Wsd { .. } => "wsd",
        };
        let (high, low) = (short(lr_init), short(lr_final));
        format!("Schedule {name}  {high} to {low}  warm-up {warmup} of {steps} steps")
    }
}
