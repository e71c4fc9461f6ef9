//! Which networks can be built, by name.

use super::store::{Builder, Scope};
use super::{
    Backbone, Head, HeadKind, alexnet, convnext, dann_cnn, densenet, efficientnet, efficientnet_lite, inception,
    mobilenet_v2, mobilenet_v3, registry, resnet, small_cnn, squeezenet, vgg, vision_transformer,
};
use crate::data::Preprocessing;
use crate::{Error, Result};

/// Networks that one file builds: their names, and what builds number i of them.
type Family = (&'static [&'static str], fn(usize, &Scope) -> Result<Backbone>);

const FAMILIES: [Family; 14] = [
    (&efficientnet_lite::NAMES, efficientnet_lite::build),
    (&efficientnet::NAMES, efficientnet::build),
    (&mobilenet_v2::NAMES, mobilenet_v2::build),
    (&mobilenet_v3::NAMES, mobilenet_v3::build),
    (&resnet::NAMES, resnet::build),
    (&convnext::NAMES, convnext::build),
    (&densenet::NAMES, densenet::build),
    (&inception::NAMES, inception::build),
    (&vgg::NAMES, vgg::build),
    (&alexnet::NAMES, alexnet::build),
    (&squeezenet::NAMES, squeezenet::build),
    (&vision_transformer::NAMES, vision_transformer::build),
    (&small_cnn::NAMES, small_cnn::build),
    (&dann_cnn::NAMES, dann_cnn::build),
];

/// The names of all architectures, family by family.
pub fn architectures() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|(names, _)| names.iter().copied())
}

/// A network that can be built and of which no weights are published: it starts from random ones, or a file's.
#[derive(Debug, Clone, PartialEq)]
pub struct Unlearned {
    /// Its name.
    pub architecture: &'static str,
    /// How it takes its images if nothing is said.
    pub preprocessing: Preprocessing,
}

impl Unlearned {
    /// What is said to who wants its weights.
    pub(crate) fn has_no_weights(&self) -> Error {
        Error::Usage(format!(
            "{0} comes without learned weights: train it with regraft finetune --from-scratch, give --weights FILE, or name a \
             run of it; regraft inspect {0} shows its stages",
            self.architecture
        ))
    }
}

/// All networks without published weights.
fn all_unlearned() -> impl Iterator<Item = Unlearned> {
    let small =
        small_cnn::NAMES.map(|architecture| Unlearned { architecture, preprocessing: small_cnn::preprocessing() });
    let paper = dann_cnn::NAMES.into_iter().enumerate();
    let paper =
        paper.map(|(number, architecture)| Unlearned { architecture, preprocessing: dann_cnn::preprocessing(number) });
    small.into_iter().chain(paper)
}

/// The network without published weights of that name, if there is one.
pub fn unlearned(name: &str) -> Option<Unlearned> {
    all_unlearned().find(|known| known.architecture == name)
}

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
    let numbered = |(names, build): &Family| Some((names.iter().position(|known| *known == architecture)?, *build));
    let (number, build) = FAMILIES.iter().find_map(numbered).ok_or_else(|| unknown(name))?;
    build(number, scope)
}

/// A source network whole: with a head of its own form for so many `classes`.
///
/// # Errors
/// As [`build`].
pub fn with_source_head(name: &str, builder: &Builder, classes: i64) -> Result<(Backbone, Head)> {
    let backbone = build(name, &builder.root())?;
    let head = Head::on(&backbone, builder, HeadKind::Linear, classes, None)?;
    Ok((backbone, head))
}

/// The error for a model that does not exist, with the names that were perhaps meant.
pub(super) fn unknown(name: &str) -> Error {
    let wanted = name.to_lowercase().replace(['-', ' '], "_");
    let mut names: Vec<_> = registry::models().iter().map(|model| model.name.as_str()).collect();
    names.extend(architectures().filter(|architecture| !names.contains(architecture)).collect::<Vec<_>>());
    names.sort_by(|a, b| strsim::jaro_winkler(b, &wanted).total_cmp(&strsim::jaro_winkler(a, &wanted)));
    Error::Usage(format!(
        "there is no model `{name}`; the nearest names are {}; `regraft models list` has all of them",
        names[..3].join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First stage, last stage, and how many there are.
    fn stages(name: &str) -> (&'static str, &'static str, usize) {
        match name {
            "alexnet" => ("conv1", "fc7", 7),
            "mobilenet_v3_large" => ("stem", "hidden", 9),
            "mobilenet_v3_small" => ("stem", "hidden", 8),
            "inception_v3" => ("stem", "Mixed_7c", 12),
            "vit_b_16" => ("patches", "norm", 14),
            "small_cnn" => ("conv1", "fc6", 6),
            "dann_mnist" => ("conv1", "fc2", 4),
            "dann_svhn" => ("conv1", "fc2", 5),
            "dann_signs" => ("conv1", "fc1", 4),
            name if name.starts_with("vgg") => ("block1", "fc7", 7),
            name if name.starts_with("densenet") => ("stem", "denseblock4", 5),
            name if name.starts_with("squeezenet") => ("stem", "fire9", 9),
            name if name.starts_with("convnext") => ("stem", "norm", 6),
            name if name.contains("efficientnet") || name == "mobilenet_v2" => ("stem", "last", 9),
            _ => ("stem", "layer4", 5),
        }
    }

    #[test]
    fn every_architecture_is_built_under_its_name_with_its_stages() -> Result<()> {
        for name in architectures() {
            let builder = Builder::skeleton();
            let (backbone, _) = with_source_head(name, &builder, 10)?;
            let outline = backbone.outline(&builder.finish());
            assert_eq!(backbone.architecture, name);
            assert!(outline.stages.iter().all(|(_, names)| !names.is_empty()), "{name} has a stage without parameters");
            let found: Vec<_> = outline.stages.iter().map(|(stage, _)| stage.as_str()).collect();
            assert_eq!((found[0], found[found.len() - 1], found.len()), stages(name), "{name}");
            assert_eq!(outline.head.len(), 2, "{name}");
        }
        Ok(())
    }

    #[test]
    fn a_name_of_the_registry_builds_its_architecture() -> Result<()> {
        assert_eq!(build("resnet50_v2", &Builder::skeleton().root())?.architecture, "resnet50");
        Ok(())
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        for (typed, meant) in
            [("resnet_18", "resnet18"), ("EfficientNet-Lite0", "efficientnet_lite0"), ("resnet50v2", "resnet50_v2")]
        {
            let message = build(typed, &Builder::skeleton().root()).unwrap_err().to_string();
            assert!(message.contains(meant), "{message}");
        }
    }
}
