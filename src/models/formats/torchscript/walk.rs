//! From the objects of an archive to names: modules are followed, parameters and buffers kept, all else left out.

use std::collections::BTreeMap;

use super::super::budget::Budget;
use super::super::pickle::{Arena, Object, Parse, Pickled, Value, View, quote};
use super::super::unnest::{TENSOR_COST, list};
use super::Module;
use super::code::{Class, Code};

/// How deep modules may be in one another.
const MAX_DEPTH: usize = 128;

/// What looking at an attribute counts for: a module may be reached by many paths, each of which takes its time.
const ATTRIBUTE_COST: u64 = 32;

/// What was found in an archive.
#[derive(Default)]
pub(super) struct Found {
    pub tensors: BTreeMap<String, View>,
    pub parameters: Vec<String>,
    pub buffers: Vec<String>,
    pub modules: Vec<Module>,
    pub notes: Vec<String>,
}

struct Walk<'a, 'b> {
    arena: &'a Arena,
    code: &'a Code,
    budget: &'b mut Budget,
    found: Found,
    /// Modules that build their state with code of their own.
    opaque: Vec<String>,
    /// Whether a class does not say which of its tensors are buffers.
    guessed: bool,
}

/// Follows the modules from the root of `pickled`.
pub(super) fn walk(pickled: &Pickled, code: &Code, budget: &mut Budget) -> Parse<Found> {
    let arena = &pickled.arena;
    let mut walk = Walk { arena, code, budget, found: Found::default(), opaque: Vec::new(), guessed: false };
    match instance(arena, pickled.root).and_then(|(class, state)| Some((class, walk.module_class(class)?, state))) {
        Some((name, class, state)) => walk.visit(String::new(), name, class, state)?,
        None => {
            let what = arena.describe(pickled.root);
            return Err(format!("holds {what} where a TorchScript module is expected: it is damaged"));
        }
    }
    let Walk { mut found, opaque, guessed, .. } = walk;
    if !opaque.is_empty() {
        let names = list(opaque.into_iter());
        found
            .notes
            .push(format!("left out what only the code of the archive could rebuild, as of quantised layers: {names}"));
    }
    if guessed {
        found
            .notes
            .push("took every tensor that is no parameter for a buffer: the archive is older than PyTorch 1.6".into());
    }
    Ok(found)
}

fn instance(arena: &Arena, value: Value) -> Option<(&str, Value)> {
    match arena.object(value)? {
        &Object::Instance { class, state } => Some((arena.classes.get(class)?, state)),
        _ => None,
    }
}

impl<'a> Walk<'a, '_> {
    fn module_class(&self, name: &str) -> Option<&'a Class> {
        self.code.classes.get(name).filter(|class| class.is_module)
    }

    fn visit(&mut self, path: String, name: &str, class: &'a Class, state: Value) -> Parse<()> {
        let depth = path.split('.').count();
        if depth > MAX_DEPTH {
            return Err(format!("has modules more than {MAX_DEPTH} deep in one another: it is damaged"));
        }
        self.budget.take(TENSOR_COST + (path.len() + name.len()) as u64)?;
        let attributes = self.arena.dict(state);
        if attributes.is_none() {
            self.opaque.push(format!("{} ({name})", quote(&path)));
        }
        let attributes = attributes.unwrap_or_default();
        let is_training =
            |&(key, value): &(Value, Value)| self.arena.text(key) == Some("training") && value == Value::Bool(true);
        let training = attributes.iter().any(is_training);
        self.found.modules.push(Module { path: path.clone(), class: name.to_string(), training });
        self.budget.take(ATTRIBUTE_COST.saturating_mul(attributes.len() as u64))?;
        self.guessed |= class.buffers.is_none();
        for &(key, value) in attributes {
            let key = self.arena.text(key).ok_or("has an attribute without a name: it is damaged")?;
            let full = || if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
            if let Some(view) = self.arena.tensor(value) {
                let is_parameter = class.parameters.contains(key);
                if is_parameter || class.buffers.as_ref().is_none_or(|buffers| buffers.contains(key)) {
                    self.keep(full(), view, is_parameter)?;
                }
            } else if let Some((name, state)) = instance(self.arena, value) {
                match self.module_class(name) {
                    Some(class) => self.visit(full(), name, class, state)?,
                    None if name.starts_with("__torch__.torch.classes.") => {
                        self.budget.take(TENSOR_COST + (path.len() + name.len()) as u64)?;
                        self.opaque.push(format!("{} ({name})", quote(&full())));
                    }
                    // plain objects, tuples: not part of a state dict in PyTorch either
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, name: String, view: &View, is_parameter: bool) -> Parse<()> {
        self.budget.take(TENSOR_COST + 4 * name.len() as u64 + 32 * view.size.len() as u64)?;
        if self.found.tensors.insert(name.clone(), view.clone()).is_some() {
            return Err(format!("has two tensors called {}: it is damaged", quote(&name)));
        }
        let names = if is_parameter { &mut self.found.parameters } else { &mut self.found.buffers };
        names.push(name);
        Ok(())
    }
}

impl Found {
    /// Names of tch's `.ot` files have `|` where others have a dot, which no attribute may contain.
    pub fn restore_dots(&mut self) -> Parse<()> {
        let before = self.tensors.len();
        self.tensors =
            std::mem::take(&mut self.tensors).into_iter().map(|(name, view)| (name.replace('|', "."), view)).collect();
        if self.tensors.len() < before {
            return Err("has two tensors whose names differ only in `|` and a dot: it is damaged".into());
        }
        for name in self.parameters.iter_mut().chain(&mut self.buffers) {
            *name = name.replace('|', ".");
        }
        Ok(())
    }
}
