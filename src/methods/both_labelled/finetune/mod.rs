//! Fine-tuning: a source network gets a new head and learns the user's classes (source and target labelled).
//!
//! The backbone starts from the source model's weights W⁰, the head from random values or from class prototypes. With
//! logits z = head(backbone(x)) and labels y it minimises the cross-entropy of softmax(z), over all parameters that
//! are not frozen. Which layers learn, when, and how fast is [`Freezing`](crate::train::Freezing)'s matter.
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

mod batches;
mod build;
mod initial;
mod objective;
mod options;
mod outcome;
mod source;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use build::Purpose;
pub use initial::InitialWeights;
pub use objective::Finetune;
pub use options::{FinetuneOptions, Keep};
pub use outcome::{Outcome, SourceAccuracy};

use tch::Device;

use crate::data::{ClassCounts, ImageSet, Labelled, LoaderOptions, Mix, Splits};
use crate::loss::{CrossEntropy, balancing_weights};
use crate::methods::cells::Cells;
use crate::methods::options::Balance;
use crate::models::{Classifier, HeadKind};
use crate::report::plot::{Chart, Marker, Series, curves, save_png};
use crate::report::{RunDir, RunResult};
use crate::train::batch_size::{self, BatchSize};
use crate::train::observe::{Event, Finished, Observer, Observers};
use crate::train::{Plan, RateCurve, Site, Source, fit, lr_find};
use crate::{Error, Result};

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
    /// Images of the source task.
    source_images: Option<Labelled>,
    options: FinetuneOptions,
}

/// A network with what it reads, before anyone says what it minimises.
pub(crate) struct Network {
    pub model: Classifier,
    pub plan: Plan,
    /// The training batches.
    pub source: Source,
    /// The validation images.
    pub validation: Source,
    pub initial: Option<InitialWeights>,
    pub splits: Splits,
    pub options: FinetuneOptions,
}

impl Prepared {
    /// Without the loss.
    pub(crate) fn into_network(self) -> Network {
        let Self { objective: Finetune { model, plan, validation, .. }, source, splits, initial, options, .. } = self;
        Network { model, plan, source, validation, initial, splits, options }
    }
}

/// Reads the data, builds the model with its weights, freezes, and computes features where that is enough. A run that
/// goes on in the folder `run` has its weights from the checkpoint there alone.
///
/// # Errors
/// Whatever is wrong with options, data or weights, before any training.
pub fn prepare(options: &FinetuneOptions, run: &RunDir, resume: bool, observers: &mut Observers) -> Result<Prepared> {
    prepare_with(options, None, run, resume, observers)
}

/// The same, where the network's outputs are not the classes but have these names.
///
/// # Errors
/// As [`prepare`].
pub(crate) fn prepare_with(
    options: &FinetuneOptions,
    outputs: Option<Vec<String>>,
    run: &RunDir,
    resume: bool,
    observers: &mut Observers,
) -> Result<Prepared> {
    options.validate()?;
    let mut options = options.resolved();
    let device = options.machine.device()?;
    options.fit.precision.autocast(device)?;
    let splits = options.data.open(options.machine.seed, observers)?;
    let source = source::open(&options, run, resume, device)?;
    let source_images = source::images(&options, source.as_ref())?;
    let checkpoint = run.last();
    let resumed = resume.then_some(checkpoint.as_path());
    let beside = if resume { None } else { build::beside(&options.model, device, observers)? };
    let outputs = outputs.unwrap_or_else(|| splits.classes.clone());
    let purpose =
        Purpose { options: &options, outputs: &outputs, device, source: source.as_ref(), beside: beside.as_ref() };
    let (mut model, initial) = build::build(&purpose, resumed, observers)?;
    let conservation = source::conservation(&options, run, source, &model, initial.as_ref())?;
    let outline = model.outline();
    let mut plan = options.freezing.plan(&outline, &model.store)?;
    plan.hold(outline.earlier.iter().cloned());
    let random_may_not_freeze = options.model.from_scratch && !options.freezing.freeze_random;
    if let Some(initial) = initial.as_ref().filter(|_| random_may_not_freeze) {
        let own = plan.frozen(0).into_iter().filter(|name| !outline.beside.contains(name)).collect();
        initial.require_copied(&own)?;
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
    let (source, validation, cache) = batches::sources(&options, &splits, &model, &plan, loader, observers)?;
    if options.model.head.kind == HeadKind::Prototype {
        batches::imprint(&model, &options, &splits, &source, loader)?;
    }
    let precision = options.fit.precision;
    let objective = Finetune { model, plan, criterion, mix, validation, conservation, cache, precision };
    Ok(Prepared { objective, source, splits, initial, source_images, options })
}

/// The network that fine-tuning to `splits` with these options begins with, and where its weights came from.
///
/// # Errors
/// Weights that cannot be had or do not fit; see [`run`].
pub fn initial_model(
    options: &FinetuneOptions,
    splits: &Splits,
    device: Device,
    observers: &mut Observers,
) -> Result<(Classifier, InitialWeights)> {
    let (model, initial) = build::build(
        &Purpose { options, outputs: &splits.classes, device, source: None, beside: None },
        None,
        observers,
    )?;
    let initial = initial.ok_or_else(|| Error::Model("a network that begins has no first weights".into()))?;
    Ok((model, initial))
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
    let mut prepared = prepare(options, run, resume, observers)?;
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

/// Fine-tunes as the run `name` among `cells`, unless that is done already.
///
/// # Errors
/// As [`run`]; a folder that holds a run with other options.
pub fn cell(cells: &mut Cells, name: &str, label: &str, options: &FinetuneOptions) -> Result<RunResult> {
    options.validate()?;
    let (options, interrupted) = (options.resolved(), cells.interrupted);
    cells.run(name, label, &options, |folder, observers, resume| {
        Ok(run(&options, folder, observers, interrupted, resume)?.result)
    })
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
    let mut prepared = prepare(options, run, false, observers)?;
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
