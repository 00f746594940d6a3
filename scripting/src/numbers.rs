//! Numbers: how they are written, and the functions of floats for integers.

use crate::host::{Fallible, Number, fail, number};
use rhai::plugin::*;
use rhai::{FLOAT, FuncRegistration, INT, Module};

/// Name, words for it, and what it does.
type Function = (&'static str, &'static str, fn(f64) -> f64);

/// Functions of one float that Rhai offers to floats only.
const OF_FLOATS: [Function; 9] = [
    ("sqrt", "square root", f64::sqrt),
    ("exp", "e to the power", f64::exp),
    ("ln", "natural logarithm", f64::ln),
    ("log", "logarithm to the base 10", f64::log10),
    ("sin", "sine", f64::sin),
    ("cos", "cosine", f64::cos),
    ("tan", "tangent", f64::tan),
    ("tanh", "hyperbolic tangent", f64::tanh),
    ("round", "nearest whole number", f64::round),
];

/// The module of this file.
pub fn module() -> Module {
    let mut module = exported_module!(functions);
    for (name, words, function) in OF_FLOATS {
        let doc = format!(
            "/// The {words} of an integer, as a float.\n///\n/// ```\n/// {name}(1)\n/// ```"
        );
        FuncRegistration::new(name)
            .in_global_namespace()
            .with_params_info(["this: INT", "FLOAT"])
            .with_comments([doc])
            .set_into_module(&mut module, move |x: INT| function(x as FLOAT));
    }
    module.set_var("inf", FLOAT::INFINITY);
    module.set_var("nan", FLOAT::NAN);
    module
}

#[export_module]
mod functions {
    /// Writes a number with `digits` digits after the point.
    ///
    /// ```
    /// assert((2.0 / 3.0).fixed(3) == "0.667");
    /// assert(2.fixed(1) == "2.0");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn fixed(this: Number, digits: INT) -> Fallible<String> {
        let (x, digits) = (number(&this, "the value of `fixed`")?, places(digits)?);
        Ok(format!("{x:.digits$}"))
    }

    /// Writes a number in scientific notation with `digits` digits after the point.
    ///
    /// ```
    /// assert(12345.sci(2) == "1.23e4");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn sci(this: Number, digits: INT) -> Fallible<String> {
        let (x, digits) = (number(&this, "the value of `sci`")?, places(digits)?);
        Ok(format!("{x:.digits$e}"))
    }
}

fn places(digits: INT) -> Fallible<usize> {
    usize::try_from(digits).ok().filter(|digits| *digits <= 30).ok_or_else(|| {
        fail(format!("the number of digits must be at least 0 and at most 30, not {digits}"))
    })
}
