//! Options that every method on images shares: the data, the source model, the machine.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use tch::Device;

use crate::data::{CacheImages, GIB, ImageCache, OpenOptions, PreprocessingOptions, Splits, open_data};
use crate::models::cache::Cache;
use crate::models::names::Rule;
use crate::models::{HeadChoice, Selector};
use crate::train::batch_size::BatchSize;
use crate::train::device::DeviceChoice;
use crate::train::memory::Memory;
use crate::train::observe::{Event, Observer, Observers};
use crate::{Error, Result, native};

/// The most seeds of one comparison; more are a slip.
const MOST_SEEDS: u64 = 10_000;

/// The seeds of `--seeds`, the first of which is `--seed`.
///
/// # Errors
/// What is wrong with the numbers, for a message.
pub fn seeds(first: u64, count: u64) -> std::result::Result<Range<u64>, String> {
    match first.checked_add(count) {
        _ if count == 0 => Err("--seeds must be at least 1".into()),
        _ if count > MOST_SEEDS => Err(format!("--seeds {count}: at most {MOST_SEEDS}")),
        None => Err(format!("--seed {first}: too large for {count} seeds")),
        Some(end) => Ok(first..end),
    }
}

/// Which images.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct DataOptions {
    /// Folder with train/ and val/, each with a folder per class; or one folder per class; IDX files, SVHN's .mat files,
    /// a domain of DomainNet with its lists, GTSRB
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// Share of each class that is kept for validation, where there is no val/
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    pub val_fraction: f64,
    /// Trains on this many images per class; without a val/ all others are for validation
    #[arg(long, value_name = "N")]
    pub shots: Option<usize>,
    /// Trains on this share of the training images, the same of each class
    #[arg(long, value_name = "SHARE", conflicts_with = "shots")]
    #[serde(default)]
    pub share: Option<f64>,
    /// Fixes which images are held out and which are among --shots or --share [default: --seed]
    #[arg(long, value_name = "NUMBER")]
    #[serde(default)]
    pub split_seed: Option<u64>,
    /// Trains on at most this many images per class, of those that are not held out: unlike with --shots, what is for
    /// validation does not depend on it
    #[arg(long, value_name = "N", conflicts_with_all = ["shots", "share"])]
    #[serde(default)]
    pub at_most: Option<usize>,
    /// Only these classes, separated by commas
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    #[serde(default)]
    pub classes: Vec<String>,
    /// Leaves out images that cannot be read, and lists them, instead of stopping
    #[arg(long)]
    pub skip_broken: bool,
    /// Keeps decoded images for the epochs to come; every image is then decoded in full, so for photographs of many
    /// megapixels the disk is slower than no cache
    #[arg(long, value_enum, default_value_t, value_name = "WHERE")]
    #[serde(default)]
    pub cache_images: CacheImages,
    /// The most that decoded images may take, in GiB [default: a quarter of the memory; 20 on the disk]
    #[arg(long, value_name = "GIB")]
    #[serde(default)]
    pub cache_limit: Option<f64>,
}

/// Which source model, and what replaces its head.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct ModelOptions {
    /// The source model: a name that 'regraft models' lists, a TorchScript file, or an earlier run
    #[arg(long, value_name = "NAME|FILE|RUN", default_value = "efficientnet_lite0")]
    pub model: String,
    /// Source weights from this file (.pth, .pt or .safetensors) instead of the published ones
    #[arg(long, value_name = "FILE", conflicts_with = "from_scratch")]
    pub weights: Option<PathBuf>,
    /// An earlier run or a source model that is kept whole and frozen, whose stages feed those of the new network through
    /// connections that learn: a column of a progressive network, which prepares images as the model beside it does
    #[arg(long, value_name = "RUN|NAME")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<PathBuf>,
    /// Random weights: nothing is transferred
    #[arg(long)]
    pub from_scratch: bool,
    /// Refuses source weights that are not exactly the model's: tensors beyond it, other names, shapes or number formats
    #[arg(long)]
    #[serde(default)]
    pub strict: bool,
    /// Prints what became of every tensor of the source weights; the run's weights.json has it in any case
    #[arg(long)]
    #[serde(default)]
    pub weights_report: bool,
    /// Copies these layers from the checkpoint --from over the source weights; with several of both, the first --copy
    /// is from the first --from, and so on
    #[arg(long, value_name = "SELECTOR")]
    #[serde(default)]
    pub copy: Vec<Selector>,
    /// The checkpoint or run that --copy takes layers from, of this or any other network; one can serve all
    #[arg(long, value_name = "FILE")]
    #[serde(default)]
    pub from: Vec<PathBuf>,
    /// How a name in the files of --from becomes one of the model's, as 'encoder.layer{i}.* -> layer{i}.*'; names that
    /// no --map matches are then not used
    #[arg(long, value_name = "RULE")]
    #[serde(default)]
    pub map: Vec<Rule>,
    /// The new last layers: linear, mlp, bottleneck or prototype, or keep for the source model's own, where the classes are the same;
    /// @LAYER says which layer of a TorchScript file they replace, as
    /// mlp@classifier.1 or just classifier.1 [default for a TorchScript file: the last linear layer]
    #[arg(long, value_name = "KIND|LAYER|KIND@LAYER", default_value = "linear")]
    pub head: HeadChoice,
    /// Share of the features that is dropped before the head in training [default: the source model's]
    #[arg(long, value_name = "SHARE")]
    pub dropout: Option<f64>,
    /// How images are made ready.
    #[command(flatten)]
    #[serde(flatten)]
    pub preprocessing: PreprocessingOptions,
}

/// How unequal classes are made up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// Not at all.
    None,
    /// The loss of an image weighs the more, the rarer its class.
    Weights,
    /// Every class is drawn equally often.
    Sampler,
}

/// Where and how the work is done.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
pub struct MachineOptions {
    /// Images in a batch: a number, or auto for as many as memory allows (at most 64 on the CPU, 512 on CUDA)
    #[arg(long, value_name = "IMAGES|auto", default_value = "32", help_heading = "Optimisation")]
    pub batch_size: BatchSize,
    /// Fixes every random choice; on the CPU the same seed gives the same bytes
    #[arg(long, value_name = "NUMBER", default_value_t = 0, help_heading = "Run")]
    pub seed: u64,
    /// Where the network runs: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: DeviceChoice,
    /// Threads that read and augment images; 0 for one per core
    #[arg(long, value_name = "THREADS", default_value_t = 0)]
    pub workers: usize,
    /// Whether pixels of all channels lie side by side in memory, which most convolutions like
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub channels_last: bool,
    /// Whether CUDA may compute products of f32 in TF32, which has 10 bits after the point
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    #[serde(default = "yes")]
    pub tf32: bool,
    /// Takes CUDA kernels that give the same bits every time
    #[arg(long)]
    #[serde(default)]
    pub deterministic: bool,
    /// Tries out which of cuDNN's kernels are fastest at the first batch of every shape: on new cards that takes up to a minute
    /// before the first step ends, which long runs make up for
    #[arg(long, conflicts_with = "deterministic")]
    #[serde(default)]
    pub cudnn_benchmark: bool,
}

fn yes() -> bool {
    true
}

impl DataOptions {
    /// Appends a line for everything that makes no sense.
    pub fn faults(&self, faults: &mut Vec<String>) {
        if self.data.is_none() {
            faults.push("--data FOLDER is missing: a folder with one folder of images per class".into());
        }
        if !(self.val_fraction > 0.0 && self.val_fraction < 1.0) {
            faults.push(format!("--val-fraction {} must lie between 0 and 1", self.val_fraction));
        }
        if self.shots == Some(0) {
            faults.push("--shots must be at least 1".into());
        }
        if let Some(share) = self.share.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
            faults.push(format!("--share {share} must be above 0 and at most 1"));
        }
        if self.share.is_some() && self.shots.is_some() {
            faults.push("--share and --shots both say how many images to train on; leave one of them out".into());
        }
        if self.at_most == Some(0) {
            faults.push("--at-most must be at least 1".into());
        }
        if self.at_most.is_some() && (self.share.is_some() || self.shots.is_some()) {
            faults
                .push("--at-most says how many images to train on, as do --share and --shots; keep one of them".into());
        }
        match self.cache_limit {
            Some(limit) if !(limit > 0.0 && limit.is_finite()) => {
                faults.push(format!("--cache-limit {limit} must be a number of GiB above 0"));
            }
            Some(_) if self.cache_images == CacheImages::None => {
                faults.push("--cache-limit is about --cache-images memory or disk, which is missing".into());
            }
            _ => {}
        }
    }

    /// Opens the data set, and says what is to be known of it.
    ///
    /// # Errors
    /// See [`open_data`].
    ///
    /// # Panics
    /// Options without a folder, which [`faults`](Self::faults) finds.
    pub fn open(&self, seed: u64, observers: &mut Observers) -> Result<Splits> {
        let Self { data, val_fraction, shots, share, at_most, classes, skip_broken, .. } = self.clone();
        let (root, seed) = (data.expect("validated"), self.split_seed.unwrap_or(seed));
        let open = OpenOptions { val_fraction, seed, skip_broken, shots, share, at_most, classes };
        let splits = open_data(&root, &open)?;
        for note in &splits.notes {
            observers.message(note)?;
        }
        for broken in &splits.broken {
            observers.message(&format!("left out: {}: {}", broken.name, broken.reason))?;
        }
        Ok(splits)
    }

    /// The same splits with a cache of decoded images in front of them, and the cache, if one is wanted. A folder that
    /// cannot be written is passed over with a message.
    ///
    /// # Errors
    /// An image file that is not there any more, no place for a cache, an interruption.
    pub fn cached(&self, splits: &Splits, observers: &mut Observers) -> Result<(Splits, Option<Arc<ImageCache>>)> {
        let sets = [&splits.train, &splits.val];
        let given = self.cache_limit.map(|limit| (limit * GIB) as u64);
        let cache = match self.cache_images {
            CacheImages::None => None,
            CacheImages::Memory => {
                let quarter = || Memory::probe().map(|memory| memory.most() / 4);
                let unknown =
                    || Error::Usage("this machine does not say how much memory it has: give --cache-limit".into());
                Some(ImageCache::in_memory(&sets, given.or_else(quarter).ok_or_else(unknown)?))
            }
            CacheImages::Disk => {
                let folder = Cache::open()?.folder().join("images");
                let mut report = |done: usize, total: usize| {
                    observers.observe(&Event::Work { what: "images", done: done as u64, total: total as u64 })
                };
                let limit = given.unwrap_or((20.0 * GIB) as u64);
                match ImageCache::on_disk(&sets, &folder, limit, &mut report) {
                    Ok(cache) => Some(cache),
                    Err(interrupted @ Error::Interrupted(_)) => return Err(interrupted),
                    Err(error) => {
                        observers.message(&format!("decoded images are not kept: {error}"))?;
                        None
                    }
                }
            }
        };
        let Some(cache) = cache else { return Ok((splits.clone(), None)) };
        let [train, val] = cache.sets().try_into().unwrap_or_else(|_| unreachable!("as many sets as were given"));
        Ok((Splits { train, val, ..splits.clone() }, Some(cache)))
    }
}

impl ModelOptions {
    /// Appends a line for everything that makes no sense.
    pub fn faults(&self, faults: &mut Vec<String>) {
        if let Some(dropout) = self.dropout.filter(|dropout| !(0.0..1.0).contains(dropout)) {
            faults.push(format!("--dropout {dropout} must be at least 0 and below 1"));
        }
        self.preprocessing.faults(faults);
        for (flag, given) in [("--strict", self.strict), ("--weights-report", self.weights_report)] {
            if given && self.from_scratch {
                faults.push(format!(
                    "{flag} with --from-scratch has no source weights to look at; leave one of them out"
                ));
            }
        }
        let (copies, files) = (self.copy.len(), self.from.len());
        if copies == 0 && files + self.map.len() > 0 {
            faults.push("--from and --map are about --copy SELECTOR, which is missing".into());
        }
        if copies > 0 && files == 0 {
            faults.push("--copy needs --from FILE: a checkpoint, or the folder of a run".into());
        }
        if copies > 0 && files > 1 && files != copies {
            faults.push(format!(
                "--copy is there {copies} times and --from {files} times; give one --from for all, or one for each --copy"
            ));
        }
        for rule in self.map.iter().filter(|rule| rule.needs_groups()) {
            faults.push(format!("--map '{rule}': stage(), block() and flat() are for models/names.json only"));
        }
    }

    /// What is copied, and from where.
    pub fn copies(&self) -> impl Iterator<Item = (&Selector, &PathBuf)> {
        let file = |number: usize| self.from.get(number).unwrap_or(&self.from[0]);
        self.copy.iter().enumerate().map(move |(number, selector)| (selector, file(number)))
    }
}

impl MachineOptions {
    /// Appends a line for everything that makes no sense.
    pub fn faults(&self, faults: &mut Vec<String>) {
        if self.batch_size == BatchSize::Fixed(0) {
            faults.push("--batch-size must be at least 1".into());
        }
    }

    /// The device, with libtorch set as the options say.
    ///
    /// # Errors
    /// A device that cannot be had.
    pub fn device(&self) -> Result<Device> {
        let device = self.device.resolve()?;
        native::set_deterministic(self.deterministic)?;
        if device.is_cuda() {
            native::set_tf32(self.tf32)?;
            tch::Cuda::cudnn_set_benchmark(self.cudnn_benchmark);
        }
        Ok(device)
    }
}
