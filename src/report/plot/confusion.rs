//! The confusion matrix as a heat map: a row per class, coloured by the share of the class's images; the numbers are counts.
//!
//! Names and numbers are left out where they could not be read: names from about 160 classes on, numbers where the widest
//! does not fit into its cell.

use image::RgbImage;
use plotters::style::RGBColor;

use super::canvas::{Anchor, BLUE, Canvas, FAINT, GREY, INK, WHITE, blend, render};
use crate::report::format;
use crate::{Error, Result};

const TITLE: f64 = 32.0;
const LABEL: f64 = 26.0;
const PAD: f64 = 30.0;
/// Below these sizes text is left out.
const SMALLEST_NAME: f64 = 9.0;
const SMALLEST_NUMBER: f64 = 11.0;
/// The widest that names may be.
const LONGEST_NAME: f64 = 300.0;
const SCALE: f64 = 130.0;

/// White for 0, the palette's blue on the way, a dark one for 1.
fn heat(share: f64) -> RGBColor {
    const DARK: RGBColor = RGBColor(3, 45, 84);
    if share < 0.6 { blend(WHITE, BLUE, share / 0.6) } else { blend(BLUE, DARK, (share - 0.6) / 0.4) }
}

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
    let name_size = (0.72 * cell).min(25.0);
    let show_names = name_size >= SMALLEST_NAME;
    let mut shown = Vec::new();
    let mut name_width = 0.0;
    // text is measured on a sheet, so a small one is made for that
    render(1.0, 1.0, |canvas| {
        for name in names.iter().filter(|_| show_names) {
            let name = canvas.fit(name, LONGEST_NAME, name_size)?;
            name_width = f64::max(name_width, canvas.width(&name, name_size)?);
            shown.push(name);
        }
        Ok(())
    })?;
    let side = cell * per_class;
    let needed = PAD + 44.0 + name_width + 14.0 + side + SCALE + PAD;
    // a small matrix is centred on a sheet on which its title has room
    let width = needed.max(760.0);
    let edge = (width - needed) / 2.0;
    let (left, top) = (edge + PAD + 44.0 + name_width + 14.0, PAD + 66.0);
    let height = (top + side + 14.0 + name_width + 52.0 + PAD).max(520.0);
    render(width, height, |canvas| {
        let title = canvas.fit(title, width - 2.0 * PAD, TITLE)?;
        canvas.text(&title, (width / 2.0, PAD + 14.0), Anchor::Middle, TITLE, INK)?;
        cells(canvas, counts, (left, top), cell)?;
        for (index, name) in shown.iter().enumerate() {
            let middle = (index as f64 + 0.5) * cell;
            canvas.text(name, (left - 12.0, top + middle), Anchor::End, name_size, INK)?;
            canvas.text_upwards(name, (left + middle, top + side + 12.0), Anchor::End, name_size, INK)?;
        }
        let hidden = if show_names { String::new() } else { format!(" ({classes} classes, in order)") };
        let below = top + side + 14.0 + name_width + 38.0;
        canvas.text(&format!("predicted class{hidden}"), (left + side / 2.0, below), Anchor::Middle, LABEL, INK)?;
        canvas.text_upwards("class", (edge + PAD + 10.0, top + side / 2.0), Anchor::Middle, LABEL, INK)?;
        scale(canvas, (left + side + 36.0, top), side.min(700.0))
    })
}

fn cells(canvas: &mut Canvas, counts: &[Vec<u64>], (left, top): (f64, f64), cell: f64) -> Result<()> {
    let classes = counts.len() as f64;
    let most = counts.iter().flatten().copied().max().unwrap_or(0);
    let unit = canvas.width(&format::count(most), 100.0)? / 100.0;
    let size = (0.8 * cell / unit).min(0.45 * cell).min(34.0);
    let numbers = size >= SMALLEST_NUMBER;
    for (row, counts) in counts.iter().enumerate() {
        let total: u64 = counts.iter().sum();
        for (column, &count) in counts.iter().enumerate() {
            let share = if total == 0 { 0.0 } else { count as f64 / total as f64 };
            let at = (left + column as f64 * cell, top + row as f64 * cell);
            // a class without images has no shares: its row is grey, which no share is
            let colour = if total == 0 { RGBColor(236, 236, 236) } else { heat(share) };
            canvas.rectangle(at, (at.0 + cell, at.1 + cell), colour)?;
            if numbers && (count > 0 || classes <= 12.0) {
                let ink = if share > 0.42 {
                    WHITE
                } else if count == 0 {
                    GREY
                } else {
                    INK
                };
                let middle = (at.0 + cell / 2.0, at.1 + cell / 2.0);
                canvas.text(&format::count(count), middle, Anchor::Middle, size, ink)?;
            }
        }
    }
    let side = cell * classes;
    if cell >= 8.0 {
        for line in 1..counts.len() {
            let at = line as f64 * cell;
            canvas.line((left + at, top), (left + at, top + side), FAINT, 1.0)?;
            canvas.line((left, top + at), (left + side, top + at), FAINT, 1.0)?;
        }
    }
    canvas.frame((left, top), (left + side, top + side), INK, 1.5)
}

/// What the colours mean.
fn scale(canvas: &mut Canvas, (left, top): (f64, f64), height: f64) -> Result<()> {
    const STEPS: usize = 200;
    let at = |share: f64| top + height * (1.0 - share);
    for step in 0..STEPS {
        let [from, to] = [step, step + 1].map(|step| step as f64 / STEPS as f64);
        canvas.rectangle((left, at(from)), (left + 22.0, at(to)), heat(from))?;
    }
    canvas.frame((left, top), (left + 22.0, top + height), INK, 1.5)?;
    for percent in [0, 25, 50, 75, 100] {
        let y = at(f64::from(percent) / 100.0);
        canvas.text(&format!("{percent} %"), (left + 30.0, y), Anchor::Start, 18.0, INK)?;
    }
    Ok(())
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
