//! What a run leaves behind once training is over: the model, its measures, the plots, and last `result.json`.

use super::{Keep, Prepared};
use crate::eval::Evaluation;
use crate::models::formats::StateDict;
use crate::report::plot::{Chart, Range, Series, curves, save_png};
use crate::report::{RunDir, RunResult, Versions, evaluation_plots, peak_memory_bytes};
use crate::train::device::device_name;
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

    let state = &fitted.state;
    let device = objective.store().device();
    let result = RunResult {
        method: "finetune".into(),
        metrics: evaluation.metrics().into_iter().map(|metric| (metric.name, metric.value)).collect(),
        epochs: state.epoch as u64,
        steps: state.step as u64,
        seconds: state.seconds,
        images_per_second: if state.images == 0 { 0.0 } else { state.images as f64 / state.training_seconds.max(1e-9) },
        peak_memory_bytes: peak_memory_bytes(device)?,
        seed: options.machine.seed,
        device: device_name(device),
        precision: options.fit.precision.to_string(),
        versions: Versions::current(),
    };
    run.finish(&result)?;
    Ok(Outcome { result, evaluation })
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
    let train = |name: &'static str| move |record: &EpochRecord| record.train.get(name).copied();
    let val = |name: &'static str| move |record: &EpochRecord| record.validation.get(name).copied();
    let chart = |title: &str, y: &str, range, keys: [&'static str; 2]| Chart {
        title: title.into(),
        x_label: "epoch".into(),
        y_label: y.into(),
        y_range: range,
        series: vec![series("training", &train(keys[0])), series("validation", &val(keys[1]))],
        ..Chart::default()
    };
    let charts = [
        chart("Loss", "cross-entropy [nats]", Range::Fit, ["loss", "negative_log_likelihood"]),
        chart("Accuracy", "share that is right", Range::Unit, ["accuracy", "accuracy"]),
    ];
    save_png(run.plots().join("curves.png"), &curves(&charts)?)
}
