//! A comparison for people: its table, and the curve over the share of the images.

use std::path::Path;

use super::comparison::{Comparison, TaskPoint};
use crate::Result;
use crate::eval::Spread;
use crate::report::plot::{Chart, Series, curves, save_png};
use crate::report::{Align, Table, format};

/// More tasks than this are drawn as their mean alone.
const PANELS: usize = 4;

/// A row for every task, and for every share of a curve.
pub fn table(comparison: &Comparison) -> Table {
    let is_curve = comparison.points.iter().any(|point| point.share.is_some());
    let numbers = ["images", "alone", "together", "difference"].map(|name| (name, Align::Right));
    let mut columns = vec![("task", Align::Left)];
    if is_curve {
        columns.insert(0, ("share", Align::Right));
    }
    columns.extend(numbers);
    let mut table = Table::new(columns);
    for point in &comparison.points {
        for (number, task) in point.tasks.iter().enumerate() {
            let share = point.share.filter(|_| number == 0);
            let cells = is_curve.then(|| share.map_or_else(String::new, |share| format!("{} %", share * 100.0)));
            table.row(cells.into_iter().chain(row(task)));
        }
    }
    table
}

fn row(task: &TaskPoint) -> [String; 5] {
    let dash = || "–".to_string();
    let difference = task.difference.as_ref().map_or_else(dash, |spread| {
        let sign = if spread.mean >= 0.0 { "+" } else { "" };
        format!("{sign}{}", format::spread(spread))
    });
    [
        task.task.clone(),
        format::count(task.images as u64),
        task.alone.as_ref().map_or_else(dash, format::spread),
        format::spread(&task.together),
        difference,
    ]
}

/// Draws accuracy against the share of the images, a panel for each task and one for their mean; bands are standard
/// deviations over seeds.
///
/// # Errors
/// The file cannot be written.
pub fn plot(comparison: &Comparison, file: &Path) -> Result<()> {
    let tasks = comparison.points.first().map_or(0, |point| point.tasks.len());
    // the mean comes last, and stands alone where all panels would be too many
    let panels = if tasks > PANELS + 1 { tasks - 1..tasks } else { 0..tasks };
    let charts: Vec<Chart> = panels.map(|task| chart(comparison, task)).collect();
    save_png(file, &curves(&charts)?)
}

fn chart(comparison: &Comparison, task: usize) -> Chart {
    let several = comparison.seeds.len() > 1;
    let series = |name: &str, dashed: bool, of: &dyn Fn(&TaskPoint) -> Option<Spread>| {
        let spreads: Vec<(f64, Spread)> = comparison
            .points
            .iter()
            .filter_map(|point| Some((100.0 * point.share?, of(&point.tasks[task])?)))
            .collect();
        Series {
            name: name.into(),
            points: spreads.iter().map(|(share, spread)| (*share, spread.mean)).collect(),
            band: if several { spreads.iter().map(|(_, spread)| spread.std).collect() } else { vec![] },
            dashed,
            ..Series::default()
        }
    };
    let name = comparison.points[0].tasks[task].task.as_str();
    let is_mean = task + 1 == comparison.points[0].tasks.len();
    Chart {
        title: if is_mean { "Mean of all tasks".into() } else { format!("Task {name}") },
        x_label: "share of the training images [%]".into(),
        y_label: "share of validation images that is right".into(),
        log_x: true,
        series: vec![
            series("together", false, &|task| Some(task.together.clone())),
            series("alone", true, &|task| task.alone.clone()),
        ],
        ..Chart::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::comparison::tests::example;
    use super::*;

    fn comparison(shares: &[Option<f64>]) -> Comparison {
        let points = shares.iter().map(|share| example(*share, 0.125)).collect();
        Comparison { seeds: vec![0, 1], points, seconds: 1.0, example: String::new() }
    }

    #[test]
    fn the_table_has_a_row_for_each_task_and_share() {
        let text = table(&comparison(&[Some(0.01), Some(1.0)])).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2 + 2 * 3, "{text}");
        assert!(lines[0].contains("share") && lines[2].trim_start().starts_with("1 %"), "{text}");
        assert!(lines[2].contains("70.00 ± 14.14 %") && lines[2].ends_with("+12.50 ± 0.00 %"), "{text}");
        let plain = table(&comparison(&[None])).to_string();
        assert!(plain.starts_with("task") && !plain.contains("share"), "{plain}");
    }

    #[test]
    fn the_curve_has_a_panel_for_each_task_and_one_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("curve.png");
        plot(&comparison(&[Some(0.01), Some(0.25), Some(1.0)]), &file).unwrap();
        assert_eq!(image::image_dimensions(&file).unwrap(), (3 * 1200, 900));
    }
}
