//! Learning by gradient from features: where it happens, with which options, and what chooses the epoch.

use std::sync::atomic::AtomicBool;

use tch::Tensor;

use crate::data::{LoaderOptions, Sampler};
use crate::report::RunDir;
use crate::train::observe::{Observer, Observers};
use crate::train::{
    Assessment, FeatureSource, Features, FitOptions, Fitted, LabelledBatch, Objective, Schedule, Shape, Site, fit,
};
use crate::{Error, Result, files};

/// Scores of images for classes, from features `[N, D]` and descriptions `[C, A]` to `[N, C]`.
pub(super) type Scorer<'a> = &'a dyn Fn(&Tensor, &Tensor) -> Result<Tensor>;

/// What scores are worth.
pub(super) type Judge<'a> = &'a dyn Fn(Scorer) -> Result<f64>;

/// The method that results of a comparison name.
pub const COMPARED: &str = "zeroshot-compare";

/// Images per step.
pub(super) const BATCH: usize = 128;

/// Where it happens: a folder that is kept and who watches, or neither.
pub struct Place<'a> {
    /// The folder, and who hears of it.
    pub kept: Option<(RunDir, Observers)>,
    /// Set to end it after the step under way.
    pub interrupted: &'a AtomicBool,
}

impl<'a> Place<'a> {
    /// Nothing is kept.
    pub fn passing(interrupted: &'a AtomicBool) -> Self {
        Self { kept: None, interrupted }
    }
}

/// So many epochs at this rate.
pub(super) fn options(epochs: usize, learning_rate: f64) -> FitOptions {
    // the same epoch is then the same, however many come after it
    let mut options: FitOptions = crate::options::defaults();
    options.epochs = Some(epochs);
    options.optimizer.lr = learning_rate;
    options.schedule = Schedule { schedule: Shape::Constant, warmup: 0.0, ..options.schedule };
    options
}

/// Learns from features with labels.
pub(super) fn learn<O: Objective<Batch = LabelledBatch>>(
    objective: &mut O,
    features: &Tensor,
    labels: &[usize],
    options: &FitOptions,
    seed: u64,
    place: Place,
) -> Result<Fitted> {
    let interrupted = place.interrupted;
    if let Some((run, observers)) = place.kept {
        return learn_in(objective, features, labels, options, seed, (&run, observers, interrupted));
    }
    let temporary = tempfile::tempdir().map_err(Error::io(std::env::temp_dir(), "cannot write"))?;
    files::passing(|| {
        let run = RunDir::create(temporary.path(), false)?;
        learn_in(objective, features, labels, options, seed, (&run, Observers(vec![]), interrupted))
    })
}

fn learn_in<O: Objective<Batch = LabelledBatch>>(
    objective: &mut O,
    features: &Tensor,
    labels: &[usize],
    options: &FitOptions,
    seed: u64,
    (run, mut observers, interrupted): (&RunDir, Observers, &AtomicBool),
) -> Result<Fitted> {
    let loader = LoaderOptions { batch_size: BATCH, device: features.device(), ..LoaderOptions::default() };
    let rows = Features { values: features.shallow_clone(), stages: 0 };
    let mut source = FeatureSource::new(rows, labels.to_vec(), Sampler::Shuffled { seed }, loader)?;
    run.write_config(options)?;
    let config = serde_json::to_string_pretty(options).expect("options are plain data");
    let site = Site { run, observers: &mut observers, config: &config, interrupted, seed, resume: false };
    let fitted = fit(objective, &mut source, options, site).map_err(|error| match error {
        Error::Interrupted(_) => Error::Interrupted("nothing is kept of what was being learned".into()),
        other => other,
    })?;
    observers.flush()?;
    run.finish(&fitted.result(COMPARED, [], features.device(), seed, options.precision)?)?;
    Ok(fitted)
}

/// The judge's score after this epoch; of equal ones, and where there is no judge, the later is the better.
pub(super) fn assessed(judge: Option<Judge>, epoch: usize, scorer: Scorer) -> Result<Assessment> {
    let score = judge.map_or(Ok(0.0), |judge| judge(scorer))?;
    Ok(Assessment { metrics: vec![], score: (score, epoch as f64) })
}
