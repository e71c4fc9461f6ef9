//! The reliability diagram: accuracy in each bin of confidence, the gap to it, and how many images each bin holds.
//!
//! Source: Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017, figures 1 and 4.

use image::RgbImage;
use plotters::style::RGBColor;

use super::axis::Axis;
use super::canvas::{Anchor, BLUE, Canvas, FAINT, GREY, INK, render};
use crate::eval::Calibration;
use crate::report::format;
use crate::{Error, Result};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 1160.0;
const PAD: f64 = 30.0;
const TITLE: f64 = 32.0;
const LABEL: f64 = 26.0;
const TICK: f64 = 22.0;
/// Tints of the palette's vermillion and sky blue: a bar's gap where confidence lies above accuracy, and below.
const OVER: RGBColor = RGBColor(236, 182, 140);
const UNDER: RGBColor = RGBColor(158, 210, 241);

/// One diagram.
#[derive(Debug, Clone, Copy)]
pub struct Reliability<'a> {
    /// What it shows, as in "before temperature scaling".
    pub title: &'a str,
    /// The bins and the error.
    pub calibration: &'a Calibration,
}

/// Draws diagrams side by side, as before and after temperature scaling; 900 × 1160 pixels each.
///
/// # Errors
/// There is no diagram.
pub fn reliability(diagrams: &[Reliability]) -> Result<RgbImage> {
    if diagrams.is_empty() {
        return Err(Error::Data("plot: no reliability diagram to draw".into()));
    }
    render(WIDTH * diagrams.len() as f64, HEIGHT, |canvas| {
        let mut each = diagrams.iter().enumerate();
        each.try_for_each(|(index, diagram)| draw(canvas, diagram, index as f64 * WIDTH))
    })
}

fn draw(canvas: &mut Canvas, diagram: &Reliability, x0: f64) -> Result<()> {
    let (left, right) = (x0 + PAD + 100.0, x0 + WIDTH - PAD - 10.0);
    let (top, bottom) = (PAD + 140.0, PAD + 140.0 + (right - left));
    let x = Axis { range: (0.0, 1.0), pixels: (left, right), log: false, whole: false };
    let y = Axis { pixels: (bottom, top), ..x };
    let centre = (left + right) / 2.0;
    let error = format!("expected calibration error {}", format::percent(diagram.calibration.expected_error));
    let title = canvas.fit(diagram.title, WIDTH - 2.0 * PAD, TITLE)?;
    canvas.text(&title, (x0 + WIDTH / 2.0, PAD + 14.0), Anchor::Middle, TITLE, INK)?;
    canvas.text(&error, (x0 + WIDTH / 2.0, PAD + 58.0), Anchor::Middle, LABEL, INK)?;
    key(canvas, left, PAD + 108.0)?;
    for (value, text) in y.ticks(6) {
        canvas.line((left, y.at(value)), (right, y.at(value)), FAINT, 1.0)?;
        canvas.text(&text, (left - 14.0, y.at(value)), Anchor::End, TICK, INK)?;
    }
    for bin in diagram.calibration.bins.iter().filter(|bin| bin.count > 0) {
        let (from, to) = (x.at(bin.from) + 1.5, x.at(bin.to) - 1.5);
        let (accuracy, confidence) = (y.at(bin.accuracy), y.at(bin.confidence));
        let gap = if bin.confidence > bin.accuracy { OVER } else { UNDER };
        canvas.rectangle((from, bottom), (to, accuracy.max(confidence)), BLUE)?;
        canvas.rectangle((from, accuracy), (to, confidence), gap)?;
        canvas.line((from, accuracy), (to, accuracy), BLUE, 3.0)?;
    }
    canvas.dashes(&[(left, bottom), (right, top)], INK, 2.0, 10.0)?;
    canvas.frame((left, top), (right, bottom), INK, 1.5)?;
    canvas.text_upwards("accuracy", (x0 + PAD + 12.0, (top + bottom) / 2.0), Anchor::Middle, LABEL, INK)?;

    let (high, low) = (bottom + 24.0, HEIGHT - PAD - 84.0);
    let total: u64 = diagram.calibration.bins.iter().map(|bin| bin.count).sum();
    let share = |count: u64| count as f64 / total.max(1) as f64;
    let most = diagram.calibration.bins.iter().map(|bin| share(bin.count)).fold(0.0, f64::max);
    let images = Axis { range: (0.0, most.max(0.01) * 1.08), pixels: (low, high), ..x };
    for bin in &diagram.calibration.bins {
        let (from, to) = (x.at(bin.from) + 1.5, x.at(bin.to) - 1.5);
        canvas.rectangle((from, low), (to, images.at(share(bin.count))), GREY)?;
    }
    let most_text = format!("{:.0} %", 100.0 * most);
    canvas.text(&most_text, (left - 14.0, images.at(most)), Anchor::End, TICK, INK)?;
    canvas.text("0 %", (left - 14.0, low), Anchor::End, TICK, INK)?;
    canvas.text_upwards("images", (x0 + PAD + 12.0, (high + low) / 2.0), Anchor::Middle, LABEL, INK)?;
    for (value, text) in x.ticks(6) {
        canvas.text(&text, (x.at(value), low + 26.0), Anchor::Middle, TICK, INK)?;
    }
    canvas.line((left, low), (right, low), INK, 1.5)?;
    canvas.text("confidence", (centre, low + 72.0), Anchor::Middle, LABEL, INK)
}

/// What the colours mean.
fn key(canvas: &mut Canvas, left: f64, y: f64) -> Result<()> {
    let mut x = left;
    for (name, colour) in [("accuracy", BLUE), ("too confident by", OVER), ("not confident enough by", UNDER)] {
        canvas.rectangle((x, y - 11.0), (x + 28.0, y + 11.0), colour)?;
        canvas.text(name, (x + 37.0, y), Anchor::Start, TICK, INK)?;
        x += 37.0 + canvas.width(name, TICK)? + 24.0;
    }
    canvas.dashes(&[(x, y), (x + 50.0, y)], INK, 2.0, 10.0)?;
    canvas.text("ideal", (x + 60.0, y), Anchor::Start, TICK, INK)
}

#[cfg(test)]
mod tests {
    use super::super::canvas::margins;
    use super::*;
    use crate::eval::Predictions;

    #[test]
    fn diagrams_fit_their_sheet() {
        let logits = tch::Tensor::from_slice2(&[[3.0f32, 0.0], [0.1, 0.0], [900.0, 0.0]]);
        let calibration = Calibration::of(&Predictions::new(&logits, &[0, 1, 0]).unwrap());
        let long = "a title that is too long, ".repeat(9);
        for title in ["", &long] {
            let one = Reliability { title, calibration: &calibration };
            for diagrams in [vec![one], vec![one, one]] {
                let image = reliability(&diagrams).unwrap();
                assert_eq!(image.dimensions(), (900 * diagrams.len() as u32, 1160));
                let margins = margins(&image);
                assert!(margins.iter().all(|&margin| margin >= 10), "{margins:?}");
            }
        }
        assert!(reliability(&[]).is_err());
    }
}
