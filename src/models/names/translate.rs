//! From the names in a file to the names in a model, with the rules of the user or of the dialect that fits best.

use std::collections::{BTreeMap, BTreeSet};

use tch::Tensor;

use super::rule::{Rule, Then};
use super::{Dialect, candidates};
use crate::models::architecture::with_source_head;
use crate::models::formats::{Reshaping, StateDict};
use crate::models::{Builder, registry};
use crate::{Error, Result};

/// A checkpoint under a model's names.
#[derive(Debug)]
pub struct Translated {
    /// Its tensors.
    pub dict: StateDict,
    /// The dialect that its names were in; `None` if they are the model's.
    pub dialect: Option<String>,
    /// For every name that is not the file's own, the tensors of the file that it was made from.
    pub origins: BTreeMap<String, Vec<String>>,
    /// Tensors that have another shape than in the file.
    pub reshaped: Vec<Reshaping>,
}

impl Translated {
    /// What the tensor `name` is called in the file.
    pub fn in_file(&self, name: &str) -> String {
        self.origins.get(name).map_or_else(|| name.to_string(), |parts| parts.join(" + "))
    }

    /// Puts the names before an earlier renaming, which had these `origins`, in the place of those after it.
    pub(super) fn trace_back(&mut self, origins: &BTreeMap<String, Vec<String>>) {
        for name in self.dict.names() {
            let between = self.origins.get(name).cloned().unwrap_or_else(|| vec![name.to_string()]);
            let first = between.into_iter().flat_map(|name| origins.get(&name).cloned().unwrap_or_else(|| vec![name]));
            self.origins.insert(name.to_string(), first.collect());
        }
        self.origins.retain(|name, first| *first != [name.as_str()]);
    }
}

/// The new name of a tensor, and the rule that gave it; no rule where the name stays.
type Renamed<'a> = (String, Option<&'a Rule>);

/// The checkpoint under the names that the `rules` give; what no rule matches is not in it. `targets` are the model's
/// tensors, whose shapes `reshape` asks for.
///
/// # Errors
/// A rule that matches nothing, or two names that become the same.
pub fn rename(dict: StateDict, rules: &[Rule], targets: &BTreeMap<String, Tensor>) -> Result<Translated> {
    let mut used = BTreeSet::new();
    let mut new = |name: &str| {
        let (number, name) = rules.iter().enumerate().find_map(|(i, rule)| Some((i, rule.apply(name, &[])?)))?;
        used.insert(number);
        Some((name, Some(&rules[number])))
    };
    let names = dict.names().filter_map(|name| Some((name.to_string(), new(name)?))).collect();
    if let Some(idle) = (0..rules.len()).find(|number| !used.contains(number)) {
        let some: Vec<_> = dict.names().take(3).map(|name| format!("`{name}`")).collect();
        let reason = format!("rule `{}` changes no name of the file, which has {}, …", rules[idle], some.join(", "));
        return Err(Error::Usage(reason));
    }
    make(dict, names, targets)
}

/// The checkpoint under the names of `architecture`, whose tensors (or the wanted ones of them) are `targets`: of its
/// own names and the dialects that are known, those under which most targets are found. An architecture without an
/// entry in `models/names.json` has no dialects.
///
/// # Errors
/// Two names that become the same.
pub fn translate(dict: StateDict, architecture: &str, targets: &BTreeMap<String, Tensor>) -> Result<Translated> {
    let mut best: (usize, Option<(&Dialect, &[u64])>) = (found(&dict, targets, |name| (name.to_string(), None)), None);
    if best.0 < targets.len() {
        for (dialect, groups) in candidates(architecture) {
            let found = found(&dict, targets, |name| in_dialect(dialect, groups, name));
            if found > best.0 {
                best = (found, Some((dialect, groups)));
            }
        }
    }
    let Some((dialect, groups)) = best.1 else {
        return Ok(Translated { dict, dialect: None, origins: BTreeMap::new(), reshaped: vec![] });
    };
    let names = dict.names().map(|name| (name.to_string(), in_dialect(dialect, groups, name))).collect();
    Ok(Translated { dialect: Some(dialect.name.clone()), ..make(dict, names, targets)? })
}

/// The architecture that a checkpoint in a known dialect is of, and the dialect: the one that most of its tensors fit into,
/// if that is nearly all of the network's.
///
/// # Errors
/// What libtorch refuses.
pub fn recognise(dict: &StateDict) -> Result<Option<(&'static str, &'static str)>> {
    let mut best = (0, None);
    for architecture in crate::models::architectures() {
        let builder = Builder::skeleton();
        with_source_head(architecture, &builder, registry::imagenet_classes().len() as i64)?;
        let targets = builder.finish().views();
        for (dialect, groups) in candidates(architecture) {
            let found = found(dict, &targets, |name| in_dialect(dialect, groups, name));
            // two tensors of a head with other classes, and a counter for each batch norm, may be missing
            if found > best.0 && 10 * found >= 7 * targets.len() && 2 * found > dict.tensors.len() {
                best = (found, Some((architecture, dialect.name.as_str())));
            }
        }
    }
    Ok(best.1)
}

fn in_dialect<'a>(dialect: &'a Dialect, groups: &[u64], name: &str) -> Renamed<'a> {
    match dialect.apply(name, groups) {
        Some((new, rule)) => (new, Some(rule)),
        None => (name.to_string(), None),
    }
}

/// How many of the `targets` have as many elements under their new names.
fn found<'a>(dict: &StateDict, targets: &BTreeMap<String, Tensor>, new: impl Fn(&str) -> Renamed<'a>) -> usize {
    let mut elements: BTreeMap<String, usize> = BTreeMap::new();
    for (name, tensor) in &dict.tensors {
        *elements.entry(new(name).0).or_default() += tensor.numel();
    }
    targets.iter().filter(|(name, target)| elements.get(*name) == Some(&target.numel())).count()
}

/// Gives every tensor its new name, puts parts together and reshapes.
fn make(dict: StateDict, names: BTreeMap<String, Renamed>, targets: &BTreeMap<String, Tensor>) -> Result<Translated> {
    let StateDict { tensors, metadata, format, notes } = dict;
    let mut made = BTreeMap::new();
    let (mut origins, mut reshaped): (BTreeMap<String, Vec<String>>, _) = (BTreeMap::new(), vec![]);
    let mut parts: BTreeMap<&str, Vec<Option<(String, Tensor)>>> = BTreeMap::new();
    for (old, tensor) in tensors {
        let Some((new, rule)) = names.get(&old) else { continue };
        let then = rule.map_or(Then::Nothing, Rule::then);
        if let Then::Part { index, of } = then {
            let slots = parts.entry(new).or_default();
            slots.resize_with(of.max(slots.len()), || None);
            if let Some((other, _)) = slots[index].replace((old.clone(), tensor)) {
                return Err(twice(&other, &old, new));
            }
            continue;
        }
        let tensor = match targets.get(new).filter(|target| then == Then::Reshape && target.numel() == tensor.numel()) {
            Some(target) if target.size() != tensor.size() => {
                reshaped.push(Reshaping { name: new.clone(), from: tensor.size(), to: target.size() });
                tensor.f_reshape(target.size())?
            }
            _ => tensor,
        };
        insert(&mut made, &mut origins, vec![old], new, tensor)?;
    }
    for (new, slots) in parts {
        if slots.iter().all(Option::is_some) {
            let (names, tensors): (Vec<_>, Vec<_>) = slots.into_iter().flatten().unzip();
            insert(&mut made, &mut origins, names, new, Tensor::f_cat(&tensors, 0)?)?;
        } else {
            // a part alone keeps its name, so that the report has it
            made.extend(slots.into_iter().flatten());
        }
    }
    Ok(Translated { dict: StateDict { tensors: made, metadata, format, notes }, dialect: None, origins, reshaped })
}

fn insert(
    made: &mut BTreeMap<String, Tensor>,
    origins: &mut BTreeMap<String, Vec<String>>,
    old: Vec<String>,
    new: &str,
    tensor: Tensor,
) -> Result<()> {
    if made.insert(new.to_string(), tensor).is_some() {
        let other = origins.get(new).map_or(new.to_string(), |names| names.join(" + "));
        return Err(twice(&other, &old.join(" + "), new));
    }
    if old != [new] {
        origins.insert(new.to_string(), old);
    }
    Ok(())
}

fn twice(one: &str, other: &str, name: &str) -> Error {
    Error::Model(format!("`{one}` and `{other}` of the checkpoint both stand for `{name}`"))
}

#[cfg(test)]
mod tests {
    use tch::kind::FLOAT_CPU;

    use super::*;

    fn tensors(list: &[(&str, &[i64])]) -> BTreeMap<String, Tensor> {
        list.iter().map(|&(name, size)| (name.to_string(), Tensor::ones(size, FLOAT_CPU))).collect()
    }

    fn dict(list: &[(&str, &[i64])]) -> StateDict {
        StateDict::new(tensors(list), BTreeMap::new())
    }

    fn rules(list: &[&str]) -> Vec<Rule> {
        list.iter().map(|rule| rule.parse().unwrap()).collect()
    }

    #[test]
    fn the_dialect_under_which_most_is_found_is_taken() -> Result<()> {
        let targets = tensors(&[("features.0.0.weight", &[4]), ("features.3.1.block.0.0.weight", &[2])]);
        let flat = dict(&[("_conv_stem.weight", &[4]), ("_blocks.4._expand_conv.weight", &[2]), ("step", &[1])]);
        let found = translate(flat, "efficientnet_b0", &targets)?;
        assert_eq!(found.dialect.as_deref(), Some("efficientnet_pytorch"));
        assert_eq!(
            found.dict.names().collect::<Vec<_>>(),
            ["features.0.0.weight", "features.3.1.block.0.0.weight", "step"]
        );
        assert_eq!(found.in_file("features.0.0.weight"), "_conv_stem.weight");
        let same = translate(dict(&[("features.0.0.weight", &[4])]), "efficientnet_b0", &targets)?;
        assert!(same.dialect.is_none() && same.origins.is_empty());
        // in the third group of B2, whose groups are 2, 3, 3, … blocks, the flat number 4 is in the second
        let relative = dict(&[("_conv_stem.weight", &[4]), ("_blocks.6._expand_conv.weight", &[2])]);
        let found = translate(relative, "efficientnet_b0", &targets)?;
        assert!(found.dict.get("features.3.1.block.0.0.weight").is_some());
        Ok(())
    }

    #[test]
    fn parts_are_put_together_in_their_order_and_only_all_of_them() -> Result<()> {
        let rules = rules(&["b.* -> ab.* | part 2/2", "a.* -> ab.* | part 1/2"]);
        let pair = StateDict::new(
            BTreeMap::from([
                ("a.w".into(), Tensor::from_slice(&[1f32])),
                ("b.w".into(), Tensor::from_slice(&[2f32, 3.0])),
            ]),
            BTreeMap::new(),
        );
        let found = rename(pair, &rules, &BTreeMap::new())?;
        assert_eq!(Vec::<f32>::try_from(&found.dict.tensors["ab.w"]).unwrap(), [1.0, 2.0, 3.0]);
        assert_eq!(found.in_file("ab.w"), "a.w + b.w");
        let half = rename(dict(&[("a.w", &[1]), ("b.v", &[1])]), &rules, &BTreeMap::new())?;
        assert_eq!(half.dict.names().collect::<Vec<_>>(), ["a.w", "b.v"]);
        Ok(())
    }

    #[test]
    fn only_what_may_is_reshaped_and_never_to_another_number_of_elements() -> Result<()> {
        let targets = tensors(&[("y", &[2, 3]), ("z", &[6])]);
        let rules = rules(&["a -> y | reshape", "b -> z"]);
        let found = rename(dict(&[("a", &[6]), ("b", &[2, 3])]), &rules, &targets)?;
        assert_eq!(found.dict.tensors["y"].size(), [2, 3]);
        assert_eq!(found.dict.tensors["z"].size(), [2, 3]);
        assert_eq!(found.reshaped, [Reshaping { name: "y".into(), from: vec![6], to: vec![2, 3] }]);
        let found = rename(dict(&[("a", &[1]), ("b", &[6])]), &rules, &targets)?;
        assert_eq!(found.dict.tensors["y"].size(), [1]);
        Ok(())
    }

    #[test]
    fn what_cannot_be_renamed_is_said() {
        let message = |rule: &[&str]| {
            let dict = dict(&[("a.w", &[1]), ("b.w", &[1])]);
            rename(dict, &rules(rule), &BTreeMap::new()).unwrap_err().to_string()
        };
        assert_eq!(message(&["a.* -> x.*", "b.* -> x.*"]), "`a.w` and `b.w` of the checkpoint both stand for `x.w`");
        assert!(message(&["c.* -> *"]).contains("rule `c.* -> *` changes no name of the file, which has `a.w`, `b.w`"));
    }
}
