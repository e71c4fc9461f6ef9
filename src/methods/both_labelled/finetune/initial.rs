//! The weights that fine-tuning starts from: the source model's, and the layers that are copied from other networks.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use crate::methods::options::ModelOptions;
use crate::models::Classifier;
use crate::models::formats::LoadReport;
use crate::models::transfer::{self, Transfer};
use crate::report::weights_table;
use crate::train::observe::Observers;
use crate::{Error, Result};

/// Where the first weights came from: what a run's `weights.json` holds.
#[derive(Debug, Serialize)]
pub struct InitialWeights {
    /// The file of the source weights, if there is one.
    pub file: Option<PathBuf>,
    /// What of it was loaded.
    pub report: Option<LoadReport>,
    /// What was then copied over that, in this order.
    pub copies: Vec<Transfer>,
}

impl InitialWeights {
    /// Loads the source weights from `file`, and copies what the options say.
    pub(super) fn load(
        model: &Classifier,
        file: Option<PathBuf>,
        options: &ModelOptions,
        observers: &mut Observers,
    ) -> Result<Self> {
        let mut initial = Self { file, report: None, copies: vec![] };
        if let Some(file) = &initial.file {
            let loaded = model.load_backbone(file)?;
            observers.message(&format!("{}: {}", file.display(), loaded.report))?;
            if options.weights_report {
                observers.message(&weights_table(&loaded.report))?;
            }
            loaded.require(file, &model.spec.architecture, options.strict)?;
            initial.report = Some(loaded.report);
        }
        let (views, outline) = (model.store.views(), model.outline());
        for (selector, from) in options.copies() {
            let architecture = &model.backbone().architecture;
            let transfer = transfer::copy(&views, &outline, architecture, selector, from, &options.map)?;
            observers.message(&transfer.to_string())?;
            if options.weights_report {
                observers.message(&weights_table(&transfer.report))?;
            }
            initial.copies.push(transfer);
        }
        Ok(initial)
    }

    /// Whether this tensor of the backbone came from somewhere. The weights of a TorchScript module are in it from the start.
    pub(super) fn covers(&self, name: &String) -> bool {
        let loaded = self.report.as_ref().is_none_or(|report| report.loaded.contains(name));
        loaded || self.copies.iter().any(|copy| copy.report.loaded.contains(name))
    }

    /// Whether nothing came from anywhere.
    pub fn is_random(&self) -> bool {
        self.file.is_none() && self.copies.is_empty()
    }

    /// Refuses to freeze what is random.
    pub(crate) fn require_copied(&self, frozen: &BTreeSet<String>) -> Result<()> {
        let copied: BTreeSet<&String> = self.copies.iter().flat_map(|copy| &copy.report.loaded).collect();
        match frozen.iter().find(|name| !copied.contains(name)) {
            None => Ok(()),
            Some(name) => Err(Error::Usage(format!(
                "--from-scratch with --freeze would freeze random weights, as those of `{name}`; freeze only what \
                 --copy copies, or add --freeze-random"
            ))),
        }
    }
}
