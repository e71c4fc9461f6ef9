//! Pictures in a grid with their class, what they were taken for, and how surely: the mistakes worth looking at.

use image::RgbImage;

use super::canvas::{Anchor, Canvas, FAINT, GREEN, GREY, INK, VERMILLION, render};
use super::picture;
use crate::Result;

const PAD: f64 = 30.0;
const GAP: f64 = 26.0;
/// Side of the square that a picture is fitted into.
const SIDE: f64 = 240.0;
const COLUMNS: usize = 6;
const CAPTION: f64 = 20.0;
const LINE: f64 = 26.0;
const TITLE: f64 = 32.0;

/// One picture and its caption.
#[derive(Debug, Clone)]
pub struct Tile {
    /// The picture, of any size.
    pub image: RgbImage,
    /// Its class.
    pub label: String,
    /// The class that was predicted.
    pub predicted: String,
    /// The probability of the predicted class.
    pub confidence: f64,
}

/// Draws the pictures in rows of up to six under `title`, each captioned "class → predicted 0.97". Where any caption is too
/// wide for that, all go over two lines; names that are still too wide end in "…". Without pictures it says so.
///
/// # Errors
/// Drawing fails.
pub fn gallery(title: &str, tiles: &[Tile]) -> Result<RgbImage> {
    let columns = tiles.len().clamp(3, COLUMNS);
    let rows = tiles.len().div_ceil(columns).max(1);
    let mut one_line = true;
    // text is measured on a sheet, so a small one is made for that
    render(1.0, 1.0, |canvas| {
        for tile in tiles {
            one_line &= canvas.width(&in_one_line(tile), CAPTION)? <= SIDE;
        }
        Ok(())
    })?;
    let step = (SIDE + GAP, SIDE + if one_line { LINE } else { 2.0 * LINE } + 16.0 + GAP);
    let top = PAD + 56.0;
    let width = 2.0 * PAD + columns as f64 * step.0 - GAP;
    let height = top + rows as f64 * step.1 - GAP + PAD;
    let place = |index: usize| (PAD + (index % columns) as f64 * step.0, top + (index / columns) as f64 * step.1);
    let mut sheet = render(width, height, |canvas| {
        let title = canvas.fit(title, width - 2.0 * PAD, TITLE)?;
        canvas.text(&title, (width / 2.0, PAD + 12.0), Anchor::Middle, TITLE, INK)?;
        if tiles.is_empty() {
            return canvas.text("none", (width / 2.0, height / 2.0), Anchor::Middle, TITLE, GREY);
        }
        for (index, tile) in tiles.iter().enumerate() {
            let (x, y) = place(index);
            canvas.frame((x, y), (x + SIDE, y + SIDE), FAINT, 1.0)?;
            caption(canvas, tile, (x + SIDE / 2.0, y + SIDE + 8.0 + LINE / 2.0), one_line)?;
        }
        Ok(())
    })?;
    for (index, tile) in tiles.iter().enumerate() {
        picture::place(&mut sheet, &tile.image, place(index), SIDE);
    }
    Ok(sheet)
}

fn in_one_line(tile: &Tile) -> String {
    format!("{} →  {} {:.2}", tile.label, tile.predicted, tile.confidence)
}

fn caption(canvas: &mut Canvas, tile: &Tile, (centre, y): (f64, f64), one_line: bool) -> Result<()> {
    let confidence = format!(" {:.2}", tile.confidence);
    if one_line {
        let parts = [
            (tile.label.clone(), GREEN),
            (" →  ".into(), GREY),
            (tile.predicted.clone(), VERMILLION),
            (confidence, INK),
        ];
        let mut x = centre - canvas.width(&in_one_line(tile), CAPTION)? / 2.0;
        for (text, colour) in parts {
            canvas.text(&text, (x, y), Anchor::Start, CAPTION, colour)?;
            x += canvas.width(&text, CAPTION)?;
        }
        return Ok(());
    }
    let left = centre - SIDE / 2.0;
    let arrow = canvas.width("→ ", CAPTION)?;
    let label = canvas.fit(&tile.label, SIDE, CAPTION)?;
    let rest = SIDE - arrow - canvas.width(&confidence, CAPTION)?;
    let predicted = canvas.fit(&tile.predicted, rest, CAPTION)?;
    let second = y + LINE;
    canvas.text(&label, (left, y), Anchor::Start, CAPTION, GREEN)?;
    canvas.text("→ ", (left, second), Anchor::Start, CAPTION, GREY)?;
    canvas.text(&predicted, (left + arrow, second), Anchor::Start, CAPTION, VERMILLION)?;
    let after = left + arrow + canvas.width(&predicted, CAPTION)?;
    canvas.text(&confidence, (after, second), Anchor::Start, CAPTION, INK)
}

#[cfg(test)]
mod tests {
    use super::super::canvas::margins;
    use super::*;

    fn tile(width: u32, height: u32, name: &str) -> Tile {
        let image = RgbImage::from_pixel(width, height, image::Rgb([10, 20, 30]));
        Tile { image, label: name.into(), predicted: name.into(), confidence: 0.97 }
    }

    #[test]
    fn pictures_of_any_size_are_shown_whole() {
        let long = "a class with a name that cannot fit under a picture";
        let tiles =
            [tile(28, 28, "ant"), tile(4000, 30, long), tile(1, 900, ""), tile(0, 0, "none"), tile(241, 239, "b")];
        let sheet = gallery("Most confident mistakes", &tiles).unwrap();
        let colour = |centre: (f64, f64)| sheet.get_pixel(centre.0 as u32, centre.1 as u32).0;
        assert_eq!(colour((PAD + 120.0, PAD + 56.0 + 120.0)), [10, 20, 30]);
        let margins = margins(&sheet);
        assert!(margins.iter().all(|&margin| margin >= 10), "{margins:?}");
    }

    #[test]
    fn no_mistakes_is_a_picture_too() {
        assert!(gallery("Most confident mistakes", &[]).unwrap().width() > 700);
    }
}
