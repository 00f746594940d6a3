//! Problems made to be measured with: something to find again, more and more of it, farther and
//! farther away.

mod facts;
mod grid;
mod sizes;

use crate::host::Fallible;
use crate::model::Model;
use crate::report::Report;
use rhai::plugin::*;
use rhai::{Map, Module};

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// Whether a model finds a number again in a text of a certain length, with the usual settings:
    /// see the form with options.
    ///
    /// ```
    /// show(metrics::passkey(load_model("toy:rwkv7")));
    /// ```
    #[rhai_fn(name = "passkey", return_raw, volatile)]
    pub fn plain_passkey(context: NativeCallContext, model: Model) -> Fallible<Report> {
        grid::measure(&context, &model, "metrics::passkey", Map::new())
    }

    /// Whether a model finds a number again that was said once in a text about something else, by
    /// the depth where it was said and by the length of the text. Fields: `accuracy` and `logprob`,
    /// the mean per token of the number, `[depths, lengths]`; `acc` of all together and `stderr`;
    /// `lengths`, `depths`; `tokens`, the mean of the prompts of each length; `items`; `plot`, a
    /// heatmap.
    ///
    /// - `lengths` characters of the texts, `[256, 512, 1024]`
    /// - `depths` where the number is said, `[0, 0.25, 0.5, 0.75, 1]`, from beginning to end
    /// - `samples` problems for each of them, 4
    /// - `digits` of the number, 5
    /// - `seed` of the problems, 0
    /// - `bos` whether token 0 is read first; true unless a state is given
    /// - `state` to start from; it is not changed
    ///
    /// ```
    /// let options = #{ lengths: [200, 400], depths: [0, 1], samples: 2, digits: 3 };
    /// let found = metrics::passkey(load_model("toy:rwkv7"), options);
    /// assert(found.accuracy.shape == [2, 2] && found.items == 8);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn passkey(context: NativeCallContext, model: Model, options: Map) -> Fallible<Report> {
        grid::measure(&context, &model, "metrics::passkey", options)
    }

    /// Whether a model finds one of several facts again in a text of a certain length, with the usual
    /// settings: see the form with options.
    ///
    /// ```
    /// show(metrics::needle(load_model("toy:rwkv7")));
    /// ```
    #[rhai_fn(name = "needle", return_raw, volatile)]
    pub fn plain_needle(context: NativeCallContext, model: Model) -> Fallible<Report> {
        grid::measure(&context, &model, "metrics::needle", Map::new())
    }

    /// Whether a model finds a fact again in a text about something else, by the depth where it was
    /// said and by the length of the text. The facts are numbers of people, several in each text, or
    /// your own. Fields as of `metrics::passkey`.
    ///
    /// - `lengths` characters of the texts, `[512, 1024, 2048]`
    /// - `depths` where the fact is said, `[0, 0.25, 0.5, 0.75, 1]`, from beginning to end
    /// - `samples` problems for each of them, 4
    /// - `needles` people of a text who have a number, 4; one of them is asked for
    /// - `digits` of the numbers, 4
    /// - `facts` your own: `#{fact, question, answer, keys, values}`, texts in which `{key}` and
    ///   `{value}` stand for what is drawn; one of them is hidden in each text
    /// - `filler` what is around your facts: sentences, or `#{ file: path }`; talk of the weather
    /// - `seed` of the problems, 0
    /// - `bos` whether token 0 is read first; true unless a state is given
    /// - `state` to start from; it is not changed
    ///
    /// ```
    /// let facts = #{
    ///     fact: "The {key} is in the {value}.",
    ///     question: "\n\nUser: Where is the {key}?\n\nAssistant:",
    ///     answer: " The {key} is in the {value}.",
    ///     keys: ["ball", "lamp"],
    ///     values: ["garden", "mill", "tower"],
    /// };
    /// let options = #{ facts: facts, lengths: [128], depths: [0, 1], samples: 3 };
    /// let found = metrics::needle(load_model("demo:tales"), options);
    /// assert(found.acc > 0.5);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn needle(context: NativeCallContext, model: Model, options: Map) -> Fallible<Report> {
        grid::measure(&context, &model, "metrics::needle", options)
    }

    /// How many pairs of key and value a model recalls, with the usual settings: see the form with
    /// options.
    ///
    /// ```
    /// show(metrics::recall(load_model("toy:rwkv7")));
    /// ```
    #[rhai_fn(name = "recall", return_raw, volatile)]
    pub fn plain_recall(context: NativeCallContext, model: Model) -> Fallible<Report> {
        sizes::recall(&context, &model, Map::new())
    }

    /// How often a model recalls the value of a key, by the number of pairs of key and value that it
    /// has read (`k:7 b:x ?k:`), or of your own facts. Fields: `pairs`, and for each of them
    /// `accuracy`, `errors`, the standard error, and `logprob`, the mean per token of the value;
    /// `acc` of all together and `stderr`; `items`; `plot`, the curve.
    ///
    /// - `pairs` how many, `[1, 2, 4, 8, 16, 32]`
    /// - `samples` problems for each of them, 32
    /// - `alphabet` what keys and values are made of, small letters and digits
    /// - `facts` your own: `#{fact, question, answer, keys, values}`, as in `metrics::needle`
    /// - `seed` of the problems, 0
    /// - `bos` whether token 0 is read first; true unless a state is given
    /// - `state` to start from; it is not changed
    ///
    /// ```
    /// let found = metrics::recall(load_model("toy:rwkv7"), #{ pairs: [1, 3], samples: 4 });
    /// assert(found.accuracy.len() == 2 && found.items == 8);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn recall(context: NativeCallContext, model: Model, options: Map) -> Fallible<Report> {
        sizes::recall(&context, &model, options)
    }

    /// The largest problem that the state of a model holds, with the usual settings: see the form
    /// with options.
    ///
    /// ```
    /// show(metrics::capacity(load_model("toy:rwkv7")));
    /// ```
    #[rhai_fn(name = "capacity", return_raw, volatile)]
    pub fn plain_capacity(context: NativeCallContext, model: Model) -> Fallible<Report> {
        sizes::capacity(&context, &model, Map::new())
    }

    /// The largest problem of a kind that a model solves: where the capacity of its state ends. Sizes
    /// are doubled until one is solved too seldom, then the gap is halved. Fields: `cliff`, the
    /// largest size that is solved often enough, 0 for none; `found`, whether a larger one was solved
    /// too seldom; `sizes`, and for each of them `accuracy`, `errors`, the standard error, and
    /// `logprob`; `items`; `plot`, the curve.
    ///
    /// - `task` `"reverse"`, digits to say backwards; `"recall"`, pairs of key and value; `"parity"`,
    ///   bits to count; `"permutations"`, moves to make; `"reverse"`
    /// - `least` size to begin with, 1
    /// - `most` size to end with, 256
    /// - `samples` problems of every size, 32
    /// - `threshold` share of the problems that has to be solved, 0.5
    /// - `facts` your own to recall: `#{fact, question, answer, keys, values}`, as in
    ///   `metrics::needle`
    /// - `seed` of the problems, 0
    /// - `bos` whether token 0 is read first; true unless a state is given
    /// - `state` to start from; it is not changed
    ///
    /// ```
    /// let options = #{ task: "recall", most: 4, samples: 4 };
    /// let found = metrics::capacity(load_model("toy:rwkv7"), options);
    /// assert(found.cliff <= 4 && found.sizes[0] == 1);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn capacity(context: NativeCallContext, model: Model, options: Map) -> Fallible<Report> {
        sizes::capacity(&context, &model, options)
    }
}
