//! Problems made by chance: `data::reverse` and so on to learn from, `data::problems` to measure.

use super::Dataset;
use super::options::Chosen;
use crate::host::{Fallible, Host, engine_failure, fail};
use crate::suggest::nearest;
use rhai::plugin::*;
use rhai::{Array, INT, Map, Module};
use rwkv_engine::data as engine;
use rwkv_engine::data::problems::Task;
use rwkv_engine::random::Random;

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

/// A task with the settings that the options give it.
fn task(usual: Task, chosen: &mut Chosen) -> Fallible<Task> {
    let task = match usual {
        Task::Reverse { digits } => Task::Reverse { digits: chosen.span("digits", &digits)? },
        Task::Recall { pairs, alphabet } => Task::Recall {
            pairs: chosen.span("pairs", &pairs)?,
            alphabet: chosen.text("alphabet", &alphabet)?,
        },
        Task::Parity { bits } => Task::Parity { bits: chosen.span("bits", &bits)? },
        Task::Permutations { of, steps } => {
            Task::Permutations { of: chosen.count("of", of)?, steps: chosen.span("steps", &steps)? }
        }
        Task::Passkey { length, digits, .. } => Task::Passkey {
            length: chosen.span("length", &length)?,
            depth: chosen.share("depth")?,
            digits: chosen.count("digits", digits)?,
        },
        Task::Needle { length, needles, digits, .. } => Task::Needle {
            length: chosen.span("length", &length)?,
            depth: chosen.share("depth")?,
            needles: chosen.count("needles", needles)?,
            digits: chosen.count("digits", digits)?,
        },
        Task::Stories { people, things, events, .. } => Task::Stories {
            people: chosen.span("people", &people)?,
            things: chosen.span("things", &things)?,
            events: chosen.span("events", &events)?,
            held_out: chosen.flag("held_out")?,
        },
    };
    task.check().map_err(engine_failure)?;
    Ok(task)
}

/// The task of a name as it usually is.
fn usual(name: &str) -> Fallible<Task> {
    Task::usual(name).ok_or_else(|| {
        let hint = nearest(name, Task::NAMES.iter().copied());
        let hint = hint.map_or(".".into(), |known| format!("; did you mean `{known}`?"));
        let known = Task::NAMES.join(", ");
        fail(format!("there are no problems called `{name}`{hint} There are: {known}"))
    })
}

/// Problems without end.
fn endless(
    context: &NativeCallContext,
    what: &'static str,
    name: &str,
    options: Map,
) -> Fallible<Dataset> {
    let mut chosen = Chosen::new(what, options);
    let task = task(usual(name)?, &mut chosen)?;
    let cut = chosen.cut(&Host::of(context))?;
    let (tokenizer, elsewhere) = (chosen.tokenizer()?, chosen.weight("elsewhere", 0.0)?);
    chosen.finish()?;
    Dataset::new(context, engine::Dataset::problems(task, &tokenizer, elsewhere, &cut))
}

#[export_module]
mod functions {
    /// So many problems to measure with (`count`), an array of `#{prompt, target}`; the target ends
    /// with a line break.
    /// The name of the problems is that of the function that gives them to learn from: `reverse`,
    /// `recall`, `parity`, `permutations`, `passkey`, `needle` or `stories`, and so are the other
    /// options.
    ///
    /// - `seed` of the problems; another one than in training gives others
    ///
    /// ```
    /// let all = data::problems("reverse", 20, #{ digits: 5, seed: 1 });
    /// let one = all[0];
    /// assert(one.prompt.len() == 6 && one.target[0] == one.prompt[4]);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn problems(
        context: NativeCallContext,
        name: &str,
        count: INT,
        options: Map,
    ) -> Fallible<Array> {
        let host = Host::of(&context);
        let mut chosen = Chosen::new("data::problems", options);
        let task = task(usual(name)?, &mut chosen)?;
        let mut random = Random::new(chosen.seed(&host)?);
        chosen.finish()?;
        let count = usize::try_from(count)
            .map_err(|_| fail(format!("data::problems cannot make {count} problems")))?;
        let one = |_| {
            host.poll()?;
            let problem = task.problem(&mut random);
            let map: Map = [
                ("prompt".into(), problem.prompt.into()),
                ("target".into(), problem.target.into()),
            ]
            .into();
            Ok(map.into())
        };
        (0..count).map(one).collect()
    }

    /// Strings of digits and the same backwards, `31415,51413`, without end.
    ///
    /// - `digits` how many, `[1, 40]`; one number for always as many
    /// - `ctx_len` positions of a sample, 128; as many whole problems as fit
    /// - `tokenizer` of the model, else bytes
    /// - `elsewhere` how much everything but the answer counts, 0
    /// - `order` `"continue"`: each row goes on where the same row of the batch before ended
    /// - `seed` of the problems
    ///
    /// ```
    /// print(data::reverse(#{ digits: [1, 9], ctx_len: 64 }).next_batch(8));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn reverse(context: NativeCallContext, options: Map) -> Fallible<Dataset> {
        endless(&context, "data::reverse", "reverse", options)
    }

    /// Keys with values and the question for one of them, `k:7 b:x q:2 ?b:x`, without end.
    ///
    /// - `pairs` how many keys, `[1, 16]`
    /// - `alphabet` characters that keys and values are made of, letters and digits
    /// - `ctx_len` positions of a sample, 128; as many whole problems as fit
    /// - `tokenizer` of the model, else bytes
    /// - `elsewhere` how much everything but the answer counts, 0
    /// - `order` `"continue"`: each row goes on where the same row of the batch before ended
    /// - `seed` of the problems
    ///
    /// ```
    /// print(data::recall(#{ pairs: [2, 8], ctx_len: 64 }).next_batch(8));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn recall(context: NativeCallContext, options: Map) -> Fallible<Dataset> {
        endless(&context, "data::recall", "recall", options)
    }

    /// Bits and whether the number of ones is odd, `1011=1`, without end.
    ///
    /// - `bits` how many, `[1, 40]`
    /// - `ctx_len` positions of a sample, 128; as many whole problems as fit
    /// - `tokenizer` of the model, else bytes
    /// - `elsewhere` how much everything but the answer counts, 0
    /// - `order` `"continue"`: each row goes on where the same row of the batch before ended
    /// - `seed` of the problems
    ///
    /// ```
    /// print(data::parity(#{ bits: [1, 20], ctx_len: 64 }).next_batch(8));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn parity(context: NativeCallContext, options: Map) -> Fallible<Dataset> {
        endless(&context, "data::parity", "parity", options)
    }

    /// Moves of the digits 123 and where they stand in the end, `231 213=321`, without end: each
    /// move says at which places of the row before the new one finds its digits.
    ///
    /// - `of` how many digits are moved, 5
    /// - `steps` how many moves, `[1, 20]`
    /// - `ctx_len` positions of a sample, 128; as many whole problems as fit
    /// - `tokenizer` of the model, else bytes
    /// - `elsewhere` how much everything but the answer counts, 0
    /// - `order` `"continue"`: each row goes on where the same row of the batch before ended
    /// - `seed` of the problems
    ///
    /// ```
    /// print(data::permutations(#{ of: 3, steps: [1, 9], ctx_len: 64 }).next_batch(8));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn permutations(context: NativeCallContext, options: Map) -> Fallible<Dataset> {
        endless(&context, "data::permutations", "permutations", options)
    }

    /// A number said once in a long text about other things, and the question for it, without end.
    ///
    /// - `length` characters of the text with the question, `[200, 1000]`
    /// - `depth` where the number is said, from 0 for the beginning to 1; else anywhere
    /// - `digits` of the number, 5
    /// - `ctx_len` positions of a sample, 128; as many whole problems as fit
    /// - `tokenizer` of the model, else bytes
    /// - `elsewhere` how much everything but the answer counts, 0
    /// - `order` `"continue"`: each row goes on where the same row of the batch before ended
    /// - `seed` of the problems
    ///
    /// ```
    /// print(data::passkey(#{ length: [200, 500], ctx_len: 512 }).next_batch(8));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn passkey(context: NativeCallContext, options: Map) -> Fallible<Dataset> {
        endless(&context, "data::passkey", "passkey", options)
    }

    /// Numbers of several people said here and there in a long text, and the question for one of
    /// them, without end.
    ///
    /// - `needles` how many people, 4
    /// - `length` characters of the text with the question, `[400, 1000]`
    /// - `depth` where the number is said that is asked for, from 0 to 1; else anywhere
    /// - `digits` of a number, 4
    /// - `ctx_len` positions of a sample, 128; as many whole problems as fit
    /// - `tokenizer` of the model, else bytes
    /// - `elsewhere` how much everything but the answer counts, 0
    /// - `order` `"continue"`: each row goes on where the same row of the batch before ended
    /// - `seed` of the problems
    ///
    /// ```
    /// print(data::needle(#{ needles: 2, length: 400, ctx_len: 512 }).next_batch(8));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn needle(context: NativeCallContext, options: Map) -> Fallible<Dataset> {
        endless(&context, "data::needle", "needle", options)
    }

    /// Small stories of people who go places, take things and put them down, and the question where
    /// something is or who has it, without end.
    ///
    /// - `people` how many, `[2, 3]`
    /// - `things` how many, `[1, 3]`
    /// - `events` how many sentences after those that say where all of them are, `[2, 10]`
    /// - `held_out` whether people have names that no other stories have
    /// - `ctx_len` positions of a sample, 128; as many whole stories as fit
    /// - `tokenizer` of the model, else bytes
    /// - `elsewhere` how much everything but the answer counts, 0
    /// - `order` `"continue"`: each row goes on where the same row of the batch before ended
    /// - `seed` of the stories
    ///
    /// ```
    /// print(data::stories(#{ events: [2, 6], ctx_len: 512, elsewhere: 0.1 }).next_batch(8));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn stories(context: NativeCallContext, options: Map) -> Fallible<Dataset> {
        endless(&context, "data::stories", "stories", options)
    }
}
