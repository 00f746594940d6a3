//! What can be chosen about data.

use crate::host::{Fallible, Host, fail, words};
use crate::lists::floats;
use crate::options::OptionMap;
use rhai::Array;
use rwkv_engine::chat::{FORMATS, Format, Template};
use rwkv_engine::data::{Bad, Cut, Emphasis, Order};
use rwkv_engine::tokenizer::Tokenizer;
use std::ops::RangeInclusive;

/// Largest number of a range; what is too much for a task is said by the engine.
const MOST: f64 = (1_u64 << 40) as f64;

/// Reads the options of one source.
pub struct Chosen {
    what: &'static str,
    options: OptionMap,
}

impl Chosen {
    pub fn new(what: &'static str, options: rhai::Map) -> Self {
        Self { what, options: OptionMap::new(what, options) }
    }

    fn wrong(&self, what: impl std::fmt::Display) -> Box<rhai::EvalAltResult> {
        fail(format!("{}: {what}", self.what))
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// When there is an option that nobody asked for.
    pub fn finish(self) -> Fallible<()> {
        self.options.finish()
    }

    /// How the data is cut into samples.
    ///
    /// # Errors
    /// As all of these: when an option is of the wrong kind or out of range.
    pub fn cut(&mut self, host: &Host) -> Fallible<Cut> {
        let ctx_len = self.options.integer("ctx_len", 128, 1..=1 << 20)? as usize;
        let order = match self.one_of("order", &["", "continue"])? {
            "continue" => Order::Continue,
            _ => Order::Usual,
        };
        Ok(Cut { order, ..Cut::new(ctx_len, self.seed(host)?) })
    }

    pub fn seed(&mut self, host: &Host) -> Fallible<u64> {
        let seed = self.options.optional_integer("seed", ..)?;
        Ok(seed.map_or_else(|| host.next_seed(), |seed| seed as u64))
    }

    /// As `cut`, for data that has an order of its own.
    pub fn shuffled_cut(&mut self, host: &Host) -> Fallible<Cut> {
        let cut = self.cut(host)?;
        let Some(shuffle) = self.options.take("shuffle") else { return Ok(cut) };
        let order = match (shuffle.as_bool(), cut.order) {
            (Ok(false), Order::Continue) => Order::Continue,
            (Ok(true), Order::Continue) => {
                return Err(
                    self.wrong("rows that continue cannot be shuffled; give one of the two")
                );
            }
            (Ok(true), _) => Order::Shuffled,
            (Ok(false), _) => Order::Straight,
            (Err(kind), _) => {
                return Err(self.wrong(format!("`shuffle` must be true or false, not {kind}")));
            }
        };
        Ok(Cut { order, ..cut })
    }

    /// As `shuffled_cut`, for documents.
    pub fn documents_cut(&mut self, host: &Host) -> Fallible<Cut> {
        let cut = self.shuffled_cut(host)?;
        Ok(Cut { pack: self.options.flag("pack", true)?, ..cut })
    }

    pub fn flag(&mut self, key: &'static str) -> Fallible<bool> {
        self.options.flag(key, false)
    }

    /// What becomes of what cannot be used.
    pub fn bad(&mut self) -> Fallible<Bad> {
        let bad = self.one_of("bad", &["error", "skip"])?;
        Ok(if bad == "skip" { Bad::Skip } else { Bad::Refuse })
    }

    /// One of the words, the first if nothing is said.
    fn one_of(&mut self, key: &'static str, known: &[&'static str]) -> Fallible<&'static str> {
        let said = self.options.text(key, known[0])?;
        known.iter().find(|word| **word == said).copied().ok_or_else(|| {
            let known: Vec<_> = known.iter().filter(|word| !word.is_empty()).copied().collect();
            self.wrong(format!("`{key}` must be {}, not {said}", known.join(" or ")))
        })
    }

    /// What of a text is to be learnt, and how much the rest counts if that is said.
    pub fn emphasis(&mut self) -> Fallible<(Option<Emphasis>, Option<f32>)> {
        let markers = self.options.texts("learn")?;
        let said = self.options.number("elsewhere", -1.0, -1.0..=1.0)? as f32;
        let elsewhere = Some(said).filter(|share| *share != -1.0);
        if elsewhere.is_some_and(|share| share < 0.0) {
            return Err(
                self.wrong(format!("`elsewhere` must be at least 0 and at most 1, not {said}"))
            );
        }
        match markers.as_slice() {
            [] => Ok((None, elsewhere)),
            [start, end] if !start.is_empty() && !end.is_empty() => {
                let (start, end) = (start.clone(), end.clone());
                let emphasis = Emphasis { start, end, elsewhere: elsewhere.unwrap_or(0.1) };
                Ok((Some(emphasis), elsewhere))
            }
            _ => Err(self.wrong("`learn` must be two texts, such as [\"Assistant:\", \"\\n\\n\"]")),
        }
    }

    /// How conversations are written.
    pub fn template(&mut self) -> Fallible<Template> {
        let names: Vec<_> = FORMATS.iter().map(|format| format.name).collect();
        let name = self.one_of("format", &names)?;
        let mut template = Template::new(Format::named(name).unwrap_or(&FORMATS[0]));
        let system = self.options.text("system", "")?;
        template.system = Some(system).filter(|text| !text.is_empty());
        for (key, place) in [("user", &mut template.user), ("assistant", &mut template.assistant)] {
            *place = self.options.text(key, place)?;
        }
        template.check().map_err(crate::host::engine_failure)?;
        Ok(template)
    }

    /// A tokenizer; bytes if nothing is said.
    pub fn tokenizer(&mut self) -> Fallible<Tokenizer> {
        let Some(value) = self.options.take("tokenizer") else { return Ok(Tokenizer::bytes()) };
        let found = words(&value);
        value.try_cast::<Tokenizer>().ok_or_else(|| {
            self.wrong(format!(
                "`tokenizer` must be a Tokenizer, such as model.tokenizer, not {found}"
            ))
        })
    }

    pub fn texts(&mut self, key: &'static str) -> Fallible<Vec<String>> {
        self.options.texts(key)
    }

    pub fn text(&mut self, key: &'static str, usual: &str) -> Fallible<String> {
        self.options.text(key, usual)
    }

    /// A share from 0 to 1, where one is said.
    pub fn share(&mut self, key: &'static str) -> Fallible<Option<f64>> {
        let share = self.options.number(key, f64::NAN, ..)?;
        Ok(Some(share).filter(|share| !share.is_nan()))
    }

    pub fn weight(&mut self, key: &'static str, usual: f64) -> Fallible<f32> {
        Ok(self.options.number(key, usual, 0.0..=1.0)? as f32)
    }

    pub fn count(&mut self, key: &'static str, usual: usize) -> Fallible<usize> {
        Ok(self.options.integer(key, usual as i64, 0..=1 << 40)? as usize)
    }

    /// A number, or two as `[least, most]`.
    pub fn span(
        &mut self,
        key: &'static str,
        usual: &RangeInclusive<usize>,
    ) -> Fallible<RangeInclusive<usize>> {
        let Some(value) = self.options.take(key) else { return Ok(usual.clone()) };
        let list = match value.read_lock::<Array>() {
            Some(list) => list.clone(),
            None => vec![value.clone()],
        };
        let numbers = floats(&list, &format!("{}: `{key}`", self.what))?;
        let whole = numbers.iter().all(|n| n.fract() == 0.0 && (0.0..=MOST).contains(n));
        match numbers[..] {
            [n] if whole => Ok(n as usize..=n as usize),
            [least, most] if whole && least <= most => Ok(least as usize..=most as usize),
            _ => {
                let what = "must be a whole number, or two as [least, most]";
                Err(self.wrong(format!("`{key}` {what}")))
            }
        }
    }
}
