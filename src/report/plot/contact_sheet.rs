//! A few images of every class of a data set, a row each: what it looks like at a glance.

use image::RgbImage;

use super::canvas::{Anchor, INK, render};
use super::picture;
use crate::Result;

const PAD: f64 = 30.0;
const GAP: f64 = 6.0;
/// Side of the square that an image is fitted into.
const SIDE: f64 = 64.0;
/// The most rows below one another; more classes go on beside them.
const ROWS: usize = 15;
const LABEL: f64 = 20.0;
/// The widest that a class's name may be.
const WIDEST: f64 = 180.0;
const TITLE: f64 = 28.0;

/// Draws the images of every class in a row behind its name, under `title`. Names that are too wide end in "…".
///
/// # Errors
/// Drawing fails.
pub fn contact_sheet(title: &str, classes: &[(String, Vec<RgbImage>)]) -> Result<RgbImage> {
    let blocks = classes.len().div_ceil(ROWS).max(1);
    let rows = classes.len().div_ceil(blocks).max(1);
    let longest = classes.iter().map(|(_, images)| images.len()).max().unwrap_or(0);
    let (mut names, mut margin): (Vec<String>, f64) = (vec![], 0.0);
    // text is measured on a sheet, so a small one is made for that
    render(1.0, 1.0, |canvas| {
        for (name, _) in classes {
            let name = canvas.fit(name, WIDEST, LABEL)?;
            margin = margin.max(canvas.width(&name, LABEL)? + 2.0 * GAP);
            names.push(name);
        }
        Ok(())
    })?;
    let block = margin + longest as f64 * (SIDE + GAP);
    let top = PAD + 50.0;
    let width = (2.0 * PAD + blocks as f64 * (block + PAD) - PAD).max(500.0);
    let height = top + rows as f64 * (SIDE + GAP) + PAD;
    let corner =
        |index: usize| (PAD + (index / rows) as f64 * (block + PAD), top + (index % rows) as f64 * (SIDE + GAP));
    let mut sheet = render(width, height, |canvas| {
        let title = canvas.fit(title, width - 2.0 * PAD, TITLE)?;
        canvas.text(&title, (width / 2.0, PAD + 10.0), Anchor::Middle, TITLE, INK)?;
        for (index, name) in names.iter().enumerate() {
            let (x, y) = corner(index);
            canvas.text(name, (x + margin - 2.0 * GAP, y + SIDE / 2.0), Anchor::End, LABEL, INK)?;
        }
        Ok(())
    })?;
    for (index, (_, images)) in classes.iter().enumerate() {
        let (x, y) = corner(index);
        for (column, image) in images.iter().enumerate() {
            picture::place(&mut sheet, image, (x + margin + column as f64 * (SIDE + GAP), y), SIDE);
        }
    }
    Ok(sheet)
}

#[cfg(test)]
mod tests {
    use super::super::canvas::margins;
    use super::*;

    #[test]
    fn every_class_has_its_row_and_nothing_is_cut_off() {
        let image = |shade: u8| RgbImage::from_pixel(32, 32, image::Rgb([shade, 0, 0]));
        let classes: Vec<_> = (0..43u8)
            .map(|class| (format!("a class with a long name, number {class}"), vec![image(class), image(100 + class)]))
            .collect();
        let sheet = contact_sheet("Forty-three classes", &classes).unwrap();
        let pixels = |shade: u8| sheet.pixels().filter(|pixel| pixel.0 == [shade, 0, 0]).count();
        assert!((0..43).all(|class| pixels(class) == 64 * 64 && pixels(100 + class) == 64 * 64));
        assert!(sheet.height() < 1500, "{}", sheet.height());
        let margins = margins(&sheet);
        assert!(margins.iter().all(|&margin| margin >= 10), "{margins:?}");
    }

    #[test]
    fn no_classes_is_a_picture_too() {
        assert!(contact_sheet("Nothing", &[]).unwrap().width() >= 500);
    }
}
