//! What a run leaves behind: a model, its measures and its plots for each task, the curves of all, and last `result.json`.

use super::objective::metrics;
use super::prepare::Prepared;
use crate::Result;
use crate::eval::Evaluation;
use crate::files;
use crate::methods::both_labelled::finetune::Keep;
use crate::models::formats::StateDict;
use crate::report::plot::{Chart, Range, Series, curves, save_png};
use crate::report::{RunDir, RunResult, evaluation_plots};
use crate::train::observe::{EpochRecord, epochs_of};
use crate::train::{Fitted, Objective};

/// What learning several tasks came to.
#[derive(Debug)]
pub struct Outcome {
    /// What `result.json` holds.
    pub result: RunResult,
    /// Everything measured on each task's validation images, by its name.
    pub evaluations: Vec<(String, Evaluation)>,
}

/// Loads the model that is kept, measures every task, and writes all; `result.json` comes last.
pub(super) fn finish(prepared: &mut Prepared, fitted: &Fitted, run: &RunDir) -> Result<Outcome> {
    let (options, objective) = (&prepared.options.finetune, &mut prepared.objective);
    if options.keep == Some(Keep::Best) {
        objective.network.store.restore(&StateDict::read_safetensors(run.best_model())?)?;
    }
    let names: Vec<String> = objective.tasks.iter().map(|task| task.name.clone()).collect();
    let mut evaluations = vec![];
    for (task, name) in names.iter().enumerate() {
        let (predictions, mut evaluation) = objective.evaluation(task)?;
        let mut classifier = objective.network.classifier(task)?;
        if options.calibrate {
            evaluation = evaluation.with_temperature(&predictions)?;
            classifier.spec.temperature = evaluation.temperature.map_or(1.0, |temperature| temperature.value);
        }
        let folder = run.task(name);
        std::fs::create_dir_all(&folder).map_err(crate::Error::io(&folder, "cannot make the folder"))?;
        classifier.save(&folder)?;
        evaluation_plots(&folder.join("plots"), &predictions, &evaluation, &objective.tasks[task].splits.val)?;
        files::write_json(folder.join("evaluation.json"), &evaluation)?;
        evaluations.push(evaluation);
    }
    learning_curves(&names, &epochs_of(&run.metrics())?, run)?;
    let device = objective.store().device();
    let measured = metrics(&names, &evaluations).into_iter().chain(objective.training_images());
    let result = fitted.result("multitask", measured, device, options.machine.seed, options.fit.precision)?;
    run.finish(&result)?;
    Ok(Outcome { result, evaluations: names.into_iter().zip(evaluations).collect() })
}

/// Loss, accuracy and, where they change, weights of all tasks over the epochs.
fn learning_curves(names: &[String], epochs: &[EpochRecord], run: &RunDir) -> Result<()> {
    let series = |name: &str, dashed: bool, of: &dyn Fn(&EpochRecord) -> Option<f64>| Series {
        name: name.into(),
        points: epochs.iter().filter_map(|record| Some((record.epoch as f64 + 1.0, of(record)?))).collect(),
        dashed,
        ..Series::default()
    };
    let chart = |title: &str, y: &str, range, of: &dyn Fn(&EpochRecord, &str) -> Option<f64>| Chart {
        title: title.into(),
        x_label: "epoch".into(),
        y_label: y.into(),
        y_range: range,
        series: names.iter().map(|name| series(name, false, &|record| of(record, name))).collect(),
        ..Chart::default()
    };
    let train = |what: &'static str| {
        move |record: &EpochRecord, name: &str| record.train.get(&format!("{what}/{name}")).copied()
    };
    let validation = |what: &'static str| {
        move |record: &EpochRecord, name: &str| record.validation.get(&format!("{what}/{name}")).copied()
    };
    let mut charts = vec![
        chart("Training loss", "cross-entropy [nats]", Range::Fit, &train("loss")),
        chart("Validation loss", "cross-entropy [nats]", Range::Fit, &validation("negative_log_likelihood")),
        chart("Validation accuracy", "share that is right", Range::Unit, &validation("accuracy")),
    ];
    let weights = chart("Weight of each loss", "factor", Range::Fit, &train("weight"));
    if weights.series.iter().any(|series| !series.points.is_empty()) {
        charts.push(weights);
    }
    save_png(run.plots().join("curves.png"), &curves(&charts)?)
}
