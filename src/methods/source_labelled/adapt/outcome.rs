//! What a run leaves behind once training is over.

use serde::{Deserialize, Serialize};

use super::Method;
use super::features::DomainFeatures;
use super::objective::ORACLE;
use super::prepare::Prepared;
use crate::eval::{Evaluation, Metric, Unit, missing_classes, unsure_share};
use crate::methods::both_labelled::finetune::Keep;
use crate::models::formats::StateDict;
use crate::report::plot::{Chart, Range, Series, curves, save_png};
use crate::report::{RunDir, RunResult, format};
use crate::train::observe::{EpochRecord, Observers, epochs_of};
use crate::train::{Fitted, Objective};
use crate::{Result, files};

/// What one run came to.
#[derive(Debug)]
pub struct Outcome {
    /// What `result.json` holds.
    pub result: RunResult,
    /// Everything measured on the source's validation images.
    pub source: Evaluation,
    /// Classes of the source that the target seems to lack.
    pub missing: Vec<String>,
}

/// What is known before the first step, for the end.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Before {
    /// Proxy A-distance of the features.
    a_distance: Option<f64>,
}

/// From this share of unsure images on a user hears of it.
const MANY: f64 = 0.25;
/// The file of what is known before the first step.
const BEFORE: &str = "before.json";

/// Measures what is to be known before the first step.
pub(super) fn measure_before(prepared: &mut Prepared, run: &RunDir) -> Result<()> {
    let features = DomainFeatures::of(&mut prepared.objective)?;
    run.write_json(BEFORE, &Before { a_distance: features.a_distance()? })?;
    features.picture(prepared.options.pictured, "before", run)
}

/// Loads the model that is kept, measures it, and writes it with its plots; `result.json` comes last.
pub(super) fn finish(
    prepared: &mut Prepared,
    fitted: &Fitted,
    run: &RunDir,
    observers: &mut Observers,
) -> Result<Outcome> {
    let (options, objective) = (&prepared.options, &mut prepared.objective);
    if options.keep == Keep::Best {
        objective.store.restore(&StateDict::read_safetensors(run.best_model())?)?;
    }
    let on_source = objective.on_source()?;
    let source = Evaluation::of(&on_source, &objective.model.spec.classes)?;
    let unsure = unsure_share(&on_source, &objective.on_target()?);
    if unsure > MANY && !options.methods.list().contains(&Method::Oracle) {
        observers.message(&format!(
            "{} of the target's images are named less surely than nearly all of the source's: they may be of classes that the source does \
             not have, which no method here leaves out, or still look too different",
            format::percent(unsure)
        ))?;
    }
    let oracle = objective.oracle()?;
    let before: Before = files::read_json(run.path().join(BEFORE))?;
    let features = DomainFeatures::of(objective)?;
    let a_distance = features.a_distance()?;
    let missing: Vec<String> = missing_classes(&source, &features.predicted)?.into_iter().map(String::from).collect();
    if !missing.is_empty() {
        observers.message(&format!(
            "the target seems to lack classes of the source ({}): methods that make all of both domains alike may then do harm",
            missing.join(", ")
        ))?;
    }
    features.picture(options.pictured, "after", run)?;
    objective.model.save(run.path())?;
    let epochs = epochs_of(&run.metrics())?;
    save_png(run.plots().join("curves.png"), &curves(&charts(&epochs))?)?;
    run.write_json("evaluation.json", &source)?;

    let mut metrics: Vec<Metric> = source
        .metrics()
        .into_iter()
        .map(|metric| Metric { name: format!("source/{}", metric.name), ..metric })
        .collect();
    metrics.push(Metric::lower("target/unsure", unsure, Unit::Fraction));
    for (name, distance) in [("a_distance_before", before.a_distance), ("a_distance", a_distance)] {
        metrics.extend(distance.map(|distance| Metric::lower(name, distance, Unit::Plain)));
    }
    if let Some((_, epoch)) = fitted.state.best.filter(|_| fitted.state.step > 0) {
        metrics.push(Metric::higher("epoch", epoch as f64 + 1.0, Unit::Count));
    }
    if let Some((_, accuracy)) = oracle {
        metrics.push(Metric::higher(ORACLE, accuracy, Unit::Fraction));
        let best = epochs.iter().filter_map(|record| record.validation.get(ORACLE).copied()).fold(accuracy, f64::max);
        metrics.push(Metric::higher("oracle/best_epoch", best, Unit::Fraction));
    }
    let device = objective.store().device();
    let method = options.methods.to_string();
    let result = fitted.result(&method, metrics, device, options.machine.seed, options.fit.precision)?;
    run.finish(&result)?;
    Ok(Outcome { result, source, missing })
}

/// What happened over the epochs.
fn charts(epochs: &[EpochRecord]) -> Vec<Chart> {
    let points = |of: &dyn Fn(&EpochRecord) -> Option<f64>| -> Vec<(f64, f64)> {
        epochs.iter().filter_map(|record| Some((record.epoch as f64 + 1.0, of(record)?))).collect()
    };
    let series = |name: &str, points: Vec<(f64, f64)>, dashed: bool| Series {
        name: name.into(),
        points,
        dashed,
        ..Series::default()
    };
    let chart = |title: &str, y: &str, range, series: Vec<Series>| Chart {
        title: title.into(),
        x_label: "epoch".into(),
        y_label: y.into(),
        y_range: range,
        series: series.into_iter().filter(|series| !series.points.is_empty()).collect(),
        ..Chart::default()
    };
    let validation = |name: &'static str| points(&move |record| record.validation.get(name).copied());
    let train = |name: &'static str| points(&move |record| record.train.get(name).copied());
    let accuracy = chart(
        "Accuracy",
        "share that is right",
        Range::Unit,
        vec![
            series("source, validation", validation("accuracy"), false),
            series("target (oracle)", validation(ORACLE), false),
            series("domain classifier", train("domain_accuracy"), true),
        ],
    );
    let mut losses = vec![];
    let names = epochs.first().map_or_else(Vec::new, |record| record.train.keys().cloned().collect::<Vec<_>>());
    for name in names.into_iter().filter(|name| !name.contains("accuracy") && name != "loss" && name != "confident") {
        losses.push(series(&name.replace('_', " "), points(&|record| record.train.get(&name).copied()), false));
    }
    if losses.is_empty() {
        losses.push(series("cross entropy", train("loss"), false));
    }
    let losses = chart("Training losses", "loss", Range::Fit, losses);
    let scores = chart(
        "Scores without labels",
        "nats",
        Range::Fit,
        vec![
            series("InfoMax", validation("target/info_max"), false),
            series("neighbourhood density", validation("target/neighbourhood_density"), false),
            series("entropy", validation("target/entropy"), false),
        ],
    );
    vec![accuracy, losses, scores]
}
