//! The instructions of the pickle machine.

use std::collections::HashMap;
use std::io::BufRead;

use super::super::budget::Budget;
use super::value::{Arena, Object, VALUE, Value};
use super::{Dialect, Input, Parse, Pickled, calls, quote};

/// The most instructions that one pickle may have.
const MAX_STEPS: usize = 1 << 24;

/// Runs one pickle, up to and including its STOP instruction. What it keeps is counted against `budget`, the rest of
/// which is in the arena that is returned.
pub(crate) fn run<R: BufRead>(input: &mut Input<R>, dialect: Dialect, budget: Budget) -> Parse<Pickled> {
    let mut machine = Machine {
        input,
        dialect,
        stack: Vec::new(),
        highest: 0,
        marks: Vec::new(),
        memo: HashMap::new(),
        arena: Arena::new(budget),
        refused: None,
    };
    for _ in 0..MAX_STEPS {
        let code = machine.input.byte()?;
        machine.check_refused(code)?;
        if code == b'.' {
            let root = machine.pop()?;
            return Ok(Pickled { root, arena: machine.arena });
        }
        machine.step(code)?;
        machine.weigh_stack()?;
    }
    Err(format!("has over {MAX_STEPS} pickle instructions: this is not a checkpoint of tensors"))
}

struct Machine<'a, R> {
    input: &'a mut Input<R>,
    dialect: Dialect,
    stack: Vec<Value>,
    /// The most values and marks that there were at a time.
    highest: usize,
    /// Where in the stack the open marks are.
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    arena: Arena,
    /// A name that will be refused, once the next instructions have told whether it is a class or a function.
    refused: Option<String>,
}

impl<R: BufRead> Machine<'_, R> {
    /// Refuses a name that is not on the list; an instance of it is about to be made where NEWOBJ follows.
    fn check_refused(&mut self, code: u8) -> Parse<()> {
        // PUT, BINPUT, LONG_BINPUT, MEMOIZE and EMPTY_TUPLE stand between a class and its NEWOBJ
        let Some(name) = self.refused.take_if(|_| !matches!(code, b'p' | b'q' | b'r' | 0x94 | b')')) else {
            return Ok(());
        };
        let of_module = self.stack.iter().rev().take(3).any(|&value| self.arena.text(value) == Some("module"));
        Err(if code == 0x81 || of_module {
            format!(
                "holds a whole pickled object of class {}, not only its weights; regraft never runs code from a checkpoint: \
                 re-save in Python with torch.save(model.state_dict(), …)",
                quote(&name)
            )
        } else {
            format!(
                "holds {}, which is not a tensor or container; regraft never runs code from a checkpoint: re-save in Python \
                 with torch.save(model.state_dict(), …)",
                quote(&name)
            )
        })
    }

    /// Counts what the stack has grown by.
    fn weigh_stack(&mut self) -> Parse<()> {
        let height = self.stack.len() + self.marks.len();
        if height > self.highest {
            self.arena.charge((height - self.highest) * VALUE)?;
            self.highest = height;
        }
        Ok(())
    }

    fn step(&mut self, code: u8) -> Parse<()> {
        match code {
            0x80 => match self.input.byte()? {
                0..=5 => {}
                other => return Err(format!("is a pickle of protocol {other}; protocols 0 to 5 are known")),
            },
            0x95 => drop(self.input.array::<8>()?), // FRAME: a hint for buffering
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'J' | b'K' | b'M' | b'I' | b'L' | 0x8a | 0x8b => self.integer(code)?,
            b'G' => {
                self.input.array::<8>()?;
                self.push(Value::Float);
            }
            b'F' => {
                let line = self.input.line()?;
                line.trim().parse::<f64>().map_err(|_| format!("has {} for a number: it is damaged", quote(&line)))?;
                self.push(Value::Float);
            }
            b'X' | 0x8c | 0x8d | b'T' | b'U' | b'S' | b'V' => self.text(code)?,
            b'B' | b'C' | 0x8e | 0x96 => self.bytes(code)?,
            b'(' => self.marks.push(self.stack.len()),
            b'0' => match self.marks.last() {
                Some(&mark) if mark == self.stack.len() => drop(self.marks.pop()),
                _ => drop(self.pop()?),
            },
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.push(top);
            }
            b')' => self.push_object(Object::Tuple(Vec::new()))?,
            0x85..=0x87 => {
                let mut items = (0..code - 0x84).map(|_| self.pop()).collect::<Parse<Vec<_>>>()?;
                items.reverse();
                self.arena.charge(VALUE * items.len())?;
                self.push_object(Object::Tuple(items))?;
            }
            b't' => {
                let items = self.pop_mark()?;
                self.arena.charge(VALUE.saturating_mul(items.len()))?;
                self.push_object(Object::Tuple(items))?;
            }
            b']' => self.push_object(Object::List(Vec::new()))?,
            b'l' => {
                let items = self.pop_mark()?;
                self.arena.charge(VALUE.saturating_mul(items.len()))?;
                self.push_object(Object::List(items))?;
            }
            b'}' => self.push_object(Object::Dict(Vec::new()))?,
            b'd' => {
                let pairs = pairs(&self.pop_mark()?)?;
                self.arena.charge((2 * VALUE).saturating_mul(pairs.len()))?;
                self.push_object(Object::Dict(pairs))?;
            }
            0x8f => self.push_object(Object::Set)?,
            0x91 => {
                self.pop_mark()?;
                self.push_object(Object::Set)?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend_list(vec![item])?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.extend_list(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.extend_dict(vec![(key, value)])?;
            }
            b'u' => {
                let pairs = pairs(&self.pop_mark()?)?;
                self.extend_dict(pairs)?;
            }
            0x90 => {
                self.pop_mark()?;
                let target = self.top()?;
                match self.arena.object(target) {
                    Some(Object::Set) => {}
                    _ => return Err(self.misfit("adds elements to", target)),
                }
            }
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.memo(code)?,
            b'c' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                self.global(&module, &name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |value| self.arena.text(value).map(str::to_string).ok_or("names something without text");
                let (module, name) = (text(module)?, text(name)?);
                self.global(&module, &name)?;
            }
            b'R' | 0x81 => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                let instance = if code == 0x81 { calls::instance(&mut self.arena, callee)? } else { None };
                let made = instance.map_or_else(|| calls::call(&mut self.arena, callee, arguments), Ok)?;
                self.push(made);
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = calls::persistent(&mut self.arena, id)?;
                self.push(storage);
            }
            // BUILD sets attributes: of a TorchScript object they are all there is to it, of a state dict (`_metadata`)
            // nothing here needs them
            b'b' => {
                let (attributes, target) = (self.pop()?, self.top()?);
                if let Some(Object::Instance { state, .. }) = self.arena.object_mut(target) {
                    *state = attributes;
                }
            }
            b'i' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                self.refused = Some(format!("{module}.{name}"));
                self.check_refused(0x81)?;
            }
            b'o' | 0x92 => {
                return Err("holds an instance of a class, not only tensors; re-save in Python with \
                                       torch.save(model.state_dict(), …)"
                    .into());
            }
            other => return Err(format!("has the pickle instruction {other:#04x}, which torch.save never writes")),
        }
        Ok(())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    fn push_object(&mut self, object: Object) -> Parse<()> {
        let value = self.arena.add(object)?;
        self.push(value);
        Ok(())
    }

    fn top(&self) -> Parse<Value> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack
            .get(floor..)
            .and_then(<[_]>::last)
            .copied()
            .ok_or_else(|| "is a damaged pickle: its stack is empty".into())
    }

    fn pop(&mut self) -> Parse<Value> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_mark(&mut self) -> Parse<Vec<Value>> {
        let mark = self.marks.pop().ok_or("is a damaged pickle: a mark is missing")?;
        // not `split_off`, which hands the whole capacity of a once tall stack to what comes out of it
        Ok(self.stack.drain(mark..).collect())
    }

    fn misfit(&self, does: &str, target: Value) -> String {
        format!("is a damaged pickle: it {does} {}", self.arena.describe(target))
    }

    fn extend_list(&mut self, items: Vec<Value>) -> Parse<()> {
        self.arena.charge(VALUE.saturating_mul(items.len()))?;
        let target = self.top()?;
        match self.arena.object_mut(target) {
            Some(Object::List(list)) => list.extend(items),
            _ => return Err(self.misfit("appends to", target)),
        }
        Ok(())
    }

    fn extend_dict(&mut self, pairs: Vec<(Value, Value)>) -> Parse<()> {
        self.arena.charge((2 * VALUE).saturating_mul(pairs.len()))?;
        let target = self.top()?;
        match self.arena.object_mut(target) {
            Some(Object::Dict(dict)) => dict.extend(pairs),
            _ => return Err(self.misfit("sets items of", target)),
        }
        Ok(())
    }

    fn integer(&mut self, code: u8) -> Parse<()> {
        let value = match code {
            b'J' => Value::Int(i32::from_le_bytes(self.input.array()?).into()),
            b'K' => Value::Int(self.input.byte()?.into()),
            b'M' => Value::Int(u16::from_le_bytes(self.input.array()?).into()),
            b'I' | b'L' => {
                let line = self.input.line()?;
                match (code, line.trim().trim_end_matches('L')) {
                    (b'I', "00") => Value::Bool(false),
                    (b'I', "01") => Value::Bool(true),
                    (_, digits) if digits.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit()) => {
                        digits.parse().map_or(Value::LargeInt, Value::Int)
                    }
                    _ => return Err(format!("has {} for a number: it is damaged", quote(&line))),
                }
            }
            _ => {
                let length = if code == 0x8a { self.input.byte()?.into() } else { self.unsigned::<4>()? };
                let bytes = self.input.bytes(length)?;
                if bytes.len() > 8 {
                    Value::LargeInt
                } else {
                    // two's complement, least significant byte first
                    let fill = if bytes.last().is_some_and(|&byte| byte >= 0x80) { 0xff } else { 0 };
                    let mut full = [fill; 8];
                    full[..bytes.len()].copy_from_slice(&bytes);
                    Value::Int(i64::from_le_bytes(full))
                }
            }
        };
        self.push(value);
        Ok(())
    }

    fn unsigned<const N: usize>(&mut self) -> Parse<u64> {
        let mut full = [0; 8];
        full[..N].copy_from_slice(&self.input.array::<N>()?);
        Ok(u64::from_le_bytes(full))
    }

    fn text(&mut self, code: u8) -> Parse<()> {
        let text = match code {
            // Python 2's byte strings: names in old files; bytes outside ASCII matter to no one here
            b'T' | b'U' => {
                let length = if code == b'U' { self.input.byte()?.into() } else { self.unsigned::<4>()? };
                String::from_utf8_lossy(&self.input.bytes(length)?).into_owned()
            }
            b'S' => self.input.line()?.trim().trim_matches(['\'', '"']).to_string(),
            b'V' => self.input.line()?,
            _ => {
                let length = match code {
                    0x8c => self.input.byte()?.into(),
                    b'X' => self.unsigned::<4>()?,
                    _ => self.unsigned::<8>()?,
                };
                self.input.text(length)?
            }
        };
        self.arena.charge(text.capacity())?;
        self.push_object(Object::Text(text))
    }

    fn bytes(&mut self, code: u8) -> Parse<()> {
        let length = match code {
            b'C' => self.input.byte()?.into(),
            b'B' => self.unsigned::<4>()?,
            _ => self.unsigned::<8>()?,
        };
        self.input.skip(length)?;
        self.push_object(Object::Bytes)
    }

    fn memo(&mut self, code: u8) -> Parse<()> {
        let index = match code {
            b'p' | b'g' => {
                let line = self.input.line()?;
                line.trim().parse().map_err(|_| format!("has {} for a memo: it is damaged", quote(&line)))?
            }
            b'q' | b'h' => self.input.byte()?.into(),
            b'r' | b'j' => self.unsigned::<4>()?,
            _ => self.memo.len() as u64,
        };
        if matches!(code, b'g' | b'h' | b'j') {
            let value = *self.memo.get(&index).ok_or("is a damaged pickle: it refers to what it did not keep")?;
            self.push(value);
        } else if self.refused.is_none() {
            let top = self.top()?;
            if self.memo.insert(index, top).is_none() {
                self.arena.charge(2 * VALUE)?;
            }
        }
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Parse<()> {
        match calls::global(&mut self.arena, self.dialect, module, name)? {
            Some(known) => self.push_object(Object::Global(known)),
            None => {
                self.refused = Some(format!("{module}.{name}"));
                Ok(())
            }
        }
    }
}

/// Keys and values in turn, paired.
fn pairs(items: &[Value]) -> Parse<Vec<(Value, Value)>> {
    let pairs = items.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err("is a damaged pickle: a dictionary has a key without a value".into());
    }
    Ok(pairs.map(|pair| (pair[0], pair[1])).collect())
}
