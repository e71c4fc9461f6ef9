//! Layer transfer between networks: chosen stages of a model are overwritten with those of any checkpoint.
//!
//! Yosinski et al. 2014, "How transferable are features in deep neural networks?", copy the first n layers of one
//! network into another and train what is above; here the two need not be of one kind, as long as the tensors fit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tch::Tensor;

use super::formats::{LoadReport, StateDict};
use super::names::{self, Rule};
use super::{Outline, Selector};
use crate::{Error, Result};

/// How a transfer went.
#[derive(Debug, Serialize)]
pub struct Transfer {
    /// What was asked for.
    pub selector: Selector,
    /// The checkpoint.
    pub file: PathBuf,
    /// Tensors of the checkpoint that were not used.
    pub unused: usize,
    /// What was loaded and how; everything that was selected, or there would be no transfer.
    pub report: LoadReport,
}

impl std::fmt::Display for Transfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let report = LoadReport { unexpected: vec![], ..self.report.clone() };
        write!(f, "{}: `{}`: {report}; {} of the file not used", self.file.display(), self.selector, self.unused)
    }
}

/// Overwrites what `selector` selects of a model of `architecture` with what the checkpoint `from` has under the same
/// names, under those that `rules` make, or in a dialect. `views` are the model's tensors; batch-norm statistics come along
/// with their layer. `from` may be the folder of a run.
///
/// # Errors
/// A file that cannot be read, a selector that matches nothing, or a selected tensor that the file does not have in the same
/// shape; the message has what is near.
pub fn copy(
    views: &BTreeMap<String, Tensor>,
    outline: &Outline,
    architecture: &str,
    selector: &Selector,
    from: &Path,
    rules: &[Rule],
) -> Result<Transfer> {
    let file = if from.is_dir() { from.join("model.safetensors") } else { from.to_path_buf() };
    let dict = StateDict::read(&file)?;
    let theirs: BTreeMap<String, Vec<i64>> = dict.tensors.iter().map(|(name, t)| (name.clone(), t.size())).collect();
    let selected = with_buffers(&selector.select(outline)?, outline, views);
    let targets = selected.iter().map(|name| (name.clone(), views[name].shallow_clone())).collect();
    let mut report = names::load(&targets, dict, architecture, rules, |_| false)?.report;
    let faults: Vec<String> =
        [missing(&report, &targets, &theirs), mismatched(&report)].into_iter().flatten().collect();
    if !faults.is_empty() {
        return Err(Error::file(file, format!("--copy {selector}: {}", faults.join("; "))));
    }
    let used: usize = report.loaded.len() + report.renamed.iter().map(|one| one.from.len() - 1).sum::<usize>();
    let unused = theirs.len() - used;
    report.unexpected.clear();
    Ok(Transfer { selector: selector.clone(), file, unused, report })
}

/// The selected parameters with the buffers that belong to them: all parameters of the nearest module above a buffer
/// that has any are selected.
fn with_buffers(
    parameters: &BTreeSet<String>,
    outline: &Outline,
    views: &BTreeMap<String, Tensor>,
) -> BTreeSet<String> {
    let all: BTreeSet<&String> = outline.backbone().chain(&outline.head).collect();
    let belongs = |buffer: &str| {
        let mut module = buffer;
        while let Some((above, _)) = module.rsplit_once('.') {
            let mut inside =
                all.iter().filter(|name| name.strip_prefix(above).is_some_and(|rest| rest.starts_with('.')));
            if let Some(first) = inside.next() {
                return parameters.contains(*first) && inside.all(|name| parameters.contains(*name));
            }
            module = above;
        }
        false
    };
    let buffers = views.keys().filter(|name| !all.contains(name) && belongs(name)).cloned();
    parameters.iter().cloned().chain(buffers).collect()
}

fn mismatched(report: &LoadReport) -> Option<String> {
    let bad = report.shape_mismatch.first()?;
    let (count, name) = (report.shape_mismatch.len(), &bad.name);
    Some(format!("{count} of another shape: `{name}` has {:?} where {:?} is expected", bad.found, bad.expected))
}

/// What is not in the file, and what of the file was perhaps meant.
fn missing(
    report: &LoadReport,
    targets: &BTreeMap<String, Tensor>,
    theirs: &BTreeMap<String, Vec<i64>>,
) -> Option<String> {
    let first = report.missing.first()?;
    let shape = targets[first].size();
    let fault = format!("{} of {} tensors are missing, first `{first}` {shape:?}", report.missing.len(), targets.len());
    let prefix = theirs.keys().filter_map(|name| name.strip_suffix(first.as_str())).find(|prefix| {
        prefix.ends_with('.') && report.missing.iter().all(|name| theirs.contains_key(&format!("{prefix}{name}")))
    });
    if let Some(prefix) = prefix {
        return Some(format!("{fault}; the file has all of them under `{prefix}`: add --map '{prefix}* -> *'"));
    }
    let mut near: Vec<_> =
        theirs.iter().map(|(name, size)| (strsim::normalized_levenshtein(first, name), name, size)).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let names = near.iter().take(3).map(|(_, name, size)| format!("`{name}` {size:?}")).collect::<Vec<_>>().join(", ");
    let same: Vec<_> =
        near.iter().filter(|(.., size)| **size == shape).take(3).map(|(_, n, _)| format!("`{n}`")).collect();
    let same = if same.is_empty() { "none".into() } else { same.join(", ") };
    Some(format!("{fault}; near in name: {names}; of that shape: {same}; --map 'THEIRS -> OURS' says which is which"))
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::super::formats::write_safetensors;
    use super::super::{Builder, Store, build};
    use super::*;

    fn network(name: &str) -> (Store, Outline) {
        let builder = Builder::new(Device::Cpu);
        let backbone = build(name, &builder.root()).unwrap();
        let store = builder.finish();
        let outline = backbone.outline(&store);
        (store, outline)
    }

    /// ResNet-18 in a file, every name after `prefix`, with its statistics moved.
    fn source(folder: &Path, prefix: &str) -> PathBuf {
        let (store, _) = network("resnet18");
        for (_, entry) in store.entries().filter(|(name, _)| name.ends_with("running_mean")) {
            let _ = entry.tensor.shallow_clone().fill_(0.25);
        }
        let mut dict = store.snapshot().unwrap();
        dict.tensors = dict.tensors.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect();
        dict.tensors.insert("decoder.weight".into(), Tensor::from(1f32));
        let file = folder.join("source.safetensors");
        write_safetensors(&file, &dict).unwrap();
        file
    }

    fn try_copy(selector: &str, file: &Path, rules: &[&str]) -> (Store, Result<Transfer>) {
        let rules: Vec<Rule> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let (store, outline) = network("resnet34");
        let done = copy(&store.views(), &outline, "resnet34", &selector.parse().unwrap(), file, &rules);
        (store, done)
    }

    #[test]
    fn stages_of_another_network_arrive_with_their_statistics() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let file = source(folder.path(), "encoder.");
        let (before, _) = network("resnet34");
        let (store, transfer) = try_copy("stem,layer2.0.*", &file, &["encoder.* -> *"]);
        let (transfer, theirs) = (transfer?, StateDict::read(&file)?);
        let copied: BTreeSet<_> = transfer.report.loaded.iter().collect();
        assert_eq!(copied.len(), 2 + 4 + 3 * 6);
        for (name, entry) in store.entries() {
            let source = if copied.contains(&name.to_string()) { theirs.get(&format!("encoder.{name}")) } else { None };
            let expected = source.unwrap_or(before.get(name).unwrap());
            assert!(copied.contains(&name.to_string()) || entry.tensor.size() == expected.size(), "{name}");
            if source.is_some() {
                assert_eq!(&entry.tensor, expected, "{name}");
            }
        }
        assert_eq!(f64::try_from(store.get("layer2.0.bn1.running_mean").unwrap().max())?, 0.25);
        assert_eq!(f64::try_from(store.get("layer1.0.bn1.running_mean").unwrap().max())?, 0.0);
        assert_eq!(transfer.unused + copied.len(), theirs.tensors.len());
        assert!(transfer.to_string().contains("`stem,layer2.0.*`: loaded 24 tensors"), "{transfer}");
        Ok(())
    }

    #[test]
    fn a_stage_may_go_where_another_was() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let file = source(folder.path(), "");
        let (store, transfer) = try_copy("layer1.2.*", &file, &["layer1.1.* -> layer1.2.*"]);
        transfer?;
        assert_eq!(store.get("layer1.2.conv2.weight"), StateDict::read(&file)?.get("layer1.1.conv2.weight"));
        Ok(())
    }

    #[test]
    fn what_cannot_be_copied_is_said_with_what_is_near() {
        let folder = tempfile::tempdir().unwrap();
        let file = source(folder.path(), "encoder.");
        let message = |selector: &str, rules: &[&str]| try_copy(selector, &file, rules).1.unwrap_err().to_string();
        let hint = message("first:1", &[]);
        assert!(hint.contains("source.safetensors: --copy first:1: 5 of 6 tensors are missing"), "{hint}");
        assert!(hint.contains("add --map 'encoder.* -> *'"), "{hint}");
        let near = message("layer1", &["encoder.* -> *"]);
        assert!(
            near.contains("first `layer1.2.bn1.bias` [64]") && near.contains("`encoder.layer1.1.bn1.bias` [64]"),
            "{near}"
        );
        let shape = message("layer1", &["encoder.layer1.* -> layer1.*", "encoder.layer2.1.* -> layer1.2.*"]);
        assert!(shape.contains("`layer1.2.bn1.bias` has [128] where [64] is expected"), "{shape}");
        assert!(message("layer9", &[]).contains("matches no stage"));
    }

    #[test]
    fn a_buffer_comes_with_all_parameters_of_its_layer_only() {
        let (store, outline) = network("resnet18");
        let count = |selector: &str| {
            let parameters = selector.parse::<Selector>().unwrap().select(&outline).unwrap();
            let all = with_buffers(&parameters, &outline, &store.views());
            (parameters.len(), all.len() - parameters.len())
        };
        assert_eq!(count("stem"), (3, 3));
        assert_eq!(count("bn1.weight"), (1, 0));
        assert_eq!(count("*.bn1.*").1, 8 * 3);
        assert_eq!(count("all").1, 20 * 3);
    }
}
