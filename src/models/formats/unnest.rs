//! Which of a pickle's contents is the state dict: nested checkpoints, entries that are not tensors, wrapper prefixes.

use std::collections::BTreeMap;

use super::pickle::{Arena, Parse, Pickled, Value, View, quote};

/// Where training scripts put the weights, in order of preference.
const NESTS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

/// How deep nests are followed.
const MAX_DEPTH: usize = 3;

/// What wrappers put before every name: DataParallel, torch.compile, and a wrapping module.
const PREFIXES: [&str; 3] = ["module.", "_orig_mod.", "model."];

/// The tensors of a pickle that form a state dict, and what was done to find them.
pub(super) struct Selection {
    pub tensors: BTreeMap<String, View>,
    pub notes: Vec<String>,
}

/// Finds the state dict in `pickled`.
pub(super) fn select(pickled: &Pickled) -> Parse<Selection> {
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
        let others: Vec<_> = others.filter(|key| arena.text(*key) != Some(step)).map(|key| name(arena, key)).collect();
        match others.is_empty() {
            true => notes.push(format!("took the weights under {}", quote(step))),
            false => {
                notes.push(format!("took the weights under {}, left out {}", quote(step), list(others.into_iter())))
            }
        }
        level = get(arena, level, step).unwrap_or(level);
    }
    let (mut tensors, mut skipped) = (BTreeMap::new(), Vec::new());
    for &(key, value) in arena.dict(found).unwrap_or_default() {
        match (arena.text(key), arena.tensor(value)) {
            (Some(key), Some(view)) => drop(tensors.insert(key.to_string(), view.clone())),
            _ => skipped.push(name(arena, key)),
        }
    }
    if !skipped.is_empty() {
        let count = skipped.len();
        let what = if count == 1 { "entry that is not a tensor" } else { "entries that are not tensors" };
        notes.push(format!("skipped {count} {what}: {}", list(skipped.into_iter())));
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
pub(super) fn list(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "none".into(),
        1..=5 => shown,
        more => format!("{shown} and {} more", more - 5),
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
