//! Which networks can be built, by name.

use super::store::Scope;
use super::{Backbone, efficientnet_lite, registry, resnet};
use crate::{Error, Result};

/// The names of all architectures.
pub const ARCHITECTURES: [&str; 10] = {
    let (lite, deep) = (efficientnet_lite::NAMES, resnet::NAMES);
    [lite[0], lite[1], lite[2], lite[3], lite[4], deep[0], deep[1], deep[2], deep[3], deep[4]]
};

/// Builds the backbone of a source model, its tensors under `scope` and with the values that training from scratch
/// starts from.
///
/// `name` is an architecture (`resnet50`) or an entry of the [`registry`] (`resnet50_v2`, other weights for the same).
///
/// # Errors
/// A name that is neither; the message has the nearest ones.
pub fn build(name: &str, scope: &Scope) -> Result<Backbone> {
    let architecture = registry::models().iter().find(|model| model.name == name).map(|model| &model.architecture);
    let architecture = architecture.map_or(name, String::as_str);
    let built = efficientnet_lite::build(architecture, scope).or_else(|| resnet::build(architecture, scope));
    built.unwrap_or_else(|| Err(unknown(name)))
}

/// The error for a model that does not exist, with the names that were perhaps meant.
pub(super) fn unknown(name: &str) -> Error {
    let wanted = name.to_lowercase().replace(['-', ' '], "_");
    let mut names: Vec<_> = registry::models().iter().map(|model| model.name.as_str()).collect();
    names.extend(ARCHITECTURES.iter().filter(|architecture| !names.contains(architecture)).collect::<Vec<_>>());
    names.sort_by(|a, b| strsim::jaro_winkler(b, &wanted).total_cmp(&strsim::jaro_winkler(a, &wanted)));
    Error::Usage(format!(
        "there is no model `{name}`; the nearest names are {}; `regraft models list` has all of them",
        names[..3].join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::super::Builder;
    use super::*;

    #[test]
    fn every_architecture_is_built_under_its_name_with_its_stages() -> Result<()> {
        for name in ARCHITECTURES {
            let builder = Builder::new(Device::Cpu);
            let backbone = build(name, &builder.root())?;
            let outline = backbone.outline(&builder.finish());
            assert_eq!(backbone.architecture, name);
            assert!(outline.stages.iter().all(|(_, names)| !names.is_empty()), "{name} has a stage without parameters");
            let expected = if name.starts_with("resnet") { ("stem", "layer4", 5) } else { ("stem", "last", 9) };
            let stages: Vec<_> = outline.stages.iter().map(|(stage, _)| stage.as_str()).collect();
            assert_eq!((stages[0], stages[stages.len() - 1], stages.len()), expected);
        }
        Ok(())
    }

    #[test]
    fn a_name_of_the_registry_builds_its_architecture() -> Result<()> {
        assert_eq!(build("resnet50_v2", &Builder::new(Device::Cpu).root())?.architecture, "resnet50");
        Ok(())
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        for (typed, meant) in
            [("resnet_18", "resnet18"), ("EfficientNet-Lite0", "efficientnet_lite0"), ("resnet50v2", "resnet50_v2")]
        {
            let message = build(typed, &Builder::new(Device::Cpu).root()).unwrap_err().to_string();
            assert!(message.contains(meant), "{message}");
        }
    }
}
