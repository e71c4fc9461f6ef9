//! Which of a pickle's contents is the state dict: nested checkpoints, entries that are not tensors, wrapper prefixes.

use std::collections::BTreeMap;

use super::budget::Budget;
use super::pickle::{Arena, Parse, Pickled, Value, View, quote};

/// Where training scripts put the weights, in order of preference.
const NESTS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

/// How deep nests are followed.
const MAX_DEPTH: usize = 3;

/// What wrappers put before every name: DataParallel, torch.compile, and a wrapping module.
const PREFIXES: [&str; 3] = ["module.", "_orig_mod.", "model."];

/// What a tensor takes beside its elements: libtorch's own record of it, and the names and numbers here.
pub(super) const TENSOR_COST: u64 = 1024;

/// The tensors of a pickle that form a state dict, and what was done to find them.
pub(super) struct Selection {
    pub tensors: BTreeMap<String, View>,
    pub notes: Vec<String>,
}

/// Finds the state dict in `pickled`.
pub(super) fn select(pickled: &Pickled, budget: &mut Budget) -> Parse<Selection> {
    let Pickled { root, arena } = pickled;
    let Some(top) = arena.dict(*root) else {
        return Err(format!(
            "holds {}, not a dictionary of tensors; save one with torch.save(model.state_dict(), …)",
            arena.describe(*root)
        ));
    };
    let mut notes = Vec::new();
    let Some((trail, found)) = find(arena, *root, 0) else {
        return Err(format!(
            "holds no state dict: its entries are {}; expected tensors, or a dictionary of them under {}",
            list(top.iter().map(|(key, _)| name(arena, *key))),
            list(NESTS.iter().map(|nest| quote(nest)))
        ));
    };
    let mut level = *root;
    for step in trail {
        let others = arena.dict(level).unwrap_or_default().iter().map(|(key, _)| *key);
        let mut others = others.filter(|key| arena.text(*key) != Some(step)).map(|key| name(arena, key)).peekable();
        notes.push(match others.peek() {
            None => format!("took the weights under {}", quote(step)),
            Some(_) => format!("took the weights under {}, left out {}", quote(step), list(others)),
        });
        level = get(arena, level, step).unwrap_or(level);
    }
    let (mut tensors, mut skipped) = (BTreeMap::new(), 0);
    let entries = arena.dict(found).unwrap_or_default();
    let is_tensor = |&(key, value): &(Value, Value)| arena.text(key).is_some() && arena.tensor(value).is_some();
    for &(key, value) in entries {
        match (arena.text(key), arena.tensor(value)) {
            (Some(key), Some(view)) => {
                budget.take(TENSOR_COST + 2 * key.len() as u64 + 32 * view.size.len() as u64)?;
                tensors.insert(key.to_string(), view.clone());
            }
            _ => skipped += 1,
        }
    }
    if skipped > 0 {
        let what = if skipped == 1 { "entry that is not a tensor" } else { "entries that are not tensors" };
        let names = entries.iter().filter(|entry| !is_tensor(entry)).map(|&(key, _)| name(arena, key));
        notes.push(format!("skipped {skipped} {what}: {}", list(names)));
    }
    Ok(Selection { tensors, notes })
}

/// The dictionary that holds tensors, and the keys that lead to it.
fn find(arena: &Arena, dict: Value, depth: usize) -> Option<(Vec<&'static str>, Value)> {
    if depth < MAX_DEPTH {
        for nest in NESTS {
            let inner = get(arena, dict, nest).filter(|&value| arena.dict(value).is_some());
            if let Some((mut trail, found)) = inner.and_then(|inner| find(arena, inner, depth + 1)) {
                trail.insert(0, nest);
                return Some((trail, found));
            }
        }
    }
    let holds_tensor = |&(key, value): &(Value, Value)| arena.text(key).is_some() && arena.tensor(value).is_some();
    arena.dict(dict)?.iter().any(holds_tensor).then(|| (Vec::new(), dict))
}

fn get(arena: &Arena, dict: Value, key: &str) -> Option<Value> {
    // the last one counts, as in Python
    arena.dict(dict)?.iter().rev().find(|(name, _)| arena.text(*name) == Some(key)).map(|(_, value)| *value)
}

fn name(arena: &Arena, key: Value) -> String {
    match (key, arena.text(key)) {
        (_, Some(text)) => quote(text),
        (Value::Int(number), _) => number.to_string(),
        _ => arena.describe(key).to_string(),
    }
}

/// The first few names, and how many more there are.
pub(super) fn list(mut names: impl Iterator<Item = String>) -> String {
    let shown = names.by_ref().take(5).collect::<Vec<_>>().join(", ");
    match (shown.is_empty(), names.count()) {
        (true, _) => "none".into(),
        (false, 0) => shown,
        (false, more) => format!("{shown} and {more} more"),
    }
}

/// Takes off the wrappers' prefixes that every name has; returns one note for each.
pub(super) fn strip_wrappers<T>(tensors: &mut BTreeMap<String, T>) -> Vec<String> {
    let mut notes = Vec::new();
    while let Some(prefix) = PREFIXES.iter().find(|prefix| strip(tensors, prefix)) {
        notes.push(format!("took the prefix {} off all {} names", quote(prefix), tensors.len()));
    }
    notes
}

/// Takes `prefix` off all names, if every name has it and more after it.
pub(super) fn strip<T>(tensors: &mut BTreeMap<String, T>, prefix: &str) -> bool {
    let longer = |name: &String| name.len() > prefix.len() && name.starts_with(prefix);
    let all = !prefix.is_empty() && !tensors.is_empty() && tensors.keys().all(longer);
    if all {
        let old = std::mem::take(tensors);
        tensors.extend(old.into_iter().map(|(name, tensor)| (name[prefix.len()..].to_string(), tensor)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_come_off_only_where_all_names_wear_them() {
        let names = |names: &[&str]| names.iter().map(|name| (name.to_string(), ())).collect::<BTreeMap<_, _>>();
        let mut wrapped = names(&["module._orig_mod.fc.bias", "module._orig_mod.fc.weight"]);
        assert_eq!(strip_wrappers(&mut wrapped).len(), 2);
        assert_eq!(wrapped, names(&["fc.bias", "fc.weight"]));
        let mut partly = names(&["module.fc.bias", "fc.weight"]);
        assert!(strip_wrappers(&mut partly).is_empty());
        let mut only_prefix = names(&["model."]);
        assert!(!strip(&mut only_prefix, "model."));
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(list((0..7).map(|n| n.to_string())), "0, 1, 2, 3, 4 and 2 more");
        assert_eq!(list(["a".to_string()].into_iter()), "a");
    }
}
