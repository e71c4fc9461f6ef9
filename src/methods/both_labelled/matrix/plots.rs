//! The pictures of the transfer table.

use std::path::Path;

use image::imageops::{self, FilterType};

use super::{Outcome, Score};
use crate::Result;
use crate::eval::Spread;
use crate::report::format;
use crate::report::plot::{Chart, Colours, HeatCell, HeatMap, Range, Series, curves, heat_maps, save_png};

/// What is drawn of the forecast; the others are in the table.
const SHOWN: [Score; 3] = [Score::LogMe, Score::ShrunkHScore, Score::Leep];

/// Accuracies and gains of all pairs.
pub(super) const HEAT_MAP: &str = "plots/heat-map.png";
/// Scores against accuracies.
pub(super) const FORECAST: &str = "plots/forecast.png";

/// Draws the plots of the table in the folder `root`.
pub(super) fn draw(outcome: &Outcome, root: &Path) -> Result<()> {
    save_png(root.join(HEAT_MAP), &heat_maps(&[accuracies(outcome), gains(outcome)])?)?;
    if !outcome.orders_sources() {
        return Ok(());
    }
    // small panels: a row for each score, a column for each target
    let mut rows = vec![];
    for score in SHOWN {
        let panels: Vec<Chart> = (0..outcome.tasks.len()).map(|target| panel(outcome, score, target)).collect();
        let row = curves(&panels)?;
        rows.push(imageops::resize(&row, row.width() / 2, row.height() / 2, FilterType::CatmullRom));
    }
    let height: u32 = rows.iter().map(|row| row.height()).sum();
    let mut sheet = image::RgbImage::from_pixel(rows[0].width(), height, image::Rgb([255; 3]));
    let mut top = 0;
    for row in rows {
        imageops::replace(&mut sheet, &row, 0, i64::from(top));
        top += row.height();
    }
    save_png(root.join(FORECAST), &sheet)
}

fn cell(number: &Spread, signed: bool, framed: bool) -> HeatCell {
    HeatCell { value: Some(100.0 * number.mean), lines: format::points(number, signed).to_vec(), framed }
}

fn map(outcome: &Outcome, title: &str, colours: Colours, unit: &str) -> HeatMap {
    let names: Vec<String> = outcome.tasks.iter().map(|task| task.name.clone()).collect();
    HeatMap {
        title: title.into(),
        row_label: "source".into(),
        column_label: "target (framed: the source's own task)".into(),
        rows: names.clone(),
        columns: names,
        cells: vec![],
        colours,
        unit: unit.into(),
    }
}

fn accuracies(outcome: &Outcome) -> HeatMap {
    let mut map = map(outcome, "Accuracy on the target", Colours::Between(0.0, 100.0), " %");
    let row = |source| outcome.of_source(source).iter().map(|pair| cell(&pair.runs.accuracy, false, pair.same_task));
    map.cells = (0..outcome.tasks.len()).map(|source| row(source).collect()).collect();
    map.cells.push(outcome.tasks.iter().map(|task| cell(&task.alone.accuracy, false, false)).collect());
    map.rows.push("alone".into());
    map
}

fn gains(outcome: &Outcome) -> HeatMap {
    let mut map = map(outcome, "Gain over the target alone, in points", Colours::AroundZero, "");
    let row = |source| outcome.of_source(source).iter().map(|pair| cell(&pair.gain, true, pair.same_task));
    map.cells = (0..outcome.tasks.len()).map(|source| row(source).collect()).collect();
    map
}

/// The score of every source against what became of it, a dot for each seed, and the target alone as a line.
fn panel(outcome: &Outcome, score: Score, target: usize) -> Chart {
    let task = &outcome.tasks[target];
    let pairs = (0..outcome.tasks.len()).map(|source| &outcome.of_source(source)[target]);
    let mut series: Vec<Series> = pairs
        .map(|pair| {
            let scores = pair.forecasts.iter().map(|forecast| forecast.of(score));
            // every source keeps its colour, also where it has no dot
            let points = scores.zip(pair.runs.accuracy.values.iter().map(|value| 100.0 * value));
            let points = points.filter(|_| !pair.same_task).collect();
            Series { name: pair.source.clone(), points, scattered: true, ..Series::default() }
        })
        .collect();
    let all = || series.iter().flat_map(|series| &series.points).map(|point| point.0);
    let ends = [all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max)];
    let alone = 100.0 * task.alone.accuracy.mean;
    let line = ends.map(|x| (x, alone)).to_vec();
    series.push(Series { name: "alone".into(), points: line, dashed: true, ..Series::default() });
    let agreement = outcome.forecast.iter().find(|agreement| agreement.score == score);
    let order = agreement.and_then(|agreement| agreement.targets[target].spearman);
    let order = order.map_or(String::new(), |order| format!(", Spearman {order:+.2}"));
    Chart {
        title: format!("{} for {}{order}", score.title(), task.name),
        x_label: score.title().into(),
        y_label: "accuracy on the target [%]".into(),
        y_range: Range::Fit,
        series,
        ..Chart::default()
    }
}
