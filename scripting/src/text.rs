//! Strings: changed copies, where Rhai's own methods change in place.

use crate::host::{Fallible, fail};
use rhai::plugin::*;
use rhai::{Array, FLOAT, INT, Module};

/// The module of this file.
pub fn module() -> Module {
    exported_module!(functions)
}

#[export_module]
mod functions {
    /// The text in quotes, line breaks and quotes escaped.
    ///
    /// ```
    /// assert("a\nb".quoted().len() == 6);
    /// ```
    pub fn quoted(this: &str) -> String {
        format!("{this:?}")
    }

    /// The text without blanks at both ends; `trim` would change the variable instead.
    ///
    /// ```
    /// assert("  a b ".trimmed() == "a b");
    /// ```
    pub fn trimmed(this: &str) -> String {
        this.trim().into()
    }

    /// The text `times` times in a row, at most 100 MB.
    ///
    /// ```
    /// assert("ab".repeat(3) == "ababab");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn repeat(this: &str, times: INT) -> Fallible<String> {
        let times = usize::try_from(times)
            .map_err(|_| fail(format!("`repeat` cannot repeat {times} times")))?;
        if this.len().saturating_mul(times) > 100_000_000 {
            return Err(fail(format!(
                "`repeat` would make a text of more than 100 MB ({times} times)"
            )));
        }
        Ok(this.repeat(times))
    }

    /// The lines of the text as an array, line breaks not included.
    ///
    /// ```
    /// assert("a\nb".lines() == ["a", "b"]);
    /// ```
    pub fn lines(this: &str) -> Array {
        this.lines().map(|line| line.to_string().into()).collect()
    }

    /// The whole number that the text spells.
    ///
    /// ```
    /// assert("60".to_int() == 60);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn to_int(this: &str) -> Fallible<INT> {
        this.trim().parse().map_err(|_| fail(format!("{this:?} is not a whole number")))
    }

    /// The number that the text spells.
    ///
    /// ```
    /// assert("0.5".to_float() == 0.5);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn to_float(this: &str) -> Fallible<FLOAT> {
        this.trim().parse().map_err(|_| fail(format!("{this:?} is not a number")))
    }
}
