//! One grammar for naming layers, used by every option that takes some of them (`--freeze`, `--lr-scale`, …).
//!
//! A selector is a comma-separated list of: `all` (every stage of the backbone), `none`, `first:N`, `last:N` (stages
//! counted as `regraft inspect` lists them), `head`, `laterals` (what joins columns), the name of a stage (`layer3`), or a glob over the dotted names
//! of parameters (`layer4.*`, `*.bn1.weight`), where `*` crosses dots.

use std::collections::BTreeSet;

use globset::Glob;

use super::classifier::EARLIER_HEAD;
use super::progressive::{BESIDE, LATERALS};
use crate::{Error, Result};

/// A model's parameters by stage.
#[derive(Debug, Clone)]
pub struct Outline {
    /// Stage names with the names of their parameters, in the order in which they run.
    pub stages: Vec<(String, Vec<String>)>,
    /// Names of the head's parameters.
    pub head: Vec<String>,
    /// Names of the parameters of the earlier task's head, where there is one; no selector reaches them.
    pub earlier: Vec<String>,
    /// Names of the parameters of the connections from earlier columns, in a progressive network; `laterals` selects them.
    pub laterals: Vec<String>,
    /// Names of the parameters of the model beside this one, in a progressive network; no selector reaches them.
    pub beside: Vec<String>,
}

impl Outline {
    /// Sorts `names` to the stage or head that has a path above them.
    pub(crate) fn new(
        stages: Vec<(String, Vec<String>)>,
        head_path: &str,
        names: impl Iterator<Item = String>,
    ) -> Self {
        let mut outline = Self { stages: vec![], head: vec![], earlier: vec![], laterals: vec![], beside: vec![] };
        outline.stages.extend(stages.iter().map(|(stage, _)| (stage.clone(), vec![])));
        for name in names {
            match stages.iter().position(|(_, paths)| paths.iter().any(|path| lies_under(&name, path))) {
                Some(stage) => outline.stages[stage].1.push(name),
                None if lies_under(&name, EARLIER_HEAD) => outline.earlier.push(name),
                None if lies_under(&name, LATERALS) => outline.laterals.push(name),
                None if lies_under(&name, BESIDE) => outline.beside.push(name),
                None if lies_under(&name, head_path) => outline.head.push(name),
                None => unreachable!("parameter {name} belongs to no stage"),
            }
        }
        outline
    }

    /// Every parameter of the backbone.
    pub fn backbone(&self) -> impl Iterator<Item = &String> {
        self.stages.iter().flat_map(|(_, names)| names)
    }

    /// Where a parameter lies: its stage's number, or the number of stages for the head and for connections.
    pub fn depth(&self, name: &str) -> usize {
        let at = |(_, names): &(String, Vec<String>)| names.iter().any(|other| other == name);
        self.stages.iter().position(at).unwrap_or(self.stages.len())
    }
}

/// Whether the tensor `name` is the one at `path`, or of the layer there.
pub(crate) fn lies_under(name: &str, path: &str) -> bool {
    name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A parsed selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    parts: Vec<Part>,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    All,
    None,
    Head,
    First(usize),
    Last(usize),
    /// A stage's name or a glob over names of parameters.
    Named(String),
}

impl std::str::FromStr for Selector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let count = |part: &str, number: &str| {
            number.parse().map_err(|_| Error::Usage(format!("selector `{part}`: `{number}` is not a number of stages")))
        };
        let parse = |part: &str| match part.split_once(':') {
            Some(("first", number)) => Ok(Part::First(count(part, number)?)),
            Some(("last", number)) => Ok(Part::Last(count(part, number)?)),
            Some(_) => Err(Error::Usage(format!("selector `{part}`: only first:N and last:N take a number"))),
            None => Ok(match part {
                "" => return Err(Error::Usage(format!("selector `{text}` has an empty part"))),
                "all" => Part::All,
                "none" => Part::None,
                "head" => Part::Head,
                name => {
                    Glob::new(name).map_err(|error| Error::Usage(format!("selector `{name}`: {error}")))?;
                    Part::Named(name.to_string())
                }
            }),
        };
        let parts = text.split(',').map(|part| parse(part.trim())).collect::<Result<_>>()?;
        Ok(Self { parts, text: text.to_string() })
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl serde::Serialize for Selector {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for Selector {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Selector {
    /// The names of the parameters that are selected.
    ///
    /// # Errors
    /// A part that matches nothing, or a count of more stages than there are; the message lists the stages.
    pub fn select(&self, outline: &Outline) -> Result<BTreeSet<String>> {
        let stages = &outline.stages;
        let mut selected = BTreeSet::new();
        for part in &self.parts {
            match part {
                Part::None => {}
                Part::All => selected.extend(outline.backbone().cloned()),
                Part::Head => selected.extend(outline.head.iter().cloned()),
                Part::First(n) | Part::Last(n) if *n > stages.len() => {
                    return Err(Error::Usage(format!(
                        "selector `{self}`: the network has {} stages: {}",
                        stages.len(),
                        self.stage_names(outline)
                    )));
                }
                Part::First(n) => selected.extend(stages[..*n].iter().flat_map(|(_, names)| names).cloned()),
                Part::Last(n) => {
                    selected.extend(stages[stages.len() - n..].iter().flat_map(|(_, names)| names).cloned());
                }
                Part::Named(pattern) => {
                    let found = named(pattern, outline);
                    if found.is_empty() {
                        return Err(Error::Usage(format!(
                            "selector `{pattern}` matches no stage and no parameter; the stages are {}",
                            self.stage_names(outline)
                        )));
                    }
                    selected.extend(found);
                }
            }
        }
        Ok(selected)
    }

    fn stage_names(&self, outline: &Outline) -> String {
        let names: Vec<_> = outline.stages.iter().map(|(name, _)| name.as_str()).collect();
        let laterals = if outline.laterals.is_empty() { "" } else { ", laterals" };
        format!("{}, head{laterals}", names.join(", "))
    }
}

/// The parameters of the stage of that name, of the connections between columns, or else those that the glob matches.
fn named(pattern: &str, outline: &Outline) -> Vec<String> {
    if let Some((_, names)) = outline.stages.iter().find(|(name, _)| name == pattern) {
        return names.clone();
    }
    if pattern == LATERALS {
        return outline.laterals.clone();
    }
    let glob = Glob::new(pattern).expect("checked when it was parsed").compile_matcher();
    let all = outline.backbone().chain(&outline.head).chain(&outline.laterals);
    all.filter(|name| glob.is_match(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline() -> Outline {
        let stage = |name: &str, path: &str| (name.to_string(), vec![path.to_string()]);
        let names = ["conv1.weight", "layer1.0.weight", "layer1.0.bn.weight", "layer2.0.weight", "fc.weight"];
        let stages = vec![stage("stem", "conv1"), stage("layer1", "layer1"), stage("layer2", "layer2")];
        Outline::new(stages, "fc", names.iter().map(|name| name.to_string()))
    }

    fn select(text: &str) -> Result<Vec<String>> {
        Ok(text.parse::<Selector>()?.select(&outline())?.into_iter().collect())
    }

    #[test]
    fn every_form_selects_what_it_says() -> Result<()> {
        assert_eq!(select("first:2")?, ["conv1.weight", "layer1.0.bn.weight", "layer1.0.weight"]);
        assert_eq!(select("last:1")?, ["layer2.0.weight"]);
        assert_eq!(select("all")?.len(), 4);
        assert_eq!(select("none")?, Vec::<String>::new());
        assert_eq!(select("head")?, ["fc.weight"]);
        assert_eq!(select("stem, head")?, ["conv1.weight", "fc.weight"]);
        assert_eq!(select("*.bn.*")?, ["layer1.0.bn.weight"]);
        assert_eq!(select("first:0")?, Vec::<String>::new());
        Ok(())
    }

    #[test]
    fn what_cannot_be_selected_is_named() {
        for (text, expected) in
            [("layer9", "stem, layer1, layer2, head"), ("first:4", "3 stages"), ("first:x", "`x`"), ("a,,b", "empty")]
        {
            let message = select(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn depth_counts_stages_and_puts_the_head_last() {
        assert_eq!(outline().depth("layer1.0.weight"), 1);
        assert_eq!(outline().depth("fc.weight"), 3);
    }
}
