//! What a run leaves behind once training is over: the model, its measures, the plots, and last `result.json`.

use super::{Keep, Prepared, source};
use crate::data::LoaderOptions;
use crate::eval::{Evaluation, Metric, Unit};
use crate::models::formats::StateDict;
use crate::report::plot::{Chart, Range, Series, curves, save_png};
use crate::report::{RunDir, RunResult, evaluation_plots};
use crate::train::batch_size::BatchSize;
use crate::train::observe::{EpochRecord, Event, Observer, Observers, epochs_of};
use crate::train::{Fitted, Objective};
use crate::{Error, Result};

/// What fine-tuning came to.
#[derive(Debug)]
pub struct Outcome {
    /// What `result.json` holds.
    pub result: RunResult,
    /// Everything measured on the validation images.
    pub evaluation: Evaluation,
    /// What became of the source task, where there are images of it.
    pub source: Option<SourceAccuracy>,
}

/// The share of the source task's images that is named rightly.
#[derive(Debug, Clone, Copy)]
pub struct SourceAccuracy {
    /// By the source model.
    pub before: f64,
    /// By the model that was fine-tuned, with the source model's head.
    pub after: f64,
}

impl SourceAccuracy {
    /// What was lost.
    pub fn forgetting(&self) -> f64 {
        self.before - self.after
    }

    fn metrics(&self) -> [Metric; 3] {
        [
            Metric::higher("source_accuracy_before", self.before, Unit::Fraction),
            Metric::higher("source_accuracy", self.after, Unit::Fraction),
            Metric::lower("forgetting", self.forgetting(), Unit::Fraction),
        ]
    }
}

impl Outcome {
    /// Everything that was measured.
    pub fn metrics(&self) -> Vec<Metric> {
        self.evaluation.metrics().into_iter().chain(self.source.iter().flat_map(SourceAccuracy::metrics)).collect()
    }
}

/// Loads the model that is kept, measures it, and writes it with its plots; `result.json` comes last.
pub(super) fn finish(
    prepared: &mut Prepared,
    fitted: &Fitted,
    run: &RunDir,
    observers: &mut Observers,
) -> Result<Outcome> {
    let (options, objective) = (&prepared.options, &mut prepared.objective);
    let best = StateDict::read_safetensors(run.best_model())?;
    if options.keep == Some(Keep::Best) {
        objective.model.store.restore(&best)?;
    }
    let (predictions, mut evaluation) = objective.evaluation()?;
    if options.calibrate {
        evaluation = evaluation.with_temperature(&predictions)?;
        objective.model.spec.temperature = evaluation.temperature.map_or(1.0, |temperature| temperature.value);
    }
    objective.model.save(run.path())?;
    evaluation_plots(&run.plots(), &predictions, &evaluation, &prepared.splits.val)?;
    learning_curves(&epochs_of(&run.metrics())?, run)?;
    show_plots(run, fitted.state.step as u64, observers)?;
    run.write_json("evaluation.json", &evaluation)?;
    let source = source_accuracy(prepared)?;
    let options = &prepared.options;

    let device = prepared.objective.store().device();
    let measured = evaluation.metrics().into_iter().chain(source.iter().flat_map(SourceAccuracy::metrics));
    let result = fitted.result("finetune", measured, device, options.machine.seed, options.fit.precision)?;
    run.finish(&result)?;
    Ok(Outcome { result, evaluation, source })
}

/// What became of the source task.
fn source_accuracy(prepared: &Prepared) -> Result<Option<SourceAccuracy>> {
    let Prepared { objective, source_images, options, .. } = prepared;
    let (Some(images), Some(conservation)) = (source_images, &objective.conservation) else { return Ok(None) };
    let device = objective.model.store.device();
    let batch_size = match options.machine.batch_size {
        BatchSize::Fixed(images) => images,
        BatchSize::Auto => unreachable!("chosen before training"),
    };
    let loader = LoaderOptions { batch_size, workers: options.machine.workers, device, ..LoaderOptions::default() };
    let of = |model| source::accuracy_of(model, images, loader, options.fit.precision);
    Ok(Some(SourceAccuracy { before: of(conservation.source())?, after: of(&objective.model)? }))
}

/// The plots again, for who looks at TensorBoard.
fn show_plots(run: &RunDir, step: u64, observers: &mut Observers) -> Result<()> {
    for name in ["confusion", "reliability", "mistakes"] {
        let file = run.plots().join(format!("{name}.png"));
        let image = image::open(&file).map_err(|error| Error::file(&file, error.to_string()))?.into_rgb8();
        observers.observe(&Event::Image { step, tag: &format!("validation/{name}"), image: &image })?;
    }
    Ok(())
}

/// Loss and accuracy over the epochs, for training and validation.
fn learning_curves(epochs: &[EpochRecord], run: &RunDir) -> Result<()> {
    let series = |name: &str, of: &dyn Fn(&EpochRecord) -> Option<f64>| Series {
        name: name.into(),
        points: epochs.iter().filter_map(|record| Some((record.epoch as f64 + 1.0, of(record)?))).collect(),
        ..Series::default()
    };
    // the first name that there is
    let train = |names: &'static [&'static str]| {
        move |record: &EpochRecord| names.iter().find_map(|name| record.train.get(*name).copied())
    };
    let val = |name: &'static str| move |record: &EpochRecord| record.validation.get(name).copied();
    let chart = |title: &str, y: &str, range, training: &'static [&'static str], validation| Chart {
        title: title.into(),
        x_label: "epoch".into(),
        y_label: y.into(),
        y_range: range,
        series: vec![series("training", &train(training)), series("validation", &val(validation))],
        ..Chart::default()
    };
    let charts = [
        // without what holds the model to its source, where something does
        chart("Loss", "cross-entropy [nats]", Range::Fit, &["cross_entropy", "loss"], "negative_log_likelihood"),
        chart("Accuracy", "share that is right", Range::Unit, &["accuracy"], "accuracy"),
    ];
    save_png(run.plots().join("curves.png"), &curves(&charts)?)
}
