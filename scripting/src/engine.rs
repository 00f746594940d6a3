//! The Rhai engine: limits, exact comparisons, interrupts, session variables, our functions.

use crate::host::{Fallible, Host};
use crate::imports::Imports;
use crate::{
    Output, chat, checkpoints, data, facts, files, generate, ieee, json, layer, lists, looks,
    measure, model,
};
use crate::{
    metrics, numbers, output, plot, reading, recording, report, samples, search, segment, state,
    system, tensor,
};
use crate::{text, tokens, train, understand};
use rhai::{Dynamic, Engine, EvalAltResult, OptimizationLevel, Position};
use std::rc::Rc;

/// Nesting of function calls before a script is stopped.
const CALL_LEVELS: usize = 256;

/// Nesting of an expression: outside and inside of functions.
const EXPRESSION_DEPTHS: (usize, usize) = (256, 128);

/// Stack that a thread needs to run scripts up to their limits, in bytes.
pub const STACK: usize = 256 << 20;

/// The engine of a session.
pub fn build(host: &Rc<Host>) -> Engine {
    let mut engine = Engine::new();
    engine
        // A script may only compute while it is typed; the full level would call its functions.
        .set_optimization_level(OptimizationLevel::Simple)
        // Fast operators would bypass the exact comparisons.
        .set_fast_operators(false)
        .set_max_call_levels(CALL_LEVELS)
        .set_max_expr_depths(EXPRESSION_DEPTHS.0, EXPRESSION_DEPTHS.1)
        .set_module_resolver(Imports::new(host.clone()))
        .set_default_tag(Dynamic::from(host.clone()));
    connect(&mut engine, host);
    ieee::register(&mut engine);
    register(&mut engine);
    engine
}

/// Output, interrupts and the variables of the session.
fn connect(engine: &mut Engine, host: &Rc<Host>) {
    let out = host.clone();
    engine.on_print(move |text| out.say(Output::Print(text)));
    let out = host.clone();
    engine.on_debug(move |text, _, _| out.say(Output::Note(text)));
    let flag = host.interrupt.clone();
    engine.on_progress(move |_| {
        flag.load(std::sync::atomic::Ordering::Relaxed).then_some(Dynamic::UNIT)
    });
    let host = host.clone();
    #[expect(deprecated, reason = "the engine marks it so because it may change, not as outdated")]
    engine.on_var(move |name, index, context| {
        let local = index > 0 || context.call_level() == 0 || context.scope().contains(name);
        if local { Ok(None) } else { global(&host, name) }
    });
}

/// A variable of the session, seen from a function.
fn global(host: &Host, name: &str) -> Fallible<Option<Dynamic>> {
    match host.globals.borrow().get(name) {
        Some(value) if value.is_locked() => {
            let what = format!("variable '{name}'");
            Err(Box::new(EvalAltResult::ErrorDataRace(what, Position::NONE)))
        }
        found => Ok(found.map(|value| value.clone().flatten())),
    }
}

/// Every function and type that scripts have.
fn register(engine: &mut Engine) {
    engine
        .register_global_module(numbers::module().into())
        .register_global_module(text::module().into())
        .register_global_module(lists::module().into())
        .register_global_module(files::module().into())
        .register_global_module(system::module().into())
        .register_global_module(json::module().into())
        .register_global_module(looks::module().into())
        .register_global_module(model::module().into())
        .register_global_module(checkpoints::module().into())
        .register_global_module(facts::module().into())
        .register_global_module(output::module().into())
        .register_global_module(reading::module().into())
        .register_global_module(understand::module().into())
        .register_global_module(segment::module().into())
        .register_global_module(recording::module().into())
        .register_global_module(report::module().into())
        .register_global_module(tokens::module().into())
        .register_global_module(tensor::module().into())
        .register_global_module(crate::image::module().into())
        .register_global_module(crate::seeing::module().into())
        .register_global_module(measure::module().into())
        .register_global_module(state::module().into())
        .register_global_module(layer::module().into())
        .register_global_module(generate::module().into())
        .register_global_module(search::module().into())
        .register_global_module(chat::module().into())
        .register_global_module(train::module().into())
        .register_global_module(data::module().into())
        .register_global_module(samples::module().into())
        .register_global_module(metrics::free_module().into())
        .register_static_module("data", data::sources().into())
        .register_static_module("metrics", metrics::module().into())
        .register_static_module("optim", train::recipes().into())
        .register_static_module("plot", plot::module().into());
    #[cfg(test)]
    engine.register_fn("panic_for_tests", || -> i64 { panic!("on purpose") });
}
