//! The source models: where each one's weights come from, what they may be used for and how it wants its images.
//!
//! The entries lie in `models/registry.json`, which is part of the program; `models/README.md` says how to add one.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::architecture;
use crate::data::Preprocessing;
use crate::{Error, Result};

/// A network with the weights that were learned on its source task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceModel {
    /// What the user calls it.
    pub name: String,
    /// What [`build`](super::build) makes for it.
    pub architecture: String,
    /// Where the weights come from; `None` where none are published in a form that can be fetched.
    pub origin: Option<Origin>,
    /// SHA-256 of the weights file in hexadecimal: all 64 digits, or the first ones where the publisher says only
    /// those, in the file's name.
    pub sha256: Option<String>,
    /// Licence under which the publisher gives the weights, as an SPDX identifier.
    pub licence: String,
    /// The paper.
    pub paper: String,
    /// Parameters of the whole network that is built for it, its head included.
    pub parameters: u64,
    /// How the network wants its images; `crop` is its input size.
    pub preprocessing: Preprocessing,
    /// Share of ImageNet's validation images whose first answer is right, in percent, as the publisher says.
    pub published_top1: f64,
    /// Where the publisher says so.
    pub published_at: String,
    /// Classes of the source task.
    pub classes: i64,
}

/// Where a file of weights can be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Origin {
    /// Inside a package of the Python package index.
    Pypi {
        /// The package's name.
        package: String,
        /// Its version.
        version: String,
        /// The file's path in the package.
        file: String,
    },
    /// Inside a package of Node's package index.
    Npm {
        /// The package's name.
        package: String,
        /// Its version.
        version: String,
        /// The file's path in the package.
        file: String,
    },
    /// At the publisher's address.
    Url {
        /// The address.
        url: String,
    },
}

impl Origin {
    /// The name of the weights file itself.
    pub fn file_name(&self) -> &str {
        let path = match self {
            Self::Pypi { file, .. } | Self::Npm { file, .. } => file,
            Self::Url { url } => url,
        };
        path.rsplit('/').next().unwrap_or(path)
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pypi { package, version, .. } => write!(f, "Python package {package} {version}"),
            Self::Npm { package, version, .. } => write!(f, "npm package {package} {version}"),
            Self::Url { url } => f.write_str(url),
        }
    }
}

/// All source models, smallest first within a family.
pub fn models() -> &'static [SourceModel] {
    static MODELS: OnceLock<Vec<SourceModel>> = OnceLock::new();
    MODELS.get_or_init(|| {
        serde_json::from_str(include_str!("../../models/registry.json")).expect("a test parses the embedded registry")
    })
}

/// The source model of that name.
///
/// # Errors
/// A name that is not in the registry; the message has the nearest ones.
///
/// ```
/// let model = regraft::models::registry::find("resnet18")?;
/// assert_eq!(model.preprocessing.crop, 224);
/// assert_eq!(model.parameters, 11_689_512);
/// # Ok::<(), regraft::Error>(())
/// ```
pub fn find(name: &str) -> Result<&'static SourceModel> {
    let found = models().iter().find(|model| model.name == name);
    found.ok_or_else(|| match architecture::unlearned(name) {
        Some(network) => network.has_no_weights(),
        None => architecture::unknown(name),
    })
}

/// The names of ImageNet's 1000 classes, in the order of the source models' logits.
pub fn imagenet_classes() -> &'static [&'static str] {
    static CLASSES: OnceLock<Vec<&'static str>> = OnceLock::new();
    CLASSES.get_or_init(|| include_str!("../../models/imagenet-classes.txt").lines().collect())
}

/// The WordNet ids of the same classes, in the same order: sorted, as the ids number the classes.
pub fn imagenet_wnids() -> &'static [&'static str] {
    static IDS: OnceLock<Vec<&'static str>> = OnceLock::new();
    IDS.get_or_init(|| include_str!("../../models/imagenet-wnids.txt").lines().collect())
}

impl SourceModel {
    /// Where the weights come from.
    ///
    /// # Errors
    /// No weights are published in a form that can be fetched.
    pub fn origin(&self) -> Result<&Origin> {
        self.origin.as_ref().ok_or_else(|| {
            Error::Model(format!(
                "no weights of {} are published in a form regraft can fetch; use --weights FILE",
                self.name
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::architecture::{unlearned, with_source_head};
    use super::super::{Builder, architectures};
    use super::*;

    #[test]
    fn every_entry_describes_the_network_that_is_built_for_it() -> Result<()> {
        for model in models() {
            assert!(architectures().any(|name| name == model.architecture), "{}", model.name);
            let builder = Builder::skeleton();
            with_source_head(&model.name, &builder, model.classes)?;
            let parameters: usize = builder.finish().parameters().map(|(_, tensor)| tensor.numel()).sum();
            assert_eq!(parameters as u64, model.parameters, "{}", model.name);
        }
        Ok(())
    }

    #[test]
    fn every_entry_is_sound() {
        let names: BTreeSet<_> = models().iter().map(|model| &model.name).collect();
        assert_eq!(names.len(), models().len(), "a name is there twice");
        for architecture in architectures().filter(|name| unlearned(name).is_none()) {
            assert!(names.contains(&architecture.to_string()), "{architecture} has no entry of its name");
        }
        for model in models() {
            let Preprocessing { resize, crop, mean, std, .. } = &model.preprocessing;
            assert!(resize >= crop && *crop >= 32, "{}: {resize} → {crop}", model.name);
            assert!(mean.iter().chain(std).all(|value| (0.1..0.9).contains(value)), "{}", model.name);
            assert!((55.0..100.0).contains(&model.published_top1), "{}", model.name);
            assert_eq!(model.classes as usize, imagenet_classes().len(), "{}", model.name);
            assert_eq!(model.origin.is_some(), model.sha256.is_some(), "{}", model.name);
            let Some((origin, sha256)) = model.origin.as_ref().zip(model.sha256.as_ref()) else { continue };
            assert!(matches!(sha256.len(), 8 | 64) && sha256.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')));
            assert!(origin.file_name().contains(&sha256[..8]), "{}: the file is named after its checksum", model.name);
        }
    }

    #[test]
    fn class_names_are_in_order_and_differ() {
        let classes = imagenet_classes();
        assert_eq!((classes.len(), classes[0], classes[999]), (1000, "tench", "toilet tissue"));
        assert_eq!(classes.iter().collect::<BTreeSet<_>>().len(), 1000);
        assert!(classes.iter().all(|name| !name.trim().is_empty()));
        let ids = imagenet_wnids();
        assert!(ids.len() == 1000 && ids.is_sorted_by(|a, b| a < b));
        assert!(ids.iter().all(|id| id.len() == 9 && id.starts_with('n') && id[1..].parse::<u32>().is_ok()));
        assert_eq!((ids[0], ids[2], ids[999]), ("n01440764", "n01484850", "n15075141")); // tench, great white shark, …
    }

    #[test]
    fn a_model_without_weights_says_what_to_do() {
        let message = find("efficientnet_lite4").unwrap().origin().unwrap_err().to_string();
        assert!(message.contains("--weights FILE"), "{message}");
    }
}
