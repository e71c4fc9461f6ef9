//! Which of the registry's architectures a checkpoint's names belong to, for `inspect` and for error messages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tch::Tensor;

use super::formats::{LoadReport, StateDict, likely_architecture};
use super::{Builder, Store, architecture, registry};
use crate::Result;

/// A source model without its values.
fn skeleton(entry: &registry::SourceModel) -> Result<Store> {
    let builder = Builder::skeleton();
    architecture::with_source_head(&entry.architecture, &builder, entry.classes)?;
    Ok(builder.finish())
}

/// Names of every source model's tensors, its own head included.
fn names() -> Result<BTreeMap<&'static str, BTreeSet<String>>> {
    let of = |entry: &'static registry::SourceModel| {
        let store = skeleton(entry)?;
        Ok((entry.name.as_str(), store.entries().map(|(name, _)| name.to_string()).collect()))
    };
    registry::models().iter().map(of).collect()
}

/// The source model whose names and shapes the checkpoint has, if there is one; its head may have other classes.
///
/// # Errors
/// What libtorch refuses.
pub fn recognise(dict: &StateDict) -> Result<Option<String>> {
    let shaped = |(name, tensor): (&str, &Tensor)| format!("{name} {:?}", tensor.size());
    let theirs: Vec<String> = dict.tensors.iter().map(|(name, tensor)| shaped((name, tensor))).collect();
    let mut known: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for entry in registry::models() {
        let store = skeleton(entry)?;
        known.insert(&entry.name, store.entries().map(|(name, entry)| shaped((name, &entry.tensor))).collect());
    }
    let likely = likely_architecture(theirs.iter().map(String::as_str), known.iter().map(|(name, set)| (*name, set)));
    Ok(likely.map(|(name, _)| name.to_string()))
}

/// Turns a report with faults into an error that says what the file seems to be instead.
///
/// # Errors
/// If anything is missing, unexpected or of another shape.
pub(crate) fn require_clean(report: &LoadReport, file: &Path, model: &str, dict: &StateDict) -> Result<()> {
    if report.is_clean() {
        return Ok(());
    }
    let names = names()?;
    report.require_clean(file, model, dict, names.iter().map(|(name, tensors)| (*name, tensors)))
}
