//! Horizontal bars with standard deviations: methods side by side.

use image::RgbImage;

use super::axis::Axis;
use super::canvas::{Anchor, BLUE, Canvas, FAINT, INK, WHITE, blend, render};
use crate::report::format;
use crate::{Error, Result};

const WIDTH: f64 = 1200.0;
const TITLE: f64 = 32.0;
const LABEL: f64 = 26.0;
const TICK: f64 = 23.0;
const PAD: f64 = 28.0;
const ROW: f64 = 46.0;
/// What names may take of the width.
const NAMES: f64 = 360.0;
/// Room for the number behind a bar.
const NUMBER: f64 = 190.0;

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// What it is of.
    pub name: String,
    /// How long it is: a share in 0..1.
    pub value: f64,
    /// The standard deviation, drawn as a whisker; 0 for none.
    pub spread: f64,
    /// Whether it is drawn pale, as what is not to be compared with the others.
    pub pale: bool,
}

/// Draws bars of shares below each other, the first on top, from 0 to 1.
///
/// # Errors
/// There is none, or a value that is not finite.
pub fn bars(title: &str, label: &str, bars: &[Bar]) -> Result<RgbImage> {
    if bars.is_empty() || bars.iter().any(|bar| !bar.value.is_finite() || !bar.spread.is_finite()) {
        return Err(Error::Data("plot: no bars to draw, or one without a length".into()));
    }
    let (top, rows) = (PAD + 70.0, ROW * bars.len() as f64);
    render(WIDTH, top + rows + 110.0 + PAD, |canvas| draw(canvas, (title, label), bars, (top, top + rows)))
}

fn draw(canvas: &mut Canvas, (title, label): (&str, &str), bars: &[Bar], (top, bottom): (f64, f64)) -> Result<()> {
    let names = bars.iter().map(|bar| canvas.width(&bar.name, TICK)).collect::<Result<Vec<_>>>()?;
    let left = PAD + names.into_iter().fold(0.0, f64::max).min(NAMES) + 16.0;
    let x = Axis { range: (0.0, 1.0), pixels: (left, WIDTH - PAD - NUMBER), log: false, whole: false };
    let title = canvas.fit(title, WIDTH - 2.0 * PAD, TITLE)?;
    canvas.text(&title, (WIDTH / 2.0, PAD + 14.0), Anchor::Middle, TITLE, INK)?;
    for (value, text) in x.ticks(6) {
        canvas.line((x.at(value), top), (x.at(value), bottom), FAINT, 1.0)?;
        canvas.text(&text, (x.at(value), bottom + 26.0), Anchor::Middle, TICK, INK)?;
    }
    for (bar, row) in bars.iter().zip(0..) {
        let y = top + (f64::from(row) + 0.5) * ROW;
        let name = canvas.fit(&bar.name, NAMES, TICK)?;
        canvas.text(&name, (left - 14.0, y), Anchor::End, TICK, INK)?;
        let colour = if bar.pale { blend(WHITE, BLUE, 0.35) } else { BLUE };
        let end = x.at(bar.value.clamp(0.0, 1.0));
        canvas.rectangle((left, y - ROW * 0.32), (end, y + ROW * 0.32), colour)?;
        let mut number = format::percent(bar.value);
        if bar.spread > 0.0 {
            let (low, high) = (x.at((bar.value - bar.spread).max(0.0)), x.at((bar.value + bar.spread).min(1.0)));
            canvas.line((low, y), (high, y), INK, 2.5)?;
            for at in [low, high] {
                canvas.line((at, y - 7.0), (at, y + 7.0), INK, 2.5)?;
            }
            number = format!("{:.1} ± {:.1} %", 100.0 * bar.value, 100.0 * bar.spread);
        }
        let behind = x.at((bar.value + bar.spread).clamp(0.0, 1.0)) + 12.0;
        canvas.text(&number, (behind, y), Anchor::Start, TICK, INK)?;
    }
    canvas.line((left, top), (left, bottom), INK, 1.5)?;
    canvas.text(label, ((left + x.pixels.1) / 2.0, bottom + 74.0), Anchor::Middle, LABEL, INK)
}

#[cfg(test)]
mod tests {
    use super::super::canvas::margins;
    use super::*;

    fn bar(name: &str, value: f64, spread: f64) -> Bar {
        Bar { name: name.into(), value, spread, pale: false }
    }

    #[test]
    fn bars_fit_their_sheet() {
        let long = "a name that is much too long ".repeat(4);
        let all = [bar("a", 0.0, 0.0), bar(&long, 1.0, 0.2), bar("c", 0.5, 0.0)];
        for count in [1, 3] {
            let image = bars(&long, "share", &all[..count]).unwrap();
            let margins = margins(&image);
            assert!(margins.iter().all(|&margin| margin >= 10), "{margins:?}");
        }
        assert!(bars("", "", &[]).is_err() && bars("", "", &[bar("a", f64::NAN, 0.0)]).is_err());
    }
}
