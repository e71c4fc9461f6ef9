//! The confusion matrix as a heat map: a row per class, coloured by the share of the class's images; the numbers are counts.
//!
//! Names and numbers are left out where they could not be read: names from about 160 classes on, numbers where the widest
//! does not fit into its cell.

use image::RgbImage;
use plotters::style::RGBColor;

use super::canvas::{Anchor, GREY, INK, WHITE, render};
use super::grid::{Grid, heat};
use crate::report::format;
use crate::{Error, Result};

/// Below this size numbers are left out.
const SMALLEST_NUMBER: f64 = 11.0;

/// Draws counts by class (row) and predicted class (column).
///
/// # Errors
/// The counts are not a square of as many rows as there are names, or there are none.
pub fn confusion(title: &str, counts: &[Vec<u64>], names: &[String]) -> Result<RgbImage> {
    let classes = names.len();
    if classes == 0 || counts.len() != classes || counts.iter().any(|row| row.len() != classes) {
        let rows = counts.len();
        return Err(Error::Data(format!("plot: a confusion matrix of {rows} rows for {classes} class names")));
    }
    let per_class = classes as f64;
    // 2 classes get large cells, 100 cells of 20 pixels, 1000 still two pixels each
    let cell =
        if classes <= 100 { (1300.0 / per_class).clamp(20.0, 150.0) } else { (2000.0 / per_class).floor().max(2.0) };
    let ticks = [0, 25, 50, 75, 100].map(|percent| (f64::from(percent) / 100.0, format!("{percent} %")));
    let mut grid = Grid {
        title,
        row_label: "class",
        column_label: "predicted class",
        rows: names,
        columns: names,
        cell: (cell, cell),
        name_size: (0.72 * cell).min(25.0),
        upwards: true,
        colour: &heat,
        ticks: &ticks,
    };
    let hidden = format!("predicted class ({classes} classes, in order)");
    if !grid.shows_names() {
        grid.column_label = &hidden;
    }
    let layout = grid.layout()?;
    let most = counts.iter().flatten().copied().max().unwrap_or(0);
    let totals: Vec<u64> = counts.iter().map(|row| row.iter().sum()).collect();
    render(layout.width, layout.height, |canvas| {
        let unit = canvas.width(&format::count(most), 100.0)? / 100.0;
        let size = (0.8 * cell / unit).min(0.45 * cell).min(34.0);
        grid.draw(canvas, &layout, 0.0, |canvas, (row, column), from, to| {
            let (count, total) = (counts[row][column], totals[row]);
            let share = if total == 0 { 0.0 } else { count as f64 / total as f64 };
            // a class without images has no shares: its row is grey, which no share is
            let colour = if total == 0 { RGBColor(236, 236, 236) } else { heat(share) };
            canvas.rectangle(from, to, colour)?;
            if size < SMALLEST_NUMBER || (count == 0 && classes > 12) {
                return Ok(());
            }
            let ink = if share > 0.42 {
                WHITE
            } else if count == 0 {
                GREY
            } else {
                INK
            };
            let middle = ((from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0);
            canvas.text(&format::count(count), middle, Anchor::Middle, size, ink)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::canvas::margins;
    use super::*;

    fn diagonal(classes: usize, name: &str) -> (Vec<Vec<u64>>, Vec<String>) {
        let row = |r: usize| (0..classes).map(|c| if c == r { 90 } else { ((r * 7 + c * 3) % 5) as u64 }).collect();
        ((0..classes).map(row).collect(), (0..classes).map(|class| format!("{name}{class}")).collect())
    }

    #[test]
    fn every_count_of_classes_fits_its_sheet() {
        for (classes, name) in
            [(1, "a"), (2, "a"), (7, "a rather long class name that nobody would want "), (130, "b"), (400, "")]
        {
            let (counts, names) = diagonal(classes, name);
            let image = confusion("Confusion", &counts, &names).unwrap();
            let margins = margins(&image);
            assert!(margins.iter().all(|&margin| margin >= 10), "{classes} classes: {margins:?}");
            assert!(image.width() <= 2600 && image.height() <= 2600);
        }
    }

    #[test]
    fn colour_is_the_share_of_the_row() {
        let names = ["a".to_string(), "b".to_string()];
        let few = confusion("", &[vec![3, 0], vec![0, 4]], &names).unwrap();
        let many = confusion("", &[vec![300, 0], vec![0, 400]], &names).unwrap();
        let dark = |image: &RgbImage| image.pixels().filter(|pixel| pixel.0 == [3, 45, 84]).count();
        assert!(dark(&few) > 10_000 && dark(&few).abs_diff(dark(&many)) < 2_000);
        assert_eq!(heat(0.0), WHITE);
    }

    #[test]
    fn a_ragged_matrix_is_an_error() {
        assert!(confusion("", &[vec![1, 2]], &["a".into(), "b".into()]).is_err());
        assert!(confusion("", &[], &[]).is_err());
    }
}
