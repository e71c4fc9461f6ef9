//! The stages of a module that nobody has named stages of: its children in the order in which they run.
//!
//! A child that holds nearly everything, such as `blocks` of EfficientNet, is replaced by its own children, and so are
//! two that share the network, such as `features` and `classifier` of VGG; a normalisation layer belongs to the stage
//! before it, and so does a single tensor between two layers.

use std::collections::BTreeSet;

use super::super::Stage;
use super::findings::Findings;

/// A child with this share of all tensors that are left is opened.
const NEARLY_ALL: f64 = 0.8;

/// The stages of a module whose features depend on `uses`, in order of first use.
pub(super) fn stages(findings: &Findings, modules: &BTreeSet<&str>) -> Vec<Stage> {
    let mut units: Vec<Unit> = vec![];
    for name in units_of("", &findings.uses, modules, true) {
        let joins = findings.norms.contains(&name.path) || !modules.contains(name.path.as_str());
        match units.last_mut() {
            Some(last) if joins => last.paths.push(name.path),
            _ => units.push(Unit { paths: vec![name.path] }),
        }
    }
    let stage = |unit: Unit| Stage { name: unit.paths[0].clone(), paths: unit.paths, frozen: false };
    units.into_iter().map(stage).collect()
}

struct Unit {
    paths: Vec<String>,
}

/// A child module, or a tensor that is owned directly.
struct Child {
    path: String,
    tensors: Vec<String>,
}

/// The children of `path` that own some of `names`, the large ones opened; at the `top` also two that are all.
fn units_of(path: &str, names: &[String], modules: &BTreeSet<&str>, top: bool) -> Vec<Child> {
    let mut children: Vec<Child> = vec![];
    for name in names {
        let start = if path.is_empty() { 0 } else { path.len() + 1 };
        let end = name[start..].find('.').map_or(name.len(), |dot| start + dot);
        let child = &name[..end];
        match children.iter_mut().find(|known| known.path == child) {
            Some(known) => known.tensors.push(name.clone()),
            None => children.push(Child { path: child.to_string(), tensors: vec![name.clone()] }),
        }
    }
    let siblings = children.len();
    let open = |child: Child| {
        let large = child.tensors.len() as f64 >= NEARLY_ALL * names.len() as f64 || top && siblings <= 2;
        if !large || !modules.contains(child.path.as_str()) {
            return vec![child];
        }
        let below = units_of(&child.path, &child.tensors, modules, top && siblings == 1);
        // a layer, which owns tensors only, is not taken apart
        if below.iter().any(|unit| modules.contains(unit.path.as_str())) { below } else { vec![child] }
    };
    children.into_iter().flat_map(open).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(uses: &[&str], norms: &[&str]) -> Vec<(String, Vec<String>)> {
        let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let findings = Findings { uses: owned(uses), norms: owned(norms), ..Findings::default() };
        let parents = uses.iter().flat_map(|name| name.match_indices('.').map(|(dot, _)| &name[..dot]));
        let modules: BTreeSet<&str> = parents.collect();
        stages(&findings, &modules).into_iter().map(|stage| (stage.name, stage.paths)).collect()
    }

    fn only_names(uses: &[&str], norms: &[&str]) -> Vec<String> {
        names(uses, norms).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn children_in_the_order_of_their_use_with_norms_joined() {
        let uses =
            ["conv1.weight", "bn1.weight", "layer1.0.weight", "layer1.1.weight", "layer2.0.weight", "layer2.1.weight"];
        let found = names(&uses, &["bn1"]);
        assert_eq!(found[0], ("conv1".to_string(), vec!["conv1".to_string(), "bn1".to_string()]));
        assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["conv1", "layer1", "layer2"]);
    }

    #[test]
    fn a_child_that_holds_nearly_everything_is_opened_and_wrappers_are_too() {
        let uses = ["net.features.0.weight", "net.features.0.bias", "net.features.3.weight", "net.features.3.bias"];
        assert_eq!(only_names(&uses, &[]), ["net.features.0", "net.features.3"]);
        let uses = ["features.0.weight", "features.3.weight", "classifier.1.weight", "classifier.4.weight"];
        assert_eq!(only_names(&uses, &[]), ["features.0", "features.3", "classifier.1", "classifier.4"]);
        let uses = ["stem.weight", "blocks.0.a.weight", "blocks.0.b.weight", "blocks.1.a.weight", "blocks.1.b.weight"];
        assert_eq!(only_names(&uses, &[]), ["stem", "blocks.0", "blocks.1"]);
    }

    #[test]
    fn a_single_layer_is_not_taken_apart_and_a_loose_tensor_joins_what_ran_before() {
        assert_eq!(only_names(&["conv.weight", "conv.bias"], &[]), ["conv"]);
        let found = names(&["patch.weight", "token", "blocks.0.weight", "blocks.1.weight"], &[]);
        assert_eq!(found[0].1, ["patch", "token"]);
        assert_eq!(found.len(), 2);
    }
}
