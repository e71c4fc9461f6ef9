//! One network under many names: what other libraries call a tensor, and what it is called here.
//!
//! `models/names.json` has, per family of networks, the dialects that are known, each a list of [`Rule`]s; the file is
//! part of the program, and `models/README.md` says how to add a dialect. [`translate`] finds out which one a checkpoint
//! is in; [`load`] copies what it then has into a model, and reports.

mod expression;
#[cfg(test)]
mod goldens;
mod load;
mod rule;
mod translate;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

pub use load::{Loaded, load};
pub use rule::Rule;
pub use translate::{Translated, recognise, rename, translate};

/// Networks whose tensors have the same names, but for how many blocks there are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Family {
    /// Architectures, with the number of blocks in each group where a rule needs it.
    networks: BTreeMap<String, Vec<u64>>,
    /// What else the tensors are called.
    dialects: Vec<Dialect>,
}

/// What one library calls the tensors of a family.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dialect {
    /// The library.
    name: String,
    /// Before the names in a whole model, and not in a part of it; the rules are for names without it.
    #[serde(default)]
    prefix: String,
    /// From its names to ours; the first that matches counts, and a name that none matches stays.
    rules: Vec<Rule>,
}

impl Dialect {
    /// The name here for `name`, and the rule that made it.
    fn apply<'a>(&'a self, name: &str, groups: &[u64]) -> Option<(String, &'a Rule)> {
        let name = name.strip_prefix(&self.prefix).unwrap_or(name);
        self.rules.iter().find_map(|rule| Some((rule.apply(name, groups)?, rule)))
    }
}

fn families() -> &'static [Family] {
    static FAMILIES: OnceLock<Vec<Family>> = OnceLock::new();
    FAMILIES.get_or_init(|| {
        serde_json::from_str(include_str!("../../../models/names.json")).expect("a test parses the embedded names")
    })
}

/// The dialects in which a checkpoint for that architecture can be, each with the groups of blocks of the architecture
/// itself and then of its relatives, where that matters.
fn candidates(architecture: &str) -> Vec<(&'static Dialect, &'static [u64])> {
    let Some(family) = families().iter().find(|family| family.networks.contains_key(architecture)) else {
        return vec![];
    };
    let own = family.networks[architecture].as_slice();
    let mut candidates: Vec<_> = family.dialects.iter().map(|dialect| (dialect, own)).collect();
    for dialect in family.dialects.iter().filter(|dialect| dialect.rules.iter().any(Rule::needs_groups)) {
        let others = family.networks.values().map(Vec::as_slice).filter(|groups| *groups != own);
        candidates.extend(others.map(|groups| (dialect, groups)));
    }
    candidates
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_entry_is_sound() {
        let mut networks = BTreeSet::new();
        for family in families() {
            for (network, groups) in &family.networks {
                assert!(networks.insert(network), "{network} is there twice");
                assert!(crate::models::architectures().any(|known| known == network), "there is no {network}");
                let needed = family.dialects.iter().flat_map(|dialect| &dialect.rules).any(Rule::needs_groups);
                assert_eq!(needed, !groups.is_empty(), "{network}: groups are given where a rule needs them");
            }
            let names: BTreeSet<_> = family.dialects.iter().map(|dialect| &dialect.name).collect();
            assert_eq!(names.len(), family.dialects.len());
        }
    }

    #[test]
    fn the_networks_own_groups_are_tried_first() {
        let candidates = candidates("efficientnet_b0");
        assert!(candidates[..3].iter().all(|(_, groups)| *groups == [1, 2, 2, 3, 3, 4, 1]));
        assert!(candidates[3..].iter().any(|(dialect, groups)| dialect.name == "transformers" && groups[6] == 4));
        assert!(super::candidates("alexnet").is_empty());
    }
}
