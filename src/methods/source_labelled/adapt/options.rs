//! All options of domain adaptation.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Change, Method, Methods};
use crate::data::Augmentation;
use crate::eval::Selection;
use crate::methods::both_labelled::finetune::{FinetuneOptions, Keep};
use crate::methods::options::{DataOptions, MachineOptions, ModelOptions};
use crate::models::HeadKind;
use crate::train::batch_size::BatchSize;
use crate::train::{FitOptions, Freezing};
use crate::{Error, Result};

/// How strong everything is that a method adds.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct Strengths {
    /// What the method's own terms count beside the source's cross-entropy [default: the method's]
    #[arg(long, value_name = "WEIGHT")]
    pub trade_off: Option<f64>,
    /// How fast it rises from 0: γ in 2/(1+exp(−γp))−1, where p is the share of training that lies behind
    #[arg(long, value_name = "GAMMA", default_value_t = 10.0)]
    pub ramp: f64,
    /// Widths of the domain classifier's hidden layers
    #[arg(long, value_name = "WIDTH,…", value_delimiter = ',', default_value = "1024,1024")]
    pub discriminator: Vec<i64>,
    /// mcc: what logits are divided by
    #[arg(long, value_name = "T", default_value_t = 2.5)]
    pub temperature: f64,
    /// self-training, mean-teacher: how sure a prediction must be to count [default: 0.9, 0.968]
    #[arg(long, value_name = "SHARE")]
    pub threshold: Option<f64>,
    /// vada, dirt-t: how far virtual adversarial training looks, in normalised pixels of a whole image
    #[arg(long, value_name = "DISTANCE", default_value_t = 7.0)]
    pub radius: f64,
    /// vada, dirt-t: what smooth and certain predictions on the target count
    #[arg(long, value_name = "WEIGHT", default_value_t = 0.01)]
    pub certain: f64,
    /// vada: what smooth predictions on the source count
    #[arg(long, value_name = "WEIGHT", default_value_t = 0.0)]
    pub smooth_source: f64,
    /// mean-teacher, dirt-t: decay of the average that is its teacher [default: 0.99, 0.998]
    #[arg(long, value_name = "DECAY")]
    pub teacher: Option<f64>,
    /// mean-teacher: what differs between the views of an image, separated by commas
    #[arg(long, value_enum, value_name = "CHANGE,…", value_delimiter = ',', default_value = "shape,noise")]
    pub views: Vec<Change>,
    /// sa: how many principal directions
    #[arg(long, value_name = "COUNT", default_value_t = 80)]
    pub subspace: i64,
}

impl Strengths {
    /// As given, or the method's own.
    pub fn trade_off(&self, own: f64) -> f64 {
        self.trade_off.unwrap_or(own)
    }

    /// As given, or the method's own.
    pub fn threshold(&self, own: f64) -> f64 {
        self.threshold.unwrap_or(own)
    }

    /// As given, or the method's own.
    pub fn teacher(&self, own: f64) -> f64 {
        self.teacher.unwrap_or(own)
    }

    fn faults(&self, faults: &mut Vec<String>) {
        let given = self.trade_off.iter().map(|&value| ("trade-off", value));
        let weights = [("ramp", self.ramp), ("certain", self.certain), ("smooth-source", self.smooth_source)];
        for (name, value) in given.chain(weights) {
            if !(value >= 0.0 && value.is_finite()) {
                faults.push(format!("--{name} {value} must be 0 or above"));
            }
        }
        for (name, value) in [("temperature", self.temperature), ("radius", self.radius)] {
            if !(value > 0.0 && value.is_finite()) {
                faults.push(format!("--{name} {value} must be above 0"));
            }
        }
        let given = |name: &'static str, value: Option<f64>| value.map(|value| (name, value));
        for (name, value) in [given("threshold", self.threshold), given("teacher", self.teacher)].into_iter().flatten()
        {
            if !(0.0..1.0).contains(&value) {
                faults.push(format!("--{name} {value} must be at least 0 and below 1"));
            }
        }
        if self.discriminator.iter().any(|&width| width < 1) || self.subspace < 1 {
            faults.push("--discriminator and --subspace count things, so they must be at least 1".into());
        }
    }
}

/// All options of domain adaptation.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct AdaptOptions {
    /// Labelled images: a folder with train/ and val/, or one folder per class, or IDX files
    #[arg(long, value_name = "FOLDER", help_heading = "Domains")]
    pub source: Option<PathBuf>,
    /// Images of the other kind; where they have labels, these serve the scores headed oracle and nothing else
    #[arg(long, value_name = "FOLDER", help_heading = "Domains")]
    pub target: Option<PathBuf>,
    /// How to carry over what the source teaches, separated by commas; all for every method
    #[arg(long, value_name = "METHOD,…", default_value = "source-only,dann", help_heading = "Domains")]
    pub methods: Methods,
    /// Share of each class of the source that is kept for validation, where there is no val/
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, help_heading = "Domains")]
    pub val_fraction: f64,
    /// Learns from at most this many images of the source
    #[arg(long, value_name = "N", help_heading = "Domains")]
    pub source_images: Option<usize>,
    /// Adapts to at most this many images of the target
    #[arg(long, value_name = "N", help_heading = "Domains")]
    pub target_images: Option<usize>,
    /// Fixes which images are held out and used [default: --seed]
    #[arg(long, value_name = "NUMBER", help_heading = "Domains")]
    pub split_seed: Option<u64>,
    /// The stage whose output is made alike, or head for what the last layer gets [default: where the network's paper says,
    /// otherwise head]
    #[arg(long, value_name = "STAGE", help_heading = "Making alike")]
    pub align: Option<String>,
    /// How strong everything is.
    #[command(flatten, next_help_heading = "Making alike")]
    #[serde(flatten)]
    pub strengths: Strengths,
    /// An earlier run whose network, head included, this one goes out from
    #[arg(
        long,
        value_name = "RUN",
        conflicts_with_all = ["model", "from_scratch", "weights", "strict", "weights_report", "copy", "head", "dropout"],
        help_heading = "Model"
    )]
    pub begin: Option<PathBuf>,
    /// Which source model.
    #[command(flatten, next_help_heading = "Model")]
    #[serde(flatten)]
    pub model: ModelOptions,
    /// What learns.
    #[command(flatten, next_help_heading = "What learns")]
    #[serde(flatten)]
    pub freezing: Freezing,
    /// How images of both domains are varied.
    #[command(flatten, next_help_heading = "Augmentation")]
    #[serde(flatten)]
    pub augmentation: Augmentation,
    /// What chooses the epoch; none of these knows a label of the target
    #[arg(long, value_enum, default_value = "info-max", help_heading = "Run")]
    pub select: Selection,
    /// Which epoch's model is the result: the best by --select, or the last
    #[arg(long, value_enum, default_value = "best", help_heading = "Run")]
    pub keep: Keep,
    /// Images of each domain in the pictures of the features, before and after; 0 for no pictures
    #[arg(long, value_name = "N", default_value_t = 500, help_heading = "Run")]
    pub pictured: usize,
    /// Share of a label of the source that is spread over all classes
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, help_heading = "Optimisation")]
    pub label_smoothing: f64,
    /// How to train.
    #[command(flatten, next_help_heading = "Optimisation")]
    #[serde(flatten)]
    pub fit: FitOptions,
    /// Where and how.
    #[command(flatten, next_help_heading = "Machine")]
    #[serde(flatten)]
    pub machine: MachineOptions,
}

impl Default for AdaptOptions {
    fn default() -> Self {
        crate::options::defaults()
    }
}

impl AdaptOptions {
    /// Whether the options make sense together, before anything is read.
    ///
    /// # Errors
    /// All faults at once.
    pub fn validate(&self) -> Result<()> {
        let mut faults = vec![];
        for (flag, folder, what) in [
            ("source", &self.source, "a folder with one folder of labelled images per class"),
            ("target", &self.target, "a folder of images of the other kind, with or without class folders"),
        ] {
            if folder.is_none() {
                faults.push(format!("--{flag} FOLDER is missing: {what}"));
            }
        }
        for (flag, count) in [("source-images", self.source_images), ("target-images", self.target_images)] {
            if count.is_some_and(|count| count < 2) {
                faults.push(format!("--{flag} must be at least 2"));
            }
        }
        self.strengths.faults(&mut faults);
        if self.augmentation.mixup > 0.0 || self.augmentation.cutmix > 0.0 {
            faults.push(
                "--mixup and --cutmix mix images with their labels, which the target has not; leave them out".into(),
            );
        }
        if self.model.head.keep || self.model.head.kind == HeadKind::Prototype {
            faults.push(format!("--head {}: takes linear, mlp or bottleneck here", self.model.head));
        }
        if self.model.beside.is_some() {
            faults.push("--beside is about one labelled task after the other; leave it out".into());
        }
        if self.machine.batch_size == BatchSize::Auto {
            faults.push(
                "--batch-size auto tries out plain classification; give a number of images, of each domain".into(),
            );
        }
        let mut finetune = self.finetune();
        // weights of an earlier run are not random
        finetune.freezing.freeze_random |= self.begin.is_some();
        match finetune.validate() {
            Err(Error::Usage(more)) => faults.push(more),
            checked => checked?,
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::Usage(faults.join("; "))) }
    }

    /// Images of each domain in a step.
    pub(super) fn batch_size(&self) -> usize {
        match self.machine.batch_size {
            BatchSize::Fixed(images) => images,
            BatchSize::Auto => unreachable!("validated"),
        }
    }

    /// The images of the source.
    pub(super) fn source_data(&self) -> DataOptions {
        let (data, val_fraction, split_seed) = (self.source.clone(), self.val_fraction, self.split_seed);
        DataOptions { data, val_fraction, split_seed, ..crate::options::defaults() }
    }

    /// What choices of images depend on.
    pub(super) fn images_seed(&self) -> u64 {
        self.split_seed.unwrap_or(self.machine.seed)
    }

    /// The options of fine-tuning to the source: what builds the network and decides what learns.
    pub(super) fn finetune(&self) -> FinetuneOptions {
        FinetuneOptions {
            // a missing folder was spoken of under its own name
            data: DataOptions { data: Some(self.source.clone().unwrap_or_default()), ..self.source_data() },
            model: self.model.clone(),
            freezing: self.freezing.clone(),
            augmentation: self.augmentation.clone(),
            label_smoothing: self.label_smoothing,
            keep: Some(self.keep),
            fit: self.fit.clone(),
            machine: self.machine.clone(),
            ..FinetuneOptions::default()
        }
    }

    /// The same options with nothing left open.
    pub fn resolved(&self) -> Self {
        let finetune = self.finetune().resolved();
        Self { freezing: finetune.freezing, fit: finetune.fit, ..self.clone() }
    }

    /// The options of one method's run in a comparison, which goes out from the run `begin`.
    pub(super) fn of(&self, method: Method, seed: u64, begin: Option<PathBuf>) -> Self {
        let mut options =
            Self { methods: Methods::one(method), begin: begin.or_else(|| self.begin.clone()), ..self.clone() };
        options.machine.seed = seed;
        options
    }
}
