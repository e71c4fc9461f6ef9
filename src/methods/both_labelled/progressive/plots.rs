//! The pictures: what each connection is worth, and how the last task was learned.

use std::path::{Path, PathBuf};

use super::Runs;
use super::outcome::{Ablation, Outcome};
use crate::Result;
use crate::eval::Spread;
use crate::report::RunDir;
use crate::report::plot::{Chart, Range, Series, curves, save_png};
use crate::train::observe::epochs_of;

/// Draws both into the folder `plots`.
pub(super) fn draw(outcome: &Outcome, runs: &[Runs], plots: &Path) -> Result<()> {
    let columns = outcome.tasks.iter().skip(1);
    let charts: Vec<Chart> = columns.map(|task| ablation(&outcome.ablation, &task.name)).collect();
    save_png(plots.join("ablation.png"), &curves(&charts)?)?;
    let task = &outcome.tasks[outcome.tasks.len() - 1].name;
    save_png(plots.join("last-task.png"), &curves(&[learning(task, runs)?])?)
}

/// What the accuracy on a task loses without each connection into its column.
fn ablation(all: &[Ablation], task: &str) -> Chart {
    let of: Vec<&Ablation> = all.iter().filter(|one| one.task == task).collect();
    let laterals = of.first().map_or(&[][..], |one| &one.laterals);
    let mut stages: Vec<&str> = laterals.iter().map(|one| one.into.as_str()).collect();
    stages.dedup();
    let mut sources: Vec<&str> = vec![];
    for one in laterals {
        if !sources.contains(&one.from.as_str()) {
            sources.push(&one.from);
        }
    }
    let point = |from: &str, into: &str| {
        let here = of.iter().flat_map(|one| &one.laterals).filter(|one| one.from == from && one.into == into);
        Spread::of(here.map(|one| 100.0 * one.drop))
    };
    let series = sources.iter().map(|from| {
        let spreads: Vec<Spread> = stages.iter().map(|into| point(from, into)).collect();
        Series {
            name: format!("from {from}"),
            points: spreads.iter().zip(2..).map(|(spread, stage)| (f64::from(stage), spread.mean)).collect(),
            band: if of.len() > 1 { spreads.iter().map(|spread| spread.std).collect() } else { vec![] },
            ..Series::default()
        }
    });
    Chart {
        title: format!("What its connections are worth to {task}"),
        x_label: format!("stage that the connection leads into ({}: the head)", stages.len() + 1),
        y_label: "accuracy lost without it [points]".into(),
        series: series.collect(),
        ..Chart::default()
    }
}

/// Accuracy over the epochs of the last task.
fn learning(task: &str, runs: &[Runs]) -> Result<Chart> {
    type Way = fn(&Runs) -> &Vec<PathBuf>;
    let ways: [(&str, Way); 3] = [
        ("as a new column", |runs| &runs.columns),
        ("fine-tuned from the task before", |runs| &runs.fine_tuned),
        ("alone", |runs| &runs.alone),
    ];
    let mut series = vec![];
    for (name, of) in ways {
        let mut points: Vec<(f64, Spread)> = vec![];
        for folder in runs.iter().filter_map(|runs| of(runs).last()) {
            for record in epochs_of(&RunDir::open(folder)?.metrics())? {
                let (epoch, accuracy) = (record.epoch as f64 + 1.0, record.validation.get("accuracy"));
                let Some(accuracy) = accuracy else { continue };
                match points.iter_mut().find(|(known, _)| *known == epoch) {
                    Some((_, spread)) => spread.add(*accuracy),
                    None => points.push((epoch, Spread::of([*accuracy]))),
                }
            }
        }
        let band = if runs.len() > 1 { points.iter().map(|(_, spread)| spread.std).collect() } else { vec![] };
        if !points.is_empty() {
            let points = points.into_iter().map(|(epoch, spread)| (epoch, spread.mean)).collect();
            series.push(Series { name: name.into(), points, band, ..Series::default() });
        }
    }
    Ok(Chart {
        title: format!("How {task}, the last task, is learned"),
        x_label: "epoch".into(),
        y_label: "share of the validation images that is right".into(),
        y_range: Range::Fit,
        series,
        ..Chart::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::outcome::Without;
    use super::*;

    #[test]
    fn each_source_is_a_line_over_the_stages_with_its_spread() {
        let without =
            |into: &str, from: &str, drop| Without { into: into.into(), from: from.into(), accuracy: 0.5, drop };
        let one = |seed, shift: f64| Ablation {
            seed,
            task: "c".into(),
            accuracy: 0.9,
            laterals: vec![
                without("conv2", "a", 0.1 + shift),
                without("conv2", "b", 0.0),
                without("head", "a", 0.3 + shift),
                without("head", "b", 0.2),
            ],
        };
        let chart = ablation(&[one(0, 0.0), one(1, 0.02)], "c");
        assert!(chart.x_label.contains("(3: the head)"), "{}", chart.x_label);
        let [a, b] = &chart.series[..] else { panic!("{:?}", chart.series) };
        assert_eq!((a.name.as_str(), b.name.as_str()), ("from a", "from b"));
        for ((x, y), (stage, drop)) in a.points.iter().zip([(2.0, 11.0), (3.0, 31.0)]) {
            assert!(*x == stage && (y - drop).abs() < 1e-9, "{:?}", a.points);
        }
        assert!((a.band[0] - 2f64.sqrt()).abs() < 1e-9 && b.band == [0.0, 0.0]);
    }
}
