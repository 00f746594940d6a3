//! The numbers a sampler can be told, as a table: for scripts to read, and for help to list.

use anyhow::{Result, ensure};

use super::Sampler;

/// One number of a [`Sampler`].
pub struct Setting {
    /// What scripts call it.
    pub name: &'static str,
    /// What it does, and where it is off.
    pub about: &'static str,
    /// The least and the most it may be.
    pub range: (f64, f64),
    field: Field,
}

/// Where a setting lies, and with it whether it has to be whole.
enum Field {
    Number(fn(&mut Sampler) -> &mut f32),
    Count(fn(&mut Sampler) -> &mut usize),
}
use Field::{Count, Number};

impl Setting {
    /// What a sampler has there.
    pub fn read(&self, sampler: &Sampler) -> f64 {
        let mut copy = sampler.clone();
        match self.field {
            Number(field) => (*field(&mut copy)).into(),
            Count(field) => *field(&mut copy) as f64,
        }
    }

    /// Whether it counts something, and so has to be whole.
    pub fn is_whole(&self) -> bool {
        matches!(self.field, Count(_))
    }

    /// Changes it.
    ///
    /// # Errors
    /// When the number is out of range, or not whole where it counts something.
    pub fn write(&self, sampler: &mut Sampler, value: f64) -> Result<()> {
        self.check(value)?;
        match self.field {
            Number(field) => *field(sampler) = value as f32,
            Count(field) => *field(sampler) = value as usize,
        }
        Ok(())
    }

    /// Checks a number that is meant for this setting.
    ///
    /// # Errors
    /// As [`Setting::write`].
    pub fn check(&self, value: f64) -> Result<()> {
        let (low, high) = self.range;
        let whole = self.is_whole();
        let kind = if whole { "a whole number" } else { "a number" };
        let bounds = match (low > f64::MIN, high < f64::MAX) {
            (true, true) => format!(" from {low} to {high}"),
            (true, false) => format!(" from {low} upwards"),
            _ => String::new(),
        };
        ensure!(
            (low..=high).contains(&value) && (!whole || value.fract() == 0.0),
            "{} is {value}; give {kind}{bounds}: it {}",
            self.name,
            self.about
        );
        Ok(())
    }
}

const ANY: (f64, f64) = (f64::MIN, f64::MAX);
const POSITIVE: (f64, f64) = (0.0, f64::MAX);
const SHARE: (f64, f64) = (0.0, 1.0);

/// All of them.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "temperature",
        about: "sharpens below 1, flattens above, takes the likeliest at 0",
        range: POSITIVE,
        field: Number(|s| &mut s.temperature),
    },
    Setting {
        name: "top_p",
        about: "keeps the likeliest tokens that sum to this; 1 keeps all",
        range: SHARE,
        field: Number(|s| &mut s.top_p),
    },
    Setting {
        name: "top_p_x",
        about: "saves tokens likelier than this from top_p; 0 is off",
        range: SHARE,
        field: Number(|s| &mut s.top_p_x),
    },
    Setting {
        name: "top_k",
        about: "keeps at most this many tokens; 0 keeps all",
        range: POSITIVE,
        field: Count(|s| &mut s.top_k),
    },
    Setting {
        name: "min_p",
        about: "keeps tokens at least this share as likely as the likeliest; 0 is off",
        range: SHARE,
        field: Number(|s| &mut s.min_p),
    },
    Setting {
        name: "typical_p",
        about: "keeps the tokens of most expected surprise that sum to this; 1 is off",
        range: SHARE,
        field: Number(|s| &mut s.typical_p),
    },
    Setting {
        name: "tail_free",
        about: "cuts the flat tail behind this share of the bend; 1 is off",
        range: SHARE,
        field: Number(|s| &mut s.tail_free),
    },
    Setting {
        name: "tail_free_llama",
        about: "does so as llama.cpp, mostly one token fewer; 1 is off",
        range: SHARE,
        field: Number(|s| &mut s.tail_free_llama),
    },
    Setting {
        name: "top_a",
        about: "keeps tokens likelier than this times the square of the likeliest; 0 is off",
        range: SHARE,
        field: Number(|s| &mut s.top_a),
    },
    Setting {
        name: "epsilon_cutoff",
        about: "keeps tokens at least this likely; 0 is off",
        range: SHARE,
        field: Number(|s| &mut s.epsilon_cutoff),
    },
    Setting {
        name: "eta_cutoff",
        about: "keeps tokens this likely, or less where all are unlikely; 0 is off",
        range: SHARE,
        field: Number(|s| &mut s.eta_cutoff),
    },
    Setting {
        name: "mirostat",
        about: "steers the surprise in place of the cuts, by version 1 or 2; 0 is off",
        range: (0.0, 2.0),
        field: Count(|s| &mut s.mirostat),
    },
    Setting {
        name: "mirostat_tau",
        about: "is the mean surprise that mirostat aims at, in bits",
        range: POSITIVE,
        field: Number(|s| &mut s.mirostat_tau),
    },
    Setting {
        name: "mirostat_eta",
        about: "is how fast mirostat learns",
        range: SHARE,
        field: Number(|s| &mut s.mirostat_eta),
    },
    Setting {
        name: "presence_penalty",
        about: "is taken off the logit of a token that was chosen; 0 is off",
        range: ANY,
        field: Number(|s| &mut s.presence_penalty),
    },
    Setting {
        name: "frequency_penalty",
        about: "is taken off for each time it was chosen; 0 is off",
        range: ANY,
        field: Number(|s| &mut s.frequency_penalty),
    },
    Setting {
        name: "penalty_decay",
        about: "is the share of an occurrence that is left one token later",
        range: SHARE,
        field: Number(|s| &mut s.penalty_decay),
    },
    Setting {
        name: "repetition_penalty",
        about: "divides the logits of tokens read or chosen, multiplies negative ones; 1 is off",
        range: (0.01, 100.0),
        field: Number(|s| &mut s.repetition_penalty),
    },
    Setting {
        name: "repetition_window",
        about: "is how many of the last tokens repetition_penalty looks at; 0 is all",
        range: POSITIVE,
        field: Count(|s| &mut s.repetition_window),
    },
];
