//! Reading back what a run logged.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::{Error, Result};

/// The end of one epoch, as `metrics.jsonl` has it; a metric that was not a number is absent.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochRecord {
    /// Which one, from 0.
    pub epoch: u64,
    /// Means over the training batches.
    pub train: BTreeMap<String, f64>,
    /// The same on the validation set.
    pub validation: BTreeMap<String, f64>,
}

/// A line of the log, as far as it matters here.
#[derive(Deserialize)]
struct Line {
    event: String,
    epoch: Option<u64>,
    #[serde(default)]
    train: BTreeMap<String, Option<f64>>,
    #[serde(default)]
    validation: BTreeMap<String, Option<f64>>,
}

/// The epochs that a `metrics.jsonl` tells of, in order.
///
/// # Errors
/// A file that cannot be read or is no log.
pub fn epochs_of(path: &Path) -> Result<Vec<EpochRecord>> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path, "cannot read the log"))?;
    let known = |metrics: BTreeMap<String, Option<f64>>| {
        metrics.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    };
    let mut epochs = vec![];
    for line in text.lines() {
        let line: Line = serde_json::from_str(line).map_err(|error| Error::file(path, format!("no log: {error}")))?;
        if let ("epoch", Some(epoch)) = (line.event.as_str(), line.epoch) {
            epochs.push(EpochRecord { epoch, train: known(line.train), validation: known(line.validation) });
        }
    }
    Ok(epochs)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{epoch, started, step};
    use super::super::{JsonLines, Observer};
    use super::*;

    #[test]
    fn what_was_logged_is_read_back() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = JsonLines::create(&path)?;
        log.observe(&started(0))?;
        step(1, f64::NAN)(&mut log);
        epoch(0)(&mut log);
        log.flush()?;
        let epochs = epochs_of(&path)?;
        assert_eq!(epochs.len(), 1);
        assert_eq!((epochs[0].epoch, epochs[0].train["loss"], epochs[0].validation["accuracy"]), (0, 0.5, 0.875));
        Ok(())
    }
}
