//! Loading a checkpoint, whatever its names, into a model; and what of a report is good enough.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tch::Tensor;

use super::{Rule, Translated, rename, translate};
use crate::models::formats::{LoadReport, Renaming, StateDict, load_into};
use crate::models::recognise;
use crate::{Error, Result};

/// What a load came to.
#[derive(Debug)]
pub struct Loaded {
    /// The lists; of the file they have its own names.
    pub report: LoadReport,
    /// The checkpoint under the model's names.
    pub translated: Translated,
    /// A tensor beyond the model's, in a module that the model has too: the file holds a larger network.
    intruder: Option<String>,
}

/// Copies a checkpoint into `targets`, tensors of a model of `architecture`: its names are changed by `rules`, if there
/// are any, and are then the model's or those of a dialect. Tensors whose new names are `unwanted` are left out.
///
/// # Errors
/// A rule that matches nothing, two names that become the same, or what libtorch refuses. What the report says is no
/// error here: see [`Loaded::require`].
pub fn load(
    targets: &BTreeMap<String, Tensor>,
    dict: StateDict,
    architecture: &str,
    rules: &[Rule],
    unwanted: impl Fn(&str) -> bool,
) -> Result<Loaded> {
    let (dict, first) = match rules {
        [] => (dict, None),
        rules => {
            let Translated { dict, origins, reshaped, .. } = rename(dict, rules, targets)?;
            (dict, Some((origins, reshaped)))
        }
    };
    let mut translated = translate(dict, architecture, targets)?;
    if let Some((origins, reshaped)) = first {
        translated.reshaped.extend(reshaped);
        translated.trace_back(&origins);
    }
    let mut report = load_into(targets, &translated.dict, |name| (!unwanted(name)).then(|| name.to_string()))?;
    let modules: BTreeSet<&str> = targets.keys().map(|name| module(name)).collect();
    let intruder = report.unexpected.iter().find(|name| modules.contains(module(name)));
    let intruder = intruder.map(|name| translated.in_file(name));
    let own = |names: &mut Vec<String>| names.iter_mut().for_each(|name| *name = translated.in_file(name));
    own(&mut report.unexpected);
    own(&mut report.left_out);
    let renamed = report.loaded.iter().filter_map(|name| {
        let from = translated.origins.get(name)?.clone();
        Some(Renaming { name: name.clone(), from })
    });
    report.renamed = renamed.collect();
    report.reshaped = translated.reshaped.iter().filter(|one| report.loaded.contains(&one.name)).cloned().collect();
    report.dialect = translated.dialect.clone();
    report.notes = translated.dict.notes.clone();
    Ok(Loaded { report, translated, intruder })
}

/// The topmost module that a tensor is in.
fn module(name: &str) -> &str {
    name.split_once('.').map_or(name, |(module, _)| module)
}

impl Loaded {
    /// Whether `model` may be used with what the file at `path` gave it: nothing is missing or of another shape, and
    /// what the file has beyond that lies in modules that the model has not, as an auxiliary head does. With `strict`
    /// the file has to be the model's, name by name and type by type; a head that was not wanted is no matter.
    ///
    /// # Errors
    /// Anything else; the message says what the file seems to be.
    pub fn require(&self, path: &Path, model: &str, strict: bool) -> Result<()> {
        let report = &self.report;
        if !report.missing.is_empty() || !report.shape_mismatch.is_empty() || self.intruder.is_some() {
            return recognise::require_clean(report, path, model, &self.translated.dict);
        }
        let deviations = if strict { report.deviations() } else { vec![] };
        if deviations.is_empty() {
            return Ok(());
        }
        let found = deviations.join("; ");
        Err(Error::file(path, format!("is not exactly {model}'s: {found}; leave out --strict to load it all the same")))
    }
}

#[cfg(test)]
mod tests {
    use tch::kind::FLOAT_CPU;

    use super::*;

    fn dict(list: &[(&str, &[i64])]) -> StateDict {
        let tensors = list.iter().map(|&(name, size)| (name.to_string(), Tensor::ones(size, FLOAT_CPU)));
        StateDict::new(tensors.collect(), BTreeMap::new())
    }

    const MODEL: &[(&str, &[i64])] = &[("conv1.weight", &[4]), ("layer1.0.conv1.weight", &[2, 2])];

    fn loaded(file: StateDict, rules: &[&str]) -> Loaded {
        let rules: Vec<Rule> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        load(&dict(MODEL).tensors, file, "resnet18", &rules, |name| name.starts_with("fc.")).unwrap()
    }

    fn refusal(loaded: &Loaded, strict: bool) -> Option<String> {
        loaded.require(Path::new("w.pth"), "resnet18", strict).err().map(|error| error.to_string())
    }

    #[test]
    fn rules_and_a_dialect_go_one_after_the_other() {
        let theirs: &[(&str, &[i64])] = &[
            ("net/embedder.embedder.convolution.weight", &[4]),
            ("net/encoder.stages.0.layers.0.layer.0.convolution.weight", &[2, 2]),
            ("net/classifier.1.weight", &[9]),
            ("other", &[1]),
        ];
        let loaded = loaded(dict(theirs), &["net/* -> resnet.*"]);
        let report = &loaded.report;
        assert_eq!(report.loaded, ["conv1.weight", "layer1.0.conv1.weight"]);
        assert_eq!(report.left_out, ["net/classifier.1.weight"]);
        assert_eq!(report.dialect.as_deref(), Some("transformers"));
        assert_eq!(report.renamed[0].from, ["net/embedder.embedder.convolution.weight"]);
        assert!(report.unexpected.is_empty() && refusal(&loaded, false).is_none());
        assert!(report.to_string().contains("names of transformers mapped to the model's"), "{report}");
        assert!(refusal(&loaded, true).unwrap().contains("2 renamed"));
    }

    #[test]
    fn more_is_well_beside_the_model_but_not_within_it() {
        let with = |more: &'static str| loaded(dict(&[MODEL, &[(more, &[1])]].concat()), &[]);
        let beside = with("ema.decay");
        assert_eq!(beside.report.unexpected, ["ema.decay"]);
        assert_eq!(refusal(&beside, false), None);
        assert!(refusal(&beside, true).unwrap().contains("1 unexpected: `ema.decay`"));
        // as of ResNet-34, all of whose first blocks fit
        let message = refusal(&with("layer1.2.conv1.weight"), false).unwrap();
        assert!(message.contains("1 unexpected: `layer1.2.conv1.weight`"), "{message}");
        assert_eq!(refusal(&with("fc.weight"), true), None);
    }

    #[test]
    fn strict_takes_nothing_but_the_same() {
        assert_eq!(refusal(&loaded(dict(MODEL), &[]), true), None);
        let mut half = dict(MODEL);
        half.tensors.insert("conv1.weight".into(), Tensor::ones([4], (tch::Kind::Half, tch::Device::Cpu)));
        assert!(refusal(&loaded(half, &[]), true).unwrap().contains("1 converted: `conv1.weight`"));
        let mut noted = dict(MODEL);
        noted.notes.push("took the prefix `module.` off all 2 names".into());
        let message = refusal(&loaded(noted, &[]), true).unwrap();
        assert!(message.contains("took the prefix `module.`") && message.contains("--strict"), "{message}");
    }
}
