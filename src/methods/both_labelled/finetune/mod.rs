//! Fine-tuning: a source network gets a new head and learns the user's classes (source and target labelled).
//!
//! The backbone starts from the source model's weights W⁰, the head from random values or from class prototypes. With
//! logits z = head(backbone(x)) and labels y it minimises the cross-entropy of softmax(z), over all parameters that
//! are not frozen. Which layers learn, when, and how fast is [`Freezing`]'s matter.
//!
//! Sources: Yosinski et al. 2014, "How transferable are features in deep neural networks?" (copying, freezing,
//! fine-tuning); Howard & Ruder 2018 (gradual unfreezing, layer-wise rates); Chen et al. 2019, "A closer look at few-shot
//! classification" (a cosine head on a frozen backbone as the few-shot baseline).
//!
//! | option | usual in papers | here |
//! |---|---|---|
//! | learning rate | a tenth of the source's, SGD | 1e-3 for the head and 1e-4 below it, AdamW, cosine after half an epoch of warm-up |
//! | random crop | 8–100 % of the area | 35–100 %: a small set's objects stay in the picture |
//! | batch norm of frozen layers | often still moving | held, with the rest of the layer |
//!
//! # Shapes
//! images `[N, 3, H, W]` f32 normalised → features `[N, F]` → logits `[N, classes]`

mod build;
mod initial;
mod objective;
mod outcome;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

pub use initial::InitialWeights;
pub use objective::Finetune;
pub use outcome::Outcome;

use crate::data::{
    Augmentation, CacheImages, ClassCounts, ImageCache, ImageSet, Labelled, LoaderOptions, Mix, OpenOptions, Sampler,
    Splits, open_data_observed,
};
use crate::loss::{CrossEntropy, balancing_weights};
use crate::methods::options::{Balance, DataOptions, MachineOptions, ModelOptions};
use crate::models::{Classifier, HeadKind};
use crate::report::RunDir;
use crate::report::plot::{Chart, Marker, Series, curves, save_png};
use crate::train::batch_size::{self, BatchSize};
use crate::train::observe::{Event, Finished, Observer, Observers};
use crate::train::{
    FeatureSource, FitOptions, Freezing, ImageSource, Plan, RateCurve, Site, Source, cached_stages, feature_cache, fit,
    lr_find,
};
use crate::{Error, Result};

/// Which epoch's model is the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The one that did best on the validation images.
    Best,
    /// The last one: right where the validation images are the test.
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
    /// What makes up for classes with few images
    #[arg(long, value_enum, default_value = "none", help_heading = "Data")]
    pub balance: Balance,
    /// Share of the target that is spread over all classes
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, help_heading = "Optimisation")]
    pub label_smoothing: f64,
    /// Which epoch's model is the result [default: best, or last with --shots]
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
        self.model.faults(&mut faults);
        self.freezing.faults(self.epochs(), &mut faults);
        self.fit.faults(&mut faults);
        self.machine.faults(&mut faults);
        faults.extend(self.augmentation.problems());
        if !(0.0..1.0).contains(&self.label_smoothing) {
            faults.push(format!("--label-smoothing {} must be at least 0 and below 1", self.label_smoothing));
        }
        if self.model.from_scratch && self.model.copy.is_empty() && self.freezing.freeze.to_string() != "none" {
            faults.push("--from-scratch with --freeze would freeze random weights; leave one of them out".into());
        }
        if self.epochs() == 0 && self.model.head.kind != HeadKind::Prototype {
            faults.push("--epochs 0 learns nothing; only a prototype head works without training".into());
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::Usage(faults.join("; "))) }
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
        options.freezing.backbone_lr = Some(self.freezing.backbone_lr.unwrap_or(backbone_lr));
        options.keep = Some(self.keep.unwrap_or(if self.data.shots.is_some() { Keep::Last } else { Keep::Best }));
        options
    }
}

/// Everything that is ready before the first step.
pub struct Prepared {
    /// The loss and the model.
    pub objective: Finetune,
    /// The training batches.
    pub source: Source,
    /// The images.
    pub splits: Splits,
    /// Where the first weights came from; not for a run that goes on.
    pub initial: Option<InitialWeights>,
    options: FinetuneOptions,
}

/// Reads the data, builds the model with its weights, freezes, and computes features where that is enough. The
/// weights of a run that goes on come from the checkpoint `resumed` alone.
///
/// # Errors
/// Whatever is wrong with options, data or weights, before any training.
pub fn prepare(options: &FinetuneOptions, resumed: Option<&Path>, observers: &mut Observers) -> Result<Prepared> {
    options.validate()?;
    let mut options = options.resolved();
    let device = options.machine.device()?;
    options.fit.precision.autocast(device)?;
    let splits = open(&options, observers)?;
    let (mut model, initial) = build::build(&options, &splits, device, resumed, observers)?;
    let outline = model.outline();
    let plan = options.freezing.plan(&outline, &model.store)?;
    if let Some(initial) = initial.as_ref().filter(|_| options.model.from_scratch) {
        initial.require_copied(&plan.frozen(0))?;
    }
    model.freeze(&plan.frozen(0), plan.holds_statistics())?;
    let counts: Vec<usize> = ClassCounts::of(&splits.classes, splits.train.labels()).iter().map(|(_, n)| n).collect();
    let weights = (options.balance == Balance::Weights).then(|| balancing_weights(&counts));
    let criterion = CrossEntropy::new(weights.as_deref(), options.label_smoothing, device);
    let mix = Mix::new(&options.augmentation)?;
    let batch_size = match options.machine.batch_size {
        BatchSize::Fixed(images) => images,
        BatchSize::Auto => {
            // a step takes most once all that will ever learn does
            model.freeze(&plan.frozen(usize::MAX), plan.holds_statistics())?;
            let choice = batch_size::largest(&model, options.fit.precision, splits.train.len());
            model.freeze(&plan.frozen(0), plan.holds_statistics())?;
            let choice = choice?;
            observers.message(&choice.to_string())?;
            options.machine.batch_size = BatchSize::Fixed(choice.images);
            choice.images
        }
    };
    let workers = options.machine.workers;
    let loader = LoaderOptions { batch_size, workers, device, ..LoaderOptions::default() };
    let (source, validation, cache) = sources(&options, &splits, &model, &plan, loader, observers)?;
    if options.model.head.kind == HeadKind::Prototype {
        imprint(&model, &options, &splits, &source, loader)?;
    }
    let precision = options.fit.precision;
    let objective = Finetune { model, plan, criterion, mix, validation, cache, precision };
    Ok(Prepared { objective, source, splits, initial, options })
}

fn open(options: &FinetuneOptions, observers: &mut Observers) -> Result<Splits> {
    let DataOptions { data, val_fraction, shots, skip_broken, .. } = options.data.clone();
    let root = data.expect("validated");
    let open = OpenOptions { val_fraction, seed: options.machine.seed, skip_broken, shots };
    let splits = open_data_observed(&root, &open, &|_, _| ())?;
    for note in &splits.notes {
        observers.message(note)?;
    }
    for broken in &splits.broken {
        observers.message(&format!("left out: {}: {}", broken.name, broken.reason))?;
    }
    Ok(splits)
}

/// Batches to train on and batches to validate with: images, or what the first stages make of them where these never
/// change, and the images do not either.
fn sources(
    options: &FinetuneOptions,
    splits: &Splits,
    model: &Classifier,
    plan: &Plan,
    loader: LoaderOptions,
    observers: &mut Observers,
) -> Result<(Source, Source, Option<Arc<ImageCache>>)> {
    let (seed, batch_size) = (options.machine.seed, loader.batch_size);
    let sampler = match options.balance {
        Balance::Sampler => Sampler::Balanced { seed },
        _ => Sampler::Shuffled { seed },
    };
    let preprocessing = &model.spec.preprocessing;
    let (train, val) = (&splits.train, &splits.val);
    let repeats = options.augmentation.is_off();
    let images = val.len() + if repeats { train.len() } else { 0 };
    let held = plan.held_stages(&model.outline());
    let stages = cached_stages(model, held, images, observers)?;
    // A last batch of a single image has no variance for a batch norm that learns to divide by.
    let drop_last = train.len() % batch_size == 1 && train.len() > 1 && held < model.backbone().stages.len();
    let for_training = LoaderOptions { drop_last, ..loader };
    // without gradients four times as many images take less; on the CPU that would not be faster
    let fitting = if loader.device.is_cuda() { 4 * batch_size } else { batch_size };
    let without_gradients = LoaderOptions { batch_size: fitting, ..loader };
    // images of which only features are made are not worth keeping
    let on_images = stages == 0 || !repeats;
    let (kept, cache) = if on_images { options.data.cached(splits, observers)? } else { (splits.clone(), None) };
    if !on_images && options.data.cache_images != CacheImages::None {
        observers.message("decoded images are not kept: only their features are used")?;
    }
    let mut bound = 0;
    let mut cached = |set: &Labelled, sampler, loader| -> Result<Source> {
        let features = feature_cache(model, stages, set, without_gradients, options.fit.precision, observers)?;
        Ok(Source::Features(FeatureSource::new(features, set.labels(), sampler, loader)?))
    };
    let training = if !on_images {
        cached(train, sampler, for_training)?
    } else {
        let augmentation = &options.augmentation;
        let source = ImageSource::training(&kept.train, preprocessing, augmentation, sampler, seed, for_training)?;
        bound += source.memory_bound();
        Source::Images(source)
    };
    let validation = if stages > 0 {
        cached(val, Sampler::Sequential, without_gradients)?
    } else {
        let source = ImageSource::evaluation(&kept.val, preprocessing, without_gradients)?;
        bound += source.memory_bound();
        Source::Images(source)
    };
    if bound > 0 {
        let besides = if cache.is_some() { ", besides those that are kept" } else { "" };
        observers.message(&format!("decoded images take at most {} MB at a time{besides}", bound / 1_000_000))?;
    }
    Ok((training, validation, cache))
}

/// Sets the prototypes from the training images as evaluation sees them.
fn imprint(
    model: &Classifier,
    options: &FinetuneOptions,
    splits: &Splits,
    source: &Source,
    loader: LoaderOptions,
) -> Result<()> {
    use crate::train::inference;
    let device = model.store.device();
    if let Source::Features(features) = source
        && let Some((features, labels)) = features.vectors_after(model.backbone().stages.len())
    {
        return model.head().imprint(&features.f_to_device(device)?, &labels.f_to_device(device)?);
    }
    let mut images = ImageSource::evaluation(&splits.train, &model.spec.preprocessing, loader)?;
    let outputs = inference::over(&mut images, device, options.fit.precision, &mut |_| Ok(()), |input| {
        inference::features(model, input, model.backbone().stages.len())
    })?;
    model.head().imprint(&outputs.values, &outputs.labels.f_to_device(device)?)
}

/// Fine-tunes in the folder `run`, and leaves there the model, the plots, the log and `result.json`.
///
/// # Errors
/// Whatever is wrong with options, data, weights or the folder; an interruption.
pub fn run(
    options: &FinetuneOptions,
    run: &RunDir,
    observers: &mut Observers,
    interrupted: &AtomicBool,
    resume: bool,
) -> Result<Outcome> {
    let checkpoint = run.last();
    let mut prepared = prepare(options, resume.then_some(checkpoint.as_path()), observers)?;
    if let Some(initial) = prepared.initial.as_ref().filter(|initial| !initial.is_random()) {
        run.write_json(RunDir::WEIGHTS, initial)?;
    }
    if options.machine.batch_size == BatchSize::Auto {
        run.write_config(&prepared.options)?; // what was chosen, for whoever goes on
    }
    let config = serde_json::to_string_pretty(&prepared.options).expect("options are plain data");
    let site = Site { run, observers, config: &config, interrupted, seed: prepared.options.machine.seed, resume };
    let fitted = fit(&mut prepared.objective, &mut prepared.source, &prepared.options.fit, site)?;
    let outcome = outcome::finish(&mut prepared, &fitted, run, observers)?;
    observers.observe(&Event::Finished(Finished { step: fitted.state.step as u64, seconds: fitted.state.seconds }))?;
    observers.flush()?;
    Ok(outcome)
}

/// Reads the options of an earlier run.
///
/// # Errors
/// A folder without a `config.json`, or one of another command.
pub fn options_of(run: &Path) -> Result<FinetuneOptions> {
    let file = run.join("config.json");
    let text = std::fs::read_to_string(&file).map_err(Error::io(&file, "cannot read the configuration of the run"))?;
    serde_json::from_str(&text).map_err(|error| Error::file(&file, format!("not a fine-tuning configuration: {error}")))
}

/// Tries learning rates instead of training; gives the curve and the plot of it in the folder `run`.
///
/// # Errors
/// As [`run`], before the first step.
pub fn find_rate(
    options: &FinetuneOptions,
    run: &RunDir,
    observers: &mut Observers,
    interrupted: &AtomicBool,
) -> Result<(RateCurve, PathBuf)> {
    let mut prepared = prepare(options, None, observers)?;
    let curve = lr_find::find_rate(&mut prepared.objective, &mut prepared.source, &prepared.options.fit, interrupted)?;
    let chart = Chart {
        title: "Learning-rate range test".into(),
        x_label: "learning rate".into(),
        y_label: "smoothed training loss [nats]".into(),
        log_x: true,
        series: vec![Series {
            points: curve.rates.iter().copied().zip(curve.losses.iter().copied()).collect(),
            ..Series::default()
        }],
        marker: Some(Marker { x: curve.suggestion, text: format!("steepest at {:.1e}", curve.suggestion) }),
        ..Chart::default()
    };
    let file = run.plots().join("lr_find.png");
    save_png(&file, &curves(&[chart])?)?;
    Ok((curve, file))
}
