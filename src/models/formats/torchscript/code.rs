//! What the code of an archive declares: the parameters and buffers of its classes, and the operators that it calls.

use std::collections::{BTreeMap, BTreeSet};

use super::super::budget::Budget;
use super::super::pickle::Parse;

/// The operators that come with libtorch.
const BUILT_IN: [&str; 14] = [
    "aten",
    "prim",
    "prims",
    "quantized",
    "_quantized",
    "prepacked",
    "mkldnn",
    "mkldnn_prepacked",
    "onednn",
    "sparse",
    "profiler",
    "cuda",
    "inductor",
    "xnnpack",
];

/// What a name or a class takes in memory, beyond its text.
const COST: u64 = 192;

/// One class.
#[derive(Debug, Default)]
pub(super) struct Class {
    /// Whether it is a module, and not a tuple, an enumeration or a plain class.
    pub is_module: bool,
    pub parameters: BTreeSet<String>,
    /// Archives from before PyTorch 1.6 do not say which tensors are buffers.
    pub buffers: Option<BTreeSet<String>>,
}

/// All classes by their full name, and what their methods call.
#[derive(Debug, Default)]
pub(super) struct Code {
    pub classes: BTreeMap<String, Class>,
    pub custom_ops: BTreeSet<String>,
    pub has_methods: bool,
    /// Whether a class rebuilds itself by its own code.
    pub runs_on_load: bool,
}

impl Code {
    /// Takes in the file of the Python module `module`.
    pub fn add(&mut self, module: &str, text: &str, budget: &mut Budget) -> Parse<()> {
        let mut current: Option<&mut Class> = None;
        for line in text.lines() {
            if let Some(declared) = line.strip_prefix("class ") {
                let end = declared.find(['(', ':']).unwrap_or(declared.len());
                let name = format!("{module}.{}", &declared[..end]);
                budget.take(COST + name.len() as u64)?;
                let class = self.classes.entry(name).or_default();
                class.is_module = declared[end..].starts_with("(Module)");
                current = Some(class);
            } else if let (Some(class), Some(member)) = (current.as_deref_mut(), line.strip_prefix("  ")) {
                if let Some(names) = member.strip_prefix("__parameters__ = ") {
                    class.parameters = strings(names, budget)?;
                } else if let Some(names) = member.strip_prefix("__buffers__ = ") {
                    class.buffers = Some(strings(names, budget)?);
                }
                self.has_methods |= member.starts_with("def ");
                self.runs_on_load |= member.starts_with("def __setstate__(");
            }
        }
        custom_ops(text, &mut self.custom_ops, budget)
    }
}

/// The quoted texts of a line.
fn strings(line: &str, budget: &mut Budget) -> Parse<BTreeSet<String>> {
    let (mut found, mut bytes) = (BTreeSet::new(), line.bytes());
    while bytes.by_ref().any(|byte| byte == b'"') {
        let mut text = Vec::new();
        loop {
            match bytes.next() {
                None => return Err("has code with a text that does not end: it is damaged".into()),
                Some(b'"') => break,
                Some(b'\\') => text.push(escaped(&mut bytes)),
                Some(byte) => text.push(byte),
            }
        }
        budget.take(COST + 2 * text.len() as u64)?;
        found.insert(String::from_utf8_lossy(&text).into_owned());
    }
    Ok(found)
}

/// What stands for a byte after a backslash: itself, or three octal digits.
fn escaped(bytes: &mut std::str::Bytes) -> u8 {
    let digit = |byte: u8| (b'0'..=b'7').contains(&byte).then(|| u32::from(byte - b'0'));
    let mut ahead = bytes.clone().take(3).map_while(digit);
    match (ahead.next(), ahead.next(), ahead.next()) {
        (Some(high), Some(middle), Some(low)) => {
            bytes.nth(2);
            (high * 64 + middle * 8 + low) as u8
        }
        _ => bytes.next().unwrap_or(b'\\'),
    }
}

/// Adds `NAMESPACE::NAME` for each `ops.NAMESPACE.NAME` outside of texts.
fn custom_ops(text: &str, found: &mut BTreeSet<String>, budget: &mut Budget) -> Parse<()> {
    let bytes = text.as_bytes();
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let (mut at, mut inside) = (0, false);
    while at < bytes.len() {
        match (bytes[at], inside) {
            (b'\\', true) => at += 1,
            (b'"', _) => inside = !inside,
            (b'\n', _) => inside = false,
            (b'o', false)
                if bytes[at..].starts_with(b"ops.") && (at == 0 || !word(bytes[at - 1]) && bytes[at - 1] != b'.') =>
            {
                let path = &text[at + 4..];
                let end = path.bytes().position(|byte| !word(byte) && byte != b'.').unwrap_or(path.len());
                if let Some((space, name)) = path[..end].split_once('.').filter(|(space, _)| !BUILT_IN.contains(space))
                {
                    let operator = format!("{space}::{name}");
                    if !found.contains(&operator) {
                        budget.take(COST + operator.len() as u64)?;
                        found.insert(operator);
                    }
                }
                at += 3 + end;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Code {
        let mut code = Code::default();
        code.add("__torch__.net", text, &mut Budget::of(0)).unwrap();
        code
    }

    #[test]
    fn classes_declare_their_parameters_and_buffers() {
        let code = code(
            "class Net(Module):\n  __parameters__ = [\"weight\", \"odd\\\"\\303\\251\", ]\n  __buffers__ = []\n  weight : Tensor\n\
             class Point(NamedTuple):\n  x : int\nclass Old(Module):\n  __parameters__ = []\n  def forward(self) -> int:\n    return 1\n",
        );
        assert!(!code.runs_on_load);
        let net = &code.classes["__torch__.net.Net"];
        assert!(net.is_module && net.parameters.contains("weight") && net.parameters.contains("odd\"é"));
        assert!(net.buffers.as_ref().is_some_and(BTreeSet::is_empty));
        assert!(!code.classes["__torch__.net.Point"].is_module);
        assert!(code.classes["__torch__.net.Old"].buffers.is_none() && code.has_methods);
    }

    #[test]
    fn operators_of_others_are_found_outside_of_texts() {
        let code = code(
            "def f(x: Tensor) -> Tensor:\n  a = ops.torchvision.nms(x, ops.my_ops.sub.f(x))\n  b = ops.aten.add(x, \
             ops.prim.f(1))\n  c = \"ops.hidden.f(\\\" ops.hidden.g(\"\n  d = self.ops.not_one(x)\n  e = drops.f.g(x)\n",
        );
        assert_eq!(code.custom_ops.into_iter().collect::<Vec<_>>(), ["my_ops::sub.f", "torchvision::nms"]);
        assert!(!code.has_methods);
    }
}
