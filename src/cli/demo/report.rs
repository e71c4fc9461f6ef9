//! What the demo found: the table, the picture, and what to do with it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::recipe::Method;
use crate::Result;
use crate::report::plot::{Chart, Range, Series, curves, save_png};
use crate::report::{Align, Table, format};

/// One run of the demo.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Cell {
    /// How it learned.
    pub method: Method,
    /// From how many images per class.
    pub shots: usize,
    /// Share of the test images that it names rightly.
    pub accuracy: f64,
    /// How long it took.
    pub seconds: f64,
    /// Its folder.
    pub run: PathBuf,
}

/// A share of the test images: a tenth of a percent is one of the thousand.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn plural(shots: usize) -> String {
    format!("{shots} image{}", if shots == 1 { "" } else { "s" })
}

/// Methods down, images per class across.
pub(super) fn table(cells: &[Cell], shots: &[usize]) -> Table {
    let columns = shots.iter().map(|&shots| (plural(shots), Align::Right));
    let mut table = Table::new([("learning from".to_string(), Align::Left)].into_iter().chain(columns));
    for method in Method::ALL {
        let of = cells.iter().filter(|cell| cell.method == method);
        table.row([method.title().to_string()].into_iter().chain(of.map(|cell| percent(cell.accuracy))));
    }
    table
}

/// Draws accuracy against images per class.
pub(super) fn plot(cells: &[Cell], test_images: usize, file: &Path) -> Result<()> {
    // The best on top, in the legend as in the picture.
    let series = Method::ALL.into_iter().rev().map(|method| Series {
        name: method.title().into(),
        points: cells.iter().filter(|c| c.method == method).map(|c| (c.shots as f64, c.accuracy)).collect(),
        ..Series::default()
    });
    let chart = Chart {
        title: "The same network, taught ten kinds of clothes in three ways".into(),
        x_label: "training images per class".into(),
        y_label: format!("share of {} test images that is right", format::count(test_images as u64)),
        log_x: true,
        y_range: Range::Unit,
        series: series.collect(),
        ..Chart::default()
    };
    save_png(file, &curves(&[chart])?)
}

/// What to look at and what to try, in commands that work as they stand.
pub(super) fn next_steps(cells: &[Cell], data: &Path, out: &Path) -> String {
    let Some(best) = cells.iter().max_by(|a, b| a.accuracy.total_cmp(&b.accuracy)) else { return String::new() };
    let (best, data, out) = (best.run.display(), data.display(), out.display());
    format!(
        "Look at it\n\
         \x20 picture      {out}/learning-curve.png\n\
         \x20 every run    pip install tensorboard && tensorboard --logdir {out}\n\
         \x20 mistakes     {best}/plots/mistakes.png, and confusion.png beside it\n\n\
         Use the best of these models\n\
         \x20 regraft predict --model {best} PICTURE\n\
         \x20 regraft evaluate --model {best} --data {data}\n\n\
         Teach your own classes: one folder of pictures per class, as photos/cat and photos/dog\n\
         \x20 regraft finetune --data photos\n\
         \x20 regraft finetune --data photos --freeze all --no-augment    (the quick way: only the head learns)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells() -> Vec<Cell> {
        let cell = |method: Method, shots, accuracy| {
            let run = PathBuf::from(format!("out/{}-{shots}", method.name()));
            Cell { method, shots, accuracy, seconds: 1.0, run }
        };
        let rows = Method::ALL.into_iter().zip([[0.1, 0.2], [0.5, 0.6], [0.4, 0.75]]);
        rows.flat_map(|(method, [one, five])| [cell(method, 1, one), cell(method, 5, five)]).collect()
    }

    #[test]
    fn each_number_stands_in_its_row_and_column() {
        let table = table(&cells(), &[1, 5]).to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].ends_with("1 image  5 images"), "{table}");
        assert!(lines[2].starts_with(Method::Scratch.title()) && lines[2].contains("10.0"), "{table}");
        assert!(lines[4].starts_with(Method::FineTuned.title()) && lines[4].contains("75.0"), "{table}");
    }

    #[test]
    fn the_best_model_is_the_one_to_use() {
        let text = next_steps(&cells(), Path::new("out/data"), Path::new("out"));
        assert!(text.contains("regraft predict --model out/fine-tuned-5 PICTURE"), "{text}");
        assert!(text.contains("--data out/data\n"), "{text}");
    }
}
