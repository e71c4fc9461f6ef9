//! All options of fine-tuning.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::data::Augmentation;
use crate::methods::both_labelled::conserve::ConserveOptions;
use crate::methods::options::{Balance, DataOptions, MachineOptions, ModelOptions};
use crate::models::HeadKind;
use crate::train::{FitOptions, Freezing, NormPolicy};
use crate::{Error, Result};

/// Which epoch's model is the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The one that did best
    Best,
    /// The last one: right where the images that would choose are the test
    Last,
}

/// All options of fine-tuning.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct FinetuneOptions {
    /// Which images.
    #[command(flatten, next_help_heading = "Data")]
    #[serde(flatten)]
    pub data: DataOptions,
    /// Which source model.
    #[command(flatten, next_help_heading = "Model")]
    #[serde(flatten)]
    pub model: ModelOptions,
    /// What learns.
    #[command(flatten, next_help_heading = "What learns")]
    #[serde(flatten)]
    pub freezing: Freezing,
    /// How images are varied.
    #[command(flatten, next_help_heading = "Augmentation")]
    #[serde(flatten)]
    pub augmentation: Augmentation,
    /// What stays as it was.
    #[command(flatten, next_help_heading = "Staying close to the source model")]
    #[serde(flatten)]
    pub conserve: ConserveOptions,
    /// What makes up for classes with few images
    #[arg(long, value_enum, default_value = "none", help_heading = "Data")]
    pub balance: Balance,
    /// Share of a label that is spread over all classes
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, help_heading = "Optimisation")]
    pub label_smoothing: f64,
    /// Which epoch's model is the result: the best on the validation images, or the last [default: best, or last with --shots]
    #[arg(long, value_enum, help_heading = "Run")]
    pub keep: Option<Keep>,
    /// Fits a temperature on the validation images, so that probabilities mean what they say
    #[arg(long, help_heading = "Run")]
    pub calibrate: bool,
    /// How to train.
    #[command(flatten, next_help_heading = "Optimisation")]
    #[serde(flatten)]
    pub fit: FitOptions,
    /// Where and how.
    #[command(flatten, next_help_heading = "Machine")]
    #[serde(flatten)]
    pub machine: MachineOptions,
}

impl Default for FinetuneOptions {
    fn default() -> Self {
        crate::options::defaults()
    }
}

impl FinetuneOptions {
    /// Whether the options make sense together, before anything is read.
    ///
    /// # Errors
    /// All faults at once.
    pub fn validate(&self) -> Result<()> {
        let mut faults = vec![];
        self.data.faults(&mut faults);
        self.faults_beside_data(&mut faults);
        if faults.is_empty() { Ok(()) } else { Err(Error::Usage(faults.join("; "))) }
    }

    /// Appends a line for everything that makes no sense, whatever the data.
    pub fn faults_beside_data(&self, faults: &mut Vec<String>) {
        self.model.faults(faults);
        self.freezing.faults(self.epochs(), faults);
        self.fit.faults(faults);
        self.machine.faults(faults);
        self.conserve.faults(self.model.from_scratch, faults);
        faults.extend(self.augmentation.problems());
        if !(0.0..1.0).contains(&self.label_smoothing) {
            faults.push(format!("--label-smoothing {} must be at least 0 and below 1", self.label_smoothing));
        }
        let freezes = self.freezing.freeze.to_string() != "none" && !self.freezing.freeze_random;
        if self.model.from_scratch && self.model.copy.is_empty() && freezes {
            faults.push(
                "--from-scratch with --freeze would freeze random weights; leave one of them out, or add --freeze-random".into(),
            );
        }
        if self.model.beside.is_some() && self.conserve.wants_source() {
            faults.push(
                "--beside keeps the earlier model whole, so nothing of it is to be conserved or measured; leave --conserve and \
                 --source-data out"
                    .into(),
            );
        }
        if self.model.head.keep && self.model.from_scratch {
            faults.push("--head keep is about a source model's head; leave --from-scratch out".into());
        }
        if self.epochs() == 0 && self.model.head.kind != HeadKind::Prototype {
            faults.push("--epochs 0 learns nothing; only a prototype head works without training".into());
        }
    }

    /// Passes over the images: as given, or 10, or none for prototypes of a frozen backbone.
    fn epochs(&self) -> usize {
        let prototypes = self.model.head.kind == HeadKind::Prototype && self.freezing.freeze.to_string() == "all";
        self.fit.epochs.unwrap_or(if prototypes { 0 } else { 10 })
    }

    /// The same options with nothing left open.
    pub fn resolved(&self) -> Self {
        let mut options = self.clone();
        options.fit.epochs = Some(self.epochs());
        let backbone_lr = if self.model.from_scratch { 1.0 } else { 0.1 };
        let stays = !self.conserve.conserve.is_empty();
        let policy = if stays { NormPolicy::HoldStatistics } else { NormPolicy::Follow };
        options.freezing.batch_norm = Some(self.freezing.batch_norm.unwrap_or(policy));
        options.freezing.backbone_lr = Some(self.freezing.backbone_lr.unwrap_or(backbone_lr));
        options.keep = Some(self.keep.unwrap_or(if self.data.shots.is_some() { Keep::Last } else { Keep::Best }));
        options
    }
}
