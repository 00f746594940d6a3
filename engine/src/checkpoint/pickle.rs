//! A reader of pickles that constructs nothing and runs nothing.
//!
//! A pickle is a program for a small stack machine, and Python's own machine lets it call any
//! function. This one knows the opcodes that `torch.save` writes and the few names of
//! [`Global::ALL`]; anything else is an error. It keeps calls as data: what a tensor is made of is
//! wanted, not the tensor. The crates that read pickles hand out owned objects, or tensors that are
//! copied already; here the ranges of a mapped file are needed.
//!
//! Values live in one list and name each other by their index there, so that neither a pickle that
//! contains itself nor one nested a million deep makes anything here recurse.

use super::Dtype;
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::collections::HashMap;

/// A value's index in its [`Pickle`].
pub(super) type Id = usize;

/// A value, with its parts named by their index.
#[derive(Debug)]
pub(super) enum Value<'a> {
    /// Something a checkpoint has no use for: `None`, floats, bytes.
    Other,
    Flag(bool),
    Int(i64),
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    /// A function that Python would have called, and the tuple it would have been called with.
    Call(Global, Id),
    /// A reference to something outside the pickle; torch keeps its storages there.
    Persistent(Id),
}

/// The names that a pickle may mention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    Tensor,
    Parameter,
    Storage(Dtype),
}

impl Global {
    const ALL: [(&'static str, &'static str, Self); 13] = [
        ("collections", "OrderedDict", Self::OrderedDict),
        ("torch._utils", "_rebuild_tensor_v2", Self::Tensor),
        ("torch._utils", "_rebuild_parameter", Self::Parameter),
        ("torch", "DoubleStorage", Self::Storage(Dtype::F64)),
        ("torch", "FloatStorage", Self::Storage(Dtype::F32)),
        ("torch", "HalfStorage", Self::Storage(Dtype::F16)),
        ("torch", "BFloat16Storage", Self::Storage(Dtype::BF16)),
        ("torch", "LongStorage", Self::Storage(Dtype::I64)),
        ("torch", "IntStorage", Self::Storage(Dtype::I32)),
        ("torch", "ShortStorage", Self::Storage(Dtype::I16)),
        ("torch", "CharStorage", Self::Storage(Dtype::I8)),
        ("torch", "ByteStorage", Self::Storage(Dtype::U8)),
        ("torch", "BoolStorage", Self::Storage(Dtype::Bool)),
    ];

    fn named(module: &str, name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(m, n, _)| (*m, *n) == (module, name));
        let (_, _, global) = found.with_context(|| {
            format!("it asks for `{module:.60}.{name:.60}`, which is never run")
        })?;
        Ok(*global)
    }
}

/// The values of a pickle.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    values: Vec<Value<'a>>,
    root: Id,
}

impl<'a> Pickle<'a> {
    /// Reads a pickle of protocol 2 to 5.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self> {
        Ok(Self::read_first(bytes)?.0)
    }

    /// Reads the pickle that `bytes` start with, and gives what follows it.
    pub(super) fn read_first(bytes: &'a [u8]) -> Result<(Self, &'a [u8])> {
        let mut machine = Machine { bytes, ..Default::default() };
        loop {
            if let Some(root) = machine.step()? {
                return Ok((Self { values: machine.values, root }, machine.bytes));
            }
        }
    }

    /// All values, in the order in which they were made.
    pub(super) fn values(&self) -> &[Value<'a>] {
        &self.values
    }

    /// The value that the whole pickle stands for.
    pub(super) fn root(&self) -> &Value<'a> {
        &self.values[self.root]
    }

    /// Where that value is.
    pub(super) fn root_id(&self) -> Id {
        self.root
    }

    /// The value of an index that another value of this pickle holds.
    pub(super) fn at(&self, id: Id) -> &Value<'a> {
        &self.values[id]
    }
}

#[derive(Default)]
struct Machine<'a> {
    /// What is still to be read.
    bytes: &'a [u8],
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack; what lies below the topmost is out of reach.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// Carries out one opcode; the value of the whole when it was the last.
    fn step(&mut self) -> Result<Option<Id>> {
        match self.byte()? {
            0x80 => self.byte().map(drop)?,  // PROTO
            0x95 => self.take(8).map(drop)?, // FRAME
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => self.pop().map(drop)?,
            b'1' => self.pop_mark().map(drop)?,
            b'2' => self.duplicate()?,
            opcode => {
                if !(self.scalar(opcode)? || self.collection(opcode)? || self.object(opcode)?) {
                    bail!("it contains the unexpected opcode 0x{opcode:02x}");
                }
            }
        }
        Ok(None)
    }

    /// Opcodes that push one plain value.
    fn scalar(&mut self, opcode: u8) -> Result<bool> {
        let value = match opcode {
            b'N' => Value::Other, // None
            0x88 | 0x89 => Value::Flag(opcode == 0x88),
            b'G' => self.take(8).map(|_| Value::Other)?,
            b'K' => Value::Int(self.number(1)? as i64),
            b'M' => Value::Int(self.number(2)? as i64),
            b'J' => Value::Int(i64::from(self.number(4)? as u32 as i32)),
            0x8a => self.long()?,
            0x8c => self.text(1)?,
            b'X' => self.text(4)?,
            0x8d => self.text(8)?,
            b'U' | b'C' => self.sized(1).map(|_| Value::Other)?, // bytes
            b'T' | b'B' => self.sized(4).map(|_| Value::Other)?,
            0x8e | 0x96 => self.sized(8).map(|_| Value::Other)?,
            _ => return Ok(false),
        };
        self.push(value);
        Ok(true)
    }

    /// Opcodes of tuples, lists and dictionaries.
    fn collection(&mut self, opcode: u8) -> Result<bool> {
        match opcode {
            b')' => self.push(Value::Tuple(Vec::new())),
            0x85..=0x87 => {
                let mut parts = Vec::with_capacity(3);
                for _ in 0x84..opcode {
                    parts.push(self.pop()?);
                }
                parts.reverse();
                self.push(Value::Tuple(parts));
            }
            b't' => {
                let parts = self.pop_mark()?;
                self.push(Value::Tuple(parts));
            }
            b']' | 0x8f => self.push(Value::List(Vec::new())),
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.append(&items)?;
            }
            b'}' => self.push(Value::Dict(Vec::new())),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set_items(&items)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Opcodes that name, call, remember and refer.
    fn object(&mut self, opcode: u8) -> Result<bool> {
        match opcode {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(Global::named(module, name)?));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) =
                    (&self.values[module], &self.values[name])
                else {
                    bail!("it names a function by something that is no text");
                };
                let global = Global::named(module, name)?;
                self.push(Value::Global(global));
            }
            b'R' => self.call()?,
            b'b' => self.pop().map(drop)?, // attributes, such as the `_metadata` of a state dict
            b'Q' => {
                let id = self.pop()?;
                self.push(Value::Persistent(id));
            }
            b'h' | b'j' => {
                let key = self.number(if opcode == b'h' { 1 } else { 4 })? as u32;
                let id = *self.memo.get(&key).context("it recalls what it never remembered")?;
                self.stack.push(id);
            }
            b'q' | b'r' => {
                let key = self.number(if opcode == b'q' { 1 } else { 4 })? as u32;
                self.remember(key)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn call(&mut self) -> Result<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Global(function) = self.values[function] else {
            bail!("it calls something that is no function");
        };
        let Value::Tuple(parts) = &self.values[arguments] else {
            bail!("it calls a function without a tuple of arguments");
        };
        let value = match function {
            Global::OrderedDict => {
                ensure!(parts.is_empty(), "it builds a dictionary in a way that torch does not");
                Value::Dict(Vec::new())
            }
            function => Value::Call(function, arguments),
        };
        self.push(value);
        Ok(())
    }

    fn append(&mut self, items: &[Id]) -> Result<()> {
        let list = self.top()?;
        let Value::List(entries) = &mut self.values[list] else {
            bail!("it appends to something that is no list");
        };
        entries.extend_from_slice(items);
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<()> {
        let dict = self.top()?;
        let Value::Dict(entries) = &mut self.values[dict] else {
            bail!("it puts items into something that is no dictionary");
        };
        ensure!(items.len().is_multiple_of(2), "it has a key without a value");
        entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        Ok(())
    }

    fn remember(&mut self, key: u32) -> Result<()> {
        let id = self.top()?;
        self.memo.insert(key, id);
        Ok(())
    }

    fn duplicate(&mut self) -> Result<()> {
        let id = self.top()?;
        self.stack.push(id);
        Ok(())
    }

    fn push(&mut self, value: Value<'a>) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn top(&self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        ensure!(self.stack.len() > floor, "it takes from an empty stack");
        Ok(self.stack[self.stack.len() - 1])
    }

    fn pop(&mut self) -> Result<Id> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    /// Everything above the topmost mark, which goes too.
    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().context("it lacks a mark")?;
        Ok(self.stack.split_off(mark)) // `top` keeps the stack at least this high
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).context("it ends too early")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// An unsigned little-endian number of at most eight bytes.
    fn number(&mut self, width: usize) -> Result<u64> {
        let bytes = self.take(width)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A signed number whose width stands before it.
    fn long(&mut self) -> Result<Value<'a>> {
        let width = usize::from(self.byte()?);
        ensure!(width <= 8, "it contains a number of {width} bytes");
        let unused = 64 - 8 * width as u32;
        let number = self.number(width)?.checked_shl(unused).unwrap_or(0) as i64;
        Ok(Value::Int(number.checked_shr(unused).unwrap_or(0)))
    }

    /// Bytes whose count stands before them in `width` bytes.
    fn sized(&mut self, width: usize) -> Result<&'a [u8]> {
        let count = usize::try_from(self.number(width)?)?;
        self.take(count)
    }

    fn text(&mut self, width: usize) -> Result<Value<'a>> {
        let text = str::from_utf8(self.sized(width)?);
        Ok(Value::Text(text.map_err(|_| anyhow!("it contains text that is not UTF-8"))?))
    }

    fn line(&mut self) -> Result<&'a str> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n').context("it ends too early")?;
        let line = str::from_utf8(self.take(end)?).context("it contains a name that is no text")?;
        self.byte()?;
        Ok(line)
    }
}
