//! Which of the registry's architectures a checkpoint's names belong to, for `inspect` and for error messages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::formats::{LoadReport, StateDict, likely_architecture};
use super::{Builder, architecture, registry};
use crate::Result;

/// Names of every source model's tensors, its own head included.
fn names() -> Result<BTreeMap<&'static str, BTreeSet<String>>> {
    let of = |entry: &'static registry::SourceModel| {
        let builder = Builder::skeleton();
        architecture::with_source_head(&entry.architecture, &builder, entry.classes)?;
        let store = builder.finish();
        Ok((entry.name.as_str(), store.entries().map(|(name, _)| name.to_string()).collect()))
    };
    registry::models().iter().map(of).collect()
}

/// The source model whose names the checkpoint has, if there is one.
///
/// # Errors
/// What libtorch refuses.
pub fn recognise(dict: &StateDict) -> Result<Option<String>> {
    let names = names()?;
    let known = names.iter().map(|(name, tensors)| (*name, tensors));
    Ok(likely_architecture(dict.names(), known).map(|(name, _)| name.to_string()))
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
