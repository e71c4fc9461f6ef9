//! All options of learning to name classes by what is said of them.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::super::{ClassOptions, Method};
use crate::data::Augmentation;
use crate::methods::both_labelled::finetune::{FinetuneOptions, Keep};
use crate::methods::options::{DataOptions, MachineOptions, ModelOptions};
use crate::models::HeadKind;
use crate::train::{FitOptions, Freezing};
use crate::{Error, Result};

/// All options of learning an embedding.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct TrainOptions {
    /// Which images; --classes are those that there are, seen and unseen.
    #[command(flatten, next_help_heading = "Data")]
    #[serde(flatten)]
    pub data: DataOptions,
    /// What is said of the classes.
    #[command(flatten, next_help_heading = "Classes")]
    #[serde(flatten)]
    pub about: ClassOptions,
    /// The classes that nobody learns from, separated by commas; images of them are for the test
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', help_heading = "Classes")]
    pub unseen: Vec<String>,
    /// How images are brought to their classes: joint, devise, ale or sje (or pull, to see it collapse)
    #[arg(long, value_enum, default_value = "devise", help_heading = "Classes")]
    pub method: Method,
    /// By how much an image should fit its class better than another [default: 0.1, or 1 for ale, sje and joint]
    #[arg(long, value_name = "MARGIN", help_heading = "Classes")]
    pub margin: Option<f64>,
    /// Width of the space where both meet [default: 128 for joint and pull; for others, which take that of the descriptions, none]
    #[arg(long, value_name = "NUMBERS", help_heading = "Classes")]
    pub space: Option<i64>,
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
    /// Which epoch's model is the result: the one that named held-out images of seen classes best, or the last
    #[arg(long, value_enum, default_value = "best", help_heading = "Run")]
    pub keep: Keep,
    /// How to train.
    #[command(flatten, next_help_heading = "Optimisation")]
    #[serde(flatten)]
    pub fit: FitOptions,
    /// Where and how.
    #[command(flatten, next_help_heading = "Machine")]
    #[serde(flatten)]
    pub machine: MachineOptions,
}

impl Default for TrainOptions {
    fn default() -> Self {
        crate::options::defaults()
    }
}

impl TrainOptions {
    /// Whether the options make sense together, before anything is read.
    ///
    /// # Errors
    /// All faults at once.
    pub fn validate(&self) -> Result<()> {
        let mut faults = vec![];
        self.about.faults(&mut faults);
        if self.unseen.is_empty() {
            faults.push("no class is unseen: give --unseen NAME,…".into());
        }
        if self.method.form().is_none() {
            let name = self.method.name();
            faults.push(format!(
                "--method {name}: does not learn an embedding of images; give joint, devise, ale or sje (zeroshot compare has {name})"
            ));
        }
        if let Some(margin) = self.margin.filter(|margin| !(*margin > 0.0 && margin.is_finite())) {
            faults.push(format!("--margin {margin} must be above 0"));
        }
        if self.margin.is_some() && self.method == Method::Pull {
            faults.push("--margin is about methods that rank classes, which pull does not; leave it out".into());
        }
        if self.space.is_some_and(|space| space < 1) {
            faults.push("--space must be at least 1".into());
        }
        if self.model.head.keep || self.model.head.kind == HeadKind::Prototype {
            faults.push(format!("--head {}: takes linear, mlp or bottleneck here", self.model.head));
        }
        if self.augmentation.mixup > 0.0 || self.augmentation.cutmix > 0.0 {
            faults.push("--mixup and --cutmix mix labels, which a ranking has not; leave them out".into());
        }
        if self.model.beside.is_some() {
            faults.push("--beside is about one labelled task after the other; leave it out".into());
        }
        match self.finetune(vec![]).validate() {
            Err(Error::Usage(more)) => faults.push(more),
            checked => checked?,
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::Usage(faults.join("; "))) }
    }

    /// The margin as given, or the method's own.
    pub(super) fn margin(&self) -> f64 {
        self.margin.unwrap_or(if self.method == Method::Devise { 0.1 } else { 1.0 })
    }

    /// Fine-tuning to these classes: what reads images, builds the network and decides what learns.
    pub(super) fn finetune(&self, seen: Vec<String>) -> FinetuneOptions {
        FinetuneOptions {
            data: DataOptions { classes: seen, ..self.data.clone() },
            model: self.model.clone(),
            freezing: self.freezing.clone(),
            augmentation: self.augmentation.clone(),
            keep: Some(self.keep),
            fit: self.fit.clone(),
            machine: self.machine.clone(),
            ..FinetuneOptions::default()
        }
    }

    /// The same options with nothing left open.
    pub fn resolved(&self) -> Self {
        let finetune = self.finetune(vec![]).resolved();
        let space = self.space.or(self.method.form().and_then(|form| form.space));
        Self { freezing: finetune.freezing, fit: finetune.fit, margin: Some(self.margin()), space, ..self.clone() }
    }
}
